"""Notes: what a router writes down of an event, as short as a packet, and what the recorder makes of them; compiled.

A note is the packet's record with the event in place of half of its time. What can be computed from that (time of
sending, hops, latency) is computed when the file is written, which is not the router's business.
"""

from __future__ import annotations

import numpy as np

from spinn2emu import mesh, spec
from spinn2emu.jit import compiled, prefetch
from spinn2emu.packets import PORT_BITS
from spinn2emu.trace.pcapng import put_block
from spinn2emu.trace.schema import Event

NOTE = np.dtype(
    [
        ("control", "u1"), ("port", "u1"), ("source", "u1"), ("origin", "u1"), ("key", "<u4"), ("payload", "<u4", (4,)),
        ("tick", "<u4"),
        ("time", "<u2"),  # of the event, ns within the tick: a PE sends for 27 us of it at most
        ("target", "u1"),  # interface
        ("what", "u1"),  # bits 7:4 Type, bits 3:0 Event
    ]
)  # fmt: skip
"""32 bytes; the fields up to `tick` as in packets.PACKET."""

NOTE_WORDS = NOTE.itemsize // 8

HOPS = mesh.hops_table()
LATENCY = np.array([mesh.latency_of_hops(hops) for hops in range(2 * int(HOPS.max()) + 1)])
"""ns from the sending of a packet to its arrival, or to the router's decision, by the hops that it has made."""

_TICK_NS, _DIGIT, _SENT = spec.TICK_NS.value, 11, int(Event.SENT)
_BUCKETS, _PORTS, _PORT_BITS, _NOTE_BYTES = 1 << _DIGIT, (1 << PORT_BITS) - 1, PORT_BITS, NOTE.itemsize
_AHEAD = 16


@compiled
def encode_notes(notes, order, out, counts):  # type: ignore[no-untyped-def]
    """As `pcapng.encode`, for notes."""
    n, time, last = np.int64(0), np.int64(0), order.shape[0] - 1
    for i in range(order.shape[0]):
        # Notes lie in the order of their coming: this one is to be on its way from memory when it is needed.
        prefetch(notes.ctypes.data + _NOTE_BYTES * np.int64(order[min(i + _AHEAD, last)]))
        e = notes[order[i]]
        event, latency, hops = e.what & 15, np.int64(0), np.int64(0)
        if event != _SENT:
            hops = np.int64(HOPS[e.source]) + HOPS[e.target]
            latency = LATENCY[hops]
        time = np.int64(e.tick) * _TICK_NS + e.time
        n = put_block(
            out, n, counts, np.uint64(time), e.tick, e.time - latency, latency, e.key, e.payload, e.source, e.target,
            event, e.what >> 4, e.port, e.origin >> _PORT_BITS, e.origin & _PORTS, hops, e.control,
        )  # fmt: skip
    return n, time


@compiled
def take_complete(notes, place, count, mask, complete, batch, keys, n, kept, k):  # type: ignore[no-untyped-def]
    """Takes `count` notes from `place` of a ring on: those of complete ticks are copied to `batch`, where n are, and
    get a sort key; the others to `kept`, where k are. Returns n, k.

    A key is (tick, time, source, target, event), tick modulo 2^28; no two events of a chip have the same.
    """
    for i in range(place, place + count):
        prefetch(notes.ctypes.data + _NOTE_BYTES * ((i + 2 * _AHEAD) & mask))  # another core has written it
        e = notes[i & mask]
        if e.tick < complete:
            batch[n] = e
            key = np.uint64(e.tick) << np.uint64(36) | np.uint64(e.time) << np.uint64(20)
            key |= np.uint64(e.source) << np.uint64(12) | np.uint64(e.target) << np.uint64(4) | np.uint64(e.what & 15)
            keys[0, n] = key
            n += 1
        else:
            kept[k] = e
            k += 1
    return n, k


@compiled
def sort(keys, ranks, n):  # type: ignore[no-untyped-def]
    """Sorts the first `n` keys (2, …) of row 0, using row 1 as well. Returns the row of `ranks` that then has their
    numbers in order. A radix sort, least significant digit first; a digit that is the same in all keys costs nothing.
    """
    used = np.uint64(0)
    for i in range(n):
        ranks[0, i] = i
        used |= keys[0, i] ^ keys[0, 0]
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
