"""How many ticks the optimizer's update takes, so that every tick's work fits its period."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from spinn2emu import spec
from spinn2emu.cost import DRAIN, IN, SENT, TICK, Cost, cost_file, read_cost
from spinn2emu.errors import ConfigError
from spinn2emu.levels import LEVELS
from spinn2fw.kernels.layout import GRADIENTS_AT_ONCE, NEURONS, SILENT_AT_ONCE, WORDS, first_places
from spinn2host.recipe import Recipe

OPTIMIZER = "spinn2fw.eventprop.adam"
MOST_TICKS = 1000
"""Of an update (own choice)."""


def update_ticks(
    cycles_of_drain: float, cycles_of_update: float, cycles_per_tick: float, cycles_of_release: float = 0.0
) -> tuple[int, list[float]]:
    """U, and the part of the weights that is updated in each of the U ticks of an update; a training step takes 2T + U.

    Gradients arrive in tick 2T - 1 and are added there, as far as the tick has cycles for it. What is left of that
    (`cycles_of_drain` - `cycles_per_tick`, if positive) is done first in the update. Adam's work on all weights,
    `cycles_of_update`, is shared out in proportion to the room that its ticks have; the last one also checks and sends
    the weights and releases the next sample, in `cycles_of_release`. U is the least number of ticks that suffices.

    Raises ConfigError for numbers that are none, and if the release alone does not fit a tick.
    """
    cycles = (cycles_of_drain, cycles_of_update, cycles_per_tick, cycles_of_release)
    if not all(0 <= n < math.inf for n in cycles) or cycles_per_tick == 0:
        raise ConfigError(f"cycles are numbers from 0 on, of a tick more than 0, not {cycles}")
    left = max(0.0, cycles_of_drain - cycles_per_tick)
    for ticks in range(1, MOST_TICKS + 1):
        room = [max(0.0, min(cycles_per_tick, (i + 1) * cycles_per_tick - left)) for i in range(ticks)]
        room[-1] = min(cycles_per_tick, ticks * cycles_per_tick - left) - cycles_of_release
        total = sum(room)
        if room[-1] >= 0 and total >= cycles_of_update:
            return ticks, [part / total for part in room] if total else [0.0] * (ticks - 1) + [1.0]
    raise ConfigError(
        f"an update of {left + cycles_of_update:.0f} cycles and a release of {cycles_of_release:.0f} do not fit "
        f"{MOST_TICKS} ticks of {cycles_per_tick:.0f} cycles: use a higher clock or fewer weights",
        needed=left + cycles_of_update + cycles_of_release, limit=cycles_per_tick,
    )  # fmt: skip


class Work(NamedTuple):
    """What the optimizer does in a training step, at most: counts by term of its formulas (`spinn2emu.cost`).

    `drain`: in the tick in which gradients arrive; `update`: what ticks share; `release`: of the last; `each`: of each.
    """

    drain: dict[str, float]
    update: dict[str, float]
    release: dict[str, float]
    each: dict[str, float]


def work(recipe: Recipe) -> Work:
    """The worst case: all neurons were silent too long, and the input PEs are released, too."""
    weights, neurons = sum(a * b for a, b in recipe.shapes), sum(b for _, b in recipe.shapes)
    packets = first_places([a * b for a, b in recipe.shapes])[-1]
    silent = first_places([b for _, b in recipe.shapes], NEURONS)[-1]
    gradients, reports = recipe.batch * packets, recipe.batch * silent * (recipe.patience > 0)
    calls = math.ceil(gradients / GRADIENTS_AT_ONCE) + math.ceil(reports / SILENT_AT_ONCE)
    waking: dict[str, float] = {"neurons": neurons, "raised": weights} if recipe.patience else {}
    return Work(
        {TICK: calls, IN + "gradients": gradients, IN + "silent": reports},
        {"weights": weights, "checked": WORDS * packets},
        {"checked": 3 * WORDS * packets, SENT: packets + 2, "released": 1, "cleared": WORDS * (packets + silent)}
        | waking,
        {TICK: 1, "layers": len(recipe.shapes)},
    )  # fmt: skip


def plan_update(recipe: Recipe, cost: Cost | None, cycles_per_tick: float) -> tuple[int, list[float]]:
    """As `update_ticks`, from the optimizer's formulas (central) and the worst case; without formulas a single tick.

    What cannot be shared out, if it does not fit a tick, overruns it: the chip reports that.
    """
    if cost is None or not {DRAIN, "update"} <= cost.phases.keys():
        return 1, [1.0]
    most, phase = work(recipe), cost.phases["update"]
    drain = cost.phases[DRAIN].cycles(most.drain).central
    update, release, each = (phase.cycles(counts).central for counts in (most.update, most.release, most.each))
    room = max(1.0, cycles_per_tick - each)
    return update_ticks(drain, update, room, min(release, room))


def planned(recipe: Recipe, level: str) -> tuple[int, list[float]]:
    """As `plan_update`, for an optimizer at a level of the clock, from the formulas that it comes with."""
    return plan_update(recipe, _cost(), LEVELS[level] * spec.TICK_NS.value / 1e9)


@functools.cache
def _cost() -> Cost | None:
    file = cost_file(OPTIMIZER)
    return read_cost(file) if file is not None and file.is_file() else None
