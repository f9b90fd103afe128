"""The watchdog: a chip on which nothing moves is stuck after its deadline, and the error names who is to blame."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Chips
from helpers import ring, write_program

from spinn2emu import geometry
from spinn2emu.chip import watch
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.watch import UNRESPONSIVE_AFTER_S, Watch
from spinn2emu.errors import ChipStuck
from spinn2host.chip import Chip, PeProgram

DEADLINE_S = 2.0
"""A busy machine may need some time for the little that the healed chip has to do."""
ENDLESS = """
def regions(p, available):
    return [Region("x", np.int64, (1,))]

def tick(pe, ram, rx, t):
    while t == 3 and ram.x[0] >= 0:
        ram.x[0] += 1
    return 0

program = Program(tick=tick, regions=regions)
"""


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("endless"), "endless", ENDLESS)


@pytest.fixture(params=["compiled", "python"])
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """With either loop, and little patience."""
    return chips(loop=request.param, deadline=DEADLINE_S)


def test_a_kernel_that_does_not_return_is_named(chip: Chip, programs: dict[str, str], endless: str) -> None:
    chip.deploy([PeProgram(5, programs["counter"]), PeProgram(77, endless)], [])
    with pytest.raises(
        ChipStuck, match=r"1\.1\.0 \(.*endless\.py\) does not return from its kernel.* in tick 3"
    ) as caught:
        chip.run(10)
    error = caught.value
    assert (error.tick, error.pes, error.deadline) == (3, [f"1.1.0 ({endless})"], DEADLINE_S)
    assert f"no progress for {DEADLINE_S:g} s" in str(error) and "7.5.0" not in str(error)
    with pytest.raises(ChipStuck):
        chip.run(1)
    chip.deploy([PeProgram(77, programs["counter"])], [])  # ends it
    chip.run(5)
    assert chip.read(77, "ticks").tolist() == [5]


@pytest.mark.parametrize("label", ["pe 1.1.0", "router"])
def test_a_stopped_process_is_named_as_stopped(chip: Chip, programs: dict[str, str], label: str) -> None:
    chip.deploy(*ring(programs["ring"], (5, 77)))
    pid = chip.info()["pids"][label]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ChipStuck, match=rf"{label} is stopped .*kill -CONT {pid}") as caught:
        chip.run(10)
    assert caught.value.pes == [label]
    chip.signal("reset")
    chip.run(10)
    assert chip.read(77, "n").tolist() == [5]


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


def assignment(pe: int) -> Any:
    return SimpleNamespace(pe=pe, who=f"{geometry.name(pe)} (program {pe})")


def test_any_progress_starts_the_deadline_anew(clock: Clock) -> None:
    memory = ChipMemory()
    seen, pes = Watch(memory, 7.0), {pe: assignment(pe) for pe in (9, 77)}
    tick = memory.ticks[77:]

    def grant() -> None:
        memory.registers["grants"][0] += 1

    def activation() -> None:
        memory.guards["activations"][77] += 1

    def ticks() -> None:
        tick[0] += 1

    assert seen.stuck(pes, []) is None
    for progress in (grant, activation, ticks, seen.begin):
        clock.now += 6.9
        assert seen.stuck(pes, []) is None
        progress()
        clock.now += 6.9
        assert seen.stuck(pes, []) is None
    clock.now += 7.0
    error = seen.stuck(pes, [])
    assert error is not None and error.deadline == 7.0
    # 9 stands in tick 0, 77 in tick 1: it is the first that everybody waits for
    assert error.pes == ["6.6.0 (program 9)"] and error.tick == 0
    assert "waits for packets or promises that do not come" in str(error)
    memory.guards["busy"][77] = 1
    error = seen.stuck(pes, [])
    assert error is not None and error.pes == ["1.1.0 (program 77)"]
    assert "does not return from its kernel" in str(error)


def test_a_pe_is_unresponsive_in_one_long_activation_only(clock: Clock) -> None:
    memory = ChipMemory()
    seen, guard = Watch(memory), memory.guard(9)
    guard["busy"], guard["activations"] = 1, 5
    for _ in range(3):
        seen.look()
        clock.now += UNRESPONSIVE_AFTER_S - 0.1
        seen.look()
        assert not seen.unresponsive(9)
        guard["activations"] += 1
    seen.look()
    clock.now += UNRESPONSIVE_AFTER_S + 0.1
    seen.look()
    assert seen.unresponsive(9) and not seen.unresponsive(10)
    guard["busy"] = 0
    seen.look()
    assert not seen.unresponsive(9)
