"""The values of a kernel's expressions, as far as its constants tell; what is certainly wrong in them is refused.

Statements and calls are followed by `constants.py`.
"""

from __future__ import annotations

import ast
import builtins
import enum
import inspect
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from spinn2emu import sdk
from spinn2emu.chip.logs import values_in
from spinn2emu.jit import Kernel
from spinn2emu.levels import LEVELS
from spinn2emu.pe.check import own_kernel, refuse
from spinn2emu.pe.values import (
    MEMORY,
    NOBODY,
    Array,
    Known,
    Names,
    Record,
    Regions,
    Several,
    Thing,
    Value,
    binary,
    builtin,
    compare,
    element,
    join,
    known,
    method,
    outside,
    unary,
    union,
)  # fmt: skip
from spinn2emu.program import Program
from spinn2emu.registers import LOG_VALUES

MOST_STEPS = 20_000
"""Statements and expressions that are followed, then it ends: what is not found here, `--strict` finds."""


class Enough(Exception):
    """Too long to follow to its end."""


class Frame(NamedTuple):
    """A call that is being followed."""

    function: Any
    first: int
    outer: dict[str, Any]
    """What its closure holds."""
    variables: dict[str, Value]
    returned: list[Value]


class Expressions:
    """`program` with its ports, `phases` by name."""

    def __init__(self, program: Program, phases: Sequence[str]) -> None:
        self.program, self.phases = program, phases
        self.steps = 0
        self.guards: Names = NOBODY  # names that conditions mention which decide whether the present place is reached
        self.frames: list[Frame] = []

    @abstractmethod
    def call(self, function: FunctionType, given: Sequence[Value]) -> Value:
        """Follows a call; what it returns."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value) -> None:
        """Gives a value to a variable, or to several."""

    def refuse(self, node: ast.AST, problem: str) -> NoReturn:
        frame = self.frames[-1]
        refuse(self.program, frame.function, frame.first + node.lineno - 1, problem)  # type: ignore[attr-defined]

    def certain(self, value: Value, varies: bool) -> bool:
        """Whether what is done with a value here cannot be meant for other cases only; `varies`: what is right depends
        on the program's parameters, of which a condition on memory may know.
        """
        return not (value.names | {MEMORY} if varies else value.names) & self.guards

    def count(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Enough

    def value(self, node: ast.expr) -> Value:
        self.count()
        match node:
            case ast.Constant():
                return known(node.value)
            case ast.Name():
                return self.named(node.id)
            case ast.Attribute():
                return self.attribute(node)
            case ast.Subscript():
                return self.subscript(node)
            case ast.BinOp():
                return binary(node.op, self.value(node.left), self.value(node.right))
            case ast.UnaryOp():
                return unary(node.op, self.value(node.operand))
            case ast.Compare():
                left, result = self.value(node.left), known(True)
                for op, right_node in zip(node.ops, node.comparators, strict=True):
                    right = self.value(right_node)
                    step = compare(op, left, right)
                    if isinstance(result, Known) and result.value:
                        result = step
                    left = right
                return result
            case ast.BoolOp():
                return self.junction(node)
            case ast.IfExp():
                return self.choice(node)
            case ast.Tuple():
                items = tuple(self.value(item) for item in node.elts)
                return Several(union(*items), "", items)
            case ast.Call():
                return self.called(node)
            case ast.Yield() | ast.YieldFrom() | ast.Await():
                self.refuse(node, "a kernel runs once per tick, from its beginning to its end: it cannot wait or yield")
            case ast.NamedExpr():
                value = self.value(node.value)
                self.assign(node.target, value)
                return value
            case ast.Slice():
                parts = [self.value(part) for part in (node.lower, node.upper, node.step) if part is not None]
                return Value(union(*parts))
            case _:
                return Value(frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name)))

    def named(self, name: str) -> Value:
        frame = self.frames[-1]
        if name in frame.variables:
            return frame.variables[name]
        for scope in (frame.outer, frame.function.__globals__):
            if name in scope:
                return outside(name, scope[name])
        return Thing(NOBODY, "", getattr(builtins, name, None))

    def attribute(self, node: ast.Attribute) -> Value:
        owner, name = self.value(node.value), node.attr
        match owner:
            case Regions():
                if name not in owner.arrays:
                    has = ", ".join(owner.arrays) or "none"
                    self.refuse(node, f"there is no region {name!r} among those of the program: {has}")
                return owner.arrays[name]
            case Record():
                return self.field(node, owner, name)
            case Array():
                shape = tuple(
                    known(length, owner) if length is not None else Value(owner.names) for length in owner.shape
                )
                if name == "shape":
                    return Several(owner.names, "", shape)
                if name == "size":
                    known_all = all(length is not None for length in owner.shape)
                    return known(int(np.prod(owner.shape)), owner) if known_all else Value(owner.names)  # type: ignore[arg-type]
                if name == "ndim":
                    return known(len(owner.shape), owner)
                if name == "T":
                    return replace(owner, shape=owner.shape[::-1])
            case Thing() if isinstance(owner.thing, ModuleType):
                if not hasattr(owner.thing, name):
                    self.refuse(node, f"there is no {owner.thing.__name__}.{name}")
                return outside(name, getattr(owner.thing, name))
            case Thing() if isinstance(owner.thing, enum.EnumType) and hasattr(owner.thing, name):
                return outside(name, getattr(owner.thing, name))
        return Value(owner.names)

    def field(self, node: ast.Attribute, owner: Record, name: str) -> Value:
        fields = owner.dtype.fields
        if name not in fields:
            self.refuse(node, f"{owner.label} has no field {name!r}: it has {', '.join(owner.dtype.names)}")
        dtype = fields[name][0]
        if dtype.subdtype:
            return Array(owner.names, "", f"field {name} of {owner.label}", dtype.shape, dtype.base)
        return element(Array(owner.names, "", f"field {name} of {owner.label}", (), dtype), owner.names)

    def subscript(self, node: ast.Subscript) -> Value:
        owner = self.value(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        index = [self.value(part) for part in parts]
        names = union(owner, *index)
        if isinstance(owner, Regions | Several):
            items = list(owner.arrays.values()) if isinstance(owner, Regions) else owner.items
            number = index[0].value if isinstance(index[0], Known) else None
            inside = type(number) is int and -len(items) <= number < len(items)
            if isinstance(owner, Regions) and not inside:
                has = ", ".join(f"ram.{name}" for name in owner.arrays) or "none"
                self.refuse(node, f"regions have names, not indices: {has}")
            return items[number] if inside and type(number) is int else Value(names)
        if not isinstance(owner, Array) or any(isinstance(p, ast.Constant) and p.value in (None, ...) for p in parts):
            return Value(names)
        if len(parts) > len(owner.shape):
            self.refuse(node, f"{len(parts)} indices are too many for {owner.label}, of shape {_shape(owner)}")
        shape: list[int | None] = []
        for axis, (part, value, size) in enumerate(zip(parts, index, owner.shape, strict=False)):
            if isinstance(part, ast.Slice):
                shape.append(self.length(part, size))
            elif isinstance(value, Array | Several) or not self.fits(node, owner, axis, value):
                return Value(names)
        rest = (*shape, *owner.shape[len(parts) :])
        return replace(owner, names=names, shape=rest) if rest else element(owner, names)

    def fits(self, node: ast.Subscript, owner: Array, axis: int, value: Value) -> bool:
        """Refuses an index that is certainly none."""
        size = owner.shape[axis]
        if not isinstance(value, Known) or not self.certain(value, owner.varies):
            return True
        if type(value.value) is not int:
            self.refuse(node, f"an index of {owner.label} is an integer, not {value.value!r}")
        if size is not None and not -size <= value.value < size:
            self.refuse(node, f"index {value.value} exceeds {owner.label}, whose axis {axis} has {size} elements")
        return True

    def length(self, part: ast.Slice, size: int | None) -> int | None:
        """Of a slice of an axis, as slices are clamped."""
        values = [None if bound is None else self.value(bound) for bound in (part.lower, part.upper, part.step)]
        numbers = [value.value if isinstance(value, Known) else value for value in values]
        if size is None or not all(number is None or type(number) is int for number in numbers) or numbers[2] == 0:
            return None
        return len(range(*slice(*numbers).indices(size)))

    def junction(self, node: ast.BoolOp) -> Value:
        guards, values = self.guards, []
        stops = isinstance(node.op, ast.Or)
        for part in node.values:
            value = self.value(part)
            values.append(value)
            if isinstance(value, Known):
                if bool(value.value) is stops:
                    break
            else:
                self.guards |= value.names
        self.guards = guards
        if all(isinstance(value, Known) for value in values):
            return values[-1]
        kind = "bool" if all(value.kind == "bool" for value in values) else ""
        return Value(union(*values), kind)

    def choice(self, node: ast.IfExp) -> Value:
        test = self.value(node.test)
        if isinstance(test, Known):
            return self.value(node.body if test.value else node.orelse)
        guards = self.guards
        self.guards |= test.names
        one, other = self.value(node.body), self.value(node.orelse)
        self.guards = guards
        return join(one, other, test.names)

    def called(self, node: ast.Call) -> Value:
        function = self.value(node.func)
        given = [self.value(argument) for argument in node.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in node.keywords}
        names = union(function, *given, *named.values())
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value)
            if isinstance(owner, Array):
                return method(owner, node.func.attr, given, names)
        thing = function.thing if isinstance(function, Thing) else None
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return Value(names)
        if _source(thing) in _BY_CHANCE:
            self.refuse(node, f"a kernel cannot use `{_source(thing)}`: {_BY_CHANCE[_source(thing)]}")
        kernel = own_kernel(thing)
        if kernel is not None:
            bound = _bind(kernel, given, named)
            return Value(names) if bound is None else self.call(kernel, bound)
        if isinstance(thing, Kernel) and thing.__module__ == sdk.__name__:
            self.sdk_call(node, thing.__name__, given)
            return Value(names, "float" if thing.__name__ in ("float_word", "random_uniform") else "")
        return builtin(thing, given, names)

    # --- the SDK ----------------------------------------------------------------------------------------------------

    def sdk_call(self, node: ast.Call, name: str, given: Sequence[Value]) -> None:
        """Refuses ports, phases, counts, levels and log entries that do not exist."""
        value = given[1] if len(given) > 1 else Value()
        varies = name == "set_phase" or (name.startswith("send") and self.program.outputs_of is not None)
        if not isinstance(value, Known) or not self.certain(value, varies):
            return
        if name.startswith("send"):
            self.member(node, value.value, self.program.outputs, "output port")
        elif name == "set_phase":
            self.member(node, value.value, self.phases, "phase")
        elif name == "count":
            self.member(node, value.value, self.program.counts, "count")
        elif name == "set_level":
            self.member(node, value.value, tuple(LEVELS), "level", "of a PE")
        elif name == "log":
            self.logs(node, value.value, len(given) - 2)

    def member(
        self, node: ast.Call, number: Any, among: Sequence[str], what: str, whose: str = "that the program declares"
    ) -> None:
        if type(number) is not int or not 0 <= number < len(among):
            has = ", ".join(f"{i} ({name})" for i, name in enumerate(among)) or "none"
            self.refuse(node, f"there is no {what} {number!r} among those {whose}: {has}")

    def logs(self, node: ast.Call, code: Any, count: int) -> None:
        if type(code) is not int:
            self.refuse(node, f"a log entry's code is an integer, not {code!r}")
        if count > LOG_VALUES:
            self.refuse(node, f"a log entry has {LOG_VALUES} values at most, not {count}")
        wanted = values_in(self.program.logs.get(code, ""))
        if count < wanted:
            self.refuse(node, f"the text of log code {code} has places for {wanted} values, {count} are given")


def _shape(array: Array) -> str:
    return "(" + ", ".join("?" if length is None else str(length) for length in array.shape) + ")"


_BY_CHANCE = dict.fromkeys(("random", "numpy.random"), "`sdk.random_uniform` is the same in every run") | {
    "time": "what it computes depends on t, the tick, alone"
}
"""Modules whose functions give other results in every run."""


def _source(function: Any) -> str:
    """The module that a function is of, or that of the object whose method it is."""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, ModuleType):
        return str(getattr(function, "__module__", None) or "")
    return {"mtrand": "numpy.random"}.get(type(owner).__module__.split(".")[-1], type(owner).__module__)


def _bind(function: FunctionType, given: Sequence[Value], named: dict[Any, Value]) -> list[Value] | None:
    """The arguments of a call by position, or None."""
    try:
        bound = inspect.signature(function).bind(*given, **named)
    except TypeError:
        return None
    bound.apply_defaults()
    values = [*bound.args, *bound.kwargs.values()]
    return [value if isinstance(value, Value) else known(value) for value in values]
