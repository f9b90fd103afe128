"""What the benchmarks share: spreads, cores, and a network that is trained on and on."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spinn2host.events import Samples
from spinn2host.recipe import Rates, Recipe

QUICK = bool(os.environ.get("SPINN2EMU_BENCH_QUICK"))
"""`scripts/bench --quick`: fewer rounds."""

Json = dict[str, Any]


class Trainable(Protocol):
    """A network in any place, PyTorch included."""

    def train(self, samples: Samples, rates: NDArray[np.float32]) -> Any: ...


def rounds(wanted: int) -> int:
    """How often to measure."""
    return min(wanted, 2) if QUICK else wanted


def spread(values: Sequence[float]) -> Json:
    """Median, extremes and number of the values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}


def record(benchmark: Any, name: str, unit: str, values: Sequence[float]) -> None:
    """Keeps a number for the report, beside pytest-benchmark's own seconds per round."""
    benchmark.extra_info[name] = {"unit": unit, **spread(values)}


def seconds(benchmark: Any) -> list[float]:
    """What each round took; none if pytest-benchmark is switched off."""
    return list(benchmark.stats.stats.data)


class Training:
    """Calling it trains `network` on all whole batches of `samples` once more."""

    def __init__(self, network: Trainable, recipe: Recipe, samples: Samples) -> None:
        self.batches = len(samples) // recipe.batch
        self.network, self.samples = network, samples.take(np.arange(self.batches * recipe.batch))
        gamma = recipe.gamma ** (1 / max(1, recipe.samples // recipe.batch))
        self.rates = Rates(recipe.lr, gamma, recipe.beta1, recipe.beta2)

    def __call__(self) -> None:
        self.network.train(self.samples, self.rates.take(self.batches))


def usable_cores() -> list[int]:
    """The cores that this process may use, first threads of physical cores before second ones."""

    def is_second(core: int) -> bool:
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        except OSError:
            return False
        return not re.match(rf"{core}\b", siblings)

    return sorted(os.sched_getaffinity(0), key=lambda core: (is_second(core), core))


@contextmanager
def restricted_to(cores: int) -> Iterator[None]:
    """This thread, and the processes that it starts, run on so many cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, usable_cores()[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
