"""What a kernel certainly does wrong, found before it is compiled: it is followed with all constants that it has.

Indices beyond a region, whatever expression they come from; regions, fields, ports and phases that do not exist; a
`tick` or `drain` that does not return a code. Where something is not certain, nothing is said: a condition that is not
known and mentions a variable may guard whatever comes from it.
"""

from __future__ import annotations

import ast
import collections
import functools
import inspect
import linecache
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any

from spinn2emu.errors import ProgramError
from spinn2emu.memory_map import Symbol
from spinn2emu.packets import PACKET
from spinn2emu.pe.check import ARGUMENTS, Entry
from spinn2emu.pe.expressions import Expressions, Frame
from spinn2emu.pe.values import (
    MEMORY,
    NOBODY,
    Array,
    Known,
    Names,
    Regions,
    Several,
    Value,
    binary,
    element,
    join,
    known,
    named,
    union,
)  # fmt: skip
from spinn2emu.program import NoParameters, Program

MOST_ROUNDS = 256
"""Of a loop that are followed one by one; else the first and the last."""
DEEPEST = 12
"""Calls within calls."""
MAX_CODE = (1 << 31) - 1

_WORDS: dict[type[ast.stmt], str] = {
    ast.With: "with", ast.Delete: "del", ast.ClassDef: "class", ast.AsyncFunctionDef: "async",
}  # fmt: skip
_CODES = f"{{}} must return an integer in every case, 0 or an error code up to {MAX_CODE}"


def check_constants(
    program: Program, entry: FunctionType, symbols: Sequence[Symbol], phases: Sequence[str], name: Entry = "tick"
) -> None:
    """Raises ProgramError, with the line; `program` with its ports, `phases` by name."""
    # A program without parameters has no shapes that depend on them, nor conditions that know about them.
    names = NOBODY if program.parameters is NoParameters else frozenset([MEMORY])
    fixed = _fixed(program.regions)
    arrays = {s.name: Array(names, "", f"region {s.name}", s.shape, s.dtype, s.name not in fixed) for s in symbols}
    given = [Value(), Regions(arrays=arrays), Array(label="rx", shape=(None,), dtype=PACKET), Value(NOBODY)]
    follower = _Follower(program, phases)
    follower.codes = _CODES.format(name)
    try:
        follower.call(entry, given[: len(ARGUMENTS[name])])
    except ProgramError:
        raise
    except Exception:  # too long, too deep, or Python that nobody thought of: numba and the run will tell
        return


class _Follower(Expressions):
    codes = ""
    """What the entry must return."""

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(self, function: FunctionType, given: Sequence[Value]) -> Value:
        """Follows a call; what it returns."""
        tree = _tree(function)
        if tree is None or len(self.frames) == DEEPEST:
            return Value(union(*given))
        node, first = tree
        parameters = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        if len(parameters) != len(given) or node.args.vararg or node.args.kwonlyargs or node.args.kwarg:
            return Value(union(*given))
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        outer = {name: cell.cell_contents for name, cell in cells}
        frame = Frame(function, first, outer, dict(zip(parameters, map(named, parameters, given), strict=True)), [])
        guards = self.guards
        self.frames.append(frame)
        falls = self.block(node.body)
        if falls and len(self.frames) == 1:
            self.refuse(node.body[-1], f"{self.codes}; it can end here without a `return`")
        self.frames.pop()
        self.guards = guards
        results = [*frame.returned, *([known(None)] if falls else [])]
        result = results[0] if results else Value()
        for other in results[1:]:
            result = join(result, other, union(*given))
        return result

    # --- statements -------------------------------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt]) -> bool:
        """Follows statements; whether they can end without a return, break or continue."""
        return all(self.statement(node) for node in body)

    def statement(self, node: ast.stmt) -> bool:
        self.count()
        variables = self.frames[-1].variables
        match node:
            case ast.Return():
                self.returns(node)
                return False
            case ast.Break() | ast.Continue() | ast.Raise():
                return False
            case ast.Assign():
                value = self.value(node.value)
                for target in node.targets:
                    self.assign(target, value)
            case ast.AnnAssign() if node.value is not None:
                self.assign(node.target, self.value(node.value))
            case ast.AugAssign():
                own = self.value(node.target)
                self.assign(node.target, binary(node.op, own, self.value(node.value)))
            case ast.If():
                return self.either(node)
            case ast.For():
                self.loop(node)
            case ast.While():
                return self.repeat(node)
            case ast.Expr():
                self.value(node.value)
            case ast.Pass():
                pass
            case ast.Global() | ast.Nonlocal():
                self.refuse(node, f"a kernel cannot change {', '.join(node.names)} of its module: keep it in a region")
            case ast.Import() | ast.ImportFrom():
                self.refuse(node, "a kernel cannot import: do it at the beginning of the file")
            case ast.Try() if node.handlers:
                self.refuse(node, "a kernel cannot catch exceptions: nothing raises one")
            case ast.With() | ast.Delete() | ast.ClassDef() | ast.AsyncFunctionDef():
                self.refuse(node, f"a kernel has no `{_WORDS[type(node)]}`")
            case _:
                for name in _assigned([node]):
                    variables[name] = Value(frozenset([name]))
        return True

    def assign(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name():
                self.frames[-1].variables[target.id] = named(target.id, value)
            case ast.Tuple() | ast.List():
                items = value.items if isinstance(value, Several) else ()
                for i, part in enumerate(target.elts):
                    same = len(items) == len(target.elts)
                    self.assign(part, items[i] if same else Value(value.names))
            case ast.Attribute() if isinstance(self.value(target.value), Regions | Array):
                self.refuse(
                    target, f"`{ast.unparse(target)}` cannot be replaced: write its elements, with [index] or [:]"
                )
            case _:
                self.value(target)

    def returns(self, node: ast.Return) -> None:
        value = known(None) if node.value is None else self.value(node.value)
        self.frames[-1].returned.append(value)
        if len(self.frames) > 1:
            return
        if isinstance(value, Known) and isinstance(value.value, str | float | bool | None):
            self.refuse(node, f"{self.codes}; it returns {value.value!r}")
        if value.kind or isinstance(value, Several | Array):
            what = value.kind or ("tuple" if isinstance(value, Several) else "part of an array")
            self.refuse(node, f"{self.codes}; it returns a {what}")
        if isinstance(value, Known) and not 0 <= value.value <= MAX_CODE and not value.names & self.guards:
            self.refuse(node, f"error codes are 0 (all is well) to {MAX_CODE}; it returns {value.value}")

    def either(self, node: ast.If) -> bool:
        test = self.value(node.test)
        if isinstance(test, Known):
            return self.block(node.body if test.value else node.orelse)
        frame, guards = self.frames[-1], self.guards
        before = dict(frame.variables)
        self.guards = guards | test.names
        one = self.block(node.body)
        after = dict(frame.variables)
        frame.variables.clear()
        frame.variables.update(before)
        inside, self.guards = self.guards, guards | test.names
        other = self.block(node.orelse)
        inside |= self.guards
        if one and other:
            self.guards = guards
            for name in after.keys() | frame.variables.keys():
                nothing = Value(frozenset([name]))
                frame.variables[name] = join(after.get(name, nothing), frame.variables.get(name, nothing), test.names)
        else:  # whoever comes here has not gone the other way: the condition guards what follows
            self.guards = inside - {MEMORY} | guards
            if one:
                frame.variables.clear()
                frame.variables.update(after)
        return one or other

    def loop(self, node: ast.For) -> None:
        over = node.iter
        rounds: list[Value] = [Value()]
        perhaps, each = NOBODY, False
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
            bounds = [self.value(argument) for argument in over.args]
            rounds = [Value(union(*bounds))]
            perhaps = union(*bounds)
            numbers = [bound.value for bound in bounds if isinstance(bound, Known) and type(bound.value) is int]
            if len(numbers) == len(bounds) and 1 <= len(numbers) <= 3 and (len(numbers) < 3 or numbers[2]):
                steps = range(*numbers)
                each = _is_simple(node.body) and len(steps) <= MOST_ROUNDS
                rounds = [known(i, *bounds) for i in (steps if each else dict.fromkeys([*steps[:1], *steps[-1:]]))]
        else:
            value = self.value(over)
            if isinstance(value, Several):
                rounds = list(value.items)
            elif isinstance(value, Array) and value.shape:
                part, perhaps = value.shape[1:], value.names if value.shape[0] is None else NOBODY
                rounds = [replace(value, shape=part) if part else element(value, value.names)]
                rounds = [] if value.shape[0] == 0 else rounds
        guards, leaves, targets = self.guards, _leaves(node.body), _stored(node.target)
        for value in rounds:
            if each:
                self.depend(node.body, targets)
            else:
                self.forget(node.body, targets)
            self.assign(node.target, value)
            if leaves:  # nobody knows how far it comes
                self.guards |= _assigned([node])
            if not isinstance(value, Known):
                self.guards |= perhaps & {MEMORY}
            self.block(node.body)
        self.guards = guards
        if not each:
            self.forget([node])
        self.block(node.orelse)

    def repeat(self, node: ast.While) -> bool:
        for _ in range(MOST_ROUNDS if _is_simple(node.body) else 0):
            test = self.value(node.test)
            if not isinstance(test, Known):
                break
            if not test.value:
                return self.block(node.orelse)
            self.depend(node.body, _assigned(node.body))
            self.block(node.body)
        self.forget(node.body)
        test = self.value(node.test)
        endless = isinstance(test, Known) and bool(test.value)
        if not isinstance(test, Known) or endless:
            guards = self.guards
            self.guards |= test.names | _assigned(node.body)
            self.block(node.body)
            self.guards = guards
            self.forget(node.body)
        self.block(node.orelse)
        return not endless or _leaves(node.body, ast.Break)

    def depend(self, body: Sequence[ast.stmt], names: Names) -> None:
        """What is assigned in a loop depends on how often it goes round."""
        variables = self.frames[-1].variables
        for name in _assigned(body) & variables.keys():
            variables[name] = replace(variables[name], names=variables[name].names | names)

    def forget(self, body: Sequence[ast.stmt], names: Names = NOBODY) -> None:
        """What is assigned in a loop has no known value at its beginning; it depends on `names`, too."""
        for name in _assigned(body):
            self.frames[-1].variables[name] = Value(names | {name})


@functools.cache
def _fixed(regions: Any) -> Names:
    """Regions that are declared in one place, with a shape that depends on no parameter."""
    code = getattr(regions, "__code__", None)
    if code is None:
        return NOBODY
    variables = set(code.co_varnames).union(*(c.co_varnames for c in code.co_consts if hasattr(c, "co_varnames")))
    linecache.checkcache(code.co_filename)
    try:
        file = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return NOBODY
    calls = [
        node for node in ast.walk(file) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Region")
    ]
    named = [(call.args[0].value, call.args[2]) for call in calls
             if len(call.args) > 2 and isinstance(call.args[0], ast.Constant)]  # fmt: skip
    places = collections.Counter(name for name, _ in named)
    free = {name for name, shape in named if not variables & {n.id for n in ast.walk(shape) if isinstance(n, ast.Name)}}
    return frozenset(str(name) for name in free if places[name] == 1)


@functools.cache
def _tree(function: FunctionType) -> tuple[ast.FunctionDef, int] | None:
    """A function's syntax tree, and the line that it begins at; None if its source cannot be had."""
    try:
        lines, first = inspect.getsourcelines(function)
        node = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, SyntaxError, IndexError):
        return None
    return (node, first) if isinstance(node, ast.FunctionDef) else None


@functools.cache
def _stored(tree: ast.AST) -> Names:
    """Names that get a value in it."""
    nodes = ast.walk(tree)
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def _assigned(body: Sequence[ast.stmt]) -> Names:
    """Names that get a value in these statements."""
    return NOBODY.union(*map(_stored, body))


def _is_simple(body: Sequence[ast.stmt]) -> bool:
    """Whether a loop's body can be followed round by round: it has no loops in it, and nothing leaves it."""
    return not _leaves(body, ast.For, ast.While, ast.Break, ast.Continue, ast.Return)


def _leaves(body: Sequence[ast.stmt], *kinds: type[ast.stmt]) -> bool:
    """Whether a loop's body can leave it, or go on early."""
    kinds = kinds or (ast.Break, ast.Continue, ast.Return)
    return any(isinstance(node, kinds) for statement in body for node in ast.walk(statement))
