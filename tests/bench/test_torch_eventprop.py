"""The PyTorch loop that the benchmarks compare with computes the same: first spikes, gradients, weights."""

from __future__ import annotations

import numpy as np
import pytest
from host_helpers import dense_samples, small, yinyang_samples

from spinn2host.offchip import OffChip
from spinn2host.recipe import Rates

pytest.importorskip("torch", reason="PyTorch belongs to the extra `bench`")


@pytest.mark.parametrize("layers", [(5, 40, 3), (5, 30, 20, 3)])
@pytest.mark.parametrize("several_spikes", [False, True])
@pytest.mark.parametrize("layer", ["RecordingLayer", "LeanLayer"])
def test_first_spikes_gradients_and_weights_are_those_of_the_kernels(
    layers: tuple[int, ...], several_spikes: bool, layer: str
) -> None:
    from bench import torch_eventprop

    recipe = small(layers=layers, batch=6, batches=4, patience=0)
    samples = dense_samples(recipe, 0.2) if several_spikes else yinyang_samples(recipe)
    weights = recipe.initial_weights(2)
    ours, theirs = (
        OffChip(recipe, weights, samples),
        torch_eventprop.TorchNetwork(recipe, weights, getattr(torch_eventprop, layer)),
    )
    one = samples.take(np.arange(6))
    spikes, label = theirs.tensors(one)
    theirs.loss(theirs.first_spikes(spikes), label).backward()  # type: ignore[no-untyped-call]
    outcome = OffChip(recipe, weights, samples)
    outcome.train(one, np.full((1, 2), 1e-12, np.float32))
    for gradient, parameter in zip(outcome.gradients(), theirs.parameters, strict=True):
        assert parameter.grad is not None
        found = parameter.grad.numpy()
        assert np.abs(found - gradient).max() <= 1e-4 * np.abs(gradient).max() and np.any(gradient)
    rates = Rates(recipe.lr, recipe.gamma ** (1 / 4), recipe.beta1, recipe.beta2).take(4)
    first = theirs.train(samples, rates)
    np.testing.assert_array_equal(first, ours.train(samples, rates).first)
    for weight, parameter in zip(ours.weights(), theirs.parameters, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-3, atol=1e-4)
