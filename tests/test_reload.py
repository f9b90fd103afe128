"""What was edited is what runs after the next load: a program, and whatever it imports from where the user has it."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from pathlib import Path

import pytest
from helpers import write_program

from spinn2emu import program_files
from spinn2emu.errors import ProgramError, SramOverflow
from spinn2host.chip import Chip, PeProgram

HEAD = """
import numpy as np
from spinn2emu.program import Program, Region
from spinn2emu.sdk import kernel
{imports}

def regions(p, available):
    return [Region("x", np.int64, (1,))]

def tick(pe, ram, rx, t):
    ram.x[0] = {value}
    return 0

program = Program(tick=tick, regions=regions)
"""
HELPER = """
from spinn2emu.sdk import kernel
VALUE = {value}

@kernel
def value():
    return {value}
"""
PE = 9


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def program(imports: str, value: str) -> str:
    return HEAD.format(imports=imports, value=value)


def result(chip: Chip, name: str | Path, pe: int = PE) -> int:
    """What the program computes after it was loaded in place of the one before."""
    chip.load(name, pe, replace=True)
    chip.run(1)
    return int(chip.read(pe, "x")[0])


def edit(path: Path, old: str, new: str) -> None:
    """An edit of the same size, within the same second as the one before, while Python's bytecode of the old text, made
    in that second, lies there."""
    assert len(old) == len(new)
    text = path.read_text()
    status = path.stat()
    py_compile.compile(str(path), doraise=True)
    assert Path(importlib.util.cache_from_source(str(path))).exists()
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# where the helper lies, what the program imports, and how it calls it
PLACES = {
    "beside": ("helper.py", "import helper", "helper.value()"),
    "beside, by name": ("helper.py", "from helper import value", "value()"),
    "beside, its constant": ("helper.py", "import helper", "helper.VALUE"),
    "in a package": ("pack/helper.py", "from pack import helper", "helper.value()"),
    "in a package, by name": ("pack/helper.py", "from pack.helper import value", "value()"),
    "in a package, by its whole name": ("pack/helper.py", "import pack.helper", "pack.helper.value()"),
    "in a package, its constant by its whole name": ("pack/helper.py", "import pack.helper", "pack.helper.VALUE"),
    "in a package, under another name": ("pack/helper.py", "import pack.helper as h", "h.value()"),
    "in a sub-package": ("pack/sub/helper.py", "from pack.sub.helper import value", "value()"),
    "in a sub-package, by its whole name": ("pack/sub/helper.py", "import pack.sub.helper", "pack.sub.helper.value()"),
}


@pytest.mark.parametrize("named", ["by its path", "by its name"])
@pytest.mark.parametrize(("where", "imports", "call"), PLACES.values(), ids=PLACES)
def test_an_edited_helper_is_loaded_anew(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, imports: str, call: str, named: str
) -> None:
    helper = write(tmp_path / where, HELPER.format(value=1111))
    for folder in helper.relative_to(tmp_path).parents:
        if str(folder) != ".":
            write(tmp_path / folder / "__init__.py", "")
    path = write(tmp_path / "reloaded.py", program(imports, call))
    monkeypatch.chdir(tmp_path)
    name: str | Path = path if named == "by its path" else "reloaded"
    assert result(chip, name) == 1111
    edit(helper, "1111", "2222")
    assert result(chip, name) == 2222


def test_a_namespace_package_needs_no_init(chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "space" / "helper.py", HELPER.format(value=7))
    write(tmp_path / "space" / "prog.py", program("from space import helper", "helper.value()"))
    monkeypatch.chdir(tmp_path)
    assert result(chip, "space.prog") == 7
    edit(tmp_path / "space" / "helper.py", "7", "8")
    assert result(chip, "space.prog") == 8


def test_relative_imports_of_a_package(chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "own" / "__init__.py", "LIMIT = 1")
    write(tmp_path / "own" / "helper.py", HELPER.format(value=7))
    write(tmp_path / "own" / "prog.py", program("from . import helper, LIMIT", "helper.value() + LIMIT"))
    monkeypatch.chdir(tmp_path)
    assert result(chip, "own.prog") == 8
    edit(tmp_path / "own" / "__init__.py", "1", "2")
    assert result(chip, "own.prog") == 9


def test_an_edited_program_is_loaded_anew(chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "reloaded.py", program("", "1111"))
    monkeypatch.chdir(tmp_path)
    for name, new in ((path, "2222"), ("reloaded", "3333"), (path, "4444")):
        assert result(chip, name) == int(path.read_text().split("x[0] = ")[1][:4])
        edit(path, path.read_text().split("x[0] = ")[1][:4], new)
        assert result(chip, name) == int(new)


def test_programs_with_helpers_of_the_same_name_in_different_folders(chip: Chip, tmp_path: Path) -> None:
    paths = []
    for value in (1, 2, 3):
        write(tmp_path / str(value) / "helper.py", HELPER.format(value=value))
        paths.append(write(tmp_path / str(value) / "same.py", program("import helper", "helper.value()")))
    chip.deploy([PeProgram(pe, path) for pe, path in enumerate(paths, 5)], [])
    chip.run(1)
    assert [int(chip.read(pe, "x")[0]) for pe in (5, 6, 7)] == [1, 2, 3]


def test_the_folder_of_the_program_comes_before_that_of_the_user(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that where the chip was booted is not looked at."""
    write(chip.directory.parent / "helper.py", HELPER.format(value=3))
    try:
        write(tmp_path / "here" / "helper.py", HELPER.format(value=1))
        path = write(tmp_path / "there" / "prog.py", program("import helper", "helper.value()"))
        monkeypatch.chdir(tmp_path / "here")
        assert result(chip, path) == 1
        write(tmp_path / "there" / "helper.py", HELPER.format(value=2))
        assert result(chip, path) == 2
    finally:
        (chip.directory.parent / "helper.py").unlink()


# --- names of Python's own -------------------------------------------------------------------------------------------

OWN = ("random", "signal", "numbers", "select", "struct", "types", "json", "numpy", "zmq", "msgpack", "pydantic")


@pytest.mark.parametrize("name", OWN)
def test_a_program_may_be_called_as_a_module_of_python(chip: Chip, tmp_path: Path, name: str) -> None:
    assert result(chip, write(tmp_path / f"{name}.py", program("", "5"))) == 5


@pytest.mark.parametrize("name", OWN)
def test_a_helper_that_is_called_as_a_module_of_python_is_said_to_be_hidden(
    chip: Chip, tmp_path: Path, name: str
) -> None:
    write(tmp_path / f"{name}.py", HELPER.format(value=5))
    path = write(tmp_path / "prog.py", program(f"from {name} import value", "value()"))
    with pytest.raises(ProgramError, match=rf"prog\.py cannot be loaded: ImportError: .*{name}") as caught:
        chip.load(path, PE)
    assert str(tmp_path / f"{name}.py") in str(caught.value) and "another name" in str(caught.value)


@pytest.mark.parametrize("name", ["random", "json"])
def test_a_module_of_python_is_no_program(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(tmp_path / f"{name}.py", program("", "5"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProgramError, match=rf"{name} has no variable `program`.*/{name}\.py is not found") as caught:
        chip.load(name, PE)
    assert caught.value.program == name


def test_files_named_as_modules_of_python_disturb_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]
) -> None:
    """Where a chip is booted, and where programs are loaded from."""
    for name in OWN:
        write(tmp_path / f"{name}.py", "raise RuntimeError('the wrong module')")
    path = write(tmp_path / "prog.py", program("import random, json, select", "6"))
    monkeypatch.chdir(tmp_path)
    with Chip.boot() as chip:
        assert result(chip, path) == 6
        assert result(chip, "prog") == 6
        chip.load(programs["counter"], 5)
        chip.run(2)
    assert "wrong" not in sys.modules


def test_files_are_found_from_the_folder_of_whoever_loads(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "value.txt", "17")
    path = write(tmp_path / "deeper" / "prog.py", program("VALUE = int(open('value.txt').read())", "VALUE"))
    monkeypatch.chdir(tmp_path)
    assert result(chip, path) == 17
    write(tmp_path / "value.txt", "18")
    assert result(chip, path) == 18


FAILS = """
def tick(pe, ram, rx, t):
    {statement}
    return 0

program = Program(tick=tick, regions=lambda p, available: [Region("x", np.int64, ({size},))])
"""


def test_the_error_is_that_of_the_first_program_whichever_shows_first(chip: Chip, tmp_path: Path) -> None:
    slow = write_program(tmp_path, "slow", FAILS.format(statement="ram.x[0] = str(t).count('1')", size=4))
    ends = write_program(tmp_path, "ends", "import os; os._exit(3)\n")
    large = write_program(tmp_path, "large", FAILS.format(statement="pass", size=20_000))
    for first, others in ((slow, (large, ends)), (ends, (large, slow)), (large, (slow, ends))):
        programs = [PeProgram(6, first), *(PeProgram(7 + i, other) for i, other in enumerate(others))]
        with pytest.raises(SramOverflow if first is large else ProgramError) as caught:
            chip.deploy(programs, [])
        assert caught.value.pe == 6


def test_what_is_installed_within_a_users_folder_is_imported_as_python_does_it(tmp_path: Path) -> None:
    """An environment often lies in the project's folder: numba's modules need not be compiled anew at each load."""
    finder = program_files._UserFinder([str(tmp_path)])
    for folder, fresh in (("mine", True), (".venv/lib/site-packages/theirs", False)):
        package = tmp_path / folder
        package.mkdir(parents=True)
        (package / "part.py").write_text("")
        assert (finder.find_spec("package.part", [str(package)]) is not None) == fresh
