"""The off-chip simulator: the same kernels in one process, bit-identical to the chip.

It is the reference of what the chip computes, and the tool for prototyping and search. All batches of an epoch are one
compiled call (`passes.py`); layers are run one after the other, each over all ticks, which changes the order of no
addition. With several threads the samples of a batch are shared out, and their gradients added in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2emu.jit import prepare
from spinn2host import passes
from spinn2host.checks import check_losses, check_rates, check_samples, max_events, not_finite
from spinn2host.events import Samples
from spinn2host.onchip import Outcome, Progress
from spinn2host.recipe import Recipe, check_weights
from spinn2host.usage import PeUsage


class _Net:
    """The arrays of `passes.SHARED` and `passes.LANES` by name, and the record of them."""

    def __init__(self, recipe: Recipe, weights: Sequence[NDArray[np.float32]], most_events: int, threads: int) -> None:
        shapes, c = np.array(recipe.shapes, np.int64), recipe.constants
        flat = np.concatenate([np.ravel(w.T) for w in weights])
        layers, widest, classes, neurons = len(shapes), max(recipe.layers), recipe.layers[-1], shapes[:, 1].sum()
        records = max(most_events, max(recipe.layers[1:]) * recipe.T) + 1
        sizes = (layers, recipe.T, recipe.batch, widest, records, classes, flat.size, neurons, recipe.patience)
        spikes = (threads, layers + 1, records)
        dims = {
            "shapes": (layers, 2), "first_weight": (layers + 1,), "first_neuron": (layers + 1,),
            **dict.fromkeys(("W", "m", "v", "total"), (flat.size,)), "G": (recipe.batch, flat.size),
            **dict.fromkeys(("silence", "spoke"), (neurons,)), **dict.fromkeys(("I", "V", "e"), (threads, widest)),
            "start": (threads, layers + 1, recipe.T + 2), **dict.fromkeys(("ids", "d", "errors"), spikes),
            **dict.fromkeys(("probability", "class_errors"), (threads, classes)),
        }  # fmt: skip
        dtypes = passes.SHARED | passes.LANES
        self.arrays = {name: np.zeros(dims[name], dtype) for name, dtype in dtypes.items()}
        self.arrays["shapes"][:], self.arrays["W"][:] = shapes, flat
        self.arrays["first_weight"][1:] = shapes.prod(axis=1).cumsum()
        self.arrays["first_neuron"][1:] = shapes[:, 1].cumsum()
        self.record = np.zeros((), passes.NET)
        for name, size in zip(passes.SIZES, sizes, strict=True):
            self.record[name] = size
        for name, array in self.arrays.items():
            self.record[name] = array.ctypes.data
        constants = (
            c.alpha, c.beta, c.one_minus_alpha, c.one_minus_beta, c.tau_s, recipe.xi, recipe.a, recipe.b, recipe.batch,
            recipe.beta1, recipe.beta2, 1 - recipe.beta1, 1 - recipe.beta2, recipe.eps, recipe.weight_decay,
            recipe.boost,
        )  # fmt: skip
        for name, value in zip(passes.CONSTANTS, constants, strict=True):
            self.record[name] = value


class OffChip:
    """A network off the chip, with the same methods as `onchip.OnChip`; the bits do not depend on `threads`.

    weights: (n_out, n_in) of every layer, as of `Recipe.initial_weights`. events: input spikes that a sample may have;
    None: as many as a sample of `largest` has at most. Raises ConfigError.
    """

    on = "offchip"
    processes, step_ticks = 0, 0

    def __init__(
        self, recipe: Recipe, weights: Sequence[NDArray[np.float32]], largest: Samples, threads: int = 1,
        events: int | None = None,
    ) -> None:  # fmt: skip
        check_weights(recipe, weights)
        cores = len(os.sched_getaffinity(0))
        if not 1 <= threads <= cores:
            raise ConfigError(f"{threads} threads: this machine has 1 to {cores}", threads=threads, limit=cores)
        self.roles: dict[int, str] = {}
        self.recipe, self.threads = recipe, threads
        check_samples(recipe, largest)
        self.events_per_sample = events or max_events(largest)
        prepare([passes.train, passes.evaluate] if threads == 1 else
                [passes.train_share, passes.finish_batch, passes.evaluate])  # fmt: skip
        self.net = _Net(recipe, weights, self.events_per_sample, threads)

    def train(self, samples: Samples, rates: NDArray[np.float32], progress: Progress | None = None) -> Outcome:
        """As `OnChip.train`; raises the same."""
        check_samples(self.recipe, samples, self.events_per_sample)
        check_rates(self.recipe, samples, rates)
        outcome = Outcome.empty(len(samples), self.recipe.layers[-1])
        code, step = self._train(samples, rates, outcome)
        if code:
            arrays = self.net.arrays
            regions = {"G": arrays["total"], "W": arrays["W"], "m": arrays["m"], "v": arrays["v"]}
            raise not_finite(self.recipe, code, "training", step, regions.__getitem__)
        if progress:
            progress(len(rates))
        outcome.predicted[:] = outcome.first.argmin(axis=1)
        return outcome

    def _train(self, samples: Samples, rates: NDArray[np.float32], outcome: Outcome) -> tuple[int, int]:
        """Returns a code, 0 if all is well, and the step."""
        net, arguments, B = self.net.record, self._arguments(samples, outcome), self.recipe.batch
        if self.threads == 1:
            done = np.zeros(1, np.int64)
            return passes.train(net, 0, *arguments, np.ascontiguousarray(rates), done), int(done[0])
        ends = [k * B // self.threads for k in range(self.threads + 1)]
        self.net.arrays["spoke"][:] = 0
        with ThreadPoolExecutor(self.threads) as pool:
            for step, row in enumerate(np.ascontiguousarray(rates)):

                def share(k: int, first: int = step * B) -> int:
                    return passes.train_share(net, k, ends[k], ends[k + 1], first, *arguments)

                list(pool.map(share, range(self.threads)))
                code = passes.finish_batch(net, outcome.loss[step * B : (step + 1) * B], row)
                if code:
                    return code, step
        return 0, len(rates)

    def evaluate(self, samples: Samples, progress: Progress | None = None) -> Outcome:
        """As `OnChip.evaluate`; raises the same."""
        check_samples(self.recipe, samples, self.events_per_sample)
        outcome = Outcome.empty(len(samples), self.recipe.layers[-1])
        net, arguments = self.net.record, self._arguments(samples, outcome)
        ends = [k * len(samples) // self.threads for k in range(self.threads + 1)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda k: passes.evaluate(net, k, ends[k], ends[k + 1], *arguments), range(self.threads)))
        outcome.predicted[:] = outcome.first.argmin(axis=1)
        check_losses(self.recipe, outcome.loss)
        return outcome

    def _arguments(self, samples: Samples, outcome: Outcome) -> tuple[NDArray[np.generic], ...]:
        """Those of all passes that are about samples."""
        return (samples.start, samples.tick, samples.neuron, samples.label, outcome.first, outcome.ce, outcome.loss)

    def weights(self) -> list[NDArray[np.float32]]:
        """Weights (n_out, n_in) of every layer."""
        return self._unpack(self.net.arrays["W"])

    def gradients(self) -> list[NDArray[np.float32]]:
        """Gradient (n_out, n_in) of every layer, summed over the last batch."""
        return self._unpack(self.net.arrays["total"])

    def inspect(self, samples: Samples) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float32]]]:
        """Spikes (T, B, n_out) and gradients of each sample (B, n_out, n_in) of every layer, weights unchanged."""
        check_samples(self.recipe, samples, self.events_per_sample)
        T, count = self.recipe.T, len(samples)
        arguments = self._arguments(samples, Outcome.empty(count, self.recipe.layers[-1]))
        spikes = [np.zeros((T, count, n), np.uint8) for n in self.recipe.layers[1:]]
        gradients: list[list[NDArray[np.float32]]] = []
        for b in range(count):
            passes.train_share(self.net.record, 0, 0, 1, b, *arguments)
            gradients.append(self._unpack(self.net.arrays["G"][0]))
            for layer, dense in enumerate(spikes, 1):
                start, ids = self.net.arrays["start"][0, layer], self.net.arrays["ids"][0, layer]
                for i in range(T):
                    dense[i, b, ids[start[i] : start[i + 1]]] = 1
        return spikes, [np.stack(layer) for layer in zip(*gradients, strict=True)]

    def packets(self) -> dict[str, int]:
        """There are none off the chip."""
        return {}

    def usage(self) -> list[PeUsage]:
        """There are no PEs off the chip."""
        return []

    def _unpack(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        parts = np.split(flat, self.net.arrays["first_weight"][1:-1])
        return [np.ascontiguousarray(p.reshape(s).T) for p, s in zip(parts, self.recipe.shapes, strict=True)]
