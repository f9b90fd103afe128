"""What can be known of a kernel's values before it runs; `constants.py` works with them.

Every value has `names`: the variables that it came through. Where a condition that nobody can know mentions one of
them, it may well keep the kernel from what would be wrong, and nothing is said.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Names = frozenset[str]
NOBODY: Names = frozenset()
MEMORY = "memory"
"""Among `names`: it was read from a region, by which parameters come to the kernel."""


@dataclass(frozen=True)
class Value:
    """Something of which nothing is known but perhaps what kind of number it is: "bool" or "float"."""

    names: Names = NOBODY
    kind: str = ""


@dataclass(frozen=True)
class Known(Value):
    """A number, a text or None."""

    value: Any = None


@dataclass(frozen=True)
class Several(Value):
    """A tuple."""

    items: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Array(Value):
    """A region, or part of one; lengths that are not known are None."""

    label: str = ""
    shape: tuple[int | None, ...] = ()
    dtype: Any = None
    varies: bool = False
    """Its shape may depend on the program's parameters."""


@dataclass(frozen=True)
class Record(Value):
    """An element of an array of records."""

    label: str = ""
    dtype: Any = None


@dataclass(frozen=True)
class Regions(Value):
    """`ram`."""

    arrays: dict[str, Array] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Thing(Value):
    """A function, a module or anything else that the program refers to."""

    thing: Any = None


def known(value: Any, *sources: Value) -> Value:
    """A constant, as far as constants matter here."""
    names = union(*sources)
    if isinstance(value, bool | np.bool_):
        return Known(names, "bool", bool(value))
    if isinstance(value, int | np.integer):
        return Known(names, "", int(value)) if abs(int(value)) < 1 << 64 else Value(names)
    if isinstance(value, float | np.floating):
        return Known(names, "float", float(value))
    if value is None or isinstance(value, str):
        return Known(names, "", value)
    return Value(names)


def union(*values: Value) -> Names:
    """The names of all of them."""
    return NOBODY.union(*(value.names for value in values))


def element(array: Array, names: Names) -> Value:
    """What an array holds."""
    dtype, names = array.dtype, names | array.names
    if dtype is not None and dtype.names:
        return Record(names, "", array.label, dtype)
    kind = {"f": "float", "b": "bool"}.get(dtype.kind, "") if dtype is not None else ""
    return Value(names, kind)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert, ast.Not: operator.not_,
}  # fmt: skip
_NUMBER = int | float


def binary(op: ast.operator, left: Value, right: Value) -> Value:
    """left op right."""
    if isinstance(left, Known) and isinstance(right, Known):
        a, b = left.value, right.value
        small = not isinstance(op, ast.LShift | ast.Pow) or (isinstance(b, _NUMBER) and abs(b) < 64)
        if isinstance(a, _NUMBER) and isinstance(b, _NUMBER) and small:
            try:
                return known(_BINARY[type(op)](a, b), left, right)
            except (ArithmeticError, ValueError, TypeError, KeyError):
                return Value(union(left, right))
    is_float = isinstance(op, ast.Div) or "float" in (left.kind, right.kind)
    return Value(union(left, right), "float" if is_float else "")


def compare(op: ast.cmpop, left: Value, right: Value) -> Value:
    """left op right, a truth."""
    if isinstance(left, Known) and isinstance(right, Known) and type(op) in _COMPARE:
        try:
            return known(_COMPARE[type(op)](left.value, right.value), left, right)
        except TypeError:
            pass
    return Value(union(left, right), "bool")


def unary(op: ast.unaryop, value: Value) -> Value:
    """op value."""
    if isinstance(value, Known) and isinstance(value.value, _NUMBER):
        try:
            return known(_UNARY[type(op)](value.value), value)
        except TypeError:
            return Value(value.names)
    return Value(value.names, "bool" if isinstance(op, ast.Not) else value.kind)


def join(one: Value, other: Value, names: Names) -> Value:
    """What is known where either may be; `names`: of what decides which."""
    if one == other:
        return one
    kind = one.kind if one.kind == other.kind else ""
    if isinstance(one, Array) and isinstance(other, Array) and len(one.shape) == len(other.shape):
        shape = tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
        dtype = one.dtype if one.dtype == other.dtype else None
        return Array(union(one, other) | names, kind, one.label, shape, dtype, one.varies or other.varies)
    return Value(union(one, other) | names, kind)


def named(name: str, value: Value) -> Value:
    """The value of a variable."""
    return type(value)(**{**vars(value), "names": value.names | {name}})


def outside(name: str, thing: Any) -> Value:
    """The value of something that a program refers to."""
    if isinstance(thing, np.ndarray):
        return Array(frozenset([name]), "", f"array {name}", thing.shape, thing.dtype)
    if isinstance(thing, tuple):
        return Several(frozenset([name]), "", tuple(outside(name, item) for item in thing))
    if isinstance(thing, int | float | str | np.generic | None):
        return named(name, known(thing))
    return Thing(NOBODY, "", thing)


def method(owner: Array, name: str, given: Sequence[Value], names: Names) -> Value:
    if name == "reshape":
        sizes = given[0].items if len(given) == 1 and isinstance(given[0], Several) else given
        shape = tuple(
            s.value if isinstance(s, Known) and type(s.value) is int and s.value >= 0 else None for s in sizes
        )
        return Array(names, "", owner.label, shape, owner.dtype, owner.varies)
    if name == "view" and owner.shape:
        return Array(names, "", owner.label, (*owner.shape[:-1], None), None)
    return Value(names)


def builtin(function: Any, given: Sequence[Value], names: Names) -> Value:
    """Functions of Python and numpy whose result is known if their arguments are."""
    first = given[0] if given else Value()
    if function is len and isinstance(first, Array | Several):
        length = first.shape[0] if isinstance(first, Array) and first.shape else None
        length = len(first.items) if isinstance(first, Several) else length
        return known(length, Value(names)) if length is not None else Value(names)
    if isinstance(function, type) and issubclass(function, np.floating | float):
        if isinstance(first, Known) and isinstance(first.value, int | float):
            return known(float(first.value), Value(names))
        return Value(names, "float")
    numbers = [value.value for value in given if isinstance(value, Known) and isinstance(value.value, int | float)]
    if not given or len(numbers) < len(given):
        return Value(names)
    if function in (min, max, abs, int) and (len(numbers) > 1 or function in (abs, int)):
        try:
            return known(function(*numbers), Value(names))
        except (TypeError, ValueError, OverflowError):
            return Value(names)
    if isinstance(function, type) and issubclass(function, np.integer) and type(numbers[0]) is int:
        limits = np.iinfo(function)
        return known(numbers[0], Value(names)) if limits.min <= numbers[0] <= limits.max else Value(names)
    return Value(names)
