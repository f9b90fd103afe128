"""Object files of compiled functions: what is in them, and how a process loads them, by LLVM alone."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import msgpack

from spinn2emu.errors import ProgramError

_LINK_PREFIX = "numba_"
_CODE = (b".text", b".ltext", b".rodata", b".lrodata")


def pack(symbol: str, externals: list[str], code: bytes) -> bytes:
    """One function `symbol`, which refers to C functions `externals`, as an object file `code`."""
    return bytes(msgpack.packb([symbol, externals, code]))


def load(data: bytes) -> int:
    """The address of the function that `pack` has packed, loaded into this process. Raises ProgramError."""
    symbol, externals, code = msgpack.unpackb(data)
    for external in externals:
        if external.startswith(_LINK_PREFIX) and not llvm.address_of_symbol(external):
            _load_helpers()
            break
    engine = _engine()  # which makes what this process is linked with known
    if missing := [external for external in externals if not llvm.address_of_symbol(external)]:
        raise ProgramError(f"{symbol} needs functions that do not exist: {', '.join(missing)}")  # LLVM would abort
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def code_bytes(data: bytes) -> int:
    """How long the code in what `pack` has packed is, with its constants."""
    sections = llvm.ObjectFileRef.from_data(msgpack.unpackb(data)[2]).sections()
    return sum(section.size() for section in sections if (section.name() or b"").startswith(_CODE))


def initialise() -> None:
    """Makes LLVM ready for this processor; newer versions are so by themselves."""
    for name in ("initialize", "initialize_native_target", "initialize_native_asmprinter"):
        try:
            getattr(llvm, name)()
        except RuntimeError:
            continue


def machine(level: int = 3) -> Any:
    """The processor that code is compiled for: this one, without contraction of floating-point operations."""
    initialise()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=level, reloc="static", codemodel="jitdefault", jit=True
    )


@functools.cache
def _engine() -> Any:
    target = machine()
    module = llvm.parse_assembly("")
    module.triple, module.data_layout = target.triple, str(target.target_data)
    return llvm.create_mcjit_compiler(module, target)


@functools.cache
def _load_helpers() -> None:
    """Names numba's C functions (frexp, ldexp, …) to LLVM, without importing the rest of numba."""
    folder = Path(importlib.util.find_spec("numba").origin).parent  # type: ignore[union-attr, arg-type]
    for name in ("_helperlib", "_dynfunc"):
        spec = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for helper, address in module.c_helpers.items():
            llvm.add_symbol(_LINK_PREFIX + helper, address)
