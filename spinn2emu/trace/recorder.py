"""The recorder's process: merges what the routers have put in order, and writes the file."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.descriptors import readable
from spinn2emu.frames import FOREVER
from spinn2emu.trace.capture import MOST_NOTES, UNKNOWN, CaptureMemory, CaptureWord, Filter
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.merge import encode_notes, look, put_read, sort_for, sort_for_idle

FLUSH, CLOSE = b"flush", b"close"
"""What the supervisor says to the recorder, which answers with a JSON object when it is done."""

BUSY_S, IDLE_S = 0.002, 0.02
"""How often it looks for notes, after it found something there, and nothing."""

_AT_WORK_S = 1.0


class Recorder:
    """Serves until it is told to close."""

    def __init__(self, captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
        self.captures, self.writer, self.control = captures, writer, control
        self.at, self.ends = np.zeros((2, len(captures.routers)), np.int64)
        self.done = np.zeros(2, np.int64)
        self.error: str | None = None

    def serve(self) -> None:
        """The recorder's life."""
        wait = IDLE_S
        while True:
            asked = self.control.recv(16) if readable([self.control], wait) else b""
            try:
                if asked:
                    self.sort(everything=asked == CLOSE)
                wait = BUSY_S if self.drain() else IDLE_S
                if asked == CLOSE:
                    slack = self.captures.shared["slack"]
                    self.writer.slack = {int(pe): int(slack[pe]) for pe in np.flatnonzero(slack != UNKNOWN)}
                if asked:
                    self.writer.close() if asked == CLOSE else self.writer.flush()
            except Exception as error:
                self.give_up(error)
            if asked:
                self.control.send(json.dumps(self.state()).encode())
            if asked == CLOSE:
                return

    def state(self) -> dict[str, Any]:
        """What has become of the trace."""
        full = np.nonzero(self.captures.places[:, CaptureWord.FULL])[0]
        if len(full):
            self.error = self.error or (
                f"router {full[0]} had no room for more than {MOST_NOTES:,} events of ticks that some PE had not"
                " reached; record fewer types, PEs or ticks"
            )
        return {"events": self.writer.written, "error": self.error}

    def give_up(self, error: Exception) -> None:
        """The file cannot be written: the routers go on without recording, the supervisor is told why."""
        self.captures.filter[Filter.ON] = 0
        text = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self.error = self.error or f"{text}, after {self.writer.written:,} events"

    def sort(self, everything: bool) -> None:
        """Does what the routers have left, which wait now: sorts what is complete, or everything."""
        places, routers = self.captures.places, self.captures.routers
        until = FOREVER if everything else sort_for_idle(routers, self.captures.shared)
        deadline = time.monotonic() + _AT_WORK_S
        while self.error is None and (left := np.nonzero(places[:, CaptureWord.SORTED] < until)[0]).size:
            for router in left:
                sort_for(routers[router : router + 1], until, time.monotonic() > deadline)
            self.drain()

    def drain(self) -> int:
        """Writes what all routers have sorted. Returns how many events."""
        if self.error is not None:
            return 0
        sort_for_idle(self.captures.routers, self.captures.shared)
        until = look(self.captures.routers, self.at, self.ends)
        return self.writer.add(lambda out, most, counts: self.put(until, out, most, counts))

    def put(self, until: int, out: NDArray[np.uint32], most: int, counts: NDArray[np.int64]) -> tuple[int, int, int]:
        """Of times before `until`; see `file.Put`."""
        routers = self.captures.routers
        blocks = encode_notes(routers, self.at, self.ends, until, out, most, counts, self.done)
        put_read(routers, self.at)
        return int(self.done[0]), blocks, int(self.done[1])


NATIVES = (sort_for, sort_for_idle, look, put_read, encode_notes)
"""What the recorder calls: to be loaded before the fork."""


def main(captures: CaptureMemory, writer: TraceWriter, control: socket.socket) -> None:
    """Body of the recorder's process."""
    Recorder(captures, writer, control).serve()
