"""What PEs have done with their time: ticks, cycles of their code, and ticks longer than the timer's period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.cost import DRAIN, IN, SENT, TICK, Cost, Interval
from spinn2emu.levels import NAMES
from spinn2emu.pe.meter import AT_COUNTS, AT_IN, AT_SENT, AT_TICK, DRAIN_PHASE, PHASES, ROW


class PeUsage(NamedTuple):
    """Of one PE in one phase (or `cost.DRAIN`) at one level, since its program was loaded.

    `counts`: how much of each term of a formula there was (see `spinn2emu.cost`), in all these ticks; `ticks` is that
    of the term `tick`. `cycles`: of all of them; `worst`: central cycles of the longest, `worst_tick`: which that was.
    All three are None where no formula is known for the program, or none of the phase. `overruns`: ticks whose code
    ended after the timer's period.
    """

    pe: int
    program: str
    population: str
    phase: str
    level: str
    ticks: int
    counts: Mapping[str, int]
    cycles: Interval | None
    worst: float | None
    worst_tick: int | None
    overruns: int


def rows_of(reply: Mapping[str, Any]) -> list[PeUsage]:
    """The rows of what a chip has answered; see `spinn2emu.chip.usage.read_meters`."""
    rows = np.frombuffer(reply["rows"], ROW).reshape(-1, len(NAMES), PHASES)
    programs = [(program, None if cost is None else Cost.from_json(cost, "the chip's answer"))
                for *program, cost in reply["programs"]]  # fmt: skip
    return [
        _row(pe, population, own, cost if known else None, level, phase, rows[place, level, phase])
        for place, (pe, population, number, known) in enumerate(reply["pes"])
        for own, cost in [programs[number]]
        for level in range(rows.shape[1])
        for phase in _used(rows[place, level])
    ]


def costs_of(reply: Mapping[str, Any]) -> dict[str, Cost | None]:
    """Of the same answer: the formulas by program."""
    return {
        name: None if cost is None else Cost.from_json(cost, "the chip's answer")
        for name, *_, cost in reply["programs"]
    }  # fmt: skip


def _used(rows: NDArray[np.void]) -> Iterator[int]:
    """The phases that a PE was in."""
    yield from np.flatnonzero(rows["terms"]["sum"][:, AT_TICK]).tolist()


def _row(
    pe: int, population: str, program: list[Any], cost: Cost | None, level: int, phase: int, row: np.void
) -> PeUsage:
    name, phases, inputs, declared = program
    text = DRAIN if phase == DRAIN_PHASE else phases[phase] if phase < len(phases) else str(phase)
    sums = row["terms"]["sum"].tolist()
    counts = {TICK: sums[AT_TICK], **{IN + port: sums[AT_IN + i] for i, port in enumerate(inputs)}}
    counts |= {SENT: sums[AT_SENT], **{count: sums[AT_COUNTS + i] for i, count in enumerate(declared)}}
    formula = cost.phases.get(text) if cost is not None else None
    cycles = formula.cycles(counts) if formula is not None else None
    worst = None if cycles is None else float(row["worst"])
    worst_tick = None if cycles is None else int(row["worst_tick"])
    return PeUsage(
        pe, name, population, text, NAMES[level], counts[TICK], counts, cycles, worst, worst_tick, int(row["overruns"])
    )
