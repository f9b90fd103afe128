"""Activations of a PE: what its program found in a tick, and what it left; recorded as they happen, read to check them.

A recording is a file of msgpack objects: a head, then one for each activation.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2emu.memory_map import DATA_BASE, MemoryMap
from spinn2emu.packets import PACKET
from spinn2emu.registers import Register
from spinn2emu.sdk import CONTEXT, TX_BUFFER

FORMAT = 1


class Activation(NamedTuple):
    """One call of a function of a program. `before`, `after`: the used bytes of the data space; `packets`: that it got,
    `sent`: that it has sent, records PACKET; `counts`: what the program has counted, by number."""

    entry: str
    tick: int
    phase: int
    before: bytes
    packets: NDArray[Any]
    after: bytes
    sent: NDArray[Any]
    counts: tuple[int, ...]
    code: int


@dataclass(frozen=True)
class Recording:
    """The activations of one PE. `phases`, `inputs`, `counts`: names, by number."""

    program: str
    pe: int
    memory: MemoryMap
    phases: tuple[str, ...]
    inputs: tuple[str, ...]
    counts: tuple[str, ...]
    activations: tuple[Activation, ...] = ()


class Context:
    """What a compiled tick gets: its context's fields, and the packets that it points to."""

    def __init__(self, address: int) -> None:
        memory: Any = (ctypes.c_char * CONTEXT.itemsize).from_address(address)
        self.record: Any = np.frombuffer(memory, CONTEXT).view(np.recarray)[0]

    def due(self) -> NDArray[Any]:
        """The packets that are to be processed."""
        return _packets(int(self.record["due_packets"]), int(self.record["due_count"]))

    def sent(self, first: int) -> NDArray[Any]:
        """What lies in the transmit buffer from place `first` on."""
        return self.transmit_buffer()[first : int(self.record["tx_count"])]

    def transmit_buffer(self) -> NDArray[Any]:
        """All of it, to be written to."""
        return _packets(int(self.record["tx_packets"]), TX_BUFFER)


def _packets(address: int, count: int) -> NDArray[Any]:
    memory: Any = (ctypes.c_char * (count * PACKET.itemsize)).from_address(address)
    return np.frombuffer(memory, PACKET)


class Recorder:
    """Stands before a PE's compiled tick and writes down what it does, up to `limit` ticks."""

    def __init__(self, path: Path, limit: int, recording: Recording) -> None:
        self.file: IO[bytes] = open(path, "wb", buffering=0)  # noqa: SIM115 (as long as the process lives)
        r = recording
        head = [FORMAT, r.program, r.pe, r.memory.to_wire(), r.phases, r.inputs, r.counts]
        self.file.write(msgpack.packb(head))
        self.memory, self.left = recording.memory, limit

    def call(self, entry: str, function: Callable[[int], int], sram: NDArray[np.uint8], address: int) -> int:
        """One activation of the compiled `function`; the code that it returned."""
        if self.left <= 0:
            return function(address)
        self.left -= entry == "tick"
        data = sram[DATA_BASE : DATA_BASE + self.memory.used]
        sys = self.memory["sys"].view(sram)
        context = Context(address)
        tick, phase = int(sys[Register.TICK]), int(sys[Register.PHASE])
        before, packets, first = data.tobytes(), context.due().tobytes(), int(context.record["tx_count"])
        counted = context.record["counts"].copy()
        code = function(address)
        sent = context.sent(first).tobytes()
        parts = [zlib.compress(part, 1) for part in (before, packets, data.tobytes(), sent)]
        counts = (context.record["counts"] - counted).tolist()
        self.file.write(msgpack.packb([entry, tick, phase, *parts, counts, code]))
        return code


def read_recording(path: Path) -> Recording:
    """The recording in a file; an activation that was cut off by the end of the PE's process is left out."""
    with open(path, "rb") as file:
        objects: Iterator[Any] = iter(msgpack.Unpacker(file, max_buffer_size=1 << 30))
        head = next(objects, None)
        if not isinstance(head, list) or head[0] != FORMAT:
            raise ConfigError(f"{path} is no recording of activations in format {FORMAT}")
        _, program, pe, memory, *names = head
        activations = tuple(_activation(row) for row in objects)
    phases, inputs, counts = map(tuple, names)
    return Recording(program, pe, MemoryMap.from_wire(memory), phases, inputs, counts, activations)


def _activation(row: Sequence[Any]) -> Activation:
    entry, tick, phase, *parts, counts, code = row
    before, packets, after, sent = (zlib.decompress(part) for part in parts)
    return Activation(
        entry,
        tick,
        phase,
        before,
        np.frombuffer(packets, PACKET),
        after,
        np.frombuffer(sent, PACKET),
        tuple(counts),
        code,
    )
