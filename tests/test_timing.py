"""Time: cycles by declared formulas, when packets are sent, ticks that take long, levels; no result depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Chips
from helpers import BOOTS, SPACE, sram, write_program

from spinn2emu.cost import Interval
from spinn2emu.trace.file import read_trace
from spinn2emu.trace.schema import Event
from spinn2host.chip import Chip, PeProgram

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
