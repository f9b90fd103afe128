"""What a kernel may not do is refused at load, with what and where; under --strict, what shows when it runs, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Chips
from helpers import write_program

from spinn2emu.errors import PeFailed, ProgramError
from spinn2host.chip import Chip, PeProgram

TEXT = """
import numpy as np, numba
from spinn2emu.program import Program, Region
from spinn2emu.sdk import kernel, log, send, random_word

TABLE = np.arange(3)

@numba.njit
def allocate(n):
    return np.zeros(n).sum()

@numba.njit(fastmath=True, parallel=True)
def plus_one(n):
    return n + 1

@kernel
def store(ram, i):
    ram.x[i] = 1

def plain(n):
    return n

class Thing:
    pass

def regions(p, available):
    return [Region("x", np.int64, (4,)), Region("y", np.float32, (2, 3))]

def tick(pe, ram, rx, t):
    BODY
    return 0

program = Program(tick=tick, regions=regions, outputs=("out",))
"""
ALLOCATES = "a kernel cannot allocate"


@pytest.fixture
def strict(chips: Chips) -> Chip:
    return chips(strict=True)


def write(folder: Path, body: str) -> tuple[str, int]:
    """A program's file, and the line of the first statement of its body."""
    text = TEXT.replace("BODY", body)
    path = folder / "made.py"
    path.write_text(text)
    return str(path), text[: text.index(body)].count("\n") + 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("a = np.zeros(5)\n    ram.x[0] = a.shape[0]", ALLOCATES),
        ("a = [1, 2]\n    ram.x[0] = len(a)", ALLOCATES),
        ("ram.x[0] = len(str(t))", ALLOCATES),
        ("print(t)", r"a kernel cannot call Python \(print\)"),
        ("with numba.objmode():\n        pass", r"a kernel cannot call Python \(objmode\)"),
        ("ram.x[0] = plain(1)", "plain is a Python function: decorate it"),
        ("raise ValueError('x')", "a kernel cannot raise"),
        ("assert t > 3", "a kernel cannot raise"),
        ("ram.x[4] = 1", "index 4 exceeds region x, whose axis 0 has 4 elements"),
        ("ram.x[-5] += 1", "index -5 exceeds region x"),
        ("ram.y[1, 3] = 1", "index 3 exceeds region y, whose axis 1 has 3 elements"),
        ("ram.z[0] = 1", "'z'"),
        ("ram.x[0] = no_such_thing(t)", "the name 'no_such_thing' is not defined"),
        ("Thing()", "Thing"),
    ],
)
def test_it_is_refused_with_its_line(chip: Chip, tmp_path: Path, body: str, problem: str) -> None:
    path, line = write(tmp_path, body)
    with pytest.raises(ProgramError, match=problem) as caught:
        chip.deploy([PeProgram(9, path)], [])
    error = caught.value
    assert (error.program, error.line, error.pe) == (path, line, 9)
    assert f"line {line} of {path}" in str(error)
    assert len(str(error).splitlines()) <= 2


SIZES = """
class Parameters(pydantic.BaseModel):
    n: int

def tick(pe, ram, rx, t):
    ram.x[5] = 1
    return 0

program = Program(tick=tick, regions=lambda p, available: [Region("x", np.float32, (p.n,))], parameters=Parameters)
"""


def test_each_set_of_sizes_is_checked(chip: Chip, tmp_path: Path) -> None:
    """Of several PEs with one program, which is compiled once."""
    path = write_program(tmp_path, "sizes", SIZES)
    chip.deploy([PeProgram(pe, path, {"n": n}) for pe, n in ((9, 8), (10, 6))], [])
    chip.run(1)
    with pytest.raises(ProgramError, match="index 5 exceeds region x, whose axis 0 has 5 elements") as caught:
        chip.deploy([PeProgram(pe, path, {"n": n}) for pe, n in ((9, 8), (10, 6), (11, 5))], [])
    assert caught.value.pe == 11


def test_a_helper_that_allocates_is_refused_where_it_does(chip: Chip, tmp_path: Path) -> None:
    path, _ = write(tmp_path, "ram.x[0] = allocate(3)")
    line = TEXT[: TEXT.index("return np.zeros")].count("\n") + 1
    with pytest.raises(ProgramError, match=ALLOCATES) as caught:
        chip.deploy([PeProgram(9, path)], [])
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os; os._exit(7)", "ends its process when it is loaded: exited with code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        (TEXT.replace("BODY", "pass").replace("tick(pe, ram, rx, t)", "tick(pe)"), "tick takes \\(pe, ram, rx, t\\)"),
        (TEXT.replace("BODY", "pass").replace("    return 0\n", ""), "tick must return an integer"),
        (TEXT.replace("BODY", "return 'text'"), "tick must return an integer"),
    ],
)
def test_a_file_that_would_end_the_chip_is_refused_and_the_chip_goes_on(
    chip: Chip, tmp_path: Path, text: str, problem: str
) -> None:
    good, _ = write(tmp_path, "ram.x[0] += 1")
    chip.deploy([PeProgram(5, good)], [])
    chip.run(2)
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ProgramError, match=problem):
        chip.load(str(tmp_path / "bad.py"), [9])
    chip.run(2)
    assert chip.read(5, "x")[0] == 4


def test_helpers_are_compiled_as_the_emulator_wants_them(chip: Chip, tmp_path: Path) -> None:
    """However they were decorated: no threads, no fast-math."""
    path, _ = write(tmp_path, "ram.x[0] = plus_one(t) + TABLE[1]")
    chip.deploy([PeProgram(9, path)], [])
    chip.run(6)
    assert chip.read(9, "x")[0] == 5 + 1 + 1


@pytest.mark.parametrize(
    ("body", "tick", "index", "where"),
    [
        ("ram.x[t] = 1", 4, 4, "ram.x[t] = 1"),
        ("store(ram, t + 2)", 2, 4, "ram.x[i] = 1"),
        ("ram.y[t, 0] = random_word(pe)\n    send(pe, 0, 0)\n    log(pe, 1, t)", 2, 2, "ram.y[t, 0]"),
        ("ram.x[2 - t] = 1", 7, -5, "ram.x[2 - t]"),
    ],
)
def test_strict_names_index_and_line(
    strict: Chip, tmp_path: Path, body: str, tick: int, index: int, where: str
) -> None:
    path, _ = write(tmp_path, body)
    strict.deploy([PeProgram(9, path, outputs={"out": (0, 0xFFFF0000)})], [])
    with pytest.raises(PeFailed, match=rf"index {index} is out of bounds for axis 0") as caught:
        strict.run(20)
    error = caught.value
    assert (error.pe, error.tick, error.code) == (9, tick, -5)
    assert f"of {path}: {where}" in str(error)


def test_strict_computes_the_same(chip: Chip, strict: Chip, tmp_path: Path) -> None:
    path, _ = write(tmp_path, "ram.x[t % 4] += random_word(pe) >> np.uint64(8)\n    ram.y[t % 2, t % 3] += ram.x[0]")
    states = []
    for each in (chip, strict):
        each.deploy([PeProgram(9, path)], [])
        each.run(50)
        states.append(each.read(9, 0, 0x20000).tobytes())
    assert states[0] == states[1]
