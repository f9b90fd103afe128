"""The phase table: how long, what is live, and for how long a port is certainly silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.chip.declare import phase_table
from spinn2emu.errors import ConfigError
from spinn2emu.frames import FOREVER
from spinn2emu.program import NoParameters, Phase, Program
from spinn2emu.registers import NO_PHASE, PhaseWord
from spinn2fw.eventprop import layer

TICKS, LIVE, SENDS, NEXT, QUIET = (int(word) for word in PhaseWord)


def make(phases: list[Phase] | None, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> np.ndarray:
    program = Program(
        tick=lambda pe, ram, rx, t: 0, regions=lambda p, available: [], inputs=inputs, outputs=outputs,
        phases=None if phases is None else lambda p: phases, name="the.program",
    )  # fmt: skip
    return phase_table(program, program.phase_list(NoParameters()))


def test_a_program_by_hand() -> None:
    table = make(
        [
            Phase("listen", 3, ("a",), ("x",), ("think",)),
            Phase("think", 2, (), (), ("speak", "listen")),
            Phase("speak", 4, ("a", "b"), ("y",), ("listen",)),
        ],
        inputs=("a", "b"), outputs=("x", "y"),
    )  # fmt: skip
    assert table.shape == (8, 12)
    assert table[:3, [TICKS, LIVE, SENDS, NEXT]].tolist() == [
        [3, 0b01, 0b01, 1],
        [2, 0b00, 0b00, 2],
        [4, 0b11, 0b10, 0],
    ]
    assert table[:3, QUIET].tolist() == [
        2,  # x: think is silent for 2 ticks, then listen may begin
        0,  # listen may follow at once
        0,
    ]
    assert table[:3, QUIET + 1].tolist() == [
        2,  # y: think, then speak
        0,
        5,  # listen 3, think 2
    ]
    assert (table[:3, QUIET + 2 :] == FOREVER).all()
    assert (table[3:, TICKS] == NO_PHASE).all()
    assert not table[3:, TICKS + 1 :].any()


@pytest.mark.parametrize("T", [2, 27])
def test_the_eventprop_layer(T: int) -> None:
    constants = {"alpha": 0.5, "beta": 0.5, "one_minus_alpha": 0.5, "one_minus_beta": 0.5, "tau_s": 5.0}
    p = layer.Parameters(n_in=5, n_out=7, T=T, send_errors=True, send_silent=False, **constants)
    table = phase_table(layer.program, layer.program.phase_list(p))
    spikes, errors, gradients, silent = (QUIET + port for port in range(4))
    assert table[:2, [TICKS, LIVE, SENDS, NEXT]].tolist() == [[T + 1, 0b0111, 0b0001, 1], [T, 0b1000, 0b1110, 0]]
    assert table[:2, spikes].tolist() == [0, 0]  # a forward phase may follow either
    for port in (errors, gradients, silent):
        assert table[:2, port].tolist() == [0, T + 1]  # after backward at least a whole forward phase


def test_a_program_without_phases_listens_and_sends_for_ever() -> None:
    table = make(None, ("a", "b"), ("x",))
    assert table[0, [TICKS, LIVE, SENDS, NEXT]].tolist() == [0, 0b11, 0b1, 0]
    assert table[0, QUIET] == 0


def test_a_phase_that_names_no_successor_repeats() -> None:
    table = make([Phase("one", 1), Phase("two", 5, sends=("x",))], outputs=("x",))
    assert table[:2, NEXT].tolist() == [0, 1]
    assert table[:2, QUIET].tolist() == [FOREVER, 0]


def test_an_endless_phase_never_gives_way() -> None:
    table = make(
        [Phase("a", 2, next=("b",)), Phase("b", None, next=("c",)), Phase("c", 1, sends=("x",))], outputs=("x",)
    )
    assert table[:3, QUIET].tolist() == [FOREVER, 0, 0]


PHASES = 4


@st.composite
def phase_graphs(draw: st.DrawFn) -> list[Phase]:
    """One to four phases with any successors; `x` is their only port."""
    count = draw(st.integers(1, PHASES))
    names = [f"p{i}" for i in range(count)]
    follow = st.lists(st.sampled_from(names), min_size=1, max_size=count, unique=True).map(tuple)
    ticks, sends = st.none() | st.integers(1, 4), st.sampled_from([(), ("x",)])
    return [Phase(name, draw(ticks), (), draw(sends), draw(follow)) for name in names]


def silence(phases: list[Phase], row: int) -> int:
    """Naive: walks tick by tick through everything that may follow, until a phase speaks."""
    by_name = {phase.name: phase for phase in phases}
    now = [(name, 0) for name in phases[row].next]
    for tick in range(PHASES * 4 + 1):
        if any(by_name[name].sends for name, _ in now):
            return tick
        later = set()
        for name, age in now:
            if age + 1 == by_name[name].ticks:
                later |= {(after, 0) for after in by_name[name].next}
            else:
                later.add((name, age + 1))
        now = list(later)
    return FOREVER


@given(phase_graphs())
def test_quiet_numbers_are_those_of_a_walk(phases: list[Phase]) -> None:
    table = make(phases, outputs=("x",))
    assert table[: len(phases), QUIET].tolist() == [silence(phases, row) for row in range(len(phases))]


@pytest.mark.parametrize(
    "phase", [Phase("a", 1, ("nope",)), Phase("a", 1, (), ("nope",)), Phase("a", 1, (), (), ("nope",))]
)
def test_undeclared_names_are_refused(phase: Phase) -> None:
    with pytest.raises(ConfigError, match=r"the\.program: a phase names something undeclared"):
        make([phase], ("a",), ("x",))


@pytest.mark.parametrize("count", [0, 9])
def test_the_number_of_phases_is_bounded(count: int) -> None:
    with pytest.raises(ConfigError, match=f"declares {count} phases, 1 to 8"):
        make([Phase(f"p{i}", 1) for i in range(count)])
