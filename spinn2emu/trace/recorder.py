"""The recorder's process: takes events from the routers' rings, brings them into one order, writes the file."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.frames import FOREVER
from spinn2emu.jit import atomic_exchange, compiled
from spinn2emu.trace.capture import RING_EVENTS, CaptureMemory, Filter, Place, read_word
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.pcapng import new_events

FLUSH, CLOSE = b"flush", b"close"
"""What the supervisor says to the recorder, which answers with a JSON object when it is done."""

BUSY_S, IDLE_S = 0.01, 0.05
"""How often it looks into the rings, after it found something there, and nothing."""

_CAPACITY, _READ, _TICK_NS = RING_EVENTS, int(Place.READ), spec.TICK_NS.value


class Recorder:
    """Serves until it is told to close. `held`: events of ticks that are not complete."""

    def __init__(self, captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
        self.captures, self.writer, self.control = captures, writer, control
        self.batch, self.held = new_events(RING_EVENTS), new_events(0)
        self.error: str | None = None

    def serve(self) -> None:
        """The recorder's life."""
        wait = BUSY_S
        while True:
            asked = self.control.recv(16) if select.select([self.control], [], [], wait)[0] else b""
            try:
                wait = BUSY_S if self.drain(everything=asked == CLOSE) else IDLE_S
                if asked == CLOSE:
                    self.writer.close()
            except OSError as error:
                self.give_up(error)
            if asked:
                self.control.send(json.dumps(self.state()).encode())
            if asked == CLOSE:
                return

    def state(self) -> dict[str, Any]:
        """What has become of the trace."""
        return {"events": self.writer.written, "error": self.error}

    def give_up(self, error: OSError) -> None:
        """The file cannot be written: the routers go on without recording."""
        self.captures.filter[Filter.ON] = 0
        self.error = self.error or f"{error.strerror}, after {self.writer.written:,} events"

    def drain(self, everything: bool = False) -> int:
        """Writes all events of complete ticks; everything: the others, too. Returns how many."""
        places = self.captures.places
        rings = range(len(places))
        complete = FOREVER + 1 if everything else min(read_word(places, r, Place.COMPLETE) for r in rings)
        spans = [(self.captures.rings[r], *self._span(r, everything)) for r in rings]
        spans.append((self.held, 0, len(self.held)))
        total = sum(last - first for _, first, last in spans)
        if not total:
            return 0
        if len(self.batch) < total:
            self.batch = new_events(2 * total)
        held = new_events(total)
        n = h = 0
        for number, (events, first, last) in enumerate(spans):
            n, h = split(events, first, last, complete, self.batch, n, held, h)
            if number < len(places):
                put_read(places, number, last)
        self.held = held[:h]
        events = self.batch[:n]
        if n and self.error is None:
            self.writer.add(events, np.argsort(sort_keys(events)))
        return n

    def _span(self, ring: int, everything: bool) -> tuple[int, int]:
        """Numbers of the events of a ring that are to be taken now: those that may be complete, all if it gets full."""
        places = self.captures.places
        first, mark = int(places[ring, Place.READ]), read_word(places, ring, Place.MARK)
        head = read_word(places, ring, Place.HEAD)
        return first, head if everything or head - first > RING_EVENTS // 2 else mark


@compiled
def split(ring, first, last, complete, batch, n, held, h):  # type: ignore[no-untyped-def]
    """Copies events number first … last - 1 of a ring (or of an array that is no longer) to `batch` (n are there), if
    their tick is complete, else to `held` (h are there). Returns n, h.
    """
    size = ring.shape[0]
    for i in range(first, last):
        event = ring[i % size]
        if event.tick < complete:
            batch[n] = event
            n += 1
        else:
            held[h] = event
            h += 1
    return n, h


@compiled
def put_read(places, ring, last):  # type: ignore[no-untyped-def]
    """The router may overwrite the events before number `last`."""
    atomic_exchange(places[ring].ctypes.data + 8 * _READ, last)


@compiled
def _keys(events, keys):  # type: ignore[no-untyped-def]
    begin = events[0].time
    for i in range(events.shape[0]):
        begin = min(begin, events[i].time)
    for i in range(events.shape[0]):
        e = events[i]
        key = (e.time - begin) << np.uint64(20) | np.uint64(e.source) << np.uint64(12)
        keys[i] = key | np.uint64(e.target) << np.uint64(4) | np.uint64(e.event)


def sort_keys(events: NDArray[np.void]) -> NDArray[np.uint64]:
    """Numbers that sort events by (time, source, target, event); no two events of a chip have the same."""
    keys = np.empty(len(events), np.uint64)
    _keys(events, keys)
    return keys


def prepare(captures: CaptureMemory) -> None:
    """Compiles what the recorder calls, or loads it from the cache: before the fork."""
    one = new_events(1)
    one["tick"], one["time"], one["source"] = 0, 0, 1
    split(one, 0, 1, 1, new_events(1), 0, new_events(1), 0)
    sort_keys(one)
    put_read(captures.places, 0, int(captures.places[0, Place.READ]))
    read_word(captures.places, 0, Place.MARK)


def main(captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
    """Body of the recorder's process."""
    Recorder(captures, writer, control).serve()
