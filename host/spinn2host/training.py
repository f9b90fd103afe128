"""The training job: data, epochs, evaluation; the same for both places where it can run."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, PeFailed
from spinn2emu.levels import LEVELS
from spinn2host import yinyang
from spinn2host.checks import check_samples
from spinn2host.chip import Chip
from spinn2host.energy.collect import Tally
from spinn2host.energy.model import WAITING, Usage
from spinn2host.events import Samples
from spinn2host.offchip import OffChip
from spinn2host.onchip import OPTIMIZER_ROLE, OnChip, Outcome, Progress
from spinn2host.recipe import Rates, Recipe
from spinn2host.schedule import planned
from spinn2host.usage import PeUsage

Place = Literal["chip", "offchip"]

PHASES = {
    "idle": WAITING, "start": "forward", "go on": "forward", "forward": "forward", "backward": "backward",
    "training": WAITING, "evaluating": WAITING, "update": "update",
}  # fmt: skip
"""What the phases of the programs are of a training step, in their order: the optimizer waits while samples pass."""


class Machine(NamedTuple):
    """How to run; results never depend on it. `cores`, `loop`: see `Chip.boot`; `threads`: off the chip; `trace`:
    arguments of `Chip.start_trace`, to record all packets of training and evaluation; `timing`: see `Chip.boot`."""

    cores: Sequence[int] | None = None
    loop: Literal["compiled", "python"] = "compiled"
    threads: int = 1
    trace: Mapping[str, Any] | None = None
    timing: bool = True


class Backend(Protocol):
    """Where a network lives: `OnChip` or `OffChip`."""

    on: str
    step_ticks: int

    @property
    def processes(self) -> int: ...
    def train(self, samples: Samples, rates: NDArray[np.float32], progress: Progress | None = None) -> Outcome: ...
    def evaluate(self, samples: Samples, progress: Progress | None = None) -> Outcome: ...
    def weights(self) -> list[NDArray[np.float32]]: ...
    def gradients(self) -> list[NDArray[np.float32]]: ...
    def packets(self) -> dict[str, int]: ...
    def usage(self) -> list[PeUsage]: ...
    @property
    def roles(self) -> dict[int, str]: ...


class Epoch(NamedTuple):
    """Metrics of one epoch; losses in nats, accuracies 0..1 (`validation` on samples that are not trained on)."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float
    wall_s: float


class Result(NamedTuple):
    """What a training run came to. `wall_s`: training alone, without start-up and evaluation. `usage`,
    `evaluation`: what the PEs did in all batches of each; None off the chip, and where nothing was counted.
    """

    epochs: list[Epoch]
    test_accuracy: float
    weights: list[NDArray[np.float32]]
    batches: int
    wall_s: float
    pe_processes: int
    packets: dict[str, int]
    usage: Usage | None = None
    evaluation: Usage | None = None


class Data(NamedTuple):
    """The three parts of a data set; their inputs and labels must fit the recipe's layers."""

    train: Samples
    validation: Samples
    test: Samples


def load_yinyang(recipe: Recipe) -> Data:
    """Yin-Yang for a recipe. Raises ConfigError if the layers do not fit the data."""
    if (recipe.layers[0], recipe.layers[-1]) != (yinyang.INPUTS, yinyang.CLASSES):
        raise ConfigError(
            f"layers {recipe.layers}: Yin-Yang has {yinyang.INPUTS} inputs and {yinyang.CLASSES} classes, so the first "
            f"layer must be {yinyang.INPUTS} and the last {yinyang.CLASSES}"
        )
    if recipe.batch > recipe.samples:
        raise ConfigError(f"a batch of {recipe.batch} is larger than the {recipe.samples} samples")
    if recipe.t_min > recipe.T - 1:
        raise ConfigError(f"t_min {recipe.t_min} must lie before the last tick {recipe.T - 1}")
    parts = [
        (recipe.samples, yinyang.TRAIN_SEED),
        (yinyang.VALIDATION_SAMPLES, yinyang.VALIDATION_SEED),
        (yinyang.TEST_SAMPLES, yinyang.TEST_SEED),
    ]
    return Data(*(yinyang.load(count, seed, recipe.T, recipe.t_min) for count, seed in parts))


@contextmanager
def open_backend(
    on: Place,
    recipe: Recipe,
    weights: Sequence[NDArray[np.float32]],
    largest: Samples,
    machine: Machine = Machine(),  # noqa: B008
    events: int | None = None,
) -> Iterator[Backend]:
    """A network on a private chip, or off the chip: see `OnChip` and `OffChip` for `weights`, `largest`, `events`.

    >>> with open_backend("offchip", recipe, recipe.initial_weights(0), samples) as network:   # doctest: +SKIP
    ...     outcome = network.train(samples, Rates(recipe.lr, recipe.gamma, recipe.beta1, recipe.beta2).take(batches))

    Raises ConfigError, SramOverflow.
    """
    if on not in ("chip", "offchip"):
        raise ConfigError(f"a network lives on the 'chip' or 'offchip', not {on!r}", on=on)
    idle = ("cores", "loop", "timing") if on == "offchip" else ("threads",)
    for name in idle:
        if getattr(machine, name) != Machine._field_defaults[name]:
            raise ConfigError(f"{name} = {getattr(machine, name)!r} does nothing for a network {on}: leave it out")
    if on == "offchip":
        if machine.trace is not None:
            raise ConfigError("off the chip there are no packets to record: leave out --trace, or train on the chip")
        yield OffChip(recipe, weights, largest, machine.threads, events)
        return
    with Chip.boot(machine.cores, machine.loop, timing=machine.timing) as chip:
        network = OnChip(chip, recipe, weights, largest, events)
        with nullcontext() if machine.trace is None else chip.trace(**machine.trace):
            yield network


def train(
    recipe: Recipe,
    data: Data,
    on: Place,
    seed: int,
    on_epoch: Callable[[Epoch, list[NDArray[np.float32]]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    machine: Machine = Machine(),  # noqa: B008
) -> Result:
    """Trains and evaluates on `data`, in place `on`. The seed sets initial weights and the order of samples.

    `on_epoch` gets each epoch's metrics and the weights after it; `progress` the epoch and its batches done so far.

    Raises ConfigError for data that do not fit; PeFailed, with epoch, batch and layer, for what is not finite.
    """
    batches = len(data.train) // recipe.batch
    if not batches:
        raise ConfigError(f"a batch of {recipe.batch} is larger than the {len(data.train)} training samples")
    for part in data:
        check_samples(recipe, part)
    events = max(int(np.diff(part.start).max(initial=1)) for part in data)
    rates = Rates(recipe.lr, recipe.gamma ** (1 / batches), recipe.beta1, recipe.beta2)
    shuffle = np.random.default_rng([seed, 1])
    largest = max(data, key=lambda part: len(part) if part is not data.train else batches * recipe.batch)
    epochs: list[Epoch] = []
    with open_backend(on, recipe, recipe.initial_weights(seed), largest, machine, events) as backend:
        trained, evaluated = Tally(backend.roles, PHASES), Tally(backend.roles, PHASES)
        for number in range(1, recipe.epochs + 1):
            order = shuffle.permutation(len(data.train))[: batches * recipe.batch]
            part = data.train.take(order)
            report = progress and partial(progress, number)
            with _in_epoch(number):
                with trained.during(backend.usage):
                    begin = time.perf_counter()
                    outcome = backend.train(part, rates.take(batches), report)
                    wall = time.perf_counter() - begin
                loss, accuracy = float(outcome.loss.mean(dtype=np.float64)), _accuracy(outcome, part)
                with evaluated.during(backend.usage):
                    validation = _accuracy(backend.evaluate(data.validation), data.validation)
            epochs.append(Epoch(number, loss, accuracy, validation, wall))
            if on_epoch:
                on_epoch(epochs[-1], backend.weights())
        with _in_epoch(recipe.epochs), evaluated.during(backend.usage):
            test = _accuracy(backend.evaluate(data.test), data.test)
        wall_s = sum(epoch.wall_s for epoch in epochs)
        steps = batches * recipe.epochs
        usage = trained.usage(backend.step_ticks, steps, recipe.batch)
        if usage is not None:
            usage = replace(usage, ticks_at=_ticks_at(recipe, usage))
        rows = [-(-len(part) // recipe.batch) for part in (data.validation, data.test)]
        return Result(
            epochs, test, backend.weights(), steps, wall_s, backend.processes, backend.packets(), usage,
            evaluated.usage(recipe.T + 1, rows[0] * recipe.epochs + rows[1], recipe.batch),
        )  # fmt: skip


def _ticks_at(recipe: Recipe, usage: Usage) -> dict[str, int]:
    """Ticks that a training step would take at other levels than the optimizer's."""
    own = {row.level for row in usage.rows if row.role == OPTIMIZER_ROLE}
    return {level: 2 * recipe.T + planned(recipe, level)[0] for level in LEVELS if level not in own}


@contextmanager
def _in_epoch(number: int) -> Iterator[None]:
    """Adds the epoch to the error of what is not finite."""
    try:
        yield
    except PeFailed as error:
        if "batch" not in error.fields:
            raise
        raise PeFailed(f"epoch {number}, {error.message}", epoch=number, **error.fields) from error


def finite(value: float) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def _accuracy(outcome: Outcome, samples: Samples) -> float:
    return float((outcome.predicted == samples.label).mean()) if len(samples) else math.nan


def weights_sha256(weights: Sequence[NDArray[np.float32]]) -> str:
    """Digest of all weights' bytes: little-endian float32, (n_out, n_in) in C order, layer by layer."""
    digest = hashlib.sha256()
    for w in weights:
        digest.update(np.ascontiguousarray(w, "<f4").tobytes())
    return digest.hexdigest()
