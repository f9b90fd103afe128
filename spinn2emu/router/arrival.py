"""When packets arrive that contend for the last link to a PE: one per cycle of the mesh, in the order of their times.

    arrival = max(time at which it would arrive alone, arrival of the one before + 1 cycle)        in each tick

in order of (time, source, sequence). Only traces tell; the order of delivery and of FIFOs is the same with and without.
"""

from __future__ import annotations

import math

import numpy as np

from spinn2emu import spec
from spinn2emu.jit import inlined
from spinn2emu.trace.capture import is_on, record

_COMMON = math.gcd(spec.NOC_CLOCK_HZ.value, 1_000_000_000)
NS_STEPS, CYCLE_STEPS = spec.NOC_CLOCK_HZ.value // _COMMON, 1_000_000_000 // _COMMON
"""A ns and a cycle of the mesh in steps that divide both: thirds of a ns, 10 of which are a cycle at 300 MHz."""
_NS, _CYCLE = NS_STEPS, CYCLE_STEPS


@inlined
def sort_ranks(work, count):  # type: ignore[no-untyped-def]
    """Fills `by_rank` with 0 … count - 1 by ascending rank, equal ones in their order: a merge sort that allocates
    nothing.
    """
    ranks, by_rank, spare = work.ranks, work.by_rank, work.spare
    for r in range(count):
        by_rank[r] = r
    width = 1
    while width < count:
        for low in range(0, count, 2 * width):
            i, j, high = low, min(low + width, count), min(low + 2 * width, count)
            middle = j
            for k in range(low, high):
                if i < middle and (j == high or ranks[by_rank[i]] <= ranks[by_rank[j]]):
                    spare[k] = by_rank[i]
                    i += 1
                else:
                    spare[k] = by_rank[j]
                    j += 1
        for k in range(count):
            by_rank[k] = spare[k]
        width *= 2


@inlined
def arrive(router, pe, chosen):  # type: ignore[no-untyped-def]
    """Notes in `work.arrival`, by their places in the queue of `pe`, when the chosen packets arrive, in ns since their
    tick began. They are complete: all that reaches the PE in the tick, but for what no live port listens to."""
    work, packets, low = router.work, router.queues.packets[pe], 0
    while low < chosen:
        high = low
        while high < chosen and packets[work.chosen[high]].tick == packets[work.chosen[low]].tick:
            work.ranks[high - low] = np.int64(packets[work.chosen[high]].time)
            high += 1
        sort_ranks(work, high - low)
        free = np.int64(0)
        for i in range(high - low):
            free = max(work.ranks[work.by_rank[i]] * _NS, free)
            work.arrival[work.chosen[low + work.by_rank[i]]] = free // _NS
            free += _CYCLE
        low = high


@inlined
def record_arrival(router, pe, place, event):  # type: ignore[no-untyped-def]
    """Notes what happened to the packet at that place in the queue of `pe` when it arrived."""
    if is_on(router.capture):
        packet, words, arrival = (
            router.queues.packets[pe, place],
            router.queues.words[pe, place],
            router.work.arrival[place],
        )
        record(router.capture, packet, words, event, pe, arrival, arrival - np.int64(packet.time))
