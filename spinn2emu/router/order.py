"""Order and bound of what a PE receives: canonical order of delivery, depth and policy of the FIFO."""

from __future__ import annotations

import numpy as np

from spinn2emu.jit import allocating
from spinn2emu.router.state import DRAINS, POLICIES, Counter, PeCounter

_LOST, _STALLED, _FIFO_LOST = int(Counter.FIFO_DROPPED), int(Counter.FIFO_STALLED), int(PeCounter.FIFO_LOST)
_STALL, _DROP, _PER_TICK = POLICIES.index("stall"), POLICIES.index("drop"), DRAINS.index("tick")


@allocating
def _rank(packet):  # type: ignore[no-untyped-def]
    """Sort key of the canonical order: tick, then source; a source's packets arrive in sequence."""
    return np.int64(packet.tick) << 16 | np.int64(packet.source)


@allocating
def sort(pe, chosen, queues):  # type: ignore[no-untyped-def]
    """Brings the chosen packets into canonical order: (tick, source, sequence).

    Each source's packets come in order, so the list is made of few ascending runs; usually they need no merging.
    """
    packets, runs = queues.packets[pe], 0
    queues.runs[0] = 0
    for i in range(1, chosen):
        if _rank(packets[queues.chosen[i]]) < _rank(packets[queues.chosen[i - 1]]):
            runs += 1
            queues.runs[runs] = i
    if runs == 0:
        return
    ranks = np.empty(chosen, np.int64)
    for i in range(chosen):
        ranks[i] = _rank(packets[queues.chosen[i]])
    order = _order_of_runs(ranks, queues.runs[: runs + 1], queues.order)
    if not order:
        queues.order[:chosen] = np.argsort(ranks, kind="mergesort")
    for i in range(chosen):
        queues.order[i] = queues.chosen[queues.order[i]]
    queues.chosen[:chosen] = queues.order[:chosen]


@allocating
def _order_of_runs(ranks, runs, order):  # type: ignore[no-untyped-def]
    """Fills `order` by putting whole runs one behind the other; returns False if runs overlap."""
    count = runs.shape[0]
    last = np.empty(count, np.int64)
    for r in range(count):
        last[r] = runs[r + 1] if r + 1 < count else ranks.shape[0]
    first_ranks = np.empty(count, np.int64)
    for r in range(count):
        first_ranks[r] = ranks[runs[r]]
    n, before = 0, np.int64(-1)
    for r in np.argsort(first_ranks, kind="mergesort"):
        if first_ranks[r] <= before:
            return False
        before = ranks[last[r] - 1]
        for i in range(runs[r], last[r]):
            order[n] = i
            n += 1
    return True


@allocating
def _later(a, b):  # type: ignore[no-untyped-def]
    """Whether packet a reached a FIFO after packet b: order (time, source, sequence)."""
    if a.time != b.time:
        return a.time > b.time
    return a.source > b.source


@allocating
def bound_fifo(pe, chosen, ports, queues, registers):  # type: ignore[no-untyped-def]
    """Applies depth and policy of the FIFO to the packets of each tick; returns how many remain chosen."""
    if ports.fifo_drain[pe] != _PER_TICK:
        return chosen
    packets, kept, low = queues.packets[pe], 0, 0
    while low < chosen:
        high = low
        while high < chosen and packets[queues.chosen[high]].tick == packets[queues.chosen[low]].tick:
            high += 1
        excess = high - low - ports.fifo_depth[pe]
        if excess > 0 and ports.fifo_policy[pe] == _STALL:
            registers.counters[_STALLED] += excess
        for i in range(low, high):
            lost = False
            if excess > 0 and ports.fifo_policy[pe] != _STALL:
                earlier = 0
                for j in range(low, high):
                    a, b = packets[queues.chosen[i]], packets[queues.chosen[j]]
                    earlier += _later(a, b) or (j < i and not _later(b, a))
                lost = earlier >= ports.fifo_depth[pe] if ports.fifo_policy[pe] == _DROP else earlier < excess
            if lost:
                registers.counters[_LOST] += 1
                registers.pe_counts[pe, _FIFO_LOST] += 1
            else:
                queues.order[kept] = queues.chosen[i]
                kept += 1
        low = high
    queues.chosen[:kept] = queues.order[:kept]
    return kept
