"""Trace files: written in pieces whose bytes do not depend on when, read as far as they can be."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.packets import NO_PORT
from spinn2emu.trace import pcapng
from spinn2emu.trace.output import Output
from spinn2emu.trace.schema import (
    EVENT,
    FRAME,
    INTERFACES,
    LAST_NS,
    OVERRUN,
    PHASE,
    TYPES,
    VERSION,
    Event,
    Meta,
    latency_ns,
)  # fmt: skip

GROUP_EVENTS = 1 << 14
"""Events of a compressed frame, and of what a limited trace forgets at once."""
ZSTD_LEVEL = 1
_PIECE = 1 << 10
"""Events of a group that are encoded at once."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass
class Trace:
    """A trace in memory. `events` (n,) of `schema.EVENT`, of packets; `problem`: what could not be read of the file, or
    None. `phases` (m,) of `schema.PHASE`: those that PEs began, whatever packets were chosen; `overruns` (k,) of
    `schema.OVERRUN`: ticks longer than the timer's period, likewise; `slack`: by PE id, ns that its longest tick since
    its program began has left of that, if its cycles are known. `name`: of the file; `chosen`: by which
    expression; `whole`: first tick, and the one behind the last, of all that was in the file.
    """

    events: NDArray[np.void]
    meta: Meta = field(default_factory=Meta)
    problem: pcapng.Problem | None = None
    phases: NDArray[np.void] = field(default_factory=lambda: np.empty(0, PHASE))
    overruns: NDArray[np.void] = field(default_factory=lambda: np.empty(0, OVERRUN))
    slack: Mapping[int, int] = field(default_factory=dict)
    name: str = ""
    chosen: str = ""
    whole: tuple[int, int] | None = None

    @property
    def ticks(self) -> tuple[int, int]:
        """The first tick in which packets were sent, and the one behind the last, whichever were chosen."""
        if self.whole is not None:
            return self.whole
        return (int(self.events["tick"].min()), int(self.events["tick"].max()) + 1) if len(self.events) else (0, 0)

    def choose(self, mask: NDArray[np.bool_], expression: str) -> Trace:
        """The trace with some of its events, which an expression has chosen."""
        both = f"({self.chosen}) and ({expression})" if self.chosen else expression
        return replace(self, events=self.events[mask], chosen=both, whole=self.ticks)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row per event: see `table.columns`."""
        from spinn2emu.trace.table import to_pandas

        return to_pandas(self)

    def to_arrow(self) -> Any:
        """A pyarrow.Table, a row per event: see `table.columns`."""
        from spinn2emu.trace.table import to_arrow

        return to_arrow(self)


def canonical_order(events: NDArray[np.void]) -> NDArray[np.int64]:
    """The order of events in a file, (n,): by (tick, time, source, target, whether it was sent); see `schema.EVENT`."""
    late = events["event"] != Event.SENT
    begin = events["tick"].astype(np.int64) * spec.TICK_NS.value
    time = np.minimum(events["time"].astype(np.int64) - begin, LAST_NS)
    columns = (events["event"], events["time"], late, events["target"], events["source"], time, events["tick"])
    return np.lexsort(columns)


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
    trace.name = path.name
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
    sections: list[tuple[int, Meta]] = []  # the number of each one's first event
    slack: dict[int, int] = {}
    problem, at, n, done = None, 0, 0, np.zeros(2, np.int64)
    while True:
        why = pcapng.decode(words, at, np.array(ours, np.bool_), events, n, done)
        at, n = done.tolist()
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
            sections.append((n, pcapng.meta_of(body) or Meta()))
        elif words[at] == pcapng.STATISTICS and (said := pcapng.slack_of(body)):
            slack[said[0]] = said[1]
        elif words[at] == pcapng.INTERFACE:
            ours.append(len(body) >= 8 and pcapng.describes_ours(body))
            if sections and not sections[-1][1].pes and ours[-1]:  # a tool has left out the section's comment
                begin, meta = sections[-1]
                sections[-1] = begin, replace(meta, types=pcapng.types_of(body) or meta.types)
        at += int(words[at + 1]) // 4
    meta = _one_meta(events[:n], sections)
    packets = events[:n]["event"] < Event.PHASE
    if packets.all():
        return Trace(events[:n], meta, problem, slack=slack)
    others = events[:n][~packets]
    begun, late = others[others["event"] == Event.PHASE], others[others["event"] == Event.OVERRUN]
    phases, overruns = np.empty(len(begun), PHASE), np.empty(len(late), OVERRUN)
    for name, source in (("pe", "source"), ("tick", "tick"), ("phase", "phase")):
        phases[name], overruns[name] = begun[source], late[source]
    overruns["late_ns"] = latency_ns(late)
    overruns = overruns[np.lexsort((overruns["pe"], overruns["tick"]))]
    return Trace(events[:n][packets], meta, problem, phases, overruns, slack)


def _one_meta(events: NDArray[np.void], sections: list[tuple[int, Meta]]) -> Meta:
    """That of the first section that has PEs; the numbers of types of all events become those of its names."""
    meta = next((meta for _, meta in sections if meta.pes), sections[0][1] if sections else Meta())
    names = list(meta.types)
    if not sections:
        return meta
    for (begin, own), (end, _) in zip(sections, [*sections[1:], (len(events), meta)], strict=True):
        part = events[begin:end]
        if own.version != VERSION:
            ports = own.type_table()[part["source"], part["out"] % spec.MAX_PORTS.value]
            part["type"] = np.where(part["type"] == 0, ports, part["type"])
        if list(own.types) != names:
            names += [name for name in own.types if name not in names]
            number = [names.index(name) if names.index(name) < TYPES else 0 for name in own.types]
            part["type"] = np.array([*number, *range(len(number), TYPES)], np.uint8)[part["type"]]
    return replace(meta, types=names[:TYPES], version=VERSION)


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
    return f"a frame that is not of version 1 to {VERSION} of the schema, or damaged; such frames are left out"


# --- writing ----------------------------------------------------------------------------------------------------------

Put = Callable[[NDArray[np.uint32], int, NDArray[np.int64]], tuple[int, int, int]]
"""put(out, most, counts): writes the next blocks, at most `most`, to `out`, and counts them; returns
the words written, how many blocks they are, and the time of the last event in ns."""


def put_events(events: NDArray[np.void]) -> Put:
    """For `TraceWriter.add`: events (n,) in canonical order."""
    first, done = 0, np.zeros(2, np.int64)

    def put(out: NDArray[np.uint32], most: int, counts: NDArray[np.int64]) -> tuple[int, int, int]:
        nonlocal first
        blocks = pcapng.encode(events, first, out, most, counts, done)
        first += blocks
        return int(done[0]), blocks, int(done[1])

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
        self.last_time = 0
        self.slack: Mapping[int, int] = {}
        """For the end of the file; see `Trace`."""
        self._compress = zstandard().ZstdCompressor(ZSTD_LEVEL).compress if compress else None
        self._head = self._pack(pcapng.head(meta))
        self._piece = np.empty(_PIECE * pcapng.MAX_BLOCK_BYTES // 4, np.uint32)
        self._group: list[bytes] = []
        self._grouped = 0
        least = 2 * (len(self._head) + GROUP_EVENTS * pcapng.MAX_BLOCK_BYTES)
        if limit is not None and limit < least:
            raise ConfigError(f"a trace of at most {limit:,} bytes is too small: {least:,} at least", limit=least)
        self._output = self._begin()
        self._has_older = False
        if limit is not None:
            with contextlib.suppress(OSError):  # what an earlier trace has left that did not come to its end
                self.older.unlink()

    @property
    def written(self) -> int:
        """Events of packets so far."""
        return int(self.counts[:, 0].sum())

    def fileno(self) -> int:
        """The open file, for a process that goes on with the writer."""
        return self._output.fileno()

    def let_go(self) -> None:
        """Closes the file as it is: another process goes on with it."""
        self._output.let_go()

    def add(self, put: Put) -> int:
        """Appends all that `put` has; returns how many blocks."""
        blocks, added = 1, 0
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
            added += blocks
            self.last_time = time if blocks else self.last_time
        return added

    def flush(self) -> None:
        """Lets other programs see what was written; with `compress` or `limit`, whole groups of it."""
        self._output.flush()

    def close(self) -> None:
        """Writes what is left, and the statistics."""
        if self._grouped:
            self._put_group()
        self._output.write(self._pack(pcapng.tail(self.counts, self.last_time, self.slack)))
        self._output.close()
        if self._has_older:
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
            self._has_older = True
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
        writer.slack = trace.slack
        writer.add(put_events(_with_others(events, trace.phases, trace.overruns)))
        writer.close()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", path=str(path)) from error


def _with_others(events: NDArray[np.void], phases: NDArray[np.void], overruns: NDArray[np.void]) -> NDArray[np.void]:
    """All that a file says, in canonical order."""
    if not len(phases) and not len(overruns):
        return events
    begun, late = np.zeros(len(phases), EVENT), np.zeros(len(overruns), EVENT)
    for rows, what in ((phases, begun), (overruns, late)):
        for name, source in (("source", "pe"), ("target", "pe"), ("tick", "tick"), ("phase", "phase")):
            what[name] = rows[source]
        what["time"] = rows["tick"].astype(np.uint64) * np.uint64(spec.TICK_NS.value)
        what["port"] = NO_PORT
    begun["event"], late["event"] = Event.PHASE, Event.OVERRUN
    late["sent"] = spec.TICK_NS.value
    late["time"] += late["sent"].astype(np.uint64) + overruns["late_ns"].astype(np.uint64)
    both = np.concatenate([events, begun, late])
    return both[canonical_order(both)]
