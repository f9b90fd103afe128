"""`trace show`, `stats` and `diff`: what they print, what they count, and what damaged files do to them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_helpers import OPTIMIZER, STEP_TICKS, TYPES, Recording, Type, chain, example_trace, repeated, words_of

from spinn2emu import mesh
from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace, read_trace, write_trace
from spinn2emu.trace.schema import EVENT, Event, Meta, PeInfo
from spinn2host.cli.main import run
from spinn2host.traces.diff import compare
from spinn2host.traces.expression import select
from spinn2host.traces.show import lines, objects
from spinn2host.traces.stats import link_loads, statistics

TRACE = example_trace()
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The example as a file."""
    write_trace(tmp_path / "example.pcapng", TRACE)
    return str(tmp_path / "example.pcapng")


def answer(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON object of a command, which is all that it prints to stdout."""
    capsys.readouterr()
    assert run(["trace", *arguments, "--json"]) == code
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content.pop("schema_version") == 1
    return content


def printed(capsys: Capture, *arguments: str, code: int = 0) -> tuple[list[str], str]:
    """The lines of stdout, and stderr on one line."""
    capsys.readouterr()
    assert run(["trace", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), " ".join(captured.err.split())


# --- show ------------------------------------------------------------------------------------------------------------


def test_lines() -> None:
    recording = Recording()
    one, other = chain(0)[1:3]
    recording.send(30, one, Type.SPIKE, 0x11000003, {other: 2})
    recording.send(30, one, Type.SPIKE, 0x11000004, {})
    recording.send(131, other, Type.ERROR, 0x22000001, {one: Event.NOT_LIVE, OPTIMIZER: 0}, words_of([-0.5]), out=1)
    recording.send(131, 149, Type.WEIGHT, 1, {0: Event.UNROUTED}, words_of([1, 2, 3, 0.25]))
    meta = Meta(
        {"7.5.1": PeInfo("a", ("x",), ("spikes",)), "7.5.2": PeInfo("b", ("x", "y", "ears"), ("s", "errors"))},
        types=TYPES,
    )
    assert [line for block in lines(recording.trace(meta)) for line in block] == [
        " 30  +0 ns  spike   7.5.1 → router  key 0x11000003                          sent      [spikes]",
        " 30  +4 ns  spike   7.5.1 → router  key 0x11000004                          sent      [spikes]",
        " 30  +0 ns  spike   7.5.1 → 7.5.2   key 0x11000003  latency 143 ns  hops 8  received  [ears]",
        "131  +0 ns  error   7.5.2 → router  key 0x22000001                          sent      [errors]"
        "  payload 0xbf000000 = -0.5",
        "131  +0 ns  weight  5.3.0 → router  key 0x00000001                          sent      [0]"
        "  payload 0x3f800000 0x40000000 0x40400000 0x3e800000 = 1 2 3 0.25",
        "\033[31m131  +0 ns  weight  5.3.0 → router  key 0x00000001  latency  26 ns  hops 1  unrouted"
        "  [no routing entry matches the key]  payload 0x3f800000 0x40000000 0x40400000 0x3e800000 = 1 2 3 0.25\033[0m",
        "131  +0 ns  error   7.5.2 → 5.3.0   key 0x22000001  latency  93 ns  hops 5  received  [0]"
        "  payload 0xbf000000 = -0.5",
        "\033[31m131  +0 ns  error   7.5.2 → 7.5.1   key 0x22000001  latency 143 ns  hops 8  not_live"
        "  [the port is not live in the tick of processing]  payload 0xbf000000 = -0.5\033[0m",
    ]


def test_show_prints_the_first_or_the_last(file: str, capsys: Capture) -> None:
    everything, note = printed(capsys, "show", file, "-n", "0")
    assert (len(everything), note) == (420, "420 of 420 events match")
    some, note = printed(capsys, "show", file)
    assert words(some) == words(everything[:50])
    assert note == "420 of 420 events match; the first 50 are shown (-n)"
    some, note = printed(capsys, "show", file, "dropped or tick > 2", "--tail", "-n", "3")
    assert words(some) == words(everything[-3:])
    assert note == f"{count('dropped or tick > 2')} of 420 events match; the last 3 are shown (-n)"
    drops, note = printed(capsys, "show", file, "dropped")
    assert note == "4 of 420 events match"
    assert all(re.search(r" (not_live|unrouted)  \[", line) for line in drops)
    assert "\033" not in "".join(drops)  # no colours, because this is no terminal
    assert printed(capsys, "show", file, "tick == 99") == ([], "0 of 420 events match")


def words(lines: list[str]) -> list[list[str]]:
    """Without the blanks, of which there are as many as the widest event needs."""
    return [line.split() for line in lines]


def count(text: str) -> int:
    return len(select(TRACE, text).events)


def test_show_as_json(file: str, capsys: Capture) -> None:
    content = answer(capsys, "show", file, "type == error and src == 7.5.1", "-n", "2")
    assert (content["events"], content["matched"], content["problem"]) == (420, 4, None)
    sent, dropped = content["shown"]
    assert sent == {
        "time_ns": 8_000_000, "tick": 8, "sent_ns": 0, "latency_ns": 0, "event": "sent", "type": "error",
        "source": "7.5.1", "target": "router", "out": "errors", "port": "", "phase": "backward", "population": None,
        "neuron": None, "key": 0x21000000, "payload": [0x3F000000], "value": 0.5, "hops": 0,
        "dropped": None, "id": "7.5.1@8+0",
    }  # fmt: skip
    assert dropped["event"] == "unrouted"
    assert dropped["dropped"] == "no routing entry matches the key"
    assert dropped["id"] == sent["id"]
    assert answer(capsys, "show", file, f"id == {sent['id']}")["matched"] == 2


def test_numbers_that_json_does_not_have() -> None:
    recording = Recording()
    for value in (np.nan, -np.inf):
        recording.send(0, OPTIMIZER, Type.ERROR, 0, {}, words_of([value]))
    recording.send(0, OPTIMIZER, Type.SPIKE, 0, {})
    assert [event["value"] for event in objects(recording.trace())] == ["nan", "-inf", None]


def test_show_ends_quietly_when_nobody_reads_on(tmp_path: Path) -> None:
    write_trace(tmp_path / "t.pcapng", repeated(TRACE, 100))
    command = [
        sys.executable,
        "-c",
        "from spinn2host.cli.main import main; main()",
        "trace",
        "show",
        "-n",
        "0",
        "t.pcapng",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert b"key 0x" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


# --- stats -----------------------------------------------------------------------------------------------------------


def test_stats_of_the_example(file: str, capsys: Capture) -> None:
    content = answer(capsys, "stats", file)
    total = content["total"]
    assert (total["events"], total["sent"], total["received"], total["dropped"]) == (420, 184, 232, 4)
    assert (total["first_tick"], total["last_tick"], total["ms"]) == (0, 2 * STEP_TICKS - 2, 25.0)
    assert total["sent_per_ms"] == 184 / 25
    weights = {"sent": 16, "received": 48, "dropped": 0}
    assert content["type"]["weight"] == {**weights, **{f"{name}_per_ms": n / 25 for name, n in weights.items()}}
    assert list(content["type"]) == ["spike", "error", "gradient", "weight", "control"]
    assert content["event"] == {"sent": 184, "received": 232, "unrouted": 2, "not_live": 2}
    assert content["pe"]["7.5.1"] == {"sent": 20, "received": 28, "dropped": 2}
    assert content["pe"]["router"] == {"sent": 0, "received": 0, "dropped": 2}
    assert sum(pe["sent"] for pe in content["pe"].values()) == 184
    assert content["route"][0] == {"type": "spike", "source": "7.5.0", "target": "7.5.1", "received": 10, "dropped": 0}
    lossy = {"type": "error", "source": "7.5.2", "target": "7.5.1", "received": 6, "dropped": 2}
    assert lossy in content["route"]
    assert sum(route["received"] + route["dropped"] for route in content["route"]) == 236
    assert content["latency"]["weight"] == {"copies": 48, "min": 76, "p50": 93, "p90": 93, "p99": 93, "max": 93}
    assert content["drop"] == {
        "unrouted": {"copies": 2, "reason": "no routing entry matches the key"},
        "not_live": {"copies": 2, "reason": "the port is not live in the tick of processing"},
    }
    assert set(content) == {"file", "expression", "events", "problem", "total", "type", "population", "event", "pe",
                            "route", "tick", "latency", "link", "waiting", "drop", "overrun"}  # fmt: skip


def test_stats_print_tables(file: str, capsys: Capture) -> None:
    out, note = printed(capsys, "stats", file)
    assert note == ""
    assert out[:2] == [
        "420 of 420 events: 184 packets sent, 232 copies received, 4 dropped",
        "ticks 0 to 24, 25 ms; per ms 7.4 sent, 9.3 received, 0.2 dropped",
    ]
    assert ["gradient", "48", "48", "0", "1.9", "1.9", "0.0"] in words(out)
    assert "… and 30 more: --by route" in out
    out, _ = printed(capsys, "stats", file, "--by", "route", "--by", "drop")
    assert len([line for line in out if line.startswith("spike")]) == 9
    assert not [line for line in out if line.startswith(("from", "pe", "…"))]
    out, _ = printed(capsys, "stats", file, "type == silent")
    assert out == ["0 of 420 events: 0 packets sent, 0 copies received, 0 dropped"]
    assert answer(capsys, "stats", file, "type == silent", "--by", "tick")["tick"] == {}


def test_ticks_without_events_count_as_zero() -> None:
    recording = Recording()
    for tick, packets in ((5, 3), (6, 1), (8, 2)):
        for _ in range(packets):
            recording.send(tick, OPTIMIZER, Type.SPIKE, 0, {5: 0})
    assert statistics(recording.trace(), ("tick",))["tick"] == {
        "sent": {"min": 0, "median": 1.5, "max": 3, "busiest": 5},
        "received": {"min": 0, "median": 1.5, "max": 3, "busiest": 5},
        "dropped": {"min": 0, "median": 0.0, "max": 0, "busiest": None},
    }
    last = 0xFFFFFFFF  # as of a damaged file: nothing of that size is allocated
    recording.send(last, OPTIMIZER, Type.SPIKE, 0, {5: 0})
    content = statistics(recording.trace())
    assert content["total"]["last_tick"] == last
    assert content["tick"]["sent"]["median"] == 0.0


def test_a_flit_serves_a_quad() -> None:
    recording = Recording()
    one, other = chain(0), chain(1)
    for _ in range(2):
        recording.send(3, OPTIMIZER, Type.WEIGHT, 0, {one[1]: 1, one[2]: 1, one[3]: 1, other[1]: Event.NOT_LIVE})
    recording.send(3, one[0], Type.SPIKE, 0, {one[1]: 0})
    recording.send(4, one[0], Type.SPIKE, 0, {0: Event.UNROUTED})
    loads = link_loads(recording.trace().events)
    injected, delivered = np.zeros(OPTIMIZER + 1, int), np.zeros(38, int)
    injected[[OPTIMIZER, one[0]]] = 2
    delivered[[(one[0] - 1) // 4, (other[0] - 1) // 4]] = 2 + 1, 2
    assert loads == mesh.link_loads(injected, delivered)
    into_the_quad = [load for (_, to), load in loads.items() if to == (7, 5)]
    assert sum(into_the_quad) == 3
    shuffled = recording.trace().events[::-1]
    assert link_loads(shuffled) == loads


# --- diff ------------------------------------------------------------------------------------------------------------


def test_equal_traces(file: str, tmp_path: Path, capsys: Capture) -> None:
    other = str(tmp_path / "other.pcapng.zst")
    write_trace(other, TRACE, compress=True)
    assert printed(capsys, "diff", file, other) == (["the 420 events are equal"], "")
    content = answer(capsys, "diff", file, other, "type == spike")
    assert content == {
        "a": file, "b": other, "expression": "type == spike", "equal": True, "events": [144, 144],
        "problems": [None, None], "first": None, "fields": [], "prefix": None, "same_meta": True, "context": {},
    }  # fmt: skip


def test_the_first_difference(file: str, tmp_path: Path, capsys: Capture) -> None:
    changed = replace(TRACE, events=TRACE.events.copy())
    changed.events["payload"][200, 1] ^= 1
    changed.events["hops"][200] += 1
    changed.events["key"][300] ^= 1
    write_trace(tmp_path / "b", changed)
    b = str(tmp_path / "b")
    out, _ = printed(capsys, "diff", file, b, code=6)
    assert out[0] == "event 200 differs in payload, hops (420 and 420 events)"
    assert (out[2], out[11]) == (file, b)
    assert [line[0] for line in words(out[3:10])] == ["197", "198", "199", ">", "201", "202", "203"]
    assert out[3:6] == out[12:15]
    assert re.match(r">       200  11  \+4 ns  gradient  6.6.1 → 5.3.0   key 0x31010001 .* hops 5 ", out[6])
    assert re.match(r">       200  11  \+4 ns  gradient  6.6.1 → 5.3.0   key 0x31010001 .* hops 6 ", out[15])
    content = answer(capsys, "diff", file, b, code=6)
    assert (content["equal"], content["first"], content["fields"]) == (False, 200, ["payload", "hops"])
    assert [len(content["context"][name]) for name in "ab"] == [7, 7]
    assert content["context"]["b"][3]["hops"] == 6
    assert printed(capsys, "diff", file, b, "type == spike and tick < 3")[0] == ["the 66 events are equal"]


def test_prefixes_and_other_programs(file: str, tmp_path: Path, capsys: Capture) -> None:
    part, renamed = tmp_path / "part", tmp_path / "renamed"
    write_trace(part, replace(TRACE, events=TRACE.events[:300]))
    write_trace(renamed, Trace(TRACE.events, Meta({}, TRACE.meta.filter)))
    out, _ = printed(capsys, "diff", file, str(part), code=6)
    assert out[0] == f"{part} is the begin of {file}: it ends after 300 events, the other has 420"
    assert len(out) == 1 + 2 * 2 + 7 + 3
    content = answer(capsys, "diff", str(part), file, code=6)
    assert (content["prefix"], content["first"], content["fields"]) == ("a", 300, [])
    out, _ = printed(capsys, "diff", file, str(renamed), code=6)
    assert out == ["the 420 events are equal; programs, names, phases or the filter of the traces differ"]
    out, _ = printed(capsys, "diff", str(part), str(renamed), code=6)
    assert out[1] == "programs, names, phases or the filter of the traces differ too"
    assert compare(Trace(np.empty(0, EVENT)), Trace(np.empty(0, EVENT))).equal
    without_phases = compare(TRACE, Trace(TRACE.events, TRACE.meta))
    assert without_phases.first is None and not without_phases.equal


# --- files that are none, or not whole -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["show"], ["stats"], ["diff", "--"]])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a pcapng file: byte 0"),
        (b"\xd4\xc3\xb2\xa1" + bytes(100), "is not a pcapng file: byte 0"),
        (b"\x28\xb5\x2f\xfd garbage", "is not a pcapng file"),
        (b"\x0a\x0d\x0d\x0a" + bytes(60), "at byte 0"),
    ],
)
def test_foreign_files(
    command: list[str], content: bytes | None, message: str, file: str, tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)
    out, error = printed(capsys, *command, *([file] if command[0] == "diff" else []), str(bad), code=2)
    assert out == []
    assert error.startswith(f"ConfigError: {bad}")
    assert message in error


def test_a_truncated_file_is_read_as_far_as_it_goes(file: str, tmp_path: Path, capsys: Capture) -> None:
    data = Path(file).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(data[: len(data) * 2 // 3])
    n = len(read_trace(cut).events)
    assert 100 < n < 420
    out, note = printed(capsys, "show", str(cut), "-n", "0")
    assert len(out) == n
    warning = rf"warning: {cut}, byte [\d,]+: the file ends within a block of \d+ bytes: .*; {n} events were read"
    assert re.fullmatch(rf"{warning} {n} of {n} events match", note)
    content = answer(capsys, "stats", str(cut))
    assert content["events"] == n
    assert content["problem"]["text"].startswith("the file ends within a block")
    assert content["problem"]["position"] % 4 == 0
    out, note = printed(capsys, "diff", str(cut), file, code=6)
    assert out[0] == f"{cut} is the begin of {file}: it ends after {n} events, the other has 420"


SMALL = example_trace(1, 1)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("small")
    for compress in (False, True):
        write_trace(folder / str(compress), SMALL, compress)
    return [folder / "False", folder / "True"]


@settings(max_examples=300)
@given(st.data())
def test_a_file_cut_at_any_byte_gives_a_prefix(small_files: list[Path], data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(small_files))
    content = file.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    part = file.with_name("part")
    part.write_bytes(content[:cut])
    try:
        trace = read_trace(part)
    except ConfigError:
        assert cut < 1000
        return
    assert trace.events.tobytes() == SMALL.events[: len(trace.events)].tobytes()
    if cut == len(content):
        assert (trace.problem, len(trace.events)) == (None, len(SMALL.events))


@settings(max_examples=200)
@given(st.data())
def test_damaged_bytes_are_read_or_refused(small_files: list[Path], data: st.DataObject) -> None:
    content = bytearray(small_files[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    part = small_files[0].with_name("damaged")
    part.write_bytes(content)
    try:
        trace = read_trace(part)
    except ConfigError:
        return
    statistics(trace)
    assert len([line for block in lines(trace) for line in block]) == len(list(objects(trace))) == len(trace.events)


def test_an_expression_that_is_wrong(file: str, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["trace", "show", file, "typ == error"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[:3] == [
        "ConfigError: there is no field 'typ'; did you mean 'type'?, at character 1 of the expression:",
        "  typ == error",
        "  ^",
    ]


@pytest.mark.parametrize("command", ["show", "stats", "diff"])
def test_help_has_examples(command: str, capsys: Capture) -> None:
    out, _ = printed(capsys, command, "--help")
    assert "  Examples:" in out
    assert any(f"spinn2emu trace {command} " in line for line in out)
