"""Notes: what a router writes down of an event, their order, and their blocks; compiled.

A note is the packet's record with the event in place of its time, and the times of the event behind it. What can be
computed from that (time of sending, hops, latency) is computed when the file is written, which is not the router's
business.
"""

from __future__ import annotations

import numpy as np

from spinn2emu import mesh, spec
from spinn2emu.jit import inlined
from spinn2emu.packets import PORT_BITS
from spinn2emu.trace.pcapng import put_block
from spinn2emu.trace.schema import LAST_NS, Event

NOTE = np.dtype(
    [
        ("control", "u1"), ("port", "u1"), ("source", "u1"), ("origin", "u1"), ("key", "<u4"), ("payload", "<u4", (4,)),
        ("tick", "<u4"),
        ("target", "u1"),  # interface
        ("what", "u1"),  # bits 7:4 type, bits 3:0 Event
        ("reserved", "<u2"),
        ("time", "<u4"),  # of the event, ns since the tick began; beyond its period, if the sender's code took longer
        ("wait", "<u4"),  # ns of it that the packet waited for others on its way
    ]
)  # fmt: skip
"""40 bytes; the fields up to `tick` as in packets.PACKET."""

NOTE_WORDS = NOTE.itemsize // 8
TIME_BITS = LAST_NS.bit_length()
"""Of the ns within a tick: a time on the chip as one number is tick << TIME_BITS | ns, of which LAST_NS is the most."""

HOPS = mesh.hops_table().astype(np.uint64)
LATENCY = np.array([mesh.latency_of_hops(hops) for hops in range(2 * int(HOPS.max()) + 1)], np.uint64)
"""ns from the sending of a packet to its arrival, or to the router's decision, by the hops that it has made."""

_TICK_NS, _SENT, _PHASE, _OVERRUN, _PORTS, _PORT_BITS, _AT_TYPE = (
    np.uint64(n)
    for n in (spec.TICK_NS.value, Event.SENT, Event.PHASE, Event.OVERRUN, (1 << PORT_BITS) - 1, PORT_BITS, 4)
)
_AT = tuple(np.uint64(8 * byte) for byte in range(8))
_BYTE, _CONTROL = np.uint64(0xFF), np.uint64(0xF0)
RANK_BITS = 20
"""Below a key there is room for the note's number."""
KEY_TIME_BIT = 17
"""Of a key: where the time begins."""
SPAN = 1 << 64 - RANK_BITS - KEY_TIME_BIT
"""Times that a key can tell apart: 128 ticks."""
COUNTS = (4, 1 << 11)
"""Keys are sorted by so many digits, of so many values each."""
_WORD, _EVENT, _TIME_BITS, _LAST_NS = (np.uint64(n) for n in (0xFFFFFFFF, 0xF, TIME_BITS, LAST_NS))
_KEY_TIME = np.uint64(KEY_TIME_BIT)
_DIGITS, _DIGIT_BITS, _DIGIT, _RANK_BITS = COUNTS[0], COUNTS[1].bit_length() - 1, np.uint64(COUNTS[1] - 1), RANK_BITS


@inlined
def ns_of(note):  # type: ignore[no-untyped-def]
    """When the event happened, in ns since tick 0."""
    return np.int64((note[3] & _WORD) * _TICK_NS + (note[4] & _WORD))


@inlined
def time_of(note):  # type: ignore[no-untyped-def]
    """When the event happened: tick << TIME_BITS | ns. `note`: its words, (NOTE_WORDS,)."""
    return np.int64((note[3] & _WORD) << _TIME_BITS | min(note[4] & _WORD, _LAST_NS))


@inlined
def sort_key(note, base):  # type: ignore[no-untyped-def]
    """(time, source, target, whether it was sent) as one number. No two events of a chip have the same, but for those
    of LAST_NS: see `put_in_order`.

    base: a time, less than SPAN before the note's.
    """
    where = (note[0] >> np.uint64(16) & _BYTE) << np.uint64(8) | note[3] >> np.uint64(32) & _BYTE
    late = np.uint64(note[3] >> np.uint64(40) & _EVENT != _SENT)
    return np.uint64(time_of(note) - base) << _KEY_TIME | where << np.uint64(1) | late


@inlined
def count_key(counts, key):  # type: ignore[no-untyped-def]
    """Counts the digits of a key that is to be sorted. counts, of shape COUNTS: zero before the first key."""
    for digit in range(_DIGITS):
        shift = np.uint64(_RANK_BITS + _DIGIT_BITS * digit)
        counts[digit, key >> shift & _DIGIT] += np.uint32(1)


@inlined
def sort(keys, n, counts):  # type: ignore[no-untyped-def]
    """Sorts the first `n` keys (2, …) of row 0, using row 1 as well; bits below RANK_BITS do not matter. Returns the
    row that they are in then. A radix sort, least significant digit first; a digit that is the same in all keys costs
    nothing. `counts`: by `count_key`, of all of them; used up.
    """
    row = 0
    for digit in range(_DIGITS):
        shift, places = np.uint64(_RANK_BITS + _DIGIT_BITS * digit), counts[digit]
        if n and places[keys[row, 0] >> shift & _DIGIT] < n:
            place = np.uint32(0)
            for bucket in range(places.shape[0]):
                size = places[bucket]
                places[bucket] = place
                place += size
            source, target = keys[row], keys[1 - row]
            for i in range(n):
                bucket = source[i] >> shift & _DIGIT
                target[places[bucket]] = source[i]
                places[bucket] += np.uint32(1)
            row = 1 - row
    return row


@inlined
def put_note(out, n, counts, note):  # type: ignore[no-untyped-def]
    """Writes the block of a note to `out` from word n on; returns the word behind it."""
    control, port, source, origin = (
        note[0] & _CONTROL,
        note[0] >> _AT[1] & _BYTE,
        note[0] >> _AT[2] & _BYTE,
        note[0] >> _AT[3] & _BYTE,
    )
    tick, target, what = note[3] & _WORD, note[3] >> _AT[4] & _BYTE, note[3] >> _AT[5] & _BYTE
    time, wait = note[4] & _WORD, note[4] >> _AT[4]
    event = what & _EVENT
    moved = np.uint64(event != _SENT and event < _PHASE)
    hops = (HOPS[source] + HOPS[target]) * moved
    latency = LATENCY[hops] * moved + wait
    return put_block(
        out, n, counts, tick * _TICK_NS + time, tick, time - latency, latency, note[0] >> _AT[4], (note[1], note[2]),
        source, target, event, what >> _AT_TYPE, port, origin >> _PORT_BITS, origin & _PORTS, hops, control,
    )  # fmt: skip
