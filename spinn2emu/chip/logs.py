"""What programs log: texts with places for values, checked at load, and the entries as people read them."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinn2emu.errors import ProgramError
from spinn2emu.registers import LOG_VALUES

_INTEGER = ("b", "c", "d", "o", "x", "X")
"""Ends of formats that want an integer."""


def values_in(text: str) -> int:
    """How many values a text has places for. Raises ValueError if it has something else, or too many."""
    names = []
    for _, name, form, conversion in string.Formatter().parse(text):
        if conversion or "{" in (form or ""):
            raise ValueError("the form of a number is :d, :.3f and such")
        if name is not None:
            names.append(name)
    if any(name and not name.isdecimal() for name in names):
        raise ValueError("values have no names: write {} or {0}")
    if "" in names and any(names):
        raise ValueError("either all of its places have numbers, or none")
    count = max((int(name) + 1 for name in names), default=0) if any(names) else len(names)
    if count > LOG_VALUES:
        raise ValueError(f"it has places for {count} values, an entry has {LOG_VALUES} at most")
    text.format(*(_Value(0.0) for _ in range(count)))
    return count


class _Missing:
    """Stands for a value that was not given."""

    def __format__(self, spec: str) -> str:
        return "?"


class _Value(float):
    """A logged number: an integer is written as one."""

    def __format__(self, spec: str) -> str:
        if spec.endswith(_INTEGER):
            return format(round(self), spec) if np.isfinite(self) else str(float(self))
        return format(float(self), spec) if spec else f"{float(self):.10g}"


def fill_in(text: str, values: Sequence[float]) -> str:
    """A text with its values; those that it has no place for come behind it, those that were not given are ?."""
    places = values_in(text)
    shown: list[Any] = [_Value(value) for value in values[:places]]
    filled = text.format(*shown, *(_Missing() for _ in range(places - len(shown))))
    rest = " ".join(format(_Value(value), "") for value in values[places:])
    return f"{filled}: {rest}" if filled and rest else filled + rest


def entries(ring: np.ndarray, count: int, first: int, texts: Mapping[int, str]) -> list[list[Any]]:
    """The entries number `first` to `count` - 1 of a log ring: [tick, code, [value, …], text] each."""
    rows = []
    for entry in (ring[i % len(ring)] for i in range(first, count)):
        code, values = int(entry["code"]), entry["values"][: int(entry["count"])].tolist()
        rows.append([int(entry["tick"]), code, values, fill_in(texts[code], values) if code in texts else ""])
    return rows


def line(entry: Sequence[Any]) -> str:
    """An entry in words."""
    tick, code, values, text = entry
    said = text or ", ".join(format(_Value(value), "") for value in values)
    return f"tick {tick}: code {code}" + (f", {said}" if said else "")


def check_texts(name: str, errors: Mapping[Any, Any], logs: Mapping[Any, Any]) -> None:
    """Raises ProgramError for codes and texts that are none."""
    for what, texts, lowest in (("errors", errors, 1), ("logs", logs, -(1 << 63))):
        for code, text in texts.items():
            problem = None
            if isinstance(code, bool) or not isinstance(code, int | np.integer) or not lowest <= code < 1 << 31:
                problem = f"a code is an integer{' from 1 on' if lowest == 1 else ''}, below 2^31"
            elif not isinstance(text, str):
                problem = f"its text is {text!r}"
            elif what == "logs":
                try:
                    values_in(text)
                except (ValueError, IndexError, KeyError) as error:
                    problem = f"{text!r}: {error}"
            if problem:
                raise ProgramError(f"{name}: `{what}`, code {code!r}: {problem}", program=name)
