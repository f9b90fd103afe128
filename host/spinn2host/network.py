"""Networks of PEs from a TOML file: populations with a program, and who listens to whom; the host chooses the keys.

    [population.source]
    program = "poisson.py"            # or a module; without it the PEs must have their program already
    pes = ["1.1.0", "1.1.1"]          # or a number: so many PEs
    set = { rate_hz = 20.0 }          # parameters
    data = { weights = "weights.npy" }  # initial contents of regions
    keys = { spikes = { first = 0x10000, count = 256 } }  # keys of a port, per PE; chosen if absent
    level = "0.5V"                    # of its PEs' clock and voltage; absent: as the chip was booted
    arm = true                        # the PEs execute the program as Cortex-M4 code; false if absent

    [[connect]]
    from = "source.spikes"
    to = "layer.input"
    how = "all"             # every PE to every PE; "others": not to itself; "one": first to first, …; "next": to the
                            # next one, in a ring; "random": with `probability` or `fan_in`, and `seed`; "pairs":
                            # as the list `pairs` of [source index, target index] says

The host takes part: `from = "host.stimulus"`, with keys in `host.keys.stimulus` as above, and `to = "host.votes"`, for
a port that needs keys because the host is to hear it; see `docs/live.md`.

A population may have `each.set = { rate_hz = [10.0, 20.0] }`, a value per PE, `each.data = { weights = "rows.npy" }`, a
row per PE, and `at.0.set`, `at.0.data` for one PE by its index. Paths are relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, describe
from spinn2emu.frames import SUPERVISOR
from spinn2emu.packets import varying_bits
from spinn2host.description import HOST, Description, Population, Values
from spinn2host.files import read_toml
from spinn2host.pe_program import Keys, PeProgram
from spinn2host.wiring import check_filters, choose_keys, connect


@dataclass
class Network:
    """What a chip loads. `ports`: inputs, outputs and index_bits, as in PeProgram, of PEs that have their program
    already; `populations`: PE ids; `host`: keys that the host sends, (key, mask) by the name of its port.
    """

    populations: dict[str, list[int]]
    pes: list[PeProgram] = field(default_factory=list)
    ports: dict[int, tuple[dict[str, list[Keys]], dict[str, Keys], dict[str, int]]] = field(default_factory=dict)
    entries: list[tuple[int, int, list[int]]] = field(default_factory=list)
    host: dict[str, Keys] = field(default_factory=dict)


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
    placed = network.populations | {name: [SUPERVISOR] for name in description.senders() if name == HOST}
    keys = dict(choose_keys(description, placed))
    inputs: dict[int, dict[str, list[Keys]]] = {pe: {} for pes in network.populations.values() for pe in pes}
    outputs: dict[int, dict[str, Keys]] = {pe: {} for pe in inputs}
    targets: dict[str, list[set[int]]] = {}
    blocks: dict[str, list[Keys]] = {}
    for connection in description.connect:
        connect(connection, placed, keys, inputs, targets)
        blocks.setdefault(connection.target, []).append(keys[connection.source].all)
    for source, ranges in keys.items():
        population, port = source.split(".")
        if population == HOST:
            network.host[port] = ranges.all
            network.entries += ranges.entries(targets[source])
            continue
        for pe, own in zip(network.populations[population], ranges.each, strict=True):
            outputs[pe][port] = own
        network.entries += ranges.entries(targets[source])
    check_filters(inputs)
    for name, population_ in description.population.items():
        pes = network.populations[name]
        heard = {target.split(".")[1]: ranges for target, ranges in blocks.items() if target.split(".")[0] == name}
        bits = {port: varying_bits(ranges) for port, ranges in heard.items()}
        if population_.program is None:
            network.ports |= {pe: (inputs[pe], outputs[pe], bits) for pe in pes}
            continue
        program = population_.program
        program = str((folder / program).absolute()) if program.endswith(".py") else program
        values = _values(name, population_, len(pes), folder)
        for index, (pe, (parameters, data)) in enumerate(zip(pes, values, strict=True)):
            ports = inputs[pe], outputs[pe]
            item = PeProgram(pe, program, parameters, *ports, data, index, len(pes), bits, population=name,
                             level=population_.level, arm=population_.arm)  # fmt: skip
            network.pes.append(item)
    return network


def _values(name: str, population: Population, size: int, folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Parameters and data of each PE of a population."""
    arrays = {file: load_array(folder / file) for file in _files(population)}
    counts = {what: len(values) for what, values in population.each.set.items()}
    counts |= {region: (*arrays[file].shape, 0)[0] for region, file in population.each.data.items()}
    for what, count in counts.items():
        if count != size:
            raise ConfigError(f"population {name}: `each` has {count} values of {what}, for {size} PEs", name=name)
    for index in population.at:
        if not 0 <= index < size:
            raise ConfigError(f"population {name} has the PEs 0 to {size - 1}, there is no at.{index}", name=name)
    values = []
    for i in range(size):
        own = population.at.get(i, Values())
        parameters = population.set | {what: rows[i] for what, rows in population.each.set.items()} | own.set
        data = {region: arrays[file] for region, file in population.data.items()}
        data |= {region: arrays[file][i] for region, file in population.each.data.items()}
        values.append((parameters, data | {region: arrays[file] for region, file in own.data.items()}))
    return values


def _files(population: Population) -> list[str]:
    several = (population.data, population.each.data, *(values.data for values in population.at.values()))
    return list(dict.fromkeys(file for files in several for file in files.values()))


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


def load_array(path: Path) -> NDArray[Any]:
    """The array in a .npy file. Raises ConfigError if there is none, or it holds Python objects."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{path} holds several arrays: give a .npy file with one")
    return array
