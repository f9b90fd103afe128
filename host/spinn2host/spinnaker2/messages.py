"""What this package says of itself: one line at a time, on standard error. Standard output belongs to the script."""

from __future__ import annotations

import sys
from typing import Protocol

from spinn2emu.population import MAX_NAME, cut


class Named(Protocol):
    """A population or projection: as text, its kind and name."""

    name: str


def one_line(name: object) -> str:
    """A name as it is in a message: on one line, whatever is in it."""
    text = str(name)
    text = text if text and text.isprintable() else repr(text)
    return cut(text, MAX_NAME)


_said: set[str] = set()


def say(text: str) -> None:
    """Prints a line on standard error."""
    if sys.stderr is not None:  # it was closed, and `print` would take standard output
        print(f"spinn2emu: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """As `say`, but the same text once in the life of a process."""
    if text not in _said:
        _said.add(text)
        say(text)
