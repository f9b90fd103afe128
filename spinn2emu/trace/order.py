"""The order of events in a file, by (time, source, target, event): a radix sort that allocates nothing; compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.jit import compiled

_TICK_NS, _DIGIT = spec.TICK_NS.value, 11
_BUCKETS = 1 << _DIGIT


class Keys:
    """Buffers for sorting up to `count` events."""

    def __init__(self, count: int) -> None:
        self._keys, self._ranks = np.empty((2, count), np.uint64), np.empty((2, count), np.int32)

    def order(self, events: NDArray[np.void]) -> NDArray[np.int32]:
        """The numbers of the events in order, (n,): valid until the next call. No two events of a chip are equal."""
        row = _sort(events, self._keys, self._ranks)
        return self._ranks[row, : len(events)]


@compiled
def _sort(events, keys, ranks):  # type: ignore[no-untyped-def]
    """Least significant digit first. Returns the row of `ranks` that holds the order."""
    n, begin, used = events.shape[0], events[0].tick, np.uint64(0)
    for i in range(n):
        begin = min(begin, events[i].tick)
    for i in range(n):
        e = events[i]
        # 20 bits for the time within the tick, in ns: 1 ms; 8 for ids up to 158; 4 for the event; the rest for ticks
        within = e.time - np.uint64(e.tick) * np.uint64(_TICK_NS)
        key = (np.uint64(e.tick - begin) << np.uint64(20) | within) << np.uint64(20)
        key |= np.uint64(e.source) << np.uint64(12) | np.uint64(e.target) << np.uint64(4) | np.uint64(e.event)
        keys[0, i] = key
        ranks[0, i] = i
        used |= key ^ keys[0, 0]
    row = 0
    count = np.empty(_BUCKETS, np.int64)
    for digit in range(6):
        shift = np.uint64(_DIGIT * digit)
        if not used >> shift & np.uint64(_BUCKETS - 1):
            continue
        count[:] = 0
        for i in range(n):
            count[keys[row, i] >> shift & np.uint64(_BUCKETS - 1)] += 1
        place = 0
        for bucket in range(_BUCKETS):
            size = count[bucket]
            count[bucket] = place
            place += size
        for i in range(n):
            bucket = keys[row, i] >> shift & np.uint64(_BUCKETS - 1)
            keys[1 - row, count[bucket]] = keys[row, i]
            ranks[1 - row, count[bucket]] = ranks[row, i]
            count[bucket] += 1
        row = 1 - row
    return row
