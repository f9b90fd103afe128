"""From a load request to linked, initialised PEs."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pydantic

from spinn2emu import geometry, spec
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.trial import try_out
from spinn2emu.errors import ConfigError, ProgramError, Spinn2Error, describe
from spinn2emu.frames import FOREVER
from spinn2emu.memory_map import MemoryMap, from_wire
from spinn2emu.packets import PAYLOAD_BYTES
from spinn2emu.pe.entry import compile_entry
from spinn2emu.pe.process import Image, prepare
from spinn2emu.program import Fifo, Phase, Program, load_program
from spinn2emu.registers import NO_PHASE, PhaseWord, Register, kiss_seed
from spinn2emu.router.state import DRAINS, MAX_FILTERS, POLICIES, Endpoint
from spinn2emu.sram import link


class Loaded(NamedTuple):
    """A program with one set of parameters, linked and compiled."""

    program: Program
    parameters: Any
    memory: MemoryMap
    initial: dict[str, Any]
    phases: np.ndarray
    fifo: Fifo
    entry: Any


Range = tuple[int, int]
"""A set of keys: (key, mask)."""


class Assignment(NamedTuple):
    """One PE's program, ports and data, as the load request has them. `data`: initial contents of regions by name."""

    pe: int
    loaded: Loaded
    inputs: dict[str, list[Range]]
    outputs: dict[str, Range]
    data: dict[str, np.ndarray]


def link_all(request: Sequence[dict[str, Any]], one_tick: bool = False, strict: bool = False) -> list[Assignment]:
    """Links and compiles every program of the request, each set of parameters once; options as in `compile_entry`.

    Raises ConfigError, SramOverflow or ProgramError; nothing has been started then.
    """
    done: dict[str, Loaded] = {}
    assignments: list[Assignment] = []
    for item in request:
        pe = item["pe"]
        if pe not in geometry.PE_IDS or any(pe == other.pe for other in assignments):
            raise ConfigError(f"PE id {pe!r} is not on the chip or has two programs", pe=pe)
        key = json.dumps([item["program"], item["parameters"]], sort_keys=True)
        if key not in done:
            load = partial(_link, item["program"], item["parameters"], one_tick, strict)
            try:
                if item["program"].endswith(".py"):
                    prepare()  # here, so that the child does not begin with it
                    try_out(item["program"], load)
                done[key] = load()
            except Spinn2Error as error:
                raise type(error)(f"PE {geometry.name(pe)}: {error.message}", pe=pe, **error.fields) from error
        loaded = done[key]
        data = {name: _data(loaded, pe, name, wire) for name, wire in item.get("data", {}).items()}
        assignments.append(connect(Assignment(pe, loaded, {}, {}, data), item))
    return assignments


def connect(assignment: Assignment, ports: dict[str, Any]) -> Assignment:
    """The PE with the ports of a request: `inputs` {name: [[key, mask], …]}, `outputs` {name: [key, mask]}."""
    program = assignment.loaded.program
    inputs = {name: [_range(program, name, r) for r in value] for name, value in ports.get("inputs", {}).items()}
    outputs = {name: _range(program, name, value) for name, value in ports.get("outputs", {}).items()}
    for what, given, declared in (("inputs", inputs, program.inputs), ("outputs", outputs, program.outputs)):
        for name in given:
            if name not in declared:
                known = ", ".join(declared) or "none"
                raise ConfigError(f"{program.name} has no port {name!r} among its {what}: {known}", pe=assignment.pe)
    if sum(map(len, inputs.values())) > MAX_FILTERS:
        raise ConfigError(
            f"PE {geometry.name(assignment.pe)}: its input ports need {sum(map(len, inputs.values()))} filters, "
            f"{MAX_FILTERS} are possible: let neighbouring keys share a mask", pe=assignment.pe, limit=MAX_FILTERS,
        )  # fmt: skip
    return assignment._replace(inputs=inputs, outputs=outputs)


def _range(program: Program, port: str, value: Sequence[int]) -> Range:
    key, mask = map(int, value)
    if key & ~mask or not 0 <= mask < 1 << 32 or key < 0:
        raise ConfigError(f"{program.name}, port {port!r}: key {key:#x} has bits outside mask {mask:#x}")
    return key, mask


def _data(loaded: Loaded, pe: int, name: str, wire: Sequence[Any]) -> np.ndarray:
    try:
        symbol = loaded.memory.find(name)
        return symbol.fit(from_wire(wire), whole=True)
    except ConfigError as error:
        raise ConfigError(f"PE {geometry.name(pe)}: {error.message}", pe=pe, **error.fields) from error


def _link(name: str, values: dict[str, Any], one_tick: bool, strict: bool) -> Loaded:
    program = load_program(name)
    try:
        parameters = program.parameters.model_validate(values)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{name}: {describe(error)}", program=name) from error
    try:
        program = program.with_ports(parameters)
        memory, initial = link(program, parameters)
        phases = phase_table(program, program.phase_list(parameters))
        fifo = _check_fifo(program, program.fifo_of(parameters))
    except Spinn2Error:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} (line {where.lineno} of {where.filename})"
        raise ProgramError(f"{name}: its declaration fails: {text}", program=name) from error
    entry = compile_entry(program, memory.symbols, one_tick, strict)
    return Loaded(program, parameters, memory, initial, phases, fifo, entry)


def _check_fifo(program: Program, fifo: Fifo) -> Fifo:
    known = fifo.payload_bytes in PAYLOAD_BYTES and fifo.policy in POLICIES and fifo.drain in DRAINS
    if fifo.depth < 1 or not known:
        raise ProgramError(
            f"{program.name}: {fifo} needs a depth of at least 1, a payload of {PAYLOAD_BYTES} bytes, a policy of "
            f"{POLICIES} and a drain of {DRAINS}", program=program.name,
        )  # fmt: skip
    return fifo


UNUSED = (0xFFFFFFFF, 0xFFFFFFFF)
"""Key and mask of a port that is connected to nothing."""


def endpoint(assignment: Assignment) -> Endpoint:
    """What the network must know of the PE."""
    loaded = assignment.loaded
    return Endpoint(
        assignment.pe,
        tuple(
            (port, *keys) for port, name in enumerate(loaded.program.inputs) for keys in assignment.inputs.get(name, ())
        ),
        tuple(assignment.outputs.get(name, UNUSED) for name in loaded.program.outputs),
        loaded.fifo,
    )


def image(assignment: Assignment) -> Image:
    """What the PE's process must know."""
    loaded = assignment.loaded
    return Image(assignment.pe, loaded.program.name, loaded.memory, loaded.entry.address, loaded.program.tick)


def initialise(assignment: Assignment, memory: ChipMemory, tick: int) -> None:
    """Writes the PE's SRAM anew: the system registers, for a program that begins in `tick`, and the regions."""
    loaded, sram = assignment.loaded, memory.sram[assignment.pe]
    sram[:] = 0
    views = {symbol.name: symbol.view(sram) for symbol in loaded.memory.symbols}
    views["sys"][Register.TICK] = tick
    views["sys"][Register.PHASE] = NO_PHASE
    views["sys"][Register.NEXT_PHASE] = NO_PHASE
    views["random"][:] = kiss_seed(assignment.pe)
    views["phases"][:] = loaded.phases
    for name, value in (loaded.initial | assignment.data).items():
        views[name][...] = value
    write_keys(assignment, memory)


def write_keys(assignment: Assignment, memory: ChipMemory) -> None:
    """Writes the keys of the output ports into the PE's SRAM."""
    loaded, sram = assignment.loaded, memory.sram[assignment.pe]
    views = {name: loaded.memory[name].view(sram) for name in ("keys", "spaces")}
    for port, name in enumerate(loaded.program.outputs):
        key, mask = assignment.outputs.get(name, UNUSED)
        views["keys"][port], views["spaces"][port] = key, ~mask & 0xFFFFFFFF
        if name not in assignment.outputs:
            views["spaces"][port] = 0xFFFFFFFF


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
