"""Compiled functions whose cache on disk follows their content.

numba's own cache notices only edits of the file that a function is in, not of the functions it calls. Here each
compiled function gets a cache folder named by a fingerprint of its source and of everything it refers to, so an edit
anywhere below recompiles it, and nothing else does. The folder is `$SPINN2EMU_CACHE`, or `~/.cache/spinn2emu`.
"""

from __future__ import annotations

import hashlib
import inspect
import types
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from spinn2emu.cache import cache_root

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False}
"""No fast-math and no fused multiply-add: the chip's arithmetic is IEEE and the same on every machine."""
LEAN: dict[str, Any] = {**OPTIONS, "_nrt": False}
"""For what allocates nothing: numba then counts no references to arrays, which costs more than most helpers do."""


def compiled(function: F) -> F:
    """Decorator: numba's `njit` with the emulator's options and a cache that follows the function's content. Other
    Python threads run meanwhile. It allocates nothing.
    """
    return use_cache(fingerprint(function), lambda: numba.njit(cache=True, nogil=True, **LEAN)(function))


def compiled_allocating(function: F) -> F:
    """As `compiled`, for functions that make arrays."""
    key = fingerprint(function, extra="allocating")
    return use_cache(key, lambda: numba.njit(cache=True, nogil=True, **OPTIONS)(function))


def threaded(function: F) -> F:
    """As `compiled`, but the iterations of `numba.prange` loops are shared among threads."""
    key = fingerprint(function, extra="threaded")
    return use_cache(key, lambda: numba.njit(cache=True, parallel=True, **OPTIONS)(function))


def inlined(function: F) -> F:
    """Decorator for helpers that are only ever called from compiled functions: not cached by themselves. They allocate
    nothing."""
    return numba.njit(**LEAN)(function)


def pasted(function: F) -> F:
    """As `inlined`, for the few helpers whose work is less than a call's: their code becomes the caller's before that
    is compiled, which takes the compiler several times as long."""
    return numba.njit(inline="always", **LEAN)(function)


def allocating(function: F) -> F:
    """As `inlined`, for helpers that make or return arrays."""
    return numba.njit(**OPTIONS)(function)


def use_cache(key: str, decorate: Callable[[], Any]) -> Any:
    """Runs `decorate`, which applies a caching numba decorator, with the cache in the folder for `key`."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_root() / key)
    try:
        return decorate()
    finally:
        numba.config.CACHE_DIR = before


def fingerprint(function: Callable[..., Any], extra: str = "") -> str:
    """Hex digest of the function's source, of all that it refers to, and of the versions that compile it."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {LEAN} {extra}".encode())
    _digest(function, digest, set())
    return digest.hexdigest()[:20]


def _digest(value: Any, digest: Any, seen: set[int]) -> None:
    value = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    if id(value) in seen or isinstance(value, types.ModuleType | type):
        return
    if not isinstance(value, types.FunctionType):
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.descr}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, int | float | str | bytes | tuple | np.dtype | np.generic):
            digest.update(repr(value).encode())
        return
    seen.add(id(value))
    digest.update(inspect.getsource(value).encode())
    for name, referred in sorted(_references(value).items()):
        digest.update(name.encode())
        _digest(referred, digest, seen)


def _references(function: types.FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = dict(inspect.getclosurevars(function).nonlocals)
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        for name in code.co_names:
            if name in function.__globals__:
                found[name] = function.__globals__[name]
                # `module.attribute`: take every name that the code mentions and the module has
                if isinstance(found[name], types.ModuleType) and found[name].__name__.startswith("spinn2"):
                    module = found[name]
                    found |= {f"{name}.{a}": getattr(module, a) for a in code.co_names if hasattr(module, a)}
    return found


def is_compiled(function: Any) -> bool:
    """Whether `function` is a numba-compiled function."""
    return isinstance(function, Dispatcher)


@intrinsic
def as_pointer(typingctx: Any, address: Any) -> Any:
    """The integer `address` as a pointer for `numba.carray`."""
    signature = numba.types.voidptr(numba.types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return signature, codegen


@intrinsic
def call_address(typingctx: Any, address: Any, argument: Any) -> Any:
    """Calls the C function `int64 f(int64)` at `address`."""
    signature = numba.types.int64(numba.types.int64, numba.types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(pointer, [args[1]])

    return signature, codegen


@intrinsic
def atomic_exchange(typingctx: Any, address: Any, value: Any) -> Any:
    """Writes the int64 `value` at `address`, with a full memory fence; returns what was there."""
    signature = numba.types.int64(numba.types.intp, numba.types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", pointer, args[1], "seq_cst")

    return signature, codegen


@intrinsic
def atomic_load(typingctx: Any, address: Any) -> Any:
    """The int64 at `address`, read from memory each time."""
    signature = numba.types.int64(numba.types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return signature, codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Writes the uint64 `value` at `address`, a multiple of 4."""
    signature = numba.types.void(numba.types.intp, numba.types.uint64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[1], pointer, align=4)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Asks for the cache line at `address`, without waiting for it."""
    signature = numba.types.void(numba.types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, word = cgutils.voidptr_t, ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # for reading, to all levels of the data cache
        builder.call(function, [builder.inttoptr(args[0], pointer), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return signature, codegen
