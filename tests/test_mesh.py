"""Routes, hops, latencies and link loads of the mesh."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu import geometry, mesh
from spinn2emu.geometry import pe_id

positions = st.tuples(st.integers(1, 7), st.integers(1, 6))
counts = st.integers(0, 1000)


def test_a_route_goes_along_x_first() -> None:
    steps = [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (4, 3)]
    assert list(mesh.route((1, 1), (4, 3))) == list(pairwise(steps))


def test_a_route_back_is_not_the_same_links() -> None:
    steps = [(4, 4), (5, 4), (6, 4), (7, 4), (7, 5)]
    assert list(mesh.route((4, 4), (7, 5))) == list(pairwise(steps))


def test_a_route_to_itself_is_empty() -> None:
    assert list(mesh.route((2, 2), (2, 2))) == []


@given(positions, positions)
def test_routes_are_shortest_connected_and_x_first(a: mesh.Position, b: mesh.Position) -> None:
    links = list(mesh.route(a, b))
    assert len(links) == mesh.distance(a, b) == abs(a[0] - b[0]) + abs(a[1] - b[1])
    at = a
    for start, end in links:
        assert start == at and mesh.distance(start, end) == 1
        at = end
    assert at == b
    vertical = [start[0] == end[0] for start, end in links]
    assert vertical == sorted(vertical)


@pytest.mark.parametrize(
    ("quad", "port", "hops"),
    [((1, 1), (4, 3), 5), ((7, 6), (4, 4), 5), ((7, 5), (4, 4), 4), ((4, 5), (4, 4), 1), ((3, 3), (4, 3), 1),
     ((5, 4), (4, 4), 1), ((1, 4), (4, 4), 3), ((7, 1), (4, 3), 5)],
)  # fmt: skip
def test_the_router_is_entered_at_the_nearer_port(quad: mesh.Position, port: mesh.Position, hops: int) -> None:
    assert mesh.router_port(quad) == port
    assert [mesh.hops(pe_id(f"{quad[0]}.{quad[1]}.{p}")) for p in range(4)] == [hops] * 4


@pytest.mark.parametrize(
    ("source", "target", "latency"),
    [
        # (hops in + hops out) * 5 cycles at 300 MHz, rounded down, + 4 cycles at 400 MHz
        ("5.4.0", "5.4.0", 33 + 10),  # (1 + 1) * 5 = 10 cycles: 33.3 ns
        ("7.5.0", "1.1.3", 150 + 10),  # (4 + 5) * 5 = 45 cycles
        ("1.1.3", "7.5.0", 150 + 10),
        ("7.6.0", "7.6.1", 166 + 10),  # (5 + 5) * 5 = 50 cycles: 166.7 ns
        ("3.3.2", "1.4.1", 66 + 10),  # (1 + 3) * 5 = 20 cycles: 66.7 ns
    ],
)
def test_latency_is_hops_and_router_pipeline(source: str, target: str, latency: int) -> None:
    assert mesh.latency_ns(pe_id(source), pe_id(target)) == latency


def test_latency_table_holds_every_pair() -> None:
    table = mesh.latency_table()
    assert table.shape == (153, 153) and table.dtype == np.uint32
    assert table[0, 0] == 10 and table[0, pe_id("1.1.3")] == table[pe_id("1.1.3"), 0]
    assert table[pe_id("1.1.3"), 0] == mesh.latency_ns(pe_id("1.1.3"), None) == 93
    assert table[pe_id("7.5.0"), pe_id("1.1.3")] == 160
    assert (table[1:, 1:] == table[1:, 1:].T).all()
    assert (table[1:, 1:].min(), table[1:, 1:].max()) == (43, 176)


@given(
    st.dictionaries(st.integers(1, 152), counts, max_size=8), st.dictionaries(st.integers(0, 37), counts, max_size=8)
)
def test_link_loads_add_up_to_the_hops_of_all_packets(injected: dict[int, int], delivered: dict[int, int]) -> None:
    sent, received = np.zeros(153, np.int64), np.zeros(38, np.int64)
    sent[list(injected)] = list(injected.values())
    received[list(delivered)] = list(delivered.values())
    loads = mesh.link_loads(sent, received)
    inwards = sum(count * mesh.hops(pe) for pe, count in injected.items())
    outwards = sum(count * mesh.hops(4 * quad + 1) for quad, count in delivered.items())
    assert sum(loads.values()) == inwards + outwards
    assert all(load > 0 and mesh.distance(*link) == 1 for link, load in loads.items())


def test_link_loads_lie_on_the_route() -> None:
    sent, received = [0] * 153, [0] * 38
    sent[pe_id("2.3.0")] = 7
    received[geometry.QUADS.index((4, 2))] = 3
    assert mesh.link_loads(sent, received) == {((2, 3), (3, 3)): 7, ((3, 3), (4, 3)): 7, ((4, 3), (4, 2)): 3}
