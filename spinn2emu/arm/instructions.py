"""The instructions of an image, and the cycles that each takes on a Cortex-M4F, as an interval (extra `arm`).

An instruction's cycles hold what it costs together with the one behind it, which is known because the core is in
order: what pipelining saves, and what a stall costs, is booked at the first of the two. Branches are booked as not
taken, and what a taken one costs more apart; one that is always taken has its refill in its cycles.
What there is to know of the numbers is in `spinn2emu.arm.cycles`; docs/timing-model.md explains low, central, high.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.arm import cycles
from spinn2emu.arm.kinds import Form, form_of
from spinn2emu.cost import ZERO, Interval
from spinn2emu.errors import ConfigError, ProgramError


class Instruction(NamedTuple):
    """`cycles`: each time that it is executed, as not taken; `taken`: more, each time that it branches (0: it is no
    branch, or always taken); `target`: where to, None if no number in the code says so."""

    address: int
    size: int
    text: str
    cycles: Interval
    taken: Interval
    target: int | None


@dataclass(frozen=True)
class CycleTable:
    """Cycles by halfword: row i of `cycles` is what an execution of the instruction at `base + 2 i` costs (zeros where
    none begins), row i of `taken` what a taken branch costs more that ends before `base + 2 i`.

    Both: float64, shape (halfwords + 1, 3), columns low, central, high. `machine.Profile` has counts of this form.
    """

    base: int
    cycles: NDArray[np.float64]
    taken: NDArray[np.float64]

    @classmethod
    def of(cls, instructions: Sequence[Instruction], base: int, nbytes: int) -> CycleTable:
        """For a memory of `nbytes` from `base` on."""
        executed, taken = np.zeros((2, nbytes // 2 + 1, 3))
        for instruction in instructions:
            start = instruction.address - base >> 1
            executed[start] = instruction.cycles
            taken[start + instruction.size // 2] = instruction.taken
        return cls(base, executed, taken)

    def count(self, executed: NDArray[np.int64], taken: NDArray[np.int64]) -> Interval:
        """Cycles of so many executions and taken branches, each by halfword; without waits at peripherals."""
        return Interval(*map(float, executed @ self.cycles + taken @ self.taken))


def decode(code: bytes, base: int, spans: Sequence[tuple[int, int]]) -> list[Instruction]:
    """All instructions of `code`, whose first byte has address `base`, by address. `spans`: [begin, end) addresses of
    what is code; constants lie between.

    Raises ConfigError without capstone; ProgramError for bytes that are no instruction, or one of unknown cost.
    """
    decoder = _decoder()
    blocks = [list(_forms(decoder, code[begin - base : end - base], begin)) for begin, end in sorted(spans)]
    wide = {form.address for block in blocks for form in block if form.address % 4 and not form.narrow}
    return [instruction for block in blocks for instruction in _with_cycles(block, wide)]


def _decoder() -> Any:
    try:
        import capstone
    except ImportError as error:
        raise ConfigError("taking Cortex-M4 code apart needs capstone: pip install 'spinn2emu[arm]'") from error
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    return decoder


def _forms(decoder: Any, code: bytes, begin: int) -> Iterator[Form]:
    end = begin
    for instruction in decoder.disasm(code, begin):
        yield form_of(instruction)
        end = instruction.address + instruction.size
    if end != begin + len(code):
        rest = code[end - begin :][:4].hex(" ")
        raise ProgramError(f"no instruction of a Cortex-M4 at {end:#x}: {rest}", address=end)


def _with_cycles(forms: list[Form], wide: set[int]) -> list[Instruction]:
    """What each takes beside its neighbours. `wide`: addresses of 32-bit instructions that are off a word boundary."""
    forms = [_to_wide(form) if form.target in wide else form for form in forms]
    targets = {form.target for form in forms}
    pairs = list(zip(forms, [*forms[1:], None], strict=True))
    costs = [form.cycles if then is None else form.cycles + _beside(form, then) for form, then in pairs]
    for i, (before, form) in enumerate(pairs):
        if form is not None and form.name == "it" and before.narrow and not before.ends and form.address not in targets:
            costs[i + 1] = Interval(0, 0, form.cycles.high)  # folded onto the instruction before
    for i, form in enumerate(forms):
        if form.divides:
            costs[i] = _divided(forms, costs, i)
    return [
        Instruction(form.address, form.size, form.text, cost, form.taken, form.target)
        for form, cost in zip(forms, costs, strict=True)
    ]


def _to_wide(form: Form) -> Form:
    """A branch to an instruction that takes two fetches. high has the largest refill already."""
    more = Interval(0, cycles.REFILL_WIDE.value, 0)
    if form.taken == ZERO:
        return form._replace(cycles=form.cycles + more)
    return form._replace(taken=form.taken + more)


def _beside(form: Form, then: Form) -> Interval:
    """What `form` costs more because `then` stands behind it."""
    more = ZERO
    if form.ends:
        return more
    if form.loads and (then.loads or then.stores) and not form.writes & then.addresses:
        # A store with an immediate offset saves it already by its own figure: the manual's example takes three cycles
        # together, its footnote has two.
        central = 0 if then.immediate else -cycles.PIPELINED.value
        more += Interval(-cycles.PIPELINED.value, central, 0)
    if form.computes and form.writes & then.addresses:
        more += Interval(0, cycles.ADDRESS.value, cycles.ADDRESS.value)
    if form.arithmetic and form.writes & then.needs:
        more += Interval(*[cycles.FP_RESULT.value] * 3)
    return more


def _divided(forms: list[Form], costs: list[Interval], i: int) -> Interval:
    """VDIV and VSQRT: what remains of it when the integer instructions behind it are done.

    It lasts until the FPU is needed next. Where a branch comes before that, low takes it that the rest is hidden, and
    central that nothing behind the branch hides any of it.
    """
    hidden, total, stopped = ZERO, cycles.DIVIDED, False
    for form, cost in zip(forms[i + 1 :], costs[i + 1 :], strict=True):
        if form.fpu:
            if forms[i].writes & form.needs:
                total += Interval(*[cycles.FP_RESULT.value] * 3)
            stopped = True
            break
        if form.ends:
            break
        hidden += cost
    least = cycles.ONE.value
    low = max(least, total.low - hidden.low) if stopped else least
    return Interval(low, max(least, total.central - hidden.central), total.high)
