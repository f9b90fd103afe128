"""What a chip records: every event, against a model in plain Python; the same bytes however it runs; and its ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, SPACE, alive, ring, wait_until, write_program
from host_helpers import digest_of_a_run, open_network, rates, small, yinyang_samples
from numpy.typing import NDArray

from spinn2emu import mesh
from spinn2emu.errors import ConfigError, NoSuchChip, PeDied, Spinn2Error
from spinn2emu.router.state import Counter, PeCounter
from spinn2emu.trace.capture import (
    ALL,
    MOST_NOTES,
    OFF,
    CaptureMemory,
    CaptureWord,
    Filter,
    make_room,
    wants_everything,
)
from spinn2emu.trace.file import Trace, TraceWriter, canonical_order, read_trace, write_trace
from spinn2emu.trace.recorder import Recorder
from spinn2emu.trace.schema import CHIP_TYPES, EVENT, LINK, ROUTER, Event, Meta, interfaces, latency_ns
from spinn2host.chip import Chip, PeProgram
from spinn2host.traces.phases import common, stretches

SOURCE, SINK, DOZING, DEAF = 5, 9, 77, 150
COUNT = 8
TICKS = 23
DEPTH = 2


@pytest.fixture(params=BOOTS.values(), ids=BOOTS)
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """A chip whose options must not matter."""
    return chips(**request.param)


def everything(programs: dict[str, str]) -> tuple[list[PeProgram], list[tuple[Any, ...]]]:
    """A source whose packets meet every fate: keys 0, 1 go to a small FIFO and to a PE that dozes; 2, 3 to a PE that
    does not listen, and to links 1 and 4; the others nowhere."""
    pes = [
        PeProgram(SOURCE, programs["source"], {"count": COUNT}, {}, {"out": (0x40, SPACE)}),
        PeProgram(SINK, programs["sink"], {"depth": DEPTH, "policy": "drop"}, {"in": (0x40, SPACE)}),
        PeProgram(DOZING, programs["dozing"], {}, {"in": (0x40, 0xFFFFFFFF)}),
        PeProgram(DEAF, programs["sink"], {}, {"in": (0x99, 0xFFFFFFFF)}),
    ]
    return pes, [(0x40, 0xFFFFFFFF, [SINK, DOZING]), (0x40, 0xFFFFFFFC, [SINK]), (0x44, 0xFFFFFFFE, [DEAF], [1, 4])]


def expected() -> NDArray[np.void]:
    """The events of `everything` in TICKS ticks, by the rules of the design."""
    rows = []
    for tick in range(TICKS):
        last = tick == TICKS - 1  # what is sent then has not been processed when the trace ends
        for i in range(COUNT):
            ends: list[tuple[Event, int]] = []
            if i < 4 and not last:
                ends.append((Event.RECEIVED if i < DEPTH else Event.FIFO_FULL, SINK))
            if i == 0 and not last:
                ends.append((Event.RECEIVED if (tick + 1) % 5 < 2 else Event.NOT_LIVE, DOZING))
            if i in (4, 5):
                ends += [(Event.UNCLAIMED, DEAF), (Event.OFF_CHIP, LINK + 1), (Event.OFF_CHIP, LINK + 4)]
            if i > 5:
                ends.append((Event.UNROUTED, ROUTER))
            sent = 10 * i // 3
            rows.append((tick, sent, 0, Event.SENT, 0, 0x40 + i, 0, 255))
            for event, target in ends:
                is_pe = ROUTER < target < LINK
                latency = mesh.latency_ns(SOURCE, target if is_pe else None)
                hops = mesh.hops(SOURCE) + (mesh.hops(target) if is_pe else 0)
                port = 255 if event in (Event.UNROUTED, Event.OFF_CHIP, Event.UNCLAIMED) else 0
                rows.append((tick, sent, latency, event, target, 0x40 + i, hops, port))
    events = np.zeros(len(rows), EVENT)
    for i, (tick, sent, latency, event, target, key, hops, port) in enumerate(rows):
        events[i]["time"] = tick * 1_000_000 + sent + latency
        for name, value in (("tick", tick), ("sent", sent), ("event", event), ("target", target), ("key", key),
                            ("hops", hops), ("port", port), ("source", SOURCE), ("type", len(CHIP_TYPES))):  # fmt: skip
            events[i][name] = value
    return events[canonical_order(events)]


def test_every_fate_of_a_packet_is_recorded(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    chip.deploy(*everything(programs))
    with chip.trace(tmp_path / "t.pcapng"):
        for ticks in (1, 0, 7, TICKS - 8):
            chip.run(ticks)
    trace = read_trace(tmp_path / "t.pcapng")
    want = expected()
    assert trace.problem is None and len(want) > 300
    for name in EVENT.names or ():
        np.testing.assert_array_equal(trace.events[name], want[name], err_msg=name)
    assert trace.meta.pes["7.5.0"].outputs == ["out"] and trace.meta.pes["1.1.0"].phases == ["hear", "deaf"]
    assert trace.meta.pes["7.5.0"].program == "source.py"


def test_counts_are_those_of_the_counters(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    chip.deploy(*everything(programs))
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(200)
    events, counters = read_trace(tmp_path / "t.pcapng").events, chip.counters()
    pairs = [
        (Event.SENT, Counter.PACKETS), (Event.UNROUTED, Counter.UNROUTED), (Event.UNCLAIMED, Counter.UNCLAIMED),
        (Event.NOT_LIVE, Counter.NOT_LIVE), (Event.FIFO_FULL, Counter.FIFO_DROPPED), (Event.OFF_CHIP, Counter.OFF_CHIP),
    ]  # fmt: skip
    for event, counter in pairs:
        assert (events["event"] == event).sum() == counters["router"][counter] > 0, event
    for event, column in ((Event.SENT, PeCounter.SENT), (Event.RECEIVED, PeCounter.DELIVERED)):
        here = np.bincount(interfaces(events[events["event"] == event]), minlength=153)
        assert here[:153].tolist() == counters["pes"][:, column].tolist()


def waits(received: np.ndarray, alone: np.ndarray) -> list[int]:
    """ns that packets wait for those before them at the same PE: one arrives per cycle of the mesh, 10/3 ns."""
    found, free = [0] * len(received), dict[tuple[int, int], int]()
    at = received["sent"].astype(int) + alone
    for i in sorted(range(len(received)), key=lambda i: (at[i], received["source"][i])):
        link = int(received["tick"][i]), int(received["target"][i])
        start = max(3 * int(at[i]), free.get(link, 0))
        found[i], free[link] = start // 3 - int(at[i]), start + 10
    return found


def test_training_is_recorded_with_types_phases_and_latencies(chip: Chip, tmp_path: Path) -> None:
    recipe = small(layers=(5, 12, 3), batch=3)
    samples = yinyang_samples(recipe)
    network = open_network(chip, recipe, samples)
    before = chip.counters()
    with chip.trace(tmp_path / "t.pcapng"):
        network.train(samples, rates(recipe).take(3))
    trace, after = read_trace(tmp_path / "t.pcapng"), chip.counters()
    events = trace.events
    assert len(events) == (after["pes"] - before["pes"])[:, [PeCounter.SENT, PeCounter.DELIVERED]].sum()
    kinds = ["spike", "error", "gradient", "silent", "control", "weight"]  # as the PEs' ports have them
    assert list(trace.meta.types) == [*CHIP_TYPES, *kinds] and np.unique(events["type"]).tolist() == [*range(4, 10)]
    for kind, top in (("spike", 1), ("error", 2), ("gradient", 3), ("weight", 4), ("control", 5), ("silent", 6)):
        assert (events["key"][events["type"] == 4 + kinds.index(kind)] >> 28 == top).all(), kind
    received = events[events["event"] == Event.RECEIVED]
    alone = np.array([mesh.latency_ns(int(one["source"]), int(one["target"])) for one in received])
    assert (latency_ns(received) - alone).tolist() == waits(received, alone)
    hops = mesh.hops_table().astype(int)
    assert (received["hops"] == hops[received["source"]] + hops[received["target"]]).all()
    errors = events[(events["type"] == 5) & (events["event"] == Event.SENT)]
    phases = {trace.meta.name_of("phases", int(e["source"]), int(e["phase"])) for e in errors}
    assert "backward" in phases and len(errors) > 10
    assert (latency_ns(events[events["event"] == Event.SENT]) == 0).all()


def test_the_bytes_are_the_same_however_the_chip_runs(chips: Chips, programs: dict[str, str], tmp_path: Path) -> None:
    recipe = small(layers=(5, 30, 3), batch=7)
    samples = yinyang_samples(recipe)
    for number, options in enumerate([*BOOTS.values(), {}, {}]):
        chip = chips(**options)
        network = open_network(chip, recipe, samples)
        with chip.trace(tmp_path / f"train{number}.pcapng"):
            network.train(samples, rates(recipe).take(3))
        mixers = [(5, 1, 2, 3), (77, 2, 4, 1), (100, 3, 0, 0), (152, 4, 1, 1)]
        pes = [
            PeProgram(
                pe, programs["mixer"], {"seed": seed, "hear": hear, "deaf": deaf},
                {"a": (32 * ((i + 1) % 4), SPACE), "b": (32 * ((i + 2) % 4) + 16, SPACE)},
                {"x": (32 * i, SPACE), "y": (32 * i + 16, SPACE)},
            )
            for i, (pe, seed, hear, deaf) in enumerate(mixers)
        ]  # fmt: skip
        chip.deploy(pes, [(0, 0xFFFFFF00, [5, 77, 100, 152])])
        with chip.trace(tmp_path / f"mix{number}.pcapng"):
            chip.run(300)
            chip.run(41)
    for name in ("train", "mix"):
        texts = {path.read_bytes() for path in tmp_path.glob(f"{name}*")}
        assert len(texts) == 1, name
        events = read_trace(tmp_path / f"{name}0.pcapng").events
        assert (canonical_order(events) == np.arange(len(events))).all() and len(events) > 1000
    assert {Event.SENT, Event.RECEIVED, Event.UNCLAIMED, Event.NOT_LIVE} == set(events["event"].tolist())


def test_nothing_that_a_chip_computes_depends_on_the_trace(
    chips: Chips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = chips()
    untraced, original = digest_of_a_run(chip), chip.run

    def run(ticks: int, progress: Any = None) -> None:
        with chip.trace(tmp_path / "t.pcapng"):
            original(ticks, progress)

    monkeypatch.setattr(chip, "run", run)
    assert digest_of_a_run(chip) == untraced and len(read_trace(tmp_path / "t.pcapng").events) > 100


# --- phases -----------------------------------------------------------------------------------------------------------


def phases_of(trace: Trace, pe: int) -> list[tuple[int, int]]:
    """Tick and number of each phase that the PE begins."""
    return [(int(tick), int(phase)) for who, tick, phase in trace.phases.tolist() if who == pe]


@pytest.mark.parametrize(
    "options", [{}, {"events": ["sent"]}, {"types": ["multicast"]}, {"pes": [SOURCE], "last": 5}], ids=str
)
def test_every_phase_is_recorded_whatever_the_filter(
    chip: Chip, programs: dict[str, str], tmp_path: Path, options: dict[str, Any]
) -> None:
    """DOZING hears for 2 ticks and is deaf for 3; the others have one phase without end."""
    chip.deploy(*everything(programs))
    chip.run(4)
    with chip.trace(tmp_path / "t.pcapng", **options):
        chip.run(8)
        chip.run(TICKS - 12)
    trace = read_trace(tmp_path / "t.pcapng")
    assert phases_of(trace, DOZING) == [(t, 0 if t % 5 == 0 else 1) for t in range(4, TICKS) if t % 5 in (0, 2)]
    assert trace.meta.began == {"7.5.0": (0, 0), "6.6.0": (0, 0), "1.1.0": (1, 2), "5.3.1": (0, 0)}
    known = [tuple(row) for row in stretches(trace).tolist() if row[0] == DOZING]
    last = trace.ticks[1] if len(trace.events) else TICKS
    assert known[:3] == [(DOZING, 1, 2, 5), (DOZING, 0, 5, 7), (DOZING, 1, 7, 10)]
    assert (DOZING, SOURCE) == (77, 5) and known[-1][3] == max(last, known[-1][2] + 1)
    write_trace(tmp_path / "again.pcapng", trace)
    assert (tmp_path / "again.pcapng").read_bytes() == (tmp_path / "t.pcapng").read_bytes()


CHOOSER = """
from spinn2emu.sdk import set_phase

def regions(p, available):
    return [Region("n", np.int64, (1,))]

def tick(pe, ram, rx, t):  # waits until tick 3, then short, long, short, short, waits again
    ram.n[0] = t
    if t < 3 or t >= 14:
        set_phase(pe, 0)
    elif t == 3:
        set_phase(pe, 1)
    elif t == 5:
        set_phase(pe, 2)
    elif t == 9 or t == 11:
        set_phase(pe, 1)
    elif t == 13:
        set_phase(pe, 0)
    return 0

program = Program(tick=tick, regions=regions, phases=lambda p: [
    Phase("wait", 1, (), (), ("short",)),
    Phase("short", 2, (), (), ("short", "long", "wait")),
    Phase("long", 4, (), (), ("short",)),
])
"""


def test_phases_that_a_program_chooses_are_recorded_but_not_each_tick_of_waiting(chip: Chip, tmp_path: Path) -> None:
    chip.deploy([PeProgram(SOURCE, write_program(tmp_path, "chooser", CHOOSER))], [])
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(20)
    trace = read_trace(tmp_path / "t.pcapng")
    assert phases_of(trace, SOURCE) == [(0, 0), (4, 1), (6, 2), (10, 1), (12, 1), (14, 0)]
    assert not len(trace.events) and trace.problem is None


def test_the_schedule_of_a_training_is_in_its_trace(chip: Chip, tmp_path: Path) -> None:
    """T + 1 ticks forward, T backward, and an update, in which the next step is released; evaluation goes forward only.
    It is the same for every sample, and whatever packets are recorded."""
    recipe = small(layers=(5, 12, 3), batch=3)
    samples = yinyang_samples(recipe)
    T = recipe.T
    spans = []
    for name, options in (("all", {}), ("few", {"types": ["gradient"]})):
        network = open_network(chip, recipe, samples)
        with chip.trace(tmp_path / f"{name}.pcapng", **options):
            network.train(samples, rates(recipe).take(3))
        trace = read_trace(tmp_path / f"{name}.pcapng")
        spans.append(common(trace, ["forward", "backward"]))
        layers = {tuple(phases_of(trace, pe)) for pe in (6, 7, 8, 10, 11, 12, 14, 15, 16)}
        assert len(layers) == 1
    step = 2 * T + 1
    assert [span.begin for span in spans[0][:6]] == [0, T + 2, step + 1, step + T + 2, 2 * step + 1, 2 * step + T + 2]
    assert [span.name for span in spans[0]] == ["forward", "backward"] * 3
    assert [span[:2] for span in spans[0]] == [span[:2] for span in spans[1]]


# --- filters ----------------------------------------------------------------------------------------------------------

FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({"events": ["sent"]}, lambda e: e["event"] == Event.SENT),
    ({"events": ["received", "dropped"]}, lambda e: e["event"] != Event.SENT),
    ({"types": ["out"]}, lambda e: e["type"] == 4),
    ({"without": ["out"]}, lambda e: e["type"] != 4),
    ({"pes": ["1.1.0"]}, lambda e: (e["source"] == DOZING) | (e["target"] == DOZING)),
    ({"key": 0x42, "mask": 0xFFFFFFFE}, lambda e: e["key"] >> 1 == 0x21),
    ({"first": 3, "last": 7}, lambda e: (e["tick"] >= 3) & (e["tick"] <= 7)),
    ({"pes": [SINK], "events": ["dropped"], "last": 9},
     lambda e: (e["target"] == SINK) & (e["event"] >= Event.UNROUTED) & (e["tick"] < 10)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "keeps"), FILTERS, ids=[str(options) for options, _ in FILTERS])
def test_only_what_was_asked_for_is_recorded(
    chip: Chip, programs: dict[str, str], tmp_path: Path, options: dict[str, Any], keeps: Any
) -> None:
    chip.deploy(*everything(programs))
    with chip.trace(tmp_path / "t.pcapng", **options):
        chip.run(TICKS)
    want = expected()
    want = want[keeps(want)]
    trace = read_trace(tmp_path / "t.pcapng")
    assert trace.events.tobytes() == want.tobytes()
    assert len(want) or options == {"without": ["out"]}
    assert trace.meta.filter


@pytest.mark.parametrize(
    ("options", "words"),
    [({"types": ["spikes"]}, "'spikes': there are multicast, .*, out"), ({"events": ["lost"]}, "events"),
     ({"pes": [999]}, "999"), ({"pes": ["7.5.3"]}, "PE 7.5.3: it has no program"),
     ({"key": 3, "mask": 1}, "never match"), ({"first": 9, "last": 3}, "no tick"), ({"limit": 5}, "too small"),
     ({"key": 1 << 32}, "key"), ({"first": -1}, "first"), ({"pes": ["9.9.9"]}, "9.9.9"),
     ({"pes": ["1.1.0", "2.2"]}, "quad 2.2: none of its PEs has a program")],
    ids=str,
)  # fmt: skip
def test_wrong_filters_are_refused(
    chip: Chip, programs: dict[str, str], tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    chip.deploy(*everything(programs))
    with pytest.raises(ConfigError, match=words):
        chip.start_trace(tmp_path / "t.pcapng", **options)
    assert chip.info()["trace"] is None
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(2)
    assert len(read_trace(tmp_path / "t.pcapng").events)


def test_a_limited_trace_keeps_the_last_packets(chips: Chips, tmp_path: Path, programs: dict[str, str]) -> None:
    chip = chips()
    pes = [PeProgram(5, programs["source"], {"count": 600}, {}, {"out": (0, 0xFFFF0000)}),
           PeProgram(9, programs["sink"], {"depth": 1000}, {"in": (0, 0xFFFF0000)})]  # fmt: skip
    chip.deploy(pes, [(0, 0xFFFF0000, [9])])
    with chip.trace(tmp_path / "t.pcapng", limit=8_000_000):
        for _ in range(6):
            chip.run(25)
    events = read_trace(tmp_path / "t.pcapng").events
    assert [path.name for path in tmp_path.iterdir()] == ["t.pcapng"]
    assert 4_000_000 < (tmp_path / "t.pcapng").stat().st_size <= 8_000_000
    assert 0 < events["tick"].min() < events["tick"].max() == 149 and (events["tick"] == 149).sum() == 600
    assert (np.bincount(events["tick"])[events["tick"].min() + 1 : 149] == 1200).all()


# --- a chip that lives on ---------------------------------------------------------------------------------------------


def test_programs_come_and_go_while_a_chip_is_traced(chips: Chips, programs: dict[str, str], tmp_path: Path) -> None:
    chip = chips()
    chip.load(programs["counter"], ["7.5.0"])
    chip.start_trace(tmp_path / "t.pcapng")
    chip.run(5)
    chip.load_programs([
        PeProgram(SINK, programs["sink"], {}, {"in": (0x40, SPACE)}),
        PeProgram(77, programs["source"], {"count": 2}, {}, {"out": (0x40, SPACE)}),
    ])  # fmt: skip
    ports = {
        str(SINK): {"inputs": {"in": [[0x40, SPACE]]}, "outputs": {}},
        "77": {"inputs": {}, "outputs": {"out": [0x40, SPACE]}},
    }
    chip.request("load", pes=[], entries=[[0x40, SPACE, [SINK]]], ports=ports)
    chip.run(10)
    chip.signal("pause", [SINK])  # what waits for it is discarded
    chip.run(3)
    chip.signal("resume", [SINK])
    chip.run(2)
    summary = chip.stop_trace()
    lost = int(chip.counters()["router"][Counter.NOT_LIVE])
    trace = read_trace(tmp_path / "t.pcapng")
    events = trace.events
    assert summary == {
        "path": str(tmp_path / "t.pcapng"), "events": len(events), "bytes": (tmp_path / "t.pcapng").stat().st_size,
    }  # fmt: skip
    assert (canonical_order(events) == np.arange(len(events))).all()
    assert np.bincount(events["tick"][events["event"] == Event.SENT]).tolist() == [0] * 5 + [2] * 15
    assert np.bincount(events["tick"][events["event"] == Event.RECEIVED])[5:].tolist() == [2] * 9 + [0] * 4 + [2]
    assert (events["event"] == Event.NOT_LIVE).sum() == lost
    assert (lost, (events["event"] == Event.UNCLAIMED).sum()) == (2, 2 * 3)
    assert set(trace.meta.pes) == {"7.5.0"} and (events["type"] == 4).all()  # `counter` has a port `out`, too


def test_a_pe_keeps_the_program_that_the_trace_describes(
    chips: Chips, programs: dict[str, str], tmp_path: Path
) -> None:
    chip = chips()
    chip.load(programs["counter"], ["7.5.0"])
    with chip.trace(tmp_path / "t.pcapng"):
        with pytest.raises(ConfigError, match=r"says that counter.py runs on PE 7.5.0, not .*source.py: stop"):
            chip.load_programs([PeProgram(SOURCE, programs["source"], {"count": 2})], replace=True)
        chip.run(2)
        assert [row["program"] for row in chip.ps() if row["id"] == SOURCE] == [programs["counter"]]


def test_time_does_not_begin_again_while_a_chip_is_traced(
    chips: Chips, programs: dict[str, str], tmp_path: Path
) -> None:
    chip = chips()
    chip.deploy(*everything(programs))
    with chip.trace(tmp_path / "t.pcapng"):
        for again in (lambda: chip.deploy(*everything(programs)), lambda: chip.signal("reset")):
            with pytest.raises(ConfigError, match="stop the trace first"):
                again()
        with pytest.raises(ConfigError, match="already"):
            chip.start_trace(tmp_path / "other.pcapng")
        chip.run(3)
    with pytest.raises(ConfigError, match="not traced"):
        chip.stop_trace()
    chip.start(10_000_000)
    with pytest.raises(ConfigError, match="runs"):
        chip.start_trace(tmp_path / "u.pcapng")
    chip.end_run()
    chip.wait()
    assert read_trace(tmp_path / "t.pcapng").events["tick"].max() == 2


def test_a_trace_of_many_windows_is_complete(chips: Chips, tmp_path: Path, programs: dict[str, str]) -> None:
    """A source that listens to nobody runs a window ahead: many notes are kept until others come."""
    chip = chips(cores=[0, 0])
    pes = [PeProgram(5, programs["source"], {"count": 60}, {}, {"out": (0, 0xFFFF0000)}),
           PeProgram(120, programs["dozing"], {}, {"in": (0, 0xFFFF0000)})]  # fmt: skip
    chip.deploy(pes, [(0, 0xFFFF0001, [120])])
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(5_000)
    events = read_trace(tmp_path / "t.pcapng").events
    assert (np.bincount(events["tick"][events["event"] == Event.SENT]) == 60).all()
    ends = events[np.isin(events["event"], (Event.RECEIVED, Event.NOT_LIVE))]
    assert (np.bincount(ends["tick"]) == 30).all() and ends["tick"].max() == 4_998
    assert (events["event"] == Event.UNROUTED).sum() == 30 * 5_000


@contextmanager
def stopping(pids: list[int]) -> Iterator[None]:
    """These processes are stopped for a moment again and again."""
    done = threading.Event()

    def stop() -> None:
        while not done.wait(0.003):
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in pids:
                    os.kill(pid, number)
                time.sleep(0.001)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_routers_that_are_stopped_again_and_again_record_the_same(chips: Chips, tmp_path: Path) -> None:
    """SIGCONT interrupts a router that waits for a frame; the recorder may be sorting for it just then."""
    recipe = small(layers=(5, 30, 3), batch=7)
    samples = yinyang_samples(recipe)
    for name in ("calm", "stopped"):
        chip = chips(cores=[0, 0])
        network = open_network(chip, recipe, samples)
        routers = [pid for of, pid in chip.info()["pids"].items() if of.startswith("router")]
        assert len(routers) == 2
        with chip.trace(tmp_path / name), stopping(routers if name == "stopped" else []):
            for _ in range(10):
                network.train(samples, rates(recipe).take(3))
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "stopped").read_bytes()
    assert len(read_trace(tmp_path / "calm").events) > 10_000


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_halt_completes_the_trace(programs: dict[str, str], tmp_path: Path) -> None:
    with Chip.boot() as chip:
        chip.deploy(*everything(programs))
        chip.start_trace(tmp_path / "t.pcapng")
        chip.run(TICKS)
    trace = read_trace(tmp_path / "t.pcapng")
    assert trace.problem is None and trace.events.tobytes() == expected().tobytes()


def test_after_each_run_the_file_can_be_read(chips: Chips, programs: dict[str, str], tmp_path: Path) -> None:
    chip = chips()
    chip.deploy(*everything(programs))
    chip.start_trace(tmp_path / "t.pcapng")
    for ticks in (5, 10, 15):
        chip.run(5)
        trace = read_trace(tmp_path / "t.pcapng")
        complete = expected()[expected()["tick"] < ticks - 1]
        assert trace.problem is None and trace.events.tobytes() == complete.tobytes()


def test_a_router_that_finds_no_room_ends_the_trace_and_goes_on(tmp_path: Path) -> None:
    captures = CaptureMemory()
    wants_everything(captures)
    captures.restart(1, 0)
    captures.filter[Filter.ON] = ALL
    captures.places[0, CaptureWord.NOTES] = MOST_NOTES  # of ticks that some PE has not reached
    assert not make_room(*captures.of_router(0))
    assert captures.filter[Filter.ON] == OFF
    ours, theirs = socket.socketpair()
    with ours, theirs:
        recorder = Recorder(captures, TraceWriter(tmp_path / "t.pcapng", Meta()), theirs)
        assert "router 0 had no room for more than 1,048,576 events" in recorder.state()["error"]


@pytest.mark.parametrize("victim", ["supervisor", "recorder"])
def test_a_crash_leaves_a_file_that_can_be_read(programs: dict[str, str], tmp_path: Path, victim: str) -> None:
    chip = Chip.boot()
    try:
        chip.deploy(*ring(programs["ring"], [5, 77, 152]))
        chip.start_trace(tmp_path / "t.pcapng")
        chip.run(1000)
        recorder = chip.info()["trace"]["pid"]
        if victim == "supervisor":
            chip._process.kill()
            with pytest.raises(PeDied):
                chip.run(10)
        else:
            os.kill(recorder, signal.SIGKILL)
            chip.run(1000)  # the chip goes on
            assert "died" in chip.info()["trace"]["error"]
            with pytest.raises(Spinn2Error, match=r"t.pcapng is not complete: .*died"):
                chip.stop_trace()
            with chip.trace(tmp_path / "u.pcapng"):
                chip.run(50)
            assert len(read_trace(tmp_path / "u.pcapng").events) > 80
        wait_until("the recorder is gone", lambda: not alive(recorder))
    finally:
        chip.halt()
    events = read_trace(tmp_path / "t.pcapng").events
    assert events["tick"].max() == 998 and len(events) == 2 * 999


def test_a_full_disk_is_named_and_the_chip_goes_on(programs: dict[str, str], tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    text = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
from helpers import ring
from spinn2emu.errors import Spinn2Error
from spinn2host.chip import Chip
with Chip.boot() as chip:
    chip.deploy(*ring({programs["ring"]!r}, [5, 77, 152]))
    chip.start_trace({str(tmp_path / "t.pcapng")!r})
    chip.run(20_000)
    assert chip.read(5, "n")[0] > 6_000
    try:
        chip.stop_trace()
    except Spinn2Error as error:
        print(error.message)
    chip.run(10)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    assert "is not complete: File too large, after" in done.stdout
    events = read_trace(tmp_path / "t.pcapng").events
    assert len(events) > 3000 and (canonical_order(events) == np.arange(len(events))).all()


@pytest.mark.parametrize("path", ["/no/such/folder/t.pcapng", "/proc/t.pcapng", "."])
def test_a_file_that_cannot_be_written_is_refused_at_once(chips: Chips, programs: dict[str, str], path: str) -> None:
    chip = chips()
    chip.deploy(*everything(programs))
    with pytest.raises(ConfigError, match=r"directory|No such file|ermission"):
        chip.start_trace(path)
    chip.run(3)


def test_an_error_in_the_block_completes_the_trace(chips: Chips, programs: dict[str, str], tmp_path: Path) -> None:
    chip = chips()
    chip.deploy([PeProgram(5, programs["counter"], {"fail_at": 7, "code": 7}, {}, {"out": (0x40, SPACE)})], [])
    with pytest.raises(Spinn2Error, match="seventh"), chip.trace(tmp_path / "t.pcapng"):
        chip.run(20)
    assert chip.info()["trace"] is None
    with pytest.raises(NoSuchChip):
        Chip.attach("no-such-chip")
    assert read_trace(tmp_path / "t.pcapng").problem is None
