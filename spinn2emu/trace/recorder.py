"""The recorder's process: takes events from the routers' rings, brings them into one order, writes the file."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.frames import FOREVER
from spinn2emu.jit import atomic_exchange, compiled
from spinn2emu.trace.capture import RING_NOTES, CaptureMemory, Filter, Place, read_word
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.notes import NOTE, encode_notes, sort, take_complete
from spinn2emu.trace.pcapng import MAX_BLOCK_BYTES

FLUSH, CLOSE = b"flush", b"close"
"""What the supervisor says to the recorder, which answers with a JSON object when it is done."""

BUSY_S, IDLE_S = 0.008, 0.02
"""How often it looks into the rings, after it found something there, and nothing."""

_READ = int(Place.READ)
_CACHE_LINE = 64


class Buffers:
    """Room for the notes that are written at once, their sort keys and their numbers in order."""

    def __init__(self) -> None:
        self.batch, self.keys, self.ranks = _notes(0), np.empty((2, 0), np.uint64), np.empty((2, 0), np.int32)

    def make_room(self, total: int) -> None:
        """For `total` notes."""
        if len(self.batch) < total:
            size = max(2 * total, RING_NOTES)
            self.batch, self.keys, self.ranks = _notes(size), *(np.empty((2, size), t) for t in ("u8", "i4"))


class Recorder:
    """Serves until it is told to close. `held`: `count` notes of ticks that are not complete yet.

    One thread takes notes and sorts them, another one encodes and writes those before: on a core each, so that the
    work slows both halves of the chip alike.
    """

    def __init__(
        self, captures: CaptureMemory, writer: TraceWriter, control: socket.socket, cores: Sequence[int] = ()
    ) -> None:
        self.captures, self.writer, self.control = captures, writer, control
        self.held, self.kept, self.count = _notes(0), _notes(0), 0
        self.buffers = [Buffers(), Buffers()]  # to be filled, and being written
        self.pool = ThreadPoolExecutor(1, initializer=partial(_pin, cores[-1:]))
        self.writing: Future[None] | None = None
        self.error: str | None = None
        _pin(cores[:1])

    def serve(self) -> None:
        """The recorder's life."""
        wait = BUSY_S
        while True:
            asked = self.control.recv(16) if select.select([self.control], [], [], wait)[0] else b""
            try:
                wait = BUSY_S if self.drain(everything=asked == CLOSE) else IDLE_S
                if asked:
                    self.finish_writing()
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

    def finish_writing(self) -> None:
        """Waits for what is being written. Raises what went wrong."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def drain(self, everything: bool = False) -> int:
        """Writes all events of complete ticks; everything: the others, too. Returns how many."""
        places = self.captures.places
        rings = range(len(places))
        complete = FOREVER if everything else min(read_word(places, r, Place.COMPLETE) for r in rings)
        spans = [self._span(r, everything) for r in rings]
        total = sum(last - first for first, last in spans) + self.count
        if not total:
            return 0
        to = self.buffers[0]
        to.make_room(total)
        if len(self.kept) < total:
            self.kept = _notes(2 * total)
        n = kept = 0
        for ring, (first, last) in enumerate(spans):
            notes, place, count = self.captures.rings[ring], first % RING_NOTES, last - first
            n, kept = take_complete(
                notes, place, count, RING_NOTES - 1, complete, to.batch, to.keys, n, self.kept, kept
            )
            put_read(places, ring, last)
        n, kept = take_complete(self.held, 0, self.count, -1, complete, to.batch, to.keys, n, self.kept, kept)
        self.held, self.kept, self.count = self.kept, self.held, kept
        if n and self.error is None:
            order = to.ranks[sort(to.keys, to.ranks, n), :n]
            self.finish_writing()
            self.writing = self.pool.submit(self.writer.add, to.batch, order)
            self.buffers.reverse()
        return n

    def _span(self, ring: int, everything: bool) -> tuple[int, int]:
        """Numbers of the notes of a ring that are to be taken now: those that may be complete, all if it gets full."""
        places = self.captures.places
        first, mark = int(places[ring, Place.READ]), read_word(places, ring, Place.MARK)
        head = read_word(places, ring, Place.HEAD)
        return first, head if everything or head - first > RING_NOTES // 2 else mark


def _notes(count: int) -> NDArray[np.void]:
    """An array of notes of which none crosses a cache line. From 4 MB on, numpy asks for huge pages."""
    memory = np.empty(count * NOTE.itemsize + _CACHE_LINE, np.uint8)
    begin = -memory.ctypes.data % _CACHE_LINE
    return memory[begin : begin + count * NOTE.itemsize].view(NOTE)


@compiled
def put_read(places, ring, last):  # type: ignore[no-untyped-def]
    """The router may overwrite the events before number `last`."""
    atomic_exchange(places[ring].ctypes.data + 8 * _READ, last)


def prepare(captures: CaptureMemory) -> None:
    """Compiles what the recorder calls, or loads it from the cache: before the fork."""
    one, out, counts = np.zeros(1, NOTE), np.empty(MAX_BLOCK_BYTES, np.uint32), np.zeros((2, 2), np.int64)
    keys, ranks = np.zeros((2, 1), np.uint64), np.zeros((2, 1), np.int32)
    take_complete(one, 0, 1, -1, 1, one, keys, 0, one, 0)
    encode_notes(one, ranks[sort(keys, ranks, 1)], out, counts)
    put_read(captures.places, 0, int(captures.places[0, Place.READ]))
    read_word(captures.places, 0, Place.MARK)


def _pin(cores: Sequence[int]) -> None:
    """Keeps this thread on these cores, if there are any."""
    if cores:
        os.sched_setaffinity(0, cores)


def main(captures: CaptureMemory, writer: TraceWriter, control: socket.socket, cores: Sequence[int]) -> None:
    """Body of the recorder's process; its two threads run on the first and the last of `cores`."""
    Recorder(captures, writer, control, cores).serve()
