"""Recipes: the published numbers, where each comes from, and which are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.errors import ConfigError
from spinn2host.recipe import PRESETS, Rates, check_weights, make_recipe

COMMON = {
    "tau_m": 20, "tau_s": 5, "t_min": 2, "eps": 1e-5, "beta1": 0.9, "beta2": 0.999, "xi": 1.5, "a": 1e-2, "b": 100,
    "first_init": (3.2, 3.2),
}  # fmt: skip
PUBLISHED = {
    "full": {
        "samples": 5000, "batch": 22, "epochs": 20, "T": 27, "layers": (5, 120, 3), "last_init": (5.2, 2.8),
        "lr": 0.0019, "weight_decay": 6.5e-4, "gamma": 0.95, **COMMON,
    },
    "online": {
        "samples": 300, "batch": 1, "epochs": 1, "T": 28, "layers": (5, 20, 3), "last_init": (3.5, 2.3),
        "lr": 0.0162, "weight_decay": 1.5e-4, "gamma": 0.41, **COMMON,
    },
}  # fmt: skip


@pytest.mark.parametrize("preset", ["full", "online"])
def test_presets_are_the_authors_recipes(preset: str) -> None:
    numbers = make_recipe(preset).model_dump()
    own = {name: numbers.pop(name) for name in ("patience", "boost")}  # this project's, not published
    assert numbers == PUBLISHED[preset]
    assert own["patience"] > 0 and own["boost"] > 0
    assert set(PRESETS) == set(PUBLISHED)


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_constants_are_rounded_once(tau_m: float, tau_s: float) -> None:
    c = make_recipe("full", tau_m=tau_m, tau_s=tau_s).constants
    alpha, beta = math.exp(-1 / tau_s), math.exp(-1 / tau_m)
    expected = [np.float32(value) for value in (alpha, beta, 1 - alpha, 1 - beta, tau_s)]
    assert list(c) == expected
    assert all(type(value) is np.float32 for value in c)


def test_rounding_twice_would_be_another_constant() -> None:
    c = make_recipe("full").constants
    assert c.one_minus_beta != np.float32(1) - c.beta


@given(
    st.floats(1e-6, 1), st.floats(0.1, 1.1), st.floats(0, 0.9999), st.floats(0, 0.9999), st.lists(st.integers(0, 20))
)
def test_rates_are_a_float64_loop(lr: float, gamma: float, beta1: float, beta2: float, counts: list[int]) -> None:
    rates = Rates(lr, gamma, beta1, beta2)
    got = [row for count in counts for row in rates.take(count)]
    now = lr
    for t, (step_size, scale) in enumerate(got, 1):
        assert step_size == np.float32(now / (1 - beta1**t))
        assert scale == np.float32(1 / math.sqrt(1 - beta2**t))
        now *= gamma
    assert len(got) == sum(counts)
    assert rates.take(0).shape == (0, 2) and rates.take(1).dtype == np.float32


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("layers = [5, 7, 3]\nlr = 0.5\nepochs = 3\nlast_init = [1, 2.5]\n")
    recipe = make_recipe("online", file, epochs=4, T=40, gamma=None)
    assert (recipe.layers, recipe.lr, recipe.last_init) == ((5, 7, 3), 0.5, (1, 2.5))  # the file
    assert (recipe.epochs, recipe.T) == (4, 40)  # the options
    assert (recipe.gamma, recipe.batch, recipe.samples) == (0.41, 1, 300)  # the preset
    (tmp_path / "empty.toml").write_text("")
    assert make_recipe("full", tmp_path / "empty.toml") == make_recipe("full")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr = nan", "lr.*finite"),
        (b"lr = inf", "lr.*finite"),
        (b"lr = -1", "lr.*greater than 0"),
        (b"learning_rate = 1", "learning_rate"),
        (b"[network]\nlayers = [5, 3]", "network"),
        (b"layers = [5]", "layers"),
        (b"layers = [5, 0, 3]", "layers.*neuron"),
        (b"T = 27.5", "T"),
        (b"T = 'many'", "T"),
        (b"T = 1", "T.*2"),
        (b"first_init = [1]", "first_init"),
        (b"beta2 = 1", "beta2.*less than 1"),
        (b"lr = ", r"mine\.toml"),
        (b"lr = 1\nlr = 2", r"mine\.toml"),
        (b"\xff\xfe", r"mine\.toml"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        make_recipe("full", file)


def test_missing_files_and_presets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        make_recipe("full", tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="directory"):
        make_recipe("full", tmp_path)
    with pytest.raises(ConfigError, match=r"'fulll'.*full, online"):
        make_recipe("fulll")


@pytest.mark.parametrize(
    "changes",
    [{"lr": math.nan}, {"a": math.inf}, {"tau_m": 0}, {"batch": 0}, {"eps": -1}, {"beta1": -0.1},
     {"epochs": 0},
     {"first_init": (1, math.nan)}, {"samples": 0}, {"t_min": -1}, {"boost": -0.1}, {"patience": -1}, {"no_such": 1}],
)  # fmt: skip
def test_bad_numbers_are_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        make_recipe("online", **changes)


def test_initial_weights_repeat_with_the_seed() -> None:
    recipe = make_recipe("full", layers=(5, 400, 300, 3))
    one, two, other = recipe.initial_weights(3), recipe.initial_weights(3), recipe.initial_weights(4)
    assert [w.shape for w in one] == [(400, 5), (300, 400), (3, 300)]
    for a, b, c in zip(one, two, other, strict=True):
        assert a.dtype == np.float32 and a.tobytes() == b.tobytes() != c.tobytes()
    for w, (mean, deviation) in zip(one, [(3.2, 3.2), (3.2, 3.2), (5.2, 2.8)], strict=True):
        scaled = w.astype(float) * math.sqrt(w.shape[1])
        assert abs(scaled.mean() - mean) < 5 * deviation / math.sqrt(w.size)
        assert abs(scaled.std() - deviation) < 5 * deviation / math.sqrt(2 * w.size)


def test_weights_that_do_not_belong_to_a_recipe_are_refused() -> None:
    recipe = make_recipe("online")
    weights = recipe.initial_weights(0)
    check_weights(recipe, weights)
    for bad in (weights[:1], weights[::-1], [w.T for w in weights]):
        with pytest.raises(ConfigError, match="shapes"):
            check_weights(recipe, bad)
    for value in (np.nan, np.inf, -np.inf):
        bad = [w.copy() for w in weights]
        bad[1][2, 7] = value
        with pytest.raises(ConfigError, match="1 of 60 weights of layer 2"):
            check_weights(recipe, bad)
