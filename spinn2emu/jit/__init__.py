"""Compiled code: Python functions that numba compiles once, and that everybody else loads as object files.

`kernel.py` has the decorators. Nothing here imports numba but `compiler.py` and `intrinsics.py`, which run in processes
of their own (`build.py`). What they make lies in the store (`store.py`) and is loaded by LLVM alone (`objects.py`), so
that a chip, its PEs and a command line start without numba.
"""

from spinn2emu.jit.build import prepare
from spinn2emu.jit.kernel import Array, External, Kernel, Late, Native, allocating, inlined, native

__all__ = ["Array", "External", "Kernel", "Late", "Native", "allocating", "inlined", "native", "prepare"]

as_pointer, record_at, array_at, address_of = map(Late, ("as_pointer", "record_at", "array_at", "address_of"))
call_address, atomic_exchange, atomic_load, put_uint64, prefetch = map(
    Late, ("call_address", "atomic_exchange", "atomic_load", "put_uint64", "prefetch")
)
usleep = External("usleep", "int32", "uint32")
