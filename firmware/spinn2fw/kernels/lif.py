"""A layer of leaky integrate-and-fire neurons: forward steps, and the EventProp adjoint in reverse time.

Wunderlich & Pehle, Sci. Rep. 11:12829 (2021); Béna et al., arXiv:2412.15021. Time is in ticks; all state float32:

    alpha = exp(-1/tau_s), beta = exp(-1/tau_m); threshold 1, reset to 0
    I current, V voltage, lI and lV their adjoints, each (n_out,)
    W weights and G gradient, both transposed: (n_in, n_out), a row per input, so that a spike touches one row
"""

from __future__ import annotations

import numpy as np

from spinn2emu.sdk import kernel

FULL = -1
"""Returned instead of a count when the spike record has no room."""

_EPSILON = np.float32(1e-10)  # added to the denominator of the jump, as in the authors' simulator
_THRESHOLD, _ZERO = np.float32(1.0), np.float32(0.0)


@kernel
def step(W, I, V, alpha, beta, one_minus_beta, inputs, ids, distances):  # type: ignore[no-untyped-def]
    """Forward step i, given the ids of the inputs that spiked in step i - 1, ascending.

        I[i] = alpha I[i-1] + sum over inputs k, ascending, of W[k]
        V[i] = beta V[i-1] + (1 - beta) I[i]
        spike where V[i] > 1: record the id and d = I[i] - V[i], then V[i] = 0

    Writes `ids` (uint16) and `distances` (float32); returns the number of spikes, or FULL.
    """
    for j in range(I.shape[0]):
        I[j] = alpha * I[j]
    for k in inputs:
        row = W[k]
        for j in range(I.shape[0]):
            I[j] += row[j]
    count = 0
    for j in range(I.shape[0]):
        V[j] = beta * V[j] + one_minus_beta * I[j]
    for j in range(I.shape[0]):
        if V[j] > _THRESHOLD:
            if count == ids.shape[0]:
                return FULL
            ids[count] = j
            distances[count] = I[j] - V[j]
            V[j] = _ZERO
            count += 1
    return count


@kernel
def input_error(W, lI, lV, k):  # type: ignore[no-untyped-def]
    """Error for the spike of input k in step i: sum over neurons j, ascending, of W[k,j] (lV[i+1,j] - lI[i+1,j])."""
    error = _ZERO
    for j in range(lI.shape[0]):
        error += W[k, j] * (lV[j] - lI[j])
    return error


@kernel
def adjoint_step(lI, lV, alpha, one_minus_alpha, beta, errors, ids, distances):  # type: ignore[no-untyped-def]
    """Backward step i, given this layer's own spikes of step i + 1 and the errors that belong to them.

        lI[i] = alpha lI[i+1] + (1 - alpha) lV[i+1]
        lV[i] = beta lV[i+1];  where it spiked: += (lV[i+1] + e[i+1]) / (d[i+1] + 1e-10)

    `errors` (n_out,) holds e[i+1] and is all 0 afterwards.
    """
    for q in range(ids.shape[0]):
        j = ids[q]
        errors[j] = (lV[j] + errors[j]) / (distances[q] + _EPSILON)
    for j in range(lI.shape[0]):
        lI[j] = alpha * lI[j] + one_minus_alpha * lV[j]
        lV[j] = beta * lV[j]
    for q in range(ids.shape[0]):
        j = ids[q]
        lV[j] += errors[j]
        errors[j] = _ZERO


@kernel
def add_gradient(G, lI, tau_s, inputs):  # type: ignore[no-untyped-def]
    """For each input spike k of step i: G[k] -= tau_s lI[i]."""
    for k in inputs:
        row = G[k]
        for j in range(lI.shape[0]):
            row[j] -= tau_s * lI[j]
