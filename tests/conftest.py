"""Settings of the whole test run, and the chips that tests share. How to come by a chip:

- `chip`: empty, at tick 0, booted with the default options.
- `chips(strict=True, …)`: the same, with the options of `Chip.boot`; a test may use several. Each set of options boots
  once for all tests: `deploy` replaces what is on a chip. `@pytest.mark.parametrize("options", BOOTS.values(),
  ids=BOOTS)` and `chips(**options)` for what must not depend on the options.
- `board`: the same for networks of py-spinnaker2: what their scripts run on is `chip`.
- `desk`: a resident chip of that name, empty, at tick 0, the only one that commands find.
- `runtime`: an empty place for chips, for tests that boot their own by command or look at what is left behind.
- `Chip.boot()`: only where the boot itself is tested, or a process of the chip gets killed.

After a test its chips are emptied and checked; one that the test has halted or broken is booted anew for the next.
`programs` are the files of `helpers.PROGRAMS`. Change a handle only with `monkeypatch.setattr(chip, …)`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import PROGRAMS, write_program
from hypothesis import settings
from zmq import ZMQError

from spinn2emu.chip import network
from spinn2emu.errors import ProgramError, Spinn2Error
from spinn2emu.jit import prepare
from spinn2emu.jit.store import store_root
from spinn2emu.trace import recorder
from spinn2host import passes
from spinn2host.chip import Chip
from spinn2host.cli.main import run
from spinn2host.directories import base_directory, running
from spinn2host.spinnaker2 import hardware, messages

# Compiled kernels make the first example slow: pytest's timeout is the deadline.
settings.register_profile("spinn2emu", deadline=None, database=None)
settings.load_profile("spinn2emu")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compiles what chips and simulator need, several functions at a time, before any test's timeout begins."""
    if not hasattr(session.config, "workerinput"):  # once, in the process that starts the workers
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in `scripts/test &`: tests interrupt their children
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(ProgramError):  # tests will say so
            prepare([*network.NATIVES, *recorder.NATIVES, passes.train, passes.evaluate])


def pytest_itemcollected(item: pytest.Item) -> None:
    """Processes that share the tests must know them by the same names."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"{item.nodeid}: the name has an address in it: give its parameter an id")


class Chips:
    """Chips in one place (a runtime directory), by the options that they were booted with."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._booted: dict[str, Chip] = {}
        self._used: set[str] = set()

    def __call__(self, **options: Any) -> Chip:
        """A chip booted with these options, empty, at tick 0."""
        key = repr(sorted(options.items()))
        if key not in self._booted:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_RUNTIME_DIR", str(self.place))
                patch.chdir(self.place)
                self._booted[key] = Chip.boot(**options)
        self._used.add(key)
        return self._booted[key]

    def clean(self) -> None:
        """Empties the chips that were used since it was last called; forgets those that have been halted or killed."""
        used, self._used = self._used, set()
        for key in used:
            if not emptied(self._booted[key]):
                self._booted.pop(key).halt()

    def halt(self) -> None:
        """Ends all of them."""
        while self._booted:
            self._booted.popitem()[1].halt()


def emptied(chip: Chip) -> bool:
    """Takes everything off a chip; whether that was possible."""
    try:
        if chip.info()["trace"] is not None:
            chip.stop_trace()
        chip.deploy([], [])
        info = chip.info()
    except (Spinn2Error, ZMQError):
        return False
    left = {name: info[name] for name in ("programs", "failure", "trace", "tick", "idle", "host")}
    nobody = {"waiting": 0, "listener": None}
    return left == {"programs": {}, "failure": None, "trace": None, "tick": 0, "idle": True, "host": nobody}


@pytest.fixture(scope="session", autouse=True)
def place() -> Iterator[Path]:
    """Where this run's private chips live, apart from those of other runs and of the user. None is left there."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="s2-") as folder:
        patch.setenv("SPINN2EMU_CACHE", str(store_root()))  # also for tests with another home
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.delenv("SPINN2EMU_CHIP", raising=False)
        yield Path(folder)
        assert list(Path(folder).glob("*/chip-*")) == []


@pytest.fixture(scope="session")
def shared_chips(place: Path) -> Iterator[Chips]:
    """Not for tests: `chips` empties what they have used."""
    shared = Chips(place)
    yield shared
    shared.halt()


@pytest.fixture
def chips(shared_chips: Chips) -> Iterator[Chips]:
    """See `Chips`."""
    yield shared_chips
    shared_chips.clean()


@pytest.fixture
def chip(chips: Chips) -> Chip:
    """A chip with the default options, empty, at tick 0."""
    return chips()


@pytest.fixture
def board(chips: Chips, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What scripts of py-spinnaker2 run on is a chip that tests share; what is said once is said again."""
    lent: list[Chip] = []
    boot = hardware._private_chip

    def private_chip() -> Chip:
        if not lent:
            lent.append(chips())
            hardware._chips[os.getpid()] = lent[0]
        return boot()

    monkeypatch.setattr(hardware, "_chips", {})
    monkeypatch.setattr(hardware, "_private_chip", private_chip)
    monkeypatch.setattr(messages, "_said", set())
    yield
    if hardware._chips.get(os.getpid()) not in lent:  # after a run that failed
        hardware.halt()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the programs of `helpers.py`, by name."""
    folder = tmp_path_factory.mktemp("programs")
    return {name: write_program(folder, name, text) for name, text in PROGRAMS.items()}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty runtime directory with a short path; chips that the test has left there are halted."""
    with tempfile.TemporaryDirectory(prefix="s2-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)
        assert run(["halt", "--all"]) == 0
        assert list(Path(folder).glob("*/chip-*")) == []


DESK = "desk"


@pytest.fixture(scope="session")
def desk_place() -> Iterator[Path]:
    """Not for tests: the runtime directory of the resident chip that they share."""
    with tempfile.TemporaryDirectory(prefix="s2-") as folder:
        yield Path(folder)
        for directory in Path(folder).glob("*/chip-*"):
            Chip(directory).halt()


@pytest.fixture
def desk(desk_place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a resident chip, empty, at tick 0: the only one that commands find. Others that the test has booted
    beside it are halted."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(desk_place))
    if DESK not in running(base_directory()):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(desk_place)
            Chip.boot(name=DESK, resident=True).close()
    yield DESK
    for name in running(base_directory()):
        with Chip.attach(name) as chip:
            if name != DESK or not emptied(chip):
                chip.halt()
