"""How the weights of all layers lie in the optimizer PE: flat, a layer behind the other, each from a whole packet on.

A packet carries four float32. So those of a layer's last packet may reach beyond its weights; these places stay 0.
"""

from __future__ import annotations

from collections.abc import Sequence

WORDS = 4
"""Of a packet."""
NEURONS = 32 * WORDS
"""In a packet of silent neurons, a bit each."""
GRADIENTS_AT_ONCE, SILENT_AT_ONCE = 64, 8
"""Packets that the optimizer's interrupts take in, of gradients and of silent neurons."""


def first_places(sizes: Sequence[int], of_packet: int = WORDS) -> list[int]:
    """Where each layer begins, in packets of `of_packet` of its `sizes` entries; behind them, where the last ends."""
    firsts = [0]
    for size in sizes:
        firsts.append(firsts[-1] + -(-size // of_packet))
    return firsts
