"""What the meters of PEs say, as the host gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spinn2emu import spec
from spinn2emu.chip.loading import Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.levels import NAMES


def read_meters(assignments: Mapping[int, Assignment], memory: ChipMemory) -> dict[str, Any]:
    """`pes`: [PE, its population, number of its program, whether its cycles are known] each; `programs`: [name, phases,
    inputs, counts, `Cost` in JSON or None]; `rows`: the bytes of an array of `meter.ROW` (PEs, levels, phases)."""
    programs: dict[int, int] = {}
    described: list[list[Any]] = []
    pes: list[tuple[int, str, int, bool]] = []
    for pe, assignment in sorted(assignments.items()):
        program = assignment.program
        if id(program) not in programs:
            programs[id(program)] = len(described)
            cost = None if program.cost is None else program.cost.to_json()
            phases = [phase.name for phase in program.phases]
            described.append([program.name, phases, list(program.inputs), list(program.counts), cost])
        pes.append((pe, assignment.population, programs[id(program)], bool(memory.meters["known"][pe])))
    rows = memory.meters["rows"][[pe for pe, *_ in pes]]
    return {"pes": pes, "programs": described, "rows": rows.tobytes()}


def slack_ns(meter: np.ndarray) -> int | None:
    """What a PE's longest tick has left of the timer's period, at least -MOST_LATE_NS; None: its cycles are unknown."""
    if not meter["on"] or not meter["known"]:
        return None
    return int(max(-spec.MOST_LATE_NS.value, np.floor((meter["least"] * spec.TICK_NS.value / meter["period"]).min())))


def of_pe(meter: np.ndarray) -> dict[str, Any]:
    """For `ps`: its level, its overruns and its slack; None where its cycles are not known."""
    slack = slack_ns(meter)
    return {
        "level": NAMES[int(meter["level"]) % len(NAMES)],
        "overruns": None if slack is None else int(meter["rows"]["overruns"].sum()),
        "slack_ns": slack,
    }
