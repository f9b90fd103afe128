"""Activations of programs, recorded on private chips: of all programs that the project ships, and of a user's.

What is recorded is always the same: inputs are pseudo-random numbers with seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, PeFailed
from spinn2host import yinyang
from spinn2host.chip import Chip, PeProgram
from spinn2host.description import Description
from spinn2host.events import Samples
from spinn2host.mapping import place
from spinn2host.network import Network, build_network, read_network
from spinn2host.onchip import OnChip
from spinn2host.pe_program import Keys
from spinn2host.recipe import Rates, Recipe, make_recipe

Loaded = Callable[[Chip], object]
"""Gets a chip as soon as its programs are loaded: `maps` has their layouts."""

ACTIVATIONS = 130
"""Of each PE that is recorded, unless somebody asks for others: more than two training steps."""


def shipped(kind: str, folder: Path, limit: int = ACTIVATIONS, loaded: Loaded | None = None) -> list[Path]:
    """Records activations of the shipped programs of a KIND, `limit` of each PE; returns the files, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[kind](folder, limit, loaded or (lambda chip: None))


def of_program(
    program: str | os.PathLike[str], parameters: Mapping[str, Any], ticks: int, seed: int, folder: Path,
    loaded: Loaded | None = None,
) -> list[Path]:  # fmt: skip
    """Records `ticks` activations of a program on PE 1.1.0, whose input ports get pseudo-random packets; returns the
    file, in `folder`.

    In each tick there are 0 to 12 packets per port, with four words, float32 numbers of standard normal distribution,
    and indices below 64, or below 16, 4 or 1 if the program returns an error code for such an index. Raises as
    `Chip.load` and `Chip.run` do, except for that.
    """
    pe = geometry.pe_id("1.1.0")
    folder.mkdir(parents=True, exist_ok=True)
    with Chip.boot(cores=[], pes=[pe], record=(folder, [pe], ticks)) as chip:
        chip.load(program, pe, parameters)
        names = chip.routes()["programs"][str(pe)]
        inputs = {port: (i << 16, 0xFFFF0000) for i, port in enumerate(names["inputs"])}
        outputs = {port: (i + len(inputs) << 16, 0xFFFF0000) for i, port in enumerate(names["outputs"])}
        item = PeProgram(pe, program, dict(parameters), inputs, outputs)
        (loaded or (lambda chip: None))(chip)
        for indices in (64, 16, 4, 1):
            chip.deploy([item], [(*keys, [pe]) for keys in inputs.values()])
            _feed(chip, inputs, indices, ticks, seed)
            try:
                chip.run(ticks)
                break
            except PeFailed as error:
                if error.fields.get("fault") is not None or not inputs:
                    break  # no index is to blame
    return [_file(folder, pe)]


def of_network(
    path: str | os.PathLike[str], ticks: int, seed: int, folder: Path, loaded: Loaded | None = None
) -> list[Path]:
    """Records `ticks` activations of each PE of a network in a TOML file; what the host sends there is pseudo-random,
    as in `of_program`. Returns the files, in `folder`. Raises as `Chip.load_network` and `Chip.run` do."""
    network = read_network(path)
    if not network.pes:
        raise ConfigError(f"{path} has no population with a program: there is nothing to execute")
    folder.mkdir(parents=True, exist_ok=True)
    return _run(network, ticks, folder, ticks, loaded or (lambda chip: None), seed)


def _run(network: Network, ticks: int, folder: Path, limit: int, loaded: Loaded, seed: int = 0) -> list[Path]:
    pes = [item.pe for item in network.pes]
    with Chip.boot(record=(folder, pes, limit)) as chip:
        chip.load_network(network)
        loaded(chip)
        _feed(chip, network.host, 64, ticks, seed)
        chip.run(ticks)
    return [_file(folder, pe) for pe in pes]


def _feed(chip: Chip, ports: Mapping[str, Keys], indices: int, ticks: int, seed: int) -> None:
    """Packets of the host for each port, given with its keys."""
    rng = np.random.default_rng(seed)
    for key, mask in ports.values():
        tick = np.repeat(np.arange(ticks), rng.integers(0, 13, ticks))
        index = rng.integers(0, min(indices, 0x100000000 - mask), len(tick))
        words = rng.standard_normal((len(tick), 4), np.float32)
        if len(tick):
            chip.inject(key + index, tick, words)


def _file(folder: Path, pe: int) -> Path:
    return folder / f"{geometry.name(pe)}.activations"


# --- EventProp --------------------------------------------------------------------------------------------------------

EVENTPROP: dict[str, dict[str, Any]] = {
    "full-27": {"preset": "full", "T": 27},
    "full-30": {"preset": "full", "T": 30},
    "online-27": {"preset": "online", "T": 27, "patience": 1},
    "online-30": {"preset": "online", "T": 30, "patience": 1},
    "deep": {"preset": "full", "T": 27, "layers": (5, 40, 20, 3), "batch": 3, "patience": 3},
}
"""Presets, and what is changed in them."""


def _eventprop(folder: Path, limit: int, loaded: Loaded) -> list[Path]:
    return [path for name, changes in EVENTPROP.items() for path in training(folder / name, limit, loaded, **changes)]


def training(folder: Path, limit: int, loaded: Loaded, preset: str = "full", **changes: Any) -> list[Path]:
    """Records the PEs of the first sample's chain, and the optimizer: a batch is evaluated, others trained."""
    recipe = make_recipe(preset, **changes)
    steps = max(1, -(-limit // (2 * recipe.T)))
    samples = yinyang.load((steps + 1) * recipe.batch, yinyang.TRAIN_SEED, recipe.T, recipe.t_min)
    return trained(folder, limit, loaded, recipe, samples)


def trained(
    folder: Path, limit: int, loaded: Loaded, recipe: Recipe, samples: Samples, update_ticks: int = 1
) -> list[Path]:
    """As `training`, with whole batches of samples, of which the first is evaluated."""
    placement = place(len(recipe.shapes), recipe.batch)
    pes = [*placement.chains[0], placement.optimizer]
    folder.mkdir(parents=True, exist_ok=True)
    with Chip.boot(record=(folder, pes, limit)) as chip:
        network = OnChip(chip, recipe, recipe.initial_weights(1), samples, update_ticks=update_ticks)
        loaded(chip)
        rates = Rates(recipe.lr, recipe.gamma, recipe.beta1, recipe.beta2)
        network.evaluate(samples.take(np.arange(recipe.batch)))
        network.train(samples.take(np.arange(recipe.batch, len(samples))), rates.take(len(samples) // recipe.batch - 1))
    return [_file(folder, pe) for pe in pes]


# --- the other programs -----------------------------------------------------------------------------------------------


def _snn(folder: Path, limit: int, loaded: Loaded) -> list[Path]:
    return spiking(folder, limit, loaded)


def spiking(folder: Path, limit: int, loaded: Loaded, size: int = 40, voltages: bool = True) -> list[Path]:
    """All models of neurons, with and without currents, delays and convolutions, and both kinds of sources. `size`: of
    most populations; `voltages` are recorded on the PEs."""
    from spinn2host.spinnaker2.layout import host_key, map_network

    rng, net = np.random.default_rng(14), _spiking_network(limit, size, voltages)
    layout = map_network(net, limit, geometry.APPLICATION_IDS)
    pes = [item.pe for item in layout.programs]
    receiver = next(part for part in layout.parts if part.population.neuron_model == "spike_receiver")
    with Chip.boot(record=(folder, pes, limit)) as chip:
        chip.deploy(layout.programs, layout.entries)
        loaded(chip)
        tick = np.sort(rng.integers(0, limit, 3 * limit))
        chip.inject(host_key(receiver) + rng.integers(0, receiver.neurons, len(tick)), tick)
        chip.run(limit, window=layout.window)
    return [_file(folder, pe) for pe in pes]


def _spiking_network(ticks: int, size: int, voltages: bool) -> Any:
    from spinn2host.spinnaker2 import snn

    rng, net = np.random.default_rng(7), snn.Network("recorded")
    times = {i: np.flatnonzero(rng.random(ticks) < 0.1).tolist() for i in range(30)}
    source = snn.Population(30, "spike_list", times, record=["spikes", "time_done", "n_packets"])
    receiver = snn.Population(20, "spike_receiver", {}, record=["spikes", "n_packets"])
    net.add(source, receiver)
    neurons = []
    for number, model in enumerate(("lif", "lif_curr_exp", "lif_no_delay", "lif_curr_exp_no_delay", "lif_conv2d")):
        n = 3 * 4 * 3 if model == "lif_conv2d" else size
        params: dict[str, Any] = {
            "threshold": rng.uniform(8, 30, n), "alpha_decay": 0.9, "i_offset": rng.uniform(-0.5, 0.5, n),
            "v_init": 0.0, "v_reset": -1.0, "reset": "reset_by_subtraction" if number % 2 else "reset_to_v_reset",
        }  # fmt: skip
        if "curr_exp" in model:
            params |= {"exc_decay": 0.7, "inh_decay": 0.6, "t_refrac": 2}
        record = ["spikes", "time_done", "n_packets", *["v"] * voltages]
        neurons.append(snn.Population(n, model, params, record=record))
    net.add(*neurons)
    for post in neurons[:-1]:
        most, delays = (15, 8) if post.neuron_model in ("lif", "lif_curr_exp") else (127, 1)
        for pre in (source, receiver, neurons[0], post):
            columns = (rng.integers(0, pre.size, 200), rng.integers(0, post.size, 200),
                       rng.integers(-most, most + 1, 200), rng.integers(0, delays, 200))  # fmt: skip
            net.add(snn.Projection(pre, post, np.column_stack(columns).tolist()))
    weights = rng.integers(-20, 60, (1, 3, 3, 3)).astype(np.int8)
    net.add(snn.Conv2DProjection(source, neurons[-1], weights, {"in_height": 6, "in_width": 5}))
    return net


def _examples(folder: Path, limit: int, loaded: Loaded) -> list[Path]:
    return examples(folder, limit, loaded)


def examples(folder: Path, limit: int, loaded: Loaded, n: int = 64) -> list[Path]:
    """The example programs as one network, in populations of about n."""
    description = {
        "population": {
            "near": {"program": "spinn2fw.examples.ping", "pes": 1, "set": {"count": 200}},
            "far": {"program": "spinn2fw.examples.echo", "pes": 1},
            "sources": {"program": "spinn2fw.examples.poisson", "pes": 1, "set": {"n": 3 * n // 2, "rate_hz": 40.0}},
            "neurons": {
                "program": "spinn2fw.examples.lif", "pes": 1,
                "set": {"n": n, "n_in": 3 * n // 2, "weight": 0.1, "ticks": 50},
            },
            "group": {"program": "spinn2fw.examples.synfire", "pes": 4, "set": {"n": 20, "record": 50}},
            "large": {"program": "spinn2fw.examples.synfire", "pes": 2, "set": {"n": n, "weight": 0.02}},
        },
        "connect": [
            {"from": "near.ping", "to": "far.ping"}, {"from": "far.echo", "to": "near.echo"},
            {"from": "sources.spikes", "to": "neurons.spikes"},
            {"from": "group.spikes", "to": "group.spikes", "how": "next"},
            {"from": "large.spikes", "to": "large.spikes", "how": "next"},
        ],
    }  # fmt: skip
    network = build_network(Description.model_validate(description), Path())
    for population in ("group", "large"):
        first = network.populations[population][0]
        next(item for item in network.pes if item.pe == first).data = {"kick": 20}
    return _run(network, limit, folder, limit, loaded)


def _replay(folder: Path, limit: int, loaded: Loaded) -> list[Path]:
    rng, pe, count = np.random.default_rng(3), geometry.pe_id("1.1.0"), 6 * limit
    data = {
        "tick": np.sort(rng.integers(0, limit, count)), "index": rng.integers(0, 16, count),
        "port": rng.integers(0, 3, count), "size": rng.choice([0, 1, 4], count),
        "payload": rng.integers(0, 1 << 32, (count, 4)),
    }  # fmt: skip
    outputs = {port: (i << 16, 0xFFFF0000) for i, port in enumerate("abc")}
    item = PeProgram(pe, "spinn2fw.replay", {"ports": ["a", "b", "c"], "count": count, "words": 4}, {}, outputs, data)
    with Chip.boot(cores=[], record=(folder, [pe], limit)) as chip:
        chip.deploy([item], [])
        loaded(chip)
        chip.run(limit)
    return [_file(folder, pe)]


KINDS: dict[str, Callable[[Path, int, Loaded], list[Path]]] = {
    "eventprop": _eventprop, "snn": _snn, "examples": _examples, "replay": _replay,
}  # fmt: skip
