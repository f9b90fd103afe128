"""The layout of EventProp's keys, for the programs and for the host.

Bits 31:28 kind, 27:24 layer (0 input, 1 … L neuron layers, L+1 loss), 23:16 sample of the batch, 15:0 place: which
neuron, or which part of an array. A program knows of a key what lies within its port's keys (`sdk.packet_index`): in
the optimizer that is all but the kind, in the others the place alone.
"""

from __future__ import annotations

import enum

from spinn2emu.sdk import kernel


class PacketKind(enum.IntEnum):
    """What a packet is about."""

    SPIKE = 1
    ERROR = 2
    GRADIENT = 3
    WEIGHT = 4
    CONTROL = 5
    SILENT = 6


KIND_SHIFT = 28
LAYER_SHIFT, LAYER_BITS = 24, 0xF
SAMPLE_SHIFT, SAMPLE_BITS = 16, 0xFF
PLACE_BITS = 0xFFFF

ROUTE = 0xFFFF0000
"""Mask of a route from one sender: all but the place."""
ALL_SAMPLES = 0xFF000000
"""Mask for kind and layer."""
ALL_LAYERS = 0xF0000000
"""Mask for the kind alone."""

RELEASE_TRAIN, RELEASE_EVALUATE, END_OF_DATA = 0, 1, 2
"""Places of control packets."""
TO_INPUTS = 1 << LAYER_SHIFT
"""Added to a control packet's for the input PEs."""


def key(kind: PacketKind, layer: int, sample: int = 0) -> int:
    """First key of a route."""
    return kind << KIND_SHIFT | layer << LAYER_SHIFT | sample << SAMPLE_SHIFT


@kernel
def layer_of(index):  # type: ignore[no-untyped-def]
    """The layer."""
    return index >> LAYER_SHIFT & LAYER_BITS


@kernel
def sample_of(index):  # type: ignore[no-untyped-def]
    """The sample of the batch."""
    return index >> SAMPLE_SHIFT & SAMPLE_BITS


@kernel
def place_of(index):  # type: ignore[no-untyped-def]
    """The neuron, or the part of an array."""
    return index & PLACE_BITS
