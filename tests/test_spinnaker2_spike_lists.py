"""Spike lists: what forms ticks may have, their order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.models import LAST_TICK, spike_events
from spinn2host.spinnaker2.snn import Population


def events(params: dict[Any, Any], size: int = 5) -> list[tuple[int, int]]:
    """(tick, neuron) of each spike."""
    population = Population(size, "spike_list", params, "list")
    ticks, neurons = spike_events(population, population.params, size)
    assert ticks.dtype == neurons.dtype == np.int64
    return list(zip(ticks.tolist(), neurons.tolist(), strict=True))


@pytest.mark.parametrize(
    "ticks", [[7, 3], (3, 7), range(3, 8, 4), np.array([7, 3]), np.array([3.0, 7.0]), {3, 7}, [np.int32(3), 7.0]]
)
def test_ticks_may_have_many_forms(ticks: Any) -> None:
    assert events({2: ticks}) == [(3, 2), (7, 2)]


def test_spikes_go_by_tick_then_by_neuron() -> None:
    assert events({4: [1, 0], np.int64(0): [1], 2: [], 3: [0]}) == [(0, 3), (0, 4), (1, 0), (1, 4)]
    assert events({1: [LAST_TICK], 0: [LAST_TICK - 1]}) == [(LAST_TICK - 1, 0), (LAST_TICK, 1)]
    assert events({}) == events({3: []}) == []


def test_a_spike_that_is_given_twice_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert events({1: [2, 2, 2], 3: [2]}) == [(2, 1), (2, 3)]
    assert "population list: 2 spikes are in the list twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ticks",
    [[1, 2.5], [-1], [LAST_TICK + 1], [float("nan")], [float("inf")], [[1], [2]], np.ones((2, 1)), [None], ["x"], 3],
)
def test_what_is_no_list_of_ticks_is_refused_with_its_neuron(ticks: Any) -> None:
    with pytest.raises(ConfigError, match="the spikes of neuron 3 are a list of ticks, whole numbers 0 to") as error:
        events({1: [1], 3: ticks, 4: [2]})
    assert error.value.fields == {"population": "list", "neuron": 3}


@pytest.mark.parametrize("neuron", [-1, 5, 1.0, "1"])
def test_neurons_that_are_not_there_are_refused(neuron: Any) -> None:
    with pytest.raises(ConfigError, match=f"there is no neuron {neuron!r}, only 0 to 4"):
        events({0: [1], neuron: [1]})
