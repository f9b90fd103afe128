"""What a kernel may not do, found before it is compiled or by the compiler, with the line where it does."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from spinn2emu.errors import ProgramError
from spinn2emu.jit import Kernel
from spinn2emu.jit.fingerprint import references

if TYPE_CHECKING:
    from spinn2emu.program import Program

_PYTHON_ONLY = {"print", "open", "input", "eval", "exec", "compile", "__import__", "globals", "locals", "getattr"}
_EMULATOR = "spinn2emu."


def is_kernel(value: Any) -> bool:
    """Whether `value` is a compiled function: one of the SDK's decorator, or of numba's."""
    numba = sys.modules.get("numba.core.dispatcher")
    return isinstance(value, Kernel) or (numba is not None and isinstance(value, numba.Dispatcher))


def own_kernel(value: Any) -> FunctionType | None:
    """The Python form of a compiled function that is the program's own, not the emulator's SDK."""
    own = is_kernel(value) and not value.py_func.__module__.startswith(_EMULATOR)
    return value.py_func if own else None


def rebuild(function: FunctionType) -> Kernel:
    """`function` and all kernels that it calls, as the emulator wants them compiled, however they were decorated:
    without allocation, fast-math or threads, so that a program is as safe and deterministic as any other.
    """
    return _replace(function, own_kernel, Kernel, {})


def as_python(function: FunctionType) -> FunctionType:
    """`function` with the Python form of all kernels that it calls, the SDK's, too."""
    python: FunctionType = _replace(
        function, lambda value: value.py_func if is_kernel(value) else None, lambda f: f, {}
    )
    return python


def _replace(
    function: FunctionType, choose: Callable[[Any], FunctionType | None], make: Callable[[FunctionType], Any],
    done: dict[FunctionType, Any],
) -> Any:  # fmt: skip
    """A copy of `function` that calls the copies of those functions that `choose` takes, each as `make` makes it."""
    if function not in done:
        names = dict(function.__globals__)
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        copy.__kwdefaults__ = function.__kwdefaults__
        done[function] = make(copy)
        modules: dict[str, ModuleType] = {}
        for name, value in references(function).items():
            chosen = choose(value)
            if chosen is None:
                continue
            owner, _, attribute = name.partition(".")
            if not attribute:
                names[owner] = _replace(chosen, choose, make, done)
                continue
            if owner not in modules:
                modules[owner] = ModuleType(names[owner].__name__)
                modules[owner].__dict__.update(names[owner].__dict__)
                names[owner] = modules[owner]
            setattr(modules[owner], attribute, _replace(chosen, choose, make, done))
    return done[function]


def check_kernels(program: Program, tick: FunctionType, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ProgramError for an undefined name, a `raise`, a Python function, or an index beyond a region.

    `shapes`: of the program's regions. What only shows when the kernel runs is found by `--strict`.
    """
    if tick.__code__.co_argcount != 4:
        line, count = tick.__code__.co_firstlineno, tick.__code__.co_argcount
        raise ProgramError(
            f"program {program.name}, line {line}: tick takes (pe, ram, rx, t), not {count} arguments",
            program=program.name, line=line,
        )  # fmt: skip
    for function in _reachable(tick):
        where = f"program {program.name}, {function.__name__}, line"
        for line, problem in (*_instructions(function), *_indices(function, shapes)):
            text = f"{where} {line} of {function.__code__.co_filename}: {problem}"
            raise ProgramError(text, program=program.name, line=line)


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
        for value in references(function).values():
            kernel = own_kernel(value)
            if kernel is not None and kernel not in found:
                found.append(kernel)
    return found


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
