"""Wireshark's tools read traces: with the dissector and the profile, through editcap, mergecap and the others."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from trace_helpers import STRANGE, Type, population_trace

from spinn2emu import geometry, spec
from spinn2emu.packets import NO_PORT, PacketType, control_byte
from spinn2emu.trace import pcapng
from spinn2emu.trace.file import Trace, canonical_order, read_trace, write_trace
from spinn2emu.trace.schema import (
    CHIP_TYPES,
    DROPS,
    EVENT,
    INTERFACES,
    LINK,
    PHASE,
    ROUTER,
    TYPES,
    Event,
    Meta,
    PeInfo,
    interface_name,
    latency_ns,
    payload_words,
)
from spinn2emu.trace.table import EVENT_NAMES
from spinn2emu.trace.wireshark import DISSECTOR, PROFILE
from spinn2host.cli.main import run

TOOLS = ("tshark", "editcap", "mergecap", "capinfos", "reordercap")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
ABOUT = "" if MISSING else subprocess.run(["tshark", "-v"], capture_output=True, text=True, check=True).stdout
pytestmark = pytest.mark.skipif(
    bool(MISSING) or "with Lua" not in " ".join(ABOUT.split()),
    reason=f"NOTHING OF WIRESHARK IS TESTED: install the package tshark (not found: {', '.join(MISSING) or 'Lua'})",
)

FLOATS = (-0.0123, 1.5e-7, 0.25, -3.0)
SPIKE, ERROR, GRADIENT, WEIGHT = 0x11000000, 0x21000000, 0x31000000, 0x41000000
META = Meta(
    {"1.2.1": PeInfo("layer", ["spikes", "errors"], ["spikes", "errors"], ["forward", "backward"])},
    types=[*CHIP_TYPES, *(kind.name.lower() for kind in Type)],
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: the user's own plugins and settings have no part in the tests."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "WIRESHARK_CONFIG_DIR", "WIRESHARK_PLUGIN_DIR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file of `network_events`."""
    return written(network_events(), tmp_path / "trace.pcapng")


def packet(
    tick: int, sent: int, source: int, type: int, key: int, words: NDArray[np.uint32], ends: list[tuple[int, Event]]
) -> NDArray[np.void]:
    """The events of a packet and of its copies, which end at (interface, event)."""
    events = np.zeros(1 + len(ends), EVENT)
    events["tick"], events["sent"], events["source"], events["type"], events["key"] = tick, sent, source, type, key
    events["payload"][:, : len(words)] = words
    events["control"] = control_byte(PacketType.MULTICAST, 4 * len(words))
    events["phase"], events["out"] = tick // 30 % 2, type % 3
    events["time"] = tick * spec.TICK_NS.value + sent
    events["port"] = NO_PORT
    for i, (target, event) in enumerate(ends, 1):
        events[i]["target"], events[i]["event"], events[i]["hops"] = target, event, 2 * i
        events[i]["time"] += np.uint64(40 + 16 * i)
        events[i]["port"] = i if event in (Event.RECEIVED, Event.NOT_LIVE, Event.FIFO_FULL) else NO_PORT
    return events


def network_events() -> NDArray[np.void]:
    """Two quads and an optimizer: spikes forward, errors and gradients backward, weights to all, each kind of drop."""
    optimizer = geometry.pe_id("5.3.0")
    packets = []
    for quad in ("1.2", "2.2"):
        first, layer, last, loss = (geometry.pe_id(f"{quad}.{p}") for p in range(4))
        for i in range(40):
            to = [(pe, Event.RECEIVED) for pe in (layer, last, loss)]
            packets.append(packet(i % 27, 10 * i, first, Type.SPIKE, SPIKE + i, words(0), to))
            end = Event.FIFO_FULL if i % 9 == 0 else Event.RECEIVED
            packets.append(packet(60 - i, 13, last, Type.ERROR, ERROR + i, words(1, i), [(layer, end)]))
            if i % 4 == 0:
                packets.append(packet(30, 13 + i, layer, Type.ERROR, ERROR + i, words(1, i), [(first, Event.RECEIVED)]))
                packets.append(
                    packet(61, i, layer, Type.GRADIENT, GRADIENT + i, words(4, i), [(optimizer, Event.RECEIVED)])
                )
        packets.append(packet(62, 7, loss, Type.CONTROL, 0x50000001, words(2), [(optimizer, Event.NOT_LIVE)]))
        packets.append(packet(62, 9, loss, PacketType.MULTICAST, 0xF0000000, words(0), [(ROUTER, Event.UNROUTED)]))
        packets.append(packet(62, 11, loss, PacketType.GLOBAL, 0xF1000000, words(0), [(ROUTER, Event.OTHER_TYPE)]))
        packets.append(packet(62, 13, loss, Type.SILENT, 0x61000000, words(0), [(layer, Event.UNCLAIMED)]))
        packets.append(packet(62, 15, loss, Type.SPIKE, 0x71000000, words(0), [(LINK + 2, Event.OFF_CHIP)]))
    everyone = [(geometry.pe_id(f"{quad}.{p}"), Event.RECEIVED) for quad in ("1.2", "2.2") for p in range(4)]
    packets += [packet(63, i, optimizer, Type.WEIGHT, WEIGHT + i, words(4, i), everyone) for i in range(20)]
    return in_order(np.concatenate(packets))


def words(count: int, shift: int = 0) -> NDArray[np.uint32]:
    """Payload words: the bits of floats that depend on `shift`."""
    return np.array([value * (1 + shift) for value in FLOATS[:count]], np.float32).view(np.uint32)


def in_order(events: NDArray[np.void]) -> NDArray[np.void]:
    """As files have them."""
    ordered: NDArray[np.void] = events[canonical_order(events)]
    return ordered


def written(events: NDArray[np.void], path: Path, compress: bool = False) -> Path:
    """The file."""
    write_trace(path, Trace(events, META), compress)
    return path


def tool(*command: str | Path) -> str:
    """What a tool prints; it succeeds without complaint."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert complaints(done.stderr) == [] and done.returncode == 0
    return done.stdout


def complaints(stderr: str) -> list[str]:
    """All but what is no complaint: that root runs it."""
    return [line for line in stderr.splitlines() if line and not line.startswith("Running as user")]


def tshark(path: Path, *arguments: str) -> list[str]:
    """Lines of tshark with the dissector."""
    return tool("tshark", "-X", f"lua_script:{DISSECTOR}", "-r", path, *arguments).splitlines()


def rows(path: Path, *fields: str, show: str = "") -> list[list[str]]:
    """Fields of the frames that the filter shows; those of several values joined by commas."""
    options = [part for name in fields for part in ("-e", name)]
    return [line.split("\t") for line in tshark(path, *(("-Y", show) if show else ()), "-T", "fields", *options)]


def columns(path: Path) -> list[list[str]]:
    """Protocol, source, destination and info of all frames; tshark puts an arrow between two of them."""
    wanted = 'gui.column.format:"Protocol","%p","Source","%s","Destination","%d","Info","%i"'
    return [
        [part.strip() for part in line.replace("\t→", "").split("\t")]
        for line in tshark(path, "-o", wanted, "-T", "tabs")
    ]


def frames_of(*frames: bytes) -> bytes:
    """A file with any frames, a nanosecond apart."""
    blocks = [
        pcapng.block(pcapng.PACKET_BLOCK, struct.pack("<5I", 1, 0, i, len(f), len(f)) + f + bytes(-len(f) % 4))
        for i, f in enumerate(frames)
    ]
    return pcapng.head(META) + b"".join(blocks)


# --- the dissector ----------------------------------------------------------------------------------------------------


def test_names_are_those_of_the_schema(tmp_path: Path) -> None:
    """All interfaces, events, types, types of the chip: the tables of the dissector can never drift from Python's."""
    n = INTERFACES
    events = np.zeros(n + len(EVENT_NAMES) * TYPES * len(PacketType), EVENT)
    events["time"] = events["sent"] = np.arange(len(events))
    events["source"][:n] = 1 + np.arange(n) % spec.PES.value
    events["target"][:n], events["event"][:n] = np.arange(n), Event.RECEIVED
    events["source"][n:] = 1
    grid = np.indices((len(EVENT_NAMES), TYPES, len(PacketType))).reshape(3, -1)
    events["event"][n:], events["type"][n:], events["control"][n:] = grid[0], grid[1], grid[2] << 6
    read = rows(written(events, tmp_path / "names.pcapng"), "s2.src", "s2.dst", "s2.event", "s2.type", "s2.ptype")
    assert {row[0] for row in read[:n]} == {geometry.name(pe) for pe in geometry.PE_IDS}
    assert [row[0] for row in read[: spec.PES.value]] == [geometry.name(pe) for pe in geometry.PE_IDS]
    assert [row[1] for row in read[:n]] == [interface_name(i) for i in range(n)]
    assert read[n - 1][1] == "link5"
    expected = [[EVENT_NAMES[e], META.type_names()[t], PacketType(p).name.lower()] for e, t, p in grid.T.tolist()]
    assert [row[2:] for row in read[n:]] == expected


def test_counts_are_those_of_the_array(trace: Path) -> None:
    events = network_events()
    counted = Counter(map(tuple, rows(trace, "s2.type", "s2.event")))
    expected = Counter((META.types[t], EVENT_NAMES[e]) for t, e in events[["type", "event"]].tolist())
    assert counted == expected
    assert counted["error", "fifo_full"] == 10 and counted["spike", "received"] == 240
    assert {event for _, event in counted} == set(EVENT_NAMES)


def test_the_errors_of_a_pe(trace: Path) -> None:
    """The example of the documentation, by both ends, and every way to ask for drops."""
    events = network_events()
    pe = geometry.pe_id("1.2.1")
    error = events["type"] == Type.ERROR
    both = (events["source"] == pe) | ((events["target"] == pe) & (events["event"] != Event.SENT))
    for show, chosen in {
        's2.type == "error" && s2.src == "1.2.1"': error & (events["source"] == pe),
        's2.type == "error" && s2.pe == "1.2.1"': error & both,
        "s2.dropped == 1": events["event"] >= Event.UNROUTED,
        "s2.dropped_packet": events["event"] >= Event.UNROUTED,
        's2.event == "off_chip" && s2.dst == "link2"': events["event"] == Event.OFF_CHIP,
        's2.id == "1.2.1@30+13"': (events["tick"] == 30) & (events["sent"] == 13) & (events["source"] == pe),
        "s2.float < -0.1 && s2.key >= 0x21000000": (events["payload"].view(np.float32) < np.float32(-0.1)).any(axis=1),
        "s2.tick in {3..5}": (events["tick"] >= 3) & (events["tick"] <= 5),
        "frame.comment contains \"FIFO\"": events["event"] == Event.FIFO_FULL,
    }.items():  # fmt: skip
        assert chosen.any() and not chosen.all()
        assert [int(row[0]) - 1 for row in rows(trace, "frame.number", show=show)] == np.nonzero(chosen)[0].tolist(), (
            show
        )


def test_every_field_has_the_value_of_the_array(trace: Path) -> None:
    fields = (
        "frame.time_epoch", "s2.version", "s2.dropped", "s2.src", "s2.dst", "s2.pe", "s2.key", "s2.tick", "s2.time",
        "s2.phase", "s2.out", "s2.port", "s2.hops", "s2.latency", "s2.id", "s2.control", "s2.payload", "s2.word",
    )  # fmt: skip
    events = network_events()
    latencies, sizes = latency_ns(events), payload_words(events)
    read, floats = rows(trace, *fields), rows(trace, "s2.float")
    assert len(read) == len(events) and set(sizes) == {0, 1, 2, 4}
    for i, (e, row) in enumerate(zip(events, read, strict=True)):
        source = geometry.name(int(e["source"]))
        target = "" if e["event"] == Event.SENT else interface_name(int(e["target"]))
        payload = e["payload"][: sizes[i]]
        seconds, rest = divmod(int(e["time"]), 10**9)
        assert row[2].lower() in (("1", "true") if e["event"] >= Event.UNROUTED else ("0", "false"))
        assert row[:2] + row[3:] == [
            f"{seconds}.{rest:09}", "2", source, target, f"{source},{target}".rstrip(","), f"{e['key']:#010x}",
            str(e["tick"]), str(e["sent"]), str(e["phase"]), str(e["out"]),
            "" if e["port"] == NO_PORT else str(e["port"]),
            str(e["hops"]), str(latencies[i]), f"{source}@{e['tick']}+{e['sent']}", f"{e['control']:#04x}",
            payload.tobytes().hex(), ",".join(f"{word:#010x}" for word in payload),
        ]  # fmt: skip
        told = [float(text) for text in floats[i][0].split(",") if text] if floats[i] else []
        assert told == pytest.approx(payload.view(np.float32).tolist(), rel=1e-5)


def test_columns_say_what_a_packet_is(tmp_path: Path) -> None:
    source, target = geometry.pe_id("1.2.1"), geometry.pe_id("1.2.0")
    events = np.concatenate([
        packet(30, 13, source, Type.ERROR, 0x21000003, words(1), [(target, Event.FIFO_FULL)]),
        packet(31, 13, source, Type.SPIKE, 0x11000003, words(0), [(target, Event.RECEIVED)]),
        packet(32, 13, source, Type.CONTROL, 0x50000000, np.array([7, 0xFF], np.uint32), []),
        packet(33, 13, 0, PacketType.MULTICAST, 0x100, words(0), [(ROUTER, Event.UNROUTED)]),
    ])  # fmt: skip
    path = written(events, tmp_path / "columns.pcapng")
    assert rows(path, "s2.id", show='s2.src == "host" && s2.dst') == [["host@33+13"]]
    assert columns(path) == [
        ["S2", "1.2.1", "", "error  key 0x21000003 = 0xbc4985f0 (-0.0123)  tick 30"],
        ["S2", "1.2.1", "1.2.0", "DROPPED (fifo_full) error  key 0x21000003 = 0xbc4985f0 (-0.0123)  tick 30"],
        ["S2", "1.2.1", "", "spike  key 0x11000003  tick 31"],
        ["S2", "1.2.1", "1.2.0", "spike  key 0x11000003  tick 31"],
        ["S2", "1.2.1", "", "control  key 0x50000000 = 0x00000007 (9.80909e-45), 0x000000ff (3.57331e-43)  tick 32"],
        ["S2", "host", "", "multicast  key 0x00000100  tick 33"],
        ["S2", "host", "router", "DROPPED (unrouted) multicast  key 0x00000100  tick 33"],
    ]


def test_types_are_those_of_the_programs_and_phases_are_no_packets(tmp_path: Path) -> None:
    source, target = geometry.pe_id("1.2.1"), geometry.pe_id("2.2.0")
    meta = Meta({"1.2.1": PeInfo("a, b; types: 9 x", ["in"], ["votes", "calls2"])})
    events = in_order(np.concatenate([
        packet(3, 10, source, 4, 0x40, words(0), [(target, Event.RECEIVED)]),
        packet(3, 20, source, 5, 0x41, words(0), [(ROUTER, Event.UNROUTED)]),
        packet(4, 10, source, 6, 0x42, words(0), []),
    ]))  # fmt: skip
    phases = np.array([(source, 3, 0), (target, 5, 7)], PHASE)
    path = tmp_path / "own.pcapng"
    write_trace(path, Trace(events, meta, phases=phases))
    assert rows(path, "s2.src", "s2.event", "s2.type", "s2.tick", "s2.phase") == [
        ["1.2.1", "phase", "", "3", "0"], ["1.2.1", "sent", "vote", "3", "0"], ["1.2.1", "sent", "call", "3", "0"],
        ["1.2.1", "received", "vote", "3", "0"], ["1.2.1", "unrouted", "call", "3", "0"],
        ["1.2.1", "sent", "type6", "4", "0"], ["2.2.0", "phase", "", "5", "7"],
    ]  # fmt: skip
    assert len(rows(path, "frame.number", show='s2.type == "vote"')) == 2
    assert len(rows(path, "frame.number", show="s2.dropped == 1")) == 1
    assert columns(path)[-1] == ["S2", "2.2.0", "", "begins phase 7  tick 5"]
    both = tmp_path / "both.pcapng"
    tool("mergecap", "-w", both, path, written(network_events(), tmp_path / "other.pcapng"))
    merged = Counter(row[0] for row in rows(both, "s2.type"))
    assert merged["vote"] == 2 and merged["error"] == (network_events()["type"] == Type.ERROR).sum() > 100


def test_a_long_head_is_read(tmp_path: Path) -> None:
    """Longer than an option: Wireshark shows several comments."""
    ports = [f"port_{'x' * 90}{i}" for i in range(8)]
    meta = Meta({interface_name(pe): PeInfo(f"program{pe}", ports, ["spikes"], ports) for pe in geometry.PE_IDS})
    path = tmp_path / "long.pcapng"
    write_trace(path, Trace(in_order(packet(3, 10, 5, 4, 0x40, words(0), [])), meta))
    assert len(meta.to_json()) > 3 * pcapng.MOST_OPTION_BYTES and read_trace(path).meta == meta
    assert rows(path, "s2.type") == [["spike"]]


def test_frames_that_are_not_ours_give_a_note_and_no_error(tmp_path: Path) -> None:
    good = bytes([2, 1, 5, 0]) + struct.pack("<HHII", 85, 86, 30, 13) + bytes([0, 1, 2, 0x10]) + bytes(8)
    frames = [good + bytes(4), b"\x09" + good[1:] + bytes(4), good[:27], b"", good + bytes(3), good + bytes(8)]
    rng = np.random.default_rng(1)
    frames += [rng.bytes(n) for n in range(60)] + [b"\x02" + rng.bytes(n) for n in range(60)]
    path = tmp_path / "odd.pcapng"
    path.write_bytes(frames_of(*frames))
    notes = [row[3] for row in columns(path)]
    assert notes[:6] == [
        "error  key 0x00000000 = 0x00000000 (0)  tick 30",
        "unknown version 9 of the frame: known is 2",
        "a frame of 27 bytes: there are at least 28",
        "a frame of 0 bytes: there are at least 28",
        "control byte 0x10 does not fit a frame of 31 bytes",
        "control byte 0x10 does not fit a frame of 36 bytes",
    ]
    shown = "\n".join(tshark(path, "-V"))
    assert "Lua" not in shown and "Dissector bug" not in shown and shown.count("Frame Number: ") == len(frames)
    assert len(tshark(path, "-Y", "s2.malformed || s2.unknown")) > 100
    assert "Lua" not in "\n".join(tshark(path, "-T", "json"))


def test_the_tree_of_a_frame(trace: Path) -> None:
    """What the packet details show, with the interface and why a packet was dropped."""
    shown = "\n".join(tshark(trace, "-V", "-Y", 's2.event == "fifo_full" && s2.key == 0x21000009 && s2.dst == "1.2.1"'))
    for line in (
        "Interface name: 1.2.1", "Event: fifo_full", f"(Comment/Comment): dropped: {DROPS[Event.FIFO_FULL]}",
        "[Packet (the same for all its copies): 1.2.2@51+13]", "Word: 0xbdfbe76d", "Word as a number: -0.123",
    ):  # fmt: skip
        assert line in shown
    assert "Source or destination" not in shown


# --- other tools ------------------------------------------------------------------------------------------------------


def test_editcap_cuts_and_copies(trace: Path, tmp_path: Path) -> None:
    part, same = tmp_path / "part.pcapng", tmp_path / "same.pcapng"
    tool("editcap", trace, same)
    assert (read_trace(same).events == network_events()).all() and read_trace(same).meta == META
    tool("editcap", "-r", trace, part, "101-150")
    cut = read_trace(part)
    assert cut.problem is None and (cut.events == network_events()[100:150]).all()


def test_mergecap_joins_two_traces(tmp_path: Path) -> None:
    events = network_events()
    odd = events["source"] % 2 == 1
    assert 0 < odd.sum() < len(events)
    one, two, both = (tmp_path / f"{name}.pcapng" for name in ("one", "two", "both"))
    tool("mergecap", "-w", both, written(events[odd], one), written(events[~odd], two))
    merged = read_trace(both)
    assert merged.problem is None and (in_order(merged.events) == events).all()
    assert Counter(row[0] for row in rows(both, "s2.src")) == Counter(geometry.name(int(pe)) for pe in events["source"])


def test_capinfos_and_reordercap_find_nothing_wrong(trace: Path, tmp_path: Path) -> None:
    about = " ".join(tool("capinfos", "-M", trace).split())
    assert f"Number of packets: {len(network_events())}" in about and "Strict time order: True" in about
    assert "Capture hardware: SpiNNaker2 (emulated)" in about and f"Number of interfaces in file: {INTERFACES}" in about
    done = subprocess.run(["reordercap", "-n", trace, tmp_path / "no"], capture_output=True, text=True, check=True)
    assert f"{len(network_events())} frames, 0 out of order" in done.stdout + done.stderr
    assert "already in order" in done.stdout + done.stderr


def test_compressed_files(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    if "with Zstandard" not in " ".join(ABOUT.split()):
        pytest.skip("this tshark cannot read zstd")
    events = network_events()
    path = written(events, tmp_path / "trace.pcapng.zst", compress=True)
    assert [int(row[0], 16) for row in rows(path, "s2.key")] == events["key"].tolist()


@pytest.mark.parametrize("cut", [1, 30, 1000])
def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path, cut: int) -> None:
    """Statistics at the end left out, so that the cut hits a packet."""
    events = network_events()
    packed = np.empty(len(events) * pcapng.MAX_BLOCK_BYTES // 4, np.uint32)
    done = np.zeros(2, np.int64)
    pcapng.encode(events, 0, packed, len(events), np.zeros((INTERFACES, 2), np.int64), done)
    path = tmp_path / "cut.pcapng"
    path.write_bytes((pcapng.head(META) + packed[: done[0]].tobytes())[:-cut])
    command = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", str(path), "-T", "fields", "-e", "s2.key"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    keys = [int(line, 16) for line in done.stdout.splitlines()]
    assert keys == read_trace(path).events["key"].tolist() == events["key"][: len(keys)].tolist()
    assert len(events) - 1 - cut // 60 <= len(keys) < len(events)
    assert "cut short" in " ".join(complaints(done.stderr))


# --- `trace wireshark` ------------------------------------------------------------------------------------------------


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    capsys.readouterr()
    assert run(["trace", "wireshark", *arguments]) == 0
    return capsys.readouterr().out


def test_installed_it_works_without_options(trace: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns and colours of the profile too; and a dissector that is named besides is no trouble."""
    show = ("-Y", 's2.type == "spike" && s2.dropped == 0')
    assert subprocess.run(["tshark", "-r", trace, *show], capture_output=True, check=False).returncode != 0
    answer(capsys, "--install")
    events = network_events()
    spikes = (events["type"] == Type.SPIKE) & (events["event"] < Event.UNROUTED)
    assert len(tool("tshark", "-r", trace, *show).splitlines()) == len(tshark(trace, *show)) == spikes.sum() == 322
    profile = ("tshark", "-C", "SpiNNaker2", "-r", trace)
    first = " ".join(tool(*profile, "-c", "1").split())
    assert first == "1 0 0.000000000 sent 1.2.0 → spike 0x11000000 spike key 0x11000000 tick 0"
    colour = tool(
        *profile, "--color", "-T", "fields", "-e", "frame.coloring_rule.name", "-e", "s2.type", "-e", "s2.event"
    )
    found = {tuple(line.split("\t")) for line in colour.splitlines()}
    dropped = {"S2 dropped"}
    assert {rule for rule, _, event in found if event not in ("sent", "received")} == dropped
    kept = {(rule, type) for rule, type, event in found if event in ("sent", "received")}
    coloured = {(f"S2 {name}", name) for name in ("spike", "error", "gradient", "weight")}
    assert kept == coloured | {("", "control"), ("", "multicast"), ("", "global"), ("", "silent")}


def test_install_twice_and_what_the_user_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def did(*options: str) -> dict[str, str]:
        return {
            Path(f["path"]).name: f["did"] for f in json.loads(answer(capsys, "--install", "--json", *options))["files"]
        }

    names = ("spinn2.lua", "colorfilters", "preferences")
    assert did() == dict.fromkeys(names, "installed")
    assert did() == dict.fromkeys(names, "unchanged")
    plugin = home / ".local/lib/wireshark/plugins/spinn2.lua"
    preferences = home / ".config/wireshark/profiles/SpiNNaker2/preferences"
    assert plugin.read_bytes() == DISSECTOR.read_bytes()
    preferences.write_text("mine")
    plugin.write_text("-- of an older release")
    assert did() == {"spinn2.lua": "replaced", "colorfilters": "unchanged", "preferences": "kept"}
    assert preferences.read_text() == "mine" and plugin.read_bytes() == DISSECTOR.read_bytes()
    assert "kept       " + str(preferences) in answer(capsys, "--install")
    assert did("--force")["preferences"] == "replaced"
    assert preferences.read_bytes() == (PROFILE / "preferences").read_bytes()


def test_without_tshark_the_folders_are_the_usual_ones(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    answer(capsys, "--install")
    assert (home / ".local/lib/wireshark/plugins/spinn2.lua").exists()
    assert (home / ".config/wireshark/profiles/SpiNNaker2/colorfilters").exists()


def test_it_says_where_the_dissector_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "--print-path") == f"{DISSECTOR}\n"
    assert f"tshark -X lua_script:{DISSECTOR} -r FILE" in answer(capsys)
    assert json.loads(answer(capsys, "--json"))["dissector"] == str(DISSECTOR)
    assert list(home.iterdir()) == []
    assert run(["trace", "wireshark", "--force"]) == 2
    (home / ".local").write_text("a file")
    capsys.readouterr()
    assert run(["trace", "wireshark", "--install"]) == 2
    assert ".local" in capsys.readouterr().err


def test_packets_have_the_population_of_their_source(tmp_path: Path) -> None:
    path = tmp_path / "populations.pcapng"
    write_trace(path, population_trace())
    assert rows(path, "s2.src", "s2.event", "s2.type", "s2.population") == [
        ["1.1.0", "sent", "spike", "exc"], ["1.1.0", "received", "spike", "exc"],
        ["1.1.1", "sent", "spike", "exc"], ["1.1.1", "received", "spike", "exc"],
        ["1.1.2", "sent", "spike", STRANGE], ["1.1.2", "fifo_full", "spike", STRANGE],
        ["1.1.3", "sent", "error", ""],
    ]  # fmt: skip
    assert len(rows(path, "frame.number", show='s2.population == "exc"')) == 4
    assert len(rows(path, "frame.number", show="!s2.population")) == 1
    assert f"Population of the source: {STRANGE}" in "\n".join(tshark(path, "-V"))
