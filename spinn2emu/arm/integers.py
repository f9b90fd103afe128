"""64-bit division, and blocks of memory, on a processor of 32 bits.

Everything is in int64, whose bits are taken as unsigned where it says so; addresses are numbers.
"""

from __future__ import annotations

import numpy as np

from spinn2emu.jit import array_at, divide_words, inlined, leading_zeros

LOW = 0xFFFFFFFF
"""The lower word of 64 bits. What is masked with it is divided and multiplied by single instructions (UDIV, UMULL)."""

BYTE, WORD, LONG = np.dtype(np.uint8), np.dtype(np.uint32), np.dtype(np.int64)


@inlined
def below(a: int, b: int) -> bool:
    """Whether a < b, both unsigned."""
    return np.uint64(a) < np.uint64(b)  # type: ignore[return-value]


@inlined
def down(a: int, n: int) -> int:
    """a / 2**n, a unsigned, n in 0..63."""
    return np.int64(np.uint64(a) >> np.uint64(n))  # type: ignore[return-value]


@inlined
def divided(n: int, d: int) -> tuple[int, int]:
    """(n // d, n % d), all unsigned; (0, n) if d is 0, as the processor's own division of 32 bits has it."""
    if (n | d) & ~LOW:
        return divided_apart(n, d)
    if d == 0:
        return 0, n
    whole = divide_words(n, d)
    return whole, (n - whole * d) & LOW


@inlined
def divided_apart(n: int, d: int) -> tuple[int, int]:
    """As `divided`, of numbers that fit no word.

    Divides what is left of n, again and again, by d rounded up to its first 16 bits, which takes off a multiple of d
    that is never too large: 15 bits of n each time.
    """
    if d == 0:
        return 0, n
    whole, cut = 0, max(48 - leading_zeros(d), 0)
    divisor = (down(d, cut) & 0xFFFF) + (1 if cut else 0)
    while not below(n, d):
        shift = max(32 - leading_zeros(n), 0)
        part = divide_words(down(n, shift), divisor)
        shift -= cut
        part = part << shift if shift >= 0 else part >> -shift
        if part == 0:
            part = 1
        whole += part
        n -= part * d
    return whole, n


@inlined
def divided_signed(n: int, d: int) -> tuple[int, int]:
    """(n / d towards 0, the remainder, which has n's sign), all signed; (0, n) if d is 0."""
    if not (n | d) & ~LOW:
        return divided(n, d)
    whole, rest = divided_apart(abs(n), abs(d))
    return -whole if n ^ d < 0 else whole, -rest if n < 0 else rest


@inlined
def fill_words(address: int, n: int, byte: int) -> int:
    """Sets n bytes from `address`, a multiple of 4, four words at a time; returns the address."""
    word = np.uint32((byte & 0xFF) * 0x01010101)
    # uint32 all along, or an address takes two registers
    at, last = np.uint32(address), np.uint32(address + (n & -16))
    while at != last:
        words = array_at(at, (4,), WORD)
        words[0], words[1], words[2], words[3] = word, word, word, word
        at = np.uint32(at + 16)
    last = np.uint32(address + (n & -4))
    while at != last:
        array_at(at, (1,), WORD)[0] = word
        at = np.uint32(at + 4)
    fill_bytes(at, n & 3, byte)
    return address


@inlined
def fill_bytes(address: int | np.uint32, n: int, byte: int) -> None:
    """Sets n bytes from `address`, one at a time."""
    at, last = np.uint32(address), np.uint32(address + n)
    while at != last:
        array_at(at, (1,), BYTE)[0] = byte
        at = np.uint32(at + 1)


@inlined
def fill(address: int, n: int, byte: int) -> int:
    """Sets n bytes from `address`; returns it."""
    head = min(-address & 3, n)
    fill_bytes(address, head, byte)
    fill_words(address + head, n - head, byte)
    return address


@inlined
def fill_c(address: int, byte: int, n: int) -> int:
    """As `fill`, with its arguments as C has them."""
    return fill(address, n, byte)


@inlined
def clear_words(address: int, n: int) -> int:
    """Sets n bytes from `address`, a multiple of 4, to 0."""
    return fill_words(address, n, 0)


@inlined
def clear(address: int, n: int) -> int:
    """Sets n bytes from `address` to 0."""
    return fill(address, n, 0)


@inlined
def copy_bytes(to: int | np.uint32, source: int | np.uint32, n: int) -> None:
    """Copies n bytes, from the first to the last."""
    at, other, last = np.uint32(to), np.uint32(source), np.uint32(to + n)
    while at != last:
        array_at(at, (1,), BYTE)[0] = array_at(other, (1,), BYTE)[0]
        at, other = np.uint32(at + 1), np.uint32(other + 1)


@inlined
def copy_words(to: int, source: int, n: int) -> int:
    """Copies n bytes between multiples of 4, from the first to the last; returns `to`."""
    at, other, last = np.uint32(to), np.uint32(source), np.uint32(to + (n & -16))
    while at != last:
        a, b = array_at(at, (4,), WORD), array_at(other, (4,), WORD)
        w, x, y, z = b[0], b[1], b[2], b[3]
        a[0], a[1], a[2], a[3] = w, x, y, z
        at, other = np.uint32(at + 16), np.uint32(other + 16)
    last = np.uint32(to + (n & -4))
    while at != last:
        array_at(at, (1,), WORD)[0] = array_at(other, (1,), WORD)[0]
        at, other = np.uint32(at + 4), np.uint32(other + 4)
    copy_bytes(at, other, n & 3)
    return to


@inlined
def copy(to: int, source: int, n: int) -> int:
    """Copies n bytes, in words if both addresses are as far from a multiple of 4; returns `to`."""
    if (to ^ source) & 3:
        copy_bytes(to, source, n)
        return to
    head = min(-to & 3, n)
    copy_bytes(to, source, head)
    copy_words(to + head, source + head, n - head)
    return to


@inlined
def move(to: int, source: int, n: int) -> int:
    """Copies n bytes between blocks that may overlap; returns `to`."""
    if to <= source or to >= source + n:
        return copy(to, source, n)
    at, other, first = np.uint32(to + n), np.uint32(source + n), np.uint32(to)
    if not (at | other) & 3:
        first = np.uint32(to + (n & 3))
        while at != first:
            at, other = np.uint32(at - 4), np.uint32(other - 4)
            array_at(at, (1,), WORD)[0] = array_at(other, (1,), WORD)[0]
    first = np.uint32(to)
    while at != first:
        at, other = np.uint32(at - 1), np.uint32(other - 1)
        array_at(at, (1,), BYTE)[0] = array_at(other, (1,), BYTE)[0]
    return to


@inlined
def reshape(
    ndim: int, dims: int, strides: int, new_ndim: int, new_dims: int, new_strides: int, item: int, fortran: int
) -> int:
    """The strides of an array in a new shape without moving its items: whether it has any.

    `dims` and so on are the addresses of int64; the sizes are equal (numba has seen to it). Both shapes are cut, from
    the front, into the shortest runs of axes with equal products; the items of an old run must lie in one line.
    """
    old, steps = array_at(dims, (ndim,), LONG), array_at(strides, (ndim,), LONG)
    new, result = array_at(new_dims, (new_ndim,), LONG), array_at(new_strides, (new_ndim,), LONG)
    if fortran:
        return 0
    i, k, step = 0, 0, item
    for axis in range(new_ndim - 1, -1, -1):
        result[axis] = step
        step *= new[axis]
    if step == 0:
        return 1
    step = item
    while k < new_ndim:
        if i < ndim and old[i] == 1:
            i += 1
            continue
        first, product, wanted = k, 1, new[k]
        k += 1
        line = True
        while product != wanted:
            if product < wanted:
                if product > 1 and old[i] != 1 and step != old[i] * steps[i]:
                    line = False
                if old[i] != 1:
                    step = steps[i]
                product *= old[i]
                i += 1
            else:
                wanted *= new[k]
                k += 1
        if not line:
            return 0
        for axis in range(k - 1, first - 1, -1):
            result[axis] = step
            step *= new[axis]
    return 1
