"""What a run has recorded in the PEs' memory, as scripts get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2fw.kernels.synapses import RECORD_HEAD
from spinn2host.chip import Chip
from spinn2host.spinnaker2 import memory
from spinn2host.spinnaker2.layout import Layout
from spinn2host.spinnaker2.partition import Part
from spinn2host.spinnaker2.snn import Population

REGIONS = {"spikes": ("spikes",), "v": ("voltages",), "v_last": ("v",), "time_done": ("time_done",),
           "n_packets": ("n_packets",)}  # fmt: skip
"""Where each record lies."""
SPIKE_LIST = ("next", "tick", "neuron")
"""Where a spike list's spikes do: what it has sent."""


Record = tuple[Part, list[NDArray[Any]]]
"""A part, and the regions that one of its records lies in."""


def read_results(chip: Chip, layout: Layout, timesteps: int) -> None:
    """Reads all records of a run of so many ticks into the populations."""
    wanted = [(part, name) for part in layout.parts for name in part.population.record]
    regions = [SPIKE_LIST if name == "spikes" and _is_list(part) else REGIONS[name] for part, name in wanted]
    ranges = [(part.pe, region) for (part, _), several in zip(wanted, regions, strict=True) for region in several]
    arrays = iter(chip.read_many(ranges))
    found: dict[Population, dict[str, list[Record]]] = {}
    for (part, name), several in zip(wanted, regions, strict=True):
        own = found.setdefault(part.population, {}).setdefault(name, [])
        own.append((part, [next(arrays) for _ in several]))
    for population in {part.population for part in layout.parts}:
        records = found.get(population, {}).items()
        population._results = {name: _decode(name, parts, timesteps) for name, parts in records}


def _is_list(part: Part) -> bool:
    return part.population.model.program == memory.SPIKES


def _decode(name: str, records: Sequence[Record], ticks: int) -> dict[Any, Any]:
    if name == "spikes":
        decode = _listed if _is_list(records[0][0]) else _spikes
        times = [(part, decode(part.neurons, *arrays)) for part, arrays in records]
        return {part.first + i: own for part, of_neurons in times for i, own in enumerate(of_neurons)}
    if name == "v":
        return {p.first + i: array[:ticks, 1 + i].copy() for p, (array,) in records for i in range(p.neurons)}
    if name == "v_last":
        return {p.first + i: array[i : i + 1].copy() for p, (array,) in records for i in range(p.neurons)}
    if name == "time_done":
        return {pe_label(part.pe): array[:ticks] / spec.TICK_NS.value for part, (array,) in records}
    return {pe_label(part.pe): array[:ticks].astype(np.int64) for part, (array,) in records}


def _spikes(count: int, record: NDArray[np.uint32]) -> list[list[int]]:
    """The ticks of each neuron's spikes, of a record (ticks, 2 + words): the tick, how many, a bit for each neuron."""
    bits = np.unpackbits(np.ascontiguousarray(record[:, RECORD_HEAD:]).view(np.uint8), axis=1, bitorder="little")[
        :, :count
    ]
    neurons, ticks = np.nonzero(bits.T)
    return _by_neuron(count, neurons, ticks)


def _listed(
    count: int, after: NDArray[np.uint32], ticks: NDArray[np.uint32], neurons: NDArray[np.uint8]
) -> list[list[int]]:
    """The same of a spike list, of which the spikes before place `after` have been sent."""
    sent = slice(0, int(after[0]))
    order = np.argsort(neurons[sent], kind="stable")
    return _by_neuron(count, neurons[sent][order].astype(np.int64), ticks[sent][order].astype(np.int64))


def _by_neuron(count: int, neurons: NDArray[np.int64], ticks: NDArray[np.int64]) -> list[list[int]]:
    """The ticks of `count` neurons; `neurons` ascending."""
    return [own.tolist() for own in np.split(ticks, np.cumsum(np.bincount(neurons, minlength=count))[:-1])]


def pe_label(pe: int) -> str:
    """A PE's name as scripts know it: `PE(x, y, p)`."""
    return f"PE({', '.join(map(str, geometry.position(pe)))})"
