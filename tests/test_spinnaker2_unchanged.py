"""Connections that stay the same are converted once; every change is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spinn2host.spinnaker2.snn import Population, Projection
from spinn2host.spinnaker2.unchanged import Converted

Change = Callable[[Any], Any]


def weights(projection: Projection) -> list[tuple[int, int, int]]:
    """(pre, post, |weight|) of each synapse."""
    synapses = projection.synapses()
    return list(zip(synapses.pre.tolist(), synapses.post.tolist(), (synapses.words >> 12).tolist(), strict=True))


def rows() -> list[list[Any]]:
    return [[0, 1, 5, 0], [1, np.int64(2), 6.0, 0], [2, 0, 7, 1]]


def test_the_same_list_is_converted_once() -> None:
    converted, connections = Converted(), rows()
    assert converted.of(connections) is connections
    array = converted.of(connections)
    assert isinstance(array, np.ndarray) and array.tolist() == connections
    assert converted.of(connections) is array
    assert converted.of(rows()) is array  # equal to it


def edit(connections: Any) -> None:
    connections[1][2] = 9


def more(connections: Any) -> None:
    connections.append([2, 2, 1, 0])


def fewer(connections: Any) -> None:
    connections.pop()


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("change", [edit, more, fewer])
def test_a_change_in_place_is_noticed(change: Change, before: int) -> None:
    pre, post = Population(3, "spike_list", {}), Population(3, "lif", {"alpha_decay": 0})
    projection = Projection(pre, post, rows())
    for _ in range(before):
        assert weights(projection) == [(0, 1, 5), (1, 2, 6), (2, 0, 7)]
    change(projection.connections)
    for _ in range(4):
        assert weights(projection) == [(row[0], row[1], row[2]) for row in projection.connections]


@pytest.mark.parametrize("before", range(4))
def test_other_connections_are_noticed(before: int) -> None:
    pre, post = Population(3, "spike_list", {}), Population(3, "lif", {"alpha_decay": 0})
    projection = Projection(pre, post, rows())
    for _ in range(before):
        projection.synapses()
    for other in ([[1, 1, 1, 0]], np.array([[1, 1, 1, 0]]), ((1, 1, 1, 0),), [np.array([1, 1, 1, 0])], [(1, 1, 1, 0)]):
        projection.connections = other
        for _ in range(3):
            assert weights(projection) == [(1, 1, 1)]


def test_what_is_no_array_is_left_to_who_reads_it() -> None:
    converted = Converted()
    for _ in range(4):
        assert converted.of([[1, 2], [3]]) == [[1, 2], [3]]
        assert converted.of("x") == "x"
