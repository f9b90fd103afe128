"""Networks for tests of spiking networks: random ones, small ones, and their comparison with the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import snn_model
from hypothesis import strategies as st

from spinn2host.spinnaker2 import hardware, snn

DELAYED = ("lif", "lif_curr_exp")
MODELS = (*DELAYED, "lif_no_delay", "lif_curr_exp_no_delay")
BASIC = {"threshold": 1.0, "alpha_decay": 0.5}
EVERYTHING = ("spikes", "v", "n_packets")


@dataclass(frozen=True)
class Recipe:
    """A random network: shapes, from which `build` makes the same numbers each time.

    sources: sizes of spike lists. neurons: (size, model, whether spikes subtract). edges: (pre, post, rows), numbered
    through sources and neurons. per_pe: for each of these, too.
    """

    seed: int
    ticks: int
    sources: tuple[int, ...]
    neurons: tuple[tuple[int, str, bool], ...]
    edges: tuple[tuple[int, int, int], ...]
    per_pe: tuple[int, ...]

    def split(self, most: int) -> Recipe:
        """The same network with at most so many neurons on a PE."""
        return replace(self, per_pe=(most,) * len(self.per_pe))

    def build(self) -> snn.Network:
        """Populations in order, and their projections."""
        rng = np.random.default_rng(self.seed)
        net = snn.Network(f"random {self.seed}")
        for size in self.sources:
            times = {i: rng.choice(self.ticks + 9, rng.integers(0, 9), replace=False).tolist() for i in range(size)}
            silent = rng.random() < 0.3
            net.add(snn.Population(size, "spike_list", {} if silent else times, record=["spikes", "n_packets"]))
        for size, model, subtract in self.neurons:
            net.add(snn.Population(size, model, _parameters(rng, size, model, subtract), record=EVERYTHING))
        for population, most in zip(net.populations, self.per_pe, strict=True):
            population.set_max_atoms_per_core(most)
        for pre, post, rows in self.edges:
            net.add(_projection(rng, net.populations[pre], net.populations[post], rows))
        return net


def _parameters(rng: np.random.Generator, size: int, model: str, subtract: bool) -> dict[str, Any]:
    """Each one number, or one per neuron."""

    def values(low: float, high: float) -> Any:
        return rng.uniform(low, high, size) if rng.random() < 0.5 else float(rng.uniform(low, high))

    params = {
        "threshold": values(2, 30), "alpha_decay": values(0, 1), "i_offset": values(-2, 4), "v_init": values(-9, 40),
        "v_reset": values(-9, 9), "reset": "reset_by_subtraction" if subtract else "reset_to_v_reset",
    }  # fmt: skip
    if "curr_exp" in model:
        ticks = rng.integers(0, 4, size)
        params |= {"exc_decay": values(0, 1), "inh_decay": values(0, 1), "t_refrac": ticks if rng.random() < 0.5 else 0}
    return params


def _projection(rng: np.random.Generator, pre: snn.Population, post: snn.Population, rows: int) -> snn.Projection:
    """As many synapses; pairs may come twice, weights may be 0 or the largest."""
    delayed = post.neuron_model in DELAYED
    most = 15 if delayed else 127
    columns = (rng.integers(0, pre.size, rows), rng.integers(0, post.size, rows),
               rng.integers(-most, most + 1, rows), rng.integers(0, 8 if delayed else 1, rows))  # fmt: skip
    table = np.column_stack(columns)
    return snn.Projection(pre, post, table.tolist() if rng.random() < 0.5 else table.astype(float))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Up to two sources and three populations of neurons, with up to six projections, also to themselves."""
    sources = tuple(draw(st.lists(st.integers(1, 12), max_size=2)))
    shapes = st.tuples(st.integers(1, 40), st.sampled_from(MODELS), st.booleans())
    neurons = tuple(draw(st.lists(shapes, min_size=1, max_size=3)))
    count = len(sources) + len(neurons)
    edge = st.tuples(st.integers(0, count - 1), st.integers(len(sources), count - 1), st.integers(0, 200))
    most = draw(st.lists(st.integers(1, 256), min_size=count, max_size=count))
    return Recipe(draw(st.integers(0, 1 << 16)), draw(st.integers(1, 40)), sources, neurons,
                  tuple(draw(st.lists(edge, max_size=6))), tuple(most))  # fmt: skip


def small(size: int = 1, model: str = "lif", record: Any = EVERYTHING, **params: Any) -> snn.Population:
    """A population whose neurons fire for one spike of weight 1."""
    decays = {"exc_decay": 0.0, "inh_decay": 0.0} if "curr_exp" in model else {}
    return snn.Population(size, model, BASIC | decays | params, record=record)


def network(*parts: Any) -> snn.Network:
    """A network of these."""
    net = snn.Network("net")
    net.add(*parts)
    return net


def run(net: snn.Network, ticks: int, **options: Any) -> None:
    """Runs a network on this process's chip."""
    hardware.SpiNNaker2Chip().run(net, ticks, **options)


def results(net: snn.Network) -> dict[int, Any]:
    """Everything that was recorded, as lists, by number of the population."""
    return {i: {name: {k: np.asarray(x).tolist() for k, x in p.get_variable(name).items()} for name in p.record}
            for i, p in enumerate(net.populations)}  # fmt: skip


def assert_as_modelled(net: snn.Network, ticks: int) -> None:
    """After a run: spikes are the model's, and voltages to the bit, where they were recorded."""
    for population, (spikes, voltages) in snn_model.simulate(net, ticks).items():
        if "spikes" in population.record:
            assert population.get_spikes() == spikes, population
        if "v" in population.record:
            found = population.get_voltages()
            assert list(found) == list(range(population.size))
            for i, expected in voltages.items():
                assert found[i].dtype == np.float32 and found[i].shape == (ticks,)
                assert found[i].tobytes() == expected.tobytes(), (population, i, found[i], expected)
