"""The off-chip simulator: the same kernels in one process, bit-identical to the chip.

It is the reference of what the chip computes, and the tool for prototyping and search. All batches of an epoch are one
compiled call; layers are run one after the other, each over all ticks, which changes the order of no addition. With
several threads the samples of a batch are shared out, and their gradients added in the same order as with one.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2emu.jit import allocating, compiled_allocating, threaded
from spinn2fw.kernels import adam, finite, lif, loss
from spinn2host.checks import check_losses, check_rates, check_samples, max_events, not_finite
from spinn2host.events import NO_LABEL, Samples
from spinn2host.onchip import Outcome, Progress
from spinn2host.recipe import Recipe, check_weights

Net: Any = namedtuple(
    "Net",
    ["shapes", "W", "G", "total", "m", "v", "first_weight", "first_neuron", "I", "V", "e", "start", "ids", "d",
     "errors", "probability", "class_errors", "silence", "spoke", "constants", "loss_constants", "adam_constants",
     "patience"],
)  # fmt: skip
"""Working memory. Flat float32 `W`, `G` (by sample), `total` (the batch), `m`, `v`: the transposed layers one behind
the other, layer l from first_weight[l]. From `I` to `class_errors` every array has a row per thread (see `_lane`).
Spikes of layer l in step i: ids[l, start[l, i] : start[l, i + 1]], layer 0 being the input; `d` their distances,
`errors` the errors that belong to them."""

OK = 0


def _net(recipe: Recipe, weights: Sequence[NDArray[np.float32]], most_events: int, threads: int) -> Any:
    shapes = np.array(recipe.shapes, np.int64)
    sizes, neurons, widest = shapes.prod(axis=1), shapes[:, 1], max(recipe.layers)
    f, T, records = np.float32, recipe.T, max(most_events, max(recipe.layers[1:]) * recipe.T) + 1
    flat = np.concatenate([np.ravel(w.T) for w in weights]).astype(f)
    c = recipe.constants
    spikes = (threads, len(shapes) + 1, records)
    return Net(  # type: ignore[call-arg, unused-ignore]
        shapes, flat, np.zeros((recipe.batch, flat.size), f), *(np.zeros(flat.size, f) for _ in range(3)),
        np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([[0], np.cumsum(neurons)]),
        *(np.zeros((threads, widest), f) for _ in range(3)),
        np.zeros((threads, len(shapes) + 1, T + 2), np.int64),
        np.zeros(spikes, np.uint16), np.zeros(spikes, f), np.zeros(spikes, f),
        np.zeros((threads, recipe.layers[-1]), f), np.zeros((threads, recipe.layers[-1]), f),
        np.zeros(neurons.sum(), np.int32), np.zeros(neurons.sum(), np.uint8),
        np.array([c.alpha, c.beta, c.one_minus_alpha, c.one_minus_beta, c.tau_s], f),
        np.array([recipe.xi, recipe.a, recipe.b, recipe.batch], f),
        np.array([recipe.beta1, recipe.beta2, 1 - recipe.beta1, 1 - recipe.beta2, recipe.eps, recipe.weight_decay,
                  recipe.boost], f), recipe.patience,
    )  # fmt: skip


@allocating
def _lane(net, thread, sample):  # type: ignore[no-untyped-def]
    """The net as one thread sees it that works on sample number `sample` of the batch."""
    k = thread
    return Net(
        net.shapes, net.W, net.G[sample], net.total, net.m, net.v, net.first_weight, net.first_neuron, net.I[k],
        net.V[k], net.e[k], net.start[k], net.ids[k], net.d[k], net.errors[k], net.probability[k], net.class_errors[k],
        net.silence, net.spoke, net.constants, net.loss_constants, net.adam_constants, net.patience,
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
def _forget_speakers(net):  # type: ignore[no-untyped-def]
    """A new batch begins."""
    net.spoke[:] = 0


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
    """Backward passes of one sample."""
    _loss_errors(net, T, first)
    net.G[:] = 0
    for layer in range(net.shapes.shape[0] - 1, -1, -1):
        _backward(net, T, layer)
        _note_speakers(net, layer)


@allocating
def _sum_gradients(net):  # type: ignore[no-untyped-def]
    """total = the samples' gradients, added by ascending sample."""
    net.total[:] = 0
    for sample in range(net.G.shape[0]):
        adam.add(net.total, net.G[sample])


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


def _train(net, threads, T, batch, start, tick, neuron, label, rates, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """One Adam step per batch of consecutive samples. Returns OK, or a code of `finite`, and the batch of the end."""
    for step in range(rates.shape[0]):
        _forget_speakers(net)
        for thread in prange(threads):
            for b in range(thread * batch // threads, (thread + 1) * batch // threads):
                sample, lane = step * batch + b, _lane(net, thread, b)
                _sample(lane, T, start, tick, neuron, label, sample, first, ce, total_loss)
                _gradient(lane, T, first[sample])
        if not finite.all_finite(total_loss[step * batch : (step + 1) * batch]):
            return finite.LOSS, step
        _sum_gradients(net)
        if not finite.all_finite(net.total):
            return finite.GRADIENT, step
        _update(net, batch, rates[step])
        if not finite.all_finite(net.W):
            return finite.WEIGHTS, step
        if not (finite.all_finite(net.m) and finite.all_finite(net.v)):
            return finite.MOMENTS, step
    return OK, rates.shape[0]


def _evaluate(net, threads, T, start, tick, neuron, label, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward passes and losses of all samples."""
    count = label.shape[0]
    for thread in prange(threads):
        lane = _lane(net, thread, 0)
        for sample in range(thread * count // threads, (thread + 1) * count // threads):
            _sample(lane, T, start, tick, neuron, label, sample, first, ce, total_loss)


train, evaluate = compiled_allocating(_train), compiled_allocating(_evaluate)
train_threaded, evaluate_threaded = threaded(_train), threaded(_evaluate)


@compiled_allocating
def inspect(net, T, start, tick, neuron, label, sample, first, ce, total_loss):  # type: ignore[no-untyped-def]
    """Forward and backward passes of one sample; leaves its spikes in the records and its gradient in net.G[0]."""
    lane = _lane(net, 0, 0)
    _sample(lane, T, start, tick, neuron, label, sample, first, ce, total_loss)
    _gradient(lane, T, first[sample])


class OffChip:
    """A network off the chip, with the same methods as `onchip.OnChip`; the bits do not depend on `threads`.

    weights: (n_out, n_in) of every layer, as of `Recipe.initial_weights`. events: input spikes that a sample may have;
    None: as many as a sample of `largest` has at most. Raises ConfigError.
    """

    on = "offchip"
    processes = 0

    def __init__(
        self,
        recipe: Recipe,
        weights: Sequence[NDArray[np.float32]],
        largest: Samples,
        threads: int = 1,
        events: int | None = None,
    ) -> None:
        check_weights(recipe, weights)
        if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
            raise ConfigError(f"{threads} threads: this machine has 1 to {numba.config.NUMBA_NUM_THREADS}")
        self.recipe, self.threads = recipe, threads
        check_samples(recipe, largest)
        self.events_per_sample = events or max_events(largest)
        self.net = _net(recipe, weights, self.events_per_sample, threads)
        nothing = largest.take(np.arange(0))  # compiles, or loads from the cache
        self._train(nothing, np.zeros((0, 2), np.float32))
        self._evaluate(nothing)

    def train(self, samples: Samples, rates: NDArray[np.float32], progress: Progress | None = None) -> Outcome:
        """As `OnChip.train`; raises the same."""
        check_samples(self.recipe, samples, self.events_per_sample)
        check_rates(self.recipe, samples, rates)
        outcome, code, step = self._train(samples, rates)
        if code != OK:
            arrays = {"G": self.net.total, "W": self.net.W, "m": self.net.m, "v": self.net.v}
            raise not_finite(self.recipe, code, "training", step, arrays.__getitem__)
        if progress:
            progress(len(rates))
        return outcome

    def _train(self, samples: Samples, rates: NDArray[np.float32]) -> tuple[Outcome, int, int]:
        outcome = Outcome.empty(len(samples), self.recipe.layers[-1])
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        recorded = (outcome.first, outcome.ce, outcome.loss)
        run = train if self.threads == 1 else train_threaded
        with self._use_threads():
            code, step = run(self.net, self.threads, self.recipe.T, self.recipe.batch, *events, rates, *recorded)
        outcome.predicted[:] = outcome.first.argmin(axis=1)
        return outcome, code, step

    def evaluate(self, samples: Samples, progress: Progress | None = None) -> Outcome:
        """As `OnChip.evaluate`; raises the same."""
        check_samples(self.recipe, samples, self.events_per_sample)
        outcome = self._evaluate(samples)
        check_losses(self.recipe, outcome.loss)
        return outcome

    def _evaluate(self, samples: Samples) -> Outcome:
        outcome = Outcome.empty(len(samples), self.recipe.layers[-1])
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        run = evaluate if self.threads == 1 else evaluate_threaded
        with self._use_threads():
            run(self.net, self.threads, self.recipe.T, *events, outcome.first, outcome.ce, outcome.loss)
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
        check_samples(self.recipe, samples, self.events_per_sample)
        T, count, outcome = self.recipe.T, len(samples), Outcome.empty(len(samples), self.recipe.layers[-1])
        spikes = [np.zeros((T, count, n), np.uint8) for n in self.recipe.layers[1:]]
        gradients: list[list[NDArray[np.float32]]] = []
        events = (samples.start, samples.tick, samples.neuron, samples.label)
        for b in range(count):
            inspect(self.net, T, *events, b, outcome.first, outcome.ce, outcome.loss)
            gradients.append(self._unpack(self.net.G[0]))
            for layer, dense in enumerate(spikes, 1):
                start = self.net.start[0, layer]
                for i in range(T):
                    dense[i, b, self.net.ids[0, layer, start[i] : start[i + 1]]] = 1
        return spikes, [np.stack(layer) for layer in zip(*gradients, strict=True)]

    def packets(self) -> dict[str, int]:
        """There are none off the chip."""
        return {}

    @contextmanager
    def _use_threads(self) -> Iterator[None]:
        before = numba.get_num_threads()
        numba.set_num_threads(self.threads)
        try:
            yield
        finally:
            numba.set_num_threads(before)

    def _unpack(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        parts = np.split(flat, self.net.first_weight[1:-1])
        return [np.ascontiguousarray(p.reshape(s).T) for p, s in zip(parts, self.recipe.shapes, strict=True)]
