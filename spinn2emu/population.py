"""Names of populations: users choose them, files and terminals must stand them."""

from __future__ import annotations

MAX_NAME = 64
"""Characters that a chip keeps of a name."""
COLUMN = 24
"""Characters of a name that a column of a table shows."""


def on_one_line(name: str) -> str:
    """The name with blanks for line ends and tabs, and � for what else cannot be printed."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in name)


def short_name(name: str) -> str:
    """What a chip keeps of a name: one line of at most MAX_NAME characters, the last of them … if it is cut."""
    return cut(on_one_line(name), MAX_NAME)


def label(name: str, first: int) -> str:
    """A PE's part of a population, from its neuron number `first` on: `exc`, `exc[50:]`."""
    return f"{name}[{first}:]" if name and first else name


def column_label(name: str, first: int) -> str:
    """The same for a table, of a name that is cut to COLUMN characters."""
    return label(cut(name, COLUMN), first)


def cut(name: str, most: int) -> str:
    """The name with at most so many characters, the last of them … if it is cut."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
