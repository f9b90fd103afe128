"""On the chip and off it the same bits come out, on every chip, however the work is cut and scheduled."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, CORE
from host_helpers import (
    BATCHES,
    assert_same,
    dense_samples,
    digest_of_a_run,
    open_network,
    rates,
    small,
    yinyang_samples,
)

from spinn2emu.errors import ConfigError
from spinn2emu.router.state import Counter
from spinn2host import mapping, yinyang
from spinn2host.chip import Chip
from spinn2host.events import Samples
from spinn2host.offchip import OffChip
from spinn2host.onchip import OnChip, Outcome
from spinn2host.recipe import Recipe
from spinn2host.training import weights_sha256


def trained(chip: Chip | None, recipe: Recipe, samples: Samples) -> tuple[str, Outcome]:
    """Digest of the weights after BATCHES steps, and what was recorded, on `chip` or off it."""
    network = open_network(chip, recipe, samples)
    outcome = network.train(samples, rates(recipe).take(BATCHES))
    return weights_sha256(network.weights()), outcome


def assert_places_agree(chip: Chip, recipe: Recipe, samples: Samples) -> None:
    (off_sha, off), (on_sha, on) = trained(None, recipe, samples), trained(chip, recipe, samples)
    assert_same(on, off)
    assert on_sha == off_sha
    assert (on.first < recipe.T).any(), "no output spikes: nothing was compared"
    assert off_sha != weights_sha256(recipe.initial_weights(1))


@pytest.mark.parametrize("preset", ["full", "online"])
@pytest.mark.parametrize("batch", [1, 7, 22, 36])
def test_both_places_agree_for_any_batch(chip: Chip, preset: str, batch: int) -> None:
    recipe = small(preset, layers=(5, 40, 3), batch=batch)
    assert_places_agree(chip, recipe, yinyang_samples(recipe))


@pytest.mark.parametrize("preset", ["full", "online"])
@pytest.mark.parametrize("layers", [(5, 3), (5, 40, 3), (5, 40, 30, 3), (5, 40, 30, 20, 3)], ids=str)
def test_both_places_agree_for_any_depth(chip: Chip, preset: str, layers: tuple[int, ...]) -> None:
    recipe = small(preset, layers=layers, batch=7)
    assert_places_agree(chip, recipe, yinyang_samples(recipe))


@pytest.mark.parametrize(("layers", "T"), [((16, 64, 10), 50), ((16, 33, 17, 4), 30), ((33, 129, 2), 20)], ids=str)
def test_both_places_agree_on_dense_input(chip: Chip, layers: tuple[int, ...], T: int) -> None:
    recipe = small(layers=layers, T=T, batch=4, first_init=(1.0, 2.0), last_init=(1.0, 2.0))
    samples = dense_samples(recipe, 0.15)
    assert np.diff(samples.start).min() > layers[0]  # several spikes per input
    assert_places_agree(chip, recipe, samples)


def test_waking_silent_neurons_is_the_same_in_both_places(chip: Chip) -> None:
    # 150 neurons: what is silent does not fit one packet; the small mean leaves many silent.
    recipe = small(layers=(5, 150, 3), batch=4, first_init=(1.0, 3.0), last_init=(6.0, 3.0), boost=0.1)
    samples = yinyang_samples(recipe)
    assert_places_agree(chip, recipe, samples)
    asleep = recipe.model_copy(update={"patience": 0})
    assert trained(None, recipe, samples)[0] != trained(None, asleep, samples)[0], "nobody woke"
    assert_places_agree(chip, asleep, samples)


def test_evaluation_agrees_and_does_not_change_training(chip: Chip) -> None:
    recipe = small(layers=(5, 30, 3), batch=5)
    samples, validation = yinyang_samples(recipe), yinyang.load(23, 41, recipe.T, recipe.t_min)  # no multiple of 5
    straight, _ = trained(chip, recipe, samples)
    results = []
    for where in (None, chip):
        network, steps = open_network(where, recipe, samples), rates(recipe)
        evaluated = [network.evaluate(validation)]
        for batch in range(BATCHES):
            part = samples.take(np.arange(batch * recipe.batch, (batch + 1) * recipe.batch))
            network.train(part, steps.take(1))
            before = weights_sha256(network.weights())
            evaluated.append(network.evaluate(validation))
            assert weights_sha256(network.weights()) == before
        assert weights_sha256(network.weights()) == straight
        results.append(evaluated)
    for off, on in zip(*results, strict=True):
        assert len(on.first) == len(validation)
        assert_same(on, off)


@pytest.mark.parametrize(("capacity", "rates_capacity"), [(1, 10), (2, 10), (10, 2)])
def test_training_in_chunks_gives_the_same_bits(chip: Chip, capacity: int, rates_capacity: int) -> None:
    recipe = small(layers=(5, 30, 3), batch=5, batches=7)
    samples = yinyang_samples(recipe)
    whole = open_network(None, recipe, samples)
    expected, sha = whole.train(samples, rates(recipe).take(7)), weights_sha256(whole.weights())
    network = open_network(chip, recipe, samples)
    assert isinstance(network, OnChip) and network.capacity >= 7 <= network.rates_capacity
    network.capacity, network.rates_capacity = capacity, rates_capacity
    reported: list[int] = []
    assert_same(network.train(samples, rates(recipe).take(7), reported.append), expected)
    assert weights_sha256(network.weights()) == sha
    assert reported == sorted(reported) and 0 <= reported[0] <= reported[-1] <= 7
    assert_same(network.evaluate(samples), whole.evaluate(samples))


def test_buffers_that_do_not_fit_are_refilled(chip: Chip) -> None:
    recipe = small(layers=(40, 10, 3), T=60, batch=2, batches=40, first_init=(0.5, 1.0))
    samples = dense_samples(recipe, 0.8)
    (off, on) = (open_network(where, recipe, samples) for where in (None, chip))
    assert isinstance(on, OnChip) and on.capacity < 40
    steps = rates(recipe).take(40)
    assert_same(on.train(samples, steps), off.train(samples, steps))
    assert weights_sha256(on.weights()) == weights_sha256(off.weights())


UPDATES: list[dict[str, Any]] = [
    {"update_ticks": 2}, {"update_ticks": 3, "shares": [0.0, 0.7, 0.3]}, {"update_ticks": 7},
]  # fmt: skip


@pytest.mark.parametrize(("preset", "layers", "batch"), [
    ("full", (5, 3), 3), ("online", (5, 20, 3), 1), ("full", (5, 40, 30, 3), 7), ("full", (3, 7, 5, 9, 3), 2),
], ids=str)  # fmt: skip
def test_how_long_an_update_lasts_changes_no_bit(
    chip: Chip, monkeypatch: pytest.MonkeyPatch, preset: str, layers: tuple[int, ...], batch: int
) -> None:
    recipe = small(preset, layers=layers, batch=batch, batches=9, patience=2 * batch, boost=0.1)
    samples = yinyang_samples(recipe) if layers[0] == 5 else dense_samples(recipe, 0.2)
    off, steps = open_network(None, recipe, samples), rates(recipe).take(9)
    expected, evaluated = off.train(samples, steps), off.evaluate(samples)
    ahead = (1, 5 * 4 * batch, 10**9)  # how far inputs play ahead
    cases = itertools.product(UPDATES, ahead) if len(layers) == 2 else zip(UPDATES, ahead, strict=True)
    for update, events in cases:
        monkeypatch.setattr(mapping, "AHEAD_EVENTS", events)
        network = open_network(chip, recipe, samples, **update)
        begin = chip.info()["tick"]
        assert_same(network.train(samples, steps), expected)
        assert chip.info()["tick"] - begin == 9 * (2 * recipe.T + update["update_ticks"]) + 1
        assert_same(network.evaluate(samples), evaluated)
        assert weights_sha256(network.weights()) == weights_sha256(off.weights())
        for one, other in zip(network.gradients(), off.gradients(), strict=True):
            np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))
        assert chip.counters()["router"][Counter.UNROUTED : Counter.NOT_LIVE + 1].tolist() == [0, 0, 0]


def test_each_tick_of_an_update_works_on_its_share(chip: Chip) -> None:
    recipe = small(layers=(5, 3), batch=2, batches=1, patience=0)
    samples, T = yinyang_samples(recipe), recipe.T
    network = open_network(chip, recipe, samples, update_ticks=3, shares=[0.5, 0.0, 0.5])
    assert isinstance(network, OnChip)
    m = []

    def run(self: Chip, ticks: int, report: object) -> None:
        original(self, 2 * T + 1)
        for _ in range(4):
            m.append(self.read(network.optimizer, "m"))
            original(self, 1)

    original = Chip.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chip, "run", run)
        network.train(samples, rates(recipe).take(1))
    assert [values.size for values in m] == [16] * 4  # 15 weights, and a place that stays 0
    changed = [np.flatnonzero(after != before).tolist() for before, after in pairwise(m)]
    assert changed[1] == [] and set(changed[0]) <= set(range(8)) and set(changed[2]) <= set(range(8, 15))
    assert changed[0] and changed[2] and not m[0].any()


def test_samples_ascend_with_pe_ids() -> None:
    """Gradients are added in the order in which packets come, by ascending PE: that must be by sample, then layer."""
    for layers, batch in (((5, 40, 3), 36), ((5, 40, 30, 3), 28), ((5, 3), 36)):
        placement = mapping.place(len(layers) - 1, batch)
        flat = [pe for chain in placement.chains for pe in chain]
        assert flat == sorted(flat) and len(set(flat)) == batch * (len(layers) + 1)


def test_what_a_chip_holds_does_not_depend_on_scheduling(chips: Chips) -> None:
    chip = chips()
    first = digest_of_a_run(chip)
    assert sum(first["counters"]["hits"]) > 1000
    assert digest_of_a_run(chip) == first  # on the same chip again
    for options in (*BOOTS.values(), {"cores": [CORE] * 7}):  # the last: more routers than a quad has PEs
        assert digest_of_a_run(chips(**options)) == first, options
    script = Path(__file__).parent / "host_helpers.py"
    pinned = subprocess.run([sys.executable, str(script), str(CORE)], stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(pinned.stdout) == first


@pytest.mark.parametrize(("layers", "batch"), [((5, 40, 3), 7), ((5, 20, 10, 3), 1)])
def test_threads_off_the_chip_change_no_bit(layers: tuple[int, ...], batch: int) -> None:
    recipe = small(layers=layers, batch=batch)
    samples, weights = yinyang_samples(recipe), recipe.initial_weights(3)
    one = OffChip(recipe, weights, samples)
    expected = one.train(samples, rates(recipe).take(BATCHES)), one.evaluate(samples)
    for threads in range(2, len(os.sched_getaffinity(0)) + 1):
        several = OffChip(recipe, weights, samples, threads)
        assert_same(several.train(samples, rates(recipe).take(BATCHES)), expected[0])
        assert_same(several.evaluate(samples), expected[1])
        assert weights_sha256(several.weights()) == weights_sha256(one.weights())
    with pytest.raises(ConfigError, match="this machine has"):
        OffChip(recipe, weights, samples, len(os.sched_getaffinity(0)) + 1)


def test_how_far_inputs_play_ahead_changes_nothing(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small(layers=(5, 30, 3), batch=5, batches=9)
    samples = yinyang_samples(recipe)
    off = open_network(None, recipe, samples)
    expected, evaluated = off.train(samples, rates(recipe).take(9)), off.evaluate(samples)
    activations = []
    for events in (1, 5 * 4, 10**9):  # every sample needs a release of its own; every fourth; the first
        monkeypatch.setattr(mapping, "AHEAD_EVENTS", events)
        network = open_network(chip, recipe, samples)
        assert isinstance(network, OnChip)
        assert_same(network.train(samples, rates(recipe).take(9)), expected)
        assert_same(network.evaluate(samples), evaluated)
        assert weights_sha256(network.weights()) == weights_sha256(off.weights())
        counters = chip.counters()
        assert counters["router"][Counter.UNROUTED : Counter.NOT_LIVE + 1].tolist() == [0, 0, 0]
        activations.append(int(counters["activations"][[chain[0] for chain in network.chains]].sum()))
    assert activations[0] > activations[1] > activations[2]
