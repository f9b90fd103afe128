"""Where compiled code is kept: a folder of files named by what is in them. Damaged files count as missing.

The folder is `$SPINN2EMU_CACHE`, else `spinn2emu` in `$XDG_CACHE_HOME` or `~/.cache`. If it cannot be written, compiled
code is used, but not kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from spinn2emu.refused import explain

_DIGEST = hashlib.sha256().digest_size


def store_root() -> Path | None:
    """The folder of compiled code; None: there is none (no home)."""
    if chosen := os.environ.get("SPINN2EMU_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spinn2emu"
    except RuntimeError:  # no $HOME, no entry for the user
        return None


def read(key: str) -> bytes | None:
    """What is kept under a key; None if there is nothing, or it is damaged."""
    root = store_root()
    try:
        data = (root / key).read_bytes() if root else b""
    except OSError:
        return None
    return data[_DIGEST:] if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST] else None


def write(key: str, data: bytes) -> None:
    """Keeps data, as a whole or not at all."""
    root = store_root()
    if root is None:
        return
    temporary = root / f".{key}-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
        temporary.replace(root / key)
    except OSError:  # see `why_not_kept`
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def why_not_kept() -> str | None:
    """A sentence if nothing can be kept, with the remedy: it tries to."""
    root, why = store_root(), "there is no home folder"
    if root is not None:
        trial = root / f".trial-{os.getpid()}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            trial.write_bytes(bytes(4096))
            return None
        except OSError as error:
            why = explain(error)
        finally:
            with contextlib.suppress(OSError):
                trial.unlink(missing_ok=True)
    return f"compiled kernels are not kept: {why}; set SPINN2EMU_CACHE to a folder that can be written"


def settle() -> None:
    """The folder stays the same when this process moves to another one."""
    for name in ("SPINN2EMU_CACHE", "XDG_CACHE_HOME"):
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(os.environ[name])


@contextlib.contextmanager
def alone(key: str) -> Iterator[None]:
    """Holds a lock on a key, if it can: processes that start together do not compile the same thing."""
    root = store_root()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            if root is not None:
                root.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(root / f".{key}.lock", "w"))
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
