"""Where a strict kernel failed: once more, in plain Python over the same memory, which says line and index."""

from __future__ import annotations

import traceback
from collections import namedtuple
from types import FunctionType
from typing import Any

import numpy as np

from spinn2emu.memory_map import DATA_BASE, MemoryMap
from spinn2emu.pe.check import as_python
from spinn2emu.registers import SYSTEM, own_symbols
from spinn2emu.sdk import Pe


def where_it_fails(
    entry: Any, memory: MemoryMap, sram: np.ndarray, context: np.ndarray, rx: np.ndarray, tx: np.ndarray, *more: int
) -> str:
    """The exception of `entry(pe, ram, rx, *more)`, with file and line; "" if it does not come again. `sram`: as before
    it was called."""
    system = sram[DATA_BASE:][: SYSTEM.itemsize].view(SYSTEM)
    log = memory["log"].view(sram)
    pe = Pe(_record(system)[0], _record(log), _record(tx), _record(context.reshape(1))[0])  # type: ignore[call-arg, unused-ignore]
    own = own_symbols(memory)
    ram = namedtuple("Ram", [symbol.name for symbol in own])(*(_record(symbol.view(sram)) for symbol in own))
    function: FunctionType = getattr(entry, "py_func", entry)
    try:
        with np.errstate(all="ignore"):
            as_python(function)(pe, ram, _record(rx), *more)
    except Exception as error:
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__][-1]
        return f"{type(error).__name__}: {error}, line {last.lineno} of {last.filename}: {last.line}"
    return ""


def _record(array: np.ndarray) -> np.ndarray:
    """Records with their fields as attributes, as kernels see them."""
    return array.view(np.recarray) if array.dtype.names else array
