"""pcapng blocks (draft-ietf-opsawg-pcapng): the file's head, one block per event, statistics at the end; compiled.

A file is one section: its header with a comment (`schema.Meta` as JSON; several, if it is too long for one),
all interfaces (event router, PEs, links) with the names of the types of packets, then an enhanced packet block per
event, and interface statistics. Little-endian, timestamps in ns of virtual time since tick 0. No date, no host name:
equal runs give equal files.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.jit import Array, inlined, native, put_uint64
from spinn2emu.trace.schema import (
    CHIP_TYPES,
    DROPS,
    EVENT,
    FRAME,
    INTERFACES,
    LINKTYPE,
    TYPES,
    VERSION,
    Event,
    Meta,
    interface_name,
)
from spinn2emu.version import VERSION as RELEASE

SECTION, INTERFACE, STATISTICS, PACKET_BLOCK = 0x0A0D0D0A, 1, 5, 6
MAGIC = 0x1A2B3C4D
END_OF_OPTIONS, COMMENT, HARDWARE, APPLICATION, IF_NAME, IF_DESCRIPTION, IF_TSRESOL, IF_RECEIVED, IF_DROPPED = (
    0, 1, 2, 4, 2, 3, 9, 4, 5,
)  # fmt: skip
"""Option codes; those of interfaces and sections overlap."""
NANOSECONDS = 9
MOST_OPTION_BYTES = 65_532
"""Of an option's value: its length has 16 bits."""

BLOCK_BYTES = 32
"""An enhanced packet block without its frame and options."""


def options(*pairs: tuple[int, bytes]) -> bytes:
    """Options of a block, each padded to 4 bytes, with the end mark."""
    parts = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in pairs]
    return b"".join(parts) + bytes(4)


def block(kind: int, body: bytes) -> bytes:
    """A block of any type around `body`, whose length is a multiple of 4."""
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def head(meta: Meta) -> bytes:
    """The section header and all interface descriptions."""
    text = meta.to_json().encode()
    comments = [(COMMENT, text[at : at + MOST_OPTION_BYTES]) for at in range(0, len(text), MOST_OPTION_BYTES)]
    about = options(
        (HARDWARE, b"SpiNNaker2 (emulated)"), (APPLICATION, f"spinn2emu {RELEASE}".encode()), *comments,
    )  # fmt: skip
    parts = [block(SECTION, struct.pack("<IHHq", MAGIC, 1, 0, -1) + about)]
    names = names_of(meta)
    for number in range(INTERFACES):
        pairs = [
            (IF_NAME, interface_name(number).encode()),
            (IF_DESCRIPTION, describe(meta, number, names).encode()[:MOST_OPTION_BYTES]),
            (IF_TSRESOL, bytes([NANOSECONDS])),
        ]  # fmt: skip
        parts.append(block(INTERFACE, struct.pack("<HHI", LINKTYPE, 0, 0) + options(*pairs)))
    return b"".join(parts)


def describe(meta: Meta, number: int, names: Sequence[str] | None = None) -> str:
    """An interface: its program, and `names_of` the trace."""
    name = interface_name(number)
    names = names_of(meta) if names is None else names
    return "; ".join([meta.pes[name].program, *names] if name in meta.pes else names)


def names_of(meta: Meta) -> list[str]:
    """The populations and types that numbers stand for, which a dissector finds nowhere else."""
    own = list(enumerate(meta.types))[len(CHIP_TYPES) :]
    types = ["types: " + ", ".join(f"{i} {kind}" for i, kind in own)] if own else []
    return [*([_populations(meta)] if meta.parts else []), *types]


def _populations(meta: Meta) -> str:
    """`populations: 77-79+83 exc, 80 inh`: ids of PEs, and a name in which marks are %-encoded."""
    pes: dict[str, list[int]] = {}
    for name, part in meta.parts.items():
        pes.setdefault(part.population, []).append(geometry.pe_id(name))
    listed = (f"{_ranges(sorted(pes[name]))} {re.sub('[%,;:]', _encoded, name)}" for name in meta.populations())
    return f"populations: {', '.join(listed)}"


def _encoded(mark: re.Match[str]) -> str:
    return f"%{ord(mark[0]):02x}"


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers, those that follow each other as `first-last`."""
    begins = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return "+".join(f"{a}-{b}" if a < b else str(a) for a, b in zip(begins, ends, strict=True))


def types_of(body: bytes) -> list[str] | None:
    """Names of types by number that an interface's description has; None if it has none."""
    text = dict(parse_options(body[8:])).get(IF_DESCRIPTION, b"").decode(errors="replace")
    _, found, listed = text.rpartition("types: ")
    own = [name.partition(" ")[2] for name in listed.split(", ")] if found else []
    return [*CHIP_TYPES, *own][:TYPES] if own and all(own) else None


def meta_of(body: bytes) -> Meta | None:
    """What the comments of a section's header say; None without comments."""
    comments = [value.decode(errors="replace") for code, value in parse_options(body[16:]) if code == COMMENT]
    while comments and not comments[0].startswith("{"):  # somebody else's
        comments.pop(0)
    return Meta.from_json("".join(comments)) if comments else None


def tail(counts: NDArray[np.int64], time: int, slack: Mapping[int, int]) -> bytes:
    """Statistics of every interface that saw events, or whose slack is known; `counts` (INTERFACES, 2): events, and
    drops among them; `slack`: in ns, by PE id."""
    stamp = struct.pack("<II", time >> 32, time & 0xFFFFFFFF)
    parts = []
    for number in sorted({*np.nonzero(counts[:, 0])[0].tolist(), *slack}):
        pairs = [
            (code, struct.pack("<Q", int(n))) for code, n in zip((IF_RECEIVED, IF_DROPPED), counts[number], strict=True)
        ]
        if number in slack:
            pairs.insert(0, (COMMENT, f"slack {slack[number]} ns".encode()))
        parts.append(block(STATISTICS, struct.pack("<I", number) + stamp + options(*pairs)))
    return b"".join(parts)


def slack_of(body: bytes) -> tuple[int, int] | None:
    """What a block of statistics says of a PE: its id and its slack in ns."""
    for code, value in parse_options(body[12:]):
        found = re.fullmatch(rb"slack (-?[0-9]{1,18}) ns", value) if code == COMMENT else None
        pe = int.from_bytes(body[:4], "little")
        if found and pe in geometry.PE_IDS:
            return pe, int(found[1])
    return None


# --- events to blocks -------------------------------------------------------------------------------------------------

_FRAME_WORDS, _BLOCK_WORDS = FRAME.itemsize // 4, BLOCK_BYTES // 4
_SENT, _UNROUTED, _OFF_CHIP, _PHASE, _1, _3, _4, _14, _LOW, _FRAME_BYTES, _BLOCK_BYTES, _EPB, _VERSION, _TICK_NS = (
    np.uint64(n) for n in (
        Event.SENT, Event.UNROUTED, Event.OFF_CHIP, Event.PHASE, 1, 3, 4, 14, 0xFFFFFFFF, FRAME.itemsize, BLOCK_BYTES,
        PACKET_BLOCK, VERSION, spec.TICK_NS.value,
    )
)  # fmt: skip
_AT_1, _AT_2, _AT_3, _AT_4 = (np.uint64(8 * byte) for byte in range(1, 5))
_EVENTS, _TYPES, _INTERFACES, _NEWEST = len(Event), TYPES, INTERFACES, VERSION


def _comments() -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """The options of each event's block, as words (len(Event), n), and how many words they are."""
    texts = [options((COMMENT, f"dropped: {DROPS[e]}".encode())) if e in DROPS else b"" for e in Event]
    words = np.zeros((len(texts), max(map(len, texts)) // 4), np.uint32)
    for row, text in zip(words, texts, strict=True):
        row[: len(text) // 4] = np.frombuffer(text, np.uint32)
    return words, np.array([len(text) // 4 for text in texts], np.uint64)


_COMMENT, _COMMENT_WORDS = _comments()
MAX_BLOCK_BYTES = int(BLOCK_BYTES + FRAME.itemsize + 16 + 4 * _COMMENT_WORDS.max())


@inlined
def _payload_words(control):  # type: ignore[no-untyped-def]
    """Words of payload that a control byte announces: 0, 1, 2 or 4."""
    return _1 << (np.uint64(control) >> _4 & _3) >> _1


@inlined
def put_block(  # type: ignore[no-untyped-def]
    out, n, counts, time, tick, sent, latency, key, payload, source, target, event, kind, port, phase, way_out, hops,
    control,
):  # fmt: skip
    """Writes the block of an event to `out` (uint32) from word n on; returns the word behind it. Counts it.

    All numbers, and the two of the payload, are uint64. Writes past the block's end, never more than MAX_BLOCK_BYTES
    from n on.
    """
    words, extra = _payload_words(control), _COMMENT_WORDS[event]
    place = source if event == _SENT else target
    caught = _FRAME_BYTES + _4 * words
    length = _BLOCK_BYTES + caught + _4 * extra
    what = _VERSION | event << _AT_1 | kind << _AT_2 | port << _AT_3
    ways = phase | way_out << _AT_1 | hops << _AT_2 | control << _AT_3
    to = out.ctypes.data + 4 * np.int64(n)  # two words at once, without a check of each index: a third of the time
    put_uint64(to, _EPB | length << _AT_4)
    put_uint64(to + 8, place | time >> _AT_4 << _AT_4)
    put_uint64(to + 16, time & _LOW | caught << _AT_4)
    put_uint64(to + 24, caught | what << _AT_4)
    put_uint64(to + 32, source | target << _AT_2 | tick << _AT_4)
    put_uint64(to + 40, sent & _LOW | ways << _AT_4)
    put_uint64(to + 48, latency | key << _AT_4)
    put_uint64(to + 56, payload[0])
    put_uint64(to + 64, payload[1])
    n = np.uint64(n) + _14 + words
    for word in range(extra):
        out[n] = _COMMENT[event, word]
        n += np.uint64(1)
    out[n] = length
    if event < _PHASE:
        counts[place, 0] += 1
    if event >= _UNROUTED and event <= _OFF_CHIP:
        counts[place, 1] += 1
    return n + np.uint64(1)


_NUMBERS, _WORDS = Array(np.dtype("i8")), Array(np.dtype("u4"))


@native(Array(EVENT), int, _WORDS, int, Array(np.dtype("i8"), 2), _NUMBERS)
def encode(events, first, out, most, counts, done):  # type: ignore[no-untyped-def]
    """Writes the blocks of events number `first` on, at most `most`, to `out` (uint32), which has room for
    MAX_BLOCK_BYTES each. Counts by interface, see `tail`.

    Returns how many blocks they are; `done` (2,) gets the words written and the time of the last event in ns.
    """
    n, time, end = np.uint64(0), np.uint64(0), min(first + most, events.shape[0])
    for i in range(first, end):
        e = events[i]
        tick, sent, control, key = np.uint64(e.tick), np.uint64(e.sent), np.uint64(e.control), np.uint64(e.key)
        source, target, event, kind = np.uint64(e.source), np.uint64(e.target), np.uint64(e.event), np.uint64(e.type)
        port, phase, way_out, hops = np.uint64(e.port), np.uint64(e.phase), np.uint64(e.out), np.uint64(e.hops)
        payload = (
            np.uint64(e.payload[0]) | np.uint64(e.payload[1]) << _AT_4,
            np.uint64(e.payload[2]) | np.uint64(e.payload[3]) << _AT_4,
        )
        time = e.time
        latency = time - tick * _TICK_NS - sent & _LOW
        n = put_block(
            out, n, counts, time, tick, sent, latency, key, payload, source, target, event, kind, port, phase, way_out,
            hops, control,
        )  # fmt: skip
    done[0], done[1] = n, time
    return end - first


# --- blocks to events -------------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """What is wrong with a file, and where: the byte at which a block begins."""

    position: int
    text: str


OTHER_BLOCK, ENDED, TORN, FOREIGN = range(4)
"""Why `decode` stopped: a block of another type, the end, a block that makes no sense, a frame that is not ours."""
_OTHER_BLOCK, _ENDED, _TORN, _FOREIGN = OTHER_BLOCK, ENDED, TORN, FOREIGN


@inlined
def _fits(words, at, caught):  # type: ignore[no-untyped-def]
    """Whether the frame whose first word is `at`, of `caught` bytes, is one of ours."""
    if caught < 4 * _FRAME_WORDS or not 1 <= words[at] & 0xFF <= _NEWEST:
        return False
    payload = np.int64(_payload_words(words[at + 4] >> 24))
    known = words[at] >> 8 & 0xFF < _EVENTS and words[at] >> 16 & 0xFF < _TYPES
    place = words[at + 1]
    return (
        known and place & 0xFFFF < _INTERFACES and place >> 16 < _INTERFACES and caught == 4 * (_FRAME_WORDS + payload)
    )


@native(_WORDS, int, Array(np.dtype("?")), Array(EVENT), int, _NUMBERS)
def decode(words, at, ours, events, n, done):  # type: ignore[no-untyped-def]
    """Reads packet blocks from word `at` of the file on into `events`, from number `n` on.

    `ours[i]`: interface i has our link type and nanoseconds. The type of packets of version 1 is that of the chip.
    Returns why it stopped; `done` gets (at, n).
    """
    why = _ENDED
    while at < words.shape[0]:
        if at + 3 > words.shape[0]:
            why = _TORN
            break
        length = np.int64(words[at + 1])
        if length < 12 or length & 3 or at + length // 4 > words.shape[0] or words[at + length // 4 - 1] != length:
            why = _TORN
            break
        if words[at] != _EPB:
            why = _OTHER_BLOCK
            break
        caught = np.int64(words[at + 5]) if length >= 4 * _BLOCK_WORDS else np.int64(-1)
        if caught < 0 or (caught + 3) // 4 > length // 4 - _BLOCK_WORDS:
            why = _TORN
            break
        if caught != words[at + 6]:
            why = _FOREIGN  # a part of a frame
            break
        if words[at + 2] >= ours.shape[0] or not ours[words[at + 2]] or not _fits(words, at + 7, caught):
            why = _FOREIGN
            break
        e = events[n]
        e.time = np.uint64(words[at + 3]) << np.uint64(32) | np.uint64(words[at + 4])
        e.event = words[at + 7] >> 8 & 0xFF
        e.type = words[at + 7] >> 16 & 0xFF if words[at + 7] & 0xFF == _NEWEST else words[at + 11] >> 30
        e.port = words[at + 7] >> 24
        e.source = words[at + 8] & 0xFFFF
        e.target = words[at + 8] >> 16
        e.tick = words[at + 9]
        e.sent = words[at + 10]
        e.phase = words[at + 11] & 0xFF
        e.out = words[at + 11] >> 8 & 0xFF
        e.hops = words[at + 11] >> 16 & 0xFF
        e.control = words[at + 11] >> 24
        e.reserved = 0
        e.key = words[at + 13]
        for word in range(4):
            e.payload[word] = words[at + 14 + word] if 14 + word < 7 + caught // 4 else np.uint32(0)
        n += 1
        at += length // 4
    done[0], done[1] = at, n
    return why


def parse_options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and value of each option. What does not fit ends it."""
    at = 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from("<HH", data, at)
        if code == END_OF_OPTIONS:
            return
        if at + 4 + size > len(data):
            return
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4


def describes_ours(body: bytes) -> bool:
    """Whether an interface description has our link type and nanoseconds."""
    return struct.unpack_from("<H", body)[0] == LINKTYPE and dict(parse_options(body[8:])).get(IF_TSRESOL) == bytes(
        [NANOSECONDS]
    )


def new_events(count: int) -> NDArray[np.void]:
    """An array for `count` events."""
    return np.empty(count, EVENT)
