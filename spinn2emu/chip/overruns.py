"""Ticks whose code ends after the timer's period: noticed, logged, and, if a run wants it so, an error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from spinn2emu import geometry
from spinn2emu.chip.loading import Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.errors import TickOverrun
from spinn2emu.levels import LEVELS, NAMES
from spinn2emu.pe.meter import DRAIN_PHASE


class Overruns:
    """Of the present run. `found`: the first one of each PE, by its id."""

    def __init__(self, memory: ChipMemory) -> None:
        self.memory = memory
        self.found: dict[int, TickOverrun] = {}

    def begin(self) -> None:
        """A run begins, when no PE is active."""
        self.found = {}
        self.memory.meters["first_late"] = -1

    def look(self, assignments: Mapping[int, Assignment]) -> None:
        """Takes down who has been late since, and says so in the chip's log; to be called when all PEs wait."""
        late = np.flatnonzero(self.memory.meters["first_late"] >= 0).tolist() if self.memory.metered else []
        for pe in late:
            if pe not in self.found and pe in assignments:
                self.found[pe] = _describe(assignments[pe], self.memory.meters[pe])
                print(self.found[pe].message, file=sys.stderr, flush=True)

    @property
    def first(self) -> TickOverrun | None:
        """The earliest one, of the PE with the lowest id."""
        return min(self.found.values(), key=lambda late: (late.tick, late.pe), default=None)

    def to_wire(self) -> list[dict[str, Any]]:
        """All of them, by PE: what `TickOverrun` says."""
        return [late.fields | {"text": late.message} for _, late in sorted(self.found.items())]


def _describe(assignment: Assignment, meter: np.void) -> TickOverrun:
    level, phase, cycles = int(meter["first_level"]), int(meter["first_phase"]), float(meter["first_cycles"])
    clock, period = list(LEVELS.values())[level], int(meter["period"][level])
    names = [known.name for known in assignment.program.phases]
    what = "with the packets that its handler takes in" if phase == DRAIN_PHASE else f"phase {names[phase]}"
    faster = f", or run it at {NAMES[level + 1]}" if level + 1 < len(NAMES) else ""
    tick = int(meter["first_late"])
    return TickOverrun(
        f"PE {assignment.who}: tick {tick} ({what}) ends after {cycles:,.0f} cycles, the timer's period has "
        f"{period:,} at {NAMES[level]} ({clock // 1_000_000} MHz): share its work among more PEs or ticks{faster}",
        pe=assignment.pe, name=geometry.name(assignment.pe), program=assignment.program.name, tick=tick,
        population=assignment.population or None, phase=None if phase == DRAIN_PHASE else names[phase],
        cycles=cycles, period=period, level=NAMES[level],
    )  # fmt: skip
