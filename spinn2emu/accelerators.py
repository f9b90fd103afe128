"""The PE's accelerators: the exponential/logarithm unit, float32 in and out.

The chip's unit works in s16.15, s0.31 or float32, 1-2 ulp, monotonic [chip]. It is emulated with float64 additions
and multiplications alone, so that every machine gives the same bits; the result is rounded once and lies within
1 ulp of the exact value.
"""

from __future__ import annotations

import math

import numpy as np

from spinn2emu.jit import inlined as kernel

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # ln 2 in two parts, k * HIGH is exact
_LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476
_OVERFLOW, _UNDERFLOW = 88.72283905206835, -103.97208  # beyond these, float32 has only inf and 0
_ONE_OVER = tuple(1.0 / math.factorial(n) for n in range(13))


@kernel
def exp(x):  # type: ignore[no-untyped-def]
    """exp(x) of a float32: 2^k * P(x - k ln 2), P the Taylor polynomial of degree 12 on |r| <= ln(2) / 2."""
    y = np.float64(x)
    if y > _OVERFLOW:
        return np.float32(np.inf)
    if y < _UNDERFLOW:
        return np.float32(0.0)
    k = math.floor(y * _LOG2_E + 0.5)
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    p = _ONE_OVER[12]
    for n in range(11, -1, -1):
        p = p * r + _ONE_OVER[n]
    return np.float32(math.ldexp(p, int(k)))


@kernel
def log(x):  # type: ignore[no-untyped-def]
    """ln(x) of a positive float32: x = 2^k m; ln m = 2 (s + s^3/3 + ... + s^19/19), s = (m - 1) / (m + 1)."""
    m, k = math.frexp(np.float64(x))
    if m < _SQRT_HALF:
        m *= 2.0
        k -= 1
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    series = 1.0 / 19.0
    for n in range(17, 0, -2):
        series = series * square + 1.0 / n
    return np.float32(k * _LN2 + 2.0 * s * series)
