"""What both places of training check before they start, and what they say of numbers that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, PeFailed
from spinn2fw.kernels import finite
from spinn2host.events import Samples
from spinn2host.recipe import Recipe

MAX_CLASSES = 254
"""255 as a label stands for no sample."""

_REGIONS = {finite.GRADIENT: ("G",), finite.WEIGHTS: ("W",), finite.MOMENTS: ("m", "v")}


def check_samples(recipe: Recipe, samples: Samples, events_per_sample: int | None = None) -> None:
    """Raises ConfigError unless the samples fit the recipe; `events_per_sample`: input spikes that one may have."""
    if recipe.layers[-1] > MAX_CLASSES:
        raise ConfigError(f"{recipe.layers[-1]} classes: a label has 8 bits, for at most {MAX_CLASSES}")
    samples.check(recipe.T, recipe.layers[0], recipe.layers[-1])
    if events_per_sample is None:
        return
    counts = np.diff(samples.start)
    if counts.max(initial=0) > events_per_sample:
        raise ConfigError(
            f"sample {int(counts.argmax())} has {int(counts.max())} input spikes; the network was made for at most "
            f"{events_per_sample} per sample: give it a larger `events` when you make it",
            sample=int(counts.argmax()), limit=events_per_sample,
        )  # fmt: skip


def max_events(samples: Samples) -> int:
    """Input spikes of the sample that has the most; at least 1."""
    return max(1, int(np.diff(samples.start).max(initial=1)))


def check_rates(recipe: Recipe, samples: Samples, rates: NDArray[np.float32]) -> None:
    """Raises ConfigError unless there is a finite step size and scale for each batch of the samples."""
    if not isinstance(rates, np.ndarray) or rates.dtype != np.float32 or rates.ndim != 2 or rates.shape[1] != 2:
        raise ConfigError("rates must be a float32 array (batches, 2), as `recipe.Rates.take` makes it")
    if len(samples) != len(rates) * recipe.batch:
        raise ConfigError(
            f"{len(samples)} samples in batches of {recipe.batch} need {len(samples) / recipe.batch:g} pairs of rates, "
            f"there are {len(rates)}: leave out the samples of an incomplete batch",
            samples=len(samples), batch=recipe.batch, rates=len(rates),
        )  # fmt: skip
    if not np.isfinite(rates).all():
        raise ConfigError("rates are NaN or infinite: use a smaller learning rate")


def check_losses(recipe: Recipe, loss: NDArray[np.float32]) -> None:
    """Raises PeFailed for a loss of an evaluation (in nats, one per sample) that is not finite."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        raise not_finite(recipe, finite.LOSS, "evaluation", int(bad[0]) // recipe.batch)


def not_finite(
    recipe: Recipe, code: int, job: str, batch: int, read: Callable[[str], NDArray[Any]] | None = None
) -> PeFailed:
    """The error of a `job`, training or evaluation, that ended in its batch number `batch` (from 0) with `code`.

    `read`: gives the optimizer's regions G, W, m, v (flat, a layer behind the other), in which the layer is found. The
    error's fields are code, batch and layer (None for the loss), which count from 1.
    """
    layer = None if read is None else _layer(recipe, [read(name) for name in _REGIONS.get(code, ())])
    where = f"batch {batch + 1} of the {job}" + ("" if layer is None else f", layer {layer}")
    return PeFailed(f"{where}: {finite.TEXTS[code]}", code=code, batch=batch + 1, layer=layer)


def _layer(recipe: Recipe, regions: list[NDArray[Any]]) -> int | None:
    ends = np.cumsum([n_in * n_out for n_in, n_out in recipe.shapes])
    bad = [int(np.flatnonzero(~np.isfinite(values))[0]) for values in regions if not np.isfinite(values).all()]
    return int(np.searchsorted(ends, min(bad), side="right")) + 1 if bad else None
