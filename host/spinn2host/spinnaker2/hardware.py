"""The boards that scripts ask for: all of them are the emulated chip."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from numbers import Real
from pathlib import Path
from typing import Any

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2host.chip import Chip
from spinn2host.connection import whole
from spinn2host.progress_bar import progress_bar
from spinn2host.spinnaker2.layout import Layout, map_network
from spinn2host.spinnaker2.memory import RECEIVER
from spinn2host.spinnaker2.messages import one_line, say, warn
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.results import read_results
from spinn2host.spinnaker2.settings import settings
from spinn2host.spinnaker2.snn import Network

__all__ = ["FPGA_Rev2", "SpiNNaker2Chip", "SpiNNcloud48NodeBoard", "halt"]

refuse_unknown(__name__, {"SpiNNaker2": " (a chip is SpiNNaker2Chip)"})

EMULATED = "emu://"
"""Begins the address of a resident chip: `emu://NAME`. Others, of boards, are not looked up: nothing is sent there."""


class _Board:
    """What all boards are here."""

    remark = ""

    def __init__(self, eth_ip: str | None = None, experiment_backend_type: Any = None) -> None:
        self.eth_ip = eth_ip
        self.experiment_backend = _Backend(experiment_backend_type)

    def run(
        self, net: Network, timesteps: int, sys_tick_in_s: float = 1e-3, debug: bool = False,
        mapping_only: bool = False, reset_board: bool = True, experiment_backend_settings: Any = None,
        record_power: bool = False, live_power: bool = False,
    ) -> None:  # fmt: skip
        """Runs a network for ticks 0 … timesteps - 1, after which its populations have what they recorded.

        debug: the placement and the memory of each population's first PE, on standard error. mapping_only: nothing
        runs. sys_tick_in_s has no effect: results do not depend on time. The others have no meaning without a board.

        Raises ConfigError or SramOverflow for a network that cannot be, PeFailed for what happens at run time.
        """
        check_run(net, timesteps)
        if not isinstance(sys_tick_in_s, Real) or not sys_tick_in_s > 0:
            raise ConfigError(f"sys_tick_in_s is a time above 0, not {sys_tick_in_s!r}", sys_tick_in_s=sys_tick_in_s)
        for what, given in (("record_power", record_power), ("live_power", live_power)):
            if given:
                warn(f"{what}: the emulator does not predict power yet; there is none in the results")
        with _resident(self.eth_ip) as resident:
            layout = self._map(net, int(timesteps), resident)
            for population in net.populations:
                if population.model.program == RECEIVER:
                    warn(f"{population}: nobody feeds a spike_receiver in `run`, so it is silent: see docs/live.md")
            if debug:
                say(f"{len(layout.parts)} PEs for network {net.name!r}:\n{layout}")
            net.reset()
            if mapping_only or not layout.parts:
                return
            chip = resident or _private_chip()
            with _in_turn(chip):
                _execute(chip, layout, int(timesteps), debug)

    def _map(self, net: Network, timesteps: int, chip: Chip | None) -> Layout:
        pes = _in_order(geometry.APPLICATION_IDS if chip is None else chip.info()["pes"])
        try:
            return map_network(net, timesteps, pes)
        except ConfigError as error:
            if self.remark and "populations" in error.fields:
                raise error.extended(self.remark) from None
            raise


class SpiNNaker2Chip(_Board):
    """A chip of 148 PEs for applications.

    eth_ip: `emu://NAME` means a resident chip (`spinn2emu boot --name NAME`), as $SPINN2EMU_CHIP does; any other
    address, or none, means a chip of this process, which ends with it. experiment_backend_type: no effect.
    """


class SpiNNcloud48NodeBoard(_Board):
    """A board of 48 chips, of which one is emulated."""

    remark = ". Boards of several chips are not emulated yet: SpiNNcloud48NodeBoard has the PEs of one chip here"

    def __init__(
        self, stm_ip: str | None = None, eth_ip: str | None = None, experiment_backend_type: Any = None
    ) -> None:
        super().__init__(eth_ip, experiment_backend_type)
        self.stm_ip = stm_ip


class FPGA_Rev2(_Board):
    """The prototype; here a chip as the others."""


class _Backend:
    """Takes the attributes that scripts set on `hw.experiment_backend`; none has a meaning here."""

    def __init__(self, kind: Any) -> None:
        self.experiment_backend_type = kind


def check_run(net: Network, timesteps: int) -> None:
    """Raises ConfigError for what is no network, or no number of ticks."""
    if not isinstance(net, Network):
        raise ConfigError(f"run wants a Network, not {type(net).__name__}")
    whole("timesteps", timesteps)


@contextlib.contextmanager
def deployed(board: _Board, net: Network, timesteps: int) -> Iterator[tuple[Chip, Layout]]:
    """A network, which has been checked, on its chip, with records of so many ticks, for `live` to run. Raises as `run`
    does."""
    if not isinstance(board, _Board):
        raise ConfigError(f"a session runs on a board, such as SpiNNaker2Chip(), not {type(board).__name__}")
    with _resident(board.eth_ip) as resident:
        layout = board._map(net, int(timesteps), resident)
        chip = resident or _private_chip()
        with _in_turn(chip):
            chip.deploy(layout.programs, layout.entries)
            with _traced(chip):
                yield chip, layout


@contextlib.contextmanager
def _in_turn(chip: Chip) -> Iterator[None]:
    """The chip is for this network alone; a private one whose run has failed is not used again."""
    try:
        with _turn(chip):
            yield
    except ConfigError:
        raise
    except BaseException:
        _discard(chip)
        raise


def _execute(chip: Chip, layout: Layout, timesteps: int, debug: bool) -> None:
    chip.deploy(layout.programs, layout.entries)
    if debug:
        for part in layout.parts:
            if part.first == 0:
                whole = chip.memory(part.pe)
                used = replace(whole, symbols=tuple(symbol for symbol in whole.symbols if symbol.nbytes))
                say(f"memory of {one_line(part.population.name)}, PE {geometry.name(part.pe)}:\n{used}")
    with _traced(chip), progress_bar(timesteps) as progress:
        chip.run(timesteps, progress, window=layout.window)
    read_results(chip, layout, timesteps)


_runs = count(1)


@contextlib.contextmanager
def _traced(chip: Chip) -> Iterator[None]:
    """Records the packets of a run, if the script was started so: the second one in FILE-2.pcapng, and so on; what
    other processes of the script run, in FILE-PROCESS-1.pcapng."""
    if not settings.trace:
        yield
        return
    path, number = Path(settings.trace["path"]), next(_runs)
    stem, dot, rest = path.name.partition(".")
    if os.getpid() != settings.process:
        stem += f"-{os.getpid()}-{number}"
    elif number > 1:
        stem += f"-{number}"
    chip.start_trace(**{**settings.trace, "path": path.with_name(stem + dot + rest)})
    try:
        yield
    finally:
        summary = chip.finish_trace()
        say(f"{summary['events']:,} events, {summary['bytes']:,} bytes in {summary['path']}")


_chips: dict[int, Chip] = {}
"""The private chip of this process, by process id: one that is forked needs one of its own."""


@contextlib.contextmanager
def _resident(eth_ip: str | None) -> Iterator[Chip | None]:
    """A handle of the resident chip that is meant, if one is. Raises ConfigError or NoSuchChip."""
    if eth_ip is not None and not isinstance(eth_ip, str):
        raise ConfigError(f"eth_ip is an address, a str, not {eth_ip!r:.80}", eth_ip=repr(eth_ip))
    if eth_ip == EMULATED:
        raise ConfigError(f"eth_ip {EMULATED!r} names no chip: {EMULATED}NAME does", eth_ip=eth_ip)
    name = eth_ip.removeprefix(EMULATED) if eth_ip and eth_ip.startswith(EMULATED) else settings.chip
    if not name:
        yield None
        return
    with Chip.attach(name) as chip:
        yield chip


def _private_chip() -> Chip:
    """This process's own chip, booted when it is first needed: scripts make a new board for every sample."""
    own = os.getpid()
    if own not in _chips:
        _chips[own] = Chip.boot(cores=settings.cores, loop=settings.loop, strict=settings.strict)
        atexit.register(_discard, _chips[own])
    return _chips[own]


class _Lock:
    """A lock that knows the thread that has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.owner: int | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self.owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self.owner = None
        self._lock.release()


_locks: dict[int, _Lock] = {}
LOCK_NAME = "script"
"""Of a file in a chip's directory, which is locked while a network runs there."""


@contextlib.contextmanager
def _turn(chip: Chip) -> Iterator[None]:
    """Networks of several threads, or of several scripts on a resident chip, take turns. Raises ConfigError in a thread
    that has the turn already: it would wait for itself."""
    lock = _locks.setdefault(os.getpid(), _Lock())
    if lock.owner == threading.get_ident():
        raise ConfigError("a live session of this thread is open: its network runs; end its `with` block, or close() "
                          "it, first")  # fmt: skip
    with lock:
        number = os.open(chip.directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"chip {chip.name} runs the network of another script: waiting for it")
                fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)


def halt() -> None:
    """Ends this process's own chip, if it has one; it would end with the process."""
    if os.getpid() in _chips:
        _discard(_chips[os.getpid()])


def _discard(chip: Chip) -> None:
    """Ends the chip if it is this process's own; the next run gets another."""
    if _chips.get(os.getpid()) is chip:
        del _chips[os.getpid()]
        with contextlib.suppress(Spinn2Error):
            chip.halt()


def _in_order(pes: Iterable[int]) -> list[int]:
    """The application PEs among these, from 1.1.0 on: scripts look for results under that name."""
    return sorted((pe for pe in pes if pe in geometry.APPLICATION_IDS), key=geometry.position)
