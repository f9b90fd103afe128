"""The 2-D mesh: x-first routes, hops, latency, link loads.

All 42 positions of the 7 x 6 grid forward packets, also the four without PEs. A multicast packet goes from its PE
to the event router in the middle of the die, and from there to each quad. A packet's latency here is its hops and the
router's pipeline at their clocks; `router.arrival` has what it waits for others at its PE.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec

Position = tuple[int, int]
Link = tuple[Position, Position]


def router_port(quad: Position) -> Position:
    """The position, (4,3) or (4,4), at which packets from and to `quad` enter and leave the event router."""
    low = (spec.ROUTER_PORT_X.value, spec.ROUTER_PORT_LOW.value)
    high = (spec.ROUTER_PORT_X.value, spec.ROUTER_PORT_HIGH.value)
    return low if distance(quad, low) <= distance(quad, high) else high


def distance(a: Position, b: Position) -> int:
    """Number of hops between two positions."""
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def route(a: Position, b: Position) -> Iterator[Link]:
    """The links from `a` to `b`, x first."""
    here = a
    while here != b:
        (x, y), (to_x, to_y) = here, b
        step = (x + (1 if to_x > x else -1), y) if x != to_x else (x, y + (1 if to_y > y else -1))
        yield here, step
        here = step


def hops(pe: int) -> int:
    """Hops between the PE's quad and the event router (the same in both directions)."""
    quad = geometry.position(pe)[:2]
    return distance(quad, router_port(quad))


def hops_table() -> NDArray[np.uint8]:
    """`hops` by PE id, shape (153,), and more of 0 for the router itself (0) and the links behind it (153 …)."""
    table = np.zeros(1 + spec.PES.value + spec.LINKS.value, np.uint8)
    table[list(geometry.PE_IDS)] = [hops(pe) for pe in geometry.PE_IDS]
    return table


def latency_ns(source: int, target: int | None) -> int:
    """Nanoseconds from the injection of a multicast packet at PE `source` to its delivery at PE `target`, or, None, to
    the event router's decision.

    (hops to the router + hops from it) * 5 cycles / 300 MHz + 4 cycles / 400 MHz, rounded down.
    """
    return latency_of_hops(hops(source) + (hops(target) if target is not None else 0))


@functools.cache
def latency_of_hops(count: int) -> int:
    """`latency_ns` by the hops to the router and from it."""
    return noc_ns(count) + spec.ROUTER_STAGES.value * 1_000_000_000 // spec.ROUTER_CLOCK_HZ.value


def noc_ns(hops: int) -> int:
    """ns that so many hops take, rounded down."""
    return hops * spec.NOC_CYCLES_PER_HOP.value * 1_000_000_000 // spec.NOC_CLOCK_HZ.value


@functools.cache
def latency_table() -> NDArray[np.uint32]:
    """`latency_ns` for every pair of PE ids, shape (153, 153), read-only; column 0: to the router's decision, row 0:
    from the host, which enters at the router.
    """
    own = [0, *map(hops, geometry.PE_IDS)]
    table = np.array([[latency_of_hops(a + b) for b in own] for a in own], np.uint32)
    table.flags.writeable = False
    return table


def link_loads(injected: Iterable[int], delivered: Iterable[int]) -> dict[Link, int]:
    """Packets that crossed each link of the mesh.

    `injected[pe]` counts the packets that PE `pe` sent (0: the host, which enters at the router), `delivered[quad]` the
    packets that went to quad number `quad` (one flit serves up to four PEs of a quad).
    """
    loads: dict[Link, int] = {}
    for pe, count in enumerate(injected):
        if count and pe:
            quad = geometry.position(pe)[:2]
            _add(loads, route(quad, router_port(quad)), count)
    for index, count in enumerate(delivered):
        if count:
            quad = geometry.QUADS[index]
            _add(loads, route(router_port(quad), quad), count)
    return loads


def _add(loads: dict[Link, int], links: Iterable[Link], count: int) -> None:
    for link in links:
        loads[link] = loads.get(link, 0) + int(count)
