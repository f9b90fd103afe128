"""How the cost of a batch grows with batch, hidden neurons, ticks, input spikes, layers and cores.

`python -m bench.growth FILE.json` measures all curves, or those that are named behind the file.
The weights stand still (a learning rate of nothing, nobody is woken): a curve shows its parameter alone, not what the
network has learned meanwhile.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench.measure import Json, Training, restricted_to, spread, usable_cores
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2host import yinyang
from spinn2host.events import Samples
from spinn2host.recipe import Recipe, make_recipe
from spinn2host.training import Backend, Place, open_backend

ROUNDS, ROUND_S, BATCHES = 5, 0.3, 32
INPUTS, HIDDEN, WIDTH, MOST_CORES = 5, 120, 32, 8


class Load(NamedTuple):
    """What is trained: a network, its samples, and the cores it may use (None: all)."""

    recipe: Recipe
    samples: Samples
    cores: int | None = None


class Curve(NamedTuple):
    """A parameter, the values that are tried until one does not fit, and the load for a value."""

    parameter: str
    values: Sequence[int]
    load: Callable[[int], Load]


def full(**changes: object) -> Recipe:
    """The full preset with frozen weights and other numbers; enough samples for BATCHES."""
    recipe = make_recipe("full", lr=1e-12, weight_decay=0.0, patience=1_000_000, **changes)
    return recipe.model_copy(update={"samples": BATCHES * recipe.batch})


def yinyang_load(**changes: object) -> Load:
    """Yin-Yang samples: a spike of each of the five inputs."""
    recipe = full(**changes)
    return Load(recipe, yinyang.load(recipe.samples, yinyang.TRAIN_SEED, recipe.T, recipe.t_min))


def random_samples(recipe: Recipe, events: int) -> Samples:
    """Samples with `events` random input spikes each, at most one per input and tick, and random labels."""
    rng = np.random.default_rng(0)
    n_in = recipe.layers[0]
    places: NDArray[np.int64] = np.argsort(rng.random((recipe.samples, recipe.T * n_in)), axis=1)[:, :events]
    spikes = np.zeros((recipe.samples, recipe.T * n_in), np.uint8)
    np.put_along_axis(spikes, places, 1, axis=1)
    dense = spikes.reshape(recipe.samples, recipe.T, n_in).transpose(1, 0, 2)
    return Samples.from_spikes(dense, rng.integers(0, recipe.layers[-1], recipe.samples))


def spiky_load(events: int) -> Load:
    """More input spikes with weaker weights, so that the hidden neurons are driven as much as before."""
    mean, deviation = make_recipe("full").first_init
    recipe = full(first_init=(mean * INPUTS / events, deviation * INPUTS / events))
    return Load(recipe, random_samples(recipe, events))


def deep_load(layers: int) -> Load:
    """Layers of the same size: each adds the same work."""
    recipe = full(layers=(WIDTH,) * (layers + 1), first_init=(1.4, 1.4), last_init=(1.4, 1.4))
    return Load(recipe, random_samples(recipe, WIDTH))


CURVES = {
    "batch": Curve("batch, samples", (1, 2, 4, 9, 18, 36, 37), lambda n: yinyang_load(batch=n)),
    "hidden": Curve("hidden neurons", (30, 60, 120, 240, 600, 1200), lambda n: yinyang_load(layers=(INPUTS, n, 3))),
    "T": Curve("forward ticks T", (27, 54, 108, 270), lambda n: yinyang_load(T=n)),
    "spikes": Curve("input spikes per sample", (5, 10, 20, 40, 80, 135), spiky_load),
    "layers": Curve("neuron layers", (1, 2, 3, 4, 5), deep_load),
    "cores": Curve("cores", (1, 2, 3, 4, 6, 8), lambda n: yinyang_load()._replace(cores=n)),
}


def cost(network: Backend, load: Load) -> list[float]:
    """Milliseconds per batch of each round, after a warm-up; a round is as many calls as take ROUND_S."""
    training = Training(network, load.recipe, load.samples)
    training()
    times = []
    calls = 0
    for _ in range(1 + ROUNDS):
        begin = time.perf_counter()
        for _ in range(calls or 1):
            training()
        took = time.perf_counter() - begin
        if calls:
            times.append(1000 * took / (calls * training.batches))
        else:
            calls = max(1, round(ROUND_S / took))
    return times


def measure(place: Place, load: Load) -> Json:
    """Spread of the milliseconds per batch; on the chip, also spikes per sample, of all layers and the input."""
    cores = 1 if place == "offchip" else load.cores or len(usable_cores())
    weights = load.recipe.initial_weights(0)
    with restricted_to(cores), open_backend(place, load.recipe, weights, load.samples) as network:
        result = spread(cost(network, load))
        if place == "chip":
            before = network.packets()["spike"]
            network.evaluate(load.samples)
            result["spikes"] = (network.packets()["spike"] - before) / len(load.samples)
    return result


def measure_curve(curve: Curve, most: int | None = None) -> Json:
    """All points of a curve, with the message of the first value that the chip refuses."""
    points: list[Json] = []
    limit = None
    for value in curve.values:
        if most is not None and value > most:
            break
        try:
            load = curve.load(value)
            chip = measure("chip", load)
        except ConfigError as error:
            limit = {"value": value, "message": str(error).splitlines()[0]}
            break
        points.append({"value": value, "chip": chip, "offchip": measure("offchip", load)})
        print(f"{curve.parameter} {value}: {chip['median']:.3g} ms per batch", file=sys.stderr)
    return {"parameter": curve.parameter, "points": points, "limit": limit}


def main(file: Path, names: Sequence[str]) -> None:
    """Measures the curves called `names`, or all, and writes them to `file`."""
    curves = {
        name: measure_curve(CURVES[name], len(usable_cores()) if name == "cores" else None) for name in names or CURVES
    }
    file.write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
