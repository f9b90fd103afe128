"""Makes snn_nir.nir and snn_nir.npz, which snn_nir.py runs: a network that snnTorch has trained, and its answers.

    pip install 'spinn2emu[interop]'; python docs/examples/make_snn_nir.py

A bar crosses an 8 × 8 field of view to the right, to the left, down or up, in 24 steps; pixels that it covers spike
with probability 0.6, others with 0.02. Summed over time, right looks like left and down like up: only the order tells.
"""

from pathlib import Path

import nir
import numpy as np
import snntorch
import torch
from snntorch import surrogate
from snntorch.export_nir import export_to_nir

HERE = Path(__file__).parent
SIDE, STEPS, HIDDEN, DIRECTIONS = 8, 24, 48, 4
SPIKE, NOISE = 0.6, 0.02


def samples(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (count, steps, pixels) of 0 and 1, and directions (count,) of 0 to 3."""
    directions = rng.integers(0, DIRECTIONS, count)
    bar = np.zeros((DIRECTIONS, STEPS, SIDE, SIDE))
    for step in range(STEPS):
        place = step * SIDE // STEPS
        bar[0, step, :, place] = bar[1, step, :, SIDE - 1 - place] = 1
        bar[2, step, place, :] = bar[3, step, SIDE - 1 - place, :] = 1
    rates = NOISE + (SPIKE - NOISE) * bar.reshape(DIRECTIONS, STEPS, -1)
    return (rng.random((count, STEPS, SIDE * SIDE)) < rates[directions]).astype(np.float32), directions


def neurons(count: int) -> snntorch.Leaky:
    """snnTorch's neurons as the chip has them: reset in the step of the spike, which is not snnTorch's default."""
    return snntorch.Leaky(beta=torch.full((count,), 0.9), threshold=torch.ones(count), reset_mechanism="zero",
                          reset_delay=False, init_hidden=True, spike_grad=surrogate.fast_sigmoid(25))  # fmt: skip


def outputs(net: torch.nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """Spikes of the last layer, (steps, samples, directions)."""
    for layer in (net[1], net[3]):
        layer.reset_hidden()
    return torch.stack([net(spikes[:, step]) for step in range(STEPS)])


def main() -> None:
    """Trains, exports, and writes the answers to 40 samples that were not trained."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    net = torch.nn.Sequential(torch.nn.Linear(SIDE * SIDE, HIDDEN, bias=False), neurons(HIDDEN),
                              torch.nn.Linear(HIDDEN, DIRECTIONS, bias=False), neurons(DIRECTIONS))  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(200):
        spikes, directions = samples(64, rng)
        counts = outputs(net, torch.tensor(spikes)).sum(0)
        loss = torch.nn.functional.cross_entropy(counts, torch.tensor(directions))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    spikes, directions = samples(40, rng)
    with torch.no_grad():
        answers = outputs(net, torch.tensor(spikes)).numpy().transpose(1, 0, 2)
    right = int((answers.sum(1).argmax(1) == directions).sum())
    print(f"snnTorch: {right} of {len(directions)} right, {int(answers.sum())} spikes")
    for layer in (net[1], net[3]):
        layer.reset_hidden()
    nir.write(HERE / "snn_nir.nir", export_to_nir(net, torch.zeros(1, SIDE * SIDE), ignore_dims=[0]))
    np.savez_compressed(HERE / "snn_nir.npz", spikes=spikes.astype(bool), directions=directions.astype(np.uint8),
                        answers=answers.astype(bool))  # fmt: skip


if __name__ == "__main__":
    main()
