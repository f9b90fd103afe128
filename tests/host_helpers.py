"""What the tests of the host and its kernels share: networks, dense spikes, and runs of them in both places."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from helpers import sram
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2host import yinyang
from spinn2host.chip import Chip
from spinn2host.events import Samples
from spinn2host.offchip import OffChip
from spinn2host.onchip import OnChip, Outcome
from spinn2host.recipe import Rates, Recipe, make_recipe
from spinn2host.training import weights_sha256

VECTORS = Path(__file__).parent / "vectors"
BATCHES = 3


def small(preset: str = "full", batches: int = BATCHES, **changes: Any) -> Recipe:
    """A preset with other numbers; as many samples as `batches` need, silent neurons are woken after a batch."""
    batch = changes.get("batch", make_recipe(preset).batch)
    return make_recipe(preset, **{"samples": batches * batch, "patience": batch, **changes})


def yinyang_samples(recipe: Recipe) -> Samples:
    """Training samples of a recipe."""
    return yinyang.load(recipe.samples, yinyang.TRAIN_SEED, recipe.T, recipe.t_min)


def dense_samples(recipe: Recipe, probability: float, seed: int = 0) -> Samples:
    """Random samples with several spikes per input."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((recipe.T, recipe.samples, recipe.layers[0])) < probability
    return Samples.from_spikes(spikes.astype(np.uint8), rng.integers(0, recipe.layers[-1], recipe.samples))


def dense(samples: Samples, T: int, n_in: int) -> NDArray[np.uint8]:
    """Spikes as (T, samples, n_in)."""
    spikes = np.zeros((T, len(samples), n_in), np.uint8)
    for s in range(len(samples)):
        own = slice(samples.start[s], samples.start[s + 1])
        spikes[samples.tick[own], s, samples.neuron[own]] = 1
    return spikes


def rates(recipe: Recipe) -> Rates:
    """The rates of a recipe that runs BATCHES per epoch."""
    return Rates(recipe.lr, recipe.gamma ** (1 / BATCHES), recipe.beta1, recipe.beta2)


def open_network(
    chip: Chip | None, recipe: Recipe, samples: Samples, seed: int = 1, **deployment: Any
) -> OnChip | OffChip:
    """A network with fresh weights, on `chip` or, without one, off it. `deployment`: of `OnChip`."""
    weights = recipe.initial_weights(seed)
    return OffChip(recipe, weights, samples) if chip is None else OnChip(chip, recipe, weights, samples, **deployment)


def assert_same(one: Outcome, other: Outcome) -> None:
    """Every recorded number of two runs has the same bytes."""
    for name, values in vars(one).items():
        assert values.dtype == vars(other)[name].dtype
        np.testing.assert_array_equal(values.view(np.uint8), vars(other)[name].view(np.uint8), err_msg=name)


def digest_of_a_run(chip: Chip) -> dict[str, Any]:
    """Trains and evaluates; digests of all that the chip holds afterwards: SRAM of every PE, counters, results."""
    recipe = small(layers=(5, 30, 3), batch=5, batches=4)
    samples = yinyang_samples(recipe)
    network = open_network(chip, recipe, samples)
    trained = network.train(samples, rates(recipe).take(4))
    evaluated = network.evaluate(samples)
    counters = {
        name: values.tolist() for name, values in chip.counters().items() if name not in ("frames", "activations")
    }
    memory = hashlib.sha256()
    for pe in geometry.PE_IDS:
        memory.update(sram(chip, pe).tobytes())
    outcomes = [{name: values.tolist() for name, values in asdict(o).items()} for o in (trained, evaluated)]
    return {
        "sram": memory.hexdigest(),
        "counters": counters,
        "outcomes": outcomes,
        "weights": weights_sha256(network.weights()),
    }


if __name__ == "__main__":  # host_helpers.py CORE: the digest of a run on one core, as JSON
    os.sched_setaffinity(0, {int(sys.argv[1])})
    with Chip.boot() as pinned:
        print(json.dumps(digest_of_a_run(pinned)))
