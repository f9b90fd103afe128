"""Order and bound of what a PE receives: canonical order of delivery, depth and policy of the FIFO."""

from __future__ import annotations

import numpy as np

from spinn2emu.jit import inlined
from spinn2emu.router.state import DRAINS, MAX_IDS, POLICIES, Counter, PeCounter
from spinn2emu.trace.capture import record
from spinn2emu.trace.schema import Event

_LOST, _STALLED, _FIFO_LOST = int(Counter.FIFO_DROPPED), int(Counter.FIFO_STALLED), int(PeCounter.FIFO_LOST)
_FIFO_FULL, _IDS, _SOURCE_BITS = int(Event.FIFO_FULL), MAX_IDS, 16
_SOURCES = (1 << _SOURCE_BITS) - 1
_STALL, _DROP, _PER_TICK = POLICIES.index("stall"), POLICIES.index("drop"), DRAINS.index("tick")


@inlined
def _rank(packet):  # type: ignore[no-untyped-def]
    """Sort key of the canonical order: tick, then source; a source's packets arrive in sequence."""
    return np.int64(packet.tick) << _SOURCE_BITS | np.int64(packet.source)


@inlined
def sort(router, pe, chosen):  # type: ignore[no-untyped-def]
    """Brings the chosen packets into canonical order: (tick, source, sequence).

    What a source sends in a tick arrives as one run, or few, in sequence: only the runs are sorted.
    """
    work, packets = router.work, router.queues.packets[pe]
    runs, sorted_already, one_tick = 0, True, True
    for i in range(chosen):
        rank = _rank(packets[work.chosen[i]])
        if runs == 0 or rank != work.ranks[runs - 1]:
            sorted_already &= runs == 0 or rank > work.ranks[runs - 1]
            one_tick &= runs == 0 or rank >> _SOURCE_BITS == work.ranks[0] >> _SOURCE_BITS
            work.ranks[runs] = rank
            work.runs[runs] = i
            runs += 1
    if sorted_already:
        return
    work.runs[runs] = chosen
    if one_tick:
        _sort_sources(work, runs)
    else:
        _sort_runs(work, runs)
    n = 0
    for r in range(runs):
        for i in range(work.runs[work.by_rank[r]], work.runs[work.by_rank[r] + 1]):
            work.order[n] = work.chosen[i]
            n += 1
    for i in range(chosen):
        work.chosen[i] = work.order[i]


@inlined
def _sort_sources(work, count):  # type: ignore[no-untyped-def]
    """As `_sort_runs`, where all ticks are the same: counts the runs of every source."""
    ranks, place = work.ranks, work.source_place
    place[:] = 0
    for r in range(count):
        place[(ranks[r] & _SOURCES) + 1] += 1
    for source in range(_IDS):
        place[source + 1] += place[source]
    for r in range(count):
        source = ranks[r] & _SOURCES
        work.by_rank[place[source]] = r
        place[source] += 1


@inlined
def _sort_runs(work, count):  # type: ignore[no-untyped-def]
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
def _later(a, b):  # type: ignore[no-untyped-def]
    """Whether packet a reached a FIFO after packet b: order (time, source, sequence)."""
    if a.time != b.time:
        return a.time > b.time
    return a.source > b.source


@inlined
def bound_fifo(router, pe, chosen):  # type: ignore[no-untyped-def]
    """Applies depth and policy of the FIFO to the packets of each tick; returns how many remain chosen."""
    ports, queues, work, registers = router.ports, router.queues, router.work, router.registers
    if ports.fifo_drain[pe] != _PER_TICK:
        return chosen
    packets, kept, low = queues.packets[pe], 0, 0
    while low < chosen:
        high = low
        while high < chosen and packets[work.chosen[high]].tick == packets[work.chosen[low]].tick:
            high += 1
        excess = high - low - ports.fifo_depth[pe]
        if excess > 0 and ports.fifo_policy[pe] == _STALL:
            registers.counters[_STALLED] += excess
        for i in range(low, high):
            lost = False
            if excess > 0 and ports.fifo_policy[pe] != _STALL:
                earlier = 0
                for j in range(low, high):
                    a, b = packets[work.chosen[i]], packets[work.chosen[j]]
                    earlier += _later(a, b) or (j < i and not _later(b, a))
                lost = earlier >= ports.fifo_depth[pe] if ports.fifo_policy[pe] == _DROP else earlier < excess
            if lost:
                registers.counters[_LOST] += 1
                registers.pe_counts[pe, _FIFO_LOST] += 1
                packet, words = packets[work.chosen[i]], queues.words[pe, work.chosen[i]]
                record(router.capture, packet, words, _FIFO_FULL, pe, np.int64(packet.time))
            else:
                work.order[kept] = work.chosen[i]
                kept += 1
        low = high
    for i in range(kept):
        work.chosen[i] = work.order[i]
    return kept
