"""Every constant of the hardware and of the timing model says what it is, in what unit, and where it comes from.

And there are no others: no number of cycles, of a clock, or of a power stands in the code that computes with them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
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


ROOT = Path(__file__).parent.parent
ROOMS = ("spinn2emu/arm", "host/spinn2host/energy")
ALONE = (
    "spinn2emu/pe/meter.py", "spinn2emu/pe/plain_meter.py", "spinn2emu/levels.py", "spinn2emu/cost.py",
    "spinn2emu/mesh.py", "spinn2emu/chip/usage.py", "spinn2emu/chip/overruns.py", "host/spinn2host/schedule.py",
    "host/spinn2host/usage.py",
)  # fmt: skip
FILES = sorted([*ALONE, *(str(file.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).glob("*.py"))])
"""What the timing model is computed in."""
UNITS = {0, 1, 100, 1000, 1e6, 1e9}
"""Nothing, one, and what turns units into others."""
BITS = {*range(65), 255, 1023, 2047, 4095, 4096, 0xFFFF, 0xFFFFFFFF}
ALLOWED: dict[str, set[float]] = {
    "spinn2emu/pe/meter.py": {2, 3, 7},  # places of terms, reserved words
    "spinn2emu/mesh.py": {2},  # both ways
    "host/spinn2host/schedule.py": {2, 3},  # ticks of T, arrays of Adam
    "spinn2emu/arm/activations.py": {30}, "spinn2emu/arm/build.py": {2}, "spinn2emu/arm/check.py": {3, 4, 7},
    "spinn2emu/arm/compile.py": {2, 3}, "spinn2emu/arm/counting.py": {2, 3}, "spinn2emu/arm/cycles.py": {2},
    "spinn2emu/arm/elf.py": BITS | {0x5000400}, "spinn2emu/arm/execution.py": BITS,
    "spinn2emu/arm/fingerprint.py": {20}, "spinn2emu/arm/instructions.py": {2, 3, 4},  # bytes, columns
    "spinn2emu/arm/integers.py": BITS | {0x1010101}, "spinn2emu/arm/kinds.py": {2}, "spinn2emu/arm/link.py": BITS | {
        0x8F00, 0xD000, 0xF000, 0xFBF0,
    }, "spinn2emu/arm/machine.py": BITS | {8192}, "spinn2emu/arm/memory.py": BITS | {0x800, 0x20000000, 0x40000000},
    "spinn2emu/arm/missing.py": {2}, "spinn2emu/arm/softconvert.py": BITS, "spinn2emu/arm/softfloat.py": BITS,
    "spinn2emu/arm/softmath.py": BITS | {9999}, "spinn2emu/arm/stand_ins.py": BITS,
    "host/spinn2host/energy/collect.py": {2}, "host/spinn2host/energy/read.py": {4},
    "host/spinn2host/energy/report.py": {3, 5, 6, 20, 63}, "host/spinn2host/energy/trace.py": {34},
}  # fmt: skip
"""Numbers that are none of the hardware's: places, sizes, bits."""
DRAWN = {"host/spinn2host/energy/plot.py"}
"""Sizes and colours of a figure: any number, if it is not beside a name of PHYSICS."""
REGISTERS = {"spinn2emu/arm/memory.py"}
"""Addresses, one of them of the clock's register."""
PHYSICS = re.compile(
    r"cycle|clock|hz$|(^|_)(mhz|mw|mj|ns|ms|uw|watt|volt)s?($|_)|power|energy|wait|refill|latency", re.I
)


def numbers(tree: ast.AST) -> Iterator[float]:
    """All in this piece of code, but not in what defines a Constant."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "Constant":
        return
    if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
        yield tree.value
    for child in ast.iter_child_nodes(tree):
        yield from numbers(child)


def names(*trees: ast.AST) -> set[str]:
    """That expressions are made of; of attributes the last part."""
    found = set()
    for tree in trees:
        if isinstance(tree, ast.Attribute | ast.Name):
            found.add(tree.attr if isinstance(tree, ast.Attribute) else tree.id)
        else:
            found |= names(*ast.iter_child_nodes(tree))
    return found


def plain(*trees: ast.AST) -> list[float]:
    """The numbers in arithmetic, not those in calls and indices."""
    arithmetic = [tree for tree in trees if isinstance(tree, ast.BinOp | ast.UnaryOp | ast.Tuple | ast.List)]
    inner = [n for tree in arithmetic for n in plain(*ast.iter_child_nodes(tree))]
    return inner + [n for tree in trees if isinstance(tree, ast.Constant) for n in numbers(tree)]


def together(node: ast.AST) -> tuple[set[str], list[float]]:
    """Names and numbers that a piece of code puts together."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return names(*targets), plain(value)
        case ast.AnnAssign(target=target, value=ast.AST() as value) | ast.AugAssign(target=target, value=value):
            return names(target), plain(value)
        case ast.BinOp(left=left, right=right) | ast.Compare(left=left, comparators=[right]):
            return names(left, right), plain(left, right)
        case ast.keyword(arg=str(name), value=value):
            return {name}, plain(value)
        case ast.Call(func=function, args=arguments) if names(function) & {"Interval", "PhaseCost"}:
            return {"cycles"}, plain(*arguments)
        case ast.arguments(args=parameters, defaults=defaults):
            return {parameter.arg for parameter in parameters[len(parameters) - len(defaults) :]}, plain(*defaults)
    return set(), []


def unsourced(file: str, source: str) -> list[str]:
    """Numbers in a module of the timing model that ought to be Constants."""
    tree = ast.parse(source)
    found = [] if file in DRAWN else [f"{n:g}" for n in {*numbers(tree)} - UNITS - ALLOWED.get(file, set())]
    for node in ast.walk(tree):
        beside, values = together(node)
        if file not in REGISTERS and any(PHYSICS.search(name) for name in beside):
            found += [f"{n:g} beside {', '.join(sorted(beside))}" for n in values if n not in UNITS]
    return found


@pytest.mark.parametrize("file", FILES)
def test_the_timing_model_has_no_number_without_a_source(file: str) -> None:
    """A number of the hardware belongs into spec.py or cycles.py, as a Constant; another one into ALLOWED."""
    assert unsourced(file, (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line", [
    "CLOCK_HZ = 150_000_000", "cycles = 14", "cycles += 12 * n", "total = cycles * 1.3", "wait_cycles: float = 8.0",
    "power_mw = 3.22", "f(asleep_mw=1.054)", "x = Interval(2, 7, 12)", "def f(a, clock=25): pass", "late = cycles > 5",
    "period = 150_000", "a = b * 75.2",
])  # fmt: skip
@pytest.mark.parametrize("file", [
    "spinn2emu/pe/meter.py", "spinn2emu/arm/cycles.py", "spinn2emu/arm/instructions.py", "spinn2emu/arm/softfloat.py",
    "host/spinn2host/energy/model.py", "host/spinn2host/schedule.py",
])  # fmt: skip
def test_a_number_without_a_source_is_found(file: str, line: str) -> None:
    assert unsourced(file, (ROOT / file).read_text(encoding="utf-8") + f"\n{line}\n") != []


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
