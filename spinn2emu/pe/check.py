"""What a kernel may not do, found before it is compiled or by the compiler, with the line where it does."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import linecache
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

from spinn2emu.errors import ProgramError
from spinn2emu.jit import LEAN, is_compiled

_PYTHON_ONLY = {"print", "open", "input", "eval", "exec", "compile", "__import__", "globals", "locals", "getattr"}
_EMULATOR = "spinn2emu."


def own_kernel(value: Any) -> FunctionType | None:
    """The Python form of a compiled function that is the program's own, not the emulator's SDK."""
    own = is_compiled(value) and not value.py_func.__module__.startswith(_EMULATOR)
    return value.py_func if own else None


def rebuild(function: FunctionType, done: dict[Any, Any] | None = None, **options: Any) -> Any:
    """`function` and all kernels that it calls, compiled as the emulator wants them, however they were decorated:
    without allocation, fast-math or threads, so that a program is as safe and deterministic as any other.
    """
    done = {} if done is None else done
    if function not in done:
        names = dict(function.__globals__)
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        copy.__kwdefaults__ = function.__kwdefaults__
        for name in _global_names(function):
            kernel = own_kernel(names.get(name))
            if kernel is not None:
                names[name] = rebuild(kernel, done, **options)
        done[function] = numba.njit(**LEAN, **options)(copy)
    return done[function]


def as_python(function: FunctionType, done: dict[Any, Any] | None = None) -> FunctionType:
    """`function` with the Python form of all kernels that it calls."""
    done = {} if done is None else done
    if function not in done:
        names = dict(function.__globals__)
        done[function] = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        for name in _global_names(function):
            kernel = own_kernel(names.get(name))
            if kernel is not None:
                names[name] = as_python(kernel, done)
    python: FunctionType = done[function]
    return python


def check_kernels(program: str, tick: FunctionType, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ProgramError for an undefined name, a `raise`, a Python function, or an index beyond a region.

    `shapes`: of the program's regions. What only shows when the kernel runs is found by `--strict`.
    """
    if tick.__code__.co_argcount != 4:
        line = tick.__code__.co_firstlineno
        raise ProgramError(
            f"program {program}, line {line}: tick takes (pe, ram, rx, t), not {tick.__code__.co_argcount} arguments",
            program=program, line=line,
        )  # fmt: skip
    for function in _reachable(tick):
        where = f"program {program}, {function.__name__}, line"
        for line, problem in (*_instructions(function), *_indices(function, shapes)):
            text = f"{where} {line} of {function.__code__.co_filename}: {problem}"
            raise ProgramError(text, program=program, line=line)


_ALLOCATES = re.compile(
    r"NRT required|function (zeros|ones|empty|full|array|arange|linspace|copy|concatenate|stack|where|unique|sort)\w*>"
)
_PLACE = re.compile(r'(?:File "|at )([^"\s]+?\.py)(?:", line | \()(\d+)')


def explain(program: str, tick: FunctionType, error: Exception) -> ProgramError:
    """What the compiler says of a program, in a line: where it is in the program's own files, and what is wrong."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    files = {Path(function.__code__.co_filename).name: function.__code__.co_filename for function in _reachable(tick)}
    places = [(files[Path(file).name], int(line)) for file, line in _PLACE.findall(text) if Path(file).name in files]
    file, line = places[0] if places else (tick.__code__.co_filename, tick.__code__.co_firstlineno)
    reason = next(
        (row.strip() for row in text.splitlines() if row.strip() and "nopython mode pipeline" not in row), "unknown"
    )
    if "Function(int64)" in reason:
        reason = "tick must return an integer in every case: 0, or an error code"
    elif _ALLOCATES.search(text):
        reason = "a kernel cannot allocate (arrays, lists, strings, slices that are assigned): keep it in a region"
    source = linecache.getline(file, line).strip()
    where = f"program {program} does not compile: line {line} of {file}"
    return ProgramError(f"{where}: {reason}\n    {source}", program=program, line=line, details=text)


def _reachable(tick: FunctionType) -> list[FunctionType]:
    found = [tick]
    for function in found:
        for name in _global_names(function):
            kernel = own_kernel(function.__globals__.get(name))
            if kernel is not None and kernel not in found:
                found.append(kernel)
    return found


def _global_names(function: FunctionType) -> list[str]:
    return sorted({i.argval for i in dis.get_instructions(function) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")})


def _instructions(function: FunctionType) -> Iterator[tuple[int, str]]:
    for instruction in dis.get_instructions(function):
        line = instruction.positions.lineno if instruction.positions and instruction.positions.lineno else 0
        name = instruction.argval
        if instruction.opname == "RAISE_VARARGS":
            yield line, "a kernel cannot raise (nor assert): return an error code, and give its text in `errors`"
        if name == "objmode":
            yield line, "a kernel cannot call Python (objmode): use `sdk.log` to report, regions to keep data"
        if instruction.opname != "LOAD_GLOBAL":
            continue
        value = function.__globals__.get(name)
        if name not in function.__globals__ and not hasattr(builtins, name):
            yield line, f"the name {name!r} is not defined"
        elif value is None and name in _PYTHON_ONLY:
            yield line, f"a kernel cannot call Python ({name}): use `sdk.log` to report, regions to keep data"
        elif isinstance(value, FunctionType):
            yield line, f"{name} is a Python function: decorate it with `sdk.kernel`, so that it is compiled, too"


def _indices(function: FunctionType, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[int, str]]:
    """Constant indices of `ram.region[…]` that the region does not have."""
    lines, first = inspect.getsourcelines(function)
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute)):
            continue
        owner, region = node.value.value, node.value.attr
        if not (isinstance(owner, ast.Name) and owner.id == "ram" and region in shapes):
            continue
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for axis, (part, size) in enumerate(zip(parts, shapes[region], strict=False)):
            try:
                index = ast.literal_eval(part)
            except ValueError:
                continue
            if isinstance(index, int) and not -size <= index < size:
                text = f"index {index} exceeds region {region}, whose axis {axis} has {size} elements"
                yield first + node.lineno - 1, text
