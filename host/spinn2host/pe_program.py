"""What one PE is to run, as a host says it and as it travels to the chip."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spinn2emu import hostlink, memory_map
from spinn2emu.population import short_name
from spinn2host.recording import pe_id

Keys = tuple[int, int]
"""The keys k with k & mask == key: (key, mask)."""


@dataclass
class PeProgram:
    """What one PE is to run.

    `program`: a module, or the path of a .py file. `inputs`: port → keys that it listens to, one range or several.
    `outputs`: port → keys that it sends. `data`: initial contents of regions, instead of what the program declares.
    `index_bits`: by input port, the bits of a key that are a packet's index; if absent, those in which the keys of the
    port differ. `index`, `size`: the PE's number in its population, and how many PEs that has; the program can
    ask for them. `population`: its name, of which the chip keeps 64 characters; `first`: the number in it of the first
    neuron that the PE holds. `level`: "0.5V" or "0.8V"; None: as the chip was booted. `arm`: it is executed as
    Cortex-M4 code, in unicorn: slow, the same results.
    """

    pe: int
    program: str | os.PathLike[str]
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Keys | Sequence[Keys]] = field(default_factory=dict)
    outputs: Mapping[str, Keys] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0
    size: int = 1
    index_bits: Mapping[str, int] = field(default_factory=dict)
    population: str = ""
    first: int = 0
    level: str | None = None
    arm: bool = False

    def __post_init__(self) -> None:
        self.pe = pe_id(self.pe)  # a name will do, too

    def to_wire(self) -> dict[str, Any]:
        """The program as msgpack-able data."""
        data = {name: memory_map.to_wire(np.asarray(values)) for name, values in self.data.items()}
        program = os.fspath(self.program)
        program = hostlink.path_to_wire(os.path.abspath(program)) if program.endswith(".py") else program
        return {"pe": self.pe, "program": program, "parameters": _plain(self.parameters), "data": data,
                "index": self.index, "size": self.size,
                "population": short_name(self.population), "first": int(self.first), "level": self.level,
                "arm": bool(self.arm),
                **ports_to_wire(self.inputs, self.outputs, self.index_bits)}  # fmt: skip


def search_path() -> list[str]:
    """Where modules are looked for: the folder that this process is in, and where its own come from."""
    here = []
    with contextlib.suppress(OSError):  # the folder may be gone
        here.append(os.getcwd())
    return [hostlink.path_to_wire(folder) for folder in [*here, *sys.path] if folder]


def _plain(value: Any) -> Any:
    """Parameters without numpy's numbers and arrays, tuples and paths."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def ports_to_wire(
    inputs: Mapping[str, Any], outputs: Mapping[str, Keys], index_bits: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The ports of a PE as msgpack-able data."""
    several = {name: list(keys) if np.ndim(keys) == 2 or not len(keys) else [keys] for name, keys in inputs.items()}
    return {"inputs": several, "outputs": dict(outputs), "index_bits": dict(index_bits or {})}


def short_program(program: str) -> str:
    """The last part of a module's name or of a file's: `layer` of `spinn2fw.eventprop.layer` and of `my/layer.py`."""
    return program.removesuffix(".py").rpartition(".")[2].rpartition("/")[2]
