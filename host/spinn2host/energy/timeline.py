"""Power over a batch: each PE's phases in their order, of their mean length, with their mean power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinn2host.energy.configurations import Configuration
from spinn2host.energy.model import CHIP, TICK_S, UNUSED, Usage, estimate
from spinn2host.energy.power import LEVELS


def power_over_batch(usage: Usage, configuration: Configuration) -> dict[str, NDArray[np.float64]]:
    """mW by role and tick of a batch, (ticks,) each: central, or what sleeping PEs draw where no cost is known.

    A PE is in its phases in the order in which they are declared, each as long as on average; the handlers of its FIFOs
    run evenly over the batch. The areas are the energies of `estimate`, if no PE overruns.
    """
    ticks = usage.ticks_in(configuration)
    result = {name: np.zeros(ticks) for name in dict.fromkeys([CHIP, *(row.role for row in usage.rows), UNUSED])}
    whole = estimate(usage, configuration)
    for name in (CHIP, UNUSED):
        if name in whole.by_role:
            mj = whole.by_role[name].mj.central
            result[name] += mj / (ticks * TICK_S)
    batches = max(1, usage.batches)
    begins: dict[int, float] = {}
    for row in usage.rows:
        level = LEVELS[configuration.level or row.level]
        length = row.ticks / batches
        begin = begins.get(row.pe, 0.0)
        begins[row.pe] = begin + length
        span = _share_of_ticks(begin, begin + length, ticks) if length else np.ones(ticks)
        result[row.role] += span * level.asleep.central if length else 0.0
        if configuration.busy:
            busy = span if length else np.zeros(ticks)
        else:
            seconds = 0.0 if np.isnan(row.cycles.central) else row.cycles.central / (batches * level.clock_hz)
            busy = span * (seconds / (TICK_S * max(span.sum(), 1e-9)))
        result[row.role] += busy * level.busy.central
    for pe, row in {row.pe: row for row in usage.rows}.items():
        level = LEVELS[configuration.level or row.level]
        rest = _share_of_ticks(begins[pe], float(ticks), ticks)
        result[row.role] += rest * (level.asleep.central + (level.busy.central if configuration.busy else 0.0))
    return {name: mw for name, mw in result.items() if mw.any()}


def _share_of_ticks(begin: float, end: float, ticks: int) -> NDArray[np.float64]:
    """Which part of each tick lies between two times, in ticks."""
    edges = np.arange(ticks + 1, dtype=np.float64)
    return np.diff(np.clip(edges, begin, max(begin, end)))
