"""How many ticks an update takes, and what is done in each: every tick's work fits, and no fewer ticks would do."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from host_helpers import open_network, rates, small, yinyang_samples
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.arm.activations import read_recording
from spinn2emu.cost import DRAIN, SENT, TICK, Cost, Interval, PhaseCost, cost_file, read_cost
from spinn2emu.errors import ConfigError
from spinn2fw.eventprop import adam
from spinn2host.chip import Chip
from spinn2host.mapping import OPTIMIZER
from spinn2host.schedule import OPTIMIZER as OPTIMIZER_PROGRAM
from spinn2host.schedule import plan_update, planned, update_ticks, work


@pytest.mark.parametrize(
    ("drain", "update", "tick", "release", "expected"),
    [
        (237_600, 110_000, 300_000, 0, (1, [1.0])),
        (0, 0, 10, 0, (1, [1.0])),
        (0, 10, 10, 0, (1, [1.0])),
        (0, 11, 10, 0, (2, [0.5, 0.5])),
        (15, 10, 10, 0, (2, [1 / 3, 2 / 3])),  # half of the first tick goes to what is left of the gradients
        (25, 10, 10, 0, (3, [0.0, 1 / 3, 2 / 3])),
        (0, 12, 10, 5, (2, [2 / 3, 1 / 3])),
        (0, 0, 10, 10, (1, [1.0])),
        (20, 0, 10, 0, (1, [1.0])),
        (20, 0, 10, 10, (2, [0.0, 1.0])),
        (21, 0, 10, 10, (3, [0.0, 1.0, 0.0])),
    ],
)
def test_by_hand(drain: float, update: float, tick: float, release: float, expected: tuple[int, list[float]]) -> None:
    ticks, shares = update_ticks(drain, update, tick, release)
    assert (ticks, shares) == (expected[0], pytest.approx(expected[1]))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(10**4, 10**6), st.integers(0, 10**4))
def test_every_tick_fits_and_no_fewer_suffice(drain: int, update: int, tick: int, release: int) -> None:
    ticks, shares = update_ticks(drain, update, tick, release)
    assert len(shares) == ticks and math.isclose(sum(shares), 1) and min(shares) >= 0
    left = max(0, drain - tick)
    for i, share in enumerate(shares):
        own = min(left, tick)
        left -= own
        assert own + share * update + release * (i == ticks - 1) <= tick + 1e-6
    assert left == 0
    assert ticks == max(1, math.ceil((max(0, drain - tick) + update + release) / tick))


@pytest.mark.parametrize(
    "cycles", [(0, 1, 10, 11), (0, 10_001, 10, 0), (-1, 0, 10, 0), (0, 0, 0, 0), (0, math.nan, 1, 0)]
)
def test_what_cannot_be(cycles: tuple[float, float, float, float]) -> None:
    with pytest.raises(ConfigError, match="cycles"):
        update_ticks(*cycles)


@pytest.mark.parametrize("patience", [0, 4])
def test_the_worst_case_is_what_a_chip_does(runtime: Path, tmp_path: Path, patience: int) -> None:
    recipe = small(layers=(5, 150, 3), batch=4, batches=2, patience=patience, boost=0.1)
    samples = yinyang_samples(recipe)
    with Chip.boot(record=(tmp_path, [OPTIMIZER], 1000)) as chip:
        network = open_network(chip, recipe, samples, update_ticks=2)
        network.train(samples, rates(recipe).take(2))
    recording = read_recording(next(tmp_path.iterdir()))
    found: dict[str, Counter[str]] = {"drain": Counter(), "first": Counter(), "last": Counter()}
    first_tick = min(a.tick for a in recording.activations if a.entry == DRAIN)
    for activation in recording.activations:
        if activation.tick in (first_tick, first_tick + 1):
            kind = DRAIN if activation.entry == DRAIN else "first" if activation.tick == first_tick else "last"
            ports = np.bincount(activation.packets["port"], minlength=2)
            found[kind].update({TICK: 1, SENT: len(activation.sent)})
            found[kind].update({f"in.{name}": int(n) for name, n in zip(adam.program.inputs, ports, strict=True)})
            found[kind].update(dict(zip(adam.COUNTS, activation.counts, strict=False)))
    most = work(recipe)
    assert +found["drain"] == +Counter(most.drain)
    ticks = Counter(found["first"]) + Counter(found["last"])
    expected = Counter(most.update) + Counter(most.release) + Counter(most.each) + Counter(most.each)
    assert set(expected) <= {TICK, SENT, *adam.COUNTS}
    assert ticks.pop("raised", 0) <= expected.pop("raised", 0)
    assert 0 <= expected.pop(SENT) - ticks.pop(SENT) <= 1  # input PEs do not hear every release
    ticks["layers"] += 1 if found["first"]["layers"] == 1 else 0
    assert +ticks == +expected


def test_a_plan_is_for_the_clock_of_a_level() -> None:
    recipe, file = small(layers=(5, 300, 10), batch=10), cost_file(OPTIMIZER_PROGRAM)
    assert file is not None
    plans = [plan_update(recipe, read_cost(file), clock) for clock in (150_000, 300_000)]
    assert [planned(recipe, level) for level in ("0.5V", "0.8V")] == plans and plans[0] != plans[1]


def test_a_plan_from_formulas() -> None:
    recipe = small(layers=(5, 120, 3), batch=22)
    terms = {TICK: Interval(0, 1000, 0), "weights": Interval(0, 60, 0), SENT: Interval(0, 40, 0)}
    drain = {"in.gradients": Interval(0, 30, 0)}
    cost = Cost("adam", "", 0, {"update": PhaseCost(terms), DRAIN: PhaseCost(drain)})
    assert plan_update(recipe, cost, 300_000) == (1, [1.0])
    ticks, shares = plan_update(recipe, cost, 40_000)
    # 5,280 gradients of 30 leave 119.4 thousand of the 39 thousand that a tick has beside its own 1,000: three ticks,
    # and 2.4 thousand of the fourth; 57,600 for weights, and 9,680 for sending, need two ticks more.
    assert (ticks, len(shares)) == (5, 5) and shares[:3] == [0, 0, 0]
    assert plan_update(recipe, None, 1.0) == (1, [1.0])
    assert plan_update(recipe, Cost("adam", "", 0, {"update": PhaseCost(terms)}), 1.0) == (1, [1.0])
    assert plan_update(recipe, cost, 9_000)[0] > 5  # the release does not fit, and overruns
