"""Compiled code is found again by its content, kept where that is possible, and never trusted when it is damaged."""

from __future__ import annotations

import errno
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import write_program

from spinn2emu.chip import workshop
from spinn2emu.chip.network import NATIVES
from spinn2emu.chip.workshop import Order
from spinn2emu.jit import Array, native, prepare, store
from spinn2emu.jit.fingerprint import fingerprint
from spinn2emu.jit.store import store_root
from spinn2host import connection
from spinn2host.chip import Chip

# --- what makes a difference -----------------------------------------------------------------------------------------

FILE = '''
import enum
import math
import types
import numpy as np
from spinn2emu.jit import inlined

FACTOR = 3
TABLE = np.array([1.0, 2.0])
KIND = np.dtype([("a", "<i8")])
function = math.sqrt

class Code(enum.IntEnum):
    BAD = 1

deep = types.ModuleType("deep")
deep.inner = types.ModuleType("inner")
deep.inner.LIMIT = 5

@inlined
def last(x):
    return x + 10

@inlined
def first(x):
    return last(x) * 2

@inlined
def other(x):
    return x

one, two = first, other

@inlined
def chosen(x):
    return one(x)

def make(step):
    @inlined
    def stepped(x, by=4):
        """Takes a step."""
        return x + step + by
    return stepped

stepped = make(1)

@inlined
def tested(x):
    """Says something."""
    # a comment
    y = first(x) * FACTOR + stepped(x) + TABLE[0] + deep.inner.LIMIT
    if y == Code.BAD or y in (1, 2):
        return function(y)
    return chosen(x) + two(x)
'''
CHANGES = {
    "a constant": ("FACTOR = 3", "FACTOR = 4"), "its type": ("FACTOR = 3", "FACTOR = 3.0"),
    "an array": ("[1.0, 2.0]", "[1.0, 3.0]"), "its dtype": ("[1.0, 2.0]", "[1.0, 2.0], np.float32"),
    "a helper": ("last(x) * 2", "last(x) * 3"), "a helper's helper": ("x + 10", "x + 11"),
    "what a name stands for": ("one, two = first, other", "one, two = other, other"),
    "which of two known helpers a helper calls": ("    return one(x)", "    return two(x)"),
    "a function of C": ("math.sqrt", "math.exp"), "an enum's value": ("BAD = 1", "BAD = 2"),
    "what a closure holds": ("make(1)", "make(2)"), "a default": ("by=4", "by=5"),
    "a module's constant": ("LIMIT = 5", "LIMIT = 6"), "a number in the code": ("(1, 2)", "(1, 3)"),
    "an operation": ("first(x) * FACTOR", "first(x) + FACTOR"),
}  # fmt: skip
SAME = {
    "a comment": ("a comment", "another comment"), "a docstring": ("Says something", "Says another thing"),
    "a closure's docstring": ("Takes a step", "Makes a step"),
    "a type hint": ("def tested(x):", "def tested(x: int) -> int:"),
    "lines that move": ("FACTOR = 3", "\n\nFACTOR = 3"), "layout": ("last(x) * 2", "(last(x)\n        * 2)"),
    "what is not referred to": ("KIND = np.dtype([(\"a\"", "KIND = np.dtype([(\"b\""),
}  # fmt: skip


def key(text: str) -> str:
    scope: dict[str, Any] = {"__name__": "tested"}
    exec(compile(text, "tested.py", "exec"), scope)
    return fingerprint(scope["tested"], ("extra",))


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_what_compiled_code_depends_on_changes_its_key(old: str, new: str) -> None:
    assert FILE.count(old) == 1
    assert key(FILE.replace(old, new)) != key(FILE)


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_does_not_matter_does_not_change_the_key(old: str, new: str) -> None:
    assert FILE.count(old) == 1
    assert key(FILE.replace(old, new)) == key(FILE)


def test_keys_are_the_same_in_every_process(tmp_path: Path) -> None:
    text = FILE.replace("y in (1, 2)", "y in {1, 2, 'a', 'b', 'c'}")
    path = tmp_path / "tested.py"
    path.write_text(text + "\nfrom spinn2emu.jit.fingerprint import fingerprint\nprint(fingerprint(tested))\n")
    keys = {
        subprocess.check_output([sys.executable, str(path)], env=os.environ | {"PYTHONHASHSEED": str(seed)})
        for seed in range(1, 4)
    }
    assert len(keys) == 1


def test_options_and_what_else_matters_change_the_key() -> None:
    def function(x):  # type: ignore[no-untyped-def]
        return x

    keys = {
        native(*parameters, returns=returns, allocates=allocates)(function).key
        for parameters in ((int,), (Array(np.dtype("f8")),), (Array(np.dtype("f4")),), (Array(np.dtype("f4"), 2),))
        for returns in (True, False) for allocates in (True, False)
    }  # fmt: skip
    assert len(keys) == 16


# --- the folder ------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store."""
    monkeypatch.setenv("SPINN2EMU_CACHE", str(tmp_path / "store"))
    return tmp_path / "store"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])  # within the digest


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("damage", [cut, emptied, flipped, shortened, longer, Path.unlink])
def test_what_is_damaged_counts_as_missing_and_is_replaced(root: Path, damage: Callable[[Path], Any]) -> None:
    store.write("key", b"content")
    assert store.read("key") == b"content"
    damage(root / "key")
    assert store.read("key") is None
    store.write("key", b"content")
    assert store.read("key") == b"content"


def test_a_folder_in_place_of_a_file_counts_as_missing(root: Path) -> None:
    (root / "key").mkdir(parents=True)
    assert store.read("key") is None
    store.write("key", b"content")  # to no avail
    assert store.read("key") is None and [path.name for path in root.iterdir()] == ["key"]


def test_empty_content_is_content(root: Path) -> None:
    store.write("key", b"")
    assert store.read("key") == b""


def file_in_place(root: Path, _: pytest.MonkeyPatch) -> None:
    root.write_text("a file")


def no_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPINN2EMU_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)


def fails(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def read_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(Path, "write_bytes", fails(errno.EROFS))  # as root, a mode does not help


def disk_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(Path, "write_bytes", fails(errno.ENOSPC))


UNKEPT = {
    "a file in place": (file_in_place, "Not a directory|File exists"), "no home": (no_home, "there is no home folder"),
    "read-only": (read_only, "Read-only file system"), "disk full": (disk_full, "No space left on device; free some"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "why"), UNKEPT.values(), ids=UNKEPT)
def test_what_cannot_be_kept_is_used_and_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, pytest.MonkeyPatch], None], why: str
) -> None:
    make(root, monkeypatch)
    said = store.why_not_kept() or ""
    assert re.search(why, said) and "SPINN2EMU_CACHE" in said
    with store.alone("key"):
        store.write("key", b"content")
    assert store.read("key") is None
    assert not root.is_dir() or [path.name for path in root.iterdir() if path.name != ".key.lock"] == []


def test_a_store_that_can_be_written_says_nothing_and_is_left_clean(root: Path) -> None:
    assert store.why_not_kept() is None
    assert list(root.iterdir()) == []


def test_a_relative_folder_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the chip's supervisor, or of the process that compiles."""
    write_program(tmp_path, "prog", PROGRAM)
    (tmp_path / "kept").mkdir()
    monkeypatch.chdir(tmp_path)
    prepare(NATIVES)
    for each in NATIVES:
        shutil.copy(store_root() / each.key, "kept")  # type: ignore[operator]
    monkeypatch.setenv("SPINN2EMU_CACHE", "kept")
    said: list[str] = []
    monkeypatch.setattr(connection, "tell", said.append)
    with Chip.boot() as chip:
        chip.load("prog.py", 5)
    assert said == [f"compiling {tmp_path / 'prog.py'}"]
    assert len(list((tmp_path / "kept").glob("tick-*"))) == 1


PROGRAM = """
def regions(p, available):
    return [Region("x", np.int64, (1,))]

def tick(pe, ram, rx, t):
    ram.x[0] = 123
    return 0

program = Program(tick=tick, regions=regions)
"""

TOGETHER = """
import sys
from spinn2emu.chip.workshop import Order, make_all
made = make_all([Order(5, sys.argv[1], {})], [], False, lambda text: print(text, flush=True))
assert made[0].tick_address
"""


def test_processes_that_start_together_compile_once(root: Path, tmp_path: Path) -> None:
    path = write_program(tmp_path, "prog", PROGRAM)
    both = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, path], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said.splitlines() == [f"compiling {path}"]
    assert len([file for file in root.iterdir() if not file.name.startswith(".")]) == 1


@pytest.mark.parametrize("unkept", [False, True], ids=["damaged", "disk full"])
def test_a_program_is_loaded_whatever_the_store_is_like(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unkept: bool
) -> None:
    path = write_program(tmp_path, "prog", PROGRAM)
    said: list[str] = []
    orders = [Order(pe, path, {}) for pe in (5, 6)]
    if unkept:
        disk_full(root, monkeypatch)
    workshop.make_all(orders, [], False, said.append)
    assert said[0] == f"compiling {path}" and len(said) == 1 + unkept
    if not unkept:
        (entry,) = (file for file in root.iterdir() if file.name.startswith("tick-"))
        kept = entry.read_bytes()
        flipped(entry)
        workshop.make_all(orders, [], False, said.append)
        assert said == [f"compiling {path}"] * 2 and entry.read_bytes() == kept
