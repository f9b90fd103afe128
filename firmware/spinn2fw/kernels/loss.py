"""Time-to-first-spike cross-entropy."""

from __future__ import annotations

import numpy as np

from spinn2emu.accelerators import exp, log
from spinn2emu.sdk import kernel

NO_LABEL = 255
"""Label of a sample that does not exist: its quad stays idle, its loss is 0."""

_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


@kernel
def note_first(first, k, i):  # type: ignore[no-untyped-def]
    """Class k has spiked in tick i: first[k] is the earliest."""
    if i < first[k]:
        first[k] = i


@kernel
def classify(first):  # type: ignore[no-untyped-def]
    """The class whose first spike is earliest, the lowest on a tie."""
    best = 0
    for k in range(1, first.shape[0]):
        if first[k] < first[best]:
            best = k
    return best


@kernel
def sample_loss(first, label, xi, a, b, batch, probability, errors):  # type: ignore[no-untyped-def]
    """As `first_spike_loss`; without a label all is 0."""
    if label == NO_LABEL:
        errors[:] = 0
        return _ZERO, _ZERO
    return first_spike_loss(first, label, xi, a, b, batch, probability, errors)


@kernel
def first_spike_loss(first, label, xi, a, b, batch, probability, errors):  # type: ignore[no-untyped-def]
    """Loss and errors of one sample; `first` (classes,) int16 are the ticks t_k, T for a silent class.

        CE = -ln softmax(-t / xi)_y;  L = CE + a (exp(t_y / b) - 1)
        e_k = ((delta_ky - softmax_k) / xi + delta_ky (a / b) exp(t_y / b)) / batch

    Fills `probability` and `errors` (float32, (classes,)); returns (CE, L). All in float32.
    """
    earliest = first[classify(first)]
    total = _ZERO
    for k in range(first.shape[0]):
        probability[k] = exp(np.float32(earliest - first[k]) / xi)
        total += probability[k]
    cross_entropy = log(total) - np.float32(earliest - first[label]) / xi
    late = exp(np.float32(first[label]) / b) if a != _ZERO else _ONE  # without the term, exp may overflow
    for k in range(first.shape[0]):
        probability[k] = probability[k] / total
        hit = _ONE if k == label else _ZERO
        errors[k] = ((hit - probability[k]) / xi + hit * (a / b) * late) / batch
    return cross_entropy, cross_entropy + a * (late - _ONE)
