"""The table of a trace, and `trace export`: what other programs find in the files."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trace_helpers import OPTIMIZER, Recording, T, Type, chain, example_trace, words_of

from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace, write_trace
from spinn2emu.trace.schema import EVENT, Event, interface_name
from spinn2emu.trace.table import COLUMNS, columns
from spinn2host.cli.main import run
from spinn2host.traces.export import FORMATS, save
from spinn2host.traces.expression import select
from spinn2host.traces.nir import sent_events, to_nir

TRACE = example_trace()
EMPTY = Trace(np.empty(0, EVENT))
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The example as a file."""
    write_trace(tmp_path / "example.pcapng", TRACE)
    return str(tmp_path / "example.pcapng")


def exported(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The JSON object that the command prints."""
    capsys.readouterr()
    assert run(["trace", "export", *arguments, "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


# --- table -----------------------------------------------------------------------------------------------------------


def test_columns() -> None:
    table = columns(TRACE)
    assert list(table) == list(COLUMNS)
    assert {len(column) for column in table.values()} == {420}
    row = int(np.flatnonzero(table["event"] == "not_live")[0])
    sent = int(np.flatnonzero((table["id"] == table["id"][row]) & (table["event"] == "sent"))[0])
    value = table["value"][row]
    assert {name: column[row] for name, column in table.items()} == {
        "time_ns": 7_000_151, "tick": 7, "sent_ns": 8, "latency_ns": 143, "event": "not_live", "type": "error",
        "source": "7.5.2", "target": "7.5.1", "out": "errors", "port": "", "phase": "backward", "population": "",
        "neuron": -1, "key": 0x22000003, "payload_bytes": 4, "word0": words_of([value])[0], "word1": 0, "word2": 0,
        "word3": 0, "value": value,
        "hops": 8, "dropped": True, "id": 7_000_008 * 256 + chain(0)[2],
    }  # fmt: skip
    assert (table["target"][sent], table["latency_ns"][sent], table["port"][sent]) == ("router", 0, "")
    spikes = table["type"] == "spike"
    assert np.isnan(table["value"][spikes]).all()
    assert set(table["phase"][spikes]) == {"forward"}
    assert set(table["out"][table["type"] == "weight"]) == {"weights1", "weights2"}
    for name, text in COLUMNS.items():
        kind = text.replace(":", ",").split(",")[0].split()[0]
        assert table[name].dtype.kind == "U" if kind == "text" else table[name].dtype == kind, name


def test_without_names_there_are_numbers() -> None:
    table = columns(Trace(TRACE.events))
    assert set(table["phase"]) == {"0", "1"}
    assert set(table["port"]) == {"0", "1", "2", "3", ""}
    assert {name: len(column) for name, column in columns(EMPTY).items()} == dict.fromkeys(COLUMNS, 0)


@pytest.mark.parametrize("trace", [TRACE, EMPTY])
def test_pandas_and_arrow_hold_the_same(trace: Trace) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    expected, frame, arrow = columns(trace), trace.to_pandas(), trace.to_arrow()
    assert list(frame.columns) == arrow.column_names == list(COLUMNS)
    for name, column in expected.items():
        np.testing.assert_array_equal(frame[name].to_numpy(), column, err_msg=name)
        np.testing.assert_array_equal(arrow[name].to_pylist(), column.tolist(), err_msg=name)
    assert frame["type"].dtype == "category"
    if len(frame):
        sent = frame[frame["event"] == "sent"].groupby("type", observed=True).size()
        assert sent.to_dict() == {"spike": 72, "error": 44, "gradient": 48, "weight": 16, "control": 4}


def test_a_missing_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("pandas", "pyarrow", "pyarrow.parquet", "nir"):
        monkeypatch.setitem(sys.modules, module, None)
    for use in (TRACE.to_pandas, TRACE.to_arrow, lambda: save(TRACE, tmp_path / "p", "parquet"), lambda: to_nir(TRACE)):
        with pytest.raises(ConfigError, match=r"needs \S+: pip install 'spinn2emu\[trace\]'"):
            use()


# --- csv and parquet -------------------------------------------------------------------------------------------------


def test_csv(file: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.csv"
    content = exported(capsys, "csv", file, str(out), "type == error and tick < 13")
    assert content == {
        "schema_version": 1, "file": file, "expression": "type == error and tick < 13", "format": "csv",
        "out": str(out), "events": 44, "bytes": out.stat().st_size, "problem": None,
    }  # fmt: skip
    with open(out, newline="") as lines:
        rows = list(csv.DictReader(lines))
    table = columns(select(TRACE, "type == error and tick < 13"))
    assert len(rows) == 44
    for name, column in table.items():
        read = [row[name] for row in rows]
        if column.dtype.kind == "U":
            assert read == column.tolist()
        else:
            of = {"b": "True".__eq__, "f": np.float32}.get(column.dtype.kind, int)
            np.testing.assert_array_equal([of(value) for value in read], column)


@pytest.mark.parametrize(("format", "plain"), [("csv", "out.csv"), ("perfetto", "out.json")])
def test_the_suffix_says_whether_a_file_is_compressed(
    format: str, plain: str, file: str, tmp_path: Path, capsys: Capture
) -> None:
    for name in (plain, f"{plain}.gz", f"{plain.upper()}.GZ", "bare"):
        exported(capsys, format, file, str(tmp_path / name))
    content = (tmp_path / plain).read_bytes()
    assert content[:1] in b"{t" and (tmp_path / "bare").read_bytes() == content
    for name in (f"{plain}.gz", f"{plain.upper()}.GZ"):
        assert gzip.decompress((tmp_path / name).read_bytes()) == content


@pytest.mark.parametrize(
    ("format", "out", "words"),
    [("csv", "out.json.gz", "csv is written to files that end in .csv or .csv.gz"), ("csv", "out.gz", ".csv.gz"),
     ("perfetto", "out.csv", ".json or .json.gz"), ("parquet", "out.csv", ".parquet"),
     ("parquet", "o.parquet.gz", ".parquet"),
     ("nir-events", "out.json", ".npz")],
)  # fmt: skip
def test_a_suffix_of_another_format_is_refused(
    format: str, out: str, words: str, file: str, tmp_path: Path, capsys: Capture
) -> None:
    assert words in refusal(capsys, format, file, str(tmp_path / out))
    assert not (tmp_path / out).exists()
    with pytest.raises(ConfigError) as caught:
        save(TRACE, tmp_path / out, format)
    assert caught.value.path == str(tmp_path / out) and caught.value.format == format


def test_parquet(file: str, tmp_path: Path, capsys: Capture) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    assert exported(capsys, "parquet", file, str(out))["events"] == 420
    table = parquet.read_table(out)
    assert table.column_names == list(COLUMNS)
    for name, column in columns(TRACE).items():
        np.testing.assert_array_equal(table[name].to_pylist(), column.tolist(), err_msg=name)


# --- perfetto --------------------------------------------------------------------------------------------------------


def perfetto(tmp_path: Path, trace: Trace) -> list[dict[str, Any]]:
    save(trace, tmp_path / "out.json.gz", "perfetto")
    content = json.loads(gzip.decompress((tmp_path / "out.json.gz").read_bytes()))
    assert content["displayTimeUnit"] == "ns"
    rows: list[dict[str, Any]] = content["traceEvents"]
    return rows


REQUIRED = {
    "M": {"name", "pid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "s": {"name", "cat", "pid", "tid", "ts", "id"},
    "f": {"name", "cat", "pid", "tid", "ts", "id", "bp"},
    "C": {"name", "pid", "ts", "args"},
}
"""Keys by phase of a Chrome trace event."""


def test_perfetto_structure(tmp_path: Path) -> None:
    rows = perfetto(tmp_path, TRACE)
    threads = defaultdict(list)
    for row in rows:
        assert set(row) - {"ph"} - ({"tid"} if row["ph"] == "M" else set()) == REQUIRED[row["ph"]]
        if "ts" in row and row["cat" if "cat" in row else "ph"] != "phase":
            threads[row["pid"], row.get("tid", "counter")].append(row["ts"])
    assert all(times == sorted(times) for times in threads.values())
    processes = {row["pid"]: row["args"]["name"] for row in rows if row["name"] == "process_name"}
    assert processes == {1: "event router", 3: "quad 7.5", 4: "quad 6.6", 5: "quad 6.5", 39: "quad 5.3"}
    named = {row["tid"]: row["args"]["name"] for row in rows if row["name"] == "thread_name"}
    assert {pid for pid, _ in threads} == set(processes)
    assert {tid for _, tid in threads} == {*named, "counter"}
    assert named[chain(0)[1] + 1] == "7.5.1 spinn2fw.eventprop.layer"
    assert named[1] == "router"


def test_perfetto_phases_are_slices_of_the_pe(tmp_path: Path) -> None:
    """Of the ticks of the events that were chosen, whichever those are."""
    for chosen in (TRACE, select(TRACE, "type == control or type == gradient and tick < 20")):
        rows = [row for row in perfetto(tmp_path, chosen) if row.get("cat") == "phase"]
        layer = [(row["name"], row["ts"], row["dur"]) for row in rows if row["tid"] == chain(0)[1] + 1]
        assert layer[:2] == [("forward", 0, 6000), ("backward", 6000, 8000)]
        assert (len(layer), layer[-1][1] + layer[-1][2]) == ((4, 25_000) if chosen is TRACE else (2, 14_000))
        source = [(row["name"], row["ts"], row["dur"]) for row in rows if row["tid"] == chain(2)[0] + 1]
        assert source[:3] == [("start", 0, 1000), ("forward", 1000, 5000), ("backward", 6000, 8000)]


def test_perfetto_slices_and_arrows(tmp_path: Path) -> None:
    rows = perfetto(tmp_path, TRACE)
    slices = [row for row in rows if row["ph"] == "X" and row["cat"] != "phase"]
    assert len(slices) == 420
    assert sorted(round(1000 * row["ts"]) for row in slices) == TRACE.events["time"].tolist()
    lost = next(row for row in slices if row["name"] == "error not_live")
    assert (lost["pid"], lost["tid"], lost["ts"]) == (3, chain(0)[1] + 1, 7000.151)
    assert lost["args"] == {"key": "0x22000003", "source": "7.5.2", "target": "7.5.1", "tick": 7, "sent_ns": 8}
    # an arrow is bound to the slice that its thread has opened last
    last: dict[tuple[int, int], dict[str, Any]] = {}
    ends: dict[str, dict[int, dict[str, Any]]] = {"s": {}, "f": {}}
    for row in rows:
        if row["ph"] == "X":
            last[row["pid"], row["tid"]] = row
        elif row["ph"] in "sf":
            own = last[row["pid"], row["tid"]]
            assert row["ts"] == own["ts"]
            assert row["id"] not in ends[row["ph"]]
            ends[row["ph"]][row["id"]] = own
    assert ends["s"].keys() == ends["f"].keys() == set(range(1, 237))  # an arrow per copy
    for number, copy in ends["f"].items():
        sent = ends["s"][number]
        assert (sent["cat"], copy["cat"] in ("received", "not_live", "unrouted")) == ("sent", True)
        for name in ("source", "tick", "sent_ns", "key"):
            assert copy["args"][name] == sent["args"][name]


def test_perfetto_without_one_end_there_is_no_arrow(tmp_path: Path) -> None:
    for text in ("event == sent", "event == received"):
        phases = Counter(row["ph"] for row in perfetto(tmp_path, select(TRACE, text)))
        assert phases["X"] > 100
        assert (phases["s"], phases["f"]) == (0, 0)
    some = Counter(row["ph"] for row in perfetto(tmp_path, select(TRACE, "event != sent or src == 7.5.0")))
    assert (some["s"], some["f"]) == (10, 10)
    assert {row["name"] for row in perfetto(tmp_path, EMPTY)} == {"process_name", "thread_name"}


def test_perfetto_counts_packets_per_tick(tmp_path: Path) -> None:
    rows = [row for row in perfetto(tmp_path, TRACE) if row["ph"] == "C"]
    counts = {row["ts"]: row["args"] for row in rows}
    assert len(counts) == len(rows)
    assert set(counts[0]) == {"spike", "error", "gradient", "weight", "control"}
    assert (counts[0]["weight"], counts[0]["control"]) == (8, 2)
    assert counts[1000 * (T + 5)] == {"spike": 0, "error": 0, "gradient": 24, "weight": 0, "control": 0}
    assert counts[1000 * (T + 6)] == dict.fromkeys(counts[0], 0)  # the last gradients are over
    assert sum(args["spike"] for args in counts.values()) == 72


# --- nir -------------------------------------------------------------------------------------------------------------


def test_nir_events_file(file: str, tmp_path: Path, capsys: Capture) -> None:
    nir = pytest.importorskip("nir")
    out = tmp_path / "out.npz"
    exported(capsys, "nir-events", file, str(out), "tick < 13")
    with np.load(out) as arrays:
        content = dict(arrays)
    ports = {name.rpartition("/")[0] for name in content}
    layers = {
        f"{interface_name(pe)}.{port}" for s in range(3) for pe in chain(s)[1:3] for port in ("spikes", "gradients")
    }
    others = {
        f"{interface_name(chain(s)[p])}.{port}"
        for s in range(3)
        for p, port in ((0, "spikes"), (2, "errors"), (3, "errors"))
    }
    assert ports == layers | others | {"7.5.1.errors", "5.3.0.control", "5.3.0.weights1", "5.3.0.weights2"}
    spikes = {name.rpartition("/")[2]: array for name, array in content.items() if name.startswith("7.5.1.spikes/")}
    data = nir.EventData(**spikes)
    assert (data.n_samples, int(data.n_neurons), float(data.t_max)) == (1, 4, 0.012)
    sent = TRACE.events[(TRACE.events["event"] == Event.SENT) & (TRACE.events["source"] == chain(0)[1])]
    sent = sent[(sent["type"] == Type.SPIKE) & (sent["tick"] < 13)]
    assert data.idx.tolist() == [(sent["key"] & 0xFFFF).tolist()]
    assert sorted(data.idx[0]) == [0, 1, 2, 3]
    np.testing.assert_allclose(data.time[0], sent["time"] / 1e9, rtol=1e-15)
    errors = {name.rpartition("/")[2]: array for name, array in content.items() if name.startswith("7.5.3.errors/")}
    valued = nir.ValuedEventData(**errors)
    assert valued.value.dtype == np.float32
    assert set(valued.idx[0].tolist()) == {0, 1, 2}


def test_nir_graph_data(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    graph = to_nir(TRACE)
    assert isinstance(graph, nir.NIRGraphData)
    assert set(graph.nodes) == {interface_name(pe) for s in range(3) for pe in chain(s)} | {interface_name(OPTIMIZER)}
    observables = graph.nodes["7.5.2"].observables
    assert set(observables) == {"spikes", "errors", "gradients"}
    assert type(observables["spikes"]) is nir.EventData
    assert type(observables["errors"]) is nir.ValuedEventData
    own = select(TRACE, "event == sent and src == 7.5.2 and type == error")
    np.testing.assert_array_equal(observables["errors"].value[0], columns(own)["value"])
    assert to_nir(EMPTY).nodes == {}
    nir.write_data(tmp_path / "data", graph)
    again = nir.read_data(tmp_path / "data")
    np.testing.assert_array_equal(again.nodes["7.5.2"].observables["errors"].time, observables["errors"].time)


def test_nir_finds_every_tick_in_its_grid() -> None:
    nir = pytest.importorskip("nir")
    ticks = [0, 1, 29, 57, 1000, 1001, 4999]  # 1001 * 1e-3 / 1e-3 is below 1001 in floating point
    recording = Recording()
    for i, tick in enumerate(ticks):
        recording.send(tick, OPTIMIZER, Type.SPIKE, i, {})
    grid = to_nir(recording.trace()).nodes["5.3.0"].observables["0"].to_time_gridded(1e-3)
    assert isinstance(grid, nir.TimeGriddedData)
    assert grid.data.shape == (1, 5000, len(ticks))
    assert np.argwhere(grid.data[0]).tolist() == [[tick, i] for i, tick in enumerate(ticks)]


def test_nir_values_where_some_packets_have_none() -> None:
    recording = Recording()
    recording.send(0, OPTIMIZER, Type.ERROR, 5, {}, words_of([2.0]))
    recording.send(0, OPTIMIZER, Type.ERROR, 0x10007, {})
    (events,) = sent_events(recording.trace())
    assert (events.pe, events.port, events.n_neurons) == ("5.3.0", "0", 8)
    assert events.idx.tolist() == [[5, 7]]
    assert events.value is not None
    np.testing.assert_array_equal(events.value, np.float32([[2.0, np.nan]]))


# --- errors ----------------------------------------------------------------------------------------------------------


def refusal(capsys: Capture, *arguments: str) -> str:
    """What a command that is refused says, on one line."""
    capsys.readouterr()
    assert run(["trace", "export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return " ".join(captured.err.split())


@pytest.mark.parametrize("format", list(FORMATS))
def test_what_cannot_be_written(format: str, file: str, tmp_path: Path, capsys: Capture) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow.parquet")
    out = str(tmp_path / "no folder" / "out")
    assert refusal(capsys, format, file, out) == f"ConfigError: {out}: No such file or directory"
    assert "is not a pcapng file" in refusal(capsys, format, __file__, str(tmp_path / "out"))
    assert "there is no field 'typ'" in refusal(capsys, format, file, str(tmp_path / "out"), "typ == error")
    assert not (tmp_path / "out").exists()
    before = Path(file).read_bytes()
    assert "is the trace itself" in refusal(capsys, format, file, file)
    assert Path(file).read_bytes() == before


@pytest.mark.parametrize("format", list(FORMATS))
def test_damaged_and_empty_traces_are_written(format: str, file: str, tmp_path: Path, capsys: Capture) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow.parquet")
    data = Path(file).read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    capsys.readouterr()
    assert run(["trace", "export", format, str(tmp_path / "cut"), str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: ")
    assert captured.out.startswith("wrote ")
    assert exported(capsys, format, file, str(tmp_path / "none"), "tick > 99")["events"] == 0
    assert exported(capsys, format, file, str(tmp_path / "none"))["events"] == 420  # replaced


def test_formats(file: str, capsys: Capture) -> None:
    assert "is not one of 'perfetto', 'csv', 'parquet', 'nir-events'" in refusal(capsys, "xml", file, "out")
    with pytest.raises(ConfigError, match="there is no format 'xml': perfetto, csv, parquet, nir-events"):
        save(TRACE, "out", "xml")
    assert run(["trace", "export", "--help"]) == 0
    assert "  Examples:\n    spinn2emu trace export perfetto" in capsys.readouterr().out
