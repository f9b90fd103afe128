"""What this package says of itself: one line at a time, on standard error. Standard output belongs to the script."""

from __future__ import annotations

import sys
from typing import Protocol


class Named(Protocol):
    """A population or projection: as text, its kind and name."""

    name: str


_said: set[str] = set()


def say(text: str) -> None:
    """Prints a line on standard error."""
    print(f"spinn2emu: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """As `say`, but the same text once in the life of a process."""
    if text not in _said:
        _said.add(text)
        say(text)
