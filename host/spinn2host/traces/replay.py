"""Feeds recorded packets into a chip again: the PE that sent them gets a program that sends them anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, SramOverflow
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event, Type, payload_words
from spinn2host.chip import Chip, Keys, PeProgram

PROGRAM = "spinn2fw.replay"
PORT_OF = {
    Type.MULTICAST: 0, Type.SPIKE: 1, Type.ERROR: 2, Type.GRADIENT: 3, Type.WEIGHT: 4, Type.CONTROL: 5, Type.SILENT: 6,
}  # fmt: skip
"""The program's output port for each type of packet."""
PORTS = ("packets", "spikes", "errors", "gradients", "weights", "control", "silent")
BYTES_PER_PACKET = 10


def replay(chip: Chip, trace: Trace, begin: int = 0) -> dict[int, int]:
    """Loads the packets of `trace` that were sent in tick `begin` or later on the PEs that sent them, whatever runs
    there. Tick `begin` of the trace is the chip's present one. The routing table stays. Returns packets by PE id.

    Raises ConfigError if there is nothing to send, or more than a PE can hold.
    """
    events = trace.events[(trace.events["event"] == Event.SENT) & (trace.events["tick"] >= begin)]
    if not len(events):
        raise ConfigError(
            f"no packet was sent in tick {begin} or later, of {len(trace.events):,} events that were chosen"
        )
    unknown = np.setdiff1d(events["type"], list(PORT_OF))
    if len(unknown) or (payload_words(events) == 2).any():
        raise ConfigError("firmware sends multicast packets of 0, 4 or 16 bytes of payload: leave out the others")
    shift = int(chip.info()["tick"]) - begin
    ports = chip.routes()["ports"]
    programs = []
    for pe in np.unique(events["source"]).tolist():
        known = ports.get(str(pe), {}).get("outputs", {})
        programs.append(_program(pe, events[events["source"] == pe], shift, known))
    try:
        chip.load_programs(programs, replace=True)
    except SramOverflow as error:
        raise ConfigError(
            f"{error.message}\nchoose fewer packets, or fewer ticks, by an expression", **error.fields
        ) from error
    return {program.pe: len(program.data["tick"]) for program in programs}


def _program(pe: int, events: NDArray[np.void], shift: int, known: Mapping[str, Any]) -> PeProgram:
    """The program of one PE. `known`: keys of the output ports of the program that it has now."""
    sizes = payload_words(events)
    index, port = np.zeros(len(events), np.uint32), np.zeros(len(events), np.uint8)
    outputs: dict[str, Keys] = {}
    for kind, keys, chosen in _by_type(events):
        key, mask = _range(keys, known)
        outputs[PORTS[PORT_OF[kind]]] = key, mask
        index[chosen], port[chosen] = keys & np.uint32(~mask & 0xFFFFFFFF), PORT_OF[kind]
    words = max(1, int(sizes.max()))
    data = {
        "tick": (events["tick"].astype(np.int64) + shift).astype(np.uint32), "index": index, "port": port,
        "size": sizes.astype(np.uint8), "payload": events["payload"][:, :words],
    }  # fmt: skip
    return PeProgram(pe, PROGRAM, {"count": len(events), "words": int(sizes.max())}, {}, outputs, data)


def _by_type(events: NDArray[np.void]) -> Iterator[tuple[Type, NDArray[np.uint32], NDArray[np.bool_]]]:
    for number in np.unique(events["type"]):
        chosen = events["type"] == number
        yield Type(number), events["key"][chosen], chosen


def _range(keys: NDArray[np.uint32], known: Mapping[str, Any]) -> Keys:
    """Keys for a port that sends these: those of a port that the PE has had, or the smallest range with a mask."""
    for key, mask in known.values():
        if (keys & np.uint32(mask) == key).all():
            return int(key), int(mask)
    varies = int(np.bitwise_or.reduce(keys ^ keys[0]))
    mask = ~varies & 0xFFFFFFFF
    return int(keys[0]) & mask, mask


def describe(sent: Mapping[int, int]) -> str:
    """What `replay` has loaded, in a line."""
    return ", ".join(f"{geometry.name(pe)}: {count:,} packets" for pe, count in sent.items())
