"""Forked children that leave nothing behind: they die with their parent, and their death is noticed at once."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from spinn2emu import pidfd

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LIBC = ctypes.CDLL(None)


class Child(NamedTuple):
    """A forked process. `pidfd` becomes readable when it ends."""

    label: str
    pe: int
    pid: int
    pidfd: int


def fork(label: str, pe: int, body: Callable[[], None], core: int | None = None, keep: Sequence[int] = ()) -> Child:
    """Runs `body` in a new process, pinned to `core` if that is given, that is killed when this one ends.

    keep: the file descriptors beyond the standard ones that it needs.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(label, parent, body, core, keep)
    return Child(label, pe, pid, pidfd.open_process(pid))


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends (Linux prctl)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _child(label: str, parent: int, body: Callable[[], None], core: int | None, keep: Sequence[int]) -> None:
    code = 1
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        die_with_parent(parent)
        _LIBC.prctl(_PR_SET_NAME, label.encode()[:15])  # what `ps` and `top` show
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)
        for low, high in pairwise([2, *sorted(keep), limit]):
            os.closerange(low + 1, high)
        body()
    except BaseException:
        sys.stderr.write(f"[{label}] {traceback.format_exc()}")
        sys.stderr.flush()
    finally:
        os._exit(code)


def prepare_to_fork() -> None:
    """Moves all objects out of the garbage collector's sight, so that children do not copy their pages."""
    gc.collect()
    gc.freeze()


def exit_cause(pid: int) -> str:
    """Reaps an ended child and says how it ended."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with code {os.WEXITSTATUS(status)}"


def end(child: Child) -> str:
    """Kills the child if it has not ended by itself, and says how it ended."""
    if not select.select([child.pidfd], [], [], 0.5)[0]:
        os.kill(child.pid, signal.SIGKILL)
    os.close(child.pidfd)
    return exit_cause(child.pid)


def kill(children: list[Child]) -> None:
    """Kills and reaps the children, in the order of the list."""
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    for child in children:
        os.waitpid(child.pid, 0)
        os.close(child.pidfd)
