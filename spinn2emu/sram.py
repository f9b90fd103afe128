"""A PE's 128 kB of SRAM: the linker that places regions, the memory map, and the views of them.

0x00000  ITCM, 32 kB: code
0x08000  DTCM: system regions, the receive FIFO, the program's regions, free space
0x1F000  heap and stack, 4 kB
"""

from __future__ import annotations

from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

import numpy as np

from spinn2emu import spec
from spinn2emu.errors import ConfigError, ProgramError, SramOverflow
from spinn2emu.program import Program, Region
from spinn2emu.registers import system_regions

DATA_BASE = spec.ITCM_BYTES.value
DATA_END = spec.STACK_BASE.value
MAX_REGIONS = 100
"""Own choice; bounds the context table of `sdk.py`."""


@dataclass(frozen=True)
class Symbol:
    """A placed region. `address` is the PE's own, from 0."""

    name: str
    address: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    unit: str

    @property
    def nbytes(self) -> int:
        return int(self.dtype.itemsize * np.prod(self.shape, dtype=np.int64))

    def view(self, sram: np.ndarray) -> np.ndarray:
        """The region as an array over `sram`, the PE's bytes (uint8, 131072)."""
        return sram[self.address : self.address + self.nbytes].view(self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class MemoryMap:
    """Where a program's regions lie. `str(map)` is a table."""

    program: str
    symbols: tuple[Symbol, ...]

    def __getitem__(self, name: str) -> Symbol:
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol
        known = ", ".join(symbol.name for symbol in self.symbols)
        raise ConfigError(f"{self.program} has no region {name!r}; it has {known}")

    @property
    def used(self) -> int:
        """Bytes of the data space in use, padding included."""
        return self.symbols[-1].address + self.symbols[-1].nbytes - DATA_BASE

    @property
    def free(self) -> int:
        """Bytes between the last region and the stack."""
        return DATA_END - DATA_BASE - self.used

    def __str__(self) -> str:
        rows = [f"{s.address:#07x} {s.nbytes:>7} B  {s.name:<12} {s.dtype.str}{list(s.shape)}" for s in self.symbols]
        return "\n".join([*rows, f"free    {self.free:>7} B of {DATA_END - DATA_BASE} B"])


def align(address: int) -> int:
    """The next multiple of the DMA alignment."""
    unit = spec.DMA_ALIGNMENT.value
    return -(-address // unit) * unit


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
    fixed = [*system_regions(), Region("fifo", np.uint8, (program.fifo_of(parameters).nbytes,), "byte")]
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
