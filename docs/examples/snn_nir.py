"""A network that snnTorch has trained, on the chip by way of NIR: which way does a bar move?

spinn2emu script docs/examples/snn_nir.py [FIGURE.svg]

snn_nir.nir is snnTorch's export, snn_nir.npz 40 samples and the spikes of snnTorch's last layer; both were made once by
make_snn_nir.py. Weights become whole numbers here, so spikes may differ a little from snnTorch's.
"""

import sys
from pathlib import Path

import nir
import numpy as np
from spinnaker2 import hardware, helpers, s2_nir

HERE = Path(__file__).parent
DIRECTIONS = ("right", "left", "down", "up")
LAYERS = 2
"""A layer takes a tick on the chip, and none in snnTorch: the output comes so many ticks later."""

data = np.load(HERE / "snn_nir.npz")
samples, directions, answers = data["spikes"], data["directions"], data["answers"]
count, steps, _ = samples.shape

# snnTorch exports time constants for steps of 0.1 ms, and its neurons are forward Euler's.
config = s2_nir.ConversionConfig(
    dt=1e-4, output_record=["spikes", "v"], conn_delay=0, scale_weights=True,
    integrator=s2_nir.IntegratorMethod.FORWARD, reset=s2_nir.ResetMethod.ZERO,
)  # fmt: skip
net, (source,), (output,) = s2_nir.from_nir(nir.read(HERE / "snn_nir.nir"), config)

spikes, voltages = [], []
for sample in samples:
    source.params = {pixel: np.flatnonzero(sample[:, pixel]).tolist() for pixel in range(source.size)}
    net.reset()
    board = hardware.SpiNNaker2Chip(eth_ip="192.168.1.17")
    board.run(net, steps + LAYERS)
    spikes.append(helpers.spike_times_to_matrix(output.get_spikes(), n_timesteps=steps + LAYERS)[:, LAYERS:].T)
    voltages.append(np.stack(list(output.get_voltages().values()), axis=1)[LAYERS:] / output.nir_v_scale)
    del board

for name, found in (("chip", np.array(spikes)), ("snnTorch", answers)):
    right = int((found.sum(axis=1).argmax(axis=1) == directions).sum())
    print(f"{name}: {right} of {count} right, {int(found.sum())} spikes")
same = sum(int((a == b).all()) for a, b in zip(spikes, answers, strict=True))
print(f"the very same spikes in {same} of {count} samples")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    plt.rcParams["svg.fonttype"], plt.rcParams["svg.hashsalt"] = "none", "snn_nir"  # small, and the same each time
    figure, axes = plt.subplots(2, 4, figsize=(11, 5), sharex=True, sharey="row", layout="constrained")
    for direction, (above, below) in enumerate(axes.T):
        chosen = int(np.flatnonzero(directions == direction)[0])
        above.plot(*np.nonzero(samples[chosen]), ".", color="black", markersize=2)
        above.set_title(f"a bar moves {DIRECTIONS[direction]}", fontsize=10)
        for neuron, name in enumerate(DIRECTIONS):
            color = f"C{neuron}"
            below.plot(voltages[chosen][:, neuron], color=color, linewidth=1, label=name)
            for marker, found in (("|", spikes), ("o", answers)):
                times = np.flatnonzero(found[chosen][:, neuron])
                below.plot(times, np.full(len(times), 2.5 + neuron), marker, color=color, fillstyle="none")
        below.axhline(1, color="grey", linewidth=0.5)
        below.set_xlabel("step")
    axes[0, 0].set_ylabel("pixel, row by row")
    axes[1, 0].set_ylabel("output neurons: V")
    axes[1, 0].legend(fontsize=8, loc="lower left")
    figure.suptitle("Trained in snnTorch, run on the chip: voltages and spikes (bars), snnTorch's spikes (circles)")
    figure.savefig(sys.argv[1], metadata={"Date": None} if sys.argv[1].endswith(".svg") else None)
