"""Where chips live, and who is told apart from whom: links, other users, foreign processes, paths in bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import alive, wait_until

from spinn2emu import hostlink, pidfd
from spinn2emu.errors import ConfigError, DeadlineExceeded, NoSuchChip, PeDied
from spinn2host.chip import Chip, discover
from spinn2host.cli.main import run
from spinn2host.connection import listener
from spinn2host.directories import base_directory, holds_lock, is_alive, new_directory, running
from spinn2host.turns import Turns


@pytest.fixture
def base(runtime: Path) -> Path:
    return base_directory()


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with chips."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


# --- halt ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [False, True], ids=["answers", "stopped"])
def test_halt_ends_the_supervisor_and_nobody_else(
    runtime: Path, foreign: subprocess.Popen[bytes], stopped: bool
) -> None:
    with Chip.boot(name="mine", pes=1, resident=True) as chip:
        pid = chip.pid
    (chip.directory / "pid").write_text(str(foreign.pid))
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    assert run(["--chip", "mine", "halt"]) == 0
    wait_until("the supervisor has ended", lambda: not alive(pid), 20)
    assert foreign.poll() is None
    assert not chip.directory.exists() and running(base_directory()) == []


def test_a_listener_is_the_supervisor_only_if_it_has_the_lock_too(
    runtime: Path, foreign: subprocess.Popen[bytes]
) -> None:
    with Chip.boot(pes=1) as chip:
        assert listener(chip.directory / hostlink.SOCKET_NAME) == chip.pid
        assert holds_lock(chip.pid, chip.directory) and holds_lock(os.getpid(), chip.directory)
        assert not holds_lock(foreign.pid, chip.directory)
        pids = chip.info()["pids"].values()
        assert not any(holds_lock(pid, chip.directory) for pid in pids)
        where = chip.directory
    assert listener(where / hostlink.SOCKET_NAME) is None


def test_a_new_chip_of_the_same_name_survives_the_end_of_the_old_ones_halt(runtime: Path) -> None:
    """Its directory has the same path: who halts the old one may come to remove it only now."""
    old = Chip.boot(name="twice", pes=1, resident=True)
    with Chip.attach("twice") as other:
        other.halt()
    new = Chip.boot(name="twice", pes=1, resident=True)
    from spinn2host.directories import remove

    remove(old.directory)
    assert new.info()["idle"] and new.directory.exists()
    new.halt()
    old.close()


def test_a_supervisor_that_was_killed_is_missed_at_once_by_everybody(runtime: Path) -> None:
    chip = Chip.boot(name="victim", pes=1)
    with Chip.attach("victim") as other:  # the lock is still held: by this process
        os.kill(chip.pid, signal.SIGKILL)
        with pytest.raises(PeDied, match="chip victim: its supervisor died during 'info'"):
            other.info()
        with pytest.raises(PeDied, match="killed by SIGKILL") as caught:
            chip.info()
    assert caught.value.cause == "killed by SIGKILL"
    chip.halt()


def test_a_supervisor_that_is_stopped_is_named_as_stopped(runtime: Path) -> None:
    with Chip.boot(pes=1) as chip, Chip.attach(chip.name) as other:
        pid = chip.pid
        os.kill(pid, signal.SIGSTOP)
        for handle in (chip, other):
            with pytest.raises(DeadlineExceeded, match=rf"process {pid}, is stopped .*kill -CONT {pid}"):
                handle.info()
        assert [found["info"] for found in discover()] == [None]
        os.kill(pid, signal.SIGCONT)
        assert other.info()["pid"] == pid


def test_a_handle_of_a_halted_chip_says_so(runtime: Path) -> None:
    chip = Chip.boot(pes=1)
    chip.halt()
    chip.halt()
    for use in (chip.info, lambda: chip.run(1), lambda: chip.read("1.1.0", "x"), lambda: chip.load("p.py", ["1.1.0"])):
        with pytest.raises(NoSuchChip, match="has been closed, or its chip halted"):
            use()


def test_pidfds_work_without_the_functions_of_python(
    monkeypatch: pytest.MonkeyPatch, foreign: subprocess.Popen[bytes]
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.delattr(signal, "pidfd_send_signal", raising=False)
    number = pidfd.open_process(foreign.pid)
    pidfd.send_signal(number, signal.SIGTERM)
    assert foreign.wait(20) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        pidfd.send_signal(number, signal.SIGTERM)
    os.close(number)


# --- directories -----------------------------------------------------------------------------------------------------


def chip_like(folder: Path) -> Path:
    """A folder that looks like a dead chip's, with something in it."""
    (folder / "chip-x").mkdir(parents=True, mode=0o700)
    for name in ("lock", "precious"):
        (folder / "chip-x" / name).write_text("")
    return folder / "chip-x"


def test_a_link_in_place_of_the_base_directory_is_refused(runtime: Path, tmp_path: Path) -> None:
    precious = chip_like(tmp_path / "home")
    os.chmod(tmp_path / "home", 0o700)
    (runtime / f"spinn2emu-{os.getuid()}").symlink_to(tmp_path / "home")
    with pytest.raises(ConfigError, match="no link"):
        discover()
    assert run(["discover"]) == run(["boot"]) == 2
    assert sorted(path.name for path in precious.iterdir()) == ["lock", "precious"]
    (runtime / f"spinn2emu-{os.getuid()}").unlink()


def test_links_and_strangers_among_the_chips_are_left_alone(base: Path, tmp_path: Path) -> None:
    precious = chip_like(tmp_path / "home")
    (base / "chip-link").symlink_to(precious)
    open_to_all = chip_like(base)
    os.chmod(open_to_all, 0o755)
    (base / "chip-inner").mkdir(mode=0o700)
    (base / "chip-inner" / "folder").mkdir()
    (base / "chip-lock").mkdir(mode=0o700)
    (base / "chip-lock" / "lock").symlink_to(precious / "precious")
    (base / "chip-dead").mkdir(mode=0o700)
    assert discover() == []
    assert sorted(path.name for path in precious.iterdir()) == ["lock", "precious"]
    assert sorted(path.name for path in open_to_all.iterdir()) == ["lock", "precious"]
    assert sorted(path.name for path in base.glob("chip-*")) == ["chip-inner", "chip-link", "chip-x"]
    for name in ("link", "x"):
        with pytest.raises(NoSuchChip):
            Chip.attach(name)
        with pytest.raises(ConfigError, match="choose another name"):
            Chip.boot(name=name)
    (base / "chip-inner" / "folder").rmdir()
    (base / "chip-link").unlink()
    os.chmod(open_to_all, 0o700)
    assert discover() == [] and list(base.glob("chip-*")) == []


def test_a_planted_lock_is_not_followed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("text")
    (base / "lock").unlink(missing_ok=True)
    (base / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match="cannot be opened"):
        discover()
    (base / "lock").unlink()
    assert (tmp_path / "precious").read_text() == "text"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_base_directory_for_others_too_is_refused(base: Path, mode: int) -> None:
    os.chmod(base, mode)
    with pytest.raises(ConfigError, match="mode 0700"):
        discover()
    os.chmod(base, 0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directories_are_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = chip_like(base)
    os.chown(chip, 12345, 12345)
    assert discover() == [] and chip.exists()
    os.chown(chip, 0, 0)
    os.chown(base, 12345, 12345)
    with pytest.raises(ConfigError, match="belong to you alone"):
        discover()
    os.chown(base, 0, 0)


def test_modes_and_owners_of_what_a_chip_makes(runtime: Path) -> None:
    with Chip.boot(pes=1) as chip:
        for path in (chip.directory, chip.directory.parent):
            assert path.stat().st_mode & 0o777 == 0o700 and path.stat().st_uid == os.getuid()


@pytest.mark.parametrize("value", ["missing", "file", "relative", "not ours", ""])
def test_without_a_runtime_directory_the_temporary_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "relative").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    path = {"relative": "relative", "": "", "not ours": "/proc"}.get(value, str(tmp_path / value))
    monkeypatch.setenv("XDG_RUNTIME_DIR", path)
    if value == "not ours" and os.getuid() == 0:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.raises(ConfigError, match="belong to you alone"):  # made by root, in the temporary directory
            base_directory()
        assert [p.name for p in (tmp_path / "tmp").iterdir()] == ["spinn2emu-12345"]
        return
    assert base_directory().parent == tmp_path / "tmp"
    assert run(["discover"]) == 0


def test_where_no_directory_can_be_made_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"spinn2emu-{os.getuid()}").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=r"File exists.*set XDG_RUNTIME_DIR"):
        base_directory()


def test_lengths_of_paths_count_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="s2-") as folder:
        long = Path(folder) / ("ö" * 35)  # 35 characters, 70 bytes
        long.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
        with pytest.raises(ConfigError, match=r"would have \d+ bytes, 107 are possible") as caught:
            new_directory("x" * 12, private=False)
        assert caught.value.length > 107 and caught.value.limit == 107
        short = Path(folder) / "größe"
        short.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        with Chip.boot(pes=1) as chip:
            assert is_alive(chip.directory) and chip.info()["idle"]


# --- threads ---------------------------------------------------------------------------------------------------------


def test_turns_come_in_order() -> None:
    turns, order, mine = Turns(), [], threading.Lock()

    def wait(number: int) -> None:
        turn = threading.Lock()
        with turn:
            assert turns.come(turn, 20)
            order.append(number)

    with mine:
        assert turns.come(mine)
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            wait_until("it waits", lambda: len(turns._queue) == number + 2, 20)  # noqa: B023
        impatient = threading.Lock()
        with impatient:
            assert not turns.come(impatient, 0.01)
        assert order == []
    for thread in threads:
        thread.join(20)
    last = threading.Lock()
    with last:
        assert order == [0, 1, 2, 3, 4] and turns.come(last, 0)


def test_a_handle_is_of_use_whenever_ctrl_c_comes(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it takes its turn, or lets the next one have it: little else is done here."""
    monkeypatch.setattr(chip, "_exchange", lambda *_: {})
    monkeypatch.setattr(chip, "_turns", Turns())  # or a failure would go on where the chip is emptied
    before = signal.signal(signal.SIGVTALRM, signal.default_int_handler)
    try:
        for _ in range(100):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_VIRTUAL, 1e-4)
                while True:
                    chip.request("info")
            chip.request("info", 1.0)
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_a_handle_is_not_for_a_forked_child(chip: Chip) -> None:
    """Both would read from one socket; and the child must not halt its parent's chip."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        for use in (chip.info, chip.halt):
            try:
                use()
            except ConfigError as error:
                said.append(error.message)
        os.write(writing, "\n".join(said).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    assert len(lines) == 2 and all(f"belongs to process {os.getpid()}" in line for line in lines)
    assert chip.info()["idle"]


def test_two_threads_share_a_handle(chip: Chip, programs: dict[str, str]) -> None:
    chip.load(programs["counter"], ["1.1.0"])
    problems, ended = [], threading.Event()
    seen: list[int] = []

    def monitor() -> None:
        try:
            while not ended.is_set():
                seen.append(int(chip.read("1.1.0", "ticks")[0]))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=monitor)
    thread.start()
    for _ in range(20):
        chip.run(5000)
    ended.set()
    thread.join(30)
    assert not problems and not thread.is_alive()
    assert seen == sorted(seen) and len(seen) > 1 and chip.read("1.1.0", "ticks")[0] == 100_000


# --- refused at once -------------------------------------------------------------------------------------------------


def test_more_than_a_message_holds_is_refused_at_once(chip: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(
        ConfigError, match=r"the request 'write' has [\d,]+ bytes, a message holds 67,108,864"
    ) as caught:
        chip.write("1.1.0", "plan", np.zeros(9 * 1024 * 1024))
    assert caught.value.limit == hostlink.MAX_MESSAGE_BYTES < caught.value.bytes
    assert chip.info()["idle"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loop": "fast"}, "loop must be 'compiled' or 'python', not 'fast'"),
        ({"pes": -1}, "a chip has 1 to 152 PEs, not -1"),
        ({"pes": 0}, "not 0"),
        ({"pes": 153}, "not 153"),
        ({"pes": [-1, 5]}, r"PEs have ids 1 to 152, not \[-1\]"),
        ({"pes": [153]}, r"not \[153\]"),
        ({"pes": []}, "not none at all"),
        ({"pes": ["9.9.9"]}, r"9\.9\.9"),
        ({"cores": 3}, "cores must be numbers"),
        ({"cores": ["a"]}, "cores must be numbers"),
        ({"cores": "01"}, "cores must be numbers"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_starts(
    runtime: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Chip.boot(**options)  # type: ignore[arg-type]
    assert list(runtime.iterdir()) == []
