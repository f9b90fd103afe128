"""The off-chip simulator: the same kernels in one process, bit-identical to the chip.

It is the reference of what the chip computes, and the tool for prototyping and search. A batch is one compiled call;
layers are run one after the other, each over all ticks, which changes the order of no addition.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import PeFailed
from spinn2emu.jit import allocating, compiled
from spinn2fw.kernels import adam, lif, loss
from spinn2host.events import NO_LABEL, Samples
from spinn2host.onchip import Outcome, Progress
from spinn2host.recipe import Recipe, check_weights

Net: Any = namedtuple(
    "Net",
    ["shapes", "W", "G", "total", "m", "v", "first_weight", "first_neuron", "I", "V", "e", "start", "ids", "d",
     "errors", "probability", "class_errors", "silence", "spoke", "constants", "loss_constants", "adam_constants",
     "patience"],
)  # fmt: skip
"""Working memory. Flat float32 `W`, `G` (one sample), `total` (the batch), `m`, `v`: the transposed layers one behind
the other, layer l from first_weight[l]. Spikes of layer l in step i: ids[l, start[l, i] : start[l, i + 1]], layer 0
being the input; `d` their distances, `errors` the errors that belong to them."""

NO_GRADIENT, OK = -1, 0


def _net(recipe: Recipe, weights: Sequence[NDArray[np.float32]], most_events: int) -> Any:
    shapes = np.array(recipe.shapes, np.int64)
    sizes, neurons, widest = shapes.prod(axis=1), shapes[:, 1], max(recipe.layers)
    f, T, records = np.float32, recipe.T, max(most_events, max(recipe.layers[1:]) * recipe.T) + 1
    flat = np.concatenate([np.ravel(w.T) for w in weights]).astype(f)
    c = recipe.constants
    return Net(  # type: ignore[call-arg, unused-ignore]
        shapes, flat, *(np.zeros(flat.size, f) for _ in range(4)),
        np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([[0], np.cumsum(neurons)]),
        np.zeros(widest, f), np.zeros(widest, f), np.zeros(widest, f),
        np.zeros((len(shapes) + 1, T + 2), np.int64), np.zeros((len(shapes) + 1, records), np.uint16),
        np.zeros((len(shapes) + 1, records), f), np.zeros((len(shapes) + 1, records), f),
        np.zeros(recipe.layers[-1], f), np.zeros(recipe.layers[-1], f),
        np.zeros(neurons.sum(), np.int32), np.zeros(neurons.sum(), np.uint8),
        np.array([c.alpha, c.beta, c.one_minus_alpha, c.one_minus_beta, c.tau_s], f),
        np.array([recipe.xi, recipe.a, recipe.b, recipe.batch], f),
        np.array([recipe.beta1, recipe.beta2, 1 - recipe.beta1, 1 - recipe.beta2, recipe.eps, recipe.weight_decay,
                  recipe.boost], f), recipe.patience,
    )  # fmt: skip


@allocating
def _matrix(flat, net, layer):  # type: ignore[no-untyped-def]
    """View (n_in, n_out) of a layer in a flat array."""
    n_in, n_out = net.shapes[layer]
    return flat[net.first_weight[layer] : net.first_weight[layer + 1]].reshape(n_in, n_out)


@allocating
def _play_input(net, T, start, tick, neuron, sample):  # type: ignore[no-untyped-def]
    """Puts a sample's input spikes into the record of layer 0."""
    event, n = start[sample], 0
    for i in range(T):
        net.start[0, i] = n
        while event < start[sample + 1] and tick[event] == i:
            net.ids[0, n] = neuron[event]
            n += 1
            event += 1
    net.start[0, T] = n


@allocating
def _forward(net, T, layer):  # type: ignore[no-untyped-def]
    """All forward steps of one layer."""
    n_out, W = net.shapes[layer, 1], _matrix(net.W, net, layer)
    I, V = net.I[:n_out], net.V[:n_out]
    alpha, beta, one_minus_beta = net.constants[0], net.constants[1], net.constants[3]
    I[:] = 0
    V[:] = 0
    below, start = net.start[layer], net.start[layer + 1]
    ids, d = net.ids[layer + 1], net.d[layer + 1]
    start[0] = start[1] = 0
    for i in range(1, T):
        inputs = net.ids[layer, below[i - 1] : below[i]]
        first = start[i]
        start[i + 1] = first + lif.step(W, I, V, alpha, beta, one_minus_beta, inputs, ids[first:], d[first:])


@allocating
def _first_spikes(net, T, first):  # type: ignore[no-untyped-def]
    """First spike tick of each class, T if there is none."""
    last = net.start.shape[0] - 1
    first[:] = T
    for i in range(1, T):
        for q in range(net.start[last, i], net.start[last, i + 1]):
            if i < first[net.ids[last, q]]:
                first[net.ids[last, q]] = i


@allocating
def _loss_errors(net, T, first):  # type: ignore[no-untyped-def]
    """Attaches each class's error to its first spike."""
    last = net.start.shape[0] - 1
    for i in range(1, T):
        for q in range(net.start[last, i], net.start[last, i + 1]):
            k = net.ids[last, q]
            net.errors[last, q] = net.class_errors[k] if first[k] == i else np.float32(0)


@allocating
def _backward(net, T, layer):  # type: ignore[no-untyped-def]
    """All backward steps of one layer: its gradient, and errors for the spikes of the layer below."""
    n_out, W, G = net.shapes[layer, 1], _matrix(net.W, net, layer), _matrix(net.G, net, layer)
    lI, lV, e = net.I[:n_out], net.V[:n_out], net.e[:n_out]
    alpha, beta, one_minus_alpha, tau_s = net.constants[0], net.constants[1], net.constants[2], net.constants[4]
    lI[:] = 0
    lV[:] = 0
    e[:] = 0
    net.errors[layer, net.start[layer, T - 1] : net.start[layer, T]] = 0  # nobody integrates the last step's spikes
    below, start = net.start[layer], net.start[layer + 1]
    ids, d, errors = net.ids[layer + 1], net.d[layer + 1], net.errors[layer + 1]
    for i in range(T - 2, -1, -1):
        own = slice(start[i + 1], start[i + 2])
        for q in range(start[i + 1], start[i + 2]):
            e[ids[q]] += errors[q]
        inputs = net.ids[layer, below[i] : below[i + 1]]
        if layer > 0:
            for q in range(below[i], below[i + 1]):
                net.errors[layer, q] = lif.input_error(W, lI, lV, np.int64(net.ids[layer, q]))
        lif.adjoint_step(lI, lV, alpha, one_minus_alpha, beta, e, ids[own], d[own])
        lif.add_gradient(G, lI, tau_s, inputs)


@allocating
def _note_speakers(net, layer):  # type: ignore[no-untyped-def]
    """spoke[j] = 1 for the neurons that spiked in this sample."""
    for q in range(net.start[layer + 1, net.start.shape[1] - 2]):
        net.spoke[net.first_neuron[layer] + net.ids[layer + 1, q]] = 1


@allocating
def _sample(net, T, start, tick, neuron, label, sample, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward passes and loss of one sample; the errors of the classes are in net.class_errors then."""
    _play_input(net, T, start, tick, neuron, sample)
    for layer in range(net.shapes.shape[0]):
        _forward(net, T, layer)
    _first_spikes(net, T, first[sample])
    net.class_errors[:] = 0
    if label[sample] != NO_LABEL:
        xi, a, b, batch = net.loss_constants
        ce[sample], total_loss[sample] = loss.first_spike_loss(
            first[sample], label[sample], xi, a, b, batch, net.probability, net.class_errors
        )


@allocating
def _gradient(net, T, first):  # type: ignore[no-untyped-def]
    """Backward passes of one sample; adds its gradient to the batch's."""
    _loss_errors(net, T, first)
    net.G[:] = 0
    for layer in range(net.shapes.shape[0] - 1, -1, -1):
        _backward(net, T, layer)
        _note_speakers(net, layer)
    adam.add(net.total, net.G)


@allocating
def _update(net, batch, rates):  # type: ignore[no-untyped-def]
    """Adam step, and the waking of silent neurons."""
    beta1, beta2, rest1, rest2, eps, weight_decay, boost = net.adam_constants
    step_size, scale = rates
    adam.adam_step(net.W, net.m, net.v, net.total, step_size, scale, beta1, beta2, rest1, rest2, eps, weight_decay)
    if net.patience > 0:
        for layer in range(net.shapes.shape[0]):
            own = slice(net.first_neuron[layer], net.first_neuron[layer + 1])
            W = _matrix(net.W, net, layer)
            adam.wake_silent(W, net.silence[own], net.spoke[own], batch, net.patience, boost)


@compiled
def train(net, T, batch, start, tick, neuron, label, rates, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """One Adam step per batch of consecutive samples. Returns OK or NO_GRADIENT (a gradient is not finite)."""
    for step in range(rates.shape[0]):
        net.total[:] = 0
        net.spoke[:] = 0
        for sample in range(step * batch, (step + 1) * batch):
            _sample(net, T, start, tick, neuron, label, sample, first, ce, total_loss)
            _gradient(net, T, first[sample])
        if not np.isfinite(net.total.sum()):
            return NO_GRADIENT
        _update(net, batch, rates[step])
    return OK


@compiled
def evaluate(net, T, start, tick, neuron, label, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward passes and losses of all samples."""
    for sample in range(label.shape[0]):
        _sample(net, T, start, tick, neuron, label, sample, first, ce, total_loss)


@compiled
def inspect(net, T, start, tick, neuron, label, sample, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward and backward passes of one sample; leaves its spikes in the records and its gradient in net.G."""
    _sample(net, T, start, tick, neuron, label, sample, first, ce, total_loss)
    _gradient(net, T, first[sample])


class OffChip:
    """A network off the chip, with the same methods as `onchip.OnChip`."""

    on = "offchip"
    processes = 0

    def __init__(self, recipe: Recipe, weights: Sequence[NDArray[np.float32]], largest: Samples) -> None:
        check_weights(recipe, weights)
        self.recipe = recipe
        self.net = _net(recipe, weights, int(np.diff(largest.start).max(initial=1)))
        self.train(largest.take(np.arange(0)), np.zeros((0, 2), np.float32))  # compiles, or loads from the cache
        self.evaluate(largest.take(np.arange(0)))

    def train(self, samples: Samples, rates: NDArray[np.float32], progress: Progress | None = None) -> Outcome:
        """As `OnChip.train`. Raises PeFailed where the chip would: a gradient that is not finite."""
        outcome = self._outcome(len(samples))
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        recorded = (outcome.first, outcome.ce, outcome.loss)
        if train(self.net, self.recipe.T, self.recipe.batch, *events, rates, *recorded) == NO_GRADIENT:
            raise PeFailed("the gradient is not finite; check the weights and the loss's constants", program="offchip")
        if progress:
            progress(len(rates))
        outcome.predicted[:] = outcome.first.argmin(axis=1)
        return outcome

    def evaluate(self, samples: Samples, progress: Progress | None = None) -> Outcome:
        """As `OnChip.evaluate`."""
        outcome = self._outcome(len(samples))
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        evaluate(self.net, self.recipe.T, *events, outcome.first, outcome.ce, outcome.loss)
        outcome.predicted[:] = outcome.first.argmin(axis=1)
        return outcome

    def weights(self) -> list[NDArray[np.float32]]:
        """Weights (n_out, n_in) of every layer."""
        return self._unpack(self.net.W)

    def gradients(self) -> list[NDArray[np.float32]]:
        """Gradient (n_out, n_in) of every layer, summed over the last batch."""
        return self._unpack(self.net.total)

    def inspect(self, samples: Samples) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float32]]]:
        """Spikes (T, B, n_out) and gradients of each sample (B, n_out, n_in) of every layer, weights unchanged."""
        T, count, outcome = self.recipe.T, len(samples), self._outcome(len(samples))
        spikes = [np.zeros((T, count, n), np.uint8) for n in self.recipe.layers[1:]]
        gradients: list[list[NDArray[np.float32]]] = []
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        for b in range(count):
            inspect(self.net, T, *events, b, outcome.first, outcome.ce, outcome.loss)
            gradients.append(self._unpack(self.net.G))
            for layer, dense in enumerate(spikes, 1):
                start = self.net.start[layer]
                for i in range(T):
                    dense[i, b, self.net.ids[layer, start[i] : start[i + 1]]] = 1
        return spikes, [np.stack(layer) for layer in zip(*gradients, strict=True)]

    def packets(self) -> dict[str, int]:
        """There are none off the chip."""
        return {}

    def _unpack(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        parts = np.split(flat, self.net.first_weight[1:-1])
        return [np.ascontiguousarray(p.reshape(s).T) for p, s in zip(parts, self.recipe.shapes, strict=True)]

    def _outcome(self, count: int) -> Outcome:
        f = np.float32
        first = np.zeros((count, self.recipe.layers[-1]), np.int16)
        return Outcome(first, np.zeros(count, np.uint8), np.zeros(count, f), np.zeros(count, f))
