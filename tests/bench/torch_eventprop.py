"""EventProp in plain PyTorch: dense tensors, a Python loop over time. The peer that the benchmarks compare with.

`RecordingLayer` is built as the layer of the authors' simulator (github.com/GabrielBena/pytorch-eventprop): it keeps
the history of every state, forward and backward, a gradient of the weights per sample, and errors for the inputs.
`LeanLayer` is the least that PyTorch needs. The equations are those of `spinn2fw.kernels`; the waking of silent
neurons is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from spinn2host.events import Samples
from spinn2host.recipe import Constants, Recipe


class RecordingLayer(torch.autograd.Function):
    """Spikes (T, B, n_in) → spikes (T, B, n_out); the gradient of a spike is its error."""

    @staticmethod
    def forward(ctx: Any, spikes: torch.Tensor, weight: torch.Tensor, constants: Constants) -> torch.Tensor:
        """Steps 1 … T-1 of all neurons of all samples of a batch."""
        alpha, beta, _, one_minus_beta, _ = map(float, constants)
        shape = (*spikes.shape[:2], len(weight))
        current, voltage, reached, out = (torch.zeros(shape) for _ in range(4))
        for i in range(1, len(spikes)):
            current[i] = alpha * current[i - 1] + F.linear(spikes[i - 1], weight)
            voltage[i] = beta * voltage[i - 1] + one_minus_beta * current[i]
            reached[i] = voltage[i]
            out[i] = (voltage[i] > 1).float()
            voltage[i] = (1 - out[i]) * voltage[i]
        ctx.save_for_backward(spikes, weight, current, reached, out)
        ctx.constants = constants
        return out

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """The adjoint equations in reverse time."""
        spikes, weight, current, reached, out = ctx.saved_tensors
        alpha, beta, one_minus_alpha, _, tau_s = map(float, ctx.constants)
        adjoint_current, adjoint_voltage = torch.zeros_like(out), torch.zeros_like(out)
        below, gradient = torch.zeros_like(spikes), torch.zeros(spikes.shape[1], *weight.shape)
        for i in range(len(spikes) - 2, -1, -1):
            below[i] = F.linear(adjoint_voltage[i + 1] - adjoint_current[i + 1], weight.t())
            adjoint_current[i] = alpha * adjoint_current[i + 1] + one_minus_alpha * adjoint_voltage[i + 1]
            slope = current[i + 1] - reached[i + 1] + 1e-10
            jump = out[i + 1] * ((adjoint_voltage[i + 1] + errors[0][i + 1]) / slope)
            adjoint_voltage[i] = beta * adjoint_voltage[i + 1] + jump
            gradient -= tau_s * spikes[i].unsqueeze(1) * adjoint_current[i].unsqueeze(2)
        return below, gradient.sum(0), None


class LeanLayer(torch.autograd.Function):
    """As `RecordingLayer`, without what the result does not need."""

    @staticmethod
    def forward(ctx: Any, spikes: torch.Tensor, weight: torch.Tensor, constants: Constants) -> torch.Tensor:
        """Steps 1 … T-1 of all neurons of all samples of a batch."""
        alpha, beta, _, one_minus_beta, _ = map(float, constants)
        steps, batch, _ = spikes.shape
        out, distance = (torch.zeros(steps, batch, len(weight)) for _ in range(2))
        current, voltage = (torch.zeros(batch, len(weight)) for _ in range(2))
        for i in range(1, steps):
            current = alpha * current + F.linear(spikes[i - 1], weight)
            voltage = beta * voltage + one_minus_beta * current
            out[i] = voltage > 1
            distance[i] = current - voltage
            voltage = voltage * (1 - out[i])
        ctx.save_for_backward(spikes, weight, out, distance)
        ctx.constants = constants
        return out

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None]:
        """The adjoint equations in reverse time."""
        spikes, weight, out, distance = ctx.saved_tensors
        alpha, beta, one_minus_alpha, _, tau_s = map(float, ctx.constants)
        steps, batch, _ = spikes.shape
        adjoint_current, adjoint_voltage = (torch.zeros(batch, len(weight)) for _ in range(2))
        gradient = torch.zeros_like(weight)
        below = torch.zeros_like(spikes) if ctx.needs_input_grad[0] else None
        for i in range(steps - 2, -1, -1):
            if below is not None:
                below[i] = (adjoint_voltage - adjoint_current) @ weight
            jump = out[i + 1] * (adjoint_voltage + errors[0][i + 1]) / (distance[i + 1] + 1e-10)
            adjoint_current = alpha * adjoint_current + one_minus_alpha * adjoint_voltage
            adjoint_voltage = beta * adjoint_voltage + jump
            gradient -= tau_s * adjoint_current.T @ spikes[i]
        return below, gradient, None


class FirstSpike(torch.autograd.Function):
    """Spikes (T, B, classes) → tick of the first one, T if there is none, float (B, classes)."""

    @staticmethod
    def forward(ctx: Any, spikes: torch.Tensor) -> torch.Tensor:
        """The earliest step with a spike."""
        first = torch.where(spikes.any(0), spikes.argmax(0), len(spikes))
        ctx.save_for_backward(first)
        ctx.steps = len(spikes)
        return first.float()

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> torch.Tensor:
        """Only the first spike of a class gets an error."""
        (first,) = ctx.saved_tensors
        return torch.zeros(ctx.steps + 1, *first.shape).scatter_(0, first[None], errors[0][None])[:-1]


class TorchNetwork:
    """A network with Adam, of `layer`s: RecordingLayer or LeanLayer."""

    def __init__(self, recipe: Recipe, weights: Sequence[NDArray[np.float32]], layer: type = RecordingLayer) -> None:
        self.layer = layer
        self.recipe = recipe
        self.parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
        self.optimizer = torch.optim.Adam(
            self.parameters, recipe.lr, (recipe.beta1, recipe.beta2), recipe.eps, recipe.weight_decay
        )
        self.steps = 0

    def first_spikes(self, spikes: torch.Tensor) -> torch.Tensor:
        """First spike ticks (B, classes) of input spikes (T, B, n_in)."""
        for weight in self.parameters:
            spikes = self.layer.apply(spikes, weight, self.recipe.constants)
        return FirstSpike.apply(spikes)  # type: ignore[no-any-return]

    def loss(self, first: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Time-to-first-spike cross-entropy, mean over the batch."""
        late = torch.exp(first.gather(1, label[:, None]).squeeze(1) / self.recipe.b) - 1
        return F.cross_entropy(-first / self.recipe.xi, label) + self.recipe.a * late.mean()

    def train(self, samples: Samples, rates: NDArray[np.float32]) -> NDArray[np.int16]:
        """One Adam step per batch of consecutive samples, as `OffChip.train`; returns the first spikes (N, classes)."""
        spikes, label = self.tensors(samples)
        found = []
        for step, (step_size, _) in enumerate(rates):
            part = slice(step * self.recipe.batch, (step + 1) * self.recipe.batch)
            self.steps += 1  # torch corrects the bias of the moments itself
            self.optimizer.param_groups[0]["lr"] = float(step_size) * (1 - self.recipe.beta1**self.steps)
            first = self.first_spikes(spikes[:, part])
            self.optimizer.zero_grad()
            self.loss(first, label[part]).backward()
            self.optimizer.step()
            found.append(first.detach())
        return torch.cat(found).numpy().astype(np.int16)

    def tensors(self, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        """Dense spikes (T, N, n_in) and labels (N,)."""
        spikes = torch.zeros(self.recipe.T, len(samples), self.recipe.layers[0])
        sample = np.repeat(np.arange(len(samples)), np.diff(samples.start))
        spikes[samples.tick.astype(np.int64), sample, samples.neuron.astype(np.int64)] = 1
        return spikes, torch.from_numpy(samples.label.astype(np.int64))
