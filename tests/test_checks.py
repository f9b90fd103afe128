"""Training checks the same before it starts, and ends with the same words, on the chip and off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from host_helpers import dense_samples, open_network, rates, small, yinyang_samples

from spinn2emu.errors import ConfigError, PeFailed
from spinn2fw.kernels.finite import GRADIENT, LOSS, MOMENTS, TEXTS, WEIGHTS, all_finite
from spinn2host.chip import Chip
from spinn2host.events import NO_LABEL, Samples
from spinn2host.recipe import Recipe
from spinn2host.training import Data, Machine, open_backend, train

TINY = {"layers": (5, 8, 3), "batch": 2, "batches": 4}


@pytest.fixture(params=["chip", "offchip"])
def where(request: pytest.FixtureRequest) -> Chip | None:
    return request.getfixturevalue("chip") if request.param == "chip" else None


def step(values: tuple[float, float], number: int) -> Callable[[np.ndarray], None]:
    """Replaces step size and scale of one batch."""

    def edit(rates: np.ndarray) -> None:
        rates[number] = values

    return edit


def nothing(rates: np.ndarray) -> None:
    pass


HUGE = 3.4e38
DIVERGED: dict[str, tuple[dict[str, Any], Callable[[np.ndarray], None], int, int, tuple[int, ...]]] = {
    "loss": ({"b": 0.01}, nothing, LOSS, 1, (0,)),
    "weights": ({}, step((HUGE, 0.0), 2), WEIGHTS, 3, (1, 2)),
    "moments": ({"xi": 1e-20}, nothing, MOMENTS, 1, (1, 2)),
    "gradient": ({}, step((2e37, 1.0), 1), GRADIENT, 3, (1, 2)),
}  # changes of the recipe, of the rates; code, batch, possible layers (0: none)


@pytest.mark.parametrize("what", DIVERGED)
def test_what_is_not_finite_ends_a_training_with_batch_and_layer(chip: Chip, what: str) -> None:
    changes, edit, code, batch, layers = DIVERGED[what]
    recipe = small(**TINY, **changes)
    samples, values = yinyang_samples(recipe), rates(recipe).take(4)
    edit(values)
    errors = []
    for place in (chip, None):
        network = open_network(place, recipe, samples)
        with pytest.raises(PeFailed, match=f"batch {batch} of the training.*{what}") as caught:
            network.train(samples, values)
        errors.append(caught.value)
    on, off = errors
    assert (on.message, on.fields, on.exit_code) == (off.message, off.fields, off.exit_code)
    assert (on.code, on.batch, on.exit_code) == (code, batch, 5)
    assert (on.layer or 0) in layers and TEXTS[code] in on.message


def test_an_infinite_loss_ends_an_evaluation(chip: Chip) -> None:
    recipe = small(**TINY, b=0.01)
    samples = yinyang_samples(recipe)
    samples.label[:5] = NO_LABEL  # the first two batches, and half of the third, have no loss
    messages = []
    for place in (chip, None):
        with pytest.raises(PeFailed, match="batch 3 of the evaluation: the loss is not finite") as caught:
            open_network(place, recipe, samples).evaluate(samples)
        messages.append(caught.value.message)
    assert messages[0] == messages[1]


def test_large_numbers_that_are_finite_do_not_end_anything(where: Chip | None) -> None:
    """The test of each entry, not of a sum."""
    recipe = small(**TINY, weight_decay=0.0)
    samples = yinyang_samples(recipe)
    network = open_network(where, recipe, samples)
    values = rates(recipe).take(4)
    values[3] = 3e37, 1.0
    network.train(samples, values)
    W = np.concatenate([w.ravel() for w in network.weights()])
    assert np.isfinite(W).all() and np.abs(W).max() > 1e36


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place_of_it", [0, 17, 99])
def test_every_entry_is_looked_at(value: float, place_of_it: int) -> None:
    values = np.full(100, 3e38, np.float32)
    assert all_finite(values)
    values[place_of_it] = value
    assert not all_finite(values)


def weights_with(value: float, dtype: Any = np.float32) -> Callable[[Recipe], list[np.ndarray]]:
    def make(recipe: Recipe) -> list[np.ndarray]:
        weights = [w.astype(dtype) for w in recipe.initial_weights(1)]
        weights[1][2, 3] = value
        return weights

    return make


@pytest.mark.parametrize("make", [weights_with(np.nan), weights_with(-np.inf), weights_with(1e300, np.float64)])
def test_weights_that_are_not_finite_are_refused(where: Chip | None, make: Callable[[Recipe], Any]) -> None:
    from spinn2host.offchip import OffChip
    from spinn2host.onchip import OnChip

    recipe = small(**TINY)
    samples, weights = yinyang_samples(recipe), make(recipe)
    with pytest.raises(ConfigError, match="1 of 24 weights of layer 2 are NaN or infinite"):
        OffChip(recipe, weights, samples) if where is None else OnChip(where, recipe, weights, samples)


def changed(name: str, index: Any, value: Any) -> Callable[[Samples], Samples]:
    def change(samples: Samples) -> Samples:
        array = getattr(samples, name).copy()
        array[index] = value
        return replace(samples, **{name: array})

    return change


def replaced(name: str, make: Callable[[Any], Any]) -> Callable[[Samples], Samples]:
    return lambda samples: replace(samples, **{name: make(getattr(samples, name))})


BAD: dict[str, tuple[Callable[[Samples], Samples], str]] = {
    "neuron": (changed("neuron", 7, 5), r"neuron 5 is outside 0\.\.4"),
    "far neuron": (changed("neuron", 7, 65535), r"neuron 65535 is outside 0\.\.4"),
    "tick": (changed("tick", -1, 27), r"tick 27 is outside 0\.\.26"),
    "label": (changed("label", 2, 3), r"label 3 is outside 0\.\.2"),
    "order": (changed("tick", 5, 26), r"event 6 is not sorted"),
    "descending starts": (changed("start", 3, 0), "must ascend from 0"),
    "first start": (changed("start", 0, 1), "must ascend from 0"),
    "negative start": (changed("start", 0, -1), "must ascend from 0"),
    "last start": (changed("start", -1, 10**9), "must ascend from 0"),
    "start's dtype": (replaced("start", lambda a: a.astype(np.int32)), "`start` must be a flat array of int64"),
    "tick's dtype": (replaced("tick", lambda a: a.astype(float)), "`tick` must be a flat array of uint16"),
    "neuron's dtype": (replaced("neuron", lambda a: a.astype(np.int64)), "`neuron` must be a flat array of uint16"),
    "label's dtype": (replaced("label", lambda a: a.astype(np.int64)), "`label` must be a flat array of uint8"),
    "no array": (replaced("neuron", list), "not list"),
    "matrix": (replaced("tick", lambda a: a.reshape(-1, 5)), r"not uint16\[8, 5\]"),
    "short ticks": (replaced("tick", lambda a: a[:-1]), "39 ticks need as many neurons, there are 40"),
    "short neurons": (replaced("neuron", lambda a: a[:-1]), "there are 39"),
    "short labels": (replaced("label", lambda a: a[:-1]), "7 labels need 8 starts, there are 9"),
}


@pytest.mark.parametrize("what", BAD)
def test_samples_that_are_none_are_refused_by_both(networks: list[tuple[Any, Recipe, Samples]], what: str) -> None:
    change, message = BAD[what]
    for network, recipe, samples in networks:
        bad = change(samples)
        for use in (lambda n, s, r: n.train(s, r), lambda n, s, r: n.evaluate(s)):
            with pytest.raises(ConfigError, match=message):
                use(network, bad, rates(recipe).take(4))
        with pytest.raises(ConfigError, match=message):
            open_network(getattr(network, "chip", None), recipe, bad)


@pytest.fixture
def networks(chip: Chip) -> list[tuple[Any, Recipe, Samples]]:
    """One in each place."""
    recipe = small(**TINY)
    samples = yinyang_samples(recipe)
    return [(open_network(place, recipe, samples), recipe, samples) for place in (chip, None)]


def test_a_sample_with_more_spikes_than_the_largest_is_refused(networks: list[tuple[Any, Recipe, Samples]]) -> None:
    for network, recipe, _ in networks:
        many = dense_samples(recipe, 0.5)
        with pytest.raises(ConfigError, match=r"sample \d has \d+ input spikes; .* at most 5 per sample"):
            network.train(many, rates(recipe).take(4))
        with pytest.raises(ConfigError, match=r"at most 5 per sample"):
            network.evaluate(many)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((5, 2), np.float32), "8 samples in batches of 2 need 4 pairs of rates, there are 5"),
        (np.ones((3, 2), np.float32), "there are 3"),
        (np.ones((4, 2)), "float32"),
        (np.ones((4, 3), np.float32), "float32 array"),
        (np.full((4, 2), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_rates_that_do_not_fit_are_refused(
    networks: list[tuple[Any, Recipe, Samples]], values: np.ndarray, message: str
) -> None:
    for network, _, samples in networks:
        with pytest.raises(ConfigError, match=message):
            network.train(samples, values)


def test_no_samples_are_no_work(networks: list[tuple[Any, Recipe, Samples]]) -> None:
    for network, _, samples in networks:
        none = samples.take(np.arange(0))
        assert network.evaluate(none).first.shape == network.train(none, np.zeros((0, 2), np.float32)).first.shape
        assert network.evaluate(none).loss.tolist() == []


@pytest.mark.parametrize("on", ["chip", "offchip"])
def test_the_sample_with_the_most_spikes_may_be_in_any_part_of_the_data(on: Any) -> None:
    recipe = small(**TINY)
    few, many = yinyang_samples(recipe), dense_samples(recipe, 0.5)
    result = train(recipe, Data(few, many.take(np.arange(2)), few.take(np.arange(3))), on, seed=1)
    assert 0 <= result.epochs[-1].validation_accuracy <= 1


def test_data_that_do_not_fit_are_refused() -> None:
    recipe = small(**TINY)
    few = yinyang_samples(recipe)
    for data, message in (
        (Data(few.take(np.arange(1)), few, few), "a batch of 2 is larger than the 1 training samples"),
        (Data(few, few, changed("label", 0, 9)(few)), r"label 9 is outside 0\.\.2"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(recipe, data, "offchip", seed=1)


@pytest.mark.parametrize(
    ("on", "machine", "message"),
    [
        ("offchip", Machine(cores=[0]), r"cores = \[0\] does nothing for a network offchip"),
        ("offchip", Machine(loop="python"), "loop = 'python' does nothing"),
        ("chip", Machine(threads=2), "threads = 2 does nothing for a network chip"),
        ("moon", Machine(), "on the 'chip' or 'offchip', not 'moon'"),
    ],
)
def test_what_does_nothing_is_refused(on: Any, machine: Machine, message: str) -> None:
    recipe = small(**TINY)
    samples = yinyang_samples(recipe)
    with (
        pytest.raises(ConfigError, match=message),
        open_backend(on, recipe, recipe.initial_weights(1), samples, machine),
    ):
        pass
