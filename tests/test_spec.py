"""Every constant of the hardware and of the timing model says what it is, in what unit, and where it comes from."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from spinn2emu import spec
from spinn2emu.arm import cycles
from spinn2emu.spec import Constant, Status

MODULES = {"spec": spec, "cycles": cycles}
"""Where numbers of sources stand; a module's docstring lists the sources."""
CONSTANTS = {
    f"{module}.{name}": value
    for module, contents in MODULES.items() for name, value in vars(contents).items() if isinstance(value, Constant)
}  # fmt: skip


def sources(module: str) -> set[str]:
    return set(re.findall(r"^- `(\w+)`:", MODULES[module].__doc__ or "", re.MULTILINE))


def test_the_lists_are_not_empty() -> None:
    for module in MODULES:
        assert len([name for name in CONSTANTS if name.startswith(f"{module}.")]) >= 20
        assert {"chip", "spinn2emu"} < sources(module)


@pytest.mark.parametrize("module", MODULES)
def test_the_module_holds_no_bare_number(module: str) -> None:
    assert [name for name, value in vars(MODULES[module]).items() if isinstance(value, int | float)] == []


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_is_documented(name: str) -> None:
    constant, (module, own) = CONSTANTS[name], name.split(".")
    assert own.isupper()
    assert type(constant.value) is int and constant.value > 0
    assert constant.unit and constant.note
    assert constant.source in sources(module)
    assert constant.status in get_args(Status)


@pytest.mark.parametrize("name", CONSTANTS)
def test_own_choices_are_the_only_numbers_without_a_foreign_source(name: str) -> None:
    constant = CONSTANTS[name]
    assert (constant.status == "own choice") == (constant.source == "spinn2emu")


def test_derived_numbers_add_up() -> None:
    assert spec.PES.status == "derived"
    assert spec.PES.value == spec.QUADS.value * spec.PES_PER_QUAD.value == 38 * 4 == 152
    assert spec.PES.value - spec.RESERVED_PES.value == 148


def test_memory_spaces_fit_each_other() -> None:
    assert spec.SRAM_BYTES.value == 131072
    assert spec.SRAM_BYTES.value - spec.ITCM_BYTES.value == 96 * 1024
    assert spec.SRAM_BYTES.value - spec.STACK_BASE.value == 4 * 1024
    assert spec.STACK_BASE.value % spec.DMA_ALIGNMENT.value == spec.ITCM_BYTES.value % spec.DMA_ALIGNMENT.value == 0


def test_routing_table_of_the_chip() -> None:
    assert (spec.ROUTER_ENTRIES.value, spec.ROUTER_COUNTERS.value, spec.LINKS.value) == (16384, 16, 6)
