"""Packets of the host: who gets them, when and in which order, however the chip runs; what is refused; their traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, CORE, SPACE, sram, write_program
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinn2emu import mesh
from spinn2emu.chip import injections
from spinn2emu.chip.injections import MOST_PER_TICK, MOST_WAITING, WINDOW_PACKETS, Injections, packets_of
from spinn2emu.errors import ConfigError, PeFailed
from spinn2emu.trace.file import read_trace
from spinn2emu.trace.schema import LINK, Event
from spinn2host.chip import Chip, PeProgram
from spinn2host.traces import perfetto
from spinn2host.traces.expression import select
from spinn2host.traces.nir import sent_events
from spinn2host.traces.plot.mesh import mesh as mesh_figure
from spinn2host.traces.plot.sequence import sequence
from spinn2host.traces.plot.timeline import timeline
from spinn2host.traces.replay import describe, replay
from spinn2host.traces.show import lines, objects
from spinn2host.traces.stats import statistics

SOURCE, SINK, OTHER, FAR = 5, 77, 6, 150
HOST_KEYS = 0x100

# counts what it hears by tick and key, and keeps ticks, keys and first words in the order in which they came
LISTENER = """
def regions(p, available):
    return [Region("n", np.int64, (1,), "packet"), Region("rows", np.uint32, (4000, 4), "tick, source, key, word")]

def tick(pe, ram, rx, t):
    for packet in rx:
        place = ram.n[0] % ram.rows.shape[0]
        ram.rows[place, 0] = t
        ram.rows[place, 1] = packet.source
        ram.rows[place, 2] = packet.key
        ram.rows[place, 3] = packet.payload[0]
        ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, inputs=("in",))
"""


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("programs"), "listener", LISTENER)


def deploy(chip: Chip, programs: dict[str, str], listener: str) -> None:
    """A source, and two listeners to it and to the host; the last key of the host leaves the chip, too."""
    both = [(0x40, SPACE), (HOST_KEYS, SPACE)]
    chip.deploy(
        [
            PeProgram(SOURCE, programs["source"], {"count": 2}, {}, {"out": (0x40, SPACE)}),
            PeProgram(SINK, listener, {}, {"in": both}),
            PeProgram(FAR, listener, {}, {"in": both}),
            PeProgram(OTHER, programs["counter"]),
        ],
        [(0x40, SPACE, [SINK, FAR]), (HOST_KEYS + 15, 0xFFFFFFFF, [FAR, OTHER], [2]), (HOST_KEYS, SPACE, [SINK, FAR])],
    )  # fmt: skip


def heard(chip: Chip, pe: int = SINK) -> list[list[int]]:
    """Rows tick, source, key, word, in the order in which they were heard."""
    n, rows = chip.read_many([(pe, "n"), (pe, "rows")])
    result: list[list[int]] = rows[: n[0]].tolist()
    return result


def of_source(first: int, end: int) -> list[list[int]]:
    return [[t, SOURCE, 0x40 + i, 0] for t in range(first, end) for i in range(2)]


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_packets_come_a_tick_later_before_those_of_pes(
    chips: Chips, programs: dict[str, str], listener: str, options: dict[str, Any]
) -> None:
    chip = chips(**options)
    deploy(chip, programs, listener)
    assert chip.inject([HOST_KEYS + 3, HOST_KEYS + 1, HOST_KEYS, 0x999], [2, 0, 2, 1], [7, 8, 9, 10]) == 0
    assert chip.inject(HOST_KEYS + 2, 2, np.float32(1.5)) == 2
    chip.run(4)
    own = {1: [[1, 0, HOST_KEYS + 1, 8]]}
    own[3] = [[3, 0, HOST_KEYS + 3, 7], [3, 0, HOST_KEYS, 9], [3, 0, HOST_KEYS + 2, 0x3FC00000]]
    expected = [row for t in range(1, 4) for row in [*own.get(t, []), *of_source(t, t + 1)]]
    assert heard(chip) == heard(chip, FAR) == expected
    counters = chip.counters()
    assert counters.of("host") == {"sent": 5, "delivered": 0, "discarded": 0, "fifo_lost": 0, "overruns": 0}
    assert "host: sent 5" in repr(counters)
    assert counters.registers["packets"] == 4 * 2 + 5 and counters.registers["unrouted"] == 1
    assert counters.registers["copies"] == 2 * (4 * 2 + 4)
    assert counters["hits"].tolist() == [8, 0, 4]


@pytest.mark.parametrize("window", [1, 3, 7, 2048])
def test_the_host_can_send_as_soon_as_pes_can_hear_it(
    chips: Chips, programs: dict[str, str], listener: str, window: int
) -> None:
    """Between two runs without a tick: processed in the chip's present one; in tick 0 nobody can be heard yet."""
    chip = chips(cores=[CORE] * 3)
    deploy(chip, programs, listener)
    assert [chip.inject(HOST_KEYS), chip.inject([])] == [0, 0]
    for t in range(1, 12):
        chip.run(1, window=window)
        assert chip.inject([HOST_KEYS + t % 8, HOST_KEYS + 8]) == t - 1
    chip.run(2, window=window)
    own = [row for row in heard(chip) if row[1] == 0]
    expected = [[t, 0, key, 0] for t in range(1, 12) for key in (HOST_KEYS + t % 8, HOST_KEYS + 8)]
    assert own == [[1, 0, HOST_KEYS, 0], *expected]
    assert [row for row in heard(chip) if row[1]] == of_source(1, 13)


@st.composite
def injected(draw: st.DrawFn) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """When (before which tick), keys, ticks of several calls."""
    calls = []
    for at in sorted(draw(st.lists(st.integers(0, 40), max_size=6))):
        ticks = draw(st.lists(st.integers(max(0, at - 1), 50), min_size=1, max_size=30))
        keys = draw(st.lists(st.integers(HOST_KEYS, HOST_KEYS + 15), min_size=len(ticks), max_size=len(ticks)))
        calls.append((at, np.array(keys), np.array(ticks)))
    return calls


@settings(max_examples=12)
@given(calls=injected(), window=st.sampled_from([1, 4, 9, 64]))
def test_any_packets_are_heard_as_a_model_says(
    shared_chips: Chips, programs: dict[str, str], listener: str,
    calls: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]], window: int,
) -> None:  # fmt: skip
    expected: dict[int, list[list[int]]] = {t: [] for t in range(60)}
    for _, keys, ticks in calls:
        for key, tick in zip(keys.tolist(), ticks.tolist(), strict=True):
            if key != HOST_KEYS + 15:
                expected[tick + 1].append([tick + 1, 0, key, 0])
    for options in ({"cores": []}, {"cores": [CORE] * 3}):
        chip = shared_chips(**options)
        deploy(chip, programs, listener)
        tick = 0
        for at, keys, ticks in calls:
            chip.run(at - tick, window=window)
            tick = at
            chip.inject(keys, ticks)
        chip.run(60 - tick, window=window)
        model = [row for t in range(60) for row in expected[t] + (of_source(t, t + 1) if t else [])]
        assert heard(chip) == model
        chip.deploy([], [])


def test_many_packets_shorten_windows_and_nothing_else(
    chips: Chips, programs: dict[str, str], listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than fit the queue of a PE, in one run: time goes in windows that they fit."""
    chip = chips(cores=[])
    deploy(chip, programs, listener)
    ticks = np.repeat(np.arange(100), 1000)
    chip.inject(HOST_KEYS + ticks % 8, ticks)
    chip.inject(np.full(MOST_PER_TICK, HOST_KEYS + 9), 150)
    chip.run(200)
    assert int(chip.read(SINK, "n")[0]) == 100_000 + MOST_PER_TICK + 199 * 2
    assert chip.counters().of(SINK)["delivered"] == 100_000 + MOST_PER_TICK + 199 * 2


def test_what_waits_goes_with_a_reset(chips: Chips, programs: dict[str, str], listener: str) -> None:
    chip = chips(cores=[])
    deploy(chip, programs, listener)
    chip.inject(HOST_KEYS, [5, 500])
    chip.run(10)
    assert chip.info()["host"] == {"waiting": 1, "listener": None}
    chip.signal("reset", [SINK])
    chip.run(10)  # what waits for later is still there after a reset of some, and a further load
    chip.load(programs["sink"], 40)
    chip.run(490)
    assert [row for row in heard(chip) if row[1] == 0] == [[501, 0, HOST_KEYS, 0]]
    chip.inject(HOST_KEYS, [600, 700])
    chip.signal("reset")
    chip.run(800)
    assert not [row for row in heard(chip, FAR) if row[1] == 0]
    chip.inject(HOST_KEYS, [900, 1000])
    deploy(chip, programs, listener)
    chip.run(1100)
    assert not [row for row in heard(chip) if row[1] == 0]


def test_what_cannot_be_sent_is_refused_whole(chips: Chips, programs: dict[str, str], listener: str) -> None:
    chip = chips(cores=[])
    with pytest.raises(ConfigError, match="no program is loaded"):
        chip.inject(1)
    deploy(chip, programs, listener)
    chip.run(10)
    with pytest.raises(ConfigError, match=r"1 of 2 packets come too late for tick 8: .* tick 10, so tick 9 is") as late:
        chip.inject([HOST_KEYS, HOST_KEYS], [20, 8])
    assert (late.value.tick, late.value.earliest, late.value.packets) == (8, 9, 1)
    for arguments, reason in [
        (([1, 2], [10, 11, 12]), "packets have a key, a tick"),
        (([[1, 2]],), "packets have a key, a tick"),
        ((1 << 32,), "key 4294967296 does not fit"),
        ((-1,), "key -1 does not fit"),
        ((1, 1 << 32), "tick 4294967296 does not fit"),
        ((1.5,), "keys are integers, not float64"),
        ((["1"],), "keys are integers"),
        ((None,), "keys are integers"),
        (([1, [2]],), "keys: "),
        ((1, "soon"), "ticks are integers"),
        ((1, 10, [[1, 2, 3]]), "carries 0, 1, 2 or 4 payload words, not 3"),
        ((1, 10, [1, 2]), "packets have a key, a tick"),
        ((1, 10, 1 << 32), "payload word 4294967296"),
        ((1, 10, "text"), "payloads are integers"),
        ((np.full(MOST_PER_TICK + 1, HOST_KEYS), 20), "8,193 packets in tick 20, of at most 8,192"),
        ((np.full(MOST_WAITING + 1, HOST_KEYS), np.arange(MOST_WAITING + 1) + 10), "of at most 1,048,576"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            chip.inject(*arguments)
    chip.inject(np.full(MOST_PER_TICK, 0x999), 20)
    with pytest.raises(ConfigError, match="8,193 packets in tick 20"):
        chip.inject(0x999, 20)
    chip.run(20)
    assert not [row for row in heard(chip) if row[1] == 0]
    assert chip.counters().of("host")["sent"] == MOST_PER_TICK


def test_while_time_runs_the_window_is_closed(chips: Chips, programs: dict[str, str], listener: str) -> None:
    """In a window that has begun nothing can be sent any more; between windows of a long run it can."""
    chip = chips(cores=[])
    deploy(chip, programs, listener)
    chip.start(1_000_000_000, window=4)
    with pytest.raises(ConfigError, match=r"the chip runs to tick \d+, so tick \d+ is the first .* shorter windows"):
        chip.inject(HOST_KEYS, 0)
    sent = [chip.inject(HOST_KEYS + i) for i in range(5)]
    chip.request("end_run")
    end = chip.wait()
    chip.run(8)
    assert sent == sorted(sent) and sent[-1] < end + 8 and all(tick % 4 == 3 or tick == 0 for tick in sent)
    counters = chip.counters()
    assert counters.of("host")["sent"] == 5 and counters["hits"][2] == 5


def test_a_failed_chip_takes_nothing(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    chip.deploy([PeProgram(5, programs["counter"], {"fail_at": 3, "code": 7})], [])
    with pytest.raises(PeFailed):
        chip.run(5)
    with pytest.raises(PeFailed, match="the seventh error"):
        chip.inject(1)
    chip.signal("reset")
    assert chip.inject(1) == 0


def test_memory_is_the_same_however_packets_came(chips: Chips, programs: dict[str, str], listener: str) -> None:
    """Calls, windows and runs do not matter, nor does the boot."""
    keys, ticks = np.arange(300) % 15 + HOST_KEYS, np.sort(np.arange(300) * 7 % 100)
    memories = []
    for options, calls, window, runs in (({"cores": []}, 1, None, 1), ({"cores": [CORE] * 3}, 300, 5, 4),
                                         ({"loop": "python"}, 20, 1, 10)):  # fmt: skip
        chip = chips(**options)
        deploy(chip, programs, listener)
        for part in np.array_split(np.arange(300), calls):
            chip.inject(keys[part], ticks[part])
        for _ in range(runs):
            chip.run(120 // runs, window=window)
        memories.append([sram(chip, pe).tobytes() for pe in (SOURCE, SINK, FAR)])
    assert memories[0] == memories[1] == memories[2]


# --- traces ----------------------------------------------------------------------------------------------------------


def test_a_trace_shows_the_host(chips: Chips, programs: dict[str, str], listener: str, tmp_path: Path) -> None:
    """The same bytes however the chip runs; every view of a trace copes with packets that no PE has sent."""
    files = []
    for number, (options, window) in enumerate(zip(BOOTS.values(), (1, 4, 2048), strict=True)):
        chip = chips(**options)
        deploy(chip, programs, listener)
        path = tmp_path / f"{number}.pcapng"
        with chip.trace(path):
            chip.inject(HOST_KEYS + np.arange(4), [0, 5, 5, 9], [[1, 2], [3, 4], [5, 6], [7, 8]])
            chip.inject([HOST_KEYS + 15, 0x999], 7)
            chip.run(6, window=window)
            chip.inject(HOST_KEYS)
            chip.run(10, window=window)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]
    trace = read_trace(path)
    own = select(trace, "src == host").events
    sent = own[own["event"] == Event.SENT]
    assert sent[["tick", "sent", "key"]].tolist() == [
        (0, 0, HOST_KEYS), (5, 0, HOST_KEYS + 1), (5, 3, HOST_KEYS + 2), (5, 6, HOST_KEYS), (7, 0, HOST_KEYS + 15),
        (7, 3, 0x999), (9, 0, HOST_KEYS + 3),
    ]  # fmt: skip
    copies = own[own["event"] == Event.RECEIVED]
    assert len(copies) == 2 * 5 + 1
    for copy in copies:
        assert copy["time"] - copy["tick"] * 1_000_000 - copy["sent"] == mesh.latency_table()[0, copy["target"]]
        assert copy["hops"] == mesh.hops(int(copy["target"]))
    ends = {(int(e["event"]), int(e["target"])) for e in own[own["tick"] == 7] if e["event"] != Event.SENT}
    assert ends == {(Event.RECEIVED, FAR), (Event.UNCLAIMED, OTHER), (Event.OFF_CHIP, LINK + 2), (Event.UNROUTED, 0)}
    assert len(select(trace, "id == host@5+3").events) == 3
    assert len(select(trace, "src == router").events) == 0
    assert select(trace, "pe == host").events.tobytes() == own.tobytes()
    shown = [line for block in lines(select(trace, "src == host and tick == 0")) for line in block]
    assert "host → router" in shown[0] and len(shown) == 3
    assert {row["source"] for row in objects(select(trace, "key == 0x101"))} == {"host"}
    counted = statistics(trace)
    assert counted["pe"]["host"] == {"sent": 7, "received": 0, "dropped": 0}
    assert counted["pe"]["router"] == {"sent": 0, "received": 0, "dropped": 1}
    assert [row["received"] for row in counted["route"] if row["source"] == "host" and row["target"] == "1.1.0"] == [5]
    assert counted["total"]["sent"] == 7 + 2 * 16
    perfetto.save(tmp_path / "trace.json", trace)
    assert '"source":"host"' in (tmp_path / "trace.json").read_text()
    own = {events.pe: events for events in sent_events(trace)}["host"]
    assert (own.port, len(own.idx[0])) == ("0", 7)
    assert mesh_figure(trace).contents["packets"] == 7 + 2 * 16 and len(counted["link"]) > 4
    assert "host" in timeline(trace).contents["pes"]
    assert "host" not in sequence(trace).contents["pes"]


def test_a_recorded_host_is_replayed(chips: Chips, programs: dict[str, str], listener: str, tmp_path: Path) -> None:
    chip = chips(cores=[])
    rows = []
    for _ in range(2):
        deploy(chip, programs, listener)
        if rows:
            sent = replay(chip, select(read_trace(tmp_path / "a.pcapng"), "src == host"))
            assert sent == {0: 5} and describe(sent) == "host: 5 packets"
            chip.run(10)
        else:
            with chip.trace(tmp_path / "a.pcapng"):
                chip.inject([HOST_KEYS + 3, HOST_KEYS], [2, 2], [[5, 6], [7, 8]])
                chip.inject([HOST_KEYS + 2, HOST_KEYS + 1], [2, 4])
                chip.inject(HOST_KEYS + 5, 2, 9)
                chip.run(10)
        rows.append(heard(chip))
    assert rows[0] == rows[1] and [row[2] - HOST_KEYS for row in rows[0] if row[:2] == [3, 0]] == [3, 0, 2, 5]


# --- what waits ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    calls=st.lists(st.lists(st.integers(0, 30), max_size=25), max_size=8),
    limits=st.lists(st.integers(1, 40), max_size=6), most=st.integers(1, 12), chunks=st.integers(1, 3),
)  # fmt: skip
def test_all_that_waits_is_taken_once_in_order(
    calls: list[list[int]], limits: list[int], most: int, chunks: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(injections, "WINDOW_PACKETS", most)
        patch.setattr(injections, "_CHUNKS", chunks)
        waiting, model, number = Injections(), [], 0
        for ticks in calls:
            keys = np.arange(number, number + len(ticks))
            waiting.add(packets_of(keys, np.array(ticks, np.int64), None))
            model += list(zip(ticks, keys.tolist(), strict=True))
            number += len(ticks)
        model.sort(key=lambda packet: packet[0])
        assert len(waiting) == len(model)
        begin = 0
        for limit in [*sorted(limits), 100]:
            while begin < limit:
                packets, end = waiting.take(limit)
                assert begin < end <= limit
                expected = [packet for packet in model if packet[0] <= end - 2]
                model = model[len(expected) :]
                assert packets[["tick", "key"]].tolist() == expected
                assert len({tick for tick, _ in expected[most:]} - {tick for tick, _ in expected[:most]}) == 0
                begin = end
        assert not len(waiting) and not model


def test_bounds_are_what_the_errors_say() -> None:
    assert (MOST_PER_TICK, MOST_WAITING, WINDOW_PACKETS) == (8192, 1 << 20, 4096)
    waiting = Injections()
    waiting.add(packets_of(np.zeros(MOST_WAITING, np.int64), np.arange(MOST_WAITING), None))
    with pytest.raises(ConfigError, match="1,048,576 packets of the host wait") as full:
        waiting.add(packets_of(np.zeros(1, np.int64), np.zeros(1, np.int64), None))
    assert (full.value.waiting, full.value.packets, full.value.limit) == (MOST_WAITING, 1, MOST_WAITING)


def test_routers_without_pes_count_and_record_the_host(
    chips: Chips, programs: dict[str, str], listener: str, tmp_path: Path
) -> None:
    """Two PEs that belong together lie on one of three routers, not the first, which counts what the host sends."""
    files = []
    for number, options in enumerate(BOOTS.values()):
        chip = chips(**options)
        chip.deploy(
            [
                PeProgram(SOURCE, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
                PeProgram(SINK, listener, {}, {"in": [(0x40, SPACE), (HOST_KEYS, SPACE)]}),
            ],
            [(0x40, SPACE, [SINK]), (HOST_KEYS, SPACE, [SINK])],
        )
        if number == 1:
            home = [int(label.split()[1]) for label in chip.info()["pids"] if label.startswith("router ")]
            assert home == [0, 1]
        path = tmp_path / f"{number}.pcapng"
        with chip.trace(path):
            for _ in range(5):
                chip.inject([HOST_KEYS + 1, 0x999])
                chip.run(40, window=10)
        files.append(path.read_bytes())
        assert chip.counters().of("host")["sent"] == 10 and chip.counters().registers["unrouted"] == 5
    assert files[0] == files[1] == files[2]
    assert len(select(read_trace(path), "src == host").events) == 5 * 4


@pytest.mark.parametrize("policy", ["stall", "drop", "overwrite"])
def test_a_full_fifo_treats_the_host_as_others(chips: Chips, programs: dict[str, str], policy: str) -> None:
    """By the time of arrival: the host enters at the router, so its packets are there before those of PEs far away."""
    seen = []
    for options in BOOTS.values():
        chip = chips(**options)
        chip.deploy(
            [
                PeProgram(SOURCE, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
                PeProgram(SINK, programs["sink"], {"depth": 4, "policy": policy}, {"in": [(0, 0xFFFF0000)]}),
            ],
            [(0, 0xFFFF0000, [SINK])],
        )
        chip.inject(np.tile(HOST_KEYS + np.arange(3), 5), np.repeat(np.arange(5), 3))
        chip.run(10)
        n = int(chip.read(SINK, "n")[0])
        seen.append((n, chip.read(SINK, "heard")[:n].tolist(), chip.counters()["router"].tolist()))
    assert seen[0] == seen[1] == seen[2]
    of_host = [key for key in seen[0][1] if key >= HOST_KEYS]
    assert len(of_host) == {"stall": 15, "drop": 15, "overwrite": 5}[policy]
