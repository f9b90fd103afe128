"""The host's handle of a chip: boot, load, run, read, write, counters, halt."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import zmq

from spinn2emu import geometry, link
from spinn2emu.errors import ConfigError, DeadlineExceeded, PeDied
from spinn2emu.sram import MemoryMap, Symbol

REQUEST_DEADLINE_S = 30.0
BOOT_DEADLINE_S = 60.0
HALT_DEADLINE_S = 2.0
LOAD_DEADLINE_S = 600.0
"""Compiling a large program cold takes tens of seconds."""

_MAX_IPC_PATH = 107


@dataclass
class PeProgram:
    """What one PE is to run. `inputs`, `outputs`: port name → (key, mask)."""

    pe: int
    program: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, tuple[int, int]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, int]] = field(default_factory=dict)


class Chip:
    """A private chip: it lives as long as this object, or the process that holds it.

    >>> with Chip.boot() as chip:                                         # doctest: +SKIP
    ...     chip.load([PeProgram(5, "spinn2fw.eventprop.input", {...})], entries=[])
    ...     chip.run(100)
    """

    def __init__(self, directory: Path, process: subprocess.Popen[str], lock: int) -> None:
        self.directory = directory
        self.maps: dict[int, MemoryMap] = {}
        self._process = process
        self._lock = lock
        self._next_id = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(f"ipc://{directory / link.SOCKET_NAME}")

    @classmethod
    def boot(cls, cores: Sequence[int] | None = None, loop: Literal["compiled", "python"] = "compiled") -> Chip:
        """Starts a chip's supervisor.

        cores: the processor cores to share the work, with a router process on each and the PEs that it serves pinned
        there, too. None: the machine's, as many as pay (one for fewer than 16 PEs), without pinning where the system
        forbids it. Empty: one router, nothing is pinned: for few PEs whose kernels take long.

        loop: "python" runs the router's and the PEs' loops, but not the kernels, as plain Python, for debugging: slow.

        Results never depend on either.

        Raises DeadlineExceeded or PeDied if it does not come up; `load` raises ConfigError for cores that cannot be
        used.
        """
        options = {"cores": None if cores is None else list(cores), "loop": loop}
        base = _base_directory()
        directory, lock = _new_directory(base)
        with open(directory / "log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "spinn2emu.chip.supervisor", str(directory), str(os.getpid()),
                 json.dumps(options)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, text=True,
                pass_fds=(lock,),
            )  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            text = _tail(directory)
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)
            raise PeDied(f"the chip's supervisor did not start: {text}", pe=0, name="supervisor", cause="see message")
        return cls(directory, process, lock)

    def __enter__(self) -> Chip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    def info(self) -> dict[str, Any]:
        """pid, tick, idle, programs by PE id, process ids by label."""
        return self._request("info")

    def load(self, pes: Sequence[PeProgram], entries: Iterable[tuple[int, int, Sequence[int]]]) -> None:
        """Replaces all programs and routing entries (key, mask, PE ids) of the chip; time starts at 0.

        Raises ConfigError, SramOverflow, ProgramError before anything starts.
        """
        items = [vars(pe) for pe in pes]
        reply = self._request("load", LOAD_DEADLINE_S, pes=items, entries=[list(entry) for entry in entries])
        maps = [_map_from_wire(wire) for wire in reply["maps"]]
        self.maps = {int(pe): maps[number] for pe, number in reply["map_of"].items()}

    def run(self, ticks: int, progress: Callable[[int], None] | None = None) -> None:
        """Lets the chip's time advance by `ticks` and waits for it; `progress` gets the slowest PE's tick.

        Raises PeDied, PeFailed or ChipStuck.
        """
        self._request("run", ticks=ticks)
        while True:
            reply = self._request("wait", timeout=0.1 if progress else 1.0)
            if progress:
                progress(reply["tick"])
            if reply["idle"]:
                return

    def read(self, pe: int, symbol: str) -> np.ndarray:
        """A copy of a region of PE `pe` (id), or of a `region.field` if the region is a single record."""
        return self.read_many([(pe, symbol)])[0]

    def read_many(self, what: Sequence[tuple[int, str]]) -> list[np.ndarray]:
        """Copies of several regions, in one request."""
        symbols = [self._symbol(pe, name) for pe, name in what]
        ranges = [[pe, s.address, s.nbytes] for (pe, _), s in zip(what, symbols, strict=True)]
        data = self._request("read", ranges=ranges)["data"]
        return [np.frombuffer(d, s.dtype).reshape(s.shape).copy() for d, s in zip(data, symbols, strict=True)]

    def write(self, pe: int, symbol: str, values: Any) -> None:
        """Overwrites the first elements of a region; see `write_many`."""
        self.write_many([(pe, symbol, values)])

    def write_many(self, what: Sequence[tuple[int, str, Any]]) -> None:
        """Overwrites the beginning of several regions, in one request.

        Values are converted to the region's dtype. Raises ConfigError if they are more than the region holds.
        """
        ranges = []
        for pe, name, values in what:
            symbol = self._symbol(pe, name)
            data = np.ascontiguousarray(values, symbol.dtype).tobytes()
            if len(data) > symbol.nbytes:
                raise ConfigError(
                    f"region {name} of PE {geometry.name(pe)} has {symbol.nbytes} bytes, {len(data)} were given",
                    pe=pe, region=name, limit=symbol.nbytes,
                )  # fmt: skip
            ranges.append([pe, symbol.address, data])
        self._request("write", ranges=ranges)

    def counters(self) -> dict[str, Any]:
        """Router registers, hits per routing entry, counts per PE and quad."""
        reply = self._request("counters")
        return {key: np.array(reply[key]) for key in ("router", "hits", "pes", "quads", "frames", "activations")}

    def halt(self) -> None:
        """Stops the chip. Nothing is left of it; calling it again does nothing."""
        if self._socket.closed:
            return
        try:
            self._request("halt", HALT_DEADLINE_S)
        except PeDied:
            pass
        except DeadlineExceeded:
            self._process.kill()  # busy, say compiling; its children die with it
        self._socket.close()
        self._context.term()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)

    def _symbol(self, pe: int, name: str) -> Symbol:
        if pe not in self.maps:
            raise ConfigError(f"no program is loaded on PE {geometry.name(pe)}", pe=pe)
        region, _, field_name = name.partition(".")
        symbol = self.maps[pe][region]
        if not field_name:
            return symbol
        if symbol.dtype.fields is None or field_name not in symbol.dtype.fields or symbol.shape != (1,):
            raise ConfigError(f"{name}: region {region} of PE {geometry.name(pe)} is no record with that field", pe=pe)
        dtype, offset = symbol.dtype.fields[field_name][:2]
        return Symbol(name, symbol.address + offset, dtype, (1,), symbol.unit)

    def _request(self, op: str, deadline: float = REQUEST_DEADLINE_S, **content: Any) -> dict[str, Any]:
        self._next_id += 1
        self._socket.send(link.encode({"id": self._next_id, "op": op, **content}))
        end = time.monotonic() + deadline
        while True:
            if self._socket.poll(200):
                reply = link.decode(self._socket.recv())
                if reply["id"] == self._next_id:
                    return link.unwrap(reply)
            elif self._process.poll() is not None:
                raise PeDied(
                    f"the chip's supervisor died (exit code {self._process.returncode}) during {op!r}. "
                    f"{_tail(self.directory)}", pe=0, name="supervisor", program="", tick=-1, cause="exit",
                )  # fmt: skip
            elif time.monotonic() > end:
                raise DeadlineExceeded(f"the chip did not answer {op!r} within {deadline} s", op=op, deadline=deadline)


def _map_from_wire(wire: Mapping[str, Any]) -> MemoryMap:
    symbols = []
    for name, address, dtype, shape, unit in wire["symbols"]:
        fields = dtype if isinstance(dtype, str) else [tuple(f[:2]) + tuple(map(tuple, f[2:])) for f in dtype]
        symbols.append(Symbol(name, address, np.dtype(fields), tuple(shape), unit))
    return MemoryMap(wire["program"], tuple(symbols))


def _base_directory() -> Path:
    """A directory of mode 0700 that belongs to the user; chips have a directory each in it."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"spinn2emu-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{base} must belong to you alone (mode 0700): chips are private to their user")
    return base


def _new_directory(base: Path) -> tuple[Path, int]:
    """A directory for a chip and its lock, a file descriptor that host and supervisor hold as long as they live."""
    with open(base / "lock", "w") as everybody:
        fcntl.flock(everybody, fcntl.LOCK_EX)
        _reclaim(base)
        directory = Path(tempfile.mkdtemp(prefix="chip-", dir=base))
        if len(f"{directory / link.NETWORK_NAME}999999") > _MAX_IPC_PATH:
            directory.rmdir()
            raise ConfigError(
                f"the path of {base} is too long for a socket ({_MAX_IPC_PATH} bytes): set XDG_RUNTIME_DIR"
            )
        lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return directory, lock


def _reclaim(base: Path) -> None:
    """Removes directories of chips whose processes are gone: nobody holds their lock."""
    for lock in base.glob("chip-*/lock"):
        with contextlib.suppress(OSError):
            number = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(number)


def _tail(directory: Path) -> str:
    try:
        return "".join((directory / "log").read_text().splitlines(keepends=True)[-8:]).strip()
    except OSError:
        return ""
