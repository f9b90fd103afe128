"""Programs of the project's own are made once, until one of their files changes; those of users at every load."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import spinn2fw
from spinn2emu.chip import known, workshop
from spinn2emu.chip.known import Known
from spinn2emu.chip.workshop import Order, make_all

PROGRAM = """
import numpy as np
import pydantic
from spinn2emu.program import Program, Region
from spinn2fw.{helper} import VALUE

class Parameters(pydantic.BaseModel):
    n: int

def tick(pe, ram, rx, t):
    ram.x[0] = t
    return 0

program = Program(tick=tick, parameters=Parameters, regions=lambda p, _: [Region("x", np.int64, (VALUE * p.n,))])
"""
HELPER = "made_for_a_test_helper"
Load = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules in it are the project's own: `spinn2fw.made_for_a_test`."""
    monkeypatch.setattr(spinn2fw, "__path__", [*spinn2fw.__path__, str(tmp_path)])
    monkeypatch.setattr(workshop, "_known", Known())
    monkeypatch.setattr(known, "SETTLED_NS", 0)
    (tmp_path / "made_for_a_test.py").write_text(PROGRAM.format(helper=HELPER))
    (tmp_path / f"{HELPER}.py").write_text("VALUE = 3")
    return tmp_path


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry for each process that is forked."""
    found, fork = [], workshop.processes.fork

    def counted(label: str, *args: object, **kwargs: object) -> object:
        found.append(label)
        return fork(label, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(workshop.processes, "fork", counted)
    return found


def size(n: int = 1, program: str = "spinn2fw.made_for_a_test", strict: bool = False) -> int:
    """Of the program's region."""
    [loaded] = make_all([Order(7, program, {"n": n})], [], strict, lambda _: None)
    return int(loaded.program.memory["x"].shape[0])


def test_the_same_again_needs_no_child(folder: Path, children: list[str]) -> None:
    assert [size(), size(), size()] == [3, 3, 3]
    assert len(children) == 1


def test_other_parameters_or_checks_are_made(folder: Path, children: list[str]) -> None:
    assert [size(1), size(2), size(2), size(1)] == [3, 6, 6, 3]
    assert len(children) == 2
    assert size(1, strict=True) == 3
    assert len(children) == 3


def test_what_is_known_and_what_is_not_come_back_in_order(folder: Path, children: list[str]) -> None:
    size(2)
    orders = [Order(pe, "spinn2fw.made_for_a_test", {"n": n}) for pe, n in ((5, 4), (6, 2), (7, 1))]
    assert [loaded.program.memory["x"].shape for loaded in make_all(orders, [], False)] == [(12,), (6,), (3,)]


@pytest.mark.parametrize("edited", ["made_for_a_test", HELPER])
def test_an_edit_is_noticed_even_if_size_and_time_stay(folder: Path, children: list[str], edited: str) -> None:
    assert [size(), size()] == [3, 3]
    path = folder / f"{edited}.py"
    status = path.stat()
    path.write_text(path.read_text().replace("VALUE = 3", "VALUE = 5").replace("VALUE * p.n", "5   *   p.n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    for file in (folder / "__pycache__").glob("*"):  # Python's own, which takes the edit for the old file
        file.unlink()
    assert size() == 5
    assert len(children) == 2


def test_what_has_just_been_edited_is_not_kept(
    folder: Path, children: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "SETTLED_NS", 3600 * 10**9)
    assert [size(), size()] == [3, 3]
    assert len(children) == 2


def test_a_file_that_is_gone_is_noticed(folder: Path, children: list[str]) -> None:
    size()
    (folder / f"{HELPER}.py").unlink()
    with pytest.raises(workshop.ProgramError, match=HELPER):
        size()


def test_users_programs_are_made_at_every_load(folder: Path, children: list[str]) -> None:
    path = str(folder / "made_for_a_test.py")
    assert [size(program=path), size(program=path)] == [3, 3]
    assert len(children) == 2


def test_only_so_many_are_kept(folder: Path, children: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 2)
    for n in (1, 2, 1, 3, 1, 2):
        size(n)
    assert len(children) == 4  # 1, 2, 3, and 2 again, which was used longest ago
