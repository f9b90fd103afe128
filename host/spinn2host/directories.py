"""Where chips live on this computer: a directory each, with sockets, a log, and a lock that says whether it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spinn2emu import link
from spinn2emu.errors import ConfigError

_MAX_IPC_PATH = 107
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
PRIVATE = "private-"
"""How the names of chips begin that belong to one process."""


def base_directory() -> Path:
    """A directory of mode 0700 that belongs to the user; chips have a directory each in it."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"spinn2emu-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{base} must belong to you alone (mode 0700): chips are private to their user")
    return base


def chip_directory(name: str) -> Path:
    """The directory of the chip `name`, whether there is one or not. Raises ConfigError for what is no name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a chip: 1 to 32 letters, digits, '_', '.' and '-'", name=name)
    return base_directory() / f"{link.DIRECTORY_PREFIX}{name}"


def new_directory(name: str | None, private: bool) -> tuple[Path, int]:
    """A directory for a chip and its lock, a file descriptor; the chip runs as long as somebody holds it.

    Without a name it gets one. Raises ConfigError if a chip of that name runs.
    """
    base = base_directory()
    with open(base / "lock", "w") as everybody:
        fcntl.flock(everybody, fcntl.LOCK_EX)
        reclaim(base)
        if name is None:
            name = f"{PRIVATE}{secrets.token_hex(4)}" if private else _free_name(base)
        directory = chip_directory(name)
        if len(f"{directory / link.NETWORK_NAME}999999-9") > _MAX_IPC_PATH:
            raise ConfigError(
                f"the path of {base} is too long for a socket ({_MAX_IPC_PATH} bytes): set XDG_RUNTIME_DIR"
            )
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise ConfigError(f"a chip named {name} runs already: choose another name, or halt it", name=name) from None
        lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return directory, lock


def _free_name(base: Path) -> str:
    number = 1
    while (base / f"{link.DIRECTORY_PREFIX}chip{number}").exists():
        number += 1
    return f"chip{number}"


def running(base: Path) -> list[str]:
    """Names of the chips whose lock somebody holds; what dead ones left behind is removed."""
    with open(base / "lock", "w") as everybody:
        fcntl.flock(everybody, fcntl.LOCK_EX)
        reclaim(base)
        prefix = link.DIRECTORY_PREFIX
        return sorted(path.parent.name.removeprefix(prefix) for path in base.glob(f"{prefix}*/lock"))


def is_alive(directory: Path) -> bool:
    """Whether somebody holds the chip's lock."""
    with _try_lock(directory / "lock") as free:
        return free is False


def reclaim(base: Path) -> None:
    """Removes directories of chips whose processes are gone: nobody holds their lock."""
    for directory in base.glob(f"{link.DIRECTORY_PREFIX}*"):
        with _try_lock(directory / "lock") as free:
            if free is not False:
                shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _try_lock(lock: Path) -> Iterator[bool | None]:
    """Holds the lock meanwhile, if it was free (True) and not held (False). None: there is none."""
    try:
        number = os.open(lock, os.O_RDWR)
    except OSError:
        yield None
        return
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(number)


def log_tail(directory: Path, lines: int = 8) -> str:
    """The end of what the chip's processes wrote to stderr."""
    try:
        return "".join((directory / "log").read_text().splitlines(keepends=True)[-lines:]).strip()
    except OSError:
        return ""
