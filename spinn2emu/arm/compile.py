"""A program's `tick` as an object file for the Cortex-M4F: what numba makes of it for this machine, given to LLVM's
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
from spinn2emu.pe.check import check_kernels, rebuild
from spinn2emu.pe.explain import explain
from spinn2emu.program import Program
from spinn2emu.registers import LOG, SYSTEM, SystemError

TRIPLE, CPU, FEATURES = "thumbv7em-none-unknown-eabihf", "cortex-m4", "+vfp4d16sp,-fp64"
ENTRY = "tick"

SOURCE = """\
def run_tick(packets, count):
    sram = record_at(int64({data}), SYSTEM)
    table = array_at(int64({table}), (int64({words}),), uint32)
    rx = array_at(int64(packets), (int64(count),), PACKET)
{views}
    pe = Pe(sram, log)
    ram = Ram({own})
    try:
        code = as_code(tick(pe, ram, rx, sram.sys.tick))
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


def compile_program(
    program: Program, symbols: Sequence[Symbol], instead: Mapping[Kernel, Kernel], lines: bool = False
) -> bytes:
    """The object file, with an undefined symbol for each helper that it calls, and the lines of its code if wanted.

    `symbols`: the program's own regions; `instead`: one of `stand_ins`. Raises ProgramError, with the program's line.
    """
    from spinn2emu.jit import compiler

    function: Any = getattr(program.tick, "py_func", program.tick)
    check_kernels(program, function)
    tick = rebuild(function)
    try:
        with compiler.compiling(compiler.Mode(lines=lines, instead=instead)):
            module = compiler.module_of(_entry(tick, symbols), 2, ENTRY, "uint32")
    except Exception as error:  # numba's own, and whatever it lets through
        raise explain(program.name, function, error) from error
    machine = target()
    compiler.optimize(module, [ENTRY], machine, vectorize=False)
    return bytes(machine.emit_object(module))


def helper_object(symbol: str) -> bytes | None:
    """The object file of a helper of `runtime`; None if there is none of that name."""
    import llvmlite.binding as llvm

    from spinn2emu.arm import runtime  # type: ignore[attr-defined, unused-ignore]
    from spinn2emu.jit import compiler

    if symbol not in runtime.HELPERS:
        return None
    machine = target()
    module = llvm.parse_assembly(runtime.module_of(symbol))
    compiler.optimize(module, [symbol], machine, vectorize=False)
    return bytes(machine.emit_object(module))


def _entry(tick: Any, symbols: Sequence[Symbol]) -> Any:
    """The generated function around a `tick`."""
    names = [*(f"r{i}" for i in range(len(symbols))), "log"]
    axes, dtypes = [*(len(symbol.shape) for symbol in symbols), 1], [*(symbol.dtype for symbol in symbols), LOG]
    views = []
    for i, name in enumerate(names):
        word = TABLE_WORDS * i
        sizes = ", ".join(f"int64(table[{word + 1 + axis}])" for axis in range(axes[i]))
        views.append(f"    {name} = array_at(int64(table[{word}]), ({sizes},), D{i})")
    source = SOURCE.format(
        data=DATA_BASE, table=TABLE, words=TABLE_WORDS * len(names), views="\n".join(views),
        own=", ".join(names[:-1]), exception=int(SystemError.EXCEPTION),
    )  # fmt: skip
    scope: dict[str, Any] = {
        "Ram": namedtuple("Ram", [symbol.name for symbol in symbols]), "Pe": Pe, "array_at": array_at,
        "record_at": record_at, "as_code": as_code, "int64": np.int64, "uint32": np.uint32, "PACKET": PACKET,
        "SYSTEM": SYSTEM, "tick": tick, **{f"D{i}": dtype for i, dtype in enumerate(dtypes)},
    }  # fmt: skip
    exec(source, scope)
    return scope["run_tick"]
