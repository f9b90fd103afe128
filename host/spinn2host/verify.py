"""Verification against reference vectors, on the chip and off it.

A file's kind is known by its keys: vectors (`n_layers`), trajectories (`batch_size`), generator samples (`values_42`).
Spikes and first-spike ticks must be equal; losses, gradients and weights within TOLERANCE of the array's largest
entry; what must be zero must be exactly zero.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, describe
from spinn2host import yinyang
from spinn2host.chip import Chip
from spinn2host.events import Samples
from spinn2host.offchip import OffChip
from spinn2host.onchip import OnChip
from spinn2host.recipe import Rates, Recipe, check_weights
from spinn2host.training import Place

TOLERANCE = 1e-4
"""From the vectors' description: float32 costs the reference itself up to about 3e-6."""

NAT = 1.0
"""Losses are compared relative to at least one nat: near 0 float32 has few digits of ln(1 + p) left."""

Vectors = dict[str, NDArray[Any]]


@dataclass
class Report:
    """Outcome for one file and place. `worst`: largest relative error; `problems`: what differs."""

    file: str
    on: str
    worst: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def equal(self, what: str, got: NDArray[Any], expected: NDArray[Any]) -> None:
        """Exact comparison."""
        if got.shape != expected.shape:
            self.problems.append(f"{what}: shape {got.shape} instead of {expected.shape}")
        elif not np.array_equal(got, expected):
            self.problems.append(f"{what}: {np.count_nonzero(got != expected)} of {expected.size} differ")

    def close(self, what: str, got: NDArray[Any], expected: NDArray[Any], least: float = 0.0) -> None:
        """Comparison relative to the largest expected entry, or to `least` if that is more."""
        if got.shape != expected.shape:
            self.problems.append(f"{what}: shape {got.shape} instead of {expected.shape}")
            return
        scale = max(least, float(np.abs(expected).max(initial=0)))
        error = float(np.abs(got.astype(np.float64) - expected).max(initial=0))
        relative = error / scale if scale else (float("inf") if error else 0.0)
        if np.isnan(relative):
            relative = float("inf")
        self.worst = max(self.worst, relative)
        if relative > TOLERANCE:
            self.problems.append(f"{what}: relative error {relative:.2e} exceeds {TOLERANCE:g}")


def verify(
    files: Sequence[Path], places: Sequence[Place], each: Callable[[Report], None] | None = None
) -> list[Report]:
    """Runs every file in every place. All files are read and checked first; raises ConfigError for a bad one."""
    loaded = [(path, load(path)) for path in files]
    reports: list[Report] = []

    def add(report: Report) -> None:
        reports.append(report)
        if each:
            each(report)

    for path, vectors in loaded:
        if kind(vectors) == "samples":
            add(_verify_samples(path, vectors))
    runs = [(path, vectors) for path, vectors in loaded if kind(vectors) != "samples"]
    if "offchip" in places:
        for path, vectors in runs:
            add(_verify_off_chip(path, vectors))
    if "chip" in places and runs:
        with Chip.boot() as chip:
            for path, vectors in runs:
                add(_verify_on_chip(path, vectors, chip))
    return reports


def load(path: Path) -> Vectors:
    """The arrays of a file, checked. Raises ConfigError that names the file and what is wrong with it."""
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ConfigError("is not a .npz file, or is cut off: it must be a zip archive of arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                vectors = {name: arrays[name] for name in arrays.files}
        _check(vectors)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", **error.fields) from error
    except Exception as error:
        raise ConfigError(f"{path} is not a readable .npz file: {error}") from error
    return vectors


def kind(vectors: Vectors) -> str:
    """`vectors`, `trajectory` or `samples`. Raises ConfigError for anything else."""
    for key, name in (("n_layers", "vectors"), ("batch_size", "trajectory"), ("values_42", "samples")):
        if key in vectors:
            return name
    raise ConfigError("neither vectors (n_layers), nor a trajectory (batch_size), nor generator samples (values_42)")


_SCALARS = ("T", "tau_m", "tau_s", "loss_xi", "loss_a", "loss_b",
            "adam_lr", "adam_b1", "adam_b2", "adam_eps", "adam_wd")  # fmt: skip


def _check(vectors: Vectors) -> None:
    bad = sorted(name for name, array in vectors.items() if array.dtype.kind not in "iufb")
    if bad:
        raise ConfigError(f"must be real numbers: {', '.join(bad)}")
    if kind(vectors) == "samples":
        _check_generator_samples(vectors)
        return
    _need(vectors, dict.fromkeys(_SCALARS, ()))
    T, layers = int(vectors["T"]), _layers(vectors)
    if "x" in vectors and vectors["x"].ndim == 3 and len(vectors["x"]) != T:
        raise ConfigError(f"x has shape {vectors['x'].shape}, but T is {T}: spikes lie outside 0..{T - 1}")
    _need(vectors, {"x": (T, None, None), **{f"W{n}": (None, None) for n in range(1, layers + 1)}})
    _, count, n_in = vectors["x"].shape
    for n in range(1, layers + 1):
        if vectors[f"W{n}"].shape[1] != n_in:
            raise ConfigError(f"W{n} has shape {vectors[f'W{n}'].shape}, the layer below has {n_in} neurons")
        n_in = len(vectors[f"W{n}"])
    _need(vectors, {"y": (count,)})
    if not np.array_equal(vectors["y"], vectors["y"].astype(np.int64)) or vectors["T"] != T:
        raise ConfigError("T and y must be whole numbers")
    check_weights(recipe(vectors), _initial(vectors))
    _samples(vectors).check(T, vectors["x"].shape[2], n_in)
    _need(vectors, _expected_shapes(vectors, T, count, n_in), finite=False)


def _expected_shapes(vectors: Vectors, T: int, count: int, classes: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of what must come out."""
    weights = {n: vectors[f"W{n}"].shape for n in range(1, _layers(vectors) + 1)}
    if kind(vectors) == "trajectory":
        _need(vectors, {"batch_size": (), "lr_gamma_per_batch": ()})
        batch = int(vectors["batch_size"])
        if batch < 1 or count < batch or count % batch:
            raise ConfigError(f"batch_size {batch} does not divide the {count} samples")
        steps = count // batch
        after: dict[str, tuple[int | None, ...]] = {f"W{n}_after": (steps, *shape) for n, shape in weights.items()}
        return {"first": (steps, batch, classes), "loss_ce": (steps,), **after}
    shapes: dict[str, tuple[int | None, ...]] = {"first": (count, classes), "loss_ce": (), "loss_total": ()}
    for n, shape in weights.items():
        shapes |= {f"W{n}_after": shape, f"grad{n}": shape, f"grad{n}_per_sample": (count, *shape)}
        shapes[f"spikes{n}"] = (T, count, shape[0])
    return shapes


def _check_generator_samples(vectors: Vectors) -> None:
    for name in vectors:
        what, _, seed = name.partition("_")
        if what not in ("values", "labels") or not seed.isdigit():
            raise ConfigError(f"{name} is neither values_SEED nor labels_SEED")
        count = len(vectors[name]) if vectors[name].ndim else 0
        if not count:
            raise ConfigError(f"{name} is empty")
        _need(vectors, {f"values_{seed}": (count, 4), f"labels_{seed}": (count,)})


def _need(vectors: Vectors, shapes: Mapping[str, tuple[int | None, ...]], finite: bool = True) -> None:
    """Raises ConfigError unless the arrays are there, have these shapes (None: any size) and are finite."""
    missing = sorted(set(shapes) - set(vectors))
    if missing:
        raise ConfigError(f"arrays are missing: {', '.join(missing)}")
    for name, shape in shapes.items():
        got = vectors[name].shape
        if len(got) != len(shape) or any(b is not None and a != b for a, b in zip(got, shape, strict=True)):
            raise ConfigError(f"{name} has shape {got} instead of {shape} (None: any size)")
        if finite and not np.isfinite(vectors[name]).all():
            raise ConfigError(
                f"{name} has {np.count_nonzero(~np.isfinite(vectors[name]))} entries that are NaN or infinite"
            )


def _layers(vectors: Vectors) -> int:
    if "n_layers" in vectors:
        return int(vectors["n_layers"])
    return sum(f"W{layer}" in vectors for layer in range(1, 100))


def _samples(vectors: Vectors) -> Samples:
    label = vectors["y"].astype(np.int64)
    if (label < 0).any() or (label > 253).any():
        raise ConfigError("y must be labels 0..253")
    return Samples.from_spikes(vectors["x"], label)


def recipe(vectors: Vectors) -> Recipe:
    """The recipe that a file's numbers make; silent neurons are left alone."""
    values = {name: float(vectors[name]) for name in _SCALARS}
    batch = int(vectors["batch_size"]) if "batch_size" in vectors else vectors["x"].shape[1]
    widths = [vectors["x"].shape[2], *(len(vectors[f"W{layer}"]) for layer in range(1, _layers(vectors) + 1))]
    gamma = float(vectors.get("lr_gamma_per_batch", np.array(1.0)))
    try:
        return Recipe(
            layers=tuple(widths), T=int(values["T"]), tau_m=values["tau_m"], tau_s=values["tau_s"],
            xi=values["loss_xi"], a=values["loss_a"], b=values["loss_b"], batch=batch, epochs=1,
            samples=vectors["x"].shape[1], lr=values["adam_lr"], gamma=gamma, beta1=values["adam_b1"],
            beta2=values["adam_b2"], eps=values["adam_eps"], weight_decay=values["adam_wd"], last_init=(0, 0),
            patience=0, boost=0,
        )  # fmt: skip
    except pydantic.ValidationError as error:
        raise ConfigError(f"its numbers make no recipe: {describe(error)}") from error


def _initial(vectors: Vectors) -> list[NDArray[np.float32]]:
    with np.errstate(over="ignore"):
        return [vectors[f"W{n}"].astype(np.float32) for n in range(1, _layers(vectors) + 1)]


def _verify_samples(path: Path, vectors: Vectors) -> Report:
    report = Report(str(path), "host")
    for name in sorted(vectors):
        if name.startswith("values_"):
            seed = int(name.removeprefix("values_"))
            values, labels = yinyang.generate(len(vectors[name]), seed)
            report.equal(name, values, vectors[name])
            report.equal(f"labels_{seed}", labels, vectors[f"labels_{seed}"])
    return report


def _verify_off_chip(path: Path, vectors: Vectors) -> Report:
    report, samples = Report(str(path), "offchip"), _samples(vectors)
    backend = OffChip(recipe(vectors), _initial(vectors), samples)
    if kind(vectors) == "trajectory":
        return _verify_trajectory(report, vectors, backend)
    spikes, gradients = backend.inspect(samples)
    return _verify_vectors(report, vectors, backend, lambda: (spikes, gradients))


def _verify_on_chip(path: Path, vectors: Vectors, chip: Chip) -> Report:
    report = Report(str(path), "chip")
    backend = OnChip(chip, recipe(vectors), _initial(vectors), _samples(vectors))
    if kind(vectors) == "trajectory":
        return _verify_trajectory(report, vectors, backend)
    layers = range(1, _layers(vectors) + 1)
    spikes = lambda: ([backend.spikes(n) for n in layers], [backend.sample_gradients(n) for n in layers])  # noqa: E731
    return _verify_vectors(report, vectors, backend, spikes)


def _rates(vectors: Vectors) -> Rates:
    r = recipe(vectors)
    return Rates(r.lr, r.gamma, r.beta1, r.beta2)


def _verify_vectors(
    report: Report, vectors: Vectors, backend: OnChip | OffChip, inspect: Callable[[], tuple[list[Any], list[Any]]]
) -> Report:
    """One training step from the given weights."""
    outcome = backend.train(_samples(vectors), _rates(vectors).take(1))
    report.equal("first", outcome.first, vectors["first"])
    report.close("loss_ce", outcome.ce.mean(dtype=np.float64), vectors["loss_ce"], NAT)
    report.close("loss_total", outcome.loss.mean(dtype=np.float64), vectors["loss_total"], NAT)
    spikes, sample_gradients = inspect()
    after, gradients = backend.weights(), backend.gradients()
    for layer in range(1, _layers(vectors) + 1):
        report.equal(f"spikes{layer}", spikes[layer - 1], vectors[f"spikes{layer}"])
        report.close(f"grad{layer}", gradients[layer - 1], vectors[f"grad{layer}"])
        report.close(f"grad{layer}_per_sample", sample_gradients[layer - 1], vectors[f"grad{layer}_per_sample"])
        report.close(f"W{layer}_after", after[layer - 1], vectors[f"W{layer}_after"])
    return report


def _verify_trajectory(report: Report, vectors: Vectors, backend: OnChip | OffChip) -> Report:
    """Consecutive training steps; weights are compared after each."""
    samples, rates, batch = _samples(vectors), _rates(vectors), int(vectors["batch_size"])
    for step in range(len(samples) // batch):
        outcome = backend.train(samples.take(np.arange(step * batch, (step + 1) * batch)), rates.take(1))
        report.equal(f"first[{step}]", outcome.first, vectors["first"][step])
        report.close(f"loss_ce[{step}]", outcome.ce.mean(dtype=np.float64), vectors["loss_ce"][step], NAT)
        for layer, w in enumerate(backend.weights(), 1):
            report.close(f"W{layer}_after[{step}]", w, vectors[f"W{layer}_after"][step])
    return report
