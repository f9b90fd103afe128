"""Networks of PEs from a TOML file: populations with a program, and who listens to whom; the host chooses the keys.

    [population.source]
    program = "poisson.py"            # or a module; without it the PEs must have their program already
    pes = ["1.1.0", "1.1.1"]          # or a number: so many PEs
    set = { rate_hz = 20.0 }          # parameters
    data = { weights = "weights.npy" }  # initial contents of regions
    keys = { spikes = { first = 0x10000, count = 256 } }  # keys of a port, per PE; chosen if absent

    [[connect]]
    from = "source.spikes"
    to = "layer.input"
    how = "all"             # every PE to every PE; "one": first to first, …; "next": to the next one, in a ring

Paths are relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, describe
from spinn2host.files import read_toml
from spinn2host.pe_program import Keys, PeProgram

KEYS_PER_PE = 1 << 16
"""Keys of an output port of a PE, if the file does not say otherwise."""
_WORD = 0xFFFFFFFF


class KeyBlock(pydantic.BaseModel, extra="forbid"):
    """PE number i of a population sends keys first + i * count … first + (i + 1) * count - 1 on this port."""

    first: int | None = pydantic.Field(None, ge=0, le=_WORD)
    count: int = pydantic.Field(KEYS_PER_PE, ge=1, le=1 << 32)


class Population(pydantic.BaseModel, extra="forbid"):
    """PEs that run one program."""

    pes: int | list[str]
    program: str | None = None
    set: dict[str, Any] = {}
    data: dict[str, str] = {}
    keys: dict[str, KeyBlock] = {}


class Connection(pydantic.BaseModel, extra="forbid"):
    """`source` and `target` are written population.port."""

    source: str = pydantic.Field(alias="from", pattern=r"^[^.]+\.[^.]+$")
    target: str = pydantic.Field(alias="to", pattern=r"^[^.]+\.[^.]+$")
    how: Literal["all", "one", "next"] = "all"


class Description(pydantic.BaseModel, extra="forbid"):
    """The whole file."""

    population: dict[str, Population] = pydantic.Field(min_length=1)
    connect: list[Connection] = []


@dataclass
class Network:
    """What a chip loads. `ports`: (inputs, outputs) of PEs that have their program already; `populations`: PE ids."""

    populations: dict[str, list[int]]
    pes: list[PeProgram] = field(default_factory=list)
    ports: dict[int, tuple[dict[str, list[Keys]], dict[str, Keys]]] = field(default_factory=dict)
    entries: list[tuple[int, int, list[int]]] = field(default_factory=list)


def read_network(path: str | os.PathLike[str]) -> Network:
    """The network that a TOML file describes. Raises ConfigError, naming the file and what is wrong in it."""
    path = Path(path)
    try:
        description = Description.model_validate(read_toml(path))
    except pydantic.ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from error
    try:
        return build_network(description, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", **error.fields) from error


def build_network(description: Description, folder: Path) -> Network:
    """Places the populations, gives their ports keys, and makes routing entries and filters."""
    network = Network(_place(description.population))
    keys = dict(_choose_keys(description, network.populations))
    inputs: dict[int, dict[str, list[Keys]]] = {pe: {} for pes in network.populations.values() for pe in pes}
    outputs: dict[int, dict[str, Keys]] = {pe: {} for pe in inputs}
    targets: dict[str, list[set[int]]] = {}
    for connection in description.connect:
        _connect(connection, network.populations, keys, inputs, targets)
    for source, ranges in keys.items():
        population, port = source.split(".")
        for pe, own in zip(network.populations[population], ranges.each, strict=True):
            outputs[pe][port] = own
        network.entries += ranges.entries(targets[source])
    _check_filters(inputs)
    for name, population_ in description.population.items():
        data = {region: load_array(folder / file) for region, file in population_.data.items()}
        for pe in network.populations[name]:
            if population_.program is None:
                network.ports[pe] = inputs[pe], outputs[pe]
                continue
            program = population_.program
            program = str((folder / program).absolute()) if program.endswith(".py") else program
            network.pes.append(PeProgram(pe, program, population_.set, inputs[pe], outputs[pe], data))
    return network


def _place(populations: Mapping[str, Population]) -> dict[str, list[int]]:
    """PE ids of every population; numbers are filled up with PEs that nobody asked for, in the order of the ids."""
    placed = {name: [geometry.pe_id(pe) for pe in p.pes] for name, p in populations.items() if isinstance(p.pes, list)}
    taken: dict[int, str] = {}
    for name, pes in placed.items():
        for pe in pes:
            if pe in taken:
                raise ConfigError(f"PE {geometry.name(pe)} is in population {taken[pe]} and in {name}", pe=pe)
            taken[pe] = name
    free = iter([pe for pe in geometry.APPLICATION_IDS if pe not in taken])
    for name, p in populations.items():
        if isinstance(p.pes, int):
            placed[name] = list(islice(free, p.pes))
        if not placed[name] or (isinstance(p.pes, int) and len(placed[name]) < p.pes):
            count = len(geometry.APPLICATION_IDS)
            raise ConfigError(f"population {name} asks for {p.pes} PEs, {len(placed[name])} are left of {count}")
    return {name: placed[name] for name in populations}


@dataclass
class _Ranges:
    """Keys of an output port: of `each` PE of a population, and of `all` together."""

    each: list[Keys]
    all: Keys

    def entries(self, targets: list[set[int]]) -> Iterator[tuple[int, int, list[int]]]:
        """One routing entry if all PEs have the same targets, else one for each that has some."""
        if all(own == targets[0] for own in targets):
            yield *self.all, sorted(targets[0])
        else:
            yield from ((*keys, sorted(own)) for keys, own in zip(self.each, targets, strict=True) if own)


def _choose_keys(description: Description, placed: Mapping[str, list[int]]) -> Iterator[tuple[str, _Ranges]]:
    """Keys for every port that a connection comes from: aligned blocks, so that a mask covers a population."""
    sources = list(dict.fromkeys(connection.source for connection in description.connect))
    for source in sources:
        if source.split(".")[0] not in placed:
            raise ConfigError(f"connection from {source}: there is no such population, only {', '.join(placed)}")
    blocks = []
    for source in sources:
        name, port = source.split(".")
        block = description.population[name].keys.get(port) or KeyBlock(first=None, count=KEYS_PER_PE)
        count = _power_of_two(block.count)
        blocks.append((source, block.first, count, count * _power_of_two(len(placed[name]))))
    for name, population in description.population.items():
        for port in population.keys:
            if f"{name}.{port}" not in sources:
                raise ConfigError(f"population {name} has keys for port {port}, from which no connection comes")
    taken = sorted((first, first + size, source) for source, first, _, size in blocks if first is not None)
    for (_, end, one), (begin, _, other) in pairwise(taken):
        if begin < end:
            raise ConfigError(f"overlapping keys: {one} and {other} both send {begin:#x}: move one of them")
    for source, first, count, size in blocks:
        if first is None:
            first = 0
            for begin, end, _ in taken:
                if first + size > begin:
                    first = -(-max(first, end) // size) * size
            taken = sorted([*taken, (first, first + size, source)])
        if first % size or first + size > _WORD + 1:
            raise ConfigError(
                f"{source}: its {size:#x} keys must begin at a multiple of {size:#x} below 2^32, not at {first:#x}"
            )
        pes = len(placed[source.split(".")[0]])
        yield source, _Ranges([(first + i * count, _WORD + 1 - count) for i in range(pes)], (first, _WORD + 1 - size))


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _connect(
    connection: Connection, placed: Mapping[str, list[int]], keys: Mapping[str, _Ranges],
    inputs: dict[int, dict[str, list[Keys]]], targets: dict[str, list[set[int]]],
) -> None:  # fmt: skip
    """Adds the filters of one connection to `inputs`, and its targets, by PE of the source."""
    source, (name, port) = connection.source, connection.target.split(".")
    if name not in placed:
        raise ConfigError(f"connection to {connection.target}: there is no such population, only {', '.join(placed)}")
    senders, receivers = placed[source.split(".")[0]], placed[name]
    if connection.how != "all" and len(senders) != len(receivers):
        raise ConfigError(
            f"connection from {source} to {connection.target}, how = {connection.how!r}: {len(senders)} PEs cannot be "
            f"matched with {len(receivers)}"
        )
    shift = 1 if connection.how == "next" else 0
    own = targets.setdefault(source, [set() for _ in senders])
    for i in range(len(senders)):
        own[i] |= set(receivers) if connection.how == "all" else {receivers[(i + shift) % len(receivers)]}
    for i, pe in enumerate(receivers):
        heard = keys[source].all if connection.how == "all" else keys[source].each[(i - shift) % len(senders)]
        filters = inputs[pe].setdefault(port, [])
        if heard not in filters:
            filters.append(heard)


def _check_filters(inputs: Mapping[int, Mapping[str, list[Keys]]]) -> None:
    for pe, ports in inputs.items():
        filters = [(port, key, mask) for port, ranges in ports.items() for key, mask in ranges]
        for i, (port, key, mask) in enumerate(filters):
            for other, other_key, other_mask in filters[:i]:
                if other != port and (key ^ other_key) & mask & other_mask == 0:
                    raise ConfigError(
                        f"PE {geometry.name(pe)} hears the same keys ({key:#x}) on its ports {other} and {port}: "
                        "a packet arrives on one port of a PE", pe=pe,
                    )  # fmt: skip


def load_array(path: Path) -> NDArray[Any]:
    """The array in a .npy file. Raises ConfigError if there is none, or it holds Python objects."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{path} holds several arrays: give a .npy file with one")
    return array
