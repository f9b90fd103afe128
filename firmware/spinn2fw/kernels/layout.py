"""How the weights of all layers lie in the optimizer PE: flat, a layer behind the other, each from a whole packet on.

A packet carries four float32. So those of a layer's last packet may reach beyond its weights; these places stay 0.
"""

from __future__ import annotations

from collections.abc import Sequence

WORDS = 4
"""Of a packet."""


def first_places(sizes: Sequence[int], of_packet: int = WORDS) -> list[int]:
    """Where each layer begins, in packets of `of_packet` of its `sizes` entries; behind them, where the last ends."""
    firsts = [0]
    for size in sizes:
        firsts.append(firsts[-1] + -(-size // of_packet))
    return firsts
