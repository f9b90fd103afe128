"""A host's connection to a chip: requests with deadlines, who died, and the end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal as signals
import socket as sockets
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from spinn2emu import hostlink, pidfd
from spinn2emu.descriptors import readable
from spinn2emu.errors import ConfigError, DeadlineExceeded, NoSuchChip, PeDied, Spinn2Error
from spinn2emu.progress import tell
from spinn2emu.refused import explain
from spinn2host.directories import holds_lock, is_alive, log_tail, remove
from spinn2host.turns import Turns

REQUEST_DEADLINE_S = 30.0
HALT_DEADLINE_S = 2.0
END_DEADLINE_S = 10.0
"""For a supervisor to end after it was told to."""
WAIT_S = 0.05
"""How long a `wait` keeps the handle from other threads."""
MOST = 0xFFFFFFFF
"""Ticks are words of 32 bits."""
DESCRIPTORS = 12
"""File descriptors that a connection may need at once."""
LOOK_AFTER_S = 1.0
"""Without an answer for so long, a request looks what is wrong with the supervisor."""


def whole(what: str, value: Any, low: int = 0) -> int:
    """A whole number of any type, such as numpy's, as an int that a request can carry. Raises ConfigError."""
    if not isinstance(value, int | float | np.integer | np.floating) or not value >= low or value % 1:
        raise ConfigError(f"{what} is a whole number from {low} on, not {value!r:.80}", **{what: repr(value)})
    if value > MOST:
        raise ConfigError(f"{what} is at most {MOST:,}, not {value:.6g}", limit=MOST, **{what: repr(value)})
    return int(value)


class Connection:
    """To the chip in `directory`. `process`, `lock`: of a private chip, which this process has started.

    Several threads may use one: their requests exclude each other. Only `halt` is for one thread.
    """

    def __init__(self, directory: Path, process: subprocess.Popen[str] | None = None, lock: int = -1) -> None:
        self.directory = directory
        self._process = process
        self._lock = lock
        self._next_id = 0
        self._owner = os.getpid()
        self._turns = Turns()
        self._run: int | None = None  # which this handle has started
        check_descriptors()
        self._context = zmq.Context()
        try:
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.set(zmq.LINGER, 0)
            self._socket.connect(hostlink.endpoint(directory / hostlink.SOCKET_NAME))
        except zmq.ZMQError as error:
            raise Spinn2Error(f"no connection to chip {self.name}: {explain(error.errno or 0)}") from error

    @property
    def name(self) -> str:
        """The chip's name."""
        return self.directory.name.removeprefix(hostlink.DIRECTORY_PREFIX)

    def close(self) -> None:
        """Lets go of the chip; a resident one goes on. The handle is of no use then."""
        turn = threading.Lock()
        with turn:
            self._turns.come(turn)
            self._socket.close()
            self._context.term()

    def halt(self) -> None:
        """Stops the chip. Nothing is left of it; calling it again does nothing.

        A supervisor that does not answer is killed. Raises DeadlineExceeded if it cannot be told who that is.
        """
        if self._socket.closed:
            return
        self._check_process()
        supervisor = self._supervisor()
        try:
            self.request("halt", HALT_DEADLINE_S)
        except (PeDied, NoSuchChip):
            pass
        except DeadlineExceeded:
            if supervisor is None:
                raise
            _kill(supervisor)  # busy, say compiling; its children die with it
        self.close()
        if supervisor is not None:
            with os.fdopen(supervisor):
                if not readable([supervisor], END_DEADLINE_S):
                    _kill(supervisor)
        if self._process is not None:
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            os.close(self._lock)
        remove(self.directory)

    def _supervisor(self) -> int | None:
        """A file descriptor of the supervisor, readable when it ends; None if it has ended, or cannot be told."""
        if self._process is not None:
            return pidfd.open_process(self._process.pid) if self._process.poll() is None else None
        pid = listener(self.directory / hostlink.SOCKET_NAME)
        if pid is None:
            return None
        try:
            process = pidfd.open_process(pid)
        except OSError:
            return None
        # The number may have gone to another process before it was opened; that one has neither socket nor lock.
        if listener(self.directory / hostlink.SOCKET_NAME) == pid and holds_lock(pid, self.directory):
            return process
        os.close(process)
        return None

    def request(self, op: str, deadline: float = REQUEST_DEADLINE_S, **content: Any) -> dict[str, Any]:
        """The answer to a request of the host link. A request waits for those of other threads.

        Raises the error that the chip answers with; PeDied, NoSuchChip or DeadlineExceeded if it does not answer;
        NoSuchChip after `halt` or `close`; ConfigError for more than a message can hold.
        """
        self._check_process()
        end = time.monotonic() + deadline
        turn = threading.Lock()
        with turn:
            if not self._turns.come(turn, deadline):
                raise DeadlineExceeded(
                    f"another thread has used this handle for {deadline} s: let each thread "
                    f"`Chip.attach({self.name!r})`", op=op, deadline=deadline,
                )  # fmt: skip
            return self._exchange(op, end, deadline, content)

    def _exchange(self, op: str, end: float, deadline: float, content: dict[str, Any]) -> dict[str, Any]:
        if self._socket.closed:
            raise NoSuchChip(f"chip {self.name}: this handle has been closed, or its chip halted", name=self.name)
        self._next_id += 1
        data = hostlink.encode({"id": self._next_id, "op": op, **content})
        if len(data) > hostlink.MAX_MESSAGE_BYTES:
            raise ConfigError(
                f"the request {op!r} has {len(data):,} bytes, a message holds {hostlink.MAX_MESSAGE_BYTES:,}: share "
                "it out among several", op=op, bytes=len(data), limit=hostlink.MAX_MESSAGE_BYTES,
            )  # fmt: skip
        self._socket.send(data)
        look = time.monotonic() + LOOK_AFTER_S
        while True:
            if self._socket.poll(200):
                reply = hostlink.decode(self._socket.recv())
                if reply["id"] == self._next_id and "progress" not in reply:
                    return hostlink.unwrap(reply)
                if reply["id"] == self._next_id:
                    tell(reply["progress"])
                continue
            self._check_alive(op)
            if look < time.monotonic():
                self._check_awake(op)
                look += LOOK_AFTER_S
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"chip {self.name} did not answer {op!r} within {deadline:g} s: is it loading a program for "
                    f"another process? `spinn2emu --chip {self.name} halt` ends it", op=op, deadline=deadline,
                )  # fmt: skip

    def _check_process(self) -> None:
        """Raises ConfigError in a forked child, whose socket is its parent's."""
        if os.getpid() != self._owner:
            raise ConfigError(
                f"this handle of chip {self.name} belongs to process {self._owner}: in a forked process, "
                f"`Chip.attach({self.name!r})` makes another", pid=self._owner,
            )  # fmt: skip

    def _check_alive(self, op: str) -> None:
        """Raises NoSuchChip if the chip was halted, PeDied if its supervisor has ended otherwise."""
        if self._process is None and not self.directory.exists():
            raise NoSuchChip(f"chip {self.name} has been halted", name=self.name)
        dead = not is_alive(self.directory) if self._process is None else self._process.poll() is not None
        if dead or _nobody_listens(self.directory / hostlink.SOCKET_NAME):
            how = "it was killed, or has crashed"
            if self._process is not None:
                how = _how_it_ended(self._process)
            tail = log_tail(self.directory)
            raise PeDied(
                f"chip {self.name}: its supervisor died during {op!r}: {how}" + (f". It said: {tail}" if tail else ""),
                pe=0, name="supervisor", program="", tick=-1, cause=how,
            )  # fmt: skip

    def _check_awake(self, op: str) -> None:
        """Raises DeadlineExceeded if somebody has stopped the supervisor."""
        pid = listener(self.directory / hostlink.SOCKET_NAME) if self._process is None else self._process.pid
        if pid is not None and _is_stopped(pid):
            raise DeadlineExceeded(
                f"chip {self.name} does not answer {op!r}: its supervisor, process {pid}, is stopped (SIGSTOP, or a "
                f"debugger). `kill -CONT {pid}` lets it go on", op=op, deadline=LOOK_AFTER_S, pid=pid,
            )  # fmt: skip

    def wait(self, progress: Callable[[int], None] | None = None) -> int:
        """Waits for the end of a run; returns the tick. Raises PeDied, PeFailed or ChipStuck; Spinn2Error if
        somebody else has ended this run, by a reset say.

        It asks again and again, so that other threads can use the handle meanwhile.
        """
        run, self._run = self._run, None
        while True:
            reply = self.request("wait", timeout=WAIT_S, run=run)
            run = reply["run"]
            if progress:
                progress(reply["tick"])
            if reply["idle"]:
                return int(reply["tick"])


def check_descriptors() -> None:
    """Raises Spinn2Error unless some file descriptors are left: without, libzmq ends the whole process."""
    numbers: list[int] = []
    try:
        while len(numbers) < DESCRIPTORS:
            numbers.append(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise Spinn2Error(
            f"a connection to a chip needs {DESCRIPTORS} file descriptors, {len(numbers)} are left of {limit}: raise "
            f"the limit (`ulimit -n {limit + 64}`), or close what you do not need", needed=DESCRIPTORS, limit=limit,
        ) from error  # fmt: skip
    finally:
        for number in numbers:
            os.close(number)


def listener(path: Path) -> int | None:
    """The process that listens on a Unix socket, as the kernel knows it; None if nobody of this user does."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as socket:
        socket.settimeout(1.0)
        try:
            socket.connect(os.fsencode(path))
            credentials = socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    pid, user, _ = struct.unpack("3i", credentials)
    return pid if user == os.getuid() and pid > 0 else None


def _how_it_ended(process: subprocess.Popen[str]) -> str:
    code = process.poll()
    if code is None:
        return "it no longer listens"
    return f"killed by {signals.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _nobody_listens(path: Path) -> bool:
    """Whether the socket is there, but whoever made it is gone."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as socket:
        socket.setblocking(False)
        try:
            socket.connect(os.fsencode(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"Tt"
    except OSError:
        return False


def _kill(process: int | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            pidfd.send_signal(process, signals.SIGKILL)
