"""What the routers record: rings of notes in shared memory, one per router process, and the filter in front of them.

A router fills its ring without waiting; `recorder.py` empties it. Only a ring that is full stops its router, never a
packet. Nothing that a chip computes depends on whether it is traced.
"""

from __future__ import annotations

import enum
import mmap
from collections import namedtuple
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.frames import FOREVER
from spinn2emu.jit import atomic_exchange, atomic_load, compiled, inlined
from spinn2emu.packets import PORT_BITS
from spinn2emu.trace.notes import NOTE, NOTE_WORDS
from spinn2emu.trace.schema import INTERFACES, Event, Type

RING_NOTES = 1 << 18
"""Notes of a ring: about 25 batches of the full preset on each of two cores."""
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
    """Words of one ring: how many notes ever. Those that router and recorder write are not in one cache line."""

    FILLED = 0  # the router's own count
    HEAD = 1  # are there to be read
    MARK = 2  # were there when COMPLETE was written
    COMPLETE = 3  # no event of an earlier tick is to come
    READ = 8


Capture = namedtuple("Capture", ["filter", "types", "type_of", "pes", "place", "ring"])
"""What a router needs to record. `types` (len(Type),) and `pes` (INTERFACES,): 1 where events are wanted; `type_of`
(PE id, output port): Type of what it sends; `ring` (RING_NOTES, NOTE_WORDS): notes as words."""

_ON, _EVENTS, _KEY, _MASK, _FIRST, _LAST = (int(word) for word in Filter)
_FILLED, _HEAD, _MARK, _COMPLETE, _READ = (int(word) for word in Place)
_WORDS, _CAPACITY, _FOREVER, _NOTE_WORDS, _OFF, _SOME = 16, RING_NOTES, FOREVER, NOTE_WORDS, OFF, SOME
_PORT_BITS, _CHIP_TYPES = PORT_BITS, int(Type.CORE_TO_CORE) - 1
_LATE = 64
_PAUSE_US = 100
_usleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


class CaptureMemory:
    """The shared memory of a chip's routers and its recorder; made before the fork, committed only when it is used."""

    def __init__(self, routers: int) -> None:
        ports = spec.MAX_PORTS.value
        small = 8 * len(Filter) + 8 * _WORDS * routers + len(Type) + INTERFACES * (1 + ports)
        self._mapping = mmap.mmap(-1, -(-small // 4096) * 4096 + routers * RING_NOTES * NOTE.itemsize)
        memory = np.frombuffer(self._mapping, np.uint8)
        self.rings = memory[-(-small // 4096) * 4096 :].view(NOTE).reshape(routers, RING_NOTES)
        words = 8 * len(Filter), 8 * _WORDS * routers
        self.filter = memory[: words[0]].view(np.int64)
        self.places = memory[words[0] : sum(words)].view(np.int64).reshape(routers, _WORDS)
        rest = memory[sum(words) : small]
        self.types, self.pes, self.type_of = np.split(rest, [len(Type), len(Type) + INTERFACES])
        self.type_of = self.type_of.reshape(INTERFACES, ports)

    def of_router(self, number: int) -> Capture:
        """What router `number` records with."""
        ring = self.rings[number].view(np.uint64).reshape(RING_NOTES, NOTE_WORDS)
        return Capture(self.filter, self.types, self.type_of, self.pes, self.places[number], ring)

    def restart(self, routers: int, tick: int) -> None:
        """Other router processes will fill the rings, from `tick` on, when none does now."""
        self.places[:, Place.COMPLETE] = FOREVER
        self.places[:routers, Place.COMPLETE] = max(0, tick - 1)
        self.places[:, Place.MARK] = self.places[:, Place.HEAD]


@inlined
def _wanted(capture, packet, event, target, kind):  # type: ignore[no-untyped-def]
    chosen = capture.filter
    return (
        chosen[_EVENTS] >> event & 1
        and capture.types[kind]
        and np.int64(packet.key) & chosen[_MASK] == chosen[_KEY]
        and chosen[_FIRST] <= packet.tick <= chosen[_LAST]
        and (capture.pes[packet.source] or capture.pes[target])
    )


@inlined
def _has_room(capture):  # type: ignore[no-untyped-def]
    """Waits until the recorder has made room. False: nobody records any more."""
    place = capture.place
    if place[_FILLED] - place[_READ] < _CAPACITY:
        return True
    atomic_exchange(place.ctypes.data + 8 * _HEAD, place[_FILLED])
    while place[_FILLED] - atomic_load(place.ctypes.data + 8 * _READ) >= _CAPACITY:
        if not atomic_load(capture.filter.ctypes.data + 8 * _ON):
            return False
        _usleep(_PAUSE_US)
    return True


@inlined
def record(capture, packet, words, event, target, time):  # type: ignore[no-untyped-def]
    """Notes what happened to a packet, `time` ns after its tick began. `words`: the packet as uint64 (4,).

    target: the interface that the copy is for; 0: none, or the event router.
    """
    on = capture.filter[_ON]
    if on == _OFF:
        return
    kind = np.uint64(capture.type_of[packet.source, packet.origin & ((1 << _PORT_BITS) - 1)])
    if packet.control >> 6:
        kind = np.uint64((packet.control >> 6) + _CHIP_TYPES)
    if (on == _SOME and not _wanted(capture, packet, event, target, kind)) or not _has_room(capture):
        return
    note = capture.ring[capture.place[_FILLED] & (_CAPACITY - 1)]
    capture.place[_FILLED] += 1
    for word in range(_NOTE_WORDS - 1):
        note[word] = words[word]
    what = np.uint64(event) | kind << np.uint64(4)
    half = np.uint64(time) | np.uint64(target) << np.uint64(16) | what << np.uint64(24)
    note[_NOTE_WORDS - 1] = words[_NOTE_WORDS - 1] & np.uint64(0xFFFFFFFF) | half << np.uint64(32)


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
    """Lets the recorder see what the router has recorded, and now and then how far that is complete.

    settled: it is the end of a run, or of its window.
    """
    place = capture.place
    if not capture.filter[_ON]:
        return
    atomic_exchange(place.ctypes.data + 8 * _HEAD, place[_FILLED])
    low = np.int64(_FOREVER)
    for pe in range(gate.present.shape[0]):
        if gate.present[pe]:
            low = min(low, gate.tick[pe] - 1)
    if settled or low >= place[_COMPLETE] + _LATE:
        low = min(low, _complete(gate, queues))
        if low > place[_COMPLETE]:
            atomic_exchange(place.ctypes.data + 8 * _MARK, place[_FILLED])
            atomic_exchange(place.ctypes.data + 8 * _COMPLETE, low)


@compiled
def record_packets(capture, packets, words, event, target, time):  # type: ignore[no-untyped-def]
    """`record` from Python, for several packets, words (n, 4) and times (n,); the recorder sees them at once."""
    for i in range(packets.shape[0]):
        record(capture, packets[i], words[i], event, target, time[i])
    atomic_exchange(capture.place.ctypes.data + 8 * _HEAD, capture.place[_FILLED])


def wants_everything(memory: CaptureMemory) -> None:
    """Resets the filter: all that happens is recorded, once it is ON."""
    memory.filter[:] = 0
    memory.filter[Filter.EVENTS] = (1 << len(Event)) - 1
    memory.filter[Filter.LAST] = FOREVER
    memory.types[:] = memory.pes[:] = 1


def read_word(places: NDArray[np.int64], ring: int, word: Place) -> int:
    """A word of a ring as its router has written it last."""
    return int(_read_word(places, ring, int(word)))


@compiled
def _read_word(places, ring, word):  # type: ignore[no-untyped-def]
    return atomic_load(places[ring].ctypes.data + 8 * word)
