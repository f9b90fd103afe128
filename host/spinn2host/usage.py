"""What PEs have done with their time: ticks, cycles of their code, and ticks longer than the timer's period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from spinn2emu.cost import Interval


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
