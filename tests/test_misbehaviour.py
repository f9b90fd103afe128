"""Programs that misbehave when they are imported or declared: said in a line, the chip goes on, nothing is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import HEAD, write_program

from spinn2emu.chip import workshop
from spinn2emu.chip.workshop import Order, make_all
from spinn2emu.errors import PeDied, ProgramError, SramOverflow
from spinn2emu.jit import Array, native
from spinn2host.chip import Chip

BODY = """
def regions(p, available):
    return [Region("x", np.int64, (4,))]

def tick(pe, ram, rx, t):
    ram.x[0] = 42
    return 0

program = Program(tick=tick, regions=regions)
"""
REGIONS = 'return [Region("x", np.int64, (4,))]'


def declared(text: str) -> str:
    return BODY.replace(REGIONS, text)


def ticking(text: str, before: str) -> str:
    return before + BODY.replace("ram.x[0] = 42", text)


REFUSED = {
    "ends its process": ("import os; os._exit(0)", "ends its process when it is loaded: exited with code 0"),
    "kills itself": ("import os; os.kill(os.getpid(), 11)", "ends its process .*: killed by SIGSEGV"),
    "exits": ("import sys; sys.exit('bye')", "cannot be loaded: SystemExit: bye"),
    "is interrupted": ("raise KeyboardInterrupt", "cannot be loaded: KeyboardInterrupt"),
    "recurses": ("def f(): f()\nf()", "cannot be loaded: RecursionError"),
    "takes too much memory": ("x = bytes(1 << 46)", "cannot be loaded: MemoryError"),
    "closes everything": ("import os; os.closerange(0, 1000)", "ends its process when it is loaded"),
    "breaks Python": ("import builtins; builtins.len = None", "ends its process when it is loaded"),
    "leaves a process and ends": (
        "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(3)", "ends its .*: exited with code 3",
    ),
    "is no text": ("x = '\0'", "cannot be loaded: .* null bytes"),
    "has regions that raise": (declared("raise ValueError('no')"), r"ValueError: no \(line \d+ of .*case\.py"),
    "has regions that exit": (declared("raise SystemExit(3)"), "cannot be loaded: SystemExit: 3"),
    "has regions that recurse": (declared("return regions(p, available)"), "declaration fails: RecursionError"),
    "has no regions": (declared("return None"), "`regions` must be a function .* returns a list of .*, not None"),
    "has regions that are none": (declared("return [5]"), r"returns a list of .*, not \[5\]"),
    "has regions that are no function": (BODY.replace("=regions", "=[]"), "`regions` must be a function"),
    "has phases that raise": (BODY.replace("=regions", "=regions, phases=lambda p: 1 / 0"), "fails: ZeroDivisionError"),
    "has no tick": (BODY.replace("=tick", "=None"), "tick must be a Python function, not None"),
    "has a tick that is no function": (BODY.replace("=tick", "=print"), "tick must be a Python function"),
    "has kernels that call each other": (
        ticking("ram.x[0] = even(np.int64(4))", """
@kernel
def even(n):
    if n == 0:
        return np.int64(1)
    return odd(n - 1)

@kernel
def odd(n):
    if n == 0:
        return np.int64(0)
    return even(n - 1)
"""), r"kernels cannot call each other in a circle \(even, odd\)",
    ),
}  # fmt: skip
LOADED = {
    "prints": "print('hello' * 10_000)\n" + BODY,
    "complains at length": "import sys; sys.stderr.write('x' * 5_000_000)\n" + BODY,
    "leaves a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n" + BODY,
    "leaves a process": "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n" + BODY,
    "leaves a command": "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n" + BODY,
    "leaves a daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
""" + BODY,
    "goes on twice": "import os\nos.fork()\n" + BODY,
    "ignores signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + BODY,
    "goes elsewhere": "import os; os.chdir('/')\n" + BODY,
    "makes numpy strict": "np.seterr(all='raise')\n" + BODY,
    "has a kernel that calls itself": ticking(
        "ram.x[0] = fall(np.int64(42))",
        "@kernel\ndef fall(n):\n    if n <= 0:\n        return np.int64(0)\n    return 1 + fall(n - 1)\n",
    ),
    "has kernels in closures": ticking("ram.x[0] = step(3)", """
def make(k, f):
    @kernel
    def step(x):
        return f(x) + k
    return step

@kernel
def twice(x):
    return 2 * x

step = make(36, twice)
"""),
    "has a tick in a closure": (
        "def make(k):\n    def tick(pe, ram, rx, t):\n        ram.x[0] = k\n        return 0\n    return tick\n"
        + BODY.replace("tick=tick", "tick=make(42)")
    ),
    "has defaults": ticking("ram.x[0] = step(3)", "@kernel\ndef step(x, y=39):\n    return x + y\n"),
    "is in Latin-1": BODY,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("base"), "base", BODY)


def descendants(pid: int) -> set[int]:
    found, new = set[int](), {pid}
    while new:
        lists = [list_of.read_text() for one in new for list_of in Path(f"/proc/{one}/task").glob("*/children")]
        new = {int(child) for pids in lists for child in pids.split()}
        found |= new
    return found


def commands_left(folder: Path) -> list[str]:
    """Processes whose current folder is this one: they were started by a program from it."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")) == folder and int(process.name) != os.getpid():
                left.append((process / "cmdline").read_text())
        except OSError:
            continue
    return left


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_and_nothing_is_left(
    chip: Chip, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    chip.load(base, 5)
    path = write_program(tmp_path, "case", text)
    with pytest.raises(ProgramError, match=problem) as caught:
        chip.load(path, 9)
    assert caught.value.pe == 9 and caught.value.program == path and "Traceback" not in str(caught.value)
    pids = set(chip.info()["pids"].values())
    assert descendants(chip.pid) == pids and commands_left(tmp_path) == []
    chip.run(2)
    assert chip.read(5, "x")[0] == 42 and chip.info()["programs"] == {"5": base}


@pytest.mark.parametrize("what", LOADED)
def test_it_is_loaded_and_nothing_is_left(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "case.py"
    if what == "is in Latin-1":
        path.write_bytes("# -*- coding: latin-1 -*-\n# größe\n".encode("latin-1") + (HEAD + LOADED[what]).encode())
    else:
        path.write_text(HEAD + LOADED[what])
    chip.load(path, 9)
    assert descendants(chip.pid) == set(chip.info()["pids"].values()) and commands_left(tmp_path) == []
    chip.run(1)
    assert chip.read(9, "x")[0] == 42


def test_more_initial_data_than_a_pe_holds_are_refused(chip: Chip, tmp_path: Path) -> None:
    case = declared('return [Region("x", np.int64, (25_000_000,), "", np.ones(25_000_000, np.int64))]')
    with pytest.raises(SramOverflow, match="needs 200"):
        chip.load(write_program(tmp_path, "case", case), 9)


def test_a_recursion_without_end_ends_its_pe(chip: Chip, tmp_path: Path) -> None:
    endless = "@kernel\ndef deep(n):\n    if n < 0:\n        return np.int64(1)\n    return n + deep(n + 1)\n"
    chip.load(write_program(tmp_path, "case", ticking("ram.x[0] = deep(np.int64(0))", endless)), 9)
    with pytest.raises(PeDied, match="or a recursion without end"):
        chip.run(1)


def test_a_program_that_blocks_is_ended_after_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "DEADLINE_S", 0.5)
    monkeypatch.chdir(tmp_path)
    blocking = ("while True: pass", "import time; time.sleep(1000)", "import os; os.kill(os.getpid(), 19)")
    for number, text in enumerate(blocking):
        path = write_program(tmp_path, f"case{number}", f"{text}\n{BODY}")
        with pytest.raises(ProgramError, match="is not loaded and compiled after 0 s: does it block when it is"):
            make_all([Order(9, path, {})], [], False)
        assert commands_left(tmp_path) == []


def test_programs_share_kernels_by_import(chip: Chip, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(HEAD + "@kernel\ndef step(x):\n    return x + 40\n")
    for pe, value in ((9, 1), (10, 2)):
        text = ticking(f"ram.x[0] = step(np.int64({value}))", "from shared import step\n")
        chip.load(write_program(tmp_path, f"case{pe}", text), pe)
    chip.run(1)
    assert [int(chip.read(pe, "x")[0]) for pe in (9, 10)] == [41, 42]


# --- native functions ------------------------------------------------------------------------------------------------

RECORD = np.dtype([("a", "<i8"), ("b", "<f4")], align=True)


@native(int, RECORD, Array(np.dtype("f4"), 2))
def tried(number, record, values):  # type: ignore[no-untyped-def]
    record.a = number
    values[0, 0] = 1.0
    return 0


WRONG: dict[str, tuple[Any, ...]] = {
    "another dtype": (1, np.zeros((), RECORD), np.zeros((2, 2))),
    "integers of that size": (1, np.zeros((), RECORD), np.zeros((2, 2), np.int32)),
    "another record": (1, np.zeros((), "<i8,<f8"), np.zeros((2, 2), np.float32)),
    "another order": (1, np.zeros((), RECORD), np.zeros((2, 2), np.float32, "F")[:, :]),
    "a part of each row": (1, np.zeros((), RECORD), np.zeros((2, 4), np.float32)[:, ::2]),
    "too few axes": (1, np.zeros((), RECORD), np.zeros(4, np.float32)),
    "too many axes": (1, np.zeros((), RECORD), np.zeros((2, 2, 1), np.float32)),
    "other bytes": (1, np.zeros((), RECORD), np.zeros((2, 2), ">f4")),
    "a list": (1, np.zeros((), RECORD), [[1.0]]),
    "a number for a record": (1, 5, np.zeros((2, 2), np.float32)),
    "a float for a number": (1.5, np.zeros((), RECORD), np.zeros((2, 2), np.float32)),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_native_functions_refuse_what_they_do_not_take(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        tried(*arguments)


def test_native_functions_refuse_other_numbers_of_arguments() -> None:
    for count in (0, 1, 2, 4):
        with pytest.raises((TypeError, ValueError)):
            tried(*[1, np.zeros((), RECORD), np.zeros((2, 2), np.float32), 5][:count])


def test_native_functions_take_what_they_say() -> None:
    record, values = np.zeros((), RECORD), np.zeros((2, 2), np.float32)
    assert tried(7, record, values) == 0 and record["a"] == 7 and values[0, 0] == 1
