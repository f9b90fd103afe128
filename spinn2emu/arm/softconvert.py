"""Conversions of float64, and of float32 that the processor's unit has no instruction for; numbers as in softfloat.py.

A float becomes an integer towards 0; what does not fit becomes the nearest that does, and NaN 0, as in the unit.
"""

from __future__ import annotations

from spinn2emu.arm.integers import down
from spinn2emu.arm.softfloat import (
    INFINITY,
    INFINITY32,
    LIMIT,
    LIMIT32,
    MAGNITUDE,
    MAGNITUDE32,
    QUIET,
    QUIET32,
    REBIAS,
    SIGN,
    SIGN32,
    WIDTH,
    WIDTH32,
    parted,
    rounded,
)
from spinn2emu.jit import inlined, leading_zeros


@inlined
def double_of(a: int) -> int:
    """float32 to float64."""
    magnitude, sign = a & MAGNITUDE32, (a & SIGN32) << 32
    if magnitude == 0:
        return sign
    if magnitude >= INFINITY32:
        fraction = (magnitude - INFINITY32) << (WIDTH - WIDTH32)
        return sign | INFINITY | fraction | (QUIET if fraction else 0)
    exponent, significand = parted(magnitude, WIDTH32)
    return sign | ((exponent + REBIAS - 1) << WIDTH) + (significand << (WIDTH - WIDTH32))


@inlined
def single_of(a: int) -> int:
    """float64 to float32."""
    magnitude, sign = a & MAGNITUDE, down(a, 63) << 31
    if magnitude > INFINITY:
        return sign | INFINITY32 | QUIET32 | (magnitude - INFINITY) >> (WIDTH - WIDTH32)
    exponent, fraction = magnitude >> WIDTH, magnitude & ((1 << WIDTH) - 1)
    if exponent == 0:
        return sign
    if exponent == LIMIT:
        return sign | INFINITY32
    return sign | rounded(exponent - REBIAS, (fraction | 1 << WIDTH) << 10, WIDTH32, LIMIT32)


@inlined
def from_unsigned(value: int, width: int, limit: int) -> int:
    """An unsigned integer of 64 bits to a float."""
    if value == 0:
        return 0
    shift = leading_zeros(value)
    value <<= shift
    return rounded((limit >> 1) + 63 - shift, down(value, 1) | value & 1, width, limit)


@inlined
def double_of_signed(value: int) -> int:
    """int64 to float64."""
    return value & SIGN | from_unsigned(abs(value), WIDTH, LIMIT)


@inlined
def double_of_unsigned(value: int) -> int:
    """uint64 to float64."""
    return from_unsigned(value, WIDTH, LIMIT)


@inlined
def double_of_word(value: int) -> int:
    """int32 or uint32, as an int64, to float64: exact."""
    if value == 0:
        return 0
    shift = leading_zeros(abs(value)) - (63 - WIDTH)
    return value & SIGN | (((LIMIT >> 1) + WIDTH - 1 - shift) << WIDTH) + (abs(value) << shift)


@inlined
def single_of_signed(value: int) -> int:
    """int64 to float32."""
    return (SIGN32 if value < 0 else 0) | from_unsigned(abs(value), WIDTH32, LIMIT32)


@inlined
def single_of_unsigned(value: int) -> int:
    """uint64 to float32."""
    return from_unsigned(value, WIDTH32, LIMIT32)


@inlined
def signed_of(a: int) -> int:
    """float64 to int64."""
    exponent = (a >> WIDTH & LIMIT) - (LIMIT >> 1)
    if exponent < 0 or a & MAGNITUDE > INFINITY:
        return 0
    if exponent > 62:
        return SIGN if a < 0 else MAGNITUDE
    whole = ((a & ((1 << WIDTH) - 1)) | 1 << WIDTH) << 10 >> (62 - exponent)
    return -whole if a < 0 else whole


@inlined
def unsigned_of(a: int) -> int:
    """float64 to uint64."""
    exponent = (a >> WIDTH & LIMIT) - (LIMIT >> 1)
    if a < 0 or exponent < 0 or a > INFINITY:
        return 0
    if exponent > 63:
        return -1
    return down(((a & ((1 << WIDTH) - 1)) | 1 << WIDTH) << 11, 63 - exponent)


@inlined
def signed_word_of(a: int) -> int:
    """float64 to int32."""
    return min(max(signed_of(a), -(1 << 31)), (1 << 31) - 1)


@inlined
def unsigned_word_of(a: int) -> int:
    """float64 to uint32."""
    return min(max(signed_of(a), 0), (1 << 32) - 1)


@inlined
def widened(a: int) -> int:
    """float32 to float64 as far as it matters to integers: what is next to 0 stays so, NaN is 0."""
    magnitude = a & MAGNITUDE32
    if magnitude > INFINITY32:
        return 0
    return (a & SIGN32) << 32 | (magnitude << (WIDTH - WIDTH32)) + (REBIAS << WIDTH)


@inlined
def signed_of_single(a: int) -> int:
    """float32 to int64."""
    return signed_of(widened(a))


@inlined
def unsigned_of_single(a: int) -> int:
    """float32 to uint64."""
    return unsigned_of(widened(a))
