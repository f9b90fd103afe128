"""Releases and phases of the EventProp programs."""

from __future__ import annotations

from typing import Any

from spinn2emu.program import Phase
from spinn2emu.sdk import kernel, packet_index
from spinn2fw.kernels.keys import RELEASE_EVALUATE, RELEASE_TRAIN

NOT_RELEASED = -1

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
def find_release(pe: Any, rx: Any, control: int) -> int:
    """RELEASE_TRAIN or RELEASE_EVALUATE, if such a packet came in on port `control`, else NOT_RELEASED."""
    for packet in rx:
        if packet.port == control and packet_index(pe, packet) <= RELEASE_EVALUATE:
            return RELEASE_EVALUATE if packet_index(pe, packet) == RELEASE_EVALUATE else RELEASE_TRAIN
    return NOT_RELEASED
