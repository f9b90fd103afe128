"""A trained network of ReLU units as a spiking one: digits of seven segments, shifted and noisy.

The network is trained here, with numpy. Then its weights are scaled to 7 bits, biases become a constant input and
scales go into the thresholds, so that a neuron's rate stands for what its unit gives: the longer it runs, the closer.

spinn2emu script docs/examples/snn_classifier.py [FIGURE.svg [SAMPLES]]
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from spinnaker2 import ann2snn_helpers, hardware, snn

SEGMENTS = {  # row and column of what is lit
    "a": np.s_[0, 0:5], "b": np.s_[0:4, 4], "c": np.s_[3:7, 4], "d": np.s_[6, 0:5],
    "e": np.s_[3:7, 0], "f": np.s_[0:4, 0], "g": np.s_[3, 0:5],
}  # fmt: skip
DIGITS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
PIXELS, HIDDEN, TICKS = 64, 60, 50


def make_digits(count, rng):
    """Images (count, 64) of pixels from 0 to 1, and which digits they are, (count,)."""
    labels = rng.integers(0, 10, count)
    images = np.zeros((count, 8, 8))
    for image, label in zip(images, labels, strict=True):
        down, right = rng.integers(0, 2), rng.integers(0, 4)
        for segment in DIGITS[label]:
            image[down : down + 7, right : right + 5][SEGMENTS[segment]] = rng.uniform(0.6, 1.0)
    return np.clip(images + rng.normal(0, 0.2, images.shape), 0, 1).reshape(count, PIXELS), labels


def forward(layers, images):
    """The outputs of both layers."""
    (w1, b1), (w2, b2) = layers
    hidden = np.maximum(0, images @ w1 + b1)
    return hidden, hidden @ w2 + b2


def train(images, labels, rng, epochs=30, batch=50, rate=0.002):
    """Weights and biases of two layers, by Adam on the cross-entropy."""
    w1, w2 = rng.normal(0, 0.15, (PIXELS, HIDDEN)), rng.normal(0, 0.2, (HIDDEN, 10))
    parameters = [w1, np.zeros(HIDDEN), w2, np.zeros(10)]
    first, second, step = [0.0] * 4, [0.0] * 4, 0
    for _ in range(epochs):
        for chosen in rng.permutation(len(images)).reshape(-1, batch):
            w1, b1, w2, b2 = parameters
            hidden, out = forward(((w1, b1), (w2, b2)), images[chosen])
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
            out[np.arange(batch), labels[chosen]] -= 1
            back = out @ w2.T * (hidden > 0)
            gradients = [images[chosen].T @ back, back.sum(0), hidden.T @ out, out.sum(0)]
            step += 1
            for i, gradient in enumerate(gradients):
                gradient = gradient / batch
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                mean, variance = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
                parameters[i] = parameters[i] - rate * mean / (np.sqrt(variance) + 1e-8)
    w1, b1, w2, b2 = parameters
    return (w1, b1), (w2, b2)


def convert(layers, images):
    """For each layer: weights as whole numbers, and parameters of its neurons.

    A rate of 1 spike per tick stands for the largest input of a layer, so thresholds have its ratio to the next one's.
    """
    hidden, out = forward(layers, images)
    largest = (1.0, np.percentile(hidden, 99.9), np.percentile(out, 99.9))
    converted = []
    for (weights, biases), before, after in zip(layers, largest[:-1], largest[1:], strict=True):
        scale = 127 / np.abs(weights).max()
        neurons = {
            "threshold": scale * after / before, "i_offset": scale * biases / before, "alpha_decay": 1.0,
            "v_init": 0.0, "v_reset": 0.0, "reset": "reset_by_subtraction",
        }  # fmt: skip
        converted.append((np.rint(weights * scale).astype(int), neurons))
    return converted


def rate_code(image):
    """{pixel: ticks}: evenly spaced spikes, as many per tick as the pixel is bright."""
    counts = np.floor(np.arange(TICKS + 1)[:, None] * image + 0.5)
    return {pixel: np.flatnonzero(np.diff(counts[:, pixel])).tolist() for pixel in range(PIXELS)}


def evidence(output, threshold):
    """(ticks, 10): what each output neuron has got so far, which is its spikes times the threshold, and the rest."""
    spikes = np.zeros((TICKS, 10))
    for neuron, ticks in output.get_spikes().items():
        spikes[ticks, neuron] = 1
    return np.cumsum(spikes, axis=0) * threshold + np.array([output.get_voltages()[i] for i in range(10)]).T


def draw(images, labels, decided, ann_accuracy, file):
    plt.rcParams.update({
        "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "svg.fonttype": "none", "svg.hashsalt": "digits", "xtick.labelsize": 7, "ytick.labelsize": 7,
    })  # fmt: skip
    figure = plt.figure(figsize=(7.2, 4.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 3))
    above.suptitle("The first sample of each digit", x=0.01, ha="left", fontsize=9, fontweight="bold")
    for digit, ax in enumerate(above.subplots(1, 10)):
        ax.set(xticks=[], yticks=[])
        ax.set_title(str(digit), loc="center", fontsize=8)
        chosen = np.flatnonzero(labels == digit)
        if len(chosen):
            ax.imshow(images[chosen[0]].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    left, right = below.subplots(1, 2, width_ratios=(1.4, 1))

    ticks, samples = np.arange(1, TICKS + 1), len(labels)
    left.axhline(100 * ann_accuracy, color="#D55E00", lw=1, ls="--")
    left.text(TICKS, 100 * ann_accuracy - 3, f"ANN {100 * ann_accuracy:.0f}%", color="#D55E00", ha="right", va="top")
    left.plot(ticks, 100 * (decided == labels[:, None]).mean(axis=0), color="#0072B2", lw=1.5)
    left.text(5, 60, "SNN", color="#0072B2")
    left.set(title="Accuracy over time", xlabel="ticks (1 ms)", ylabel=f"right of {samples} samples (%)",
             xlim=(0, TICKS), ylim=(0, 104))  # fmt: skip
    left.spines[["top", "right"]].set_visible(False)

    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, decided[:, -1]), 1)
    right.imshow(confusion, cmap="Blues", vmin=0)
    for row, column in np.argwhere(confusion):
        dark = confusion[row, column] > 0.5 * confusion.max()
        right.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=7,
                   color="#ffffff" if dark else "#000000")  # fmt: skip
    right.set(title="Decisions of the SNN", xlabel="decision", ylabel="digit", xticks=range(10), yticks=range(10))
    figure.savefig(file, dpi=200, metadata={"Date": None} if file.endswith(".svg") else None)


def main():
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    rng = np.random.default_rng(7)
    layers = train(*(data := make_digits(4000, rng)), rng)
    images, labels = make_digits(samples, rng)
    ann_accuracy = np.mean(forward(layers, images)[1].argmax(axis=1) == labels)
    print(f"ANN: {100 * ann_accuracy:.1f} % of {samples} digits")

    (hidden_weights, hidden_params), (output_weights, output_params) = convert(layers, data[0])
    pixels = snn.Population(PIXELS, "spike_list", {}, "pixels")
    hidden = snn.Population(HIDDEN, "lif_no_delay", hidden_params, "hidden")
    output = snn.Population(10, "lif_no_delay", output_params, "output", record=["spikes", "v"])
    to_list = ann2snn_helpers.connection_list_from_dense_weights
    network = snn.Network("digits")
    network.add(pixels, hidden, output)
    network.add(snn.Projection(pixels, hidden, to_list(hidden_weights, 0)))
    network.add(snn.Projection(hidden, output, to_list(output_weights, 0)))

    decided, spikes = np.zeros((samples, TICKS), int), 0
    for number, image in enumerate(images):
        network.reset()
        pixels.params = rate_code(image)
        board = hardware.SpiNNaker2Chip()
        board.run(network, TICKS)
        decided[number] = evidence(output, output_params["threshold"]).argmax(axis=1)
        spikes += sum(len(ticks) for ticks in hidden.get_spikes().values())
        del board
    snn_accuracy = np.mean(decided[:, -1] == labels)
    print(f"SNN: {100 * snn_accuracy:.1f} % after {TICKS} ticks, {spikes / samples / HIDDEN:.1f} spikes of a hidden "
          "neuron per digit")  # fmt: skip
    if len(sys.argv) > 1:
        draw(images, labels, decided, ann_accuracy, sys.argv[1])


if __name__ == "__main__":
    main()
