"""Cycles of recorded activations, counted instruction by instruction, and linear formulas that are fitted to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.arm import check, cycles
from spinn2emu.arm.activations import Activation, Recording
from spinn2emu.arm.instructions import CycleTable, decode
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import Profile
from spinn2emu.cost import DRAIN, IN, SENT, TICK, Interval, PhaseCost
from spinn2emu.errors import ProgramError


class Counted(NamedTuple):
    """An activation's phase (or DRAIN), its counts by term, and its cycles."""

    phase: str
    counts: dict[str, int]
    cycles: Interval


class Counter:
    """Turns profiles of one image into cycles."""

    def __init__(self, image: Image) -> None:
        self.table = CycleTable.of(decode(image.memory, 0, image.spans), 0, len(image.memory))

    def cycles(self, profile: Profile) -> Interval:
        """With what accesses of peripherals wait, and what it takes to wake the core up and to let it sleep."""
        rows = len(self.table.cycles)
        own = self.table.count(profile.executed[:rows], profile.taken[:rows])
        waits = cycles.PERIPHERAL_WAIT * profile.accesses + cycles.EXP_LOG_WAIT * profile.operations
        return own + waits + cycles.INTERRUPT_ENTRY + cycles.INTERRUPT_RETURN


def count(recording: Recording, image: Image) -> list[Counted]:
    """Executes the activations of a recording and counts. Raises ProgramError if one leaves other bytes than the host's
    code, or sends other packets.
    """
    counter, found = Counter(image), []
    for outcome in check.run(recording, image):
        if outcome.difference:
            raise ProgramError(f"{recording.program}: its Cortex-M4 code is not the host's: {outcome.difference}")
        activation = outcome.activation
        phase = DRAIN if activation.entry == DRAIN else recording.phases[activation.phase]
        found.append(Counted(phase, terms(recording, activation), counter.cycles(outcome.profile)))
    return found


def terms(recording: Recording, activation: Activation) -> dict[str, int]:
    """How much there was of each term of a formula."""
    ports = np.bincount(activation.packets["port"], minlength=len(recording.inputs))
    found = {TICK: 1, SENT: len(activation.sent)}
    found |= {IN + name: int(ports[number]) for number, name in enumerate(recording.inputs)}
    return found | dict(zip(recording.counts, activation.counts, strict=False))


def fit(activations: Iterable[Counted]) -> dict[str, PhaseCost]:
    """Formulas by phase, of half of the activations: least squares, without terms that would be negative."""
    by_phase: dict[str, list[Counted]] = {}
    for activation in activations:
        by_phase.setdefault(activation.phase, []).append(activation)
    return {phase: _fit_half(own) for phase, own in by_phase.items()}


def _fit_half(activations: Sequence[Counted]) -> PhaseCost:
    """The formula of half of the activations, checked with the others."""
    order = np.random.default_rng(0).permutation(len(activations)).tolist()  # not in turn: patterns may have two ticks
    half = -(-len(order) // 2)
    own, others = ([activations[number] for number in part] for part in (order[:half], order[half:]))
    formula = _fit_phase(own)
    counted = sum(activation.cycles.central for activation in others)
    expected = sum(formula.cycles(activation.counts).central for activation in others)
    return replace(formula, others=expected / counted - 1 if counted else 0.0)


def _fit_phase(activations: Sequence[Counted]) -> PhaseCost:
    names = list(activations[0].counts)
    counts = np.array([[activation.counts[name] for name in names] for activation in activations], float)
    counted = np.array([activation.cycles for activation in activations], float)
    used = _independent(counts)
    solution = _non_negative(counts[:, used], counted)
    found = {names[column]: Interval(*map(float, row)) for column, row in zip(used, solution, strict=True) if row.any()}
    residual = (counts[:, used] @ solution - counted)[:, 1]
    mean = counted[:, 1].mean()
    worst, rms = float(np.abs(residual).max() / mean), float(np.sqrt((residual**2).mean()) / mean)
    return PhaseCost(found, len(activations), worst, rms)


def _independent(counts: NDArray[np.float64]) -> list[int]:
    """The columns that are no sum of multiples of those before them."""
    chosen: list[int] = []
    for column in range(counts.shape[1]):
        if np.linalg.matrix_rank(counts[:, [*chosen, column]]) > len(chosen):
            chosen.append(column)
    return chosen


def _non_negative(counts: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares; a column of which any coefficient is negative counts for nothing, and the rest is fitted anew."""
    active = list(range(counts.shape[1]))
    while True:
        solution = np.zeros((counts.shape[1], 3))
        solution[active] = np.linalg.lstsq(counts[:, active], counted, rcond=None)[0]
        negative = [column for column in active if solution[column].min() < 0]
        if not negative:
            return solution
        active.remove(min(negative, key=lambda column: float(solution[column].min())))
