"""Feeds recorded packets into a chip again: the PE that sent them gets a program that sends them anew, and the host
injects its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, SramOverflow
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import CHIP_TYPES, Event, Meta, Part, interface_name, payload_words, source_name
from spinn2host.chip import Chip, PeProgram
from spinn2host.pe_program import Keys

PROGRAM = "spinn2fw.replay"


def replay(chip: Chip, trace: Trace, begin: int = 0) -> dict[int, int]:
    """Loads the packets of `trace` that were sent in tick `begin` or later on the PEs that sent them, whatever runs
    there; those of the host it sends itself. Tick `begin` of the trace is the chip's present one. The routing table
    stays. Returns packets by PE id, 0: the host.

    Raises ConfigError if there is nothing to send, or more than a PE can hold.
    """
    events = trace.events[(trace.events["event"] == Event.SENT) & (trace.events["tick"] >= begin)]
    if not len(events):
        raise ConfigError(
            f"no packet was sent in tick {begin} or later, of {len(trace.events):,} events that were chosen"
        )
    others = (events["type"] > 0) & (events["type"] < len(CHIP_TYPES))
    if others.any() or (payload_words(events[events["source"] > 0]) == 2).any():
        raise ConfigError("firmware sends multicast packets of 0, 4 or 16 bytes of payload: leave out the others")
    shift = int(chip.info()["tick"]) - begin
    ports = chip.routes()["ports"]
    programs = []
    from_pes, from_host = events[events["source"] > 0], events[events["source"] == 0]
    for pe in np.unique(from_pes["source"]).tolist():
        known = ports.get(str(pe), {}).get("outputs", {})
        programs.append(_program(trace.meta, pe, events[events["source"] == pe], shift, known))
    try:
        if programs:
            chip.load_programs(programs, replace=True)
    except SramOverflow as error:
        raise ConfigError(
            f"{error.message}\nchoose fewer packets, or fewer ticks, by an expression", **error.fields
        ) from error
    _inject(chip, from_host, shift)
    own = {0: len(from_host)} if len(from_host) else {}
    return own | {program.pe: len(program.data["tick"]) for program in programs}


def _inject(chip: Chip, events: NDArray[np.void], shift: int) -> None:
    """Sends packets of the host, those of one tick in their order, whatever their payloads."""
    sizes = payload_words(events)
    for part in np.split(np.arange(len(events)), np.flatnonzero(np.diff(sizes)) + 1) if len(events) else []:
        payloads = events["payload"][part, : int(sizes[part[0]])] if sizes[part[0]] else None
        chip.inject(events["key"][part], events["tick"][part].astype(np.int64) + shift, payloads)


def _program(meta: Meta, pe: int, events: NDArray[np.void], shift: int, known: Mapping[str, Any]) -> PeProgram:
    """The program of one PE, with the output ports of the one that sent the packets. `known`: keys of the output ports
    of the program that it has now."""
    sizes = payload_words(events)
    index = np.zeros(len(events), np.uint32)
    outputs: dict[str, Keys] = {}
    ports = _ports(meta, pe, int(events["out"].max()) + 1)
    for port in np.unique(events["out"]).tolist():
        chosen = events["out"] == port
        keys = events["key"][chosen]
        outputs[ports[port]] = _range(keys, known)
        index[chosen] = keys & np.uint32(~outputs[ports[port]][1] & 0xFFFFFFFF)
    words = max(1, int(sizes.max()))
    data = {
        "tick": (events["tick"].astype(np.int64) + shift).astype(np.uint32), "index": index,
        "port": events["out"],
        "size": sizes.astype(np.uint8), "payload": events["payload"][:, :words],
    }  # fmt: skip
    parameters = {"ports": ports, "count": len(events), "words": int(sizes.max())}
    part = meta.parts.get(interface_name(pe), Part(""))
    return PeProgram(pe, PROGRAM, parameters, {}, outputs, data, population=part.population, first=part.first)


def _ports(meta: Meta, pe: int, least: int) -> list[str]:
    """Names of the PE's output ports, at least so many, also where the trace has none."""
    info = meta.pes.get(interface_name(pe))
    names = list(info.outputs if info else ())
    return [*names, *(f"packets{number}" for number in range(len(names), least))]


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
    return ", ".join(f"{source_name(pe)}: {count:,} packets" for pe, count in sent.items())
