"""What a PE program is: a declaration of its regions, ports and phases, and one compiled `tick` function.

A program is a Python module (or a user's file) with a variable `program`:

    program = Program(parameters=Parameters, inputs=("spikes",), outputs=("spikes",), regions=regions, tick=tick)

`tick(pe, ram, rx, t)` is compiled by numba and called once per tick: `pe` is the handle for the functions of
`spinn2emu.sdk`, `ram` a named tuple of views of the program's regions, `rx` the PACKET records to be processed in
this tick (ordered by source PE and sequence), `t` the tick. It returns 0, or an error code that stops the PE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.errors import ProgramError


class Region(NamedTuple):
    """A named array in a PE's data space. `init` (scalar or array) is written at load; without it the bytes are 0."""

    name: str
    dtype: Any
    shape: tuple[int, ...]
    unit: str = ""
    init: Any = None

    @property
    def nbytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


class Phase(NamedTuple):
    """A stretch of ticks with the ports that are live in it.

    `ticks` None: without end, the PE wakes as soon as it can run any tick. `next`: the phases that may follow, the
    first one by default; `sdk.set_phase` chooses another.
    """

    name: str
    ticks: int | None = None
    listens: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


class Fifo(NamedTuple):
    """The receive FIFO in SRAM. `drain` "tick": emptied once per tick; "interrupt": emptied as packets arrive."""

    depth: int
    payload_bytes: int = 4
    policy: Literal["stall", "drop", "overwrite"] = "stall"
    drain: Literal["tick", "interrupt"] = "tick"

    @property
    def nbytes(self) -> int:
        return self.depth * (4 + self.payload_bytes)


Costs = Mapping[str, Mapping[str, float | tuple[float, float, float]]]
"""Declared cycles: phase (or `drain`) → term (`tick`, `in.PORT`, `sent`, or a count) → cycles, as the central figure or
(low, central, high)."""


class NoParameters(pydantic.BaseModel, extra="forbid"):
    """Parameters of a program that has none."""


@dataclass(frozen=True)
class Program:
    """A PE program. `regions(parameters, available)` gets the bytes that are left for it in the data space.

    `errors`: texts for the codes, from 1 on, that `tick` returns; `logs`: for those that it gives to `sdk.log`, with
    `{}` or such for the values. `log`: entries that are kept, each of 48 bytes of SRAM. `outputs_of(parameters)`: the
    output ports of a program whose parameters say which it has.

    `counts`: names of what `tick` counts by `sdk.count` because its cycles depend on it. `costs`: the cycles that its
    code takes, where they are not to be counted from the code (`spinn2emu.cost`), or a function of the parameters.
    """

    tick: Callable[..., int]
    regions: Callable[[Any, int], Sequence[Region]]
    parameters: type[pydantic.BaseModel] = NoParameters
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    outputs_of: Callable[[Any], Sequence[str]] | None = None
    phases: Callable[[Any], Sequence[Phase]] | None = None
    fifo: Callable[[Any], Fifo] | Fifo = Fifo(64)
    errors: Mapping[int, str] = field(default_factory=dict)
    logs: Mapping[int, str] = field(default_factory=dict)
    log: Callable[[Any], int] | int = spec.LOG_ENTRIES.value
    counts: tuple[str, ...] = ()
    costs: Callable[[Any], Costs] | Costs | None = None
    name: str = ""

    def phase_list(self, parameters: Any) -> list[Phase]:
        """The phases; a program that declares none has a single endless one with all ports live."""
        if self.phases is None:
            return [Phase("run", None, self.inputs, self.outputs, ("run",))]
        return list(self.phases(parameters))

    def with_ports(self, parameters: Any) -> Program:
        """The program with the ports that it has with these parameters. Raises ProgramError."""
        if self.outputs_of is None:
            return self
        program = replace(self, outputs=tuple(self.outputs_of(parameters)))
        program.check_ports()
        return program

    def check_ports(self) -> None:
        """Raises ProgramError for more ports than there are, or two of a name."""
        for what, ports in (("inputs", self.inputs), ("outputs", self.outputs)):
            if len(ports) > spec.MAX_PORTS.value or len(set(ports)) != len(ports):
                raise ProgramError(
                    f"{self.name}: {what} {ports} must be at most {spec.MAX_PORTS.value} different names",
                    program=self.name,
                )

    def fifo_of(self, parameters: Any) -> Fifo:
        """The FIFO for these parameters."""
        return self.fifo if isinstance(self.fifo, Fifo) else self.fifo(parameters)

    def log_of(self, parameters: Any) -> int:
        """How many log entries are kept, for these parameters. Raises ProgramError for less than one."""
        entries = self.log(parameters) if callable(self.log) else self.log
        if type(entries) is not int or entries < 1:
            raise ProgramError(
                f"{self.name}: `log` is a number of entries, at least 1, not {entries!r}", program=self.name
            )
        return entries


def load_program(name: str) -> Program:
    """The program in module `name`, or in the file `name` if it ends in .py. Raises ProgramError.

    To be called in a process that ends: what the program imports stays as it is for the rest of its life.
    """
    from spinn2emu.program_files import hidden, load_module

    program = getattr(load_module(name), "program", None)
    if not isinstance(program, Program):
        text = f"{name} has no variable `program` of type spinn2emu.program.Program{hidden(name)}"
        raise ProgramError(text, program=name)
    object.__setattr__(program, "name", name)
    program.check_ports()
    return program
