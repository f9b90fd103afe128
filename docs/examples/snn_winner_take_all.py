"""A ring of neurons that chooses between two stimuli, and remembers its choice.

200 neurons stand for directions, 1.8 degrees apart. Each excites its neighbours and inhibits all others, so that only
one "bump" of activity can live: of two stimuli the stronger one wins, its bump stays when both have ended, and later
a strong stimulus elsewhere takes over.

spinn2emu script docs/examples/snn_winner_take_all.py [FIGURE.svg]
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from spinnaker2 import hardware, helpers, snn

NEURONS, TICKS = 200, 1000
DEGREES = 360 / NEURONS
# direction in degrees, first and last tick, probability of a spike per tick in its centre
STIMULI = [(108, 100, 300, 0.30), (252, 100, 300, 0.20), (252, 600, 700, 0.50)]
PHASES = {"two stimuli": (200, 300), "no stimulus": (400, 600), "one stimulus": (640, 700), "none again": (800, 1000)}


def ring_distance(i, j):
    """Between neurons, the short way round."""
    return np.abs((i - j + NEURONS // 2) % NEURONS - NEURONS // 2)


def stimulus(rng):
    """{neuron: ticks} of random spikes, most of them where the stimuli are."""
    probability = np.zeros((TICKS, NEURONS))
    for direction, first, last, most in STIMULI:
        bell = most * np.exp(-(ring_distance(np.arange(NEURONS), round(direction / DEGREES)) ** 2) / (2 * 5**2))
        probability[first:last] = np.maximum(probability[first:last], bell)
    spikes = rng.random((TICKS, NEURONS)) < probability
    return {neuron: np.flatnonzero(spikes[:, neuron]).tolist() for neuron in range(NEURONS)}


def connections():
    """Excitation of neighbours, a bell of weights up to 15, and inhibition of all by 3. Distant spikes come later."""
    excitation, inhibition = [], []
    for i in range(NEURONS):
        for j in range(NEURONS):
            distance = ring_distance(i, j)
            delay = min(7, distance // 3)
            weight = round(15 * np.exp(-(distance**2) / (2 * 6**2)))
            if i != j and weight > 0:
                excitation.append([i, j, weight, delay])
            inhibition.append([i, j, -3, delay])
    return excitation, inhibition


def direction(spikes, first, last):
    """Where the bump is in these ticks, in degrees, and how narrow: 1 is one direction, 0 none (the mean vector)."""
    counts = [sum(first <= tick < last for tick in ticks) for ticks in spikes.values()]
    vector = np.sum(counts * np.exp(2j * np.pi * np.arange(NEURONS) / NEURONS))
    return np.degrees(np.angle(vector)) % 360, abs(vector) / max(1, sum(counts))


def draw(stimuli, spikes, file):
    plt.rcParams.update({
        "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none", "svg.hashsalt": "ring",
    })  # fmt: skip
    figure, axes = plt.subplots(
        3, 1, figsize=(7.2, 5.6), sharex=True, height_ratios=(1, 1.6, 1.2), layout="constrained"
    )
    titles = ("Stimuli", "Spikes of the ring", "Direction of the bump (mean of 20 ticks)")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, ylabel="direction (°)", ylim=(0, 360), yticks=range(0, 361, 90), xlim=(0, TICKS))
        for _, first, last, _ in STIMULI[1:]:
            ax.axvspan(first, last, color="#eeeeee", lw=0, zorder=0)
    for ax, times, colour in ((axes[0], stimuli, "#0072B2"), (axes[1], spikes, "#000000")):
        indices, ticks = helpers.spike_times_dict_to_arrays(times)
        ax.plot(ticks, indices * DEGREES, ".", ms=2, mew=0, color=colour, rasterized=True)
    middles = np.arange(10, TICKS, 20)
    decoded = np.array([direction(spikes, middle - 10, middle + 10) for middle in middles])
    bump = np.where(decoded[:, 1] > 0.8, decoded[:, 0], np.nan)
    for where, colour in ((108, "#009E73"), (252, "#D55E00")):
        axes[2].axhline(where, color=colour, lw=1, ls="--")
        axes[2].text(4, where + 6, f"stimulus at {where}°", color=colour, va="bottom")
    axes[2].plot(middles, bump, "o-", color="#000000", ms=2.5, lw=1)
    axes[2].set_xlabel("tick (1 ms); grey: while there are stimuli")
    figure.savefig(file, dpi=200, metadata={"Date": None} if file.endswith(".svg") else None)


def main():
    neurons = {
        "threshold": 200.0, "alpha_decay": 0.9, "exc_decay": 0.9, "inh_decay": 0.9, "i_offset": 0.0, "v_init": 0.0,
        # far below: the more a neuron has just fired, the more it takes to fire again, which bounds the rates
        "v_reset": -2000.0, "reset": "reset_to_v_reset", "t_refrac": 0,
    }  # fmt: skip
    source = snn.Population(NEURONS, "spike_list", stimulus(np.random.default_rng(1)), "stimulus")
    ring = snn.Population(NEURONS, "lif_curr_exp", neurons, "ring", record=["spikes"])
    ring.set_max_atoms_per_core(50)
    excitation, inhibition = connections()
    network = snn.Network("winner take all")
    network.add(
        source, ring,
        snn.Projection(source, ring, [[i, i, 15, 0] for i in range(NEURONS)]),
        snn.Projection(ring, ring, excitation), snn.Projection(ring, ring, inhibition),
    )  # fmt: skip
    board = hardware.SpiNNaker2Chip()
    board.run(network, TICKS)

    spikes = ring.get_spikes()
    for phase, (first, last) in PHASES.items():
        where, narrowness = direction(spikes, first, last)
        rate = sum(first <= tick < last for ticks in spikes.values() for tick in ticks) / (last - first)
        print(f"{phase:12} ticks {first:3} to {last:4}: bump at {where:3.0f} degrees, {rate:.2f} spikes per tick, "
              f"mean vector {narrowness:.2f}")  # fmt: skip
    if len(sys.argv) > 1:
        draw(source.params, spikes, sys.argv[1])


if __name__ == "__main__":
    main()
