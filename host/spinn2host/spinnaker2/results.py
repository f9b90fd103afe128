"""What a run has recorded in the PEs' memory, as scripts get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2host.chip import Chip
from spinn2host.spinnaker2.layout import Layout
from spinn2host.spinnaker2.partition import Part
from spinn2host.spinnaker2.snn import Population

REGIONS = {"spikes": "spikes", "v": "voltages", "v_last": "v", "time_done": "time_done", "n_packets": "n_packets"}
"""Where each record lies."""
HEAD = 2
"""Words before the bits of a tick's spikes: see `spinn2fw.snn.record`."""


def read_results(chip: Chip, layout: Layout, timesteps: int) -> None:
    """Reads all records of a run of so many ticks into the populations."""
    wanted = [(part, name) for part in layout.parts for name in part.population.record]
    arrays = chip.read_many([(part.pe, REGIONS[name]) for part, name in wanted])
    found: dict[Population, dict[str, list[tuple[Part, NDArray[Any]]]]] = {}
    for (part, name), array in zip(wanted, arrays, strict=True):
        found.setdefault(part.population, {}).setdefault(name, []).append((part, array))
    for population in {part.population for part in layout.parts}:
        records = found.get(population, {}).items()
        population._results = {name: _decode(name, parts, timesteps) for name, parts in records}


def _decode(name: str, parts: Sequence[tuple[Part, NDArray[Any]]], ticks: int) -> dict[Any, Any]:
    if name == "spikes":
        return {part.first + i: times for part, array in parts for i, times in enumerate(_spikes(array, part.neurons))}
    if name == "v":
        return {part.first + i: array[:ticks, 1 + i].copy() for part, array in parts for i in range(part.neurons)}
    if name == "v_last":
        return {part.first + i: array[i : i + 1].copy() for part, array in parts for i in range(part.neurons)}
    if name == "time_done":
        return {pe_label(part.pe): array[:ticks] / spec.TICK_NS.value for part, array in parts}
    return {pe_label(part.pe): array[:ticks].astype(np.int64) for part, array in parts}


def _spikes(record: NDArray[np.uint32], count: int) -> list[list[int]]:
    """The ticks of each neuron's spikes, of a record (ticks, 2 + words): the tick, how many, a bit for each neuron."""
    bits = np.unpackbits(np.ascontiguousarray(record[:, HEAD:]).view(np.uint8), axis=1, bitorder="little")[:, :count]
    neurons, rows = np.nonzero(bits.T)
    return [times.tolist() for times in np.split(rows, np.cumsum(np.bincount(neurons, minlength=count))[:-1])]


def pe_label(pe: int) -> str:
    """A PE's name as scripts know it: `PE(x, y, p)`."""
    return f"PE({', '.join(map(str, geometry.position(pe)))})"
