"""Order and bound of what a PE receives: canonical order of delivery, depth and policy of FIFOs."""

from __future__ import annotations

import numpy as np

from spinn2emu.jit import inlined
from spinn2emu.program import POLICIES
from spinn2emu.router.arrival import record_arrival, sort_ranks
from spinn2emu.router.state import MAX_IDS, Counter, PeCounter
from spinn2emu.trace.schema import Event

_LOST, _STALLED, _FIFO_LOST = int(Counter.FIFO_DROPPED), int(Counter.FIFO_STALLED), int(PeCounter.FIFO_LOST)
_FIFO_FULL, _IDS, _SOURCE_BITS = int(Event.FIFO_FULL), MAX_IDS, 16
_SOURCES = (1 << _SOURCE_BITS) - 1
_STALL, _DROP = POLICIES.index("stall"), POLICIES.index("drop")


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
        sort_ranks(work, runs)
    n = 0
    for r in range(runs):
        for i in range(work.runs[work.by_rank[r]], work.runs[work.by_rank[r] + 1]):
            work.order[n] = work.chosen[i]
            n += 1
    for i in range(chosen):
        work.chosen[i] = work.order[i]


@inlined
def _sort_sources(work, count):  # type: ignore[no-untyped-def]
    """As `sort_ranks`, where all ticks are the same: counts the runs of every source."""
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
def _later(a, b):  # type: ignore[no-untyped-def]
    """Whether packet a reached a FIFO after packet b: order (time, source, sequence)."""
    if a.time != b.time:
        return a.time > b.time
    return a.source > b.source


@inlined
def _find_excess(router, pe, low, high):  # type: ignore[no-untyped-def]
    """Counts, for the chosen packets number low to high - 1, those of one tick, what each FIFO has no room for. Counts
    those that stall; returns whether any is lost."""
    ports, work, packets, loses = router.ports, router.work, router.queues.packets[pe], False
    for fifo in range(ports.fifos[pe]):
        excess = high - low - ports.fifo_depth[pe, fifo]
        if excess > 0:
            for i in range(low, high):
                excess -= ports.fifo_of[pe, packets[work.chosen[i]].port] != fifo
        if excess > 0 and ports.fifo_policy[pe, fifo] == _STALL:
            router.registers.counters[_STALLED] += excess
            excess = 0
        work.excess[fifo] = max(0, excess)
        loses |= excess > 0
    return loses


@inlined
def _is_lost(router, pe, low, high, i):  # type: ignore[no-untyped-def]
    """Whether chosen packet i finds its FIFO full, or is overwritten in it; low, high: as of `_find_excess`."""
    ports, work, packets = router.ports, router.work, router.queues.packets[pe]
    a = packets[work.chosen[i]]
    fifo, earlier = ports.fifo_of[pe, a.port], 0
    if work.excess[fifo] == 0:
        return False
    for j in range(low, high):
        b = packets[work.chosen[j]]
        if ports.fifo_of[pe, b.port] == fifo:
            earlier += _later(a, b) or (j < i and not _later(b, a))
    if ports.fifo_policy[pe, fifo] == _DROP:
        return earlier >= ports.fifo_depth[pe, fifo]
    return earlier < work.excess[fifo]


@inlined
def bound_fifos(router, pe, chosen):  # type: ignore[no-untyped-def]
    """Applies depth and policy of its FIFO to the packets of each tick; returns how many remain chosen."""
    work, registers = router.work, router.registers
    packets, kept, low = router.queues.packets[pe], 0, 0
    while low < chosen:
        high = low
        while high < chosen and packets[work.chosen[high]].tick == packets[work.chosen[low]].tick:
            high += 1
        loses = _find_excess(router, pe, low, high)
        for i in range(low, high):
            if loses and _is_lost(router, pe, low, high, i):
                registers.counters[_LOST] += 1
                registers.pe_counts[pe, _FIFO_LOST] += 1
                record_arrival(router, pe, work.chosen[i], _FIFO_FULL)
            else:
                work.order[kept] = work.chosen[i]
                kept += 1
        low = high
    for i in range(kept):
        work.chosen[i] = work.order[i]
    return kept
