"""Time: cycles by declared formulas, when packets are sent, ticks that take long, levels; no result depends on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Chips
from helpers import BOOTS, SPACE, sram, write_program

from spinn2emu.cost import Interval
from spinn2emu.errors import ConfigError, PeFailed, ProgramError, TickOverrun
from spinn2emu.mesh import latency_ns
from spinn2emu.trace.file import read_trace, write_trace
from spinn2emu.trace.schema import Event
from spinn2host.chip import Chip, PeProgram
from spinn2host.cli.main import run as command
from spinn2host.traces.stats import statistics

WORK = """
from spinn2emu.sdk import count, set_level

class Parameters(pydantic.BaseModel, extra="forbid"):
    rows: int = 3
    packets: int = 2
    at: int = -1
    level: int = 0

def regions(p, available):
    return [Region("plan", np.int64, (4,), "", np.array([p.rows, p.packets, p.at, p.level])),
            Region("heard", np.int64, (1,))]

def tick(pe, ram, rx, t):
    ram.heard[0] += rx.shape[0]
    count(pe, 0, ram.plan[0])
    if t == ram.plan[2]:
        set_level(pe, ram.plan[3])
        count(pe, 1, 1)
    for i in range(ram.plan[1]):
        send(pe, 0, i)
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",), outputs=("out",),
                  counts=("rows", "jobs"), costs={COSTS})
"""
COSTS = '{"run": {"tick": (90, 100, 120), "in.in": 10, "sent": 7, "rows": 50.5, "jobs": 400_000}}'
PERIOD = 300_000
CYCLE_NS = 10 / 3
FIRST, SECOND, THIRD = 5, 77, 152


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("timing"), "work", WORK.replace("{COSTS}", COSTS))


def pair(program: str, **parameters: Any) -> tuple[list[PeProgram], list[tuple[int, int, list[int]]]]:
    """FIRST sends to SECOND and the other way round; the parameters are FIRST's."""
    first = PeProgram(FIRST, program, parameters, {"in": (16, SPACE)}, {"out": (0, SPACE)})
    second = PeProgram(SECOND, program, {}, {"in": (0, SPACE)}, {"out": (16, SPACE)})
    return [first, second], [(0, SPACE, [SECOND]), (16, SPACE, [FIRST])]


def everything(chip: Chip) -> list[bytes]:
    """The SRAM of both PEs."""
    return [sram(chip, pe).tobytes() for pe in (FIRST, SECOND)]


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_packets_are_sent_when_the_code_has_got_so_far(
    options: dict[str, Any], chips: Chips, work: str, tmp_path: Path
) -> None:
    chip = chips(**options)
    chip.deploy(*pair(work, rows=3, packets=4))
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(5)
    events = read_trace(tmp_path / "t.pcapng").events
    sent = events[(events["event"] == Event.SENT) & (events["source"] == FIRST)]
    for tick in range(4):
        heard = 2 if tick else 0
        cycles = [100 + 10 * heard + 3 * 50.5 + 7 * (i + 1) for i in range(4)]
        want = [int(n) * 10 // 3 for n in cycles]
        assert sent["sent"][sent["tick"] == tick].tolist() == want
    (row,) = [row for row in chip.usage() if row.pe == FIRST]
    assert (row.phase, row.level, row.ticks) == ("run", "0.8V", 5)
    assert row.counts == {"tick": 5, "in.in": 8, "sent": 20, "rows": 15, "jobs": 0}
    rest = 8 * 10 + 20 * 7 + 15 * 50.5
    assert row.cycles == Interval(450 + rest, 500 + rest, 600 + rest)
    assert (row.worst, row.worst_tick, row.overruns) == (100 + 20 + 28 + 151.5, 1, 0)


def test_at_half_the_clock_everything_takes_twice_as_long(chip: Chip, work: str, tmp_path: Path) -> None:
    items, entries = pair(work, rows=2, packets=1, at=1, level=0)
    chip.deploy(items, entries)
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(5)
    events = read_trace(tmp_path / "t.pcapng").events
    sent = events[(events["event"] == Event.SENT) & (events["source"] == FIRST)]["sent"].tolist()
    own = 100 + 20 + 2 * 50.5 + 7
    backlog = 2 * (own + 400_000 - PERIOD) / 2  # in cycles of the slower clock half as many, each twice as long
    assert sent[0] == int(own - 20) * 10 // 3
    assert sent[2] == int((backlog / 2 + own) * 2) * 10 // 3
    assert sent[3] == int(own * 2) * 10 // 3
    levels = {row.level: row.ticks for row in chip.usage() if row.pe == FIRST}
    assert levels == {"0.8V": 2, "0.5V": 3}
    assert [row["level"] for row in chip.ps() if row["program"]] == ["0.5V", "0.8V"]


def test_a_pe_that_executes_cortex_m4_code_is_metered_alike(chip: Chip, work: str, tmp_path: Path) -> None:
    pytest.importorskip("unicorn")
    found = []
    for arm in (False, True):
        items, entries = pair(work, rows=9, packets=3, at=2, level=0)
        items[0].arm = arm
        chip.deploy(items, entries)
        with chip.trace(tmp_path / "t.pcapng"):
            chip.run(5)
        assert len(chip.info()["arm"]) == arm
        found.append((everything(chip), chip.usage(), chip.overruns(), (tmp_path / "t.pcapng").read_bytes()))
    assert found[0] == found[1]
    assert {row.level: row.counts["jobs"] for row in found[1][1] if row.pe == FIRST} == {"0.8V": 1, "0.5V": 0}


def test_results_are_the_same_at_any_level_with_and_without_the_timing_model(chips: Chips, work: str) -> None:
    found = []
    boots: list[dict[str, Any]] = [{}, {"level": "0.5V"}, {"timing": False}, {"loop": "python"}]
    for options in boots:
        chip = chips(**options)
        chip.deploy(*pair(work, rows=9, packets=3, at=2, level=0))
        chip.run(7)
        found.append((everything(chip), chip.counters()["router"].tolist()))
    assert all(one == found[0] for one in found)
    levels = [[row["level"] for row in chips(**options).ps() if row["program"]] for options in boots]
    assert levels == [["0.5V", "0.8V"], ["0.5V", "0.5V"], ["0.5V", "0.8V"], ["0.5V", "0.8V"]]
    chip = chips(timing=False)
    assert chip.usage() == [] and {row.get("slack_ns") for row in chip.ps()} == {None}
    with pytest.raises(ConfigError, match="booted without its timing model"):
        chip.run(1, realtime_check=True)


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_what_a_tick_does_not_get_done_is_the_next_ones_backlog(
    options: dict[str, Any], chips: Chips, work: str, tmp_path: Path
) -> None:
    """A job of 400,000 cycles in tick 1: 100,000 of them, and what the tick does besides, are left for tick 2."""
    chip = chips(**options)
    chip.deploy(*pair(work, rows=0, packets=1, at=1, level=1))
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(6)
    own = 100 + 2 * 10 + 7
    late = own + 400_000 - PERIOD
    trace = read_trace(tmp_path / "t.pcapng")
    assert trace.overruns.tolist() == [(FIRST, 1, 0, late * 10 // 3)]
    assert trace.slack == {row["id"]: row["slack_ns"] for row in chip.ps() if row["program"]}
    write_trace(tmp_path / "again.pcapng", trace)
    assert (tmp_path / "again.pcapng").read_bytes() == (tmp_path / "t.pcapng").read_bytes()
    assert statistics(trace, ("overrun",))["overrun"] == {
        "7.5.0": {"overruns": 1, "first": 1, "worst_ns": late * 10 // 3}
    }
    sent = trace.events[(trace.events["event"] == Event.SENT) & (trace.events["source"] == FIRST)]["sent"]
    assert sent.tolist()[1:4] == [(own + 400_000) * 10 // 3, (own + late) * 10 // 3, own * 10 // 3]
    assert chip.counters().of(FIRST)["overruns"] == chip.counters()["overruns"].sum() == 1
    (row,) = [row for row in chip.usage() if row.pe == FIRST]
    assert (row.overruns, row.worst, row.worst_tick) == (1, own + 400_000, 1)
    by_pe = {row["id"]: row for row in chip.ps() if row["program"]}
    assert by_pe[FIRST]["overruns"] == 1 and by_pe[FIRST]["slack_ns"] == -late * 10 // 3
    assert by_pe[SECOND]["overruns"] == 0 and 0 < by_pe[SECOND]["slack_ns"] < 1_000_000


@pytest.mark.parametrize("loop", ["compiled", "python"])
def test_a_tick_of_more_than_four_seconds_is_noted_as_four(chips: Chips, work: str, tmp_path: Path, loop: str) -> None:
    chip = chips(loop=loop)
    chip.deploy(*pair(work, rows=40_000_000))
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(1)
    assert read_trace(tmp_path / "t.pcapng").overruns.tolist() == [(FIRST, 0, 0, 4_000_000_000 - 1_000_000)]
    assert chip.overruns()[0]["cycles"] == 100 + 2 * 7 + 40_000_000 * 50.5


def test_a_run_that_is_to_keep_to_real_time_ends_with_who_did_not(chip: Chip, work: str) -> None:
    chip.deploy(*pair(work, at=3, level=1))
    with pytest.raises(TickOverrun) as caught:
        chip.run(100, window=10, realtime_check=True)
    error = caught.value
    assert (error.pe, error.name, error.tick, error.phase, error.level) == (FIRST, "7.5.0", 3, "run", "0.8V")
    assert (error.program, error.period, error.exit_code) == (work, PERIOD, 1)
    assert error.cycles == 100 + 20 + 3 * 50.5 + 14 + 400_000
    assert re.search(r"7\.5\.0 .*tick 3 \(phase run\) ends after 400,\d\d\d cycles.* 300,000 at 0\.8V", error.message)
    assert chip.info()["tick"] == 10  # the end of the window
    chip.run(20, realtime_check=True)  # the chip can go on, and nobody is late any more
    assert chip.info()["tick"] == 30 and chip.overruns() == []
    chip.signal("reset")
    chip.run(5)
    (late,) = chip.overruns()
    assert (late["pe"], late["tick"], late["text"]) == (FIRST, 3, error.message)


def test_a_slower_clock_makes_a_tick_too_long(chip: Chip, work: str) -> None:
    chip.load(work, FIRST, {"rows": 4000, "packets": 0})
    chip.load(work, SECOND, {"rows": 4000, "packets": 0}, level="0.5V")
    chip.run(3)
    assert [(row["level"], row["overruns"]) for row in chip.ps() if row["program"]] == [("0.8V", 0), ("0.5V", 3)]
    chip.signal("pause", SECOND)
    chip.run(2)
    chip.signal("resume", SECOND)  # it has had time to get everything done
    chip.run(1)
    (row,) = [row for row in chip.usage() if row.pe == SECOND]
    assert (row.level, row.ticks, row.overruns, row.worst) == ("0.5V", 4, 4, 202_100)
    assert chip.memory(SECOND) == chip.memory(FIRST)
    assert chip.overruns()[0]["cycles"] == 202_100


def test_commands_say_who_is_late(desk: str, work: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def printed(*words: str, code: int = 0) -> tuple[str, str]:
        assert command([*words]) == code
        out, err = capsys.readouterr()
        return out, " ".join(err.split())

    printed("load", work, "1.1.0", "--set", "at=2", "--set", "level=1", "--level", "0.5V")
    late = (
        r"PE 1\.1\.0 .*: tick 2 \(phase run\) ends after 400,\d+ cycles, .* 150,000 at 0\.5V \(150 MHz\): .* at 0\.8V"
    )
    out, err = printed("run", "--ticks", "5", "--json")
    assert re.search(late, err) and json.loads(out)["overruns"][0]["tick"] == 2
    with Chip.attach(desk) as chip:
        log = (chip.directory / "log").read_text()
    assert re.search(late, " ".join(log.split()))
    assert re.search(r"0\.8V +-1\.\d\d\d ms", printed("ps")[0])
    assert re.search(r"1\.1\.0 +10 +0 +0 +0 +2 +-1\.\d\d\d ms", printed("counters", "--pes")[0])
    assert "-1." in printed("top", "--once", "--interval", "0.05")[0]
    printed("signal", "reset", "--all")
    assert re.search(late, printed("run", "--ticks", "9", "--realtime-check", code=1)[1])
    assert (
        "there is no level '0.6V': a PE has 0.5V (150 MHz), 0.8V (300 MHz)"
        in (printed("load", work, "1.1.0", "--replace", "--level", "0.6V", code=2)[1])
    )
    (tmp_path / "n.toml").write_text(
        f'[population.a]\nprogram = "{work}"\npes = ["2.1.0"]\nlevel = "0.5V"\n'
        f'[population.b]\nprogram = "{work}"\npes = ["2.1.1"]\n'
    )
    printed("load", str(tmp_path / "n.toml"))
    rows = json.loads(printed("ps", "2.1.0", "2.1.1", "--json")[0])["pes"]
    assert [row["level"] for row in rows] == ["0.5V", "0.8V"]
    (tmp_path / "n.toml").write_text(f'[population.a]\nprogram = "{work}"\npes = 1\nlevel = "1V"\n')
    assert "there is no level '1V'" in printed("load", str(tmp_path / "n.toml"), code=2)[1]
    assert "there is no level 'x'" in printed("boot", "--level", "x", code=2)[1]


DRAINED = """
from spinn2emu.sdk import count

def regions(p, available):
    return [Region("n", np.int64, (2,))]

def drain(pe, ram, rx):
    ram.n[0] += rx.shape[0]
    return 0

def tick(pe, ram, rx, t):
    ram.n[1] += rx.shape[0]
    return 0

program = Program(tick=tick, drain=drain, regions=regions, inputs=("in", "other"),
                  fifo=Fifo(8, drain="interrupt", level=4),
                  costs={"run": {"tick": 1000, "in.in": 1}, "drain": {"tick": 30_000, "in.in": 6_000}})
"""


@pytest.mark.parametrize("options", [{}, {"loop": "python"}], ids=["compiled", "plain Python"])
def test_a_handler_is_charged_to_the_tick_in_which_its_packets_arrive(
    options: dict[str, Any], chips: Chips, programs: dict[str, str], tmp_path: Path
) -> None:
    """40 packets are 10 calls and 540,000 cycles, of which 241,000 are left for the next tick."""
    chip = chips(**options)
    path = write_program(tmp_path, "drained", DRAINED)
    source = PeProgram(FIRST, programs["source"], {"count": 40}, {}, {"out": (0, 0xFFFFFFC0)})
    chip.deploy([source, PeProgram(SECOND, path, {}, {"in": (0, 0xFFFFFFC0)})], [(0, 0xFFFFFFC0, [SECOND])])
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(4)
    assert chip.read(SECOND, "n").tolist() == [120, 0]
    rows = {row.phase: row for row in chip.usage() if row.pe == SECOND}
    assert rows["drain"].counts["in.in"] == 120 and rows["drain"].ticks == 30
    assert (rows["drain"].worst, rows["drain"].worst_tick) == (30_000 + 4 * 6_000, 0)
    assert rows["drain"].cycles == Interval(*[30 * 30_000 + 120 * 6_000] * 3)
    assert (rows["run"].ticks, rows["run"].cycles, rows["run"].worst) == (4, Interval(*[4000.0] * 3), 1000)
    assert (rows["run"].overruns, rows["drain"].overruns) == (2, 2)
    late = [
        (0, 8, 241_000),
        (1, 8, 482_000),
        (2, 0, 183_000),
        (3, 0, 424_000),
    ]  # tick, phase, cycles when it is noticed
    want = [(SECOND, tick, phase, cycles * 10 // 3) for tick, phase, cycles in late]
    assert read_trace(tmp_path / "t.pcapng").overruns.tolist() == want
    assert (chip.overruns()[0]["tick"], chip.overruns()[0]["phase"]) == (0, None)


def test_packets_for_a_pe_arrive_one_per_cycle(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    """Two PEs of a quad send 3 packets each in the same cycles: they come alternately, 10/3 ns apart."""
    first = [
        PeProgram(pe, programs["source"], {"count": 3}, {}, {"out": (16 * i, SPACE)}) for i, pe in enumerate((5, 6))
    ]
    sink = PeProgram(SECOND, programs["sink"], {}, {"in": [(0, SPACE), (16, SPACE)]})
    chip.deploy([*first, sink], [(0, SPACE, [SECOND]), (16, SPACE, [SECOND])])
    with chip.trace(tmp_path / "t.pcapng"):
        chip.run(4)
    events = read_trace(tmp_path / "t.pcapng").events
    received = events[events["event"] == Event.RECEIVED]
    alone = latency_ns(5, SECOND)
    assert latency_ns(6, SECOND) == alone
    steps = [3 * alone + 10 * i for i in range(6)]  # in thirds of a ns
    for tick in range(3):  # each begins anew
        got = received[received["tick"] == tick]
        assert got["source"].tolist() == [5, 6] * 3
        assert got["time"].tolist() == [tick * 1_000_000 + step // 3 for step in steps]
    waiting = statistics(read_trace(tmp_path / "t.pcapng"), ("waiting",))["waiting"]
    assert waiting["pe"] == {"packets": 18, "waited": 15, "mean_ns": (3 + 3 + 7 + 7 + 10) / 5, "max_ns": 10.0}
    router = [2.5, 2.0, 4.5, 4.0, 6.5]  # 2.5 ns each
    assert waiting["router"] == {"packets": 24, "waited": 20, "mean_ns": sum(router) / 5, "max_ns": 6.5}


BAD = {
    "an unknown phase": ("counts=(), costs={'walk': {}, 'run': {}}", "there is no phase 'walk': run, drain"),
    "a phase left out": ("costs={'drain': {}}", "says nothing of phase 'run'"),
    "an unknown port": ("costs={'run': {'in.b': 1}}", "there is no term 'in.b': tick, in.a, sent, rows"),
    "an unknown count": ("costs={'run': {'columns': 1}}", "there is no term 'columns'"),
    "less than nothing": ("costs={'run': {'tick': -1}}", "term 'tick': cycles are a number from 0 on"),
    "no number": ("costs={'run': {'tick': float('nan')}}", "cycles are a number from 0 on, .* not nan"),
    "a text": ("costs={'run': {'tick': 'many'}}", "not 'many'"),
    "two numbers": ("costs={'run': {'tick': (1, 2)}}", r"not \(1, 2\)"),
    "an interval upside down": ("costs={'run': {'tick': (3, 2, 1)}}", r"not \(3, 2, 1\)"),
    "no mapping": ("costs=17", "must map phases to terms to cycles, not be 17"),
    "a handler that sends": ("costs={'run': {}, 'drain': {'sent': 1}}", "phase 'drain': there is no term 'sent'"),
    "thirteen counts": ("counts=tuple('abcdefghijklm')", "`counts` must be at most 12 different identifiers"),
    "a count twice": ("counts=('a', 'a')", "`counts` must be"),
    "a count called sent": ("counts=('sent',)", "none of them tick or sent"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_declarations_that_cannot_be_are_refused(chip: Chip, tmp_path: Path, wrong: str) -> None:
    changed, message = BAD[wrong]
    counts = "" if "counts" in changed else "counts=('rows',), "
    text = f"""
def tick(pe, ram, rx, t):
    return 0

program = Program(tick=tick, regions=lambda p, available: [], inputs=("a",), {counts}{changed})
"""
    with pytest.raises(ProgramError, match=message):
        chip.load(write_program(tmp_path, "bad", text), FIRST)


def test_counts_and_levels_that_there_are_not(chip: Chip, work: str, tmp_path: Path) -> None:
    for line, message in (
        ("count(pe, 2, 1)", "there is no count 2 among those that the program declares"),
        ("set_level(pe, 2)", r"there is no level 2 among those of a PE: 0 \(0.5V\), 1 \(0.8V\)"),
    ):
        text = WORK.replace("{COSTS}", "None").replace("count(pe, 1, 1)", line)
        with pytest.raises(ProgramError, match=message):
            chip.load(write_program(tmp_path, "bad", text), FIRST)
    chip.load(work, FIRST, {"at": 1, "level": 2})
    with pytest.raises(PeFailed, match=r"set a level that there is not: 0 is 0.5V, 1 is 0.8V") as caught:
        chip.run(3)
    assert (caught.value.tick, caught.value.fault) == (1, "LEVEL")
    chip.deploy([], [])


WHICH, AMOUNT = "ram.plan[3], 1", "1, ram.plan[3]"


@pytest.mark.parametrize("arm", [False, True], ids=["host", "arm"])
@pytest.mark.parametrize(
    ("line", "number"),
    [(WHICH, 12), (WHICH, 2), (WHICH, -1), (AMOUNT, -5), (AMOUNT, 2**31)],
)  # fmt: skip
def test_what_is_counted_must_be_declared_and_an_amount(
    chip: Chip, tmp_path: Path, line: str, number: int, arm: bool
) -> None:
    if arm:
        pytest.importorskip("unicorn")
    text = WORK.replace("{COSTS}", COSTS).replace("count(pe, 1, 1)", f"count(pe, {line})")
    file = write_program(tmp_path, "far", text.replace("set_level(pe, ram.plan[3])", "pass"))
    chip.deploy([], [])
    chip.load(file, FIRST, {"at": 1, "level": number}, arm=arm)
    with pytest.raises(PeFailed, match=r"does not declare in its `counts`, or an amount beyond 0 to") as caught:
        chip.run(3)
    assert (caught.value.tick, caught.value.fault) == (1, "COUNT")


def test_a_tick_of_any_length_has_a_slack_that_can_be_sent(chip: Chip, tmp_path: Path) -> None:
    chip.deploy([], [])
    costs = COSTS.replace("400_000", "1e307")
    text = WORK.replace("{COSTS}", costs).replace("count(pe, 1, 1)", "count(pe, 1, 1000)")
    chip.load(write_program(tmp_path, "long", text), FIRST, {"at": 1})
    chip.run(4)
    assert [row["slack_ns"] for row in chip.ps() if row["program"]] == [-(10**17)]
    assert sum(row.overruns for row in chip.usage()) == 3


def test_of_a_program_without_a_formula_only_counts_are_known(chip: Chip, tmp_path: Path) -> None:
    chip.deploy(*pair(write_program(tmp_path, "work", WORK.replace("{COSTS}", "None"))))
    with pytest.raises(ConfigError, match=r"no formula of cycles is known for .*work"):
        chip.run(1, realtime_check=True)
    chip.run(3)
    row = chip.usage()[0]
    assert (row.ticks, row.counts["rows"], row.cycles, row.worst, row.worst_tick) == (3, 9, None, None, None)
    assert {row["slack_ns"] for row in chip.ps() if row["program"]} == {None}
