"""The bytes of a trace, against the standard's layout; writing and reading, whole and damaged."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.frames import FOREVER, MAX_ROUTERS
from spinn2emu.packets import PACKET
from spinn2emu.sdk import TX_PACKETS
from spinn2emu.trace import file as trace_file
from spinn2emu.trace import pcapng
from spinn2emu.trace.capture import LATE, MOST_NOTES, CaptureMemory, CaptureWord, put_in_order
from spinn2emu.trace.file import Trace, TraceWriter, canonical_order, parse, put_events, read_trace, write_trace
from spinn2emu.trace.merge import encode_notes, look, put_read
from spinn2emu.trace.notes import HOPS, LATENCY, NOTE, NOTE_WORDS, RANK_BITS, SPAN, TIME_BITS
from spinn2emu.trace.schema import (
    CHIP_TYPES,
    DROPS,
    EVENT,
    FRAME,
    INTERFACES,
    LAST_NS,
    LINK,
    LINKTYPE,
    OVERRUN,
    PHASE,
    TYPES,
    Event,
    Meta,
    PeInfo,
    interface_name,
    latency_ns,
    type_of_port,
    types_of_ports,
)
from spinn2emu.trace.schema import VERSION as SCHEMA_VERSION

META = Meta({"1.1.0": PeInfo("spinn2fw.eventprop.input", ["control"], ["spikes"], ["wait", "play"])})


def event(**fields: Any) -> NDArray[np.void]:
    """One event, with 0 in all other fields."""
    events = np.zeros(1, EVENT)
    for name, value in fields.items():
        events[name][0] = value
    return events


def random_events(rng: np.random.Generator, count: int) -> NDArray[np.void]:
    """Different events in canonical order, every field anywhere in its range."""
    events = np.zeros(count, EVENT)
    events["tick"] = rng.integers(0, 300, count)
    events["sent"] = np.where(
        rng.random(count) < 0.8, rng.integers(0, 1_000_000, count), rng.integers(0, 1 << 31, count)
    )
    events["event"] = rng.integers(0, Event.PHASE, count)
    events["source"] = rng.integers(1, LINK, count)
    events["target"] = np.where(events["event"] == Event.SENT, 0, rng.integers(1, INTERFACES, count))
    late = np.where(events["event"] == Event.SENT, 0, rng.integers(1, 400, count))
    events["time"] = events["tick"].astype(np.uint64) * 1_000_000 + events["sent"] + late.astype(np.uint64)
    events["control"] = rng.choice([0x00, 0x10, 0x20, 0x30], count)
    for name, limit in (("type", TYPES), ("port", 256), ("phase", 8), ("out", 8), ("hops", 20), ("key", 1 << 32)):
        events[name] = rng.integers(0, limit, count)
    words = np.array([0, 1, 2, 4])[events["control"] >> 4]
    for word in range(4):
        events["payload"][:, word] = np.where(words > word, rng.integers(0, 1 << 32, count), 0)
    _, first = np.unique(events[["tick", "time", "source", "target", "event"]], return_index=True)
    events = events[np.sort(first)]
    return events[canonical_order(events)]


# --- bytes ------------------------------------------------------------------------------------------------------------


def blocks_of(data: bytes) -> list[tuple[int, bytes]]:
    """Type and body of every block, as the standard says."""
    blocks, at = [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        blocks.append((kind, data[at + 8 : at + length - 4]))
        at += length
    return blocks


def encoded(events: NDArray[np.void]) -> bytes:
    out = np.zeros(len(events) * pcapng.MAX_BLOCK_BYTES // 4, np.uint32)
    counts = np.zeros((INTERFACES, 2), np.int64)
    done = np.zeros(2, np.int64)
    pcapng.encode(events, 0, out, len(events), counts, done)
    return out[: done[0]].tobytes()


def test_a_received_error_has_these_bytes() -> None:
    data = encoded(event(
        time=(5 << 32) + 160, tick=21_474, sent=836_493, key=0x21000003, payload=(0x3F800000, 0, 0, 0), source=99,
        target=98, event=Event.RECEIVED, type=5, port=3, phase=1, out=2, hops=9, control=0x10,
    ))  # fmt: skip
    # type 6, length; interface, time high, low, captured, original length
    assert data[:28] == struct.pack("<IIIIIII", 6, 64, 98, 5, 160, 32, 32)
    # version, event, type, port, source, target, tick, sent
    assert data[28:44] == struct.pack("<BBBBHHII", 2, 1, 5, 3, 99, 98, 21_474, 836_493)
    # phase, out, hops, control, latency, key, payload, length again
    latency = (5 << 32) + 160 - 21_474 * 1_000_000 - 836_493
    assert data[44:] == struct.pack("<BBBBIIfI", 1, 2, 9, 0x10, latency, 0x21000003, 1.0, 64)
    assert latency == 147


def test_a_dropped_packet_says_why_in_a_comment() -> None:
    data = encoded(event(event=Event.FIFO_FULL, source=5, target=9))
    kind, body = blocks_of(data)[0]
    assert kind == 6 and body[12:20] == struct.pack("<II", 28, 28)
    assert dict(pcapng.parse_options(body[20 + 28 :])) == {1: b"dropped: the receive FIFO of the target is full"}


def test_a_file_begins_with_a_section_and_all_interfaces_and_ends_with_statistics(tmp_path: Path) -> None:
    events = np.concatenate([
        event(event=Event.SENT, source=77, time=3, sent=3),
        event(event=Event.RECEIVED, source=77, target=9, time=80, sent=3),
        event(event=Event.NOT_LIVE, source=77, target=9, time=1_000_090, sent=3, tick=1),
    ])  # fmt: skip
    write_trace(tmp_path / "a.pcapng", Trace(events, META))
    blocks = blocks_of((tmp_path / "a.pcapng").read_bytes())
    assert [kind for kind, _ in blocks] == [0x0A0D0D0A, *[1] * INTERFACES, 6, 6, 6, 5, 5]
    assert blocks[0][1][:16] == struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    names = [dict(pcapng.parse_options(body[8:]))[2].decode() for kind, body in blocks if kind == 1]
    assert names == [interface_name(i) for i in range(INTERFACES)]
    assert (names[0], names[1], names[77], names[152], names[153], names[158]) == (
        "router", "7.6.0", "1.1.0", "5.3.3", "link0", "link5",
    )  # fmt: skip
    for kind, body in blocks:
        if kind == 1:
            assert struct.unpack_from("<HHI", body) == (147, 0, 0)
            assert dict(pcapng.parse_options(body[8:]))[9] == b"\x09"
    statistics = [
        (struct.unpack_from("<III", body), dict(pcapng.parse_options(body[12:]))) for k, body in blocks if k == 5
    ]
    count = lambda n: struct.pack("<Q", n)  # noqa: E731
    assert statistics == [
        ((9, 0, 1_000_090), {4: count(2), 5: count(1)}),
        ((77, 0, 1_000_090), {4: count(1), 5: count(0)}),
    ]


def test_the_file_says_nothing_of_when_and_where(tmp_path: Path) -> None:
    for name in "ab":
        write_trace(tmp_path / name, Trace(random_events(np.random.default_rng(1), 50), META))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_meta_survives_and_what_is_not_ours_is_empty() -> None:
    assert Meta.from_json(META.to_json()).to_json() == META.to_json()
    assert META.name_of("phases", 77, 1) == "play" and META.name_of("phases", 77, 5) == "5"
    for text in (
        "",
        "{}",
        "null",
        "[" * 100_000,
        '{"pes": {"1.1.0": {"program": 1, "inputs": 3}}, "filter": {}}',
        '{"pes": 3, "filter": {}}',
        '{"pes": {"1.1.0": {"x": 1}}, "filter": {}}',
        META.to_json().replace('"began": {}', '"began": {"9.9.9": [0, 0]}'),
        META.to_json().replace('"began": {}', '"began": {"1.1.0": [0, 1e400]}'),
        META.to_json().replace('"began": {}', '"began": {"1.1.0": [-1, 3]}'),
        META.to_json().replace('"began": {}', '"began": {"1.1.0": 3}'),
        META.to_json().replace('"pes": {"1.1.0": 0', '"pes": {"1.1.0": 1'),
    ):
        assert Meta.from_json(text) == Meta()


def test_each_program_stands_once_in_the_head_and_a_long_head_is_read_too(tmp_path: Path) -> None:
    """152 PEs: with one program the head is short; with as many programs the JSON needs several options."""
    names = [interface_name(pe) for pe in range(1, LINK)]
    ports = [f"port_{'x' * 90}{i}" for i in range(8)]
    same = Meta({name: PeInfo("p", ports, ports, ports) for name in names})
    assert len(same.to_json()) < 8_000
    many = Meta({name: PeInfo(f"a_package_{name}", ports, ports, ports) for name in names}, {"types": ["spike"]})
    assert len(many.to_json()) > 5 * pcapng.MOST_OPTION_BYTES
    for meta in (same, many):
        write_trace(tmp_path / "t", Trace(SMALL, meta))
        assert read_trace(tmp_path / "t").meta == meta
    header = blocks_of((tmp_path / "t").read_bytes())[0][1]
    comments = [value for code, value in pcapng.parse_options(header[16:]) if code == pcapng.COMMENT]
    assert len(comments) == 6 and max(map(len, comments)) == pcapng.MOST_OPTION_BYTES < 1 << 16


def test_a_comment_of_somebody_else_does_not_hide_ours() -> None:
    about = pcapng.options((pcapng.COMMENT, b"taken on Monday"), (pcapng.COMMENT, META.to_json().encode()),
                           (pcapng.COMMENT, b"and kept"))  # fmt: skip
    section = pcapng.block(pcapng.SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + about)
    assert parse(section).meta == META


@pytest.mark.parametrize(
    ("port", "kind"),
    [("spikes", "spike"), ("spike", "spike"), ("weights12", "weight"), ("control", "control"), ("Votes", "vote"),
     ("to-left", "to_left"), ("globals", "multicast"), ("s", "s"), ("7", "7"), ("", "multicast")],
)  # fmt: skip
def test_the_type_comes_from_the_ports_name(port: str, kind: str) -> None:
    assert type_of_port(port) == kind


def test_types_are_numbered_in_the_order_of_the_ports_and_their_number_is_limited() -> None:
    chip = ["multicast", "core_to_core", "nearest_neighbour", "global"]
    assert types_of_ports(["spikes", "votes2", "globals", "spikes3", "vote"]) == [*chip, "spike", "vote"]
    names = [f"{letter}-port" for letter in "abcdefghijkl"]
    assert len(types_of_ports(names)) == TYPES
    with pytest.raises(ConfigError, match=r"12 kinds of output ports apart, .* 13: a_port, .*, more") as caught:
        types_of_ports([*names, "more"])
    assert caught.value.limit == 12 and caught.value.types[-1] == "more"


def test_every_drop_has_a_reason() -> None:
    no_drops = (Event.SENT, Event.RECEIVED, Event.PHASE, Event.OVERRUN)
    assert list(DROPS) == [e for e in Event if e not in no_drops]


def test_interfaces_say_what_the_types_numbers_mean() -> None:
    """A dissector of single frames sees nothing else of the file."""
    meta = Meta({"1.1.0": PeInfo("a.b", [], ["spikes", "votes"])})
    assert pcapng.describe(meta, 77) == "a.b; types: 4 spike, 5 vote"
    assert pcapng.describe(meta, 78) == "types: 4 spike, 5 vote"
    assert pcapng.describe(Meta(), 78) == ""


def test_a_section_that_lost_its_comment_keeps_its_types() -> None:
    whole = pcapng.head(META)
    size = struct.unpack_from("<I", whole, 4)[0]
    bare = pcapng.block(pcapng.SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    trace = parse(bare + whole[size:] + encoded(SMALL))
    assert trace.meta.types == META.types and not trace.meta.pes and len(trace.events) == len(SMALL)


# --- there and back ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(0, 400), st.booleans())
@settings(max_examples=30)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, compress: bool
) -> None:
    path = tmp_path_factory.mktemp("trace") / "t.pcapng"
    events = random_events(np.random.default_rng(seed), count)
    write_trace(path, Trace(events, META), compress)
    trace = read_trace(path)
    assert trace.problem is None and trace.meta == META
    assert trace.events.tobytes() == events.tobytes()
    assert (latency_ns(trace.events) == latency_ns(events)).all()


def test_phases_are_written_and_read_and_are_no_events(tmp_path: Path) -> None:
    phases = np.array([(77, 0, 0), (5, 3, 1), (77, 3, 1), (5, 299, 0)], PHASE)
    overruns = np.array([(5, 2, 1, 300), (77, 2, 0, 5_000_000), (5, 3, 1, 1)], OVERRUN)
    write_trace(tmp_path / "t", Trace(SMALL, META, phases=phases, overruns=overruns))
    trace = read_trace(tmp_path / "t")
    assert trace.problem is None and trace.events.tobytes() == SMALL.tobytes()
    assert trace.phases.tobytes() == phases.tobytes()
    assert trace.overruns.tobytes() == overruns.tobytes()
    data = (tmp_path / "t").read_bytes()
    frames = [body for kind, body in blocks_of(data) if kind == 6]
    assert len(frames) == len(SMALL) + 4 + 3
    begins = [body for body in frames if body[21] == 8]
    # interface, time; version, event, type, port, source, target, tick, sent, phase, out, hops, control, latency, key
    assert struct.unpack_from("<III", begins[1]) == (5, 0, 3_000_000)
    assert begins[1][20:] == struct.pack("<BBBBHHIIBBBBII", 2, 8, 0, 255, 5, 5, 3, 0, 1, 0, 0, 0, 0, 0)
    late = next(body for body in frames if body[21] == 9 and body[24] == 77)
    assert struct.unpack_from("<III", late) == (77, 0, 3_000_000 + 5_000_000)
    assert late[20:] == struct.pack("<BBBBHHIIBBBBII", 2, 9, 0, 255, 77, 77, 2, 1_000_000, 0, 0, 0, 0, 5_000_000, 0)
    counted = [dict(pcapng.parse_options(body[12:])) for kind, body in blocks_of(data) if kind == 5]
    assert sum(int.from_bytes(options[4], "little") for options in counted) == len(SMALL)


OLD_TYPES = ["multicast", "spike", "error", "gradient", "weight", "control", "silent"]


def old_file(events: NDArray[np.void], types: list[int]) -> bytes:
    """A file of version 1, with the numbers that types had there."""
    names = {"program": "layer", "inputs": [], "outputs": ["spikes", "ping", "weights2"], "phases": ["forward"]}
    about = {"spinn2emu_trace": 1, "pes": {"1.1.0": names}, "filter": {"types": ["spike"]}}
    data = encoded(events)
    blocks = []
    for (kind, body), number in zip(blocks_of(data), types, strict=True):
        blocks.append(pcapng.block(kind, body[:20] + bytes([1, body[21], number]) + body[23:]))
    head = pcapng.head(Meta())
    size = struct.unpack_from("<I", head, 4)[0]
    comment = pcapng.options((pcapng.COMMENT, json.dumps(about, sort_keys=True).encode()))
    section = pcapng.block(pcapng.SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + comment)
    return section + head[size:] + b"".join(blocks)


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    """Their types come from the names of the ports, which version 1 knew only some of."""
    events = np.concatenate([event(source=77, out=out, time=out, sent=out, phase=0) for out in range(3)]
                            + [event(source=77, control=0x80, time=9, sent=9)])  # fmt: skip
    (tmp_path / "t").write_bytes(old_file(events, [1, 0, 4, 8]))
    trace = read_trace(tmp_path / "t")
    assert trace.problem is None and trace.meta.filter == {"types": ["spike"]}
    assert [trace.meta.types[kind] for kind in trace.events["type"]] == ["spike", "ping", "weight", "nearest_neighbour"]
    assert trace.meta.name_of("phases", 77, 0) == "forward" and not len(trace.phases)
    write_trace(tmp_path / "u", trace)
    again = read_trace(tmp_path / "u")
    assert again.events.tobytes() == trace.events.tobytes() and again.meta == trace.meta
    many = {"program": "p", "inputs": [], "outputs": [f"{letter}-port" for letter in "abcdefghijklmn"], "phases": []}
    meta = Meta.from_json(json.dumps({"spinn2emu_trace": 1, "pes": {"1.1.0": many}, "filter": {}}))
    assert len(meta.types) == TYPES and meta.pes["1.1.0"].outputs == many["outputs"]


def notes_of(events: NDArray[np.void]) -> NDArray[np.void]:
    """What routers write down of events whose latency and hops are those of the mesh."""
    notes = np.zeros(len(events), NOTE)
    for name in ("control", "port", "source", "key", "payload", "tick", "target"):
        notes[name] = events[name]
    notes["origin"] = events["phase"] << 3 | events["out"]
    notes["time"] = events["time"] - events["tick"].astype(np.uint64) * 1_000_000
    notes["what"] = events["type"] << 4 | events["event"]
    way = np.where(events["event"] == Event.SENT, 0, LATENCY[events["hops"]])
    notes["wait"] = notes["time"] - events["sent"] - way
    return notes


@given(st.integers(0, 2**32), st.integers(1, 3000))
@settings(max_examples=20)
def test_notes_in_any_order_become_the_events_in_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    events = random_events(rng, count)
    way = HOPS[events["source"]] + np.where(events["event"] == Event.SENT, 0, HOPS[events["target"]])
    events["hops"] = np.where(events["event"] == Event.SENT, 0, way)
    late = np.where(events["event"] == Event.SENT, 0, LATENCY[way])
    events["time"] = events["tick"].astype(np.uint64) * 1_000_000 + events["sent"] + late.astype(np.uint64)
    waits = np.where(events["event"] == Event.SENT, 0, rng.integers(0, 3, count) * rng.integers(0, 2000, count))
    events["time"] += waits.astype(np.uint64)
    events = events[canonical_order(events)]
    notes = notes_of(events)[rng.permutation(len(events))]
    captures = CaptureMemory()
    captures.restart(2, 0)
    halves = np.split(notes, [rng.integers(0, count + 1)])
    for number, half in enumerate(halves):
        own = captures.of_router(number).own
        own["notes"][0, : len(half)] = half.view(np.uint64).reshape(-1, NOTE_WORDS)
        own["place"][CaptureWord.NOTES] = len(half)
        put_in_order(own, 100 << TIME_BITS)
    n = int((events["tick"] < 100).sum())
    assert captures.places[:2, CaptureWord.NOTES].sum() == count - n
    out, counts = np.zeros(count * pcapng.MAX_BLOCK_BYTES // 4, np.uint32), np.zeros((INTERFACES, 2), np.int64)
    at, ends, written = np.zeros(MAX_ROUTERS, np.int64), np.zeros(MAX_ROUTERS, np.int64), np.zeros(2, np.int64)
    until, done, data = look(captures.routers, at, ends), 0, b""
    assert until >= 100 << TIME_BITS and ends.sum() == n
    while done < n:  # in portions
        most = int(rng.integers(1, count + 1))
        blocks = encode_notes(captures.routers, at, ends, until, out, most, counts, written)
        words, time = written
        data, done = data + out[:words].tobytes(), done + blocks
        assert time == events["time"][done - 1]
    assert data == encoded(events[:n])
    assert counts.sum() == n + (events["event"][:n] > 1).sum()


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=20)
def test_what_the_recorder_has_not_read_stays_until_it_has(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    captures = CaptureMemory()
    captures.restart(1, 0)
    router, place = captures.of_router(0).own, captures.places[0]
    words = np.zeros((count, NOTE_WORDS), np.uint64)
    words[:, 3] = rng.permutation(count) * 40  # ticks, more than a key can tell apart
    router["notes"][0, :count], place[CaptureWord.NOTES] = words, count
    at, ends, seen = np.zeros(MAX_ROUTERS, np.int64), np.zeros(MAX_ROUTERS, np.int64), list[int]()
    while place[CaptureWord.NOTES] or place[CaptureWord.LAST] > place[CaptureWord.READ]:
        put_in_order(router, FOREVER)
        look(captures.routers, at, ends)
        before = place[[CaptureWord.SIDE, CaptureWord.LAST, CaptureWord.NOTES]].copy()
        put_in_order(router, FOREVER)  # not read yet, if there are any
        assert (place[[CaptureWord.SIDE, CaptureWord.LAST, CaptureWord.NOTES]] == before).all() or at[0] == ends[0]
        out = np.zeros(count * pcapng.MAX_BLOCK_BYTES // 4, np.uint32)
        counts, written = np.zeros((INTERFACES, 2), np.int64), np.zeros(2, np.int64)
        encode_notes(captures.routers, at, ends, FOREVER, out, count, counts, written)
        put_read(captures.routers, at)
        seen += [int(tick) for tick in out[: written[0]].reshape(-1, 15)[:, 9]]
    assert seen == [40 * i for i in range(count)]


def test_a_key_has_room_for_a_window_of_time() -> None:
    assert SPAN >> TIME_BITS == 128 >= 2 * (LATE >> TIME_BITS) and MOST_NOTES == 1 << RANK_BITS


def test_the_time_of_an_event_within_its_tick_fits_a_note() -> None:
    last = TX_PACKETS * 1_000_000_000 // spec.NOC_CLOCK_HZ.value + int(LATENCY.max())
    assert last < spec.TICK_NS.value < LAST_NS < 1 << TIME_BITS
    assert NOTE.itemsize == PACKET.itemsize + 8 == 40


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("limit", [None, 500_000])
def test_bytes_do_not_depend_on_the_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool, limit: int | None
) -> None:
    monkeypatch.setattr(trace_file, "GROUP_EVENTS", 500)
    events = random_events(np.random.default_rng(3), 20_000)
    for name, portions in (("a", [len(events)]), ("b", [1, 7, 3_000, 0, 499, 501, len(events)])):
        writer = TraceWriter(tmp_path / name, META, compress, limit)
        done = 0
        for portion in portions:
            writer.add(put_events(events[done : done + portion]))
            writer.flush()
            done += portion
        writer.close()
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    trace = read_trace(tmp_path / "a")
    kept = len(trace.events)
    assert trace.problem is None and trace.events.tobytes() == events[-kept:].tobytes()
    if limit is None:
        assert kept == len(events)
    else:
        assert limit // 3 < len(data) <= limit and kept < len(events)


def test_what_an_earlier_limited_trace_has_left_is_no_part_of_the_next(tmp_path: Path) -> None:
    events = random_events(np.random.default_rng(3), 100)
    (tmp_path / "t.older").write_bytes(b"of a chip that was killed")
    writer = TraceWriter(tmp_path / "t", META, limit=10**8)
    writer.add(put_events(events))
    writer.close()
    assert read_trace(tmp_path / "t").events.tobytes() == events.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_trace_without_limit_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "t.older").write_bytes(b"the user's")
    write_trace(tmp_path / "t", Trace(SMALL, META))
    assert (tmp_path / "t.older").read_bytes() == b"the user's"


def test_a_limit_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too small") as caught:
        TraceWriter(tmp_path / "x", META, limit=1000)
    assert caught.value.fields["limit"] > 1000 and not (tmp_path / "x").exists()


def test_a_large_file_is_read_in_order_and_a_flush_shows_it(tmp_path: Path) -> None:
    events = random_events(np.random.default_rng(5), 60_000)
    writer = TraceWriter(tmp_path / "t", META)
    for first in range(0, len(events), 20_000):
        writer.add(put_events(events[first : first + 20_000]))
        writer.flush()
        assert read_trace(tmp_path / "t").events.tobytes() == events[: first + 20_000].tobytes()
    writer.close()
    assert writer.written == len(events)


@pytest.mark.parametrize("wrong", ["order", "dtype", "folder"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, wrong: str) -> None:
    events = random_events(np.random.default_rng(1), 10)
    path = tmp_path / ("no/such/folder/x" if wrong == "folder" else "x")
    given = {"order": events[::-1], "dtype": np.zeros(3), "folder": events}[wrong]
    with pytest.raises(ConfigError):
        write_trace(path, Trace(given, META))


# --- damage -----------------------------------------------------------------------------------------------------------

SMALL = random_events(np.random.default_rng(11), 40)


def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("trace") / "t"
    write_trace(path, Trace(SMALL, META))
    return path.read_bytes()


@given(st.data())
@settings(max_examples=60)
def test_a_file_cut_anywhere_gives_the_events_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = written(tmp_path_factory)
    cut = data.draw(st.integers(len(pcapng.head(META)), len(whole) - 1))
    trace = parse(whole[:cut])
    complete = sum(kind == 6 for kind, _ in blocks_of(whole[: last_whole_block(whole, cut)]))
    assert trace.events.tobytes() == SMALL[:complete].tobytes()
    torn = cut != last_whole_block(whole, cut)
    assert (trace.problem is not None) == torn
    if torn:
        assert trace.problem is not None and trace.problem.position == last_whole_block(whole, cut)


def last_whole_block(data: bytes, cut: int) -> int:
    at = 0
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        if at + length > cut:
            return at
        at += length
    return at


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=150)
def test_damaged_bytes_never_do_more_than_lose_events(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("trace") / "t"
    data = bytearray(written(tmp_path_factory))
    for place in rng.integers(0, len(data), count):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
        trace = read_trace(path)
    except ConfigError as error:
        assert str(path) in error.message
        return
    assert len(trace.events) <= len(SMALL)
    assert (trace.events["event"] < len(Event)).all() and (trace.events["type"] < TYPES).all()
    assert (trace.events["source"] < INTERFACES).all() and (trace.events["target"] < INTERFACES).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"hello", "not a pcapng"), (b"\x00" * 400, "not a pcapng"),
     (b"\xd4\xc3\xb2\xa1" + b"\x00" * 100, "not a pcapng"), (b"\x28\xb5\x2f\xfd\x00\x01", "not a pcapng"),
     (struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28) + bytes(64), "byte order|claims")],
    ids=["empty", "short", "zeros", "old pcap", "broken zstd", "big-endian"],
)  # fmt: skip
def test_foreign_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_trace(path)
    assert str(path) in caught.value.message


def test_a_capture_of_something_else_is_no_trace(tmp_path: Path) -> None:
    section = pcapng.block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    ethernet = pcapng.block(1, struct.pack("<HHI", 1, 0, 0))
    frame = pcapng.block(6, struct.pack("<IIIII", 0, 0, 0, 60, 60) + bytes(60))
    (tmp_path / "net.pcapng").write_bytes(section + ethernet + 3 * frame)
    with pytest.raises(ConfigError, match=r"another link type.*byte 48"):
        read_trace(tmp_path / "net.pcapng")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_trace(tmp_path / "none")
    with pytest.raises(ConfigError, match="directory"):
        read_trace(tmp_path)


def test_what_others_wrote_is_left_out_and_said(tmp_path: Path) -> None:
    """Packets of another link type, of an interface that is not described, of a later schema; unknown blocks."""
    ours = encoded(SMALL)
    head = pcapng.head(META)
    foreign_interface = pcapng.block(1, struct.pack("<HHI", 1, 0, 0) + bytes(4))

    def packet(interface: int, frame: bytes) -> bytes:
        return pcapng.block(6, struct.pack("<IIIII", interface, 0, 0, len(frame), len(frame)) + frame)

    later = packet(3, bytes([3]) + bytes(27))
    for extra, position, words in (
        (packet(INTERFACES, bytes(60)), len(head) + len(foreign_interface), "link type"),
        (packet(INTERFACES + 5, bytes(60)), len(head) + len(foreign_interface), "not described"),
        (later, len(head) + len(foreign_interface), "version 1 to 2"),
    ):
        trace = parse(head + foreign_interface + extra + ours)
        assert trace.events.tobytes() == SMALL.tobytes()
        assert trace.problem is not None and trace.problem.position == position and words in trace.problem.text
    trace = parse(head + pcapng.block(0x0BAD, b"custom blocks are skipped...") + ours)
    assert trace.problem is None and trace.events.tobytes() == SMALL.tobytes()


HEAD = pcapng.head(META)


def changed(data: bytes, at: int, value: int) -> bytes:
    """With another number of 32 bits at byte `at`."""
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


CONTRADICTIONS = {  # byte within the block, what is written there, whether reading can go on, words
    "length shorter than the block": (4, lambda n: n - 4, False, "length of"),
    "length longer than the block": (4, lambda n: n + 4, False, "length of"),
    "length beyond the file": (4, lambda n: 1 << 20, False, "cut off"),
    "length of nothing": (4, lambda n: 0, False, "length of 0 bytes"),
    "length that is no multiple of 4": (4, lambda n: n + 1, False, "length of"),
    "length near 2^32": (4, lambda n: 0xFFFFFFFC, False, "cut off"),
    "other length at the end": (-4, lambda n: n + 4, False, "length of"),
    "captured more than the block holds": (20, lambda n: n, False, "length of"),
    "captured near 2^32": (20, lambda n: 0xFFFFFFFF, False, "length of"),
    "captured less than the head": (20, lambda n: 20, True, "damaged"),
    "captured less than there was": (24, lambda n: 1500, True, "damaged"),
    "captured more than there was": (24, lambda n: 4, True, "damaged"),
}


@pytest.mark.parametrize("which", [0, 20, len(SMALL) - 2])
@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_contradictory_lengths_lose_the_block_or_what_follows(kind: str, which: int) -> None:
    blocks = [pcapng.block(*b) for b in blocks_of(encoded(SMALL))]
    at, value, goes_on, words = CONTRADICTIONS[kind]
    block = blocks[which]
    blocks[which] = changed(block, at % len(block), value(len(block)))
    trace = parse(HEAD + b"".join(blocks))
    others = np.delete(SMALL, which) if goes_on else SMALL[:which]
    assert trace.events.tobytes() == others.tobytes()
    assert trace.problem is not None and words in trace.problem.text
    assert trace.problem.position == len(HEAD) + sum(map(len, blocks[:which]))


def test_lengths_of_payloads_that_contradict_the_control_byte_lose_the_block() -> None:
    for size in (0, 4, 8, 12, 16, 20):
        for code in range(4):
            frame = encoded(event(source=5, control=code << 4, time=1))[28 : 28 + 28] + bytes(size)
            lengths = struct.pack("<5I", 5, 0, 1, len(frame), len(frame))
            trace = parse(HEAD + pcapng.block(6, lengths + frame) + encoded(SMALL))
            fits = size == (0, 4, 8, 16)[code]
            assert (len(trace.events), trace.problem is None) == (len(SMALL) + fits, fits)


@pytest.mark.parametrize("size", [5, 200, 0xFFFF])
def test_an_option_longer_than_its_block_is_none(size: int) -> None:
    """In the section's header: the comment is not ours then; in an interface: it has no nanoseconds then."""
    fixed = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    comment = struct.pack("<HH", pcapng.COMMENT, size) + b"{}  "
    assert list(pcapng.parse_options(comment)) == []
    _, *others = blocks_of(HEAD)
    interfaces = b"".join(pcapng.block(*b) for b in others)
    trace = parse(pcapng.block(pcapng.SECTION, fixed + comment) + interfaces + encoded(SMALL))
    assert trace.events.tobytes() == SMALL.tobytes() and not trace.meta.pes
    resolution = struct.pack("<HH", pcapng.IF_TSRESOL, size) + bytes([9, 0, 0, 0])
    interface = pcapng.block(1, struct.pack("<HHI", LINKTYPE, 0, 0) + resolution)
    trace = parse(HEAD[: struct.unpack_from("<I", HEAD, 4)[0]] + interface + encoded(event(source=0, time=1)))
    assert not len(trace.events) and trace.problem is not None and "without nanoseconds" in trace.problem.text


def test_sections_of_different_types_are_read_as_one() -> None:
    one, other = (Meta({"1.1.0": PeInfo("p", [], ports)}) for ports in (["spikes", "votes"], ["votes", "calls"]))
    data = b"".join(pcapng.head(meta) + encoded(event(source=77, type=5, time=1)) for meta in (one, other))
    trace = parse(data)
    assert [trace.meta.type_names()[kind] for kind in trace.events["type"]] == ["vote", "call"]
    assert list(trace.meta.types)[4:] == ["spike", "vote", "call"]


def test_sections_behind_each_other_are_read_as_one() -> None:
    part = pcapng.head(META) + encoded(SMALL)
    trace = parse(part + part)
    assert trace.problem is None and trace.events.tobytes() == SMALL.tobytes() * 2


# --- the documented schema --------------------------------------------------------------------------------------------

SCHEMA_PAGE = Path(__file__).parent.parent / "docs" / "traces.md"


def documented() -> list[list[str]]:
    table = SCHEMA_PAGE.read_text().split("| offset | field |")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if line[:1] == "|"]
    assert len(rows) > 10
    return rows


def test_the_documented_fields_are_those_of_the_frame() -> None:
    *fields, payload = documented()
    frame = [(FRAME.fields[name][1], name, FRAME.fields[name][0].str.strip("<|")) for name in FRAME.names]
    assert [(int(offset), name, kind) for offset, name, kind, _ in fields] == frame
    assert (int(payload[0]), payload[1]) == (FRAME.itemsize, "payload")
    assert FRAME.fields["key"][1] % 4 == 0


def test_the_documented_numbers_are_those_of_the_code() -> None:
    texts = {name: text for _, name, _, text in documented()}
    assert texts["event"] == ", ".join(f"{int(event)} {event.name.lower()}" for event in Event)
    chip = ", ".join(f"{number} {name}" for number, name in enumerate(CHIP_TYPES))
    assert texts["type"] == f"{chip}; from {len(CHIP_TYPES)} on as `types` of the header's comment says"
    assert texts["version"] == str(SCHEMA_VERSION)
    assert f"USER0 ({LINKTYPE})" in SCHEMA_PAGE.read_text()
