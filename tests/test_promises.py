"""What a program has declared about time holds: when it sends, and how long a phase lasts; in both loops."""

from __future__ import annotations

import pytest
from conftest import Chips
from helpers import SPACE, write_program

from spinn2emu.errors import PeFailed
from spinn2emu.registers import SystemError
from spinn2host.chip import Chip, PeProgram

PROGRAM = """
from spinn2emu.sdk import current_phase, set_phase

class Parameters(pydantic.BaseModel, extra="forbid"):
    send_at: int = -1
    change_at: int = -1
    phase: int = 0

def regions(p, available):
    return [Region("plan", np.int64, (3,), "", np.array([p.send_at, p.change_at, p.phase])),
            Region("seen", np.int64, (20,), "phase by tick")]

def tick(pe, ram, rx, t):
    ram.seen[t] = current_phase(pe)
    if t == ram.plan[0]:
        send(pe, 0, 0)
    if t == ram.plan[1]:
        set_phase(pe, ram.plan[2])
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("x", "y"), outputs=("out",),
                  phases=lambda p: [
    Phase("quiet", 3, ("x",), (), ("loud",)),
    Phase("loud", 2, ("x",), ("out",), ("quiet",)),
    Phase("other", 1, ("y",), (), ("quiet",)),
])
"""
QUIET, LOUD, OTHER = range(3)
"""Phases: quiet in ticks 0 … 2, 5 … 7 and so on, loud in between; `other` listens to another port."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("promises"), "promises", PROGRAM)


@pytest.fixture(params=["compiled", "python"])
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """With either loop of the PEs."""
    return chips(loop=request.param)


def deploy(chip: Chip, program: str, **parameters: int) -> None:
    chip.deploy([PeProgram(9, program, parameters, {}, {"out": (0x40, SPACE)})], [])


def sent(chip: Chip) -> int:
    return int(chip.counters()["router"][0])


@pytest.mark.parametrize("tick", [0, 2, 5, 7])
def test_a_port_that_is_declared_silent_stays_silent(chip: Chip, program: str, tick: int) -> None:
    deploy(chip, program, send_at=tick)
    with pytest.raises(PeFailed, match="declare silent in this tick") as caught:
        chip.run(10)
    assert (caught.value.tick, caught.value.code) == (tick, SystemError.PROMISE)


@pytest.mark.parametrize("tick", [3, 4, 8, 9])
def test_a_port_sends_in_the_first_and_last_tick_of_a_phase_that_may(chip: Chip, program: str, tick: int) -> None:
    deploy(chip, program, send_at=tick)
    chip.run(11)
    assert sent(chip) == 1


def test_a_promise_outlives_the_phase_that_made_it(chip: Chip, program: str) -> None:
    """`quiet` lasts until tick 2, whoever listens may have run so far: `loud` comes earlier, its packets do not."""
    deploy(chip, program, change_at=0, phase=LOUD, send_at=2)
    with pytest.raises(PeFailed, match="declare silent in this tick") as caught:
        chip.run(10)
    assert (caught.value.tick, caught.value.code) == (2, SystemError.PROMISE)
    assert chip.read(9, "seen")[:3].tolist() == [QUIET, LOUD, LOUD]


@pytest.mark.parametrize("tick", [0, 1])
def test_a_phase_is_not_left_early_for_one_that_listens_to_other_ports(chip: Chip, program: str, tick: int) -> None:
    """What the network has delivered so far was chosen for the ports of the phase that was declared."""
    deploy(chip, program, change_at=tick, phase=OTHER)
    with pytest.raises(PeFailed, match="one that listens to other ports") as caught:
        chip.run(10)
    assert (caught.value.tick, caught.value.code) == (tick, SystemError.PHASE)


@pytest.mark.parametrize(
    ("tick", "phase", "seen"),
    [
        (2, OTHER, [QUIET, QUIET, QUIET, OTHER, QUIET]),  # at its end
        (0, LOUD, [QUIET, LOUD, LOUD, QUIET, QUIET]),  # early, to one with the same ports
        (1, QUIET, [QUIET, QUIET, QUIET, QUIET, QUIET]),  # to itself: it begins anew
    ],
)
def test_a_phase_is_left_at_its_end_or_for_one_with_the_same_ports(
    chip: Chip, program: str, tick: int, phase: int, seen: list[int]
) -> None:
    deploy(chip, program, change_at=tick, phase=phase)
    chip.run(6)
    assert chip.read(9, "seen")[:5].tolist() == seen
