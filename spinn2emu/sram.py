"""A PE's 128 kB of SRAM: the linker that places a program's regions.

0x00000  ITCM, 32 kB: code
0x08000  DTCM: system regions, the receive FIFO, the program's regions, free space
0x1F000  heap and stack, 4 kB
"""

from __future__ import annotations

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
        np.broadcast_to(np.asarray(0 if region.init is None else region.init), region.shape)
        np.dtype(region.dtype)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{who}, dtype {region.dtype}, shape {region.shape}: {error}") from error


def link(program: Program, parameters: Any) -> tuple[MemoryMap, dict[str, Any]]:
    """Places the regions of a program. Returns the map and the regions' initial values by name.

    Raises SramOverflow, with the whole map, if they do not fit.
    """
    fixed = system_regions(program.log_of(parameters), program.fifo_of(parameters).nbytes)
    start = sum(align(region.nbytes) for region in fixed)
    own = list(program.regions(parameters, DATA_END - DATA_BASE - start))
    for region in own:
        _check(program, region)
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
