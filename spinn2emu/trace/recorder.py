"""The recorder's process: takes events from the routers' rings, brings them into one order, writes the file."""

from __future__ import annotations

import json
import os
import select
import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.frames import FOREVER
from spinn2emu.jit import atomic_exchange, compiled
from spinn2emu.trace.capture import RING_EVENTS, CaptureMemory, Filter, Place, read_word
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.order import Keys
from spinn2emu.trace.pcapng import new_events
from spinn2emu.trace.schema import EVENT

FLUSH, CLOSE = b"flush", b"close"
"""What the supervisor says to the recorder, which answers with a JSON object when it is done."""

BUSY_S, IDLE_S = 0.01, 0.05
"""How often it looks into the rings, after it found something there, and nothing."""

_READ = int(Place.READ)
_EVENT_WORDS, _TICK_WORD = EVENT.itemsize // 8, EVENT.fields["tick"][1] // 8  # type: ignore[index]


class Recorder:
    """Serves until it is told to close. `held`: `count` events of ticks that are not complete."""

    def __init__(self, captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
        self.captures, self.writer, self.control = captures, writer, control
        self.batch, self.kept, self.keys = new_events(0), new_events(0), Keys(0)
        self.held, self.count = new_events(0), 0
        self.error: str | None = None

    def serve(self) -> None:
        """The recorder's life."""
        wait = BUSY_S
        while True:
            asked = self.control.recv(16) if select.select([self.control], [], [], wait)[0] else b""
            try:
                wait = BUSY_S if self.drain(everything=asked == CLOSE) else IDLE_S
                if asked and self.error is None:
                    self.writer.close() if asked == CLOSE else self.writer.flush()
            except Exception as error:
                self.give_up(error)
            if asked:
                self.control.send(json.dumps(self.state()).encode())
            if asked == CLOSE:
                return

    def state(self) -> dict[str, Any]:
        """What has become of the trace."""
        return {"events": self.writer.written, "error": self.error}

    def give_up(self, error: Exception) -> None:
        """The file cannot be written: the routers go on without recording, the supervisor is told why."""
        self.captures.filter[Filter.ON] = 0
        text = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self.error = self.error or f"{text}, after {self.writer.written:,} events"

    def drain(self, everything: bool = False) -> int:
        """Writes all events of complete ticks; everything: the others, too. Returns how many."""
        places = self.captures.places
        rings = range(len(places))
        complete = FOREVER + 1 if everything else min(read_word(places, r, Place.COMPLETE) for r in rings)
        spans = [(self.captures.rings[r], RING_EVENTS - 1, *self._span(r, everything)) for r in rings]
        spans.append((self.held, -1, 0, self.count))
        total = sum(last - first for *_, first, last in spans)
        if not total:
            return 0
        if len(self.batch) < total:
            self.batch, self.keys = new_events(2 * total), Keys(2 * total)
        if len(self.kept) < total:
            self.kept = new_events(2 * total)
        n = kept = 0
        for number, (events, mask, first, last) in enumerate(spans):
            n, kept = split(_words(events), mask, first, last, complete, _words(self.batch), n, _words(self.kept), kept)
            if number < len(places):
                put_read(places, number, last)
        self.held, self.kept, self.count = self.kept, self.held, kept
        if n and self.error is None:
            self.writer.add(self.batch, self.keys.order(self.batch[:n]))
        return n

    def _span(self, ring: int, everything: bool) -> tuple[int, int]:
        """Numbers of the events of a ring that are to be taken now: those that may be complete, all if it gets full."""
        places = self.captures.places
        first, mark = int(places[ring, Place.READ]), read_word(places, ring, Place.MARK)
        head = read_word(places, ring, Place.HEAD)
        return first, head if everything or head - first > RING_EVENTS // 2 else mark


def _words(events: NDArray[np.void]) -> NDArray[np.uint64]:
    """The same memory, (n, 6): six moves copy an event."""
    return events.view(np.uint64).reshape(len(events), _EVENT_WORDS)


@compiled
def split(ring, mask, first, last, complete, batch, n, held, h):  # type: ignore[no-untyped-def]
    """Copies events number first … last - 1 (place: number & mask) to `batch` (n are there), if their tick is complete,
    else to `held` (h are there). All as words. Returns n, h.
    """
    for i in range(first, last):
        event = ring[i & mask]
        if np.int64(event[_TICK_WORD] & np.uint64(0xFFFFFFFF)) < complete:
            for word in range(_EVENT_WORDS):
                batch[n, word] = event[word]
            n += 1
        else:
            for word in range(_EVENT_WORDS):
                held[h, word] = event[word]
            h += 1
    return n, h


@compiled
def put_read(places, ring, last):  # type: ignore[no-untyped-def]
    """The router may overwrite the events before number `last`."""
    atomic_exchange(places[ring].ctypes.data + 8 * _READ, last)


def prepare(captures: CaptureMemory) -> None:
    """Compiles what the recorder calls, or loads it from the cache: before the fork."""
    one = np.zeros(1, EVENT)
    words = _words(one)
    split(words, -1, 0, 1, 1, words, 0, words, 0)
    Keys(1).order(one)
    put_read(captures.places, 0, int(captures.places[0, Place.READ]))
    read_word(captures.places, 0, Place.MARK)


def main(captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
    """Body of the recorder's process. It gives way to routers and PEs, which wait for it when their rings are full."""
    os.nice(19)
    Recorder(captures, writer, control).serve()
