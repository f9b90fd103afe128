"""docs/timing-model.md has the figures of the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spinn2emu.arm import cycles
from spinn2emu.cost import Interval

PAGE = (Path(__file__).parent.parent / "docs/timing-model.md").read_text(encoding="utf-8")
INSTRUCTIONS = {
    "data processing": cycles.SINGLE, "UDIV": cycles.DIVIDE, "LDR,": cycles.LOADED, "STR,": cycles.STORED_IMMEDIATE,
    "STR with a register": cycles.STORED, "a branch that is not taken": cycles.SINGLE, "… P of B,": cycles.REFILL,
    "… P of CBZ": cycles.REFILL_EXECUTE, "… P of LDR PC": cycles.REFILL_LOADED, "VADD": cycles.SINGLE,
    "VMLA": cycles.MULTIPLIED_ADDED, "VMOV": cycles.MOVED, "MRS": cycles.STATE, "DMB": cycles.BARRIER,
    "interrupt entry": cycles.INTERRUPT_ENTRY, "interrupt return": cycles.INTERRUPT_RETURN,
    "each access of a peripheral": cycles.PERIPHERAL_WAIT, "exponential": cycles.EXP_LOG_WAIT,
    "… of the first five": Interval(*3 * [cycles.FP_RESULT.value]),
    "an address that": Interval(0, cycles.ADDRESS.value, cycles.ADDRESS.value),
}  # fmt: skip


def row(label: str) -> list[str]:
    """The cells of the one row that begins so."""
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


@pytest.mark.parametrize("label", INSTRUCTIONS)
def test_the_table_of_instructions_has_what_the_model_has(label: str) -> None:
    assert [float(cell) for cell in row(label)[1:4]] == [*INSTRUCTIONS[label]]


@pytest.mark.parametrize("label", ["-O3", "-O2"])
def test_coremark_per_mhz_is_a_million_by_the_cycles(label: str) -> None:
    figures = [float(re.sub("[,*]", "", cell)) for cell in row(label)[1:]]
    assert [round(1e6 / taken, 2) for taken in figures[:3]] == figures[3:]
