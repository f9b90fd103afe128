"""Mapping of a network to the chip: which PE runs what, keys (see `spinn2fw.kernels.keys`), routing entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.router.table import Entry
from spinn2fw.kernels.keys import (
    ALL_LAYERS,
    ALL_SAMPLES,
    LAYER_BITS,
    LAYER_SHIFT,
    PLACE_BITS,
    ROUTE,
    PacketKind,
    key,
)  # fmt: skip
from spinn2host import schedule
from spinn2host.chip import PeProgram
from spinn2host.recipe import Recipe

OPTIMIZER = geometry.APPLICATION_IDS[-spec.PES_PER_QUAD.value]
"""The first PE of the last quad."""
SAMPLE_PES = range(geometry.APPLICATION_IDS[0], OPTIMIZER)


def index_of(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Which neuron, or which part of an array, each key is about, (n,)."""
    return (keys & np.uint32(PLACE_BITS)).astype(np.int64)


def layer_of(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The layer of each key, (n,)."""
    return (keys >> np.uint32(LAYER_SHIFT) & np.uint32(LAYER_BITS)).astype(np.int64)


@dataclass(frozen=True)
class Placement:
    """PE ids: `chains[b]` = input, layers, loss of sample b; `optimizer`."""

    chains: list[list[int]]
    optimizer: int

    @property
    def processes(self) -> int:
        """Number of PE processes."""
        return sum(map(len, self.chains)) + 1


def place(layers: int, batch: int) -> Placement:
    """A quad per sample if its chain fits one; longer chains lie one behind the other.

    Raises ConfigError if the batch does not fit the chip.
    """
    length = layers + 2
    stride = max(length, spec.PES_PER_QUAD.value)
    most = len(SAMPLE_PES) // stride
    if batch > most:
        raise ConfigError(
            f"a batch of {batch} samples with {layers} neuron layers needs {batch} groups of {stride} PEs, "
            f"the chip has {most} ({len(SAMPLE_PES)} PEs beside the optimizer's quad): use --batch {most} or less",
            batch=batch, limit=most,
        )  # fmt: skip
    first = SAMPLE_PES[0]
    return Placement([[first + stride * b + i for i in range(length)] for b in range(batch)], OPTIMIZER)


@dataclass(frozen=True)
class Deployment:
    """What the chip loads."""

    placement: Placement
    pes: list[PeProgram]
    entries: list[Entry]


class Buffers(NamedTuple):
    """What the host would like the PEs to hold at once: samples and input events per quad, and training steps."""

    samples: int
    events: int
    steps: int


def deploy(recipe: Recipe, buffers: Buffers, update_ticks: int = 1, shares: Sequence[float] = ()) -> Deployment:
    """Programs, ports and routing entries for a recipe; `update_ticks`, `shares`: see `schedule.update_ticks`."""
    layers = len(recipe.shapes)
    if layers > spec.MAX_PORTS.value - 1:
        raise ConfigError(f"{layers} neuron layers: the optimizer has weight ports for {spec.MAX_PORTS.value - 1}")
    placement = place(layers, recipe.batch)
    pes, entries = [], []
    for sample, chain in enumerate(placement.chains):
        pes += _chain(recipe, buffers, sample, chain, update_ticks)
        entries += _chain_entries(sample, chain)
    pes.append(_optimizer(recipe, buffers, placement.optimizer, update_ticks, shares))
    others = tuple(pe for chain in placement.chains for pe in chain[1:])
    entries.append(Entry(key(PacketKind.CONTROL, 0), ALL_SAMPLES, others))
    entries.append(Entry(key(PacketKind.CONTROL, 1), ALL_SAMPLES, tuple(chain[0] for chain in placement.chains)))
    entries.append(Entry(key(PacketKind.GRADIENT, 0), ALL_LAYERS, (placement.optimizer,)))
    entries.append(Entry(key(PacketKind.SILENT, 0), ALL_LAYERS, (placement.optimizer,)))
    for layer in range(1, layers + 1):
        targets = tuple(chain[layer] for chain in placement.chains)
        entries.append(Entry(key(PacketKind.WEIGHT, layer), ALL_SAMPLES, targets))
    return Deployment(placement, pes, entries)


CONTROL = (key(PacketKind.CONTROL, 0), ALL_SAMPLES)
CONTROL_OF_INPUTS = (key(PacketKind.CONTROL, 1), ALL_SAMPLES)
AHEAD_EVENTS = 512
"""Input spikes that may lie in the network before anybody asks for them: an input PE plays so many samples ahead."""


def _ahead(buffers: Buffers) -> int:
    return max(1, AHEAD_EVENTS * buffers.samples // max(1, buffers.events))


def _chain(recipe: Recipe, buffers: Buffers, sample: int, chain: list[int], update_ticks: int) -> list[PeProgram]:
    """The programs of one sample's PEs."""
    last = len(recipe.shapes)

    def spikes(layer: int) -> tuple[int, int]:
        return key(PacketKind.SPIKE, layer, sample), ROUTE

    def errors(layer: int) -> tuple[int, int]:
        return key(PacketKind.ERROR, layer, sample), ROUTE

    pes = [
        PeProgram(
            chain[0], "spinn2fw.eventprop.input",
            {"T": recipe.T, "samples": buffers.samples, "events": buffers.events, "ahead": _ahead(buffers),
             "update_ticks": update_ticks},
            {"control": CONTROL_OF_INPUTS}, {"spikes": spikes(0)},
        )
    ]  # fmt: skip
    constants = {name: float(value) for name, value in recipe.constants._asdict().items()}
    for layer, (n_in, n_out) in enumerate(recipe.shapes, 1):
        outputs = {
            "spikes": spikes(layer),
            "gradients": (key(PacketKind.GRADIENT, layer, sample), ROUTE),
            "silent": (key(PacketKind.SILENT, layer, sample), ROUTE),
        }
        if layer > 1:
            outputs["errors"] = errors(layer)
        parameters = {
            "n_in": n_in, "n_out": n_out, "T": recipe.T, **constants,
            "send_errors": layer > 1, "send_silent": recipe.patience > 0,
        }  # fmt: skip
        inputs = {
            "control": CONTROL, "weights": (key(PacketKind.WEIGHT, layer), ALL_SAMPLES),
            "spikes": spikes(layer - 1), "errors": errors(layer + 1),
        }  # fmt: skip
        pes.append(PeProgram(chain[layer], "spinn2fw.eventprop.layer", parameters, inputs, outputs))
    loss = {
        "classes": recipe.layers[-1], "T": recipe.T, "samples": buffers.samples, "batch": recipe.batch,
        "xi": recipe.xi, "a": recipe.a, "b": recipe.b,
    }  # fmt: skip
    ports = {"control": CONTROL, "spikes": spikes(last)}
    pes.append(PeProgram(chain[-1], "spinn2fw.eventprop.loss", loss, ports, {"errors": errors(last + 1)}))
    return pes


def _chain_entries(sample: int, chain: list[int]) -> list[Entry]:
    """Spikes go one PE up the chain, errors one down, but not to the input."""
    up = [Entry(key(PacketKind.SPIKE, i, sample), ROUTE, (chain[i + 1],)) for i in range(len(chain) - 1)]
    down = [Entry(key(PacketKind.ERROR, i, sample), ROUTE, (chain[i - 1],)) for i in range(2, len(chain))]
    return up + down


def _optimizer(recipe: Recipe, buffers: Buffers, pe: int, update_ticks: int, shares: Sequence[float]) -> PeProgram:
    parameters = {
        "layers": [list(shape) for shape in recipe.shapes], "T": recipe.T, "batch": recipe.batch,
        "steps": buffers.steps, "ahead": _ahead(buffers), "update_ticks": update_ticks, "shares": list(shares),
        "beta1": recipe.beta1, "beta2": recipe.beta2,
        "rest1": 1 - recipe.beta1, "rest2": 1 - recipe.beta2, "eps": recipe.eps,
        "weight_decay": recipe.weight_decay, "patience": recipe.patience, "boost": recipe.boost,
    }  # fmt: skip
    outputs = {"control": (key(PacketKind.CONTROL, 0), ALL_LAYERS)}
    for layer in range(1, len(recipe.shapes) + 1):
        outputs[f"weights{layer}"] = (key(PacketKind.WEIGHT, layer), ALL_SAMPLES)
    inputs = {
        "gradients": (key(PacketKind.GRADIENT, 0), ALL_LAYERS),
        "silent": (key(PacketKind.SILENT, 0), ALL_LAYERS),
    }
    return PeProgram(pe, schedule.OPTIMIZER, parameters, inputs, outputs)
