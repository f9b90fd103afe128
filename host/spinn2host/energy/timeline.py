"""Power over a batch: each PE's phases in their order, of their mean length, with their mean power."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2host.energy.configurations import Configuration
from spinn2host.energy.model import CHIP, TICK_S, UNUSED, Row, Usage
from spinn2host.energy.power import CHIP as CHIP_POWER
from spinn2host.energy.power import LEVELS

Power = dict[str, NDArray[np.float64]]
"""mW by role and tick of a batch, (ticks,) each."""


class Timeline(NamedTuple):
    """`all`: what the roles draw; `busy`: the part of it that PEs draw because they are busy."""

    all: Power
    busy: Power


def power_over_batch(usage: Usage, configuration: Configuration) -> Timeline:
    """Central figures, or the lower bound where cycles are not known. The areas are the energies of `model.estimate`,
    if no PE overruns.

    A PE is in its phases in the order of its rows, each as long as on average; then it waits. The handlers of its FIFOs
    run evenly over the batch.
    """
    ticks = usage.ticks_in(configuration)
    names = dict.fromkeys([CHIP, UNUSED, *(row.role for row in usage.rows)])
    line = Timeline(*({name: np.zeros(ticks) for name in names} for _ in Timeline._fields))
    line.all[CHIP] += CHIP_POWER.central
    by_pe: dict[int, list[Row]] = {}
    for row in usage.rows:
        by_pe.setdefault(row.pe, []).append(row)
    for rows in by_pe.values():
        _add_pe(line, rows, ticks, max(1, usage.batches), configuration)
    if configuration.unused is not None:
        level, others = LEVELS[configuration.unused], spec.PES.value - len(by_pe)
        _add(line, UNUSED, np.full(ticks, others * level.asleep.central),
             np.full(ticks, others * level.busy.central * configuration.busy))  # fmt: skip
    return Timeline(*({name: mw for name, mw in power.items() if mw.any()} for power in line))


def _add(line: Timeline, role: str, asleep: NDArray[np.float64], busy: NDArray[np.float64]) -> None:
    line.all[role] += asleep + busy
    line.busy[role] += busy


def _add_pe(line: Timeline, rows: list[Row], ticks: int, batches: int, configuration: Configuration) -> None:
    begin = 0.0
    for row in rows:
        level, length = LEVELS[configuration.level or row.level], row.ticks / batches
        span = _share_of_ticks(begin, begin + length, ticks)
        begin += length
        busy = span
        if not configuration.busy:
            cycles = row.cycles.low if np.isnan(row.cycles.central) else row.cycles.central
            where = span if length else np.ones(ticks)
            busy = where * (cycles / (batches * level.clock_hz * TICK_S * (where.sum() or 1.0)))
        _add(line, row.role, span * level.asleep.central, busy * level.busy.central)
    rest = _share_of_ticks(begin, ticks, ticks)
    _add(line, rows[-1].role, rest * level.asleep.central, rest * level.busy.central * configuration.busy)


def _share_of_ticks(begin: float, end: float, ticks: int) -> NDArray[np.float64]:
    """Which part of each tick lies between two times, in ticks."""
    edges = np.arange(ticks + 1, dtype=np.float64)
    return np.diff(np.clip(edges, begin, max(begin, end)))
