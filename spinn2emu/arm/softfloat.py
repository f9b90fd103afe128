"""float64 in integers, for a processor whose unit computes float32 alone (IEEE 754, nearest even).

Numbers are their bits in int64: float64 as they are, float32 in the lower 32 bits, the others 0. `width` and `limit`
tell the formats apart: bits of the fraction, and the exponent of infinities; the bias is limit >> 1. Of several NaN the
first is handed on, quiet; a NaN out of nothing is positive, as the processor's own are.
"""

from __future__ import annotations

from spinn2emu.arm.integers import LOW
from spinn2emu.jit import divide_words, inlined, leading_zeros

WIDTH, LIMIT, SIGN, MAGNITUDE = 52, 0x7FF, -(1 << 63), (1 << 63) - 1
INFINITY, QUIET, NAN = LIMIT << WIDTH, 1 << (WIDTH - 1), (2 * LIMIT + 1) << (WIDTH - 1)
WIDTH32, LIMIT32, SIGN32, MAGNITUDE32 = 23, 0xFF, 1 << 31, (1 << 31) - 1
INFINITY32, QUIET32, NAN32 = LIMIT32 << WIDTH32, 1 << (WIDTH32 - 1), (2 * LIMIT32 + 1) << (WIDTH32 - 1)
REBIAS = (LIMIT >> 1) - (LIMIT32 >> 1)


@inlined
def jammed(value: int, n: int) -> int:
    """value / 2**n, with the last bit set if others have fallen out: it rounds like the whole. value, n >= 0."""
    n = min(n, 63)
    return (value >> n) | (1 if value & ((1 << n) - 1) else 0)


@inlined
def parted(magnitude: int, width: int) -> tuple[int, int]:
    """(exponent, significand with bit `width` set) of a finite number that is not 0; of small ones, an exponent < 1."""
    exponent, fraction = magnitude >> width, magnitude & ((1 << width) - 1)
    if exponent:
        return exponent, fraction | 1 << width
    shift = leading_zeros(fraction) - (63 - width)
    return 1 - shift, fraction << shift


@inlined
def rounded(exponent: int, significand: int, width: int, limit: int) -> int:
    """The magnitude nearest to significand / 2**62 * 2**(exponent - bias); bit 62 is the significand's first."""
    if exponent >= limit:
        return limit << width
    if exponent < 1:
        significand, exponent = jammed(significand, 1 - exponent), 1
    rest = significand & ((1 << (62 - width)) - 1)
    # the significand's first bit makes the exponent whole, and so does the carry of the rounding
    result = ((exponent - 1) << width) + (significand >> (62 - width))
    return result + (1 if rest + (result & 1) > 1 << (61 - width) else 0)


@inlined
def nan_of(a: int, b: int) -> int:
    """The first NaN of two numbers, quiet."""
    return (a if a & MAGNITUDE > INFINITY else b) | QUIET


@inlined
def add(a: int, b: int) -> int:
    """a + b."""
    big, small = a, b
    if big & MAGNITUDE < small & MAGNITUDE:
        big, small = small, big
    exponent, other = big >> WIDTH & LIMIT, small >> WIDTH & LIMIT
    if exponent == LIMIT:
        if big & MAGNITUDE > INFINITY:
            return nan_of(a, b)
        return NAN if big ^ small == SIGN else big
    x, y = (big & ((1 << WIDTH) - 1)) << 9, (small & ((1 << WIDTH) - 1)) << 9
    if exponent:
        x |= 1 << 61
    if other:
        y |= 1 << 61
    y = jammed(y, max(exponent, 1) - max(other, 1))
    total = x - y if a ^ b < 0 else x + y
    if total == 0:
        return a & b & SIGN
    shift = leading_zeros(total) - 1
    return big & SIGN | rounded(max(exponent, 1) + 1 - shift, total << shift, WIDTH, LIMIT)


@inlined
def subtract(a: int, b: int) -> int:
    """a - b."""
    return add(a, b if b & MAGNITUDE > INFINITY else b ^ SIGN)


@inlined
def multiply(a: int, b: int) -> int:
    """a * b."""
    x, y, sign = a & MAGNITUDE, b & MAGNITUDE, (a ^ b) & SIGN
    if x >= INFINITY or y >= INFINITY:
        if x > INFINITY or y > INFINITY:
            return nan_of(a, b)
        return NAN if x == 0 or y == 0 else sign | INFINITY
    if x == 0 or y == 0:
        return sign
    exponent, x = parted(x, WIDTH)
    other, y = parted(y, WIDTH)
    exponent += other - (LIMIT >> 1)
    # the upper 64 bits of x * y, the others in the last: bit 61 or 62 is the first
    x1, x0, y1, y0 = x >> 22 & LOW, x << 10 & LOW, y >> 21 & LOW, y << 11 & LOW
    low = x0 * y0
    middle = x1 * y0 + (low >> 32 & LOW)
    other = x0 * y1 + (middle & LOW)
    product = x1 * y1 + (middle >> 32) + (other >> 32 & LOW)
    if (other | low) & LOW:
        product |= 1
    if product >> 62:
        exponent += 1
    else:
        product <<= 1
    return sign | rounded(exponent, product, WIDTH, LIMIT)


@inlined
def digit(rest: int, divisor: int, k: int) -> tuple[int, int]:
    """(quotient, remainder) of rest * 2**k by a divisor in 2**52..2**53; rest < divisor, k <= 11.

    One division of 32 bits, by the divisor's upper bits plus 1: its quotient is right or 1 too small.
    """
    rest <<= k
    whole = divide_words(rest >> 32, (divisor >> 32) + 1)
    rest -= whole * divisor
    if rest >= divisor:
        return whole + 1, rest - divisor
    return whole, rest


@inlined
def divide(a: int, b: int) -> int:
    """a / b."""
    x, y, sign = a & MAGNITUDE, b & MAGNITUDE, (a ^ b) & SIGN
    if x > INFINITY or y > INFINITY:
        return nan_of(a, b)
    if x == INFINITY or y == 0:
        return NAN if x == y else sign | INFINITY
    if x == 0 or y == INFINITY:
        return sign
    exponent, x = parted(x, WIDTH)
    other, y = parted(y, WIDTH)
    exponent += (LIMIT >> 1) - other
    if x < y:
        exponent -= 1
        x <<= 1
    whole, x = 1, x - y
    left = 55
    while left > 0:
        more, x = digit(x, y, 11)
        whole = whole << 11 | more
        left -= 11
    return sign | rounded(exponent, whole << 7 | (1 if x else 0), WIDTH, LIMIT)


@inlined
def square_root(a: int) -> int:
    """The square root; of -0, -0.

    A bit of the root at a time: with `root` so far, `bit` the next, and rest = (a - root**2) / (2 bit), the bit is
    set if rest >= root + bit / 2. Of 54 bits, the last is half of the last of the result.
    """
    if a & MAGNITUDE > INFINITY:
        return a | QUIET
    if a & MAGNITUDE == 0 or a == INFINITY:
        return a
    if a < 0:
        return NAN
    exponent, rest = parted(a, WIDTH)
    exponent -= LIMIT >> 1
    rest <<= 1 + (exponent & 1)
    root, half = 0, 1 << 53
    while half:
        if rest >= root + half:
            rest -= root + half
            root += 2 * half
        rest <<= 1
        half >>= 1
    return rounded((exponent >> 1) + (LIMIT >> 1), root << 8 | (1 if rest else 0), WIDTH, LIMIT)


@inlined
def modulo(a: int, b: int) -> int:
    """The remainder of a / b towards 0 (C's fmod), exact."""
    x, y = a & MAGNITUDE, b & MAGNITUDE
    if x > INFINITY or y > INFINITY:
        return nan_of(a, b)
    if x == INFINITY or y == 0:
        return NAN
    if x < y:
        return a
    exponent, x = parted(x, WIDTH)
    other, y = parted(y, WIDTH)
    left = exponent - other
    if x >= y:
        x -= y
    while left > 0:
        _, x = digit(x, y, min(left, 11))
        left -= 11
    if x == 0:
        return a & SIGN
    shift = leading_zeros(x) - 11
    return a & SIGN | rounded(other - shift, x << (shift + 10), WIDTH, LIMIT)


@inlined
def modulo32(a: int, b: int) -> int:
    """The remainder of a / b towards 0, of float32."""
    x, y = a & MAGNITUDE32, b & MAGNITUDE32
    if x > INFINITY32 or y > INFINITY32:
        return (a if x > INFINITY32 else b) | QUIET32
    if x == INFINITY32 or y == 0:
        return NAN32
    if x < y:
        return a
    exponent, x = parted(x, WIDTH32)
    other, y = parted(y, WIDTH32)
    left = exponent - other
    x -= divide_words(x, y) * y
    while left > 0:
        x <<= min(left, 8)
        x -= divide_words(x, y) * y
        left -= 8
    if x == 0:
        return a & SIGN32
    shift = leading_zeros(x) - 1
    return a & SIGN32 | rounded(other + 62 - WIDTH32 - shift, x << shift, WIDTH32, LIMIT32)


@inlined
def ordered(a: int) -> int:
    """A number's bits as an integer that compares as it does; both zeros are 0."""
    return a if a >= 0 else SIGN - a


@inlined
def unordered(a: int, b: int) -> int:
    """Whether one is a NaN."""
    return 1 if a & MAGNITUDE > INFINITY or b & MAGNITUDE > INFINITY else 0


@inlined
def equal(a: int, b: int) -> int:
    """Whether a == b."""
    return 1 if not unordered(a, b) and ordered(a) == ordered(b) else 0


@inlined
def less(a: int, b: int) -> int:
    """Whether a < b."""
    return 1 if not unordered(a, b) and ordered(a) < ordered(b) else 0


@inlined
def less_equal(a: int, b: int) -> int:
    """Whether a <= b."""
    return 1 if not unordered(a, b) and ordered(a) <= ordered(b) else 0


@inlined
def greater(a: int, b: int) -> int:
    """Whether a > b."""
    return less(b, a)


@inlined
def greater_equal(a: int, b: int) -> int:
    """Whether a >= b."""
    return less_equal(b, a)
