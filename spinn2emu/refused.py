"""What the system refuses, in words: what it was, which limit is reached, and what to do about it."""

from __future__ import annotations

import errno
import os
import resource

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "your quota is used up: free some space",
    errno.EFBIG: "the limit for the size of a file is reached: see `ulimit -f`",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "choose a place that can be written",
    errno.EMFILE: "too few file descriptors are allowed: raise the limit, see `ulimit -n`",
    errno.ENFILE: "the whole system has too many open files: close some programs",
    errno.ENOMEM: "the memory is used up: close some programs, or see `ulimit -v`",
    errno.EAGAIN: "the limit of processes is reached: see `ulimit -u`",
    errno.EPERM: "the system does not permit it: a container, or a sandbox (seccomp), may be the reason",
    errno.ENOSYS: "the system does not know it: a sandbox (seccomp), or a kernel older than Linux 5.3, is the reason",
}


_LIMITS = {
    errno.EFBIG: (resource.RLIMIT_FSIZE, 1024),
    errno.EMFILE: (resource.RLIMIT_NOFILE, 1),
    errno.ENOMEM: (resource.RLIMIT_AS, 1024),
}
"""What limits it, and the unit in which `ulimit` has that."""


def explain(error: OSError | int) -> str:
    """What the system refused (an error or its number), on which file, and what to do about it, in one line."""
    if isinstance(error, int):
        error = OSError(error, os.strerror(error))
    where = "" if error.filename is None else f"{os.fspath(error.filename)}: "
    number = error.errno or 0
    remedy = f"; {_REMEDIES[number]}" if number in _REMEDIES else ""
    if number in _LIMITS:
        kind, unit = _LIMITS[number]
        limit = resource.getrlimit(kind)[0]
        remedy += "" if limit == resource.RLIM_INFINITY else f", it is {limit // unit}"
    return f"{where}{error.strerror or error}{remedy}"


def refusal(error: BaseException) -> str | None:
    """What the system refused, as `explain` has it; None for errors of another kind. ZeroMQ's have numbers, too."""
    if isinstance(error, MemoryError):
        return explain(errno.ENOMEM)
    if isinstance(error, OSError):
        return explain(error)
    number = getattr(error, "errno", None)
    return explain(number) if isinstance(number, int) else None


def raise_descriptor_limit(needed: int) -> int:
    """Allows this process as many file descriptors as it needs, if the hard limit permits; returns how many it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
