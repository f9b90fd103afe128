"""Recipes: every number that defines a training run, with the two published presets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydantic
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, describe
from spinn2host.files import read_toml

Positive = pydantic.PositiveFloat
MAX_WIDTH = 65_535


class Recipe(pydantic.BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A training run. Times and time constants in ticks (1 ms), voltages in units of the threshold.

    The numbers of the presets are those of Béna et al. (arXiv:2412.15021), converted to ticks, `eps` and
    `weight_decay` times 1000 with the gradients, except where a field says otherwise.
    """

    layers: tuple[int, ...] = pydantic.Field(min_length=2, description="neurons per layer, inputs first")
    T: int = pydantic.Field(ge=2, le=32766, description="ticks of a forward pass")
    t_min: int = pydantic.Field(default=2, ge=0, description="earliest input spike")
    tau_m: Positive = pydantic.Field(default=20.0, description="membrane time constant, ticks")
    tau_s: Positive = pydantic.Field(default=5.0, description="synaptic time constant, ticks")
    xi: Positive = pydantic.Field(default=1.5, description="scale of the loss's softmax")
    a: float = pydantic.Field(default=1e-2, description="weight of the loss's early-spike term")
    b: Positive = pydantic.Field(default=100.0, description="time scale of that term")
    batch: pydantic.PositiveInt = pydantic.Field(description="samples per Adam step, a group of PEs each")
    epochs: pydantic.PositiveInt = pydantic.Field(description="passes over the training samples")
    samples: int = pydantic.Field(ge=1, le=10_000_000, description="training samples")
    lr: Positive = pydantic.Field(description="Adam's learning rate")
    gamma: Positive = pydantic.Field(description="learning rate factor per epoch")
    beta1: float = pydantic.Field(default=0.9, ge=0, lt=1, description="Adam: decay of the first moment")
    beta2: float = pydantic.Field(default=0.999, ge=0, lt=1, description="Adam: decay of the second moment")
    eps: Positive = pydantic.Field(default=1e-5, description="Adam: added to the denominator")
    weight_decay: float = pydantic.Field(ge=0, description="Adam: times the weights, added to the gradient")
    first_init: tuple[float, float] = pydantic.Field(
        default=(3.2, 3.2), description="mean, deviation of weights * sqrt(n_in)"
    )
    last_init: tuple[float, float] = pydantic.Field(description="the same for the last layer")
    patience: int = pydantic.Field(
        ge=0, le=1_000_000, description="samples of silence before a neuron's weights are raised; 0: never"
    )
    boost: float = pydantic.Field(ge=0, description="by which fraction they are raised")

    @pydantic.field_validator("layers")
    @classmethod
    def _positive(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= width <= MAX_WIDTH for width in layers):
            raise ValueError(f"every layer needs 1 to {MAX_WIDTH} neurons: a packet's key has 16 bits for one")
        return layers

    @pydantic.field_validator("first_init", "last_init")
    @classmethod
    def _deviation(cls, init: tuple[float, float]) -> tuple[float, float]:
        if init[1] < 0:
            raise ValueError("the deviation, the second number, must not be negative")
        return init

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(n_in, n_out) of every neuron layer."""
        return list(zip(self.layers, self.layers[1:], strict=False))

    @property
    def constants(self) -> Constants:
        """The neurons' decay factors."""
        alpha, beta = math.exp(-1 / self.tau_s), math.exp(-1 / self.tau_m)
        f = np.float32
        return Constants(f(alpha), f(beta), f(1 - alpha), f(1 - beta), f(self.tau_s))

    def initial_weights(self, seed: int) -> list[NDArray[np.float32]]:
        """Weights (n_out, n_in) ~ N(mean, deviation) / sqrt(n_in), drawn in float64, rounded once."""
        rng = np.random.default_rng(seed)
        weights = []
        for layer, (n_in, n_out) in enumerate(self.shapes):
            mean, deviation = self.last_init if layer == len(self.shapes) - 1 else self.first_init
            weights.append((rng.normal(mean, deviation, (n_out, n_in)) / math.sqrt(n_in)).astype(np.float32))
        return weights


class Constants(NamedTuple):
    """alpha, beta, 1 - alpha, 1 - beta: computed in float64, each rounded once."""

    alpha: np.float32
    beta: np.float32
    one_minus_alpha: np.float32
    one_minus_beta: np.float32
    tau_s: np.float32


PRESETS: dict[str, dict[str, Any]] = {
    "full": {
        "layers": (5, 120, 3), "T": 27, "batch": 22, "epochs": 20, "samples": 5000, "lr": 0.0019, "gamma": 0.95,
        "weight_decay": 6.5e-4, "last_init": (5.2, 2.8), "patience": 22, "boost": 0.005,
    },
    "online": {
        "layers": (5, 20, 3), "T": 28, "batch": 1, "epochs": 1, "samples": 300, "lr": 0.0162, "gamma": 0.41,
        "weight_decay": 1.5e-4, "last_init": (3.5, 2.3), "patience": 3, "boost": 0.055,
    },
}  # fmt: skip
"""`patience` and `boost` are this project's own: they keep neurons alive that the published recipes lose."""


def make_recipe(preset: str, file: Path | None = None, **changes: Any) -> Recipe:
    """The preset with the values of a TOML file and then `changes` (None: unchanged) over it. Raises ConfigError."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}: there are {', '.join(PRESETS)}", preset=preset)
    values = dict(PRESETS[preset])
    if file is not None:
        values |= read_toml(file)
    values |= {name: value for name, value in changes.items() if value is not None}
    try:
        return Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        raise ConfigError(f"recipe: {describe(error)}") from error


def check_weights(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> None:
    """Raises ConfigError unless there is a (n_out, n_in) matrix for every layer, finite in float32."""
    expected = [(n_out, n_in) for n_in, n_out in recipe.shapes]
    if [np.shape(w) for w in weights] != expected:
        raise ConfigError(f"weights have shapes {[np.shape(w) for w in weights]}, the layers need {expected}")
    for layer, w in enumerate(weights, 1):
        if not isinstance(w, np.ndarray) or w.dtype.kind not in "fiu":
            raise ConfigError(f"the weights of layer {layer} must be an array of real numbers", layer=layer)
        with np.errstate(over="ignore"):
            bad = np.count_nonzero(~np.isfinite(w.astype(np.float32)))
        if bad:
            raise ConfigError(f"{bad} of {w.size} weights of layer {layer} are NaN or infinite", layer=layer)


class Rates:
    """Adam's host-made numbers: lr decays as a running product, bias corrections by step, all float64, rounded once."""

    def __init__(self, lr: float, gamma_per_batch: float, beta1: float, beta2: float) -> None:
        self.lr, self.gamma, self.beta1, self.beta2 = lr, gamma_per_batch, beta1, beta2
        self.steps = 0

    def take(self, count: int) -> NDArray[np.float32]:
        """(step size lr / (1 - beta1^t), scale 1 / sqrt(1 - beta2^t)) of the next `count` steps, float32 (count, 2)."""
        rows = []
        for _ in range(count):
            self.steps += 1
            first, second = 1 - self.beta1**self.steps, 1 - self.beta2**self.steps
            rows.append((self.lr / first, 1 / math.sqrt(second)))
            self.lr *= self.gamma
        with np.errstate(over="ignore"):
            rates = np.array(rows, np.float32).reshape(count, 2)
        if not np.isfinite(rates).all():
            raise ConfigError(
                f"step {self.steps}: the learning rate {self.lr:g} exceeds float32; use a smaller lr or gamma"
            )
        return rates
