"""Compiles a program's entries, each into a C function `int64 run(int64 context)` that runs it and returns its code.

The entries are `tick` and, if the program has one, `drain`. The function builds the views of the program's regions from
addresses in the context, so one compilation serves every shape, and the loop that calls it (`process.py`) serves every
program. Its few lines of Python are generated, because the number and the types of the regions differ from program to
program.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spinn2emu.jit import array_at, as_code, record_at, store
from spinn2emu.jit.fingerprint import fingerprint
from spinn2emu.memory_map import Symbol
from spinn2emu.packets import PACKET
from spinn2emu.pe.check import Entry, check_kernels, rebuild
from spinn2emu.pe.constants import check_constants
from spinn2emu.pe.explain import explain
from spinn2emu.program import Program
from spinn2emu.registers import LOG, SYSTEM, SystemError
from spinn2emu.sdk import CONTEXT, TX_BUFFER, Pe

SOURCE = """\
def run(address):
    context = record_at(address, CONTEXT)
    sram = record_at(context.sram, SYSTEM)
    rx = array_at(context.due_packets, (context.due_count,), PACKET)
    tx = array_at(context.tx_packets, (int64({tx_packets}),), PACKET)
{views}
    log = array_at(context.log, (context.log_entries,), LOG)
    pe = Pe(sram, log, tx, context)
    ram = Ram({own})
    try:
        code = as_code(entry(pe, ram, rx{more}))
    except Exception:
        code = int64(0)
        sram.sys.fault = {exception}
    return code
"""


def compiled_entry(
    program: Program, symbols: Sequence[Symbol], phases: Sequence[str], strict: bool = False,
    on_compile: Callable[[], None] = lambda: None, name: Entry = "tick",
) -> tuple[str, bytes]:  # fmt: skip
    """A compiled entry of a program, with its ports, whose own regions are `symbols`: its key, and its object file,
    from the store if it is there. phases: their names.

    strict: every index is checked when it is used; the fault is SystemError.EXCEPTION.

    Raises ProgramError, with the program's line, for what a kernel may not do, or numba cannot compile.
    """
    entry: Any = getattr(program, name)
    function = getattr(entry, "py_func", entry)
    names, dtypes = [symbol.name for symbol in symbols], [symbol.dtype for symbol in symbols]
    source = _source(symbols, name)
    own = (function, source, str(names), str(dtypes), strict)
    if own not in _made:
        check_kernels(program, function, name)
    check_constants(program, function, symbols, phases, name)
    if own not in _made:
        _made[own] = _make(program, function, name, source, names, dtypes, strict, on_compile)
    return _made[own]


_made: dict[Any, tuple[str, bytes]] = {}
"""What this process has made already: layouts that differ in their shapes only have the same code."""


def _make(
    program: Program, function: Any, name: Entry, source: str, names: list[str], dtypes: list[np.dtype[Any]],
    strict: bool, on_compile: Callable[[], None],
) -> tuple[str, bytes]:  # fmt: skip
    entry = rebuild(function)
    key = f"{name}-" + fingerprint((entry, CONTEXT, SYSTEM, LOG, PACKET), (source, names, dtypes, strict))
    with store.alone(key):
        data = store.read(key)
        if data is None:
            scope = {
                "Ram": namedtuple("Ram", names), "Pe": Pe, "array_at": array_at, "record_at": record_at,
                "as_code": as_code, "int64": np.int64, "PACKET": PACKET, "CONTEXT": CONTEXT, "SYSTEM": SYSTEM,
                "LOG": LOG, "entry": entry, **{f"D{i}": dtype for i, dtype in enumerate(dtypes)},
            }  # fmt: skip
            exec(source, scope)
            on_compile()
            data = _compile(program, function, name, scope["run"], key, strict)
            store.write(key, data)
    return key, data


def _compile(program: Program, function: Any, name: Entry, run: Any, key: str, strict: bool) -> bytes:
    from spinn2emu.jit import compiler

    try:
        with compiler.compiling(compiler.Mode(checked=strict)):
            return compiler.compile_function(run, 1, key)
    except Exception as error:  # numba's own, and whatever it lets through
        raise explain(program.name, function, error, name) from error


def _source(symbols: Sequence[Symbol], name: Entry) -> str:
    views = []
    for i, symbol in enumerate(symbols):
        sizes = ", ".join(f"context.regions[{i}, {1 + axis}]" for axis in range(len(symbol.shape)))
        views.append(f"    r{i} = array_at(context.regions[{i}, 0], ({sizes},), D{i})")
    own = ", ".join(f"r{i}" for i in range(len(symbols)))
    more = ", sram.sys.tick" if name == "tick" else ""
    exception = int(SystemError.EXCEPTION)
    return SOURCE.format(views="\n".join(views), own=own, more=more, tx_packets=TX_BUFFER, exception=exception)
