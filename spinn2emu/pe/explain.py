"""What the compiler says of a program, in plain English, with the line of the program that it is about."""

from __future__ import annotations

import linecache
import re
from pathlib import Path
from types import FunctionType

from spinn2emu.errors import ProgramError
from spinn2emu.pe.check import reachable

_ALLOCATES = re.compile(
    r"NRT required|function (zeros|ones|empty|full|array|arange|linspace|copy|concatenate|stack|where|unique|sort)\w*>"
)
_PLACE = re.compile(r'(?:File "|at )([^"\s]+?\.py)(?:", line | \()(\d+)')


def explain(program: str, tick: FunctionType, error: Exception) -> ProgramError:
    """What the compiler says of a program, in a line: where it is in the program's own files, and what is wrong."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    files = {Path(function.__code__.co_filename).name: function.__code__.co_filename for function in reachable(tick)}
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
