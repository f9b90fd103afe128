"""What a PE program is: a declaration of its regions, ports and phases, and one compiled `tick` function.

A program is a Python module (or a user's file) with a variable `program`:

    program = Program(parameters=Parameters, inputs=("spikes",), outputs=("spikes",), regions=regions, tick=tick)

`tick(pe, ram, rx, t)` is compiled by numba and called once per tick: `pe` is the handle for the functions of
`spinn2emu.sdk`, `ram` a named tuple of views of the program's regions, `rx` the PACKET records to be processed in
this tick (ordered by source PE and sequence), `t` the tick. It returns 0, or an error code that stops the PE.
`drain(pe, ram, rx)`, if there is one, is the interrupt handler of FIFOs: it takes packets as they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.errors import ProgramError
from spinn2emu.packets import PAYLOAD_BYTES


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


POLICIES = ("stall", "drop", "overwrite")
"""What happens to a packet that finds a FIFO full."""
DRAINS = ("tick", "interrupt")
"""When a FIFO is emptied."""
FIFOS = spec.EVENT_FILTERS.value + 1
"""Of a program, at most: one for each filter of the event handler, and a default one."""


class Fifo(NamedTuple):
    """A receive FIFO in SRAM. `payload_bytes`: what a slot holds beside the key, the largest payload of its ports.

    `drain` "tick": `tick` empties it once per tick; "interrupt": the program's `drain` does, with up to `level` packets
    (None: half the depth) at a time, as soon as there are so many. `ports`: the input ports whose packets it gets;
    none: those of all that no other FIFO has.
    """

    depth: int
    payload_bytes: int = 4
    policy: Literal["stall", "drop", "overwrite"] = "stall"
    drain: Literal["tick", "interrupt"] = "tick"
    ports: tuple[str, ...] = ()
    level: int | None = None

    @property
    def nbytes(self) -> int:
        """Of SRAM."""
        return self.depth * (4 + self.payload_bytes)

    @property
    def fill_level(self) -> int:
        """Packets at which the interrupt comes."""
        return max(1, self.depth // 2) if self.level is None else self.level


def fifo_of_ports(fifos: Sequence[Fifo], ports: Sequence[str]) -> list[int]:
    """The number of the FIFO that each of a program's input ports leads to."""
    return [next((n for n, fifo in enumerate(fifos) if port in fifo.ports), len(fifos) - 1) for port in ports]


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
    output ports of a program whose parameters say which it has. `fifo`: one, or up to FIFOS, of which all but the
    last have `ports`. `drain(pe, ram, rx)`: empties those with drain "interrupt"; returns as `tick` does.

    `counts`: names of what `tick` counts by `sdk.count` because its cycles depend on it. `costs`: the cycles that its
    code takes, where they are not to be counted from the code (`spinn2emu.cost`), or a function of the parameters.
    """

    tick: Callable[..., int]
    regions: Callable[[Any, int], Sequence[Region]]
    drain: Callable[..., int] | None = None
    parameters: type[pydantic.BaseModel] = NoParameters
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    outputs_of: Callable[[Any], Sequence[str]] | None = None
    phases: Callable[[Any], Sequence[Phase]] | None = None
    fifo: Callable[[Any], Fifo | Sequence[Fifo]] | Fifo | Sequence[Fifo] = Fifo(64)
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

    def fifos_of(self, parameters: Any) -> tuple[Fifo, ...]:
        """The FIFOs for these parameters. Raises ProgramError."""
        given: Any = self.fifo(parameters) if callable(self.fifo) else self.fifo
        fifos = tuple(given) if isinstance(given, list | tuple) and not isinstance(given, Fifo) else (given,)
        for problem in self._fifo_problems(fifos):
            raise ProgramError(f"{self.name}: {problem}", program=self.name)
        return fifos

    def _fifo_problems(self, fifos: Sequence[Fifo]) -> Iterator[str]:
        if not 1 <= len(fifos) <= FIFOS or not all(isinstance(fifo, Fifo) for fifo in fifos):
            yield f"`fifo` is one Fifo, or a list of up to {FIFOS}, not {list(fifos)!r:.200}"
        for fifo in fifos:
            if not isinstance(fifo.ports, list | tuple):
                yield f"{fifo}: `ports` is a sequence of names, as in ports=('in',)"
            if fifo.payload_bytes not in PAYLOAD_BYTES or fifo.policy not in POLICIES or fifo.drain not in DRAINS:
                yield f"{fifo} needs a payload of {PAYLOAD_BYTES} bytes, a policy of {POLICIES}, a drain of {DRAINS}"
            if type(fifo.depth) is not int or fifo.depth < 1:
                yield f"{fifo} needs a depth of at least 1"
            if not 1 <= fifo.fill_level <= fifo.depth or (fifo.level is not None and fifo.drain == "tick"):
                yield f'{fifo}: a level, 1 to the depth {fifo.depth}, is for drain "interrupt" only'
        ports = [port for fifo in fifos for port in fifo.ports]
        if not all(fifo.ports for fifo in fifos[:-1]) or fifos[-1].ports:
            yield "all FIFOs but the last name the `ports` whose packets they get; the last gets the others'"
        if len(set(ports)) != len(ports) or not set(ports) <= set(self.inputs):
            yield f"the ports of FIFOs, {ports}, must be different ones of the inputs {list(self.inputs)}"
        interrupts = any(fifo.drain == "interrupt" for fifo in fifos)
        if interrupts and self.drain is None:
            yield 'a Fifo with drain "interrupt" is emptied by the program\'s `drain`: write one, or use drain "tick"'
        if self.drain is not None and not interrupts:
            yield '`drain` has no Fifo to empty: give one drain "interrupt", or leave `drain` out'

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
