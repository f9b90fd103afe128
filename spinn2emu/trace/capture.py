"""What the routers record: the filter, and each router's notes, which it sorts for the recorder.

A router notes events as they come. Once it is certain that no event of earlier ticks can come any more, at any router,
it sorts those that it has, in shared memory, and goes on in the other half of it; `recorder.py` merges what is sorted.
Nothing that a chip computes depends on whether it is traced. A router waits for the recorder when notes pile up.
"""

from __future__ import annotations

import enum
import mmap
from collections import namedtuple
from typing import Any

import numpy as np
from numba import types

from spinn2emu import spec
from spinn2emu.frames import FOREVER
from spinn2emu.jit import atomic_exchange, atomic_load, compiled, inlined, pasted
from spinn2emu.packets import PORT_BITS
from spinn2emu.trace.notes import COUNTS, NOTE_WORDS, RANK_BITS, SPAN, TIME_BITS, count_key, sort, sort_key, time_of
from spinn2emu.trace.schema import INTERFACES, TYPES, Event

MOST_NOTES = 1 << RANK_BITS
"""Notes that a router keeps until they are sorted: of ticks that some PE has not reached."""
LATE = 64 << TIME_BITS
"""How much time is sorted at once, at the least."""
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


class Place(enum.IntEnum):
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


Capture = namedtuple("Capture", ["shared", "own"])
"""What a router needs to record: two records of shared memory, see `CaptureMemory`."""

_ON, _EVENTS, _KEY, _MASK, _FROM, _TO = (int(word) for word in Filter)
_NUMBER, _NOTES, _SIDE, _ROW, _FIRST, _LAST, _BASE, _SORTED, _BUSY, _FULL, _READ = (int(word) for word in Place)
_WORDS, _MOST, _FOREVER, _NOTE_WORDS, _SOME = 24, MOST_NOTES, FOREVER, NOTE_WORDS, SOME
_PORT_BITS, _PHASE = PORT_BITS, int(Event.PHASE)
_RANK_BITS, _SPAN = np.uint64(RANK_BITS), SPAN
_LATE, _TIME_BITS, _LAST_TICK = LATE, TIME_BITS, 1 << 32
_PAUSE_US, _PAUSES, _SHORT, _MANY = 100, 20_000, 10, 1 << 17
_usleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


class CaptureMemory:
    """The shared memory of a chip's routers and its recorder; made before the fork, committed only when it is used.

    `shared`: `filter` as Filter says; `types` (TYPES,) and `pes` (INTERFACES,): 1 where events are wanted;
    `type_of` (PE id, output port): type of what it sends; `complete` (routers, 8): first word: the time before which
    a router has recorded all. Each router's own: `place` as Place says; `notes` (2, MOST_NOTES, NOTE_WORDS); `keys`
    (2, MOST_NOTES): sort key << RANK_BITS | number of the note; `counts`: to sort.
    """

    def __init__(self, routers: int) -> None:
        shared = np.dtype([
            ("complete", np.int64, (routers, 8)), ("filter", np.int64, (len(Filter),)),
            ("types", np.uint8, (TYPES,)), ("pes", np.uint8, (INTERFACES,)),
            ("type_of", np.uint8, (INTERFACES, spec.MAX_PORTS.value)),
        ])  # fmt: skip
        own = np.dtype([
            ("place", np.int64, (_WORDS,)), ("counts", np.uint32, COUNTS),
            ("notes", np.uint64, (2, MOST_NOTES, NOTE_WORDS)), ("keys", np.uint64, (2, MOST_NOTES)),
        ])  # fmt: skip
        self._mapping = mmap.mmap(-1, mmap.PAGESIZE + shared.itemsize + routers * own.itemsize)
        self.shared = np.frombuffer(self._mapping, shared, 1)[0]
        self.routers = np.frombuffer(self._mapping, own, routers, -(-shared.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.filter, self.complete = self.shared["filter"], self.shared["complete"][:, 0]
        self.types, self.pes, self.type_of = (self.shared[name] for name in ("types", "pes", "type_of"))
        self.places = self.routers["place"]
        self.clear()

    def clear(self) -> None:
        """Nothing has been recorded."""
        self.places[:] = 0
        self.places[:, Place.NUMBER] = range(len(self.places))

    def of_router(self, number: int) -> Capture:
        """What router `number` records with."""
        return Capture(self.shared, self.routers[number])

    def restart(self, routers: int, tick: int) -> None:
        """Other router processes will record, from `tick` on, when none does now."""
        notes, begin = self.routers["notes"], max(0, tick - 1) << TIME_BITS
        for number in range(routers, len(self.places)):  # what they still hold is for the first one to sort
            count, side = self.places[number, [Place.NOTES, Place.SIDE]]
            first, own_side = self.places[0, [Place.NOTES, Place.SIDE]]
            notes[0, own_side, first : first + count] = notes[number, side, :count]
            self.places[0, Place.NOTES] += count
            self.places[number, Place.NOTES] = 0
        self.places[:, Place.BUSY] = 0
        self.complete[:] = self.places[:, Place.SORTED] = FOREVER
        self.complete[:routers] = self.places[:routers, Place.SORTED] = begin


@inlined
def _wanted(shared, packet, event, target, kind):  # type: ignore[no-untyped-def]
    chosen = shared.filter
    return event == _PHASE or (
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


@compiled
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
    place[_FIRST], place[_BASE], place[_SIDE], place[_NOTES] = place[_LAST], base, 1 - side, kept
    put_word(place, _LAST, place[_LAST] + count)
    put_word(place, _SORTED, max(until if kept else asked, base))


@inlined
def complete_everywhere(shared):  # type: ignore[no-untyped-def]
    """The time before which every router has recorded all."""
    low = np.int64(_FOREVER)
    for router in range(shared.complete.shape[0]):
        low = min(low, word_at(shared.complete[router], 0))
    return low


@inlined
def begin_work(capture):  # type: ignore[no-untyped-def]
    """Waits until the recorder does not sort for this router."""
    while atomic_exchange(capture.own.place.ctypes.data + 8 * _BUSY, 1) and word_at(capture.shared.filter, _ON):
        _usleep(_PAUSE_US)


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
        _usleep(_PAUSE_US)


@compiled
def make_room(capture):  # type: ignore[no-untyped-def]
    """Waits until there is room for notes. False, after some seconds: there will be none."""
    place = capture.own.place
    for _ in range(_PAUSES):
        complete = complete_everywhere(capture.shared)
        if complete > place[_SORTED]:
            put_in_order(capture.own, complete)
        if place[_NOTES] < _MOST:
            return True
        if not word_at(capture.shared.filter, _ON):
            return False
        _usleep(_PAUSE_US)
    place[_FULL] = 1
    put_word(capture.shared.filter, _ON, 0)
    return False


@pasted
def record(capture, packet, words, event, target, time):  # type: ignore[no-untyped-def]
    """Notes what happened to a packet, `time` ns after its tick began. `words`: the packet as uint64 (4,).

    target: the interface that the copy is for; 0: none, or the event router.
    """
    if capture.shared.filter[_ON]:
        _note(capture, packet, words, event, target, time)


@inlined
def _note(capture, packet, words, event, target, time):  # type: ignore[no-untyped-def]
    shared, place = capture.shared, capture.own.place
    kind = np.uint64(shared.type_of[packet.source, packet.origin & ((1 << _PORT_BITS) - 1)])
    if packet.control >> 6 or event == _PHASE:
        kind = np.uint64(packet.control >> 6)
    if shared.filter[_ON] == _SOME and not _wanted(shared, packet, event, target, kind):
        return
    if place[_NOTES] == _MOST and not make_room(capture):
        return
    note = capture.own.notes[place[_SIDE], place[_NOTES]]
    for word in range(_NOTE_WORDS - 1):
        note[word] = words[word]
    what = np.uint64(event) | kind << np.uint64(4)
    half = np.uint64(time) | np.uint64(target) << np.uint64(16) | what << np.uint64(24)
    note[_NOTE_WORDS - 1] = words[_NOTE_WORDS - 1] & np.uint64(0xFFFFFFFF) | half << np.uint64(32)
    place[_NOTES] += 1


@inlined
def _complete(gate, queues):  # type: ignore[no-untyped-def]
    """The tick before which everything has been recorded: nobody sends in an earlier one, or receives such packets."""
    low = np.int64(_FOREVER)
    for i in range(gate.heard_pe.shape[0]):
        low = min(low, gate.horizon[gate.heard_pe[i], gate.heard_port[i]])
    for pe in range(gate.present.shape[0]):
        for i in range(queues.length[pe] if gate.present[pe] else 0):
            low = min(low, np.int64(queues.packets[pe, i].tick))
    return low


@inlined
def publish(capture, gate, queues, settled):  # type: ignore[no-untyped-def]
    """Now and then says how far everything is recorded, and sorts what is complete at all routers.

    settled: it is the end of a run, or of its window.
    """
    if not capture.shared.filter[_ON]:
        return
    place, mine = capture.own.place, capture.shared.complete[capture.own.place[_NUMBER]]
    low = np.int64(_LAST_TICK)
    for pe in range(gate.present.shape[0]):
        if gate.present[pe]:
            low = min(low, gate.tick[pe] - 1)
    if settled or low << _TIME_BITS >= mine[0] + _LATE:
        low = min(low, _complete(gate, queues))
        put_word(mine, 0, max(low << _TIME_BITS, mine[0]))
    complete = complete_everywhere(capture.shared)
    if complete >= place[_SORTED] + (1 if settled else _LATE):
        _wait_for_recorder(capture, _MANY, _SHORT)  # what piles up falls out of the caches, and is slow to write
        put_in_order(capture.own, complete)


@compiled
def record_packets(capture, packets, words, event, target, time):  # type: ignore[no-untyped-def]
    """`record` from Python, for several packets, words (n, 4) and times (n,)."""
    begin_work(capture)
    for i in range(packets.shape[0]):
        record(capture, packets[i], words[i], event, target, time[i])
    end_work(capture)


@compiled
def publish_tick(capture, tick):  # type: ignore[no-untyped-def]
    """As `publish`, for a single router in Python: everything before `tick` is recorded."""
    begin_work(capture)
    mine = capture.shared.complete[0]
    put_word(mine, 0, max(tick << _TIME_BITS, mine[0]))
    put_in_order(capture.own, mine[0])
    end_work(capture)


def wants_everything(memory: CaptureMemory) -> None:
    """Resets the filter: all that happens is recorded, once it is ON."""
    memory.filter[:] = 0
    memory.filter[Filter.EVENTS] = (1 << len(Event)) - 1
    memory.filter[Filter.LAST] = FOREVER
    memory.types[:] = memory.pes[:] = 1
