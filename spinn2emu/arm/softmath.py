"""Whole numbers next to floats, their scales and their neighbours; numbers as in softfloat.py."""

from __future__ import annotations

from spinn2emu.arm.softconvert import double_of, single_of
from spinn2emu.arm.softfloat import (
    INFINITY,
    LIMIT,
    LIMIT32,
    MAGNITUDE,
    MAGNITUDE32,
    QUIET,
    SIGN,
    SIGN32,
    WIDTH,
    WIDTH32,
    nan_of,
    ordered,
    parted,
    rounded,
    unordered,
)
from spinn2emu.jit import inlined

TRUNCATE, AWAY, NEAREST = 0, 1, 2
"""How a fraction goes: towards 0, away from 0, to the nearest and of two to the even one."""


@inlined
def whole(magnitude: int, way: int, width: int, limit: int) -> int:
    """The magnitude of a whole number next to it, as `way` says."""
    exponent = (magnitude >> width) - (limit >> 1)
    if exponent >= width:
        return magnitude | 1 << (width - 1) if magnitude > limit << width else magnitude
    one = (limit >> 1) << width
    if exponent < 0:
        up = magnitude > 0 if way == AWAY else way == NEAREST and magnitude > one - (1 << width)
        return one if up else 0
    below_one = (1 << (width - exponent)) - 1
    # a carry goes into the exponent, which is right
    if way == AWAY:
        magnitude += below_one
    elif way == NEAREST:
        magnitude += (below_one >> 1) + (magnitude >> (width - exponent) & 1)
    return magnitude & ~below_one


@inlined
def whole64(a: int, way: int) -> int:
    """`whole` of float64."""
    return a & SIGN | whole(a & MAGNITUDE, way, WIDTH, LIMIT)


@inlined
def whole32(a: int, way: int) -> int:
    """`whole` of float32."""
    return a & SIGN32 | whole(a & MAGNITUDE32, way, WIDTH32, LIMIT32)


@inlined
def floor(a: int) -> int:
    """The next whole number below, of float64."""
    return whole64(a, AWAY if a < 0 else TRUNCATE)


@inlined
def ceil(a: int) -> int:
    """The next whole number above, of float64."""
    return whole64(a, TRUNCATE if a < 0 else AWAY)


@inlined
def trunc(a: int) -> int:
    """The next whole number towards 0, of float64."""
    return whole64(a, TRUNCATE)


@inlined
def rint(a: int) -> int:
    """The nearest whole number, of float64; of two, the even one."""
    return whole64(a, NEAREST)


@inlined
def floor32(a: int) -> int:
    """As `floor`, of float32."""
    return whole32(a, AWAY if a & SIGN32 else TRUNCATE)


@inlined
def ceil32(a: int) -> int:
    """As `ceil`, of float32."""
    return whole32(a, TRUNCATE if a & SIGN32 else AWAY)


@inlined
def trunc32(a: int) -> int:
    """As `trunc`, of float32."""
    return whole32(a, TRUNCATE)


@inlined
def rint32(a: int) -> int:
    """As `rint`, of float32."""
    return whole32(a, NEAREST)


@inlined
def scaled(magnitude: int, n: int, width: int, limit: int) -> int:
    """The magnitude times 2**n."""
    if magnitude >= limit << width:
        return magnitude | 1 << (width - 1) if magnitude > limit << width else magnitude
    if magnitude == 0:
        return 0
    exponent, significand = parted(magnitude, width)
    return rounded(exponent + min(max(n, -9999), 9999), significand << (62 - width), width, limit)


@inlined
def ldexp(a: int, n: int) -> int:
    """a * 2**n of float64."""
    return a & SIGN | scaled(a & MAGNITUDE, n, WIDTH, LIMIT)


@inlined
def ldexp32(a: int, n: int) -> int:
    """a * 2**n of float32."""
    return a & SIGN32 | scaled(a & MAGNITUDE32, n, WIDTH32, LIMIT32)


@inlined
def frexp(a: int) -> tuple[int, int]:
    """(m, n) with a = m * 2**n and 1/2 <= |m| < 1; of zeros, infinities and NaN n is 0."""
    magnitude = a & MAGNITUDE
    if magnitude == 0 or magnitude >= INFINITY:
        return (a | QUIET if magnitude > INFINITY else a), 0
    exponent, significand = parted(magnitude, WIDTH)
    half = (LIMIT >> 1) - 1
    return a & SIGN | ((half - 1) << WIDTH) + significand, exponent - half


@inlined
def frexp32(a: int) -> tuple[int, int]:
    """As `frexp`, of float32."""
    mantissa, n = frexp(double_of(a))
    return single_of(mantissa), n


@inlined
def nextafter(a: int, b: int) -> int:
    """The float64 next to a, towards b."""
    if unordered(a, b):
        return nan_of(a, b)
    x, y = ordered(a), ordered(b)
    if x == y:
        return b
    if x == 0:
        return b & SIGN | 1
    return a + 1 if (x < y) == (a >= 0) else a - 1


@inlined
def nextafter32(a: int, b: int) -> int:
    """The float32 next to a, towards b."""
    x, y = double_of(a), double_of(b)
    if unordered(x, y):
        return single_of(nan_of(x, y))
    x, y = ordered(x), ordered(y)
    if x == y:
        return b
    if x == 0:
        return b & SIGN32 | 1
    return a + 1 if (x < y) == (a < SIGN32) else a - 1
