"""Samples as compressed rows: nothing is lost, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from host_helpers import dense
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinn2emu.errors import ConfigError
from spinn2host.events import NO_LABEL, Samples

SHAPES = st.tuples(st.integers(1, 12), st.integers(0, 6), st.integers(1, 8))
SPIKES = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))


def make(spikes: np.ndarray) -> Samples:
    return Samples.from_spikes(spikes, np.arange(spikes.shape[1]) % 3)


@given(SPIKES)
def test_dense_spikes_survive(spikes: np.ndarray) -> None:
    T, count, n_in = spikes.shape
    samples = make(spikes)
    assert len(samples) == count
    assert samples.start[0] == 0 and samples.start[-1] == spikes.sum() == len(samples.tick) == len(samples.neuron)
    np.testing.assert_array_equal(dense(samples, T, n_in), spikes)
    np.testing.assert_array_equal(samples.label, np.arange(count) % 3)
    for s in range(count):
        events = list(
            zip(*(a[samples.start[s] : samples.start[s + 1]] for a in (samples.tick, samples.neuron)), strict=True)
        )
        assert events == sorted(events)
    samples.check(T, n_in, 3)


@given(SPIKES, st.data())
def test_take_selects_repeats_and_leaves_gaps(spikes: np.ndarray, data: st.DataObject) -> None:
    T, count, n_in = spikes.shape
    index = np.array(data.draw(st.lists(st.integers(-1, count - 1), max_size=10)), np.int64)
    if count == 0:
        index = index[:0]  # there is nothing to take
    taken = make(spikes).take(index)
    exists = index >= 0
    expected = np.where(exists[None, :, None], spikes[:, index], 0) if len(index) else np.zeros((T, 0, n_in))
    np.testing.assert_array_equal(dense(taken, T, n_in), expected)
    np.testing.assert_array_equal(taken.label, np.where(exists, index % 3, NO_LABEL))
    assert taken.start[-1] == len(taken.tick)
    taken.check(T, n_in, 3)  # no label is no label out of range


@given(
    st.tuples(st.integers(0, 6), st.integers(1, 8)).flatmap(lambda s: arrays(np.int64, s, elements=st.integers(0, 9)))
)
def test_times_are_dense_spikes_in_short(times: np.ndarray) -> None:
    count, n_in = times.shape
    spikes = (times.reshape(1, count, n_in) == np.arange(10).reshape(10, 1, 1)).astype(np.uint8)
    one, other = Samples.from_times(times, np.arange(count) % 3), make(spikes)
    for name in ("start", "tick", "neuron", "label"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


SAMPLES = Samples.from_times(np.array([[3, 0], [1, 4]]), np.array([0, 2]))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((4, 2, 3), r"tick 4 is outside 0\.\.3"),
        ((5, 1, 3), r"neuron 1 is outside 0\.\.0"),
        ((5, 2, 2), r"label 2 is outside 0\.\.1"),
    ],
)
def test_check_names_what_is_outside(limits: tuple[int, int, int], message: str) -> None:
    SAMPLES.check(5, 2, 3)
    with pytest.raises(ConfigError, match=message):
        SAMPLES.check(*limits)


@pytest.mark.parametrize(
    ("spikes", "label", "message"),
    [
        (np.full((3, 1, 2), 2, np.uint8), np.zeros(1, int), "0 or 1"),
        (np.full((3, 1, 2), 0.5), np.zeros(1, int), "0 or 1"),
        (np.full((3, 1, 2), np.nan), np.zeros(1, int), "0 or 1"),
        (np.zeros((3, 2), np.uint8), np.zeros(2, int), r"\(T, samples, inputs\)"),
        (np.zeros((3, 2, 2), np.uint8), np.zeros(3, int), r"\(samples,\)"),
    ],
)
def test_what_is_no_spike_is_refused(spikes: Any, label: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Samples.from_spikes(spikes, label)
