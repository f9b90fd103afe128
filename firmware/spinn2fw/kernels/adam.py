"""Adam with bias correction, and the rule that wakes silent neurons."""

from __future__ import annotations

import numpy as np

from spinn2emu.sdk import kernel


@kernel
def add(total, part):  # type: ignore[no-untyped-def]
    """total += part, flat float32 arrays."""
    for i in range(total.shape[0]):
        total[i] += part[i]


@kernel
def adam_step(W, m, v, G, step_size, second_scale, beta1, beta2, rest1, rest2, eps, weight_decay):  # type: ignore[no-untyped-def]
    """One step of Kingma & Ba's Adam on flat float32 arrays, in place.

        g = G + weight_decay W;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
        W -= step_size m / (sqrt(v) second_scale + eps)

    with step_size = lr / (1 - beta1^t), second_scale = 1 / sqrt(1 - beta2^t) and rest = 1 - beta, which the host
    makes in float64 and rounds once (1 - float32(0.999) is wrong by 1e-5).
    """
    for i in range(W.shape[0]):
        g = G[i] + weight_decay * W[i]
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * (g * g)
        W[i] = W[i] - step_size * m[i] / (np.sqrt(v[i]) * second_scale + eps)


@kernel
def wake_silent(W, silence, spoke, samples, patience, boost):  # type: ignore[no-untyped-def]
    """Raises the incoming weights of neurons that stayed silent too long (not in the equations: it belongs to presets).

    W (n_in, n_out); `spoke` (n_out,) uint8: 1 if the neuron spiked in any of this batch's `samples`; `silence`
    (n_out,) int32 counts consecutive samples without a spike. At `patience` samples: W[:,j] += boost |W[:,j]|, and
    the count starts anew. Returns how many neurons were woken.
    """
    woken = 0
    for j in range(silence.shape[0]):
        if spoke[j]:
            silence[j] = 0
            continue
        silence[j] += samples
        if silence[j] >= patience:
            silence[j] = 0
            woken += 1
            for k in range(W.shape[0]):
                W[k, j] += boost * np.abs(W[k, j])
    return woken
