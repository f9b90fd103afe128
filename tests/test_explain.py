"""What a user gets to read when a kernel does not compile: plain English and the line, never the compiler's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spinn2emu.chip.declare import declare
from spinn2emu.errors import ProgramError
from spinn2emu.pe.compiled import compiled_entry
from spinn2emu.pe.explain import ALLOCATES, kind, reason
from spinn2emu.program import load_program
from spinn2emu.registers import own_symbols

TEXT = """
import os
import numpy as np
from spinn2emu.program import Program, Region
from spinn2emu.sdk import *

DICT, LIST = {1: 2}, [1, 2]

class Thing:
    pass

@kernel
def add(a, b):
    return a + b

@kernel
def mixed(a):
    if a > 3:
        return 1
    return "text"

def regions(p, available):
    return [Region("x", np.int64, (4,)), Region("y", np.float32, (2, 3)), Region("s", [("n", "i4")], (2,))]

def tick(pe, ram, rx, t):
    BODY
    return 0

program = Program(tick=tick, regions=regions, outputs=("out",))
"""
NUMBA = re.compile(
    r"numba(?! compiles)|nopython|Function\(|Record\(|array\(|reflected|unicode|lowering|opcode|signature|Literal"
)

MISTAKES = [
    ("d = {}", ALLOCATES),
    ("a = [i for i in range(t)]", ALLOCATES),
    ("ram.x[:] = ram.x + ram.y[0, 0]", ALLOCATES),
    ("ram.x[:] = np.zeros(4)", ALLOCATES),
    ("ram.x[0] = str(t)", ALLOCATES),
    ("ram.y[:] = np.dot(ram.y, ram.y)", "a kernel cannot make or return an array: keep it in a region"),
    ("ram.x[0] = DICT[1]", "a kernel cannot use DICT, which is of Python's type dict: it sees numbers, tuples, arrays"),
    ("ram.x[0] = LIST[0]", "a kernel cannot use LIST, a list: make it a tuple, or an array of numpy"),
    ("Thing().x = 3", "a kernel cannot use Thing"),
    ("ram.x[0] = 'x'", "a text cannot be stored in an array of int64"),
    ("ram.x[0] = ram.y[0]", "an array of float32 cannot be stored in an array of int64"),
    ("ram.s[0] = 5", "an integer cannot be stored in an array of records"),
    ("ram.x[ram.y[0, 0]] = 1", "an index must be an integer, not a float32"),
    ("ram.x[0] += 'a'", "an integer + a text cannot be computed"),
    ("ram.x[0] = t @ t", "an integer @ an integer cannot be computed"),
    ("ram.x[0] = add(ram.x, 'a')", "an array of int64 + a text cannot be computed"),
    ("ram.x[0] = len(5)", "`len` cannot be called with an integer in a kernel"),
    ("send(pe, 0)", "the argument 'index' is missing in this call of a function that takes (pe, port, index)"),
    ("add(1, 2, 3)", "there are arguments too many in this call of a function that takes (a, b)"),
    ("send(pe, 0, ram.x)", "a number is wanted here, not an array of int64"),
    ("log(pe, 1, 'text')", "a number is wanted here, not a text"),
    ("pe.send(0, 0)", "`pe` has no 'send'"),
    ("ram.x.append(3)", "an array of int64 has no 'append'"),
    ("os.getpid()", "a kernel cannot use os.getpid: it has arithmetic, `math`, much of numpy, and `spinn2emu.sdk`"),
    ("if t:\n        q = 1\n    else:\n        q = 'a'\n    ram.x[0] = len(q)",
     "`q` is an integer in one case and a text in another: a variable has one type"),
    ("a, b = ram.x[0]", "an integer cannot be taken apart into several"),
    ("a, b, c = 1, 2", "2 values for 3 variables"),
    ("for a in t:\n        pass", "there is no loop over an integer"),
    ("ram.x[0] = 10**30", "does not fit 64 bits"),
    ("return log(pe, 1)", "tick must return an integer in every case, 0 or an error code; here it may return None"),
    ("ram.x[0] = mixed(t)", "this function returns different kinds of things: it must return one"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), MISTAKES, ids=[body.split("\n")[0] for body, _ in MISTAKES])
def test_a_mistake_is_explained_in_plain_english(tmp_path: Path, body: str, words: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(TEXT.replace("BODY", body))
    program = load_program(str(path))
    with pytest.raises(ProgramError) as caught:
        compiled_entry(program, own_symbols(declare(program, {}).memory), ["run"])
    error = caught.value
    assert words in error.message
    assert not NUMBA.search(error.message), error.message
    first, source = error.message.split("\n")
    assert f"line {error.line} of {path}" in first
    assert source.strip() == path.read_text().splitlines()[error.line - 1].strip()


def test_what_nobody_has_thought_of_does_not_show_the_compilers_words() -> None:
    text = reason("Failed in nopython mode pipeline (step: nopython frontend)\nsomething about Literal[int](1)")
    assert "something" not in text and "`details`" in text
    assert kind("some_future_type(int64)") == "something else"


REGIONS = {
    "np.no_such": "has no attribute 'no_such' (line",
    "'zzz'": "there is no dtype 'zzz'",
    "object": "SRAM holds numbers, little-endian, and records of them, not dtype object",
    "[('a', object)]": "SRAM holds numbers",
    "'S5'": "SRAM holds numbers",
    "str": "SRAM holds numbers",
    "'datetime64[s]'": "SRAM holds numbers",
    "'>i4'": "SRAM holds numbers, little-endian",
    "np.longdouble": "SRAM holds numbers",
}


@pytest.mark.parametrize(("dtype", "words"), REGIONS.items())
def test_a_dtype_that_sram_cannot_hold_is_refused_with_its_line(tmp_path: Path, dtype: str, words: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(TEXT.replace("BODY", "pass").replace('"y", np.float32', f'"y", {dtype}'))
    with pytest.raises(ProgramError) as caught:
        declare(load_program(str(path)), {})
    line = TEXT[: TEXT.index('Region("y"')].count("\n") + 1
    assert words in caught.value.message and f"line {line} of {path}" in caught.value.message
