"""Compiled code: Python functions that numba compiles once, and that everybody else loads as object files.

`kernel.py` has the decorators. Nothing here imports numba but `compiler.py` and `intrinsics.py`, which run in processes
of their own (`build.py`). What they make lies in the store (`store.py`) and is loaded by LLVM alone (`objects.py`), so
that a chip, its PEs and a command line start without numba.
"""

from spinn2emu.jit.build import prepare
from spinn2emu.jit.kernel import NOT_A_CODE, Array, External, Kernel, Late, Native, allocating, inlined, native

__all__ = [
    "NOT_A_CODE", "Array", "External", "Kernel", "Native", "address_of", "allocating", "array_at", "as_code",
    "atomic_exchange", "atomic_load", "call_address", "inlined", "load_word", "native", "prefetch", "prepare",
    "put_uint64", "record_at", "sched_yield", "store_word", "usleep",
]  # fmt: skip

address_of, array_at, record_at = Late("address_of"), Late("array_at"), Late("record_at")
atomic_exchange, atomic_load, call_address = Late("atomic_exchange"), Late("atomic_load"), Late("call_address")
as_code, prefetch, put_uint64 = Late("as_code"), Late("prefetch"), Late("put_uint64")
divide_words, leading_zeros = Late("divide_words"), Late("leading_zeros")
load_word, store_word = Late("load_word"), Late("store_word")
usleep = External("usleep", "int32", "uint32")
sched_yield = External("sched_yield", "int32")
