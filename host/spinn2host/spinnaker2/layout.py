"""From a network to what PEs run: parts, keys, routes, and the contents of their memory.

Every part of a population has 256 keys of its own, so keys and masks come in powers of two, and a PE needs one filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry as die
from spinn2emu import spec
from spinn2fw.kernels.synapses import ALL_SPIKES, CONVOLUTION, ENTRY, HOST, NO_CONVOLUTION, PART, PART_SHIFT, SPIKES
from spinn2host.pe_program import PeProgram
from spinn2host.spinnaker2 import memory
from spinn2host.spinnaker2.messages import one_line
from spinn2host.spinnaker2.models import neuron_values, spike_events, subtracts
from spinn2host.spinnaker2.partition import Inputs, Part, read_inputs, record_parameters, split
from spinn2host.spinnaker2.snn import Network, Population


@dataclass
class Layout:
    """What a chip loads for a network, and what is where."""

    parts: list[Part]
    programs: list[PeProgram] = field(default_factory=list)
    entries: list[tuple[int, int, list[int]]] = field(default_factory=list)
    window: int = spec.WINDOW_TICKS.value
    """Ticks that PEs may run ahead of each other, so that what waits for a PE is bounded."""

    def of(self, population: Population) -> list[Part]:
        """The parts of a population."""
        return [part for part in self.parts if part.population is population]

    def __str__(self) -> str:
        rows = [
            f"{one_line(part.population.name)}[{part.first}:{part.first + part.neurons}] on PE {die.name(part.pe)}, "
            f"key {part_key(part):#010x}, {len(entry[2])} targets"
            for part, entry in zip(self.parts, self.entries, strict=False)  # behind them come those of the host
        ]
        return "\n".join(rows)


def part_key(part: Part) -> int:
    """The key of a part's first neuron."""
    return SPIKES | part.number << PART_SHIFT


def host_key(part: Part) -> int:
    """The key with which the host makes a receiver's first neuron spike."""
    return HOST | part.number << PART_SHIFT


def map_network(net: Network, timesteps: int, pes: Sequence[int]) -> Layout:
    """Places a network for a run of so many ticks on the PEs `pes`. Raises ConfigError or SramOverflow."""
    net.validate()
    inputs = read_inputs(net)
    parts = split(net, inputs, timesteps, pes)
    mapping = Layout(parts)
    by_population: dict[Population, list[Part]] = {}
    for part in parts:
        by_population.setdefault(part.population, []).append(part)
    targets: list[set[int]] = [set() for _ in parts]
    load = np.array([part.neurons for part in parts], np.int64)
    busiest = 1
    for population, own in by_population.items():
        if population.model.program == memory.RECEIVER:
            made = _receivers(population, own, timesteps)
        elif population.model.is_source:
            made = _sources(population, own, timesteps, load)
        else:
            made = _neurons(population, own, inputs[population], by_population, timesteps)
        for part, (program, heard) in zip(own, made, strict=True):
            mapping.programs.append(program)
            for number in heard:
                targets[number].add(part.pe)
    for part in parts:
        mapping.entries.append((part_key(part), PART, sorted(targets[part.number])))
    for part in parts:
        if part.population.model.program == memory.RECEIVER:
            mapping.entries.append((host_key(part), PART, [part.pe]))
    for part in parts:
        heard = [number for number, pes_ in enumerate(targets) if part.pe in pes_]
        busiest = max(busiest, int(load[heard].sum()))
    mapping.window = int(np.clip(spec.FRAME_PACKETS.value // busiest - 1, 1, spec.WINDOW_TICKS.value))
    return mapping


Made = tuple[PeProgram, Sequence[int]]
"""A PE's program, and the numbers of the parts that it hears."""


def _sources(population: Population, parts: Sequence[Part], ticks: int, load: NDArray[np.int64]) -> list[Made]:
    """Spike lists; `load` gets the most spikes that each part sends in a tick."""
    times, neurons = spike_events(population, population.params, int(population.size))
    made: list[Made] = []
    for part in parts:
        own = (neurons >= part.first) & (neurons < part.first + part.neurons)
        events, ids = times[own], neurons[own] - part.first
        load[part.number] = np.unique(events, return_counts=True)[1].max(initial=0)
        room = _room(len(events), EVENTS)
        parameters = {"n": part.neurons, "events": room, **record_parameters(population, ticks)}
        parameters = _snug(memory.SPIKES, parameters, events=len(events))
        room = parameters["events"]
        data = {"tick": _padded(events, room, np.uint32, 0xFFFFFFFF), "neuron": _padded(ids, room, np.uint8)}
        made.append((_program(part, parts, memory.SPIKES, parameters, data), ()))
    return made


def _receivers(population: Population, parts: Sequence[Part], ticks: int) -> list[Made]:
    """Neurons that the host makes spike."""
    record = record_parameters(population, ticks)
    return [(_program(part, parts, memory.RECEIVER, {"n": part.neurons, **record}, {}), ()) for part in parts]


def _neurons(
    population: Population, parts: Sequence[Part], inputs: Inputs, all_parts: Mapping[Population, list[Part]],
    ticks: int,
) -> list[Made]:  # fmt: skip
    """Neurons with their synapses."""
    model, size = population.model, int(population.size)
    values = neuron_values(population, model, population.params, size)
    subtract = np.array([subtracts(population, population.params)], np.uint8)
    per_part = _synapses_by_part(parts, inputs, all_parts)
    made: list[Made] = []
    for part, (numbers, rows_of, places, words) in zip(parts, per_part, strict=True):
        own = slice(part.first, part.first + part.neurons)
        entries = np.zeros(len(numbers), ENTRY)
        entries["key"], entries["mask"] = SPIKES | numbers << PART_SHIFT, PART
        entries["first"], entries["convolution"] = rows_of, NO_CONVOLUTION
        more, convolutions, kernels = _convolutions(part, inputs, all_parts)
        table = np.sort(np.concatenate([entries, more]), order="key")
        exact = {"entries": len(table), "rows": len(places) - 1, "words": len(words), "kernels": len(kernels)}
        parameters = {
            "n": part.neurons, "currents": model.currents, "delays": model.delays, "convolutions": len(convolutions),
            **{name: _room(count) for name, count in exact.items()}, **record_parameters(population, ticks),
        }  # fmt: skip
        parameters = _snug(memory.NEURONS, parameters, **exact)
        unused = np.array([(0xFFFFFFFF, 0xFFFFFFFF, 0, NO_CONVOLUTION)], ENTRY)[0]
        data = {
            "subtract": subtract, "convolutions": convolutions, "v": values["v_init"][own],
            "table": _padded(table, parameters["entries"], ENTRY, unused),
            "rows": _padded(places, parameters["rows"] + 1, np.uint16),
            "words": _padded(words, parameters["words"], np.uint16),
            "kernels": _padded(kernels, parameters["kernels"], np.int8),
        }  # fmt: skip
        data |= {name: array[own] for name, array in values.items() if name not in ("v_init", "t_refrac")}
        if "t_refrac" in values:
            data["t_refrac"] = values["t_refrac"][own].astype(np.uint16)
        heard = [int(key) - SPIKES >> PART_SHIFT for key in table["key"]]
        made.append((_program(part, parts, memory.NEURONS, parameters, data), heard))
    return made


def _synapses_by_part(
    parts: Sequence[Part], inputs: Inputs, all_parts: Mapping[Population, list[Part]]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]]:
    """For each part: numbers of the parts that it hears, their first rows, places of the rows, and words."""
    target, source, row, word = (np.empty(0, np.int64) for _ in range(4))
    counts = np.zeros(1 + max(part.number for own in all_parts.values() for part in own), np.int64)
    if inputs.synapses:
        columns = []
        for pre, synapses in inputs.synapses:
            step, first = all_parts[pre][0].neurons, all_parts[pre][0].number
            place, local = synapses.post // parts[0].neurons, synapses.post % parts[0].neurons
            columns.append((place, first + synapses.pre // step, synapses.pre % step, synapses.words | local))
            for part in all_parts[pre]:
                counts[part.number] = part.neurons
        target, source, row, word = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.lexsort((row, source, target))
        target, source, row, word = target[order], source[order], row[order], word[order]
    bounds = np.searchsorted(target, np.arange(len(parts) + 1))
    made = []
    for low, high in pairwise(bounds):
        numbers = np.unique(source[low:high])
        firsts = np.concatenate([[0], np.cumsum(counts[numbers])]).astype(np.int64)
        rows = firsts[np.searchsorted(numbers, source[low:high])] + row[low:high]
        places = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=firsts[-1]))])
        made.append((numbers, firsts[:-1], places, word[low:high].astype(np.uint16)))
    return made


def _convolutions(
    part: Part, inputs: Inputs, all_parts: Mapping[Population, list[Part]]
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int8]]:
    """Table entries, sizes and kernels of the convolutions that lead to a part."""
    entries, sizes, kernels = [], [], [np.empty(0, np.int8)]
    for number, (pre, projection, g) in enumerate(inputs.convolutions):
        area = g.out_height * g.out_width
        channel = part.first // area
        channels = (part.first + part.neurons - 1) // area + 1 - channel
        place = sum(map(len, kernels))
        kernels.append(projection.kernels()[:, channel : channel + channels].ravel())
        sizes.append((g.in_height, g.in_width, g.pool_y, g.pool_x, g.stride_y, g.stride_x, g.pad_top, g.pad_left,
                      g.kernel_height, g.kernel_width, g.out_height, g.out_width, channel, channels, part.first,
                      place))  # fmt: skip
        entries += [(part_key(source), PART, source.first, number) for source in all_parts[pre]]
    return np.array(entries, ENTRY), np.array(sizes, CONVOLUTION), np.concatenate(kernels)


def _program(
    part: Part, parts: Sequence[Part], program: str, parameters: dict[str, Any], data: dict[str, Any]
) -> PeProgram:
    inputs = {"spikes": (SPIKES, ALL_SPIKES)} if program == memory.NEURONS else {}
    if program == memory.RECEIVER:
        inputs = {"host": (host_key(part), PART)}
    index = part.number - parts[0].number
    return PeProgram(
        part.pe, program, parameters, inputs, {"spikes": (part_key(part), PART)}, data, index, len(parts),
        population=str(part.population.name), first=int(part.first),
    )  # fmt: skip


SYNAPSES, EVENTS = 4, 2


def _room(count: int, bits: int = SYNAPSES) -> int:
    """`count` or up to 1 / 2^bits more: PEs whose regions have the same sizes share a layout.

    Events in coarser steps: stimuli of samples that are run one after the other differ in length.
    """
    step = max(16, 1 << max(0, count.bit_length() - bits - 1))
    return -(-count // step) * step if count else 0


def _snug(program: str, parameters: dict[str, Any], **exact: int) -> dict[str, Any]:
    """The parameters, with the exact sizes if the rounded ones do not fit."""
    return parameters if memory.used_bytes(program, parameters) <= memory.DATA_BYTES else parameters | exact


def _padded(values: NDArray[Any], size: int, dtype: Any, fill: Any = 0) -> NDArray[Any]:
    array = np.full(size, fill, dtype)
    array[: len(values)] = values
    return array
