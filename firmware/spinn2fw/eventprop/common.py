"""Keys and phases of the EventProp programs.

Key: bits 31:28 kind, 27:24 layer (0 input, 1 … L neuron layers), 23:16 sample of the batch, 15:0 index. The kinds are
the host's (`spinn2host.mapping`); the programs know only the index and, in the optimizer, layer and sample.
"""

from __future__ import annotations

from typing import Any

from spinn2emu.program import Phase
from spinn2emu.sdk import kernel

INDEX_BITS = 0xFFFF
SAMPLE_SHIFT, SAMPLE_BITS = 16, 0xFF
LAYER_SHIFT, LAYER_BITS = 24, 0xF

RELEASE_TRAIN, RELEASE_EVALUATE, END_OF_DATA = 0, 1, 2
"""Indices of control packets."""

TO_INPUTS = 1 << LAYER_SHIFT
"""Added to the index of a control packet for the input PEs."""

NOT_RELEASED = -1

NO_LABEL = 255
"""Label of a sample that does not exist: its quad stays idle."""

FORWARD, BACKWARD = 0, 1
"""Phases of the programs of a sample."""


def sample_phases(
    T: int,
    forward: tuple[str, ...],
    backward: tuple[str, ...],
    sends_forward: tuple[str, ...],
    sends_backward: tuple[str, ...],
) -> list[Phase]:
    """Ticks 0 … T, then T+1 … 2T. A forward phase without a release begins anew in the next tick."""
    either = ("backward", "forward")
    return [
        Phase("forward", T + 1, forward, sends_forward, either),
        Phase("backward", T, backward, sends_backward, ("forward",)),
    ]


@kernel
def find_release(rx: Any, control: int) -> int:
    """RELEASE_TRAIN or RELEASE_EVALUATE, if such a packet came in on port `control`, else NOT_RELEASED."""
    for packet in rx:
        if packet.port == control and packet.key & INDEX_BITS <= RELEASE_EVALUATE:
            return RELEASE_EVALUATE if packet.key & INDEX_BITS == RELEASE_EVALUATE else RELEASE_TRAIN
    return NOT_RELEASED
