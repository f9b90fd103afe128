"""Synapses of spiking networks in a PE's memory: keys, words, rows, convolution kernels and records, for programs
and host.

A key is SPIKES | part << 8 | neuron: a *part* is what one PE holds of a population, up to 256 neurons, numbered through
the whole network. A synapse is a 16-bit word, from the low end (py-spinnaker2's layout):

    with delays      target 8, sign 1 (1: inhibitory), delay 3, weight 4
    without delays   target 8, sign 1,                          weight 7

`table` has an ENTRY for each part that the PE hears, by ascending key; `rows[r] … rows[r + 1] - 1` are the places in
`words` of the synapses of row r, and a part's neuron i has row `first` + i. A part that is connected by a convolution
has a CONVOLUTION instead.
"""

from __future__ import annotations

import numpy as np

from spinn2emu.sdk import count, kernel

SPIKES = 0x10000000
"""First key of all spikes."""
ALL_SPIKES = 0xF0000000
"""Mask for all of them."""
PART_SHIFT = 8
PART = 0xFFFFFF00
"""Mask for those of one part."""
NEURON = 0xFF
"""The bits of a neuron in its part."""
HOST = 0x20000000
"""First key of what the host sends to receivers of spikes: HOST | part << 8 | neuron."""
PART_NEURONS = 256
"""A target has 8 bits."""

MAX_DELAY, MAX_WEIGHT_WITH_DELAY, MAX_WEIGHT = 7, 15, 127
SLOTS = MAX_DELAY + 1
"""Of the ring buffer, a power of two; 1 without delays."""
RING_MOST = 0xFFFF
"""Sum of weights of one sign that a neuron can get in a tick: 16 bits."""
_SIGN, _DELAY, _WEIGHT_WITH_DELAY, _WEIGHT = 8, 9, 12, 9
_RING_MOST = RING_MOST

ENTRY = np.dtype([("key", "<u4"), ("mask", "<u4"), ("first", "<u4"), ("convolution", "<i4")])
"""A part that the PE hears. `first`: its first row; or, with a `convolution` (else NO_CONVOLUTION), its first neuron's
number."""

CONVOLUTION = np.dtype([(name, "<i4") for name in (
    "in_height", "in_width",  # of a channel, before pooling
    "pool_y", "pool_x", "stride_y", "stride_x", "pad_top", "pad_left",
    "kernel_height", "kernel_width", "out_height", "out_width",
    "channel", "channels",  # the output channels whose kernels the PE has: the first, and how many
    "neuron",  # number of the PE's first neuron in its population
    "kernels",  # place in `kernels` of (input channel, output channel, kernel_height, kernel_width), int8
)])  # fmt: skip

NO_CONVOLUTION = -1
"""In an ENTRY: the part is connected by rows."""
RECORD_HEAD = 2
"""Words before the bits in a tick's record of spikes: the tick, and how many spikes."""

COUNTS = ("probes", "synapses", "positions", "targets")
"""What the cycles of `receive` depend on, the first of a program's counts: looks into the table, synapses of rows,
positions of convolution kernels, and the neurons that these reach."""
PROBES, SYNAPSES, POSITIONS, TARGETS = range(len(COUNTS))

NOT_HEARD, RING_FULL = 1, 2
"""What `receive` may return instead of 0."""


@kernel
def find(table, key):  # type: ignore[no-untyped-def]
    """The place in `table` of the entry for a key, or -1; by bisection."""
    low, high = 0, table.shape[0]
    while low < high:
        middle = (low + high) // 2
        if table[middle].key <= key:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low and key & table[low - 1].mask == table[low - 1].key else -1


@kernel
def probes(table):  # type: ignore[no-untyped-def]
    """How often `find` looks into a table, about."""
    looks, size = 0, table.shape[0]
    while size > 0:
        looks += 1
        size >>= 1
    return looks


@kernel
def _add(slot, sign, target, weight):  # type: ignore[no-untyped-def]
    """Adds a weight to a neuron's sum; returns 0 or RING_FULL."""
    total = np.int64(slot[sign, target]) + weight
    if total > _RING_MOST:
        return RING_FULL
    slot[sign, target] = total
    return 0


@kernel
def receive(pe, ram, key, t):  # type: ignore[no-untyped-def]
    """Takes in a spike in tick t: adds its synapses' weights to the ring buffer's slots (t + delay) mod 8.

    ram: `table`, `rows`, `words`, `convolutions`, `kernels`, `ring` (slots, 2, n) uint16: sums of the weights of
    excitatory and of inhibitory spikes. Returns 0, NOT_HEARD or RING_FULL.
    """
    place = find(ram.table, key)
    if place < 0:
        return NOT_HEARD
    entry = ram.table[place]
    index = np.int64(entry.first) + np.int64(key & ~entry.mask)
    if entry.convolution >= 0:
        return _convolve(pe, ram.convolutions[entry.convolution], ram.kernels, ram.ring[0], index)
    slots = ram.ring.shape[0]
    count(pe, SYNAPSES, np.int64(ram.rows[index + 1]) - np.int64(ram.rows[index]))
    for k in range(ram.rows[index], ram.rows[index + 1]):
        word = np.int64(ram.words[k])
        delay, weight = np.int64(0), word >> _WEIGHT
        if slots > 1:
            delay, weight = word >> _DELAY & MAX_DELAY, word >> _WEIGHT_WITH_DELAY
        code = _add(ram.ring[t + delay & slots - 1], word >> _SIGN & 1, word & 0xFF, weight)
        if code:
            return code
    return 0


@kernel
def _convolve(pe, c, kernels, slot, neuron):  # type: ignore[no-untyped-def]
    """Adds the weights of a spike of input neuron `neuron` = (channel, y, x), by row, to all that it reaches:

        out[o, v, u] = sum over c, ky, kx of kernel[c, o, ky, kx] * pooled[c, v * stride_y - pad_top + ky, …]

    where pooled[c, y // pool_y, x // pool_x] is a sum. How the chip orders channels is not known (own reading).
    """
    size = np.int64(c.in_height) * c.in_width
    channel, y, x = neuron // size, neuron % size // c.in_width // c.pool_y, neuron % c.in_width // c.pool_x
    if y >= c.in_height // c.pool_y or x >= c.in_width // c.pool_x:
        return 0
    area, n = np.int64(c.kernel_height) * c.kernel_width, slot.shape[1]
    count(pe, POSITIONS, area)
    for ky in range(c.kernel_height):
        v = y + c.pad_top - ky
        if v < 0 or v % c.stride_y or v // c.stride_y >= c.out_height:
            continue
        for kx in range(c.kernel_width):
            u = x + c.pad_left - kx
            if u < 0 or u % c.stride_x or u // c.stride_x >= c.out_width:
                continue
            count(pe, TARGETS, c.channels)
            for o in range(c.channels):
                target = ((c.channel + o) * np.int64(c.out_height) + v // c.stride_y) * c.out_width + u // c.stride_x
                target -= c.neuron
                weight = np.int64(kernels[c.kernels + (channel * c.channels + o) * area + ky * c.kernel_width + kx])
                if 0 <= target < n and weight and _add(slot, np.int64(weight < 0), target, abs(weight)):
                    return RING_FULL
    return 0
