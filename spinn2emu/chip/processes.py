"""Forked children that leave nothing behind: they die with their parent, and their death is noticed at once."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from spinn2emu import pidfd
from spinn2emu.descriptors import readable
from spinn2emu.errors import Spinn2Error
from spinn2emu.parent import die_with_parent
from spinn2emu.refused import explain

_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_LIBC = ctypes.CDLL(None)


class Child(NamedTuple):
    """A forked process. `pidfd` becomes readable when it ends."""

    label: str
    pe: int
    pid: int
    pidfd: int


def fork(label: str, pe: int, body: Callable[[], None], core: int | None = None, keep: Sequence[int] = ()) -> Child:
    """Runs `body` in a new process, pinned to `core` if that is given, that is killed when this one ends.

    keep: the file descriptors beyond the standard ones that it needs. Raises Spinn2Error if the system refuses it.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        limits = ", ".join(f"{name} {value}" for name, value in process_limits().items())
        raise Spinn2Error(
            f"no process can be started for {label}: {explain(error)} ({limits or 'no limit is known'})", label=label,
        ) from error  # fmt: skip
    if pid == 0:
        _child(label, parent, body, core, keep)
    try:
        return Child(label, pe, pid, pidfd.open_process(pid))
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise Spinn2Error(
            f"the process of {label} cannot be watched (pidfd_open): {explain(error)}", label=label
        ) from error


def process_limits() -> dict[str, int]:
    """What is known to limit the number of processes, by name."""
    limits = {}
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY:
        limits["ulimit -u"] = soft
    for path in (Path("/sys/fs/cgroup/pids.max"), Path("/sys/fs/cgroup/pids/pids.max")):
        with contextlib.suppress(OSError, ValueError):
            limits[str(path)] = int(path.read_text())
    return limits


def _child(label: str, parent: int, body: Callable[[], None], core: int | None, keep: Sequence[int]) -> None:
    code = 1
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        die_with_parent(parent)
        _LIBC.prctl(_PR_SET_NAME, label.encode()[:15])  # what `ps` and `top` show
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a kernel that goes wild leaves no file behind
        for low, high in pairwise([2, *sorted(keep), 1 << 20]):
            os.closerange(low + 1, high)
        body()
    except BaseException:
        sys.stderr.write(f"[{label}] {traceback.format_exc()}")
        sys.stderr.flush()
    finally:
        os._exit(code)


@contextlib.contextmanager
def no_strays() -> Iterator[None]:
    """Ends what children that are forked meanwhile, and have ended, have started themselves and left behind."""
    before = _children()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)  # such processes become this one's children
    try:
        yield
    finally:
        while strays := _children() - before:
            for pid in strays:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _children() -> set[int]:
    """Of this process, as far as the system tells."""
    with contextlib.suppress(OSError):
        lists = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
        return {int(pid) for pids in lists for pid in pids.split()}
    return set()


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


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped the process (SIGSTOP, a debugger)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"Tt"
    except OSError:
        return False


def end(child: Child) -> str:
    """Kills the child if it has not ended by itself, and says how it ended."""
    if not readable([child.pidfd], 0.5):
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
