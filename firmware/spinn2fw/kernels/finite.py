"""What is not finite ends a training: one check, one set of codes and words, on the chip and off it."""

from __future__ import annotations

import numpy as np

from spinn2emu.sdk import kernel

LOSS, GRADIENT, WEIGHTS, MOMENTS = 11, 12, 13, 14
"""Error codes of the programs; the first is the loss PEs', the others are the optimizer's."""

_EXPONENT = np.uint32(0x7F800000)

TEXTS = {
    LOSS: "the loss is not finite; check its constants xi, a and b",
    GRADIENT: "the gradient is not finite; check the weights and the loss's constants",
    WEIGHTS: "the weights are not finite after the step; use a smaller learning rate",
    MOMENTS: "Adam's moments are not finite after the step; use a smaller learning rate, or smaller weights",
}


@kernel
def check_step(W, m, v):  # type: ignore[no-untyped-def]
    """After a step of Adam: 0, WEIGHTS or MOMENTS."""
    if not all_finite(W):
        return WEIGHTS
    return 0 if all_finite(m) and all_finite(v) else MOMENTS


@kernel
def all_finite(values):  # type: ignore[no-untyped-def]
    """Whether no entry of a flat float32 array is NaN or infinite: its exponent's bits are all 1 then.

    Bits are compared, which takes a core half the cycles, and none is left out: a loop without an exit is vectorised.
    """
    bits, bad = values.view(np.uint32), np.uint32(0)
    for i in range(bits.shape[0]):
        bad |= np.uint32(np.uint32(bits[i] & _EXPONENT) == _EXPONENT)
    return bad == 0
