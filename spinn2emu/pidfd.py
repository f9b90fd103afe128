"""File descriptors of processes, which mean one process for ever, whoever gets its number later (Linux 5.3).

Builds of Python against older kernels' headers lack them, so the system calls are made by number there.
"""

from __future__ import annotations

import ctypes
import os
import signal

_OPEN, _SEND_SIGNAL = 434, 424  # the same on all architectures


def open_process(pid: int) -> int:
    """A file descriptor, closed on exec, that becomes readable when the process ends. Raises OSError."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    return _call(_OPEN, pid, 0)


def send_signal(pidfd: int, number: int) -> None:
    """Sends a signal to the process. Raises OSError (ProcessLookupError if it has ended)."""
    if hasattr(signal, "pidfd_send_signal"):
        signal.pidfd_send_signal(pidfd, number)
    else:
        _call(_SEND_SIGNAL, pidfd, number, None, 0)


def _call(*arguments: int | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    values = [None if value is None else ctypes.c_long(value) for value in arguments]
    result = int(libc.syscall(*values))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
