"""A host's connection to a chip: requests with deadlines, who died, and the end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal as signals
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from spinn2emu import link
from spinn2emu.errors import DeadlineExceeded, NoSuchChip, PeDied
from spinn2host.directories import is_alive, log_tail

REQUEST_DEADLINE_S = 30.0
HALT_DEADLINE_S = 2.0


class Connection:
    """To the chip in `directory`. `process`, `lock`: of a private chip, which this process has started."""

    def __init__(self, directory: Path, process: subprocess.Popen[str] | None = None, lock: int = -1) -> None:
        self.directory = directory
        self._process = process
        self._lock = lock
        self._next_id = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(f"ipc://{directory / link.SOCKET_NAME}")

    @property
    def name(self) -> str:
        """The chip's name."""
        return self.directory.name.removeprefix(link.DIRECTORY_PREFIX)

    def close(self) -> None:
        """Lets go of the chip; a resident one goes on."""
        self._socket.close()
        self._context.term()

    def halt(self) -> None:
        """Stops the chip. Nothing is left of it; calling it again does nothing."""
        if self._socket.closed:
            return
        supervisor = self._pidfd()
        try:
            self.request("halt", HALT_DEADLINE_S)
        except (PeDied, NoSuchChip):
            pass
        except DeadlineExceeded:
            _kill(supervisor)  # busy, say compiling; its children die with it
        self.close()
        if supervisor is not None:
            with os.fdopen(supervisor):
                if not select.select([supervisor], [], [], 10)[0]:
                    _kill(supervisor)
        if self._process is not None:
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            os.close(self._lock)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _pidfd(self) -> int | None:
        """A file descriptor of the supervisor, readable when it ends; None if it has ended."""
        try:
            return os.pidfd_open(int((self.directory / link.PID_NAME).read_text()))
        except (OSError, ValueError):
            return None

    def _dead(self) -> bool:
        return not is_alive(self.directory) if self._process is None else self._process.poll() is not None

    def request(self, op: str, deadline: float = REQUEST_DEADLINE_S, **content: Any) -> dict[str, Any]:
        """The answer to a request of the host link.

        Raises the error that the chip answers with; PeDied, NoSuchChip or DeadlineExceeded if it does not answer.
        """
        self._next_id += 1
        self._socket.send(link.encode({"id": self._next_id, "op": op, **content}))
        end = time.monotonic() + deadline
        while True:
            if self._socket.poll(200):
                reply = link.decode(self._socket.recv())
                if reply["id"] == self._next_id:
                    return link.unwrap(reply)
            elif self._process is None and not self.directory.exists():
                raise NoSuchChip(f"chip {self.name} has been halted", name=self.name)
            elif self._dead():
                how = "" if self._process is None else f" (exit code {self._process.returncode})"
                raise PeDied(
                    f"the chip's supervisor died{how} during {op!r}. {log_tail(self.directory)}", pe=0,
                    name="supervisor", program="", tick=-1, cause="exit",
                )  # fmt: skip
            elif time.monotonic() > end:
                raise DeadlineExceeded(f"the chip did not answer {op!r} within {deadline} s", op=op, deadline=deadline)

    def wait(self, progress: Callable[[int], None] | None = None) -> int:
        """Waits for the end of a run; returns the tick. Raises PeDied, PeFailed or ChipStuck."""
        while True:
            reply = self.request("wait", timeout=0.1 if progress else 1.0)
            if progress:
                progress(reply["tick"])
            if reply["idle"]:
                return int(reply["tick"])


def _kill(pidfd: int | None) -> None:
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signals.pidfd_send_signal(pidfd, signals.SIGKILL)
