"""Where chips live on this computer: a directory each, with sockets, a log, and a lock that says whether it runs.

Nothing here follows a link, or touches what is not the user's own: anybody may write into a temporary directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from spinn2emu import hostlink
from spinn2emu.errors import ConfigError, DeadlineExceeded, Spinn2Error
from spinn2emu.refused import explain

_MAX_IPC_PATH = 107
"""Bytes of a socket's path (sun_path of Linux's sockaddr_un, less the final 0)."""
_LOCK_DEADLINE_S = 20.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
PRIVATE = "private-"
"""How the names of chips begin that belong to one process."""


def base_directory() -> Path:
    """A directory of mode 0700 that belongs to the user; chips have a directory each in it.

    In $XDG_RUNTIME_DIR if that is a directory of the user's that can be written, else in the temporary directory.
    Raises ConfigError if there is none, or somebody else's is in its place.
    """
    base = _runtime_directory() / f"spinn2emu-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{base} cannot be made: {error.strerror}. {_REMEDY}", path=str(base)) from error
    if not _is_private(base):
        raise ConfigError(
            f"{base} must be a directory, no link, and belong to you alone (mode 0700), since chips are private to "
            f"their user. Remove it, or: {_REMEDY}", path=str(base),
        )  # fmt: skip
    return base


_REMEDY = "set XDG_RUNTIME_DIR to a directory of yours that can be written"


def _runtime_directory() -> Path:
    chosen = os.environ.get("XDG_RUNTIME_DIR", "")
    with contextlib.suppress(OSError, ValueError):
        if os.path.isabs(chosen) and os.stat(chosen).st_uid == os.getuid() and os.access(chosen, os.W_OK | os.X_OK):
            return Path(chosen)
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise ConfigError(f"there is no directory for chips' sockets: {error.strerror}. {_REMEDY}") from error


def _is_private(path: Path) -> bool:
    """Whether it is a directory, itself and no link to one, that only this user can enter."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def chip_directory(name: str) -> Path:
    """The directory of the chip `name`, whether there is one or not. Raises ConfigError for what is no name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a name for a chip: 1 to 32 letters, digits, '_', '.' and '-'", name=name)
    return base_directory() / f"{hostlink.DIRECTORY_PREFIX}{name}"


def new_directory(name: str | None, private: bool) -> tuple[Path, int]:
    """A directory for a chip and its lock, a file descriptor; the chip runs as long as somebody holds it.

    Without a name it gets one. Raises ConfigError if a chip of that name runs, or the directory cannot be made.
    """
    base = base_directory()
    with _everybody(base):
        _reclaim(base)
        if name is None:
            name = f"{PRIVATE}{secrets.token_hex(4)}" if private else _free_name(base)
        directory = chip_directory(name)
        length = len(os.fsencode(directory / f"{hostlink.NETWORK_NAME}999999-9"))
        if length > _MAX_IPC_PATH:
            raise ConfigError(
                f"the paths of sockets in {base} would have {length} bytes, {_MAX_IPC_PATH} are possible: set "
                "XDG_RUNTIME_DIR to a shorter one", length=length, limit=_MAX_IPC_PATH,
            )  # fmt: skip
        try:
            directory.mkdir(mode=0o700)
            lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise _taken(name, directory) from None
        except OSError as error:
            raise ConfigError(
                f"{directory} cannot be made: {error.strerror}. {_REMEDY}", path=str(directory)
            ) from error
        fcntl.flock(lock, fcntl.LOCK_EX)
        return directory, lock


def _taken(name: str, directory: Path) -> ConfigError:
    if is_alive(directory):
        return ConfigError(f"a chip named {name} runs already: choose another name, or halt it", name=name)
    return ConfigError(f"{directory} is there, and no chip's that can be removed: choose another name", name=name)


def _free_name(base: Path) -> str:
    number = 1
    while os.path.lexists(base / f"{hostlink.DIRECTORY_PREFIX}chip{number}"):
        number += 1
    return f"chip{number}"


def running(base: Path) -> list[str]:
    """Names of the chips whose lock somebody holds; what dead ones left behind is removed."""
    with _everybody(base):
        _reclaim(base)
        names = [path.name.removeprefix(hostlink.DIRECTORY_PREFIX) for path in _chips(base) if is_alive(path)]
    return sorted(names)


def is_alive(directory: Path) -> bool:
    """Whether somebody holds the chip's lock."""
    with _try_lock(directory) as free:
        return free is False


def remove(directory: Path) -> None:
    """Removes what a chip has left, unless somebody holds its lock: a new chip may have the name by now."""
    if _is_private(directory.parent):
        with contextlib.suppress(OSError, Spinn2Error), _everybody(directory.parent):
            _remove_dead(directory)


def _reclaim(base: Path) -> None:
    """Removes directories of chips whose processes are gone: nobody holds their lock."""
    for directory in _chips(base):
        _remove_dead(directory)


def _chips(base: Path) -> list[Path]:
    """Directories of chips, of this user alone."""
    return [path for path in base.glob(f"{hostlink.DIRECTORY_PREFIX}*") if _is_private(path)]


def _remove_dead(directory: Path) -> None:
    """A chip has only files and sockets. What else lies there stays, with the directory: it is somebody's."""
    with _try_lock(directory) as free:
        if free is False or not _is_private(directory):
            return
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(directory)):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)  # of a link, the link itself
            os.rmdir(directory)


@contextlib.contextmanager
def _everybody(base: Path) -> Iterator[None]:
    """Directories come and go only while this is held. Raises ConfigError, DeadlineExceeded."""
    path = base / "lock"
    try:
        number = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened: {error.strerror}. {_REMEDY}", path=str(path)) from error
    try:
        end = time.monotonic() + _LOCK_DEADLINE_S
        while not _lock(number):
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"another process has held {path} for {_LOCK_DEADLINE_S:.0f} s: `fuser {path}` names it",
                    path=str(path), deadline=_LOCK_DEADLINE_S,
                )  # fmt: skip
            time.sleep(0.01)
        yield
    finally:
        os.close(number)


def _lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _try_lock(directory: Path) -> Iterator[bool | None]:
    """Holds the lock meanwhile, if it was free (True) and not held (False). None: there is none.

    Raises Spinn2Error if that cannot be told, for want of file descriptors for example.
    """
    path = directory / "lock"
    try:
        number = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            raise Spinn2Error(f"whether a chip runs cannot be told: {explain(error)}", path=str(path)) from error
        yield None
        return
    try:
        yield _lock(number) if _is_private(directory) else None
    finally:
        os.close(number)


def holds_lock(pid: int, directory: Path) -> bool:
    """Whether the process has the chip's lock open: its supervisor, or the process that a private chip belongs to."""
    try:
        lock = os.lstat(directory / "lock")
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/fd/{number}")
                if (status.st_dev, status.st_ino) == (lock.st_dev, lock.st_ino):
                    return True
    except OSError:
        pass
    return False


def log_tail(directory: Path, lines: int = 8) -> str:
    """The end of what the chip's processes wrote to stderr."""
    try:
        with open(directory / "log", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(text.splitlines(keepends=True)[-lines:]).strip()
