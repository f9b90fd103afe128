"""The Yin-Yang generator and its spike code, against stored samples and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from host_helpers import VECTORS, dense
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinn2host import yinyang
from spinn2host.events import Samples


@pytest.mark.parametrize("seed", [yinyang.TRAIN_SEED, yinyang.VALIDATION_SEED, yinyang.TEST_SEED])
def test_generator_repeats_the_published_samples(seed: int) -> None:
    with np.load(VECTORS / "yinyang_samples.npz") as stored:
        values, labels = stored[f"values_{seed}"], stored[f"labels_{seed}"]
    assert len(values) >= 100
    got_values, got_labels = yinyang.generate(len(values), seed)
    np.testing.assert_array_equal(got_values, values)
    np.testing.assert_array_equal(got_labels, labels)


def test_classes_lie_where_the_paper_draws_them() -> None:
    values, labels = yinyang.generate(600, 7)
    x, y = values[:, 0] - 0.5, values[:, 1] - 0.5
    assert (np.hypot(x, y) <= 0.5).all()
    np.testing.assert_allclose(values[:, 2:], 1 - values[:, :2], atol=1e-15)
    dots = np.minimum(np.hypot(x - 0.25, y), np.hypot(x + 0.25, y)) < 0.1
    np.testing.assert_array_equal(labels == 2, dots)
    upper, right, left = y > 0, np.hypot(x - 0.25, y) > 0.25, np.hypot(x + 0.25, y) <= 0.25
    np.testing.assert_array_equal(labels == 1, ~dots & ((upper & right) | left))
    assert np.bincount(labels).min() > 150  # balanced: 200 each are expected


@given(
    arrays(np.float64, st.tuples(st.integers(1, 20), st.just(4)), elements=st.floats(0, 1)),
    st.integers(2, 500).flatmap(lambda T: st.tuples(st.just(T), st.integers(0, T - 1))),
)
def test_code_is_ordered_and_within_bounds(values: np.ndarray, times: tuple[int, int]) -> None:
    T, t_min = times
    ticks = yinyang.encode(values, T, t_min)
    assert ticks.shape == (len(values), yinyang.INPUTS)
    assert (ticks[:, 4] == 0).all()
    assert ticks[:, :4].min() >= t_min and ticks[:, :4].max() <= T - 1
    order = np.argsort(values.ravel())
    assert (np.diff(ticks[:, :4].ravel()[order]) <= 0).all()  # a larger value is never later


def test_code_rounds_half_to_even() -> None:
    # 0.5, 1.5, 2.5, 3.5 ticks after t_min
    values = np.array([[0.875, 0.625, 0.375, 0.125]])
    assert yinyang.encode(values, 5, 0).tolist() == [[0, 2, 2, 4, 0]]
    assert yinyang.encode(values, 6, 1).tolist() == [[2, 2, 4, 4, 0]]


def test_code_cuts_small_values_off() -> None:
    # (T - 1) (1 - 0.01) = 99 ticks: a value of 0 is no later than one of 0.01
    assert yinyang.encode(np.array([[0.0, 0.005, 0.01, 0.02]]), 101, 0).tolist() == [[99, 99, 99, 98, 0]]


@pytest.mark.parametrize("name", ["trajectory_0", "trajectory_1", "trajectory_2"])
def test_code_repeats_the_stored_spikes(name: str) -> None:
    with np.load(VECTORS / f"{name}.npz") as stored:
        x, y, values, T = stored["x"], stored["y"], stored["values"], int(stored["T"])
    samples = Samples.from_times(yinyang.encode(values, T, 2), y)
    np.testing.assert_array_equal(dense(samples, T, yinyang.INPUTS), x)
    np.testing.assert_array_equal(samples.label, y)


def test_load_is_generator_and_code() -> None:
    samples = yinyang.load(10, 42, 27, 2)
    values, labels = yinyang.generate(10, 42)
    np.testing.assert_array_equal(samples.label, labels)
    ticks = yinyang.encode(values, 27, 2)
    for n in range(10):
        assert sorted(zip(ticks[n], range(5), strict=True)) == list(
            zip(samples.tick[5 * n : 5 * n + 5], samples.neuron[5 * n : 5 * n + 5], strict=True)
        )
