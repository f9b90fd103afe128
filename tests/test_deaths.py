"""Whoever dies is named, and nothing is left of a chip, whatever ends it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import CORE, PROGRAMS, alive, ring, wait_until, write_program

from spinn2emu.errors import PeDied
from spinn2host.chip import Chip

PES = (5, 77, 152)
LONG = 1_000_000_000
"""Ticks of a run that nobody lives to see the end of."""


class Interrupted(Exception):
    """What a user does to a run that takes too long."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("programs"), "ring", PROGRAMS["ring"])


def boot(program: str) -> tuple[Chip, dict[str, int]]:
    """A chip with a ring of three PEs, and the ids of all its processes."""
    chip = Chip.boot()
    chip.deploy(*ring(program, PES))
    info = chip.info()
    pids = {**info["pids"], "supervisor": info["pid"]}
    assert set(pids) == {"router", "pe 7.5.0", "pe 1.1.0", "pe 5.3.3", "supervisor"}
    assert all(alive(pid) for pid in pids.values()) and chip.directory.is_dir()
    return chip, pids


def run_until_killed(chip: Chip, pid: int) -> PeDied:
    """Kills a process in the middle of a run; returns the error of the run."""
    killed = False

    def kill(tick: int) -> None:
        nonlocal killed
        if tick > 10 and not killed:
            os.kill(pid, signal.SIGKILL)
            killed = True

    with pytest.raises(PeDied) as caught:
        chip.run(LONG, kill)
    return caught.value


def nothing_left(pids: dict[str, int], directory: Path) -> bool:
    return not any(alive(pid) for pid in pids.values()) and not directory.exists()


def test_a_killed_pe_is_named_at_once(program: str) -> None:
    chip, pids = boot(program)
    with chip:
        error = run_until_killed(chip, pids["pe 1.1.0"])
        assert (error.pe, error.name, error.program) == (77, "pe 1.1.0", program)
        assert error.tick > 10 and "SIGKILL" in error.cause
        for text in ("1.1.0", program, f"tick {error.tick}", "SIGKILL"):
            assert text in str(error)
        with pytest.raises(PeDied, match=r"1\.1\.0"):
            chip.run(1)
    assert nothing_left(pids, chip.directory)


def test_a_pe_that_dies_between_runs_is_named_by_the_next(program: str) -> None:
    chip, pids = boot(program)
    with chip:
        chip.run(20)
        os.kill(pids["pe 5.3.3"], signal.SIGKILL)
        wait_until("the PE is gone", lambda: not alive(pids["pe 5.3.3"]))
        with pytest.raises(PeDied, match=r"5\.3\.3") as caught:
            chip.run(1)
        assert (caught.value.pe, caught.value.tick) == (152, 20)


def test_a_killed_router_is_named_at_once(program: str) -> None:
    chip, pids = boot(program)
    with chip:
        error = run_until_killed(chip, pids["router"])
        assert (error.pe, error.name) == (0, "router")
        assert "router" in str(error) and "SIGKILL" in str(error)
    assert nothing_left(pids, chip.directory)


def test_one_of_several_routers_that_is_killed_is_named(program: str) -> None:
    with Chip.boot([CORE] * 3) as chip:
        chip.deploy(*ring(program, PES))
        error = run_until_killed(chip, chip.info()["pids"]["router 1"])
        assert error.name == "router 1" and "router 1" in str(error)


def test_a_killed_supervisor_takes_everything_with_it(program: str) -> None:
    chip, pids = boot(program)
    with chip:
        error = run_until_killed(chip, pids["supervisor"])
        assert error.name == "supervisor" and "supervisor" in str(error)
        wait_until("PEs and router are gone", lambda: not any(map(alive, pids.values())))
    assert nothing_left(pids, chip.directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_supervisor_leaves_no_process(program: str, number: signal.Signals) -> None:
    chip, pids = boot(program)
    with chip:
        os.kill(pids["supervisor"], number)
        wait_until("all processes are gone", lambda: not any(map(alive, pids.values())))
    assert nothing_left(pids, chip.directory)


# --- the host dies ---------------------------------------------------------------------------------------------------

HOST = """
import json, sys, time
from helpers import ring
from spinn2host.chip import Chip
chip = Chip.boot()
chip.deploy(*ring(sys.argv[1], [5, 77]))
info = chip.info()
print(json.dumps({"pids": {**info["pids"], "supervisor": info["pid"]}, "directory": str(chip.directory)}), flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(100)", f"chip.run({LONG})"], ids=["sleeping", "running"])
def test_a_killed_host_takes_its_chip_with_it(program: str, then: str) -> None:
    script = HOST.replace("{then}", then)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", script, program], stdout=subprocess.PIPE, text=True, env=environment
    ) as host:
        assert host.stdout is not None
        try:
            chip = json.loads(host.stdout.readline())
            pids, directory = chip["pids"], Path(chip["directory"])
            assert len(pids) == 4 and all(alive(pid) for pid in pids.values()) and directory.is_dir()
        finally:
            host.kill()
    wait_until(f"nothing is left of {chip}", lambda: nothing_left(pids, directory))


def is_free(lock: Path) -> bool:
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def test_what_dead_supervisors_leave_is_removed_by_the_next_boot(program: str) -> None:
    script = HOST.replace("{then}", "import os; os.kill(info['pid'], 9); os.kill(os.getpid(), 9)")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    host = subprocess.run(
        [sys.executable, "-c", script, program], stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    chip = json.loads(host.stdout)
    # A process counts as dead when its main thread is; its lock goes with its last thread, a moment later.
    wait_until("all processes are gone", lambda: not any(map(alive, chip["pids"].values())))
    wait_until("the lock is free", lambda: is_free(Path(chip["directory"]) / "lock"))
    with Chip.boot() as other:
        assert nothing_left(chip["pids"], Path(chip["directory"])) and other.directory.is_dir()


# --- halting ---------------------------------------------------------------------------------------------------------


def idle(chip: Chip) -> None:
    """Nothing happens before the chip is halted."""


def ran(chip: Chip) -> None:
    """A run ends before the chip is halted."""
    chip.run(50)


def runs(chip: Chip) -> None:
    """The chip is halted in the middle of a run."""

    def interrupt(tick: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        chip.run(LONG, interrupt)


@pytest.mark.parametrize("before", [idle, ran, runs])
def test_nothing_is_left_after_halt(program: str, before: Callable[[Chip], None]) -> None:
    chip, pids = boot(program)
    before(chip)
    chip.halt()
    assert nothing_left(pids, chip.directory)
    chip.halt()  # once more does nothing


def test_an_exception_in_the_block_halts_the_chip(program: str) -> None:
    chip, pids = boot(program)
    with pytest.raises(Interrupted), chip:
        raise Interrupted
    assert nothing_left(pids, chip.directory)


def test_a_new_load_leaves_nothing_of_the_old_one(program: str) -> None:
    chip, old = boot(program)
    with chip:
        chip.deploy(*ring(program, [9]))
        new = chip.info()["pids"]
        assert set(new) == {"router", "pe 6.6.0"}
        assert not any(alive(pid) for label, pid in old.items() if label != "supervisor")
        assert not set(new.values()) & set(old.values())
        chip.run(5)
        assert chip.read(9, "n").tolist() == [4]
