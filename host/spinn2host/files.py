"""Files that users give us and get from us: UTF-8 wherever we are, and errors that name the file."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2emu.refused import explain


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
