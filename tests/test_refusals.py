"""What the system refuses while a chip works: the error has limit and remedy, the chip is as it was."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import alive, request, ring, sram

from spinn2emu.errors import ConfigError, PeDied, ProtocolError, Spinn2Error
from spinn2host import start
from spinn2host.chip import Chip, PeProgram

RING = (5, 77, 152)
TROUBLED = """#!{python}
import errno, os, runpy, sys
from pathlib import Path

trouble, fork = Path({trouble!r}), os.fork


def wanted(name):
    # whether it is the turn of what the test has written down, with how often it is not yet; -1: it is always
    try:
        words = trouble.read_text().split()
    except FileNotFoundError:  # another process may have removed it just now
        return False
    if len(words) != 2 or words[0] != name:
        return False
    left = int(words[1])
    if left == 0:
        trouble.unlink(missing_ok=True)
    elif left > 0:
        trouble.write_text(f"{{name}} {{left - 1}}")
    return left <= 0


def forked():
    if wanted("fork"):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()


os.fork = forked

from spinn2emu.chip import loading, operations
from spinn2emu.pe import process
from spinn2emu.router import process as router

buffers, work, initialise = process.new_buffer, router.build_work, loading.initialise
counters = operations.Operations.counters


def new_buffer(*arguments):
    if wanted("memory"):
        raise MemoryError
    if wanted("killed"):
        os.kill(os.getpid(), 9)
    return buffers(*arguments)


def build_work():
    if wanted("router"):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return work()


def initialised(*arguments):
    if wanted("initialise"):
        raise MemoryError
    return initialise(*arguments)


ERRORS = {{
    "disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"), "no memory": MemoryError(), "fault": KeyError("x"),
    "value": ValueError("odd"), "type": TypeError("odd"),
}}


def counted(self, request):
    for name, error in ERRORS.items():
        if wanted(name.replace(" ", "-")):
            raise error
    return counters(self, request)


process.new_buffer, router.build_work, loading.initialise = new_buffer, build_work, initialised
operations.Operations.counters = counted
sys.argv = sys.argv[3:]
runpy.run_module("spinn2emu.chip.supervisor", run_name="__main__", alter_sys=True)
"""


class Troubled:
    """A chip whose supervisor is refused something when the test wants it. `wish`: what, after how many times."""

    def __init__(self, chip: Chip, file: Path) -> None:
        self.chip, self.file = chip, file

    def wish(self, what: str, after: int = 0) -> None:
        self.file.write_text(f"{what} {after}")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Troubled]:
    folder = tmp_path_factory.mktemp("troubled")
    script, trouble = folder / "python", folder / "trouble"
    script.write_text(TROUBLED.format(python=sys.executable, trouble=str(trouble)))
    script.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start.sys, "executable", str(script))
        chip = Chip.boot()
    with chip:
        yield Troubled(chip, trouble)


@pytest.fixture(autouse=True)
def untroubled(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "troubled" in request.fixturenames:
        request.getfixturevalue("troubled").file.unlink(missing_ok=True)


def state(chip: Chip) -> dict[str, Any]:
    """What a refused load must not change."""
    info = chip.info()
    kept = {name: info[name] for name in ("tick", "idle", "failure", "programs", "trace")}
    counters = chip.counters()
    counts = {name: counters[name].tolist() for name in ("router", "hits", "pes", "quads")}
    return {
        **kept,
        **counts,
        "entries": chip.routes()["entries"],
        "sram": {pe: sram(chip, pe).tobytes() for pe in RING},
    }


def children(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(number) for task in tasks for number in (task / "children").read_text().split()}


REFUSED = {
    "the first process": ("fork", 1, "no process can be started for router"),
    "a later process": ("fork", 3, "no process can be started for pe "),
    "the workshop": ("fork", 0, "no process can be started for workshop"),
    "memory of a PE": ("memory", 0, "the memory is used up: close some programs, or see `ulimit -v`"),
    "memory of a router": ("router", 0, "the router process died: exited with code 1"),
    "memory of the supervisor": ("initialise", 0, "the memory is used up"),
    "a PE that is killed as it begins": ("killed", 0, "killed by SIGKILL"),
}


def paused(chip: Chip, programs: dict[str, str]) -> None:
    """A ring in which a PE sleeps, so that there is a token in flight, counts, and a PE that is not the others' age."""
    chip.deploy(*ring(programs["ring"], RING))
    chip.run(7)
    chip.signal("pause", 77)
    chip.run(3)


def goes_on(chip: Chip, programs: dict[str, str]) -> dict[str, Any]:
    """What the chip looks like some ticks later, when another program has been loaded, which is not refused."""
    chip.signal("resume", 77)
    chip.load(programs["counter"], [9, 10])
    chip.run(20)
    assert int(chip.read(9, "ticks")[0]) == 20
    return state(chip)


@pytest.fixture(scope="module")
def undisturbed(troubled: Troubled, programs: dict[str, str]) -> dict[str, Any]:
    paused(troubled.chip, programs)
    return goes_on(troubled.chip, programs)


@pytest.mark.parametrize(("what", "after", "text"), REFUSED.values(), ids=REFUSED)
def test_a_load_that_is_refused_changes_nothing(
    troubled: Troubled, programs: dict[str, str], undisturbed: dict[str, Any], what: str, after: int, text: str
) -> None:
    chip = troubled.chip
    paused(chip, programs)
    before = state(chip)
    troubled.wish(what, after)
    with pytest.raises(Spinn2Error) as caught:
        chip.load(programs["counter"], [9, 10])
    error = caught.value
    assert text in str(error) and error.exit_code in (1, 5) and "Traceback" not in str(error)
    assert text.endswith("workshop") or str(error).endswith(". The chip is as it was before")
    chip.run(0)  # at once
    assert state(chip) == before
    pids = set(chip.info()["pids"].values())
    assert children(chip.pid) == pids and all(alive(pid) for pid in pids)
    assert goes_on(chip, programs) == undisturbed


def test_a_signal_that_is_refused_changes_nothing(troubled: Troubled, programs: dict[str, str]) -> None:
    chip = troubled.chip
    paused(chip, programs)
    before = state(chip)
    for signal, pes in (("resume", [77]), ("stop", [5]), ("reset", [5])):
        troubled.wish("fork", 1)
        with pytest.raises(Spinn2Error, match=r"no process can be started .* The chip is as it was before"):
            chip.signal(signal, pes)  # type: ignore[arg-type]
        assert state(chip) == before


@pytest.mark.parametrize("how", ["deploy", "reset"])
def test_a_beginning_that_is_refused_leaves_an_empty_chip(
    troubled: Troubled, programs: dict[str, str], how: str
) -> None:
    chip = troubled.chip
    paused(chip, programs)
    troubled.wish("fork", 3)
    with pytest.raises(Spinn2Error, match=r"no process can be started .* The chip has no programs now"):
        chip.deploy(*ring(programs["ring"], RING)) if how == "deploy" else chip.signal("reset")
    info = chip.info()
    assert (info["programs"], info["pids"], info["failure"], info["tick"], info["idle"]) == ({}, {}, None, 0, True)
    assert children(chip.pid) == set() and not sram(chip, 5).any()
    chip.deploy(*ring(programs["ring"], RING))
    chip.run(5)


def test_what_can_neither_begin_nor_go_on_has_failed_and_heals(troubled: Troubled, programs: dict[str, str]) -> None:
    chip = troubled.chip
    paused(chip, programs)
    troubled.wish("router", -1)
    with pytest.raises(PeDied, match=r"the router process died.* Nor could the processes that were there before be"):
        chip.load(programs["counter"], 9)
    assert chip.info()["pids"] == {} and children(chip.pid) == set()
    with pytest.raises(Spinn2Error, match="Nor could the processes"):
        chip.run(1)
    troubled.file.unlink()
    chip.signal("reset")
    chip.run(7)
    assert [int(chip.read(pe, "n")[0]) for pe in RING] == [2, 2, 2]


def test_limits_are_named_before_anything_is_done(programs: dict[str, str]) -> None:
    with Chip.boot() as chip:
        paused(chip, programs)
        before = state(chip)
        resource.prlimit(chip.pid, resource.RLIMIT_NOFILE, (60, 60))
        with pytest.raises(Spinn2Error, match=r"5 PEs need 71 file .*, 60 are allowed.*ulimit -n 71") as caught:
            chip.load(programs["counter"], [9, 10, 11])
        assert (caught.value.needed, caught.value.limit) == (71, 60)
        assert state(chip) == before


# --- operations that fail here, and requests that are malformed ------------------------------------------------------

HERE = {
    "disk": "'counters' failed: /x: No space left on device; free some space",
    "no-memory": "'counters' failed: .*the memory is used up: close some programs",
    "fault": "'counters' failed .*a fault of spinn2emu; please report it: KeyError: 'x'",
    "value": "a fault of spinn2emu; please report it: ValueError: odd",
    "type": "a fault of spinn2emu; please report it: TypeError: odd",
}


@pytest.mark.parametrize(("what", "text"), HERE.items(), ids=HERE)
def test_what_fails_in_the_supervisor_is_not_called_malformed(troubled: Troubled, what: str, text: str) -> None:
    troubled.wish(what)
    with pytest.raises(Spinn2Error, match=text) as caught:
        troubled.chip.counters()
    assert type(caught.value) is Spinn2Error and "malformed" not in str(caught.value)
    troubled.chip.counters()


ITEM = {"pe": 5, "program": "x", "parameters": {}}
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    *((op, {"pe": pe}) for op in ("memory", "log") for pe in (None, "5", 1.5, [5], True, b"5")),
    *((op, {}) for op in ("memory", "log", "read", "write", "run", "signal", "load", "trace_start")),
    ("log", {"pe": 5, "since": "x"}), ("log", {"pe": 5, "since": None}),
    *(("run", {"ticks": ticks}) for ticks in (None, "5", 1.5, [5], True)),
    *(("wait", {"timeout": timeout}) for timeout in (None, "5", [1], float("nan"))), ("wait", {"run": "x"}),
    ("signal", {"signal": 5}), ("signal", {"signal": "reset", "pes": 5}), ("signal", {"signal": "reset", "pes": ["x"]}),
    *(("read", {"ranges": ranges}) for ranges in (
        None, 5, "x", [5], [[]], [[5]], [[5, "sys"]], [[5, "sys", 0, 0]], [["5", "sys", 0]], [[5, None, 0]],
        [[5, "sys", "x"]], [[5, 1.5, 0]], {"a": 1},
    )),
    ("read", {"ranges": [], "torn": "x"}),
    *(("write", {"ranges": [[5, 0, wire]]}) for wire in (
        None, 5, "x", [], ["<i8"], ["<i8", [1]], ["<i8", [1], b"1234567", 1], ["<i8", [1], b"1234567"],
        ["<i8", [2], bytes(8)], ["<i8", ["x"], bytes(8)], ["<i8", 5, bytes(8)], ["<i8", [1], "12345678"],
        ["<i8", [-1], bytes(8)], ["<i8", [1 << 40], b""],
        ["|V0", [1], b""], ["<i8", None, bytes(8)], ["<i8", [1], None],
    )),
    *(("load", {"pes": pes}) for pes in (None, 5, [5], [{}], [{"pe": 5}], [{"pe": "5", "program": "x"}],
                                         [{"pe": 5, "program": 5}], [ITEM | {"parameters": 5}])),
    *(("load", {"pes": [ITEM | change]}) for change in (
        {"inputs": 5}, {"inputs": {"in": 5}}, {"inputs": {"in": [5]}}, {"inputs": {"in": [[5]]}},
        {"inputs": {"in": [[1, 2, 3]]}}, {"inputs": {"in": [["x", 2]]}}, {"outputs": {"out": 5}},
        {"outputs": {"out": [1]}}, {"outputs": {"out": [1, 2, 3]}}, {"outputs": {"out": [None, 2]}}, {"data": 5},
        {"data": {"x": 5}}, {"data": {"x": []}}, {"data": {"x": ["<i8", [1]]}}, {"index": "x"}, {"size": None},
    )),
    *(("load", {"pes": [], "entries": entries}) for entries in (
        5, [5], [[]], [[1]], [[1, 2]], [[1, 2, 5]], [[[1], 2, [5]]], [["x", 2, [5]]], [[1, 2, ["x"]]],
        [[1, 2, [5], [0], [1]]], [[1, 2, [5], 7]],
    )),
    *(("load", {"pes": [], "ports": ports}) for ports in (
        5, {"5": 5}, {"x": {}}, {"5": {"inputs": 5}}, {"5": {"inputs": {"in": [[1]]}}},
        {"5": {"outputs": {"out": [1]}}},
    )),
    ("load", {"pes": [], "path": 5}), ("load", {"pes": [], "path": [5]}), ("load", {"pes": [], "anew": "x"}),
    *(("trace_start", {"options": options}) for options in (None, 5, [], "x")),
    ("nothing", {}), ("serve", {}), ("__init__", {}), (5, {}), (None, {}), ([], {}), ({}, {}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["nothing", 5, None, [["a"]], [["a", "<i8"], 5], "|O"], ids=str)
def test_what_is_no_dtype_is_called_so(chip: Chip, dtype: Any) -> None:
    with pytest.raises(ConfigError, match=r"is no dtype|holds Python objects"):
        request(chip, "write", ranges=[[5, 0, [dtype, [1], bytes(8)]]])


def test_what_is_malformed_is_called_so_and_nothing_else(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    before = sram(chip, 5)
    wrong = []
    for op, content in MALFORMED:
        try:
            request(chip, op, **content)  # type: ignore[arg-type]
            wrong.append((op, content, "was done"))
        except ProtocolError as error:
            if "malformed" not in str(error) and "unknown operation" not in str(error):
                wrong.append((op, content, error))
        except Spinn2Error as error:
            wrong.append((op, content, error))
    assert wrong == [], "\n".join(map(str, wrong))
    assert (sram(chip, 5) == before).all() and chip.info()["programs"] == {"5": programs["counter"]}
