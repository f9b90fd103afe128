"""FIFOs that a program's `drain` empties: order, chunks, what is left for `tick`, errors; in both loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import HEAD, SPACE, sram, write_program

from spinn2emu import geometry
from spinn2emu.chip.declare import declare
from spinn2emu.errors import PeFailed, ProgramError
from spinn2emu.pe.compiled import compiled_entry
from spinn2emu.program import Fifo, Program, Region
from spinn2emu.registers import own_symbols
from spinn2emu.router.state import Counter, PeCounter
from spinn2host.chip import Chip, PeProgram

SINK = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    level: int | None = None
    deep: int = 64
    policy: str = "drop"
    last: str = "tick"
    fail_at: int = -1
    code: int = 0

def regions(p, available):
    return [Region("n", np.int64, (1,), "call"), Region("calls", np.int64, (400, 10), "how, packets, tick; their keys"),
            Region("plan", np.int64, (2,), "", np.array([p.fail_at, p.code])), Region("few", np.int64, (3,))]

@kernel
def note(ram, rx, how, t):
    call = ram.calls[ram.n[0] % 400]
    call[0] = how
    call[1] = rx.shape[0]
    call[2] = t
    for i in range(min(7, rx.shape[0])):
        call[3 + i] = rx[i].key
    ram.n[0] += 1

def drain(pe, ram, rx):
    note(ram, rx, 1 + rx[0].port, rx[0].tick)
    if rx[0].tick == ram.plan[0]:
        log(pe, 5, rx.shape[0])
        ram.few[ram.plan[1]] += 1
        return ram.plan[1]
    return 0

def tick(pe, ram, rx, t):
    note(ram, rx, 0, t)
    return 0

def fifos(p):
    return [Fifo(8, 16, "drop", "interrupt", ("fast", "faster"), p.level), Fifo(2, 0, "drop", "interrupt", ("one",), 1),
            Fifo(p.deep, 0, p.policy, p.last)]

program = Program(tick=tick, drain=drain, regions=regions, parameters=Parameters, fifo=fifos,
                  inputs=("slow", "fast", "one", "faster"), errors={7: "the seventh error"})
"""
TICK, FAST, ONE = 0, 2, 3
"""Who was called: `tick`, or `drain` with packets of the FIFO whose first packet came in on port `how` - 1."""
SOURCES = [geometry.pe_id(name) for name in ("3.3.0", "3.3.1", "3.3.2")]
TARGET = geometry.pe_id("1.1.0")
TICKS = 4


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("drain"), "sink", SINK)


@pytest.fixture(params=["compiled", "python"])
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """With either loop of the PEs."""
    return chips(loop=request.param)


def deploy(chip: Chip, programs: dict[str, str], sink: str, ports: dict[str, int], count: int, **given: Any) -> None:
    """Three sources of `count` packets per tick, number s with the keys 16 (s + 1) …; `ports`: which source a port
    hears."""
    pes = [
        PeProgram(pe, programs["source"], {"count": count}, {}, {"out": (16 * (s + 1), SPACE)})
        for s, pe in enumerate(SOURCES)
    ]
    inputs = {port: (16 * (source + 1), SPACE) for port, source in ports.items()}
    chip.deploy([*reversed(pes), PeProgram(TARGET, sink, given, inputs)], [(0, 0, [TARGET])])


def calls(chip: Chip) -> list[list[int]]:
    """[how, tick, packets, keys …] of every call."""
    rows = chip.read(TARGET, "calls")[: chip.read(TARGET, "n")[0]].tolist()
    return [[how, tick, count, *keys[: min(7, count)]] for how, count, tick, *keys in rows]


def test_drained_packets_come_first_in_chunks_and_in_canonical_order(
    chip: Chip, programs: dict[str, str], sink: str
) -> None:
    # The default FIFO gets the middle source; the other two share a FIFO, in which the order of sources remains.
    deploy(chip, programs, sink, {"slow": 1, "fast": 2, "faster": 0}, 4, level=3)
    chip.run(TICKS)
    expected: list[list[int]] = [[TICK, 0, 0]]
    for t in range(1, TICKS):
        a, b = ([16 * s + i for i in range(4)] for s in (1, 3))
        keys = a + b
        faster, fast = 4, FAST
        expected += [[faster, t - 1, 3, *keys[:3]], [faster, t - 1, 3, *keys[3:6]], [fast, t - 1, 2, *keys[6:]]]
        expected += [[TICK, t, 4, 32, 33, 34, 35]]
    assert calls(chip) == expected


def test_fifos_are_drained_one_after_the_other_each_at_its_level(
    chip: Chip, programs: dict[str, str], sink: str
) -> None:
    deploy(chip, programs, sink, {"one": 0, "slow": 1, "fast": 2}, 5)  # half of 8 packets, and one
    chip.run(2)
    one = [[ONE, 0, 1, 16 + i] for i in range(5)]
    fast = [[FAST, 0, 4, 48, 49, 50, 51], [FAST, 0, 1, 52]]
    assert calls(chip) == [[TICK, 0, 0], *fast, *one, [TICK, 1, 5, 32, 33, 34, 35, 36]]


def test_three_fifos_can_be_drained(chip: Chip, programs: dict[str, str], sink: str) -> None:
    deploy(chip, programs, sink, {"one": 0, "slow": 1, "fast": 2}, 3, deep=4, last="interrupt")
    chip.run(2)
    one, slow = [[ONE, 0, 1, 16 + i] for i in range(3)], [[1, 0, 2, 32, 33], [1, 0, 1, 34]]
    assert calls(chip) == [[TICK, 0, 0], [FAST, 0, 3, 48, 49, 50], *one, *slow, [TICK, 1, 0]]


def test_without_packets_nothing_is_drained(chip: Chip, programs: dict[str, str], sink: str) -> None:
    deploy(chip, programs, sink, {"slow": 1}, 2)
    chip.run(3)
    assert calls(chip) == [[TICK, 0, 0], [TICK, 1, 2, 32, 33], [TICK, 2, 2, 32, 33]]


@pytest.mark.parametrize(("policy", "deep", "kept"), [("drop", 3, 3), ("overwrite", 2, 2), ("stall", 2, 5)])
def test_a_drained_fifo_never_fills_and_the_others_have_their_bounds(
    chip: Chip, programs: dict[str, str], sink: str, policy: str, deep: int, kept: int
) -> None:
    deploy(chip, programs, sink, {"fast": 0, "slow": 1, "one": 2}, 5, policy=policy, deep=deep, level=8)
    chip.run(TICKS)
    got = calls(chip)
    assert [row[2] for row in got if row[0] == TICK] == [0] + [kept] * (TICKS - 1)
    assert sum(row[2] for row in got if row[0] in (FAST, ONE)) == 10 * (TICKS - 1)
    counters, lost = chip.counters(), (5 - kept) * (TICKS - 1)
    assert counters["router"][Counter.FIFO_DROPPED] == lost == counters["pes"][TARGET, PeCounter.FIFO_LOST]
    assert counters["router"][Counter.FIFO_STALLED] == ((5 - deep) * (TICKS - 1) if policy == "stall" else 0)


def test_both_loops_leave_the_same_bytes(chips: Chips, programs: dict[str, str], sink: str) -> None:
    memories = []
    for loop in ("compiled", "python"):
        chip = chips(loop=loop)
        deploy(chip, programs, sink, {"slow": 1, "fast": 2, "faster": 0, "one": 1}, 9, level=2, deep=3)
        chip.run(7)
        memories.append(sram(chip, TARGET).tobytes())
    assert memories[0] == memories[1]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_code_of_drain_ends_the_run_before_the_tick(chip: Chip, programs: dict[str, str], sink: str) -> None:
    deploy(chip, programs, sink, {"slow": 1, "fast": 2}, 3, level=2, fail_at=1, code=7)
    with pytest.raises(PeFailed, match="the seventh error") as caught:
        chip.run(TICKS)
    error = caught.value
    assert (error.pe, error.tick, error.code, error.fault) == (TARGET, 2, 7, None)
    assert error.log == ["tick 2: code 5, 2"]
    assert calls(chip)[-1] == [FAST, 1, 2, 48, 49]  # neither the third packet nor the tick


@pytest.mark.parametrize("index", [3, -4])
def test_strict_names_the_line_of_drain(chips: Chips, programs: dict[str, str], sink: str, index: int) -> None:
    chip = chips(strict=True)
    deploy(chip, programs, sink, {"slow": 1, "fast": 2}, 3, level=2, fail_at=1, code=index)
    with pytest.raises(PeFailed, match=r"index -?\d is out of bounds.*ram\.few\[ram\.plan\[1\]\] \+= 1") as caught:
        chip.run(TICKS)
    assert (caught.value.tick, caught.value.fault) == (2, "EXCEPTION")
    assert calls(chip)[-1] == [FAST, 1, 2, 48, 49]  # neither the third packet nor the tick


# --- declarations -----------------------------------------------------------------------------------------------------


def idle(pe: Any, ram: Any, rx: Any, t: int) -> int:
    return 0


def take(pe: Any, ram: Any, rx: Any) -> int:
    return 0


def program(fifo: Any, drain: Any = take) -> Program:
    regions = [Region("x", np.int64, (4,))]
    return Program(
        tick=idle, drain=drain, regions=lambda p, available: regions, inputs=("a", "b", "c", "d"), fifo=fifo,
        outputs=("out",), name="mine",
    )  # fmt: skip


QUICK = Fifo(8, 16, drain="interrupt")


@pytest.mark.parametrize(
    ("fifo", "drain", "message"),
    [
        (QUICK, None, r"emptied by the program's `drain`: write one"),
        (Fifo(8), take, r"`drain` has no Fifo to empty"),
        ([], take, "up to 3"),
        ([QUICK._replace(ports=(p,)) for p in "abc"] + [QUICK], take, "up to 3"),
        ([QUICK, 5], take, "up to 3"),
        (5, take, "one Fifo, or a list of up to 3"),
        ([QUICK._replace(ports="a"), Fifo(8)], take, "`ports` is a sequence of names"),  # type: ignore[arg-type]
        ([QUICK, Fifo(8)], take, "all FIFOs but the last name the `ports`"),
        (QUICK._replace(ports=("a",)), take, "the last gets the others'"),
        ([QUICK._replace(ports=("a",)), QUICK._replace(ports=("b", "a")), Fifo(8)], take, "must be different ones"),
        ([QUICK._replace(ports=("nobody",)), Fifo(8)], take, r"\['nobody'\], must be different ones of the inputs"),
        (QUICK._replace(level=0), take, "a level, 1 to the depth 8"),
        (QUICK._replace(level=9), take, "a level, 1 to the depth 8"),
        (Fifo(8, level=4), None, 'for drain "interrupt" only'),
        (Fifo(0), None, "a depth of at least 1"),
        (Fifo(8, 5), None, "a payload of"),
        (Fifo(8, policy="burn"), None, "a policy of"),  # type: ignore[arg-type]
        (Fifo(8, drain="never"), None, "a drain of"),  # type: ignore[arg-type]
    ],
)
def test_fifos_that_cannot_be(fifo: Any, drain: Any, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        declare(program(fifo, drain), {})
    assert caught.value.program == "mine"


def test_every_fifo_takes_its_part_of_the_memory() -> None:
    fifos = [QUICK._replace(ports=("a",)), QUICK._replace(ports=("b", "d"), depth=4, payload_bytes=4), Fifo(3, 0)]
    declaration = declare(program(fifos), {})
    assert declaration.memory["fifo"].nbytes == 8 * 20 + 4 * 8 + 3 * 4
    assert declaration.from_wire(declaration.to_wire()).fifos == tuple(fifos)
    assert (fifos[0].fill_level, fifos[1].fill_level, QUICK._replace(depth=1).fill_level) == (4, 2, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    send(pe, 0, 1)\n    return 0", "send cannot be called in `drain`"),
        ("    helper(pe)\n    return 0", "send_float cannot be called in `drain`"),
        ("    return 0.5", "drain must return an integer"),
        ("    pass", "drain must return an integer"),
        ("    return log(pe, 1)", "drain must return an integer"),
        ("    ram.x[4] = 1\n    return 0", "4"),
        ("    return nobody", "'nobody' is not defined"),
    ],
)
def test_what_drain_may_not_do(tmp_path: Path, body: str, message: str) -> None:
    text = f"{HEAD}\n@kernel\ndef helper(pe):\n    send_float(pe, 0, 0, 1.0)\n\ndef drain(pe, ram, rx):\n{body}\n"
    path = tmp_path / "bad.py"
    path.write_text(text)
    scope: dict[str, Any] = {"__name__": "bad"}
    exec(compile(text, str(path), "exec"), scope)
    bad = program(QUICK, scope["drain"])
    with pytest.raises(ProgramError, match=message) as caught:
        compiled_entry(bad, own_symbols(declare(bad, {}).memory), ["run"], name="drain")
    assert caught.value.file == str(path) and caught.value.line > 7


def test_drain_takes_three_arguments() -> None:
    bad = program(QUICK, idle)
    with pytest.raises(ProgramError, match=r"drain takes \(pe, ram, rx\), not 4 arguments"):
        compiled_entry(bad, own_symbols(declare(bad, {}).memory), ["run"], name="drain")
