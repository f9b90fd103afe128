"""Usage of PEs from a trace: its phases give their time, its packets what formulas of cycles need to know of packets.

What a program counts besides (`Program.counts`) is in no trace, nor are packets that were not recorded. Where a formula
needs such a count, its other terms are the lower bound of the cycles, and the upper one is a PE that is always busy.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.cost import DRAIN, IN, SENT, TICK, Cost, Interval, PhaseCost, read_cost
from spinn2emu.errors import ConfigError
from spinn2emu.levels import DEFAULT_LEVEL
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event, Part, PeInfo, interface_name
from spinn2host.energy.collect import role_of
from spinn2host.energy.model import UNKNOWN, Row, Usage
from spinn2host.traces.phases import stretches

COMPLETE = {"ticks", "limit"}
"""Filters that leave out no packet of the ticks that a trace has."""

NOTHING = PeInfo("a program that was loaded later", [], [], [])


def usage_of(trace: Trace) -> Usage:
    """What PEs did in the ticks of a trace, at the usual level. Raises ConfigError if it says nothing of phases."""
    first, end = trace.ticks
    known = stretches(trace)
    known = known[(known["end"] > first) & (known["begin"] < end)]
    if not len(known):
        raise ConfigError(
            f"{trace.name} holds no packets, or nothing of the phases of PEs: record it anew, with packets",
            path=trace.name,
        )
    complete = trace.problem is None and not set(trace.meta.filter) - COMPLETE
    begin, finish = np.maximum(known["begin"], first), np.minimum(known["end"], end)
    sent, received = _packets(trace, known)
    costs: dict[str, Cost | None] = {}
    rows, drained = [], set[int]()
    for pe, phase in np.unique(known[["pe", "phase"]]).tolist():
        info = trace.meta.pes.get(interface_name(pe), NOTHING)
        mine = (known["pe"] == pe) & (known["phase"] == phase)
        ticks = int((finish - begin)[mine].sum())
        counts = {TICK: ticks, SENT: int(sent[pe, phase])}
        counts |= {IN + port: int(received[pe, phase, number]) for number, port in enumerate(info.inputs)}
        name = info.phases[phase] if phase < len(info.phases) else str(phase)
        cost = costs.setdefault(info.program, known_cost(info.program))
        role = role_of(trace.meta.parts.get(interface_name(pe), Part("")).population, info.program)
        cycles = _cycles(cost, name, counts, complete)
        rows.append(Row(pe, role, info.program, name, DEFAULT_LEVEL, ticks, cycles, math.nan))
        if cost is not None and DRAIN in cost.phases and pe not in drained:  # once, whatever the phase
            drained.add(pe)
            rows.append(Row(pe, role, info.program, DRAIN, DEFAULT_LEVEL, 0, UNKNOWN, math.nan))
    return Usage(rows, end - first)


def known_cost(program: str) -> Cost | None:
    """The formulas that lie beside a module, as they are now; None if there are none."""
    try:
        found = None if program.endswith(".py") else importlib.util.find_spec(program)
    except (ImportError, ValueError):
        return None
    file = Path(found.origin).with_suffix(".cost.json") if found is not None and found.origin else None
    return read_cost(file) if file is not None and file.is_file() else None


def _cycles(cost: Cost | None, phase: str, counts: Mapping[str, int], complete: bool) -> Interval:
    formula = cost.phases.get(phase) if cost is not None else None
    if formula is None:
        return UNKNOWN
    cycles = formula.cycles(counts)
    return cycles if complete and _says_all(formula, counts) else Interval(cycles.low, math.nan, math.inf)


def _says_all(formula: PhaseCost, counts: Mapping[str, int]) -> bool:
    return all(term in counts for term in formula.terms)


def _packets(trace: Trace, known: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packets that PEs sent, by (PE, phase), and took in, by (PE, phase, port)."""
    pes, phases, ports = spec.PES.value + 1, spec.MAX_PHASES.value, spec.MAX_PORTS.value
    sent, received = np.zeros((pes, phases), np.int64), np.zeros((pes, phases, ports), np.int64)
    events = trace.events[(trace.events["source"] < pes) & (trace.events["target"] < pes)]
    out = events[(events["event"] == Event.SENT) & (events["source"] > 0)]
    np.add.at(sent, (out["source"], out["phase"] % phases), 1)
    come = events[(events["event"] == Event.RECEIVED) & (events["port"] < ports)]
    order = known["pe"] * (1 << 34) + known["begin"]
    place = np.searchsorted(order, come["target"].astype(np.int64) * (1 << 34) + come["tick"] + 1, side="right") - 1
    inside = (place >= 0) & (known["pe"][place] == come["target"]) & (come["tick"] + 1 < trace.ticks[1])
    come, place = come[inside], place[inside]
    np.add.at(received, (come["target"], known["phase"][place] % phases, come["port"]), 1)
    return sent, received
