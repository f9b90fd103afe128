"""A PE's 128 kB of SRAM: the linker that places a program's regions.

0x00000  ITCM, 32 kB: code
0x08000  DTCM: system regions, the receive FIFO, the program's regions, free space
0x1F000  heap and stack, 4 kB
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from keyword import iskeyword
from typing import Any

import numpy as np

from spinn2emu.errors import ProgramError, SramOverflow
from spinn2emu.memory_map import DATA_BASE, DATA_END, MemoryMap, Symbol
from spinn2emu.program import Program, Region
from spinn2emu.registers import align, system_regions
from spinn2emu.sdk import MAX_REGIONS


def _check(program: Program, region: Region) -> None:
    """Raises ProgramError for a region that kernels cannot see."""
    who = f"{program.name}, region {region.name!r}"
    if not region.name.isidentifier() or iskeyword(region.name) or region.name.startswith("_"):
        raise ProgramError(f"{who}: the name must be an identifier that does not begin with _")
    if not 1 <= len(region.shape) <= 3 or min(region.shape) < 0:
        raise ProgramError(f"{who}: shape {region.shape} must have 1 to 3 axes, none negative")
    try:
        dtype = np.dtype(region.dtype)
    except TypeError as error:
        raise ProgramError(f"{who}: there is no dtype {region.dtype!r}; np.float32 and np.int64 are some") from error
    if not _holds_numbers(dtype):
        raise ProgramError(f"{who}: SRAM holds numbers, little-endian, and records of them, not dtype {dtype}")
    try:
        np.broadcast_to(np.asarray(0 if region.init is None else region.init), region.shape)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{who}, shape {region.shape}: its initial values: {error}") from error


def _place(program: Program, region: Region) -> str:
    """Where a region is declared: the line that has its name, or that of the function that makes all of them."""
    code = getattr(program.regions, "__code__", None)
    if code is None:
        return "no line"
    file, first = code.co_filename, code.co_firstlineno
    last = max((line for _, _, line in code.co_lines() if line), default=first)
    quoted = (f'"{region.name}"', f"'{region.name}'")
    lines = [n for n in range(first, last + 1) if any(text in linecache.getline(file, n) for text in quoted)]
    return f"line {lines[0] if lines else first} of {file}"


def _holds_numbers(dtype: np.dtype[Any]) -> bool:
    if dtype.names:
        return all(_holds_numbers(dtype[name].base) for name in dtype.names)
    return dtype.kind in "biufc" and dtype.isnative and dtype.itemsize <= (16 if dtype.kind == "c" else 8)


def lay_out(program: Program, parameters: Any) -> tuple[MemoryMap, dict[str, Any]]:
    """Places the regions of a program. Returns the map and the regions' initial values by name.

    Raises SramOverflow, with the whole map, if they do not fit.
    """
    fixed = system_regions(program.log_of(parameters), sum(f.nbytes for f in program.fifos_of(parameters)))
    start = sum(align(region.nbytes) for region in fixed)
    given: Any = program.regions(parameters, DATA_END - DATA_BASE - start) if callable(program.regions) else None
    own: list[Any] = list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(region, Region) for region in own):
        raise ProgramError(
            f"{program.name}: `regions` must be a function (parameters, available) that returns a list of "
            f"Region(name, dtype, shape), not {given!r:.80}", program=program.name,
        )  # fmt: skip
    for region in own:
        try:
            _check(program, region)
        except ProgramError as error:
            raise ProgramError(f"{error.message} ({_place(program, region)})", program=program.name) from error
    if len(own) > MAX_REGIONS:
        raise ProgramError(f"{program.name} has {len(own)} regions, at most {MAX_REGIONS} are possible: join some")
    names = [region.name for region in [*fixed, *own]]
    if len(set(names)) != len(names):
        raise ProgramError(f"{program.name}: region names repeat or are the system's: {sorted(names)}")
    symbols, address = [], DATA_BASE
    for region in [*fixed, *own]:
        symbols.append(Symbol(region.name, address, np.dtype(region.dtype), tuple(region.shape), region.unit))
        address = align(address + region.nbytes)
    memory = MemoryMap(program.name, tuple(symbols))
    if memory.free < 0:
        raise SramOverflow(
            f"{program.name} needs {memory.used} bytes of data space, a PE has {DATA_END - DATA_BASE}: "
            f"{-memory.free} too many. Make the layer smaller or shorten the run. Its regions:\n{memory}",
            program=program.name, needed=memory.used, limit=DATA_END - DATA_BASE,
        )  # fmt: skip
    return memory, {region.name: region.init for region in own if region.init is not None}
