"""Files that users give us and get from us: UTF-8 wherever we are, and errors that name the file."""

from __future__ import annotations

import contextlib
import errno
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spinn2emu.errors import ConfigError, Spinn2Error

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
}


def explain(error: OSError | int) -> str:
    """What the system refused (an error or its number), on which file, and what to do about it, in one line."""
    if isinstance(error, int):
        error = OSError(error, os.strerror(error))
    where = "" if error.filename is None else f"{error.filename}: "
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"; {remedy}" if remedy else "")


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises ConfigError, naming the file and what is wrong in it."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: TOML is UTF-8, byte {error.start} is not: {error.reason}", file=str(path)
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}", file=str(path)) from error


@contextlib.contextmanager
def writing(path: Path, kind: type[Spinn2Error] = ConfigError, advice: str = "") -> Iterator[None]:
    """Turns the system's refusals to write `path` into an error of this kind."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise kind(explain(error) + advice, path=str(path)) from error
