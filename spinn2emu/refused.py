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


def explain(error: OSError | int) -> str:
    """What the system refused (an error or its number), on which file, and what to do about it, in one line."""
    if isinstance(error, int):
        error = OSError(error, os.strerror(error))
    where = "" if error.filename is None else f"{os.fspath(error.filename)}: "
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"; {remedy}" if remedy else "")


def raise_descriptor_limit(needed: int) -> int:
    """Allows this process as many file descriptors as it needs, if the hard limit permits; returns how many it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
