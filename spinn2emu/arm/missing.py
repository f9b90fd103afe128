"""Which line of a program calls a function that the PE does not have; the linker knows only its name.

LLVM's code as numba makes it, before it is optimized, says of each call on which line it stands. Where that is
in a function of numba's own, its callers are asked, up to one of the program.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from spinn2emu.errors import ProgramError
from spinn2emu.jit import Kernel
from spinn2emu.memory_map import Symbol
from spinn2emu.pe.check import Entry, reachable, rebuild
from spinn2emu.program import Program

_CALL = re.compile(r'(?:call|invoke) .*?@"?([^"(]+)"?\(')
_REMAINDER = re.compile(r" = frem (float|double) ")
_PLACE = re.compile(r"!dbg !(\d+)")
_LINE = re.compile(r"^!(\d+) = !DILocation\(line: (\d+).*?scope: !(\d+)", re.MULTILINE)
_SCOPE = re.compile(r"^!(\d+) = distinct !DISubprogram\(.*?file: !(\d+)", re.MULTILINE)
_FILE = re.compile(r'^!(\d+) = !DIFile\(filename: "(.*?)", directory: "(.*?)"\)', re.MULTILINE)
_MADE_OF = {"cbrt": ("pow",), "exp2": ("pow", "exp"), "exp10": ("pow", "exp")}
"""Functions that LLVM calls in place of others."""


class _Call(NamedTuple):
    """A call in LLVM's code: who, whom, and where in the source."""

    caller: str
    callee: str
    file: str
    line: int


def explain_missing(
    error: ProgramError, program: Program, entries: Collection[Entry], symbols: Sequence[Symbol],
    instead: Mapping[Kernel, Kernel],
) -> ProgramError:  # fmt: skip
    """The error of the linker about a symbol, with the line of the program; as it is, if none is found."""
    from spinn2emu.arm.compile import entry_function
    from spinn2emu.jit import compiler

    for entry in entries:
        function: Any = getattr(program, entry)
        function = getattr(function, "py_func", function)
        files = {own.__code__.co_filename for own in reachable(function)}
        with compiler.compiling(compiler.Mode(lines=True, instead=instead)):
            code = str(compiler.module_of(entry_function(rebuild(function), entry, symbols), 2, entry, "uint32"))
        found = _find(_calls(code), error.symbol, files)
        if found is not None:
            source = linecache.getline(found.file, found.line).strip()
            text = f"{error.message}: line {found.line} of {found.file}\n    {source}"
            return ProgramError(text, **error.fields, line=found.line, file=found.file)
    return error


def _calls(code: str) -> list[_Call]:
    """All calls; those in functions of numba have no place in the source."""
    files = {number: f"{folder}/{name}" if not name.startswith("/") else name for number, name, folder in
             _FILE.findall(code)}  # fmt: skip
    scopes = {number: files.get(file, "") for number, file in _SCOPE.findall(code)}
    places = {number: (scopes.get(scope, ""), int(line)) for number, line, scope in _LINE.findall(code)}
    calls, caller = [], ""
    for text in code.splitlines():
        if text.startswith("define "):
            found = re.search(r'@"?([^"(]+)"?\(', text)
            caller = found[1] if found else ""
            continue
        if call := _CALL.search(text):
            name = call[1]
        elif remainder := _REMAINDER.search(text):
            name = "fmodf" if remainder[1] == "float" else "fmod"
        else:
            continue
        place = _PLACE.search(text)
        calls.append(_Call(caller, name, *(places.get(place[1], ("", 0)) if place else ("", 0))))
    return calls


def _find(calls: Sequence[_Call], symbol: str, files: Collection[str]) -> _Call | None:
    """The first call on a line of the program that leads to `symbol`."""
    names = [symbol.removesuffix("f"), *_MADE_OF.get(symbol.removesuffix("f"), ())]
    wanted = [symbol, *(text for name in names for text in (name, f"llvm.{name}.f32", f"llvm.{name}.f64"))]
    asked = set(wanted)
    while wanted:
        callee = wanted.pop(0)
        for call in calls:
            if call.callee == callee:
                if call.file in files:
                    return call
                if call.caller not in asked:
                    asked.add(call.caller)
                    wanted.append(call.caller)
    return None
