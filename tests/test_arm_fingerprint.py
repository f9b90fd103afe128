"""What formulas of cycles are bound to: the sources that a program's Cortex-M4 code is made of, and nothing else."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import pytest

from spinn2emu.arm.fingerprint import fingerprint
from spinn2emu.chip.declare import declare
from spinn2emu.program import Program
from spinn2emu.registers import own_symbols

TEXT = '''
"""A module."""
import numpy as np
from spinn2emu.program import Fifo, Program, Region
from spinn2emu.sdk import kernel, send, count
from spinn2fw.kernels import layout

N, TABLE, PAIR, F = 3, np.array([1, 2], np.int32), (4, (5.5, 6)), np.float32(0.5)

def deep(x):
    return x * 2

deep = kernel(deep)

@kernel
def near(x: int) -> int:
    """A kernel."""
    return deep(x) + TABLE[1] + PAIR[1][1]

def regions(p, available):
    return [Region("x", np.int64, (8,)), Region("y", np.float32, (2,))]

def tick(pe, ram, rx, t):
    """A tick."""
    ram.x[N] = near(t) + layout.WORDS
    ram.y[0] += F
    send(pe, 0, 1)
    return 0

def drain(pe, ram, rx):
    ram.x[1] += 5
    return 0

program = Program(tick=tick, drain=drain, regions=regions, inputs=("in",), outputs=("out",),
                  fifo=Fifo(8, drain="interrupt"))
'''
NUMBERS = itertools.count()


def of(folder: Path, text: str) -> str:
    path = folder / f"program{next(NUMBERS)}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program: Program = module.program
    return fingerprint(program, own_symbols(declare(program, {}).memory))


SAME = {
    "a comment": ("    ram.y[0] += F", "    # more\n    ram.y[0] += F  # and more"),
    "space": ("N, TABLE", "\n\n\nN, TABLE"),
    "brackets": ("deep(x) + TABLE[1] + PAIR[1][1]", "(deep(x) + TABLE[1]) + (PAIR[1][1])"),
    "a kernel's docstring": ('"""A kernel."""', '"""Another text."""'),
    "no docstring": ('    """A tick."""\n', ""),
    "annotations": ("def near(x: int) -> int:", "def near(x):"),
    "annotations of tick": ("def tick(pe, ram, rx, t):", 'def tick(pe: "Pe", ram: object, rx: object, t: int) -> int:'),
    "a region's size": ('"x", np.int64, (8,)', '"x", np.int64, (9,)'),
    "what nobody refers to": ("NOTHING = 1", "NOTHING = 2"),
    "a port's name": ('inputs=("in",)', 'inputs=("into",)'),
}
OTHER = {
    "tick": ("ram.y[0] += F", "ram.y[1] += F"), "drain": ("ram.x[1] += 5", "ram.x[1] += 6"),
    "a kernel": ("deep(x) + TABLE", "deep(x) - TABLE"), "a kernel of a kernel": ("return x * 2", "return x * 3"),
    "a number": ("N, TABLE, PAIR, F = 3,", "N, TABLE, PAIR, F = 4,"),
    "an array": ("np.array([1, 2], np.int32)", "np.array([1, 3], np.int32)"),
    "an array's dtype": ("np.array([1, 2], np.int32)", "np.array([1, 2], np.uint32)"),
    "a tuple": ("(4, (5.5, 6))", "(4, (5.5, 7))"), "a tuple's type": ("(4, (5.5, 6))", "(4, (5.5, 6.0))"),
    "how tuples are nested": ("(4, (5.5, 6))", "(4, (5.5,), 6)"),
    "a float32": ("np.float32(0.5)", "np.float64(0.5)"),
    "a constant of a module": ("layout.WORDS", "layout.NEURONS"),
    "a function of the kit": ("send(pe, 0, 1)", "count(pe, 0, 1)"),
    "a region's dtype": ('"x", np.int64', '"x", np.int32'), "a region's axes": ("np.int64, (8,)", "np.int64, (8, 1)"),
    "a region's name": ('Region("y", np.float32, (2,))', 'Region("y", np.float32, (2,)), Region("z", np.int8, (1,))'),
    "no drain": ("drain=drain, ", ""),
}  # fmt: skip


def changed(old: str, new: str) -> str:
    text = "NOTHING = 1\n" + TEXT
    assert old in text
    return (
        text.replace(old, new, 1).replace('fifo=Fifo(8, drain="interrupt")', "")
        if "drain=drain" in old
        else (text.replace(old, new, 1))
    )


@pytest.mark.parametrize("what", SAME)
def test_what_makes_no_other_code_is_the_same(what: str, tmp_path: Path) -> None:
    assert of(tmp_path, changed(*SAME[what])) == of(tmp_path, TEXT)


@pytest.mark.parametrize("what", OTHER)
def test_what_may_make_other_code_is_another(what: str, tmp_path: Path) -> None:
    assert of(tmp_path, changed(*OTHER[what])) != of(tmp_path, TEXT)


def test_a_number_may_not_change_places(tmp_path: Path) -> None:
    one, other = (f"A = {a}\nB = {b}\n" + TEXT.replace("t) + layout", "A - B) + layout") for a, b in ((1, 2), (2, 1)))
    assert of(tmp_path, one) != of(tmp_path, other)
