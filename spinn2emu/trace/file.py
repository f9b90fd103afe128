"""Trace files: written in pieces whose bytes do not depend on when, read as far as they can be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2emu.trace import pcapng
from spinn2emu.trace.output import Output
from spinn2emu.trace.schema import EVENT, FRAME, INTERFACES, Meta

GROUP_EVENTS = 1 << 14
"""Events of a compressed frame, and of what a limited trace forgets at once."""
ZSTD_LEVEL = 1
_PIECE = 1 << 10
"""Events of a group that are encoded at once."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass
class Trace:
    """A trace in memory. `events` (n,) of `schema.EVENT`; `problem`: what could not be read of the file, or None."""

    events: NDArray[np.void]
    meta: Meta = field(default_factory=Meta)
    problem: pcapng.Problem | None = None

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row per event: see `table.columns`."""
        from spinn2emu.trace.table import to_pandas

        return to_pandas(self)

    def to_arrow(self) -> Any:
        """A pyarrow.Table, a row per event: see `table.columns`."""
        from spinn2emu.trace.table import to_arrow

        return to_arrow(self)


def canonical_order(events: NDArray[np.void]) -> NDArray[np.int64]:
    """The order of events in a file, (n,): by (time, source, target, event)."""
    return np.lexsort((events["event"], events["target"], events["source"], events["time"]))


# --- reading ----------------------------------------------------------------------------------------------------------


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Reads a pcapng file, compressed by zstd or not. What follows a block that is damaged is not read; see `problem`.

    Raises ConfigError if there is no such file, or it is no trace at all.
    """
    path = Path(path)
    data = _load(path)
    if len(data) < 28 or data[:4] != pcapng.SECTION.to_bytes(4, "little"):
        what = "is not a pcapng file" if len(data) or path.stat().st_size else "is empty"
        raise ConfigError(f"{path} {what}: byte 0 should begin a section header (0a 0d 0d 0a)", path=str(path))
    if data[8:12] == pcapng.MAGIC.to_bytes(4, "big"):
        raise ConfigError(f"{path} is in big-endian byte order, which spinn2emu never writes", path=str(path))
    trace = parse(data)
    if trace.problem is not None and not len(trace.events) and not trace.meta.pes:
        raise ConfigError(f"{path}: {trace.problem.text}, at byte {trace.problem.position}", path=str(path))
    return trace


def _load(path: Path) -> bytes | np.memmap[Any, Any]:
    try:
        with open(path, "rb") as file:
            compressed = file.read(4) == ZSTD_MAGIC
            if compressed:
                file.seek(0)
                return _decompress(file)
        return np.memmap(path, np.uint8, "r").data if path.stat().st_size else b""  # type: ignore[return-value]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", path=str(path)) from error


def _decompress(file: IO[bytes]) -> bytes:
    """All that can be decompressed."""
    reader = zstandard().ZstdDecompressor().stream_reader(file, read_across_frames=True)
    parts: list[bytes] = []
    while True:
        try:
            part = reader.read(1 << 22)
        except zstandard().ZstdError:
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)


def zstandard() -> Any:
    """The module. Raises ConfigError without the extra."""
    try:
        import zstandard as module
    except ImportError:
        raise ConfigError("compressed traces need zstandard: pip install 'spinn2emu[trace]'") from None
    return module


def parse(data: Any) -> Trace:
    """The trace in the bytes of a pcapng file, of one section or several."""
    words = np.frombuffer(data, np.uint32, len(data) // 4)
    events = pcapng.new_events(4 * len(words) // (pcapng.BLOCK_BYTES + FRAME.itemsize) + 1)
    ours: list[bool] = []
    meta, problem, at, n = Meta(), None, 0, 0
    while True:
        at, n, why = pcapng.decode(words, at, np.array(ours, np.bool_), events, n)
        if why == pcapng.ENDED:
            if len(data) % 4:
                problem = problem or pcapng.Problem(4 * at, "the file ends within a block")
            break
        if why == pcapng.TORN:
            problem = problem or pcapng.Problem(4 * at, _what_is_torn(words, at))
            break
        body = words[at + 2 : at + int(words[at + 1]) // 4 - 1].tobytes()
        if why == pcapng.FOREIGN:
            problem = problem or pcapng.Problem(4 * at, _what_is_foreign(body, ours))
        elif words[at] == pcapng.SECTION:
            if body[:4] != pcapng.MAGIC.to_bytes(4, "little"):
                problem = problem or pcapng.Problem(
                    4 * at, "a section in another byte order, which spinn2emu never writes"
                )
                break
            ours = []
            comments = [value for code, value in pcapng.parse_options(body[16:]) if code == pcapng.COMMENT]
            meta = meta if meta.pes or not comments else Meta.from_json(comments[0].decode(errors="replace"))
        elif words[at] == pcapng.INTERFACE:
            ours.append(len(body) >= 8 and pcapng.describes_ours(body))
        at += int(words[at + 1]) // 4
    return Trace(events[:n], meta, problem)


def _what_is_torn(words: NDArray[np.uint32], at: int) -> str:
    if at + 2 > len(words):
        return "the file ends within a block"
    length = int(words[at + 1])
    if length >= 12 and length % 4 == 0 and at + length // 4 > len(words):
        return f"the file ends within a block of {length} bytes: it was cut off, or is still being written"
    return f"a block claims a length of {length} bytes, which it does not have: the file is damaged from here on"


def _what_is_foreign(body: bytes, ours: list[bool]) -> str:
    number = int.from_bytes(body[:4], "little")
    if number >= len(ours):
        return f"a packet of interface {number}, which is not described; such packets are left out"
    if not ours[number]:
        return "packets of another link type than USER0 (147), or without nanoseconds; they are left out"
    return "a frame that is not of version 1 of the schema, or damaged; such frames are left out"


# --- writing ----------------------------------------------------------------------------------------------------------

Put = Callable[[NDArray[np.uint32], int, NDArray[np.int64]], tuple[int, int, int]]
"""put(out, most, counts): writes the next blocks, at most `most`, to `out`, and counts them; see `pcapng.encode`."""


def put_events(events: NDArray[np.void]) -> Put:
    """For `TraceWriter.add`: events (n,) in canonical order."""
    done = 0

    def put(out: NDArray[np.uint32], most: int, counts: NDArray[np.int64]) -> tuple[int, int, int]:
        nonlocal done
        words, blocks, time = pcapng.encode(events, done, out, most, counts)
        done += blocks
        return words, blocks, time

    return put


class TraceWriter:
    """Writes events in canonical order to a file, or keeps the last of them in a file of limited size.

    compress: by zstd, in frames of GROUP_EVENTS. limit: bytes; the file and a second one beside it, FILE.older, never
    hold more together, and become one at the end.

    The bytes depend on the events alone, not on how they come in portions. Raises OSError.
    """

    def __init__(self, path: Path, meta: Meta, compress: bool = False, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.older = path.with_name(f"{path.name}.older")
        self.counts = np.zeros((INTERFACES, 2), np.int64)
        self.written, self.last_time = 0, 0
        self._compress = zstandard().ZstdCompressor(ZSTD_LEVEL).compress if compress else None
        self._head = self._pack(pcapng.head(meta))
        self._piece = np.empty(_PIECE * pcapng.MAX_BLOCK_BYTES // 4, np.uint32)
        self._group: list[bytes] = []
        self._grouped = 0
        least = 2 * (len(self._head) + GROUP_EVENTS * pcapng.MAX_BLOCK_BYTES)
        if limit is not None and limit < least:
            raise ConfigError(f"a trace of at most {limit:,} bytes is too small: {least:,} at least", limit=least)
        self._output = self._begin()

    def fileno(self) -> int:
        """The open file, for a process that goes on with the writer."""
        return self._output.fileno()

    def let_go(self) -> None:
        """Closes the file as it is: another process goes on with it."""
        self._output.let_go()

    def add(self, put: Put) -> None:
        """Appends all that `put` has."""
        blocks = 1
        while blocks:
            if self._compress is None and self.limit is None:
                room = self._output.room()
                words, blocks, time = put(room, room.nbytes // pcapng.MAX_BLOCK_BYTES, self.counts)
                self._output.advance(4 * words)
            else:
                words, blocks, time = put(self._piece, min(_PIECE, GROUP_EVENTS - self._grouped), self.counts)
                self._group.append(self._piece[:words].tobytes())
                self._grouped += blocks
                if self._grouped == GROUP_EVENTS:
                    self._put_group()
            self.written += blocks
            self.last_time = time if blocks else self.last_time

    def flush(self) -> None:
        """Lets other programs see what was written; with `compress` or `limit`, whole groups of it."""
        self._output.flush()

    def close(self) -> None:
        """Writes what is left, and the statistics."""
        if self._grouped:
            self._put_group()
        self._output.write(self._pack(pcapng.tail(self.counts, self.last_time)))
        self._output.close()
        if self.limit is not None and self.older.exists():
            self._join()

    def _begin(self) -> Output:
        output = Output(self.path)
        output.write(self._head)
        return output

    def _put_group(self) -> None:
        data = self._pack(b"".join(self._group))
        self._group, self._grouped = [], 0
        if self.limit is not None and self._output.size + len(data) > self.limit // 2:
            self._output.close()
            os.replace(self.path, self.older)
            self._output = self._begin()
        self._output.write(data)

    def _pack(self, data: bytes) -> bytes:
        return self._compress(data) if self._compress else data

    def _join(self) -> None:
        """Appends the newer file's packets to the older one's, which takes its name."""
        with open(self.path, "rb") as newer, open(self.older, "ab") as older:
            newer.seek(len(self._head))
            shutil.copyfileobj(newer, older, 1 << 22)
        os.replace(self.older, self.path)


def write_trace(path: str | os.PathLike[str], trace: Trace, compress: bool = False) -> None:
    """Writes a trace. Raises ConfigError if its events are not in canonical order, or it cannot be written."""
    events = np.ascontiguousarray(trace.events)
    if events.dtype != EVENT:
        raise ConfigError(f"events are of dtype {EVENT}, not {events.dtype}")
    order = canonical_order(events)
    if (order != np.arange(len(order))).any():
        raise ConfigError("events must be in order: sort them by `canonical_order`")
    try:
        writer = TraceWriter(Path(path), trace.meta, compress)
        writer.add(put_events(events))
        writer.close()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", path=str(path)) from error
