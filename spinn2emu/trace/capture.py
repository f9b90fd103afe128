"""What the routers record: the filter, and each router's notes, which it sorts for the recorder.

A router notes events as they come. Once it is certain that no event of earlier ticks can come any more, at any router,
it sorts those that it has, in shared memory, and goes on in the other half of it; `recorder.py` merges what is sorted.
Nothing that a chip computes depends on whether it is traced. A router waits for the recorder when notes pile up.
"""

from __future__ import annotations

import enum
import mmap
from collections import namedtuple

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, MAX_ROUTERS
from spinn2emu.jit import Array, atomic_exchange, atomic_load, inlined, native, usleep
from spinn2emu.packets import PACKET, PORT_BITS
from spinn2emu.trace.notes import (
    COUNTS,
    NOTE_WORDS,
    RANK_BITS,
    SPAN,
    TIME_BITS,
    count_key,
    ns_of,
    sort,
    sort_key,
    time_of,
)
from spinn2emu.trace.schema import INTERFACES, TYPES, Event

MOST_NOTES = 1 << RANK_BITS
"""Notes that a router keeps until they are sorted: of ticks that some PE has not reached."""
LATE = 64 << TIME_BITS
"""How much time is sorted at once, at the least."""
LAST_TICK = 1 << 32
"""Later than any."""
UNKNOWN = -(1 << 62)
"""As a slack."""
OFF, ALL, SOME = range(3)
"""Whether events are recorded, and whether the filter has to be asked."""


class Filter(enum.IntEnum):
    """Words that all routers read: what is recorded."""

    ON = 0  # OFF, ALL or SOME
    EVENTS = 1  # bit set of Event
    KEY = 2
    MASK = 3
    FIRST = 4  # tick
    LAST = 5


class CaptureWord(enum.IntEnum):
    """Words of one router. Those that it and the recorder write are not in one cache line."""

    NUMBER = 0  # the router's
    NOTES = 1  # how many it has
    SIDE = 2  # of `notes` that they are in: 0 or 1. On the other side are those that are sorted.
    ROW = 3  # of `keys` that has the order of the sorted ones: 0 or 1
    FIRST = 4  # sorted notes ever, without the present ones
    LAST = 5  # and with them
    BASE = 6  # time: what the keys count from
    SORTED = 7  # time: all earlier events are sorted
    BUSY = 8  # whoever has set it may touch the notes: the router at work, the recorder while that waits for a frame
    FULL = 9  # it has given up: there was no room for more notes
    READ = 16  # sorted notes ever read


SHARED = np.dtype([
    ("complete", "<i8", (MAX_ROUTERS, 8)),  # first word of each router: the time before which it has recorded all
    ("filter", "<i8", (len(Filter),)),
    ("types", "u1", (TYPES,)),  # 1 where events are wanted
    ("pes", "u1", (INTERFACES,)),
    ("slack", "<i8", (INTERFACES,)),  # of PEs, in ns, when the trace ends; UNKNOWN
    ("type_of", "u1", (INTERFACES, spec.MAX_PORTS.value)),  # type of what each output port sends
])  # fmt: skip
"""What all routers share."""

OWN = np.dtype([
    ("place", "<i8", (24,)),  # see CaptureWord
    ("counts", "<u4", COUNTS),  # to sort
    ("notes", "<u8", (2, MOST_NOTES, NOTE_WORDS)),
    ("keys", "<u8", (2, MOST_NOTES)),  # sort key << RANK_BITS | number of the note
])  # fmt: skip
"""What each router has."""

Capture = namedtuple("Capture", ["shared", "own"])
"""What a router needs to record: records SHARED and OWN."""

_ON, _EVENTS, _KEY, _MASK = int(Filter.ON), int(Filter.EVENTS), int(Filter.KEY), int(Filter.MASK)
_FROM, _TO = int(Filter.FIRST), int(Filter.LAST)
_NUMBER, _NOTES, _SIDE, _ROW = (
    int(CaptureWord.NUMBER),
    int(CaptureWord.NOTES),
    int(CaptureWord.SIDE),
    int(CaptureWord.ROW),
)
_FIRST, _LAST, _BASE, _SORTED = (
    int(CaptureWord.FIRST),
    int(CaptureWord.LAST),
    int(CaptureWord.BASE),
    int(CaptureWord.SORTED),
)
_BUSY, _FULL, _READ = int(CaptureWord.BUSY), int(CaptureWord.FULL), int(CaptureWord.READ)
_MOST, _FOREVER, _NOTE_WORDS, _SOME, _MAX_ROUTERS = MOST_NOTES, FOREVER, NOTE_WORDS, SOME, MAX_ROUTERS
_PORT_BITS, _PHASE = PORT_BITS, int(Event.PHASE)
_RANK_BITS, _RANK, _SPAN = np.uint64(RANK_BITS), np.uint64(MOST_NOTES - 1), SPAN
_LATE, _TIME_BITS = LATE, TIME_BITS
_PAUSE_US, _PAUSES, _SHORT, _MANY = 100, 20_000, 10, 1 << 17


class CaptureMemory:
    """The shared memory of a chip's routers and its recorder; made before the fork, committed only when it is used.

    `shared`: a record SHARED; `routers` (MAX_ROUTERS,) of OWN.
    """

    def __init__(self) -> None:
        start = -(-SHARED.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        self.mapping = mmap.mmap(-1, start + MAX_ROUTERS * OWN.itemsize)
        self.shared = np.frombuffer(self.mapping, SHARED, 1).reshape(())
        self.routers = np.frombuffer(self.mapping, OWN, MAX_ROUTERS, start)
        self.filter, self.complete = self.shared["filter"], self.shared["complete"][:, 0]
        self.types, self.pes, self.type_of = (self.shared[name] for name in ("types", "pes", "type_of"))
        self.places = self.routers["place"]
        self.clear()

    def clear(self) -> None:
        """Nothing has been recorded."""
        self.places[:] = 0
        self.shared["slack"] = UNKNOWN
        self.places[:, CaptureWord.NUMBER] = range(len(self.places))

    def of_router(self, number: int) -> Capture:
        """What router `number` records with."""
        return Capture(self.shared, self.routers[number : number + 1].reshape(()))

    def restart(self, routers: int, tick: int) -> None:
        """Other router processes will record, from `tick` on, when none does now."""
        notes, begin = self.routers["notes"], max(0, tick - 1) << TIME_BITS
        for number in range(routers, len(self.places)):  # what they still hold is for the first one to sort
            count, side = self.places[number, [CaptureWord.NOTES, CaptureWord.SIDE]]
            first, own_side = self.places[0, [CaptureWord.NOTES, CaptureWord.SIDE]]
            notes[0, own_side, first : first + count] = notes[number, side, :count]
            self.places[0, CaptureWord.NOTES] += count
            self.places[number, CaptureWord.NOTES] = 0
        self.places[:, CaptureWord.BUSY] = 0
        self.complete[:] = self.places[:, CaptureWord.SORTED] = FOREVER
        self.complete[:routers] = self.places[:routers, CaptureWord.SORTED] = begin


@inlined
def _wanted(shared, packet, event, target, kind):  # type: ignore[no-untyped-def]
    chosen = shared.filter
    return event >= _PHASE or (
        chosen[_EVENTS] >> event & 1
        and shared.types[kind]
        and np.int64(packet.key) & chosen[_MASK] == chosen[_KEY]
        and chosen[_FROM] <= packet.tick <= chosen[_TO]
        and (shared.pes[packet.source] or shared.pes[target])
    )


@inlined
def word_at(words, word):  # type: ignore[no-untyped-def]
    """An int64 that another process writes."""
    return atomic_load(words.ctypes.data + 8 * word)


@inlined
def put_word(words, word, value):  # type: ignore[no-untyped-def]
    """Writes an int64 that another process reads, after all that was written before it."""
    atomic_exchange(words.ctypes.data + 8 * word, value)


@inlined
def _sort_late(keys, count, notes):  # type: ignore[no-untyped-def]
    """Brings those of equal keys into the order of their full times: there are some only after LAST_NS. What a source
    sends comes in order, so that hardly any has to move."""
    for i in range(1, count):
        key, j = keys[i], i
        while (
            j
            and keys[j - 1] >> _RANK_BITS == key >> _RANK_BITS
            and (ns_of(notes[keys[j - 1] & _RANK]) > ns_of(notes[key & _RANK]))
        ):
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@native(OWN, int, returns=False)
def put_in_order(own, until):  # type: ignore[no-untyped-def]
    """Sorts a router's notes of times before `until`, for the recorder, if that has read those that it had."""
    place, side, asked = own.place, own.place[_SIDE], until
    if word_at(place, _READ) != place[_LAST]:
        return
    notes, others, base = own.notes[side], own.notes[1 - side], place[_SORTED]
    until = min(asked, base + _SPAN)
    keys, count, kept = own.keys[0], np.int64(0), np.int64(0)
    own.counts[:] = 0
    for i in range(place[_NOTES]):
        if time_of(notes[i]) < until:
            key = sort_key(notes[i], base) << _RANK_BITS | np.uint64(i)
            count_key(own.counts, key)
            keys[count] = key
            count += 1
        else:
            for word in range(_NOTE_WORDS):
                others[kept, word] = notes[i, word]
            kept += 1
    place[_ROW] = sort(own.keys, count, own.counts)
    _sort_late(own.keys[place[_ROW]], count, notes)
    place[_FIRST], place[_BASE], place[_SIDE], place[_NOTES] = place[_LAST], base, 1 - side, kept
    put_word(place, _LAST, place[_LAST] + count)
    put_word(place, _SORTED, max(until if kept else asked, base))


@inlined
def complete_everywhere(shared):  # type: ignore[no-untyped-def]
    """The time before which every router has recorded all."""
    low = np.int64(_FOREVER)
    for router in range(_MAX_ROUTERS):
        low = min(low, word_at(shared.complete[router], 0))
    return low


@inlined
def begin_work(capture):  # type: ignore[no-untyped-def]
    """Waits until the recorder does not sort for this router."""
    while atomic_exchange(capture.own.place.ctypes.data + 8 * _BUSY, 1) and word_at(capture.shared.filter, _ON):
        usleep(_PAUSE_US)


@inlined
def end_work(capture):  # type: ignore[no-untyped-def]
    """The recorder may sort for this router."""
    put_word(capture.own.place, _BUSY, 0)


@inlined
def _wait_for_recorder(capture, notes, pauses):  # type: ignore[no-untyped-def]
    """Waits until the router has at most so many notes, or can sort them, but not for long."""
    place = capture.own.place
    for _ in range(pauses):
        if place[_NOTES] <= notes or word_at(place, _READ) == place[_LAST] or not word_at(capture.shared.filter, _ON):
            return
        usleep(_PAUSE_US)


@native(SHARED, OWN)
def make_room(shared, own):  # type: ignore[no-untyped-def]
    """Waits until there is room for notes. False, after some seconds: there will be none."""
    place = own.place
    for _ in range(_PAUSES):
        complete = complete_everywhere(shared)
        if complete > place[_SORTED]:
            put_in_order(own, complete)
        if place[_NOTES] < _MOST:
            return True
        if not word_at(shared.filter, _ON):
            return False
        usleep(_PAUSE_US)
    place[_FULL] = 1
    put_word(shared.filter, _ON, 0)
    return False


@inlined
def record(capture, packet, words, event, target, time, wait=0):  # type: ignore[no-untyped-def]
    """Notes what happened to a packet, `time` ns after its tick began. `words`: the packet as uint64 (4,).

    target: the interface that the copy is for; 0: none, or the event router. Both and the time are int64. wait: ns of
    the time that the packet has waited for others.
    """
    if capture.shared.filter[_ON]:
        _note(capture, packet, words, event, target, time, wait)


@inlined
def _note(capture, packet, words, event, target, time, wait):  # type: ignore[no-untyped-def]
    shared, place = capture.shared, capture.own.place
    kind = np.uint64(shared.type_of[packet.source, packet.origin & ((1 << _PORT_BITS) - 1)])
    if packet.control >> 6 or event >= _PHASE:
        kind = np.uint64(packet.control >> 6)
    if shared.filter[_ON] == _SOME and not _wanted(shared, packet, event, target, kind):
        return
    if place[_NOTES] == _MOST and not make_room(capture.shared, capture.own):
        return
    note = capture.own.notes[place[_SIDE], place[_NOTES]]
    for word in range(3):
        note[word] = words[word]
    half = np.uint64(target) | (np.uint64(event) | kind << np.uint64(4)) << np.uint64(8)
    note[3] = words[3] & np.uint64(0xFFFFFFFF) | half << np.uint64(32)
    note[4] = np.uint64(time) | np.uint64(wait) << np.uint64(32)
    place[_NOTES] += 1


@inlined
def is_on(capture):  # type: ignore[no-untyped-def]
    """Whether anything is recorded."""
    return capture.shared.filter[_ON] != 0


@inlined
def is_due(capture, tick):  # type: ignore[no-untyped-def]
    """Whether it is worth while to say that the router has recorded all before `tick`."""
    return tick << _TIME_BITS >= capture.shared.complete[capture.own.place[_NUMBER], 0] + _LATE


@inlined
def announce(capture, tick):  # type: ignore[no-untyped-def]
    """The router has recorded all that happens before `tick`."""
    mine = capture.shared.complete[capture.own.place[_NUMBER]]
    put_word(mine, 0, max(tick << _TIME_BITS, mine[0]))


@inlined
def sort_complete(capture, all_of_it):  # type: ignore[no-untyped-def]
    """Sorts the notes of times that are complete at all routers, if that is worth while, or `all_of_it`."""
    place, complete = capture.own.place, complete_everywhere(capture.shared)
    if complete >= place[_SORTED] + (1 if all_of_it else _LATE):
        _wait_for_recorder(capture, _MANY, _SHORT)  # what piles up falls out of the caches, and is slow to write
        put_in_order(capture.own, complete)


_TIMES = Array(np.dtype("u4"))


@native(SHARED, OWN, Array(PACKET), Array(np.dtype("u8"), 2), int, int, _TIMES, _TIMES, returns=False)
def record_packets(shared, own, packets, words, event, target, time, wait):  # type: ignore[no-untyped-def]
    """`record` from Python, for several packets, words (n, 4), times and waits (n,)."""
    capture = Capture(shared, own)
    begin_work(capture)
    for i in range(packets.shape[0]):
        record(capture, packets[i], words[i], event, target, np.int64(time[i]), np.int64(wait[i]))
    end_work(capture)


@native(SHARED, OWN, int, returns=False)
def publish_tick(shared, own, tick):  # type: ignore[no-untyped-def]
    """For a single router in Python: everything before `tick` is recorded."""
    capture = Capture(shared, own)
    begin_work(capture)
    announce(capture, tick)
    put_in_order(own, shared.complete[0, 0])
    end_work(capture)


def wants_everything(memory: CaptureMemory) -> None:
    """Resets the filter: all that happens is recorded, once it is ON."""
    memory.filter[:] = 0
    memory.filter[Filter.EVENTS] = (1 << len(Event)) - 1
    memory.filter[Filter.LAST] = FOREVER
    memory.types[:] = memory.pes[:] = 1
