"""The off-chip simulator's compiled part: forward and backward passes of samples, and Adam's steps.

A network is one record, NET, with numbers and the addresses of its arrays. A `Lane` is what a thread works with.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from spinn2emu.jit import Array, allocating, array_at, inlined, native
from spinn2fw.kernels import adam, finite, lif, loss
from spinn2fw.kernels.events import due, mark

F4, I8, I4, U2, U1 = (np.dtype(name) for name in ("f4", "i8", "i4", "u2", "u1"))
_F4_BYTES, _I8_BYTES, _U2_BYTES = F4.itemsize, I8.itemsize, U2.itemsize

SHARED = {
    "shapes": I8,  # (layers, 2): n_in, n_out
    "first_weight": I8, "first_neuron": I8,  # (layers + 1,): of each layer, in what is flat
    "W": F4, "m": F4, "v": F4, "total": F4,  # (weights,): transposed layers one behind the other; total: of a batch
    "G": F4,  # (batch, weights)
    "silence": I4, "spoke": U1,  # (neurons,)
}  # fmt: skip
LANES = {
    "I": F4, "V": F4, "e": F4,  # (widest,)
    "start": I8,  # (layers + 1, T + 2): spikes of layer l in step i are ids[l, start[l, i] : start[l, i + 1]]
    "ids": U2, "d": F4, "errors": F4,  # (layers + 1, records): layer 0 is the input; distances, errors of spikes
    "probability": F4, "class_errors": F4,  # (classes,)
}  # fmt: skip
"""Of each thread."""
SIZES = ("layers", "T", "batch", "widest", "records", "classes", "weights", "neurons", "patience")
CONSTANTS = (
    "alpha", "beta", "one_minus_alpha", "one_minus_beta", "tau_s", "xi", "a", "b", "samples",
    "beta1", "beta2", "rest1", "rest2", "eps", "weight_decay", "boost",
)  # fmt: skip
"""float32; `samples`: of a batch, by which errors are divided."""

NET = np.dtype([(name, "i8") for name in (*SIZES, *SHARED, *LANES)] + [(name, "f4") for name in CONSTANTS])
"""A network: its sizes, the addresses of its arrays, its constants."""

Lane: Any = namedtuple("Lane", [*LANES, "G"])  # type: ignore[misc]
"""The arrays of one thread; `G` (weights,): the gradient of the sample that it works on."""

Recorded = namedtuple("Recorded", ["first", "ce", "loss"])
Events = namedtuple("Events", ["start", "tick", "neuron", "label"])

_SAMPLES = (Array(I8), Array(U2), Array(U2), Array(U1), Array(np.dtype("i2"), 2), Array(F4), Array(F4))
"""Parameters: `events.Samples`, and what is recorded of them."""


@allocating
def _lane(net, k, sample):  # type: ignore[no-untyped-def]
    """Lane number k, at work on sample number `sample` of the batch."""
    n, records, widest, classes, steps = net.layers + 1, net.records, net.widest, net.classes, net.T + 2
    wide, spikes = k * widest * _F4_BYTES, k * n * records
    return Lane(  # type: ignore[call-arg, unused-ignore]
        array_at(net.I + wide, (widest,), F4), array_at(net.V + wide, (widest,), F4),
        array_at(net.e + wide, (widest,), F4), array_at(net.start + k * n * steps * _I8_BYTES, (n, steps), I8),
        array_at(net.ids + spikes * _U2_BYTES, (n, records), U2),
        array_at(net.d + spikes * _F4_BYTES, (n, records), F4),
        array_at(net.errors + spikes * _F4_BYTES, (n, records), F4),
        array_at(net.probability + k * classes * _F4_BYTES, (classes,), F4),
        array_at(net.class_errors + k * classes * _F4_BYTES, (classes,), F4),
        array_at(net.G + sample * net.weights * _F4_BYTES, (net.weights,), F4),
    )  # fmt: skip


@inlined
def _first(net, layer):  # type: ignore[no-untyped-def]
    """Numbers of the layer's first weight and first neuron."""
    weight = array_at(net.first_weight, (net.layers + 1,), I8)
    neuron = array_at(net.first_neuron, (net.layers + 1,), I8)
    return weight[layer], neuron[layer]


@allocating
def _matrix(net, address, layer):  # type: ignore[no-untyped-def]
    """The (n_in, n_out) of a layer in a flat array at `address`."""
    shapes = array_at(net.shapes, (net.layers, np.int64(2)), I8)
    return array_at(address + _first(net, layer)[0] * _F4_BYTES, (shapes[layer, 0], shapes[layer, 1]), F4)


@inlined
def _play_input(net, lane, events, sample):  # type: ignore[no-untyped-def]
    """Puts a sample's input spikes into the record of layer 0."""
    event, n = events.start[sample], 0
    for i in range(net.T):
        lane.start[0, i] = n
        end = due(events.tick, event, events.start[sample + 1], i)
        for e in range(event, end):
            lane.ids[0, n] = events.neuron[e]
            n += 1
        event = end
    lane.start[0, net.T] = n


@inlined
def _forward(net, lane, layer):  # type: ignore[no-untyped-def]
    """All forward steps of one layer."""
    W = _matrix(net, net.W, layer)
    I, V = lane.I[: W.shape[1]], lane.V[: W.shape[1]]
    I[:] = 0
    V[:] = 0
    below, start = lane.start[layer], lane.start[layer + 1]
    ids, d = lane.ids[layer + 1], lane.d[layer + 1]
    start[0] = start[1] = 0
    for i in range(1, net.T):
        inputs = lane.ids[layer, below[i - 1] : below[i]]
        first = start[i]
        count = lif.step(W, I, V, net.alpha, net.beta, net.one_minus_beta, inputs, ids[first:], d[first:])
        start[i + 1] = first + count


@inlined
def _first_spikes(net, lane, first):  # type: ignore[no-untyped-def]
    """First spike tick of each class, T if there is none."""
    last = net.layers
    first[:] = net.T
    for i in range(1, net.T):
        for q in range(lane.start[last, i], lane.start[last, i + 1]):
            loss.note_first(first, lane.ids[last, q], i)


@inlined
def _loss_errors(net, lane, first):  # type: ignore[no-untyped-def]
    """Attaches each class's error to its first spike."""
    last = net.layers
    for i in range(1, net.T):
        for q in range(lane.start[last, i], lane.start[last, i + 1]):
            k = lane.ids[last, q]
            lane.errors[last, q] = lane.class_errors[k] if first[k] == i else np.float32(0)


@inlined
def _backward(net, lane, layer):  # type: ignore[no-untyped-def]
    """All backward steps of one layer: its gradient, and errors for the spikes of the layer below."""
    W, G, T = _matrix(net, net.W, layer), _matrix(net, lane.G.ctypes.data, layer), net.T
    lI, lV, e = lane.I[: W.shape[1]], lane.V[: W.shape[1]], lane.e[: W.shape[1]]
    lI[:] = 0
    lV[:] = 0
    e[:] = 0
    lane.errors[layer, lane.start[layer, T - 1] : lane.start[layer, T]] = 0  # nobody integrates the last step's spikes
    below, start = lane.start[layer], lane.start[layer + 1]
    ids, d, errors = lane.ids[layer + 1], lane.d[layer + 1], lane.errors[layer + 1]
    for i in range(T - 2, -1, -1):
        own = slice(start[i + 1], start[i + 2])
        for q in range(start[i + 1], start[i + 2]):
            e[ids[q]] += errors[q]
        inputs = lane.ids[layer, below[i] : below[i + 1]]
        if layer > 0:
            for q in range(below[i], below[i + 1]):
                lane.errors[layer, q] = lif.input_error(W, lI, lV, np.int64(lane.ids[layer, q]))
        lif.adjoint_step(lI, lV, net.alpha, net.one_minus_alpha, net.beta, e, ids[own], d[own])
        lif.add_gradient(G, lI, net.tau_s, inputs)


@inlined
def _note_speakers(net, lane, layer):  # type: ignore[no-untyped-def]
    """spoke[j] = 1 for the neurons that spiked in this sample."""
    spoke, first = array_at(net.spoke, (net.neurons,), U1), _first(net, layer)[1]
    mark(spoke[first:], lane.ids[layer + 1, : lane.start[layer + 1, net.T]])


@inlined
def _sample(net, lane, events, sample, recorded):  # type: ignore[no-untyped-def]
    """Forward passes and loss of one sample; the errors of the classes are in lane.class_errors then."""
    _play_input(net, lane, events, sample)
    for layer in range(net.layers):
        _forward(net, lane, layer)
    first = recorded.first[sample]
    _first_spikes(net, lane, first)
    recorded.ce[sample], recorded.loss[sample] = loss.sample_loss(
        first, events.label[sample], net.xi, net.a, net.b, net.samples, lane.probability, lane.class_errors
    )


@inlined
def _gradient(net, lane, first):  # type: ignore[no-untyped-def]
    """Backward passes of one sample."""
    _loss_errors(net, lane, first)
    lane.G[:] = 0
    for layer in range(net.layers - 1, -1, -1):
        _backward(net, lane, layer)
        _note_speakers(net, lane, layer)


@inlined
def _samples(net, k, low, high, first_sample, events, recorded):  # type: ignore[no-untyped-def]
    """Lane k works on the batch's samples number low to high - 1; first_sample: the number of the batch's first."""
    for b in range(low, high):
        lane = _lane(net, k, b)
        _sample(net, lane, events, first_sample + b, recorded)
        _gradient(net, lane, recorded.first[first_sample + b])


@inlined
def _finish_batch(net, losses, step_size, scale):  # type: ignore[no-untyped-def]
    """Sums the gradients by ascending sample, makes Adam's step, wakes silent neurons. Returns 0, or a code of
    `spinn2fw.kernels.finite`.
    """
    n = net.weights
    W, m, v, total = (
        array_at(net.W, (n,), F4),
        array_at(net.m, (n,), F4),
        array_at(net.v, (n,), F4),
        array_at(net.total, (n,), F4),
    )
    if not finite.all_finite(losses):
        return finite.LOSS
    total[:] = 0
    for sample in range(net.batch):
        adam.add(total, array_at(net.G + sample * n * _F4_BYTES, (n,), F4))
    if not finite.all_finite(total):
        return finite.GRADIENT
    adam.adam_step(
        W, m, v, total, step_size, scale, net.beta1, net.beta2, net.rest1, net.rest2, net.eps, net.weight_decay
    )
    if net.patience > 0:
        silence, spoke = array_at(net.silence, (net.neurons,), I4), array_at(net.spoke, (net.neurons,), U1)
        for layer in range(net.layers):
            own = slice(_first(net, layer)[1], _first(net, layer + 1)[1])
            adam.wake_silent(_matrix(net, net.W, layer), silence[own], spoke[own], net.batch, net.patience, net.boost)
    return finite.check_step(W, m, v)


@inlined
def _forget_speakers(net):  # type: ignore[no-untyped-def]
    """A new batch begins."""
    spoke = array_at(net.spoke, (net.neurons,), U1)
    spoke[:] = 0


@native(NET, int, *_SAMPLES, Array(F4, 2), Array(I8))
def train(net, first_step, start, tick, neuron, label, first, ce, total_loss, rates, done):  # type: ignore[no-untyped-def]
    """One Adam step per batch of consecutive samples, in one thread. Returns 0, or a code of `finite`; `done` (1,): how
    many steps were made before it.
    """
    events, recorded = Events(start, tick, neuron, label), Recorded(first, ce, total_loss)
    for step in range(first_step, rates.shape[0]):
        done[0], sample = step, step * net.batch
        _forget_speakers(net)
        _samples(net, 0, 0, net.batch, sample, events, recorded)
        code = _finish_batch(net, total_loss[sample : sample + net.batch], rates[step, 0], rates[step, 1])
        if code:
            return code
    done[0] = rates.shape[0]
    return 0


@native(NET, int, int, int, int, *_SAMPLES, returns=False)
def train_share(net, k, low, high, first_sample, start, tick, neuron, label, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """A thread's share of a batch: see `_samples`."""
    _samples(net, k, low, high, first_sample, Events(start, tick, neuron, label), Recorded(first, ce, total_loss))


@native(NET, Array(F4), Array(F4))
def finish_batch(net, losses, rates):  # type: ignore[no-untyped-def]
    """What comes after all shares of a batch; `losses` of its samples, `rates` (2,)."""
    code = _finish_batch(net, losses, rates[0], rates[1])
    _forget_speakers(net)
    return code


@native(NET, int, int, int, *_SAMPLES, returns=False)
def evaluate(net, k, low, high, start, tick, neuron, label, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward passes and losses of the samples number low to high - 1, by lane k."""
    events, recorded, lane = Events(start, tick, neuron, label), Recorded(first, ce, total_loss), _lane(net, k, 0)
    for sample in range(low, high):
        _sample(net, lane, events, sample, recorded)
