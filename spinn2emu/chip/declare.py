"""What a program declares with one set of parameters, worked out and checked; runs in the workshop's processes only."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.arm.fingerprint import fingerprint
from spinn2emu.arm.sizes import check_size
from spinn2emu.chip.costs import check_counts, declared_cost, find_cost
from spinn2emu.chip.logs import check_texts
from spinn2emu.cost import Cost
from spinn2emu.errors import ConfigError, ProgramError, Spinn2Error, describe
from spinn2emu.frames import FOREVER
from spinn2emu.memory_map import MemoryMap, from_wire, to_wire
from spinn2emu.program import Fifo, Phase, Program
from spinn2emu.registers import NO_PHASE, PhaseWord, own_symbols
from spinn2emu.sram import lay_out


class Declaration(NamedTuple):
    """A program as the chip knows it: names, texts and numbers, no code."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    errors: Mapping[int, str]
    logs: Mapping[int, str]
    phases: tuple[Phase, ...]
    phase_table: np.ndarray
    """The region `phases`, see `registers.PhaseWord`."""
    fifos: tuple[Fifo, ...]
    memory: MemoryMap
    initial: Mapping[str, np.ndarray]
    """Initial contents of regions."""
    counts: tuple[str, ...] = ()
    """Names of what its code counts."""
    cost: Cost | None = None
    """What is known of its cycles."""
    code: str = ""
    """The fingerprint of its code (`arm.fingerprint`)."""

    def to_wire(self) -> list[Any]:
        """As msgpack-able data."""
        phases = [[p.name, p.ticks, list(p.listens), list(p.sends), list(p.next)] for p in self.phases]
        initial = {name: to_wire(values) for name, values in self.initial.items()}
        fifos = [list(fifo) for fifo in self.fifos]
        return [self.name, list(self.inputs), list(self.outputs), list(self.errors.items()), list(self.logs.items()),
                phases, to_wire(self.phase_table), fifos, self.memory.to_wire(), initial,
                list(self.counts), None if self.cost is None else self.cost.to_json(), self.code]  # fmt: skip

    @classmethod
    def from_wire(cls, wire: Sequence[Any]) -> Declaration:
        """What `to_wire` described."""
        name, inputs, outputs, errors, logs, phases, table, fifos, memory, initial, counts, cost, code = wire
        return cls(
            name, tuple(inputs), tuple(outputs), dict(errors), dict(logs),
            tuple(Phase(name, ticks, *map(tuple, ports)) for name, ticks, *ports in phases), from_wire(table),
            tuple(Fifo._make((*head, tuple(ports), level)) for *head, ports, level in fifos),
            MemoryMap.from_wire(memory), {name: from_wire(values) for name, values in initial.items()},
            tuple(counts), None if cost is None else Cost.from_json(cost, name), code,
        )  # fmt: skip


def declare(program: Program, values: Mapping[str, Any]) -> Declaration:
    """The declaration of a program for these parameters.

    Raises ConfigError, SramOverflow or ProgramError.
    """
    try:
        parameters = program.parameters.model_validate(values)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{program.name}: {describe(error)}", program=program.name) from error
    try:
        program = program.with_ports(parameters)
        check_texts(program.name, program.errors, program.logs)
        check_counts(program)
        memory, initial = lay_out(program, parameters)
        code = fingerprint(program, own_symbols(memory))
        check_size(code)
        phases = program.phase_list(parameters)
        table = phase_table(program, phases)
        declared = declared_cost(program, parameters, [phase.name for phase in phases])
        return Declaration(
            program.name, tuple(program.inputs), tuple(program.outputs), dict(program.errors), dict(program.logs),
            tuple(phases), table, program.fifos_of(parameters), memory,
            {name: np.asarray(value) for name, value in initial.items()}, tuple(program.counts),
            find_cost(program, declared, own_symbols(memory)), code,
        )  # fmt: skip
    except Spinn2Error:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = ([frame for frame in frames if frame.filename == _file(program)] or frames)[-1]
        text = f"{type(error).__name__}: {error} (line {where.lineno} of {where.filename})"
        raise ProgramError(f"{program.name}: its declaration fails: {text}", program=program.name) from error


def _file(program: Program) -> str:
    """Where its `tick` is."""
    return str(getattr(program.tick, "py_func", program.tick).__code__.co_filename)


def phase_table(program: Program, phases: Sequence[Phase]) -> np.ndarray:
    """The region `phases`: see `registers.PhaseWord`. Raises ConfigError for names that are not declared."""
    limit = spec.MAX_PHASES.value
    names = [phase.name for phase in phases]
    if not 0 < len(phases) <= limit:
        raise ConfigError(f"{program.name} declares {len(phases)} phases, 1 to {limit} are possible")
    if any(phase.ticks is not None and phase.ticks < 1 for phase in phases):
        raise ConfigError(f"{program.name}: a phase lasts at least one tick, or None for ever: {phases}")
    table = np.zeros((limit, PhaseWord.QUIET + spec.MAX_PORTS.value), np.int64)
    table[len(phases) :, PhaseWord.TICKS] = NO_PHASE
    try:
        following = [[names.index(name) for name in phase.next or (phase.name,)] for phase in phases]
        for row, phase in enumerate(phases):
            table[row, PhaseWord.TICKS] = phase.ticks or 0
            table[row, PhaseWord.LIVE] = sum(1 << program.inputs.index(port) for port in phase.listens)
            table[row, PhaseWord.SENDS] = sum(1 << program.outputs.index(port) for port in phase.sends)
            table[row, PhaseWord.NEXT] = following[row][0]
    except ValueError as error:
        raise ConfigError(f"{program.name}: a phase names something undeclared: {error}") from error
    for port in range(spec.MAX_PORTS.value):
        table[: len(phases), PhaseWord.QUIET + port] = _quiet(phases, following, program.outputs[port : port + 1])
    return table


def _quiet(phases: Sequence[Phase], following: Sequence[Sequence[int]], port: Sequence[str]) -> list[int]:
    """Ticks that are certainly silent on `port` after the end of each phase: the shortest path to one that sends."""
    quiet = [FOREVER] * len(phases)
    for _ in phases:
        for row, successors in enumerate(following):
            for after in successors:
                speaks = bool(port) and port[0] in phases[after].sends
                ticks = phases[after].ticks
                wait = 0 if speaks else min(FOREVER, (ticks or FOREVER) + quiet[after])
                quiet[row] = min(quiet[row], wait)
    return quiet
