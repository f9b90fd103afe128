"""Recordings to which the formulas of shipped programs are fitted: networks of many sizes, and short samples.

Terms of a formula that always grow together cannot be told apart, so sizes differ; what it is worth is tested on other
recordings, those of `recordings.shipped`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinn2host.arm import recordings
from spinn2host.arm.recordings import Loaded
from spinn2host.events import Samples
from spinn2host.recipe import make_recipe

T = 7
NETWORKS: list[tuple[tuple[int, ...], int, int, int]] = [
    ((5, 120, 3), 3, 2, 1), ((7, 33, 10, 3), 2, 0, 1), ((12, 21, 8), 2, 1, 2), ((3, 60, 5), 4, 3, 1),
    ((5, 20, 3), 1, 2, 1), ((30, 9, 6), 2, 2, 1), ((4, 200, 3), 1, 4, 3), ((2, 50, 49, 3), 1, 0, 1),
]  # fmt: skip
"""Layers, batch, patience, update ticks."""
BATCHES = 8
SIZES = ((10, True), (40, False), (100, True), (250, False))
"""Of spiking populations, and whether voltages are recorded."""


def _eventprop(folder: Path, loaded: Loaded) -> list[Path]:
    rng, files = np.random.default_rng(21), list[Path]()
    for number, (layers, batch, patience, update_ticks) in enumerate(NETWORKS):
        recipe = make_recipe(
            "full", layers=layers, batch=batch, patience=patience, T=T, tau_s=2.0, tau_m=6.0,
            first_init=(12.0, 6.0), last_init=(12.0, 6.0), lr=0.02,
        )  # fmt: skip
        count = (BATCHES + 1) * batch
        spikes = rng.random((T, count, layers[0])) < rng.uniform(0.02, 0.4, (1, count, 1))
        samples = Samples.from_spikes(spikes.astype(np.uint8), rng.integers(0, layers[-1], count))
        limit = T + 2 + BATCHES * (2 * T + update_ticks)
        files += recordings.trained(folder / f"{number}", limit, loaded, recipe, samples, update_ticks)
    return files


def _snn(folder: Path, loaded: Loaded) -> list[Path]:
    return [
        path for size, voltages in SIZES
        for path in recordings.spiking(_new(folder / f"{size}"), 60, loaded, size, voltages)
    ]  # fmt: skip


def _examples(folder: Path, loaded: Loaded) -> list[Path]:
    return [path for n in (10, 64, 100) for path in recordings.examples(_new(folder / f"{n}"), 100, loaded, n)]


def _replay(folder: Path, loaded: Loaded) -> list[Path]:
    return recordings.shipped("replay", folder, loaded=loaded)


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


KINDS: dict[str, Callable[[Path, Loaded], list[Path]]] = {
    "eventprop": _eventprop, "snn": _snn, "examples": _examples, "replay": _replay,
}  # fmt: skip
"""Each records into a folder."""
