"""What the host can address on the chip, every PE's SRAM and the router's registers, and what waits in the network.

Anonymous shared mappings, made before the processes are forked: the system frees them when the last of them ends.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError, DeadlineExceeded
from spinn2emu.packets import PACKET
from spinn2emu.pe.guard import GUARD_WORDS, Guard, hold, release
from spinn2emu.router.state import MAX_IDS, MAX_ROUTERS, Counter, PeCounter, Registers
from spinn2emu.trace.capture import Capture, CaptureMemory

HOLD_DEADLINE_S = 1.0
"""How long the host waits for a PE to leave its kernel."""
NOTE_BYTES = 512


class ChipMemory:
    """`sram`: uint8 (153, 131072), row = PE id. `guards`: int64 (153, GUARD_WORDS). `registers`: by router process.

    `notes`: uint8 (153, NOTE_BYTES), what PEs that failed have to say beyond their code, UTF-8.
    `queued` (153,) packets wait for each PE, in `queues` (153, FRAME_PACKETS). `captures`: what routers record.
    """

    def __init__(self) -> None:
        sizes = (len(Counter), spec.ROUTER_ENTRIES.value, MAX_IDS * len(PeCounter), 8)
        sram_bytes = MAX_IDS * spec.SRAM_BYTES.value
        words = MAX_IDS * (GUARD_WORDS + 1) + MAX_ROUTERS * sum(sizes)
        self._mappings = [mmap.mmap(-1, sram_bytes + 8 * words + MAX_IDS * NOTE_BYTES)]
        # Memory is committed only where packets really lie.
        self._mappings.append(mmap.mmap(-1, MAX_IDS * spec.FRAME_PACKETS.value * PACKET.itemsize))
        memory, queues = (np.frombuffer(mapping, np.uint8) for mapping in self._mappings)
        self.sram = memory[:sram_bytes].reshape(MAX_IDS, spec.SRAM_BYTES.value)
        self.queues = queues.view(PACKET).reshape(MAX_IDS, -1)
        split = [MAX_IDS * GUARD_WORDS, MAX_IDS * (GUARD_WORDS + 1)]
        guards, self.queued, registers = np.split(memory[sram_bytes:][: 8 * words].view(np.int64), split)
        self.notes = memory[sram_bytes + 8 * words :].reshape(MAX_IDS, NOTE_BYTES)
        self.guards = guards.reshape(MAX_IDS, GUARD_WORDS)
        self.captures = CaptureMemory(MAX_ROUTERS)
        self.registers = [
            _registers(np.split(block, np.cumsum(sizes)[:-1]), self.captures.of_router(r))
            for r, block in enumerate(registers.reshape(MAX_ROUTERS, -1))
        ]

    def clear(self) -> None:
        """All bytes 0, as after a reset."""
        for mapping in self._mappings:
            mapping.madvise(mmap.MADV_REMOVE)

    def range(self, pe: int, address: int, size: int) -> np.ndarray:
        """Bytes of a PE's SRAM, writable. Raises ConfigError if they are not all on the chip."""
        if pe not in geometry.PE_IDS:
            raise ConfigError(f"there is no PE with id {pe}: ids are 1..{spec.PES.value}", pe=pe)
        if address < 0 or size < 0 or address + size > spec.SRAM_BYTES.value:
            raise ConfigError(
                f"PE {geometry.name(pe)}: bytes {address:#x}..{address + size:#x} exceed its SRAM of "
                f"{spec.SRAM_BYTES.value:#x} bytes", pe=pe, address=address, size=size,
            )  # fmt: skip
        return self.sram[pe, address : address + size]

    @contextmanager
    def held(self, pes: Iterable[int]) -> Iterator[None]:
        """Keeps the PEs between two activations: what is read or written meanwhile is never torn.

        Raises DeadlineExceeded, naming the PE, if one does not return from its kernel.
        """
        guards = [self.guards[pe] for pe in set(pes)]
        deadline = time.monotonic() + HOLD_DEADLINE_S
        try:
            for guard in guards:
                while hold(guard):
                    if time.monotonic() > deadline:
                        pe = next(pe for pe in pes if self.guards[pe, Guard.BUSY])
                        raise DeadlineExceeded(
                            f"PE {geometry.name(pe)} has not left its kernel for {HOLD_DEADLINE_S} s, what is read or "
                            "written now may be half done: ask again, or accept that (`--torn`)",
                            pe=pe, name=geometry.name(pe), deadline=HOLD_DEADLINE_S,
                        )  # fmt: skip
                    time.sleep(1e-5)
            yield
        finally:
            for guard in guards:
                release(guard)

    def activity(self) -> int:
        """A number that grows as long as anything happens on the network."""
        return int(self.activations.sum() + sum(registers.activity.sum() for registers in self.registers))

    @property
    def activations(self) -> NDArray[np.int64]:
        """How often each PE has been woken, (153,)."""
        return self.guards[:, Guard.ACTIVATIONS]

    def total(self) -> Registers:
        """The registers, summed over the router processes."""
        counts = [own[:-1] for own in self.registers]
        sums = map(sum, zip(*counts, strict=True))
        return self.registers[0]._replace(**dict(zip(Registers._fields, sums, strict=False)))


def _registers(blocks: list[NDArray[np.int64]], capture: Capture) -> Registers:
    counters, hits, pe_counts, activity = blocks
    return Registers(counters, hits, pe_counts.reshape(MAX_IDS, len(PeCounter)), activity, capture)
