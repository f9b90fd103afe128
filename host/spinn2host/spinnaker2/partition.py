"""Which neurons share a PE: as many as the script allows and the PE's memory holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, SramOverflow
from spinn2host.spinnaker2.connections import Geometry, Synapses
from spinn2host.spinnaker2.memory import DATA_BYTES, RECEIVER, SPIKES, region_bytes, table, used_bytes
from spinn2host.spinnaker2.messages import one_line, warn
from spinn2host.spinnaker2.models import spike_events
from spinn2host.spinnaker2.snn import Conv2DProjection, Network, Population


class Part(NamedTuple):
    """What one PE holds of a population: so many `neurons` from number `first` on. `number`: the part's own, among all
    of the network."""

    population: Population
    number: int
    first: int
    neurons: int
    pe: int


class Inputs(NamedTuple):
    """What leads to a population: synapses from a population, and convolutions of one."""

    synapses: list[tuple[Population, Synapses]]
    convolutions: list[tuple[Population, Conv2DProjection, Geometry]]

    @property
    def sources(self) -> list[Population]:
        """The populations that it hears, each once."""
        return list(dict.fromkeys([*(pre for pre, _ in self.synapses), *(pre for pre, *_ in self.convolutions)]))


def read_inputs(net: Network) -> dict[Population, Inputs]:
    """The checked projections of a network, by target. Raises ConfigError."""
    inputs = {population: Inputs([], []) for population in net.populations}
    for projection in net.projections:
        own = inputs[projection.post]
        if isinstance(projection, Conv2DProjection):
            if projection.pre in own.sources:
                raise ConfigError(
                    f"{projection}: {projection.pre} is connected to {projection.post} already, and a part of a "
                    "population has either synapses there or one convolution", projection=projection.name,
                )  # fmt: skip
            own.convolutions.append((projection.pre, projection, projection.geometry()))
        elif any(projection.pre is pre for pre, *_ in own.convolutions):
            raise ConfigError(
                f"{projection}: {projection.pre} is connected to {projection.post} by a convolution already",
                projection=projection.name,
            )  # fmt: skip
        else:
            own.synapses.append((projection.pre, projection.synapses()))
    return inputs


def split(net: Network, inputs: Mapping[Population, Inputs], ticks: int, pes: Sequence[int]) -> list[Part]:
    """The parts of all populations, in their order, on the PEs in theirs.

    Raises SramOverflow, with the map, for a neuron that does not fit by itself, ConfigError for more parts than PEs.
    """
    per_pe = {p: min(p.max_atoms_per_core, int(p.size)) for p in net.populations}
    largest: dict[Population, str] = {}
    changed = True
    while changed:  # more parts of a population take longer tables in those that hear it
        changed = False
        for population in net.populations:
            sizes = _worst_part(population, inputs[population], ticks, per_pe)
            most = _most_that_fit(population, sizes, per_pe[population])
            if most < per_pe[population]:
                changed, largest[population] = True, _largest_region(population, sizes(most))
            per_pe[population] = most
    for population, count in per_pe.items():
        if count < min(population.max_atoms_per_core, population.size):
            warn(f"{population}: {count} neurons fit a PE, not {min(population.max_atoms_per_core, population.size)}: "
                 f"of its {DATA_BYTES:,} bytes, {largest[population]}")  # fmt: skip
    _check_room(net, per_pe, len(pes))
    firsts = [(p, first) for p, count in per_pe.items() for first in range(0, int(p.size), count)]
    return [
        Part(population, number, first, min(per_pe[population], int(population.size) - first), pe)
        for number, ((population, first), pe) in enumerate(zip(firsts, pes, strict=False))
    ]


def record_parameters(population: Population, ticks: int) -> dict[str, Any]:
    """What a program must know of the records that a population asks for."""
    recorded = {f"record_{name}": name in population.record for name in ("spikes", "v", "time_done", "n_packets")}
    recorded["record_spikes"] &= population.model.program != SPIKES  # the list is the record
    return {"ticks": ticks if any(recorded.values()) else 0, **recorded}


def _worst_part(
    population: Population, inputs: Inputs, ticks: int, per_pe: Mapping[Population, int]
) -> Callable[[int], dict[str, Any]]:
    """The parameters of the largest part of a population, as a function of the number of neurons per PE."""
    record = record_parameters(population, ticks)
    if population.model.program == SPIKES:
        neurons = spike_events(population, population.params, int(population.size))[1]
        return lambda n: {"n": n, "events": _largest(neurons // n), **record}
    if population.model.program == RECEIVER:
        return lambda n: {"n": n, **record}
    targets = [synapses.post for _, synapses in inputs.synapses]
    posts = np.concatenate(targets) if targets else np.empty(0, np.int64)
    fixed: dict[str, Any] = {
        "currents": population.model.currents, "delays": population.model.delays, **record,
        "rows": sum(int(pre.size) for pre in {id(pre): pre for pre, _ in inputs.synapses}.values()),
        "entries": sum(_pes(pre, per_pe[pre]) for pre in inputs.sources),
        "convolutions": len(inputs.convolutions),
    }  # fmt: skip

    def sizes(n: int) -> dict[str, Any]:
        kernels = sum(kernel_bytes(geometry, n) for *_, geometry in inputs.convolutions)
        return {"n": n, "words": _largest(posts // n), "kernels": kernels, **fixed}

    return sizes


def kernel_bytes(geometry: Geometry, n: int) -> int:
    """Of the kernels for n neurons in a row, at most: they may begin and end within a channel."""
    channels = min(geometry.out_channels, (n - 2) // (geometry.out_height * geometry.out_width) + 2)
    return channels * geometry.in_channels * geometry.kernel_height * geometry.kernel_width


def _largest(numbers: NDArray[np.int64]) -> int:
    """How often the most frequent number occurs."""
    return int(np.bincount(numbers).max()) if len(numbers) else 0


def _most_that_fit(population: Population, sizes: Callable[[int], dict[str, Any]], most: int) -> int:
    """The largest number of neurons, at most `most`, whose part fits a PE."""
    program = population.model.program

    def fits(n: int) -> bool:
        return used_bytes(program, sizes(n)) <= DATA_BYTES

    if fits(most):
        return most
    if not fits(1):
        p = sizes(1)
        raise SramOverflow(
            f"{population}: a PE with a single one of its neurons needs {used_bytes(program, p):,} bytes, it has "
            f"{DATA_BYTES:,}: record less, run fewer ticks, or connect less. Its memory:\n{table(program, p)}",
            population=population.name, needed=used_bytes(program, p), limit=DATA_BYTES,
        )  # fmt: skip
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _largest_region(population: Population, parameters: Mapping[str, int]) -> str:
    """What takes most of a PE's memory, and how much."""
    name, size = max(region_bytes(population.model.program, parameters).items(), key=lambda item: item[1])
    return f"{name} take {size:,}"


def _pes(population: Population, count: int) -> int:
    """How many PEs a population takes with so many neurons on each."""
    return -(-int(population.size) // count)


def _check_room(net: Network, per_pe: Mapping[Population, int], available: int) -> None:
    needed = sum(_pes(population, count) for population, count in per_pe.items())
    if needed <= available:
        return
    counts: dict[str, int] = {}
    for population, count in per_pe.items():
        counts[population.name] = counts.get(population.name, 0) + _pes(population, count)
    rows = [f"{one_line(p.name)}: {_pes(p, n)} ({p.size} neurons, {n} per PE)" for p, n in per_pe.items()]
    raise ConfigError(
        f"network {net.name!r} needs {needed} PEs, {available} are there. "
        f"{', '.join(rows)}. Let more neurons share a PE "
        "(`set_max_atoms_per_core`), record less, or make it smaller",
        needed=needed, limit=available, populations=counts,
    )  # fmt: skip
