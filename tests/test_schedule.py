"""How many ticks an update takes, and what is done in each: every tick's work fits, and no fewer ticks would do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.errors import ConfigError
from spinn2host.schedule import update_ticks


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
