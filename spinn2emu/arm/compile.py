"""A program's `tick` or `drain` as an object file for the Cortex-M4F: what numba makes of it here, given to LLVM's
Thumb target.

numba's code is the same for every machine as long as LLVM has not optimized it, which is why this runs in processes of
its own with NUMBA_OPT=0 (`build.py`). Integers keep their 64 bits, so that every result is that of the host.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinn2emu.arm.memory import TABLE, TABLE_WORDS
from spinn2emu.jit import Kernel, array_at, as_code, objects, record_at
from spinn2emu.memory_map import DATA_BASE, Symbol
from spinn2emu.packets import PACKET
from spinn2emu.pe.check import Entry, check_kernels, rebuild
from spinn2emu.pe.explain import explain
from spinn2emu.program import Program
from spinn2emu.registers import LOG, SYSTEM, SystemError

TRIPLE, CPU, FEATURES = "thumbv7em-none-unknown-eabihf", "cortex-m4", "+vfp4d16sp,-fp64"

SOURCE = """\
def run(packets, count):
    sram = record_at(int64({data}), SYSTEM)
    table = array_at(int64({table}), (int64({words}),), uint32)
    rx = array_at(int64(packets), (int64(count),), PACKET)
{views}
    pe = Pe(sram, log)
    ram = Ram({own})
    try:
        code = as_code(entry(pe, ram, rx{more}))
    except Exception:
        code = int64(0)
        sram.sys.fault = {exception}
    return code
"""
"""As in `pe.compiled`, with addresses and sizes from the table of regions: one code for all shapes."""

Pe = namedtuple("Pe", ["sram", "log"])
"""The handle, as far as the PE's own code needs it."""


def target() -> Any:
    """LLVM's machine for the PE: no fused multiply-add, no vectors."""
    import llvmlite.binding as llvm

    objects.initialise()
    for name in ("initialize_all_targets", "initialize_all_asmprinters"):
        getattr(llvm, name)()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=CPU, features=FEATURES, opt=3, reloc="static", codemodel="default"
    )


def compile_entry(
    program: Program, name: Entry, symbols: Sequence[Symbol], instead: Mapping[Kernel, Kernel], lines: bool = False
) -> bytes:
    """The object file, with an undefined symbol for each helper that it calls, and the lines of its code if wanted.

    `symbols`: the program's own regions; `instead`: one of `stand_ins`. Raises ProgramError, with the program's line.
    """
    from spinn2emu.jit import compiler

    entry: Any = getattr(program, name)
    function = getattr(entry, "py_func", entry)
    check_kernels(program, function, name)
    try:
        with compiler.compiling(compiler.Mode(lines=lines, instead=instead)):
            module = compiler.module_of(entry_function(rebuild(function), name, symbols), 2, name, "uint32")
    except Exception as error:  # numba's own, and whatever it lets through
        raise explain(program.name, function, error, name) from error
    machine = target()
    compiler.optimize(module, [name], machine, vectorize=False)
    return bytes(machine.emit_object(module))


def helper_object(symbol: str) -> bytes | None:
    """The object file of a helper of `runtime`; None if there is none of that name."""
    import llvmlite.binding as llvm

    from spinn2emu.arm import runtime
    from spinn2emu.jit import compiler

    if symbol not in runtime.HELPERS:
        return None
    machine = target()
    module = llvm.parse_assembly(runtime.module_of(symbol))
    compiler.optimize(module, [symbol], machine, vectorize=False)
    return bytes(machine.emit_object(module))


def entry_function(entry: Any, name: Entry, symbols: Sequence[Symbol]) -> Any:
    """The generated function around a kernel."""
    names = [*(f"r{i}" for i in range(len(symbols))), "log"]
    axes, dtypes = [*(len(symbol.shape) for symbol in symbols), 1], [*(symbol.dtype for symbol in symbols), LOG]
    views = []
    for i, view in enumerate(names):
        word = TABLE_WORDS * i
        sizes = ", ".join(f"int64(table[{word + 1 + axis}])" for axis in range(axes[i]))
        views.append(f"    {view} = array_at(int64(table[{word}]), ({sizes},), D{i})")
    source = SOURCE.format(
        data=DATA_BASE, table=TABLE, words=TABLE_WORDS * len(names), views="\n".join(views),
        own=", ".join(names[:-1]), more=", sram.sys.tick" * (name == "tick"), exception=int(SystemError.EXCEPTION),
    )  # fmt: skip
    scope: dict[str, Any] = {
        "Ram": namedtuple("Ram", [symbol.name for symbol in symbols]), "Pe": Pe, "array_at": array_at,
        "record_at": record_at, "as_code": as_code, "int64": np.int64, "uint32": np.uint32, "PACKET": PACKET,
        "SYSTEM": SYSTEM, "entry": entry, **{f"D{i}": dtype for i, dtype in enumerate(dtypes)},
    }  # fmt: skip
    exec(source, scope)
    return scope["run"]
