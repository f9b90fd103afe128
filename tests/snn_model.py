"""A model of the tick of py-spinnaker2's networks in plain numpy: what the chip is compared with.

It knows networks by what scripts see (`params`, `connections`, …), and shares no code with firmware or host. In
tick t, for each neuron, with e and n the sums of the |weights| of excitatory and inhibitory spikes that act in t:

    a spike of tick s with `delay` d acts in tick s + 1 + d
    Ie = exc_decay Ie + e;  In = inh_decay In + n        (models without currents: Ie = e, In = n)
    V = (alpha_decay V + (Ie - In)) + i_offset           each operation rounded to float32, in this order
    V >= threshold: a spike;  V = V - threshold, or V = v_reset

For t_refrac ticks after a spike V is not updated. Convolutions are naive loops.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

F = np.float32
Spikes = dict[int, list[int]]
Voltages = dict[int, NDArray[np.float32]]


def simulate(net: Any, ticks: int) -> dict[Any, tuple[Spikes, Voltages]]:
    """What the populations of a network do in ticks 0 … ticks - 1; spike lists have no voltages."""
    neurons = {population: _Neurons(population) for population in net.populations if not _is_list(population)}
    lists = {population: population.params for population in net.populations if _is_list(population)}
    synapses = [(projection.pre, projection.post, _synapses(projection)) for projection in net.projections]
    acts: dict[tuple[int, Any], NDArray[np.int64]] = {}
    spikes: dict[Any, Spikes] = {population: {i: [] for i in range(population.size)} for population in net.populations}
    fired: Any
    for t in range(ticks):
        for population in net.populations:
            if population in lists:
                fired = [i for i, times in lists[population].items() if t in {int(time) for time in times}]
            else:
                fired = neurons[population].update(acts.pop((t, population), np.zeros((2, population.size), np.int64)))
            for i in fired:
                spikes[population][int(i)].append(t)
        for pre, post, of_neuron in synapses:
            for i in spikes[pre]:
                if spikes[pre][i][-1:] == [t]:
                    for target, weight, delay in of_neuron[i]:
                        due = (t + 1 + delay, post)
                        acts.setdefault(due, np.zeros((2, post.size), np.int64))[int(weight < 0), target] += abs(weight)
    return {p: (spikes[p], neurons[p].recorded() if p in neurons else {}) for p in net.populations}


def packets(net: Any, ticks: int, spikes: dict[Any, Spikes], per_pe: dict[Any, int]) -> dict[Any, list[list[int]]]:
    """What each part of a population hears in each tick: all that the parts send that have a synapse there.

    per_pe: neurons per part. Only for networks without convolutions.
    """
    heard: dict[Any, list[list[int]]] = {}
    for post in net.populations:
        heard[post] = [[0] * ticks for _ in range(0, post.size, per_pe[post])]
        pairs = {
            (int(row[1]) // per_pe[post], projection.pre, int(row[0]) // per_pe[projection.pre])
            for projection in net.projections if projection.post is post for row in projection.connections
        }  # fmt: skip
        for part, pre, source in pairs:
            for i in range(source * per_pe[pre], min(pre.size, (source + 1) * per_pe[pre])):
                for t in spikes[pre][i]:
                    if t + 1 < ticks:
                        heard[post][part][t + 1] += 1
    return heard


def _is_list(population: Any) -> bool:
    return bool(population.neuron_model == "spike_list")


class _Neurons:
    """State and parameters of a population, (size,) float32 each."""

    def __init__(self, population: Any) -> None:
        defaults = {"i_offset": 0, "v_init": 0, "v_reset": 0, "t_refrac": 0, "exc_decay": 0, "inh_decay": 0}
        given = {**defaults, **population.params}
        self.subtract = given.pop("reset", "reset_by_subtraction") == "reset_by_subtraction"
        self.p = {name: np.full(population.size, np.ravel(value), F) for name, value in given.items()}
        self.v = self.p["v_init"].copy()
        self.currents = np.zeros((2, population.size), F)
        self.refractory = np.zeros(population.size, int)
        self.rows: list[NDArray[np.float32]] = []

    def update(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """A tick, with the sums (2, size) of the weights; returns who spikes."""
        p = self.p
        decays = np.array([p["exc_decay"], p["inh_decay"]])  # 0 where there are no currents
        self.currents = (decays * self.currents).astype(F) + sums.astype(F)
        new = ((p["alpha_decay"] * self.v) + (self.currents[0] - self.currents[1])) + p["i_offset"]
        waits = self.refractory > 0
        self.v = np.where(waits, self.v, new).astype(F)
        self.refractory[waits] -= 1
        fired = self.v >= p["threshold"]
        self.v = np.where(fired, self.v - p["threshold"] if self.subtract else p["v_reset"], self.v).astype(F)
        self.refractory[fired] = p["t_refrac"][fired]
        self.rows.append(self.v.copy())
        return np.flatnonzero(fired)

    def recorded(self) -> Voltages:
        """Each neuron's voltage after each tick."""
        return {i: np.array([row[i] for row in self.rows], F) for i in range(len(self.v))}


def _synapses(projection: Any) -> dict[int, list[tuple[int, int, int]]]:
    """By source neuron: (target, weight, delay)."""
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    if hasattr(projection, "weights"):
        return _convolution(projection.weights, projection.params, found)
    has_delays = not projection.post.neuron_model.endswith("_no_delay")
    for pre, post, weight, delay in projection.connections:
        found[int(pre)].append((int(post), round(float(weight)), int(delay) * has_delays))
    return found


def _convolution(
    weights: Any, p: Any, found: dict[int, list[tuple[int, int, int]]]
) -> dict[int, list[tuple[int, int, int]]]:
    """The synapses of a convolution: a loop over outputs, and over the inputs that each sees."""
    inputs, outputs, kernel_height, kernel_width = np.shape(weights)
    pool_y, pool_x, stride_y, stride_x = (p.get(name, 1) for name in ("pool_y", "pool_x", "stride_y", "stride_x"))
    top, bottom, left, right = (p.get(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right"))
    height, width = p["in_height"] // pool_y, p["in_width"] // pool_x
    out_height = (height + top + bottom - kernel_height) // stride_y + 1
    out_width = (width + left + right - kernel_width) // stride_x + 1
    for o, v, u, c, ky, kx in np.ndindex(outputs, out_height, out_width, inputs, kernel_height, kernel_width):
        y, x = v * stride_y - top + ky, u * stride_x - left + kx
        if 0 <= y < height and 0 <= x < width and weights[c][o][ky][kx]:
            for dy, dx in np.ndindex(pool_y, pool_x):
                source = (c * p["in_height"] + y * pool_y + dy) * p["in_width"] + x * pool_x + dx
                found[source].append(((o * out_height + v) * out_width + u, int(weights[c][o][ky][kx]), 0))
    return found
