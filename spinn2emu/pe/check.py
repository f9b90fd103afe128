"""What a kernel may not do, found before it is compiled, with the line where it does."""

from __future__ import annotations

import builtins
import dis
import linecache
import sys
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from spinn2emu.errors import ProgramError
from spinn2emu.jit import Kernel
from spinn2emu.jit.fingerprint import closure, references

if TYPE_CHECKING:
    from spinn2emu.program import Program

_PYTHON_ONLY = {"print", "open", "input", "eval", "exec", "compile", "__import__", "globals", "locals", "getattr"}
_EMULATOR = "spinn2emu."
_SDK = "spinn2emu.sdk"
_OF_TICK = {"send", "send_word", "send_float", "send_words", "send_array", "set_phase", "set_level", "count"}

Entry = Literal["tick", "drain"]
"""A function of a program that the PE calls."""
ARGUMENTS: dict[Entry, tuple[str, ...]] = {"tick": ("pe", "ram", "rx", "t"), "drain": ("pe", "ram", "rx")}


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
        names, free = dict(function.__globals__), closure(function)
        cells = tuple(CellType() for _ in function.__code__.co_freevars)
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        copy.__kwdefaults__ = function.__kwdefaults__
        done[function] = make(copy)
        copies: dict[str, ModuleType] = {}
        for path, value in references(function).items():
            chosen = choose(value)
            if chosen is not None:
                scope = free if path.partition(".")[0] in free else names
                _put(scope, path, _replace(chosen, choose, make, done), copies)
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
            if name in free:
                cell.cell_contents = free[name]
    return done[function]


def _put(scope: dict[str, Any], path: str, value: Any, copies: dict[str, ModuleType]) -> None:
    """Makes `value` what `path` stands for in a scope: the modules on the way become copies."""
    *owners, name = path.split(".")
    for number, owner in enumerate(owners, 1):
        here = ".".join(owners[:number])
        if here not in copies:
            copies[here] = ModuleType(scope[owner].__name__)
            copies[here].__dict__.update(scope[owner].__dict__)
            scope[owner] = copies[here]
        scope = copies[here].__dict__
    scope[name] = value


def refuse(program: Program, function: FunctionType, line: int, problem: str) -> NoReturn:
    """Raises the ProgramError about a line of a kernel."""
    file = function.__code__.co_filename
    source = linecache.getline(file, line).strip()
    text = f"program {program.name}, {function.__name__}, line {line} of {file}: {problem}"
    raise ProgramError(f"{text}\n    {source}" if source else text, program=program.name, line=line, file=file)


def check_kernels(program: Program, entry: FunctionType, name: Entry = "tick") -> None:
    """Raises ProgramError for an undefined name, a `raise`, a Python function, kernels that call each other, or what
    `drain` may not call."""
    if not isinstance(entry, FunctionType):
        text = f"program {program.name}: {name} must be a Python function, not {entry!r}"
        raise ProgramError(text, program=program.name)
    if entry.__code__.co_argcount != len(ARGUMENTS[name]):
        count, wanted = entry.__code__.co_argcount, ", ".join(ARGUMENTS[name])
        refuse(program, entry, entry.__code__.co_firstlineno, f"{name} takes ({wanted}), not {count} arguments")
    for function in reachable(entry):
        for line, problem in _instructions(function):
            refuse(program, function, line, problem)
        if name == "drain":
            _refuse_sends(program, function)
    _refuse_circles(program, entry, (), set())


def _refuse_sends(program: Program, function: FunctionType) -> None:
    """`drain` works in the tick in which packets arrive, of which time has passed on already."""
    for path, value in references(function).items():
        called = path.rpartition(".")[2]
        if is_kernel(value) and value.py_func.__module__ == _SDK and value.__name__ in _OF_TICK:
            lines = [i.positions.lineno for i in dis.get_instructions(function) if i.argval == called and i.positions]
            problem = f"{value.__name__} cannot be called in `drain`, which only takes packets in: do it in `tick`"
            refuse(program, function, next((line for line in lines if line), 0), problem)


def _refuse_circles(
    program: Program, function: FunctionType, callers: tuple[FunctionType, ...], done: set[Any]
) -> None:
    """numba leaves calls open of functions that call each other."""
    done.add(function)
    for value in references(function).values():
        kernel = own_kernel(value)
        if kernel in callers:
            names = ", ".join(caller.__name__ for caller in (*callers[callers.index(kernel) :], function))
            problem = f"kernels cannot call each other in a circle ({names}); one may call itself"
            refuse(program, kernel, kernel.__code__.co_firstlineno, problem)
        if kernel is not None and kernel not in done:
            _refuse_circles(program, kernel, (*callers, function), done)


def reachable(entry: FunctionType) -> list[FunctionType]:
    """An entry, and all kernels of the program that it calls."""
    found = [entry]
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
