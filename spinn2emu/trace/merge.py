"""The recorder's side of the routers' notes: merging those that are sorted into the blocks of a file; compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinn2emu.frames import FOREVER
from spinn2emu.jit import Array, atomic_exchange, inlined, native, prefetch
from spinn2emu.trace.capture import LATE, OWN, SHARED, CaptureWord, complete_everywhere, put_in_order, put_word, word_at
from spinn2emu.trace.notes import KEY_TIME_BIT, RANK_BITS, ns_of, put_note

_SIDE, _ROW, _FIRST, _LAST = int(CaptureWord.SIDE), int(CaptureWord.ROW), int(CaptureWord.FIRST), int(CaptureWord.LAST)
_BASE, _SORTED, _BUSY, _READ = (
    int(CaptureWord.BASE),
    int(CaptureWord.SORTED),
    int(CaptureWord.BUSY),
    int(CaptureWord.READ),
)
_NUMBERS, _WORDS = Array(np.dtype("i8")), Array(np.dtype("u4"))
_MOST_TIME = 1 << 63 - KEY_TIME_BIT
_FOREVER, _LATE, _AHEAD = FOREVER, LATE, 8
_KEY_TIME, _RANK_BITS, _RANK = np.uint64(KEY_TIME_BIT), np.uint64(RANK_BITS), np.uint64((1 << RANK_BITS) - 1)


@native(OWN, int, int)
def sort_for(own, until, force):  # type: ignore[no-untyped-def]
    """`put_in_order` for a router that waits for a frame, or is dead (force). False: it is at work."""
    if atomic_exchange(own.place.ctypes.data + 8 * _BUSY, 1) and not force:
        return False
    put_in_order(own, until)
    put_word(own.place, _BUSY, 0)
    return True


@native(Array(OWN), SHARED)
def sort_for_idle(routers, shared):  # type: ignore[no-untyped-def]
    """Sorts for routers that have been waiting for so long that the others' notes pile up. Returns what is complete."""
    complete = complete_everywhere(shared)
    for router in range(routers.shape[0]):
        if complete >= routers[router].place[_SORTED] + 4 * _LATE:
            sort_for(routers[router], complete, 0)
    return complete


@native(Array(OWN), _NUMBERS, _NUMBERS)
def look(routers, at, ends):  # type: ignore[no-untyped-def]
    """Takes down which notes the recorder finds; returns the time before which they are all that there are."""
    until = np.int64(_FOREVER)
    for router in range(routers.shape[0]):
        place = routers[router].place
        until = min(until, word_at(place, _SORTED))
        at[router], ends[router] = word_at(place, _READ), word_at(place, _LAST)
    return until


@native(Array(OWN), _NUMBERS, returns=False)
def put_read(routers, at):  # type: ignore[no-untyped-def]
    """The routers may forget the notes before number at[router]."""
    for router in range(routers.shape[0]):
        put_word(routers[router].place, _READ, at[router])


@inlined
def _key_at(own, number, base):  # type: ignore[no-untyped-def]
    """The sort key of a sorted note, counted from `base`."""
    key = own.keys[own.place[_ROW], number - own.place[_FIRST]] >> _RANK_BITS
    return key + (np.uint64(own.place[_BASE] - base) << _KEY_TIME)


@native(Array(OWN), _NUMBERS, _NUMBERS, int, _WORDS, int, Array(np.dtype("i8"), 2), _NUMBERS)
def encode_notes(routers, at, ends, until, out, most, counts, done):  # type: ignore[no-untyped-def]
    """Writes the blocks of the sorted notes number at[r] to ends[r] of router r, if their times are before `until`, to
    `out` (uint32), in one order; at most `most`, for which there is room. Moves `at` on. Returns how many blocks they
    are; `done` (2,) gets the words written and the time of the last event in ns.
    """
    blocks: Any = np.int64(0)
    n, last = np.uint64(0), np.int64(0)
    base: Any = np.int64(until)
    for r in range(routers.shape[0]):
        if at[r] < ends[r]:
            base = min(base, routers[r].place[_BASE])
    limit = np.uint64(min(until - base, _MOST_TIME)) << _KEY_TIME
    while blocks < most:
        first, second, chosen = limit, limit, -1
        for r in range(routers.shape[0]):
            if at[r] < ends[r]:
                key = _key_at(routers[r], at[r], base)
                if key < first:
                    first, second, chosen = key, first, r
                else:
                    second = min(second, key)
        if chosen < 0:
            break
        own, here = routers[chosen], at[chosen] - routers[chosen].place[_FIRST]
        notes, keys = own.notes[1 - own.place[_SIDE]], own.keys[own.place[_ROW]]
        begin, end = here, here + min(ends[chosen] - at[chosen], most - blocks)
        second -= np.uint64(own.place[_BASE] - base) << _KEY_TIME
        while True:
            prefetch(notes[keys[min(here + _AHEAD, end - 1)] & _RANK].ctypes.data)
            n = put_note(out, n, counts, notes[keys[here] & _RANK])
            here += 1
            if here == end or keys[here] >> _RANK_BITS > second:
                break
        last = ns_of(notes[keys[here - 1] & _RANK])
        blocks += here - begin
        at[chosen] += here - begin
    done[0] = n
    done[1] = last
    return blocks
