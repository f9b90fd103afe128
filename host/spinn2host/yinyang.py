"""The Yin-Yang data set and its spike code.

Kriener, Göltz, Petrovici, The Yin-Yang dataset, arXiv:2102.08211. Same random numbers as the published generator:
numpy's RandomState, one `randint(3)` for the class, then pairs `rand(2)` until one has that class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinn2host.events import Samples

R_SMALL, R_BIG = 0.1, 0.5
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 42, 41, 40
VALIDATION_SAMPLES, TEST_SAMPLES = 1000, 1000
CLASSES, INPUTS = 3, 5


def generate(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`count` samples: values (count, 4) = x, y, 1-x, 1-y, and labels (count,) 0 yang, 1 yin, 2 dot."""
    rng = np.random.RandomState(seed)
    values, labels = np.empty((count, 4)), np.empty(count, np.int64)
    for i in range(count):
        goal = rng.randint(3)
        while True:
            x, y = rng.rand(2) * 2.0 * R_BIG
            if np.hypot(x - R_BIG, y - R_BIG) <= R_BIG and _class(x, y) == goal:
                break
        values[i], labels[i] = (x, y, 1 - x, 1 - y), goal
    return values, labels


def _class(x: float, y: float) -> int:
    right = float(np.hypot(x - 1.5 * R_BIG, y - R_BIG))
    left = float(np.hypot(x - 0.5 * R_BIG, y - R_BIG))
    if right < R_SMALL or left < R_SMALL:
        return 2
    is_yin = right <= R_SMALL or (R_SMALL < left <= 0.5 * R_BIG) or (y > R_BIG and right > 0.5 * R_BIG)
    return int(is_yin)


def encode(values: NDArray[np.float64], T: int, t_min: int) -> NDArray[np.int64]:
    """Spike ticks (N, 5): round_half_even(t_min + (T-1-t_min) (1 - max(v, 0.01))) of the values; bias at 0."""
    ticks = np.rint(t_min + (T - 1 - t_min) * (1 - np.maximum(values, 0.01))).astype(np.int64)
    return np.concatenate([ticks, np.zeros((len(values), 1), np.int64)], axis=1)


def load(count: int, seed: int, T: int, t_min: int) -> Samples:
    """`count` samples of the generator with `seed` as spikes."""
    values, labels = generate(count, seed)
    return Samples.from_times(encode(values, T, t_min), labels)
