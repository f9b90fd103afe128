"""Where a program's regions lie in a PE's SRAM, and how values become their bytes. Chip and host both use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinn2emu import spec
from spinn2emu.errors import ConfigError

DATA_BASE = spec.ITCM_BYTES.value
DATA_END = spec.STACK_BASE.value


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

    def fit(self, values: np.ndarray, whole: bool = False) -> np.ndarray:
        """`values` in the region's dtype: all of the region, or (not `whole`) the beginning of it, or of its rows.

        Raises ConfigError if they are too many, of another shape, or lose their value (a fraction in an integer).
        """
        rows = values.ndim == len(self.shape) and values.shape[1:] == self.shape[1:] and values.size <= self._size
        begins = values.ndim <= 1 and values.size <= self._size
        if values.shape != self.shape and (whole or not (rows or begins)) and not (whole and values.ndim == 0):
            raise ConfigError(
                f"region {self.name} has shape {self.shape}, that is {self._size} elements; the data have shape "
                f"{values.shape}", region=self.name, shape=list(values.shape), limit=list(self.shape),
            )  # fmt: skip
        fitted = _convert(values, self.dtype)
        if fitted is None:
            raise ConfigError(
                f"region {self.name} is of dtype {self.dtype}: data of dtype {values.dtype} do not fit in without loss",
                region=self.name, dtype=str(values.dtype), expected=str(self.dtype),
            )  # fmt: skip
        return fitted

    @property
    def _size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class MemoryMap:
    """Where a program's regions lie. `str(map)` is a table.

    `code_bytes`: of instruction memory that its code takes, helpers included; None: not known (yet).
    """

    program: str
    symbols: tuple[Symbol, ...]
    code_bytes: int | None = None

    def __getitem__(self, name: str) -> Symbol:
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol
        known = ", ".join(symbol.name for symbol in self.symbols)
        raise ConfigError(f"{self.program} has no region {name!r}; it has {known}", region=name)

    def find(self, name: str) -> Symbol:
        """The region `name`, or the field of a region of one record that is written `region.field`."""
        region, _, field = name.partition(".")
        symbol = self[region]
        if not field:
            return symbol
        if symbol.dtype.fields is None or field not in symbol.dtype.fields or symbol.shape != (1,):
            raise ConfigError(f"{name}: region {region} of {self.program} is no record with that field", region=name)
        dtype, offset = symbol.dtype.fields[field][:2]
        return Symbol(name, symbol.address + offset, dtype.base, dtype.shape or (1,), symbol.unit)

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
        if self.code_bytes is not None:
            rows.insert(0, f"{0:#07x} {self.code_bytes:>7} B  of {DATA_BASE} B of instruction memory")
        return "\n".join([*rows, f"free    {self.free:>7} B of {DATA_END - DATA_BASE} B"])

    def to_wire(self) -> dict[str, Any]:
        """The map as a msgpack-able dict."""
        symbols = [[s.name, s.address, dtype_to_wire(s.dtype), list(s.shape), s.unit] for s in self.symbols]
        return {"program": self.program, "symbols": symbols, "code_bytes": self.code_bytes}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> MemoryMap:
        """The map that `to_wire` described."""
        rows = wire["symbols"]
        symbols = tuple(Symbol(n, a, dtype_from_wire(d), tuple(s), u) for n, a, d, s, u in rows)
        return cls(wire["program"], symbols, wire.get("code_bytes"))


def _convert(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray | None:
    """The values in another dtype, rounded to it if both are floats; None if that changes them otherwise."""
    if values.dtype == dtype:
        return values
    if values.dtype.kind not in "biuf" or dtype.kind not in "biuf" or (values.dtype.kind == "f" and dtype.kind != "f"):
        return None
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    if dtype.kind == "f":
        return converted if (np.isfinite(converted) == np.isfinite(values)).all() else None
    return converted if (converted == values).all() else None


def dtype_to_wire(dtype: np.dtype[Any]) -> Any:
    """A dtype as msgpack-able data."""
    return dtype.str if dtype.names is None else dtype.descr


def dtype_from_wire(wire: Any) -> np.dtype[Any]:
    """The dtype that `dtype_to_wire` described. Raises ConfigError if it is none, or one of Python objects."""
    try:
        fields = wire if isinstance(wire, str) else [tuple(f[:2]) + tuple(map(tuple, f[2:])) for f in wire]
        dtype = np.dtype(fields)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{wire!r} is no dtype: {error}") from error
    if dtype.hasobject:
        raise ConfigError(f"dtype {dtype} holds Python objects; SRAM holds numbers")
    return dtype


def to_wire(values: np.ndarray) -> list[Any]:
    """An array as msgpack-able data. Raises ConfigError for one of Python objects, such as numbers beyond 64 bits."""
    if values.dtype.hasobject:
        raise ConfigError("an array of Python objects (numbers beyond 64 bits?) cannot be sent; SRAM holds numbers")
    return [dtype_to_wire(values.dtype), list(values.shape), values.tobytes()]


def from_wire(wire: Sequence[Any]) -> np.ndarray:
    """The array that `to_wire` described, read-only. Raises ConfigError for one of Python objects."""
    dtype, shape, data = wire
    return np.frombuffer(data, dtype_from_wire(dtype)).reshape(shape)
