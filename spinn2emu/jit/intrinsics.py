"""What compiled code does that Python has no words for: addresses, atomic words, calls of C functions.

Kernels name these as `spinn2emu.jit.record_at` and so on, without importing numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from spinn2emu.jit.kernel import NOT_A_CODE

_WORD = ir.IntType(64)


@intrinsic
def record_at(typingctx: Any, address: Any, dtype: Any) -> Any:
    """The record of a numpy dtype at the integer `address`."""
    record = dtype.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(record))

    return record(types.int64, dtype), codegen


@intrinsic
def address_of(typingctx: Any, record: Any) -> Any:
    """The address of a record."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _WORD)

    return types.int64(record), codegen


@intrinsic
def array_at(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:
    """The array of that shape (a tuple of int64) and numpy dtype, in C order, at the integer `address`."""
    kind = types.Array(dtype.dtype, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = make_array(kind)(context, builder)
        item = context.get_data_type(kind.dtype)
        size = context.get_abi_sizeof(item)
        sizes = cgutils.unpack_tuple(builder, args[1])
        strides = [context.get_constant(types.intp, size)]
        for length in reversed(sizes[1:]):
            strides.insert(0, builder.mul(length, strides[0]))
        populate_array(
            array, data=builder.inttoptr(args[0], item.as_pointer()), shape=sizes, strides=strides,
            itemsize=context.get_constant(types.intp, size), meminfo=None,
        )  # fmt: skip
        return array._getvalue()

    return kind(types.int64, types.UniTuple(types.int64, len(shape)), dtype), codegen


@intrinsic
def call_address(typingctx: Any, address: Any, argument: Any) -> Any:
    """Calls the C function `int64 f(int64)` at `address`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.FunctionType(_WORD, [_WORD]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def atomic_exchange(typingctx: Any, address: Any, value: Any) -> Any:
    """Writes the int64 `value` at `address`, with a full memory fence; returns what was there."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("xchg", builder.inttoptr(args[0], _WORD.as_pointer()), args[1], "seq_cst")

    return types.int64(types.intp, types.int64), codegen


@intrinsic
def atomic_load(typingctx: Any, address: Any) -> Any:
    """The int64 at `address`, read from memory each time."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], _WORD.as_pointer()), "seq_cst", 8)

    return types.int64(types.intp), codegen


@intrinsic
def put_uint64(typingctx: Any, address: Any, value: Any) -> Any:
    """Writes the uint64 `value` at `address`, a multiple of 4."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64), codegen


@intrinsic
def as_code(typingctx: Any, value: Any) -> Any:
    """An integer as int64; whatever else is refused when it is compiled."""
    if not isinstance(value, types.Integer):
        raise TypingError(f"{NOT_A_CODE} {value}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], value, types.int64)

    return types.int64(value), codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Asks for the cache line at `address`, without waiting for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, word = cgutils.voidptr_t, ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # for reading, to all levels of the data cache
        builder.call(function, [builder.inttoptr(args[0], pointer), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@intrinsic
def store_word(typingctx: Any, address: Any, value: Any) -> Any:
    """Writes the uint32 `value` at `address`, each time and in this order: a register of a peripheral."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        builder.store_atomic(args[1], pointer, "monotonic", 4)  # which LLVM neither joins nor drops
        return context.get_dummy_value()

    return types.void(types.int64, types.uint32), codegen


@intrinsic
def load_word(typingctx: Any, address: Any) -> Any:
    """The uint32 at `address`, read each time."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], ir.IntType(32).as_pointer()), "monotonic", 4)

    return types.uint32(types.int64), codegen


@intrinsic
def leading_zeros(typingctx: Any, value: Any) -> Any:
    """How many bits of an int64 are 0 before its first 1; 64 of 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.IntType(1)(0))

    return types.int64(types.int64), codegen


@intrinsic
def divide_words(typingctx: Any, dividend: Any, divisor: Any) -> Any:
    """The quotient of the lower 32 bits of two int64, unsigned, by one instruction; the divisor must not be 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        return builder.zext(builder.udiv(builder.trunc(args[0], word), builder.trunc(args[1], word)), _WORD)

    return types.int64(types.int64, types.int64), codegen
