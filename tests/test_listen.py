"""What PEs send, heard by the host while time goes on: complete, in order, the same however the chip runs; its ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, CORE, SPACE, request, sram, wait_until, write_program

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError, DeadlineExceeded, PeDied, PeFailed, ProtocolError, Spinn2Error
from spinn2emu.packets import SENT
from spinn2emu.router import tap
from spinn2emu.router.state import MAX_IDS
from spinn2emu.sdk import TX_PACKETS
from spinn2emu.trace.file import read_trace
from spinn2emu.trace.schema import Event
from spinn2host import stream
from spinn2host.chip import Chip, PeProgram
from spinn2host.traces.expression import select

A, B, SINK = 5, 150, 77

# sends what depends on what it hears, on two ports, with payloads of all sizes; echoes every key of the host
TALKER = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    seed: int

def regions(p, available):
    return [Region("h", np.int64, (1,), "", p.seed)]

def tick(pe, ram, rx, t):
    h = ram.h[0]
    for packet in rx:
        h = (h * 31 + np.int64(packet.key) + t) % 1000003
        if packet.source == 0:
            send(pe, 1, np.int64(packet.key) % 16)
    for i in range(h % 4):
        if i == 0:
            send(pe, 0, (h + i) % 16)
        elif i == 1:
            send_float(pe, 0, h % 16, 0.5 * t)
        else:
            send_words(pe, 1, 0, 1, 2, 3, h)
    ram.h[0] = (h * 7 + 1) % 1000003
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",), outputs=("x", "echoes"))
"""


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("programs")
    head = "from spinn2emu.sdk import send_words\n"
    return write_program(folder, "talker", head + TALKER)


HOST = 0x1000


def talk(chip: Chip, talker: str, pes: tuple[int, ...] = (A, B, SINK)) -> None:
    """PEs that hear each other and the host. Port x of number i has the keys 32 i …, echoes those 16 higher."""
    inputs = [(0, 0xFFFFF000), (HOST, 0xFFFFF000)]
    items = [
        PeProgram(pe, talker, {"seed": 3 + i}, {"in": inputs}, {"x": (32 * i, SPACE), "echoes": (32 * i + 16, SPACE)})
        for i, pe in enumerate(pes)
    ]
    chip.deploy(items, [(0, 0xFFFFF000, list(pes)), (HOST, 0xFFFFF000, list(pes))])


def sources(chip: Chip, programs: dict[str, str], counts: dict[int, int]) -> None:
    """PEs that send so many packets in every tick, which go nowhere."""
    chip.deploy(
        [
            PeProgram(pe, programs["source"], {"count": n}, {}, {"out": (256 * pe, 0xFFFFFF00)})
            for pe, n in counts.items()
        ],
        [],
    )


def from_trace(path: Path, expression: str = "src != host") -> list[tuple[int, int, int, int, bytes]]:
    """tick, PE, port, key and payload of what was sent, in the order of a stream."""
    events = select(read_trace(path), expression).events
    sent = events[events["event"] == Event.SENT]
    sent = sent[np.lexsort((sent["sent"], sent["source"], sent["tick"]))]
    return [(int(e["tick"]), int(e["source"]), int(e["out"]), int(e["key"]), e["payload"].tobytes()) for e in sent]


def as_rows(batch: np.ndarray) -> list[tuple[int, int, int, int, bytes]]:
    return [(int(e["tick"]), int(e["pe"]), int(e["port"]), int(e["key"]), e["payload"].tobytes()) for e in batch]


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
@pytest.mark.parametrize("window", [None, 1, 7])
def test_all_that_is_sent_is_heard_in_order(
    chips: Chips, talker: str, tmp_path: Path, options: dict[str, Any], window: int | None
) -> None:
    """The same as in a trace, which comes another way; and the same memory as without a listener."""
    chip = chips(**options)
    talk(chip, talker)
    chip.inject(HOST + np.arange(40), np.arange(40))
    chip.run(100)
    silent = [sram(chip, pe).tobytes() for pe in (A, B, SINK)]
    talk(chip, talker)
    chip.inject(HOST + np.arange(40), np.arange(40))
    with chip.trace(tmp_path / "a.pcapng"), chip.events() as events:
        chip.start(100, window=window)
        batches = list(events.batches())
    heard = np.concatenate(batches)
    assert as_rows(heard) == from_trace(tmp_path / "a.pcapng") and len(heard) > 200
    assert [sram(chip, pe).tobytes() for pe in (A, B, SINK)] == silent
    assert all(len(batch) for batch in batches)
    size = window or spec.LIVE_WINDOW_TICKS.value
    windows = [set((batch["tick"] // size).tolist()) for batch in batches]
    assert windows == [{number} for number in sorted(set((heard["tick"] // size).tolist()))]
    assert set(heard["words"].tolist()) == {0, 1, 4}
    first = np.array([32 * (A, B, SINK).index(pe) for pe in heard["pe"].tolist()]) + 16 * heard["port"]
    assert (heard["index"] == heard["key"] - first).all() and heard["index"].max() == 15


def test_packets_have_names(chips: Chips, talker: str) -> None:
    chip = chips(cores=[])
    talk(chip, talker)
    chip.inject(HOST + 7, 2)
    with chip.events(A, ports="echoes") as events:
        chip.run(5)
        assert [tuple(packet) for packet in events if packet.index == 7] == [
            (3, "7.5.0", "echoes", 7, 16 + 7, (), "", 0)
        ]
        packet = next(packet for packet in _more(chip, events) if len(packet.payload) == 4)
    assert packet.payload[:3] == (1, 2, 3) and packet.index == 0


def _more(chip: Chip, events: stream.Events) -> Any:
    for _ in range(50):
        chip.run(10)
        yield from events


@pytest.mark.parametrize(
    ("filters", "expression"),
    [
        ({"pes": ["7.5.0", B]}, f"src == {A} or src == {B}"),
        ({"pes": SINK, "ports": ["x"]}, f"src == {SINK} and out == 0"),
        ({"ports": "echoes"}, "src != host and out == 1"),
        ({"key": 0x23, "mask": 0xFFFFFFF3}, "key & 0xFFFFFFF3 == 0x23"),
        ({"pes": A, "key": 0x40, "mask": 0xFFFFFFF0}, "key == 99999"),
    ],
    ids=str,
)
def test_filters_choose(chips: Chips, talker: str, tmp_path: Path, filters: dict[str, Any], expression: str) -> None:
    chip = chips(cores=[CORE] * 3)
    talk(chip, talker)
    chip.inject(HOST + np.arange(40), np.arange(40))
    with chip.trace(tmp_path / "a.pcapng"), chip.events(**filters) as events:
        chip.run(300)
        heard = as_rows(events.read())
    assert heard == from_trace(tmp_path / "a.pcapng", expression) and (heard or "99999" in expression)


def test_a_callback_gets_every_window(chips: Chips, talker: str, tmp_path: Path) -> None:
    chip = chips()
    talk(chip, talker)
    heard: list[np.ndarray] = []
    with chip.trace(tmp_path / "a.pcapng"):
        chip.run(50, on_events=heard.append, window=10)
        chip.run(20)
        with chip.events(A):
            chip.run(50, on_events=heard.append, window=10)
    expected = from_trace(tmp_path / "a.pcapng", f"src != host and tick < 50 or src == {A} and tick >= 70")
    assert [row for batch in heard for row in as_rows(batch)] == expected
    assert [int(batch["tick"][0]) // 10 for batch in heard] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


# --- closed loops ----------------------------------------------------------------------------------------------------


def answer(packet: Any) -> int:
    return HOST + (packet.key * 5 + packet.tick) % 64


def closed(chip: Chip, talker: str, how: str) -> list[Any]:
    """Each packet of port x is answered, so that PEs hear that in the tick after its own."""
    talk(chip, talker)
    seen: list[Any] = []
    with chip.events(ports="x") as events:
        if how == "runs":
            for _ in range(60):
                chip.run(1)
                now = list(events)
                seen += now
                for packet in now:
                    assert chip.inject(answer(packet)) == packet.tick
        elif how == "windows":
            chip.start(60, window=1)
            for packet in events:
                seen.append(packet)
                chip.inject(answer(packet), packet.tick)
        else:

            def respond(batch: np.ndarray) -> None:
                for packet in events.packets(batch):
                    seen.append(packet)
                    assert chip.inject(answer(packet)) == packet.tick

            chip.run(60, on_events=respond, window=1)
    return [*seen, *(sram(chip, pe).tobytes() for pe in (A, B, SINK))]


def test_closed_loops_are_the_same_each_time(chips: Chips, talker: str) -> None:
    one = closed(chips(cores=[]), talker, "runs")
    for options in BOOTS.values():
        for how in ("runs", "windows", "callback"):
            assert closed(chips(**options), talker, how) == one
    talk(chip := chips(cores=[]), talker)
    chip.run(60)
    assert sram(chip, A).tobytes() != one[-3]


def test_an_answer_within_the_window_has_a_tick_as_well(chips: Chips, talker: str) -> None:
    """In windows of w ticks, w - 1 ticks after what it answers; a tick that has passed is refused."""
    states = []
    for options in BOOTS.values():
        chip = chips(**options)
        talk(chip, talker)
        with chip.events(ports="x") as events:
            chip.start(100, window=8)
            for packet in events:
                chip.inject(answer(packet), packet.tick + 7)
                if packet.tick % 8 < 7 and packet.tick < 96:
                    with pytest.raises(ConfigError, match="too late"):
                        chip.inject(answer(packet), packet.tick)
        states.append([sram(chip, pe).tobytes() for pe in (A, B, SINK)])
    assert states[0] == states[1] == states[2]


# --- when it begins and ends -----------------------------------------------------------------------------------------


def test_iterating_ends_with_the_run_and_begins_again(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events() as events:
        assert list(events) == [] and len(events.read()) == 0
        for run in range(3):
            chip.start(5)
            assert [packet.tick for packet in events] == list(range(5 * run, 5 * run + 5))
        chip.run(5)
        assert events.read()["tick"].tolist() == list(range(15, 20)) and list(events) == []
        chip.run(5)
    assert [packet.tick for packet in events] == list(range(20, 25)) and list(events) == []
    chip.run(5)
    assert list(events) == []


def test_one_who_comes_late_hears_whole_windows(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    chip.start(1_000_000_000, window=16)
    with chip.events() as events:
        ticks = [packet.tick for packet, _ in zip(events, range(100), strict=False)]
        assert ticks[0] % 16 == 0 and ticks == list(range(ticks[0], ticks[0] + 100))
        chip.interrupt()
    chip.run(1)


def test_a_second_listener_is_refused(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events():
        for other in (chip, Chip(chip.directory)):
            with pytest.raises(ConfigError, match=f"process {os.getpid()} listens to this chip already") as refused:
                other.events()
            assert refused.value.pid == os.getpid() == chip.info()["host"]["listener"]
        other.close()
    chip.events().close()


def test_events_that_nobody_has_any_more_are_closed(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    assert [packet.tick for packet in chip.events()] == []
    gc.collect()
    chip.run(3)
    forgotten = chip.events()
    chip.run(3)
    assert len(forgotten.read()) == 3
    del forgotten
    gc.collect()
    with Chip(chip.directory) as other:
        with pytest.raises(ConfigError, match="listens to this chip already"):
            other.events()
        chip.start(3)
        with other.events():
            chip.wait()


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"pes": "2.2.2"}, "no program is loaded on PE 2.2.2"),
        ({"pes": 999}, "no program is loaded on PE 999"),
        ({"pes": "nowhere"}, "is no PE"),
        ({"ports": "votes"}, "no program has an output port 'votes'; there are: out"),
        ({"key": 3, "mask": 1}, "has bits outside mask"),
    ],
    ids=str,
)
def test_what_cannot_be_heard_is_refused(
    chips: Chips, programs: dict[str, str], filters: dict[str, Any], reason: str
) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with pytest.raises(ConfigError, match=reason):
        chip.events(**filters)
    chip.events().close()


def test_requests_of_others_do_no_harm(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events() as events:
        request(chip, "hush", listener=events.number + 1)
        with pytest.raises(ConfigError, match="nobody listens any more"):
            request(chip, "fetch", listener=events.number + 1, batches=0)
        nan = {"listener": events.number, "batches": 0, "timeout": float("nan")}
        for content in ({}, {"listener": "one", "batches": 0}, {"listener": events.number}, nan):
            with pytest.raises(ProtocolError):
                request(chip, "fetch", **content)
        with pytest.raises(ProtocolError):
            request(chip, "listen", patience=-1.0)
        chip.run(2)
        assert len(events.read()) == 2
    with pytest.raises(ConfigError, match="nobody listens any more"):
        events.ask()


def test_a_program_that_comes_later_is_heard(chips: Chips, programs: dict[str, str], talker: str) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events() as events:
        chip.run(2)
        assert {packet.port for packet in events} == {"out"}
        talk(chip, talker)
        chip.run(60)
        assert {packet.port for packet in events} == {"x", "echoes"}
        chip.signal("reset")
        chip.run(30)
        heard = events.read()["tick"]
        assert len(heard) > 0 and heard.max() < 30


def test_what_was_complete_is_handed_over_before_a_failure_and_another_run(
    chips: Chips, programs: dict[str, str]
) -> None:
    """Also if it had not been fetched when that came."""
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with Chip(chip.directory) as other, other.events() as events:
        chip.start(20, window=10)
        other.request("fetch", listener=events.number, batches=0, timeout=0.0)
        wait_until("the window to end", lambda: chip.info()["tick"] == 10)
        pid = chip.info()["pids"]["pe 7.5.0"]
        os.kill(pid, signal.SIGKILL)
        wait_until("the chip to fail", lambda: chip.info()["failure"] is not None)
        heard = []
        with pytest.raises(PeDied):
            for packet in events:
                heard.append(packet.tick)
        assert heard == list(range(10))


def test_an_answer_that_did_not_arrive_is_given_again(
    chips: Chips, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the listener waits: nothing is missing when it goes on."""
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    heard: list[int] = []
    original, count = chip.request, 0

    def interrupted(op: str, *arguments: Any, **content: Any) -> dict[str, Any]:
        nonlocal count
        reply = original(op, *arguments, **content)
        count += op == "fetch" and bool(reply["packets"])
        if op == "fetch" and reply["packets"] and count % 2:
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(chip, "request", interrupted)
    with chip.events() as events:
        chip.start(50, window=10)
        while len(heard) < 50:
            try:
                for packet in events:
                    heard.append(packet.tick)
            except KeyboardInterrupt:
                assert len(events.read()) == 0
    assert heard == list(range(50)) and count == 10


def test_a_reset_forgets_what_was_not_fetched(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events() as events:
        chip.start(1)
        reply = chip.request("fetch", listener=events.number, batches=0)
        assert len(reply["packets"]) == SENT.itemsize and reply["idle"]
        chip.start(1)
        raw = Chip(chip.directory)
        chip.request("fetch", listener=events.number, batches=1, timeout=0.0)
        wait_until("the window to end", lambda: raw.info()["idle"])
        chip.signal("reset")
        raw.close()
        chip.run(1)
        assert events.read()["tick"].tolist() == [0]


def test_a_failure_comes_after_what_was_complete(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    pes = [
        PeProgram(A, programs["source"], {}, {}, {"out": (0x100, SPACE)}),
        PeProgram(B, programs["counter"], {"fail_at": 21, "code": 7}),
    ]
    for how in ("iterate", "run"):
        chip.deploy(pes, [])
        with chip.events() as events:
            heard = []
            with pytest.raises(PeFailed, match="the seventh error"):
                if how == "run":
                    chip.run(100, window=10)
                chip.start(100, window=10)
                for packet in events:
                    heard.append(packet.tick)
            heard += events.read()["tick"].tolist()
            assert heard == list(range(20))


def test_ctrl_c_and_errors_in_a_callback_end_the_run(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})

    def interrupted(batch: np.ndarray) -> None:
        raise KeyboardInterrupt

    def wrong(batch: np.ndarray) -> None:
        raise ZeroDivisionError

    for callback, error in ((interrupted, KeyboardInterrupt), (wrong, ZeroDivisionError)):
        with pytest.raises(error):
            chip.run(1_000_000_000, on_events=callback, window=8)
        wait_until("the run to end", lambda: chip.info()["idle"])
        assert chip.info()["tick"] % 8 == 0 and chip.info()["tick"] < 100


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_more_than_routers_hold_ends_listening_not_the_run(chips: Chips, programs: dict[str, str]) -> None:
    """And in a window of one tick there is room for all that PEs can send."""
    chip = chips(cores=[CORE] * 2)
    sources(chip, programs, {A: 255, B: 255})
    share = tap.TAP_PACKETS // 2
    with chip.events() as events:
        chip.start(share // 255 + 3, window=100_000)
        with pytest.raises(Spinn2Error, match=rf"a router keeps {share:,}, .* are lost") as lost:
            events.read() if list(events) else None
        assert lost.value.limit == share and lost.value.lost == lost.value.packets - 2 * share > 0
        assert lost.value.tick == 0 and lost.value.packets == 2 * 255 * (share // 255 + 3)
    chip.run(1)
    assert chip.info()["failure"] is None
    assert tap.TAP_PACKETS >= (MAX_IDS - 1) * TX_PACKETS


def test_what_is_not_read_is_bounded(chips: Chips, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEPT", 100)
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with chip.events() as events:
        with pytest.raises(ConfigError, match=r"128 packets have been delivered and not been read, 100 a.*") as full:
            chip.run(1000)
        assert (full.value.kept, full.value.limit) == (128, 100)
        wait_until("the run to end", lambda: chip.info()["idle"])
        assert len(events.read()) == 128
        chip.run(5)
        assert events.read()["tick"].tolist() == list(range(128, 133))


def test_many_packets_come_in_several_answers(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 250, B: 250})
    with chip.events() as events:
        chip.start(400, window=400)
        batches = list(events.batches())
    assert [len(batch) for batch in batches] == [65536, 65536, 65536, 200_000 - 3 * 65536]
    heard = np.concatenate(batches)
    assert (heard["tick"] == np.repeat(np.arange(400), 500)).all()
    assert (heard["pe"] == np.tile(np.repeat([A, B], 250), 400)).all()
    assert (heard["index"] == np.tile(np.arange(250), 800)).all()


# --- resident chips, several processes and threads -------------------------------------------------------------------


LISTEN = """
import sys, time
from spinn2host import Chip
with Chip.attach("desk") as chip:
    events = chip.events(follow=True, patience=float(sys.argv[1]))
    print("listening", flush=True)
    if sys.argv[2] == "iterate":
        for n, packet in enumerate(events):
            print(packet.tick, packet.index, flush=True)
            if n == 9:
                break
    sys.stdin.read()
"""


def listen(patience: float, how: str) -> subprocess.Popen[str]:
    """A process that listens."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(patience), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "listening\n"
    return process


def test_one_handle_runs_while_another_listens_and_a_third_injects(desk: str, talker: str) -> None:
    with Chip.attach(desk) as runs, Chip.attach(desk) as hears, Chip.attach(desk) as sends:
        talk(runs, talker)
        sends.inject(HOST + 3, [4, 8])
        heard: list[Any] = []

        def hear() -> None:
            with hears.events(ports="echoes", follow=True) as events:
                ready.set()
                for packet in events:
                    if packet.index == 3 and not packet.payload:
                        heard.append((packet.tick, packet.pe))
                    if len(heard) == 9:
                        return

        ready = threading.Event()
        thread = threading.Thread(target=hear)
        thread.start()
        assert ready.wait(60)
        runs.run(20)
        sends.inject(HOST + 3)
        runs.run(5)
        thread.join(60)
        assert heard == [(t, geometry.name(pe)) for t in (5, 9, 20) for pe in sorted((A, B, SINK))]


def test_time_goes_on_when_the_listener_has_ended(desk: str, programs: dict[str, str]) -> None:
    """Killed, with what it had not fetched; at once, however patient it was."""
    with Chip.attach(desk) as chip:
        sources(chip, programs, {A: 1})
        process = listen(3600.0, "iterate")
        chip.start(1000, window=5)
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(10)] == [f"{i} 0\n" for i in range(10)]
        assert not chip.info()["idle"]  # time waits
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert chip.wait() == 1000
        chip.events().close()


def test_time_waits_for_a_listener_only_as_long_as_it_says(desk: str, programs: dict[str, str]) -> None:
    with Chip.attach(desk) as chip, Chip.attach(desk) as other:
        sources(chip, programs, {A: 3})
        events = other.events(patience=0.2)
        chip.start(100, window=5)
        assert chip.wait() == 100  # it has not asked at all
        with pytest.raises(DeadlineExceeded, match=r"has not asked for more for 0.2 s.* 0 packets .* from tick 0 on"):
            list(events)
        events.close()
        events = other.events(patience=0.2)
        chip.start(100, window=5)
        got = next(iter(events.batches()))
        assert len(got) == 15
        assert chip.wait() == 200
        with pytest.raises(DeadlineExceeded) as late:
            list(events)
        assert (late.value.lost, late.value.tick, late.value.deadline) == (0, 105, 0.2)
        for patience in (0, -1.0, float("nan"), float("inf"), "long"):
            with pytest.raises(ConfigError, match="patience is a number of seconds above 0"):
                other.events(patience=patience)  # type: ignore[arg-type]


def test_a_waiting_chip_is_not_stuck(runtime: Path, programs: dict[str, str]) -> None:
    """Time waits for longer than the deadline after which a chip without progress counts as stuck."""
    with Chip.boot(deadline=0.3, pes=8) as chip, Chip(chip.directory) as other:
        sources(chip, programs, {A: 1})
        events = other.events(patience=1.5)
        chip.start(3)
        assert chip.wait() == 3
        with pytest.raises(DeadlineExceeded):
            events.ask()


def test_a_thread_reads_what_another_runs(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips()
    sources(chip, programs, {A: 2})
    heard: list[int] = []
    with chip.events(follow=True) as events:

        def hear() -> None:
            for packet in events:
                heard.append(packet.tick)
                if len(heard) == 1000:
                    return

        thread = threading.Thread(target=hear)
        thread.start()
        for _ in range(5):
            chip.run(100)
        thread.join(60)
    assert heard == np.repeat(np.arange(500), 2).tolist()


def test_an_interrupted_run_ends_while_time_waits(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(cores=[])
    sources(chip, programs, {A: 1})
    with Chip(chip.directory) as other:
        events = other.events()
        chip.start(1_000_000)
        assert chip.interrupt() == 0
        chip.start(1_000_000, window=4)
        assert len(next(iter(events.batches()))) == 4
        other.end_run()
        assert chip.wait() == 4 and list(events) == []
        events.close()
