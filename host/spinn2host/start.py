"""The start of a chip's supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from spinn2emu.errors import DeadlineExceeded, PeDied, Spinn2Error
from spinn2host.directories import log_tail
from spinn2host.files import explain

START_DEADLINE_S = 60.0
"""For the supervisor to say that it is ready: it imports numba, which takes seconds on a busy machine."""


def start_supervisor(directory: Path, owner: int, options: dict[str, Any], lock: int) -> subprocess.Popen[str]:
    """The supervisor's process; `owner`: the process that the chip ends with, 0 for none. It inherits the lock.

    Raises Spinn2Error for what the system refuses.
    """
    command = [sys.executable, "-m", "spinn2emu.chip.supervisor", str(directory), str(owner), json.dumps(options)]
    try:
        with open(directory / "log", "wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                text=True, encoding="utf-8", errors="replace", pass_fds=(lock,),
            )  # fmt: skip
    except OSError as error:
        raise Spinn2Error(f"the chip's supervisor cannot be started in {directory}: {explain(error)}") from error


def await_supervisor(process: subprocess.Popen[str], directory: Path) -> None:
    """Waits until the supervisor is ready. Raises PeDied or DeadlineExceeded, with the end of its log."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_DEADLINE_S)[0]:
        raise DeadlineExceeded(
            f"the chip's supervisor was not ready within {START_DEADLINE_S:.0f} s. {log_tail(directory)}".rstrip(),
            op="boot", deadline=START_DEADLINE_S,
        )  # fmt: skip
    if process.stdout.readline().strip() != "ready":
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # `discard` reaps it, with its process group
        assert end is not None
        exited = end.si_code == os.CLD_EXITED
        how = f"exit code {end.si_status}" if exited else f"killed by {signal.Signals(end.si_status).name}"
        raise PeDied(
            f"the chip's supervisor did not start ({how}): {log_tail(directory) or 'it said nothing'}", pe=0,
            name="supervisor", program="", tick=-1, cause=how,
        )  # fmt: skip


def discard(process: subprocess.Popen[str]) -> None:
    """Kills a supervisor that is not ready, and what it has started: they have a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
