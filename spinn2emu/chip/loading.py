"""From a load request to linked, initialised PEs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spinn2emu import geometry
from spinn2emu.chip.declare import Declaration
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.workshop import Loaded, Order, make_all
from spinn2emu.errors import ConfigError
from spinn2emu.levels import DEFAULT_LEVEL, level_number
from spinn2emu.memory_map import MemoryMap, from_wire
from spinn2emu.packets import varying_bits
from spinn2emu.pe import meter
from spinn2emu.pe.process import Image
from spinn2emu.population import label
from spinn2emu.program import fifo_of_ports
from spinn2emu.progress import tell
from spinn2emu.registers import NO_PHASE, Register, kiss_seed
from spinn2emu.router.state import MAX_FILTERS, Endpoint

SEED_STEP = 0xD1342543DE82EF95
"""Odd, so that all seeds of 64 bits differ; far from the step of SplitMix64 (own choice)."""
Range = tuple[int, int]
"""A set of keys: (key, mask)."""


class Assignment(NamedTuple):
    """One PE's program, ports and data, as the load request has them. `data`: initial contents of regions by name;
    `number`: the PE's in its population, of `total` PEs; `population`: its name, or none; `first`: number in it of the
    PE's first neuron."""

    pe: int
    loaded: Loaded
    inputs: dict[str, list[Range]]
    outputs: dict[str, Range]
    data: dict[str, np.ndarray]
    number: int = 0
    total: int = 1
    index_bits: Mapping[str, int] = {}
    """By input port, where they are not those in which the port's keys differ."""
    population: str = ""
    first: int = 0
    arm: bool = False
    """It is executed as Cortex-M4 code."""
    folders: tuple[str, ...] = ()
    """Where its modules are looked for."""
    level: int = level_number(DEFAULT_LEVEL)
    """At which it begins, by number."""

    @property
    def program(self) -> Declaration:
        """What its program declares."""
        return self.loaded.program

    @property
    def who(self) -> str:
        """The PE, with its program and population, for messages."""
        population = f", population {label(self.population, self.first)}" if self.population else ""
        return f"{geometry.name(self.pe)} ({self.program.name}{population})"

    @property
    def memory(self) -> MemoryMap:
        """Where its regions lie."""
        return self.loaded.program.memory


def load_all(
    request: Sequence[Mapping[str, Any]], path: Sequence[str] = (), strict: bool = False,
    report: Callable[[str], None] = tell, level: str = DEFAULT_LEVEL,
) -> list[Assignment]:  # fmt: skip
    """Links and compiles every program of the request, each set of parameters once; strict: as in `compiled_entry`.

    path: the folders where modules are looked for, beside those of the installation. report: see `workshop.make_all`.
    level: of PEs whose item does not say.

    Raises ConfigError, SramOverflow or ProgramError; nothing has been started then.
    """
    orders: dict[str, Order] = {}
    seen = set()
    for item in request:
        pe = item["pe"]
        if pe not in geometry.PE_IDS or pe in seen:
            raise ConfigError(f"PE id {pe!r} is not on the chip or has two programs", pe=pe)
        seen.add(pe)
        orders.setdefault(_key(item), Order(pe, item["program"], item["parameters"]))
    made = dict(zip(orders, make_all(list(orders.values()), path, strict, report), strict=True))
    return [_assign(item, made[_key(item)], level)._replace(folders=tuple(path)) for item in request]


def _key(item: Mapping[str, Any]) -> str:
    return json.dumps([item["program"], item["parameters"]], sort_keys=True)


def _assign(item: Mapping[str, Any], loaded: Loaded, level: str) -> Assignment:
    pe = item["pe"]
    data = {name: _data(loaded, pe, name, wire) for name, wire in item.get("data", {}).items()}
    assignment = Assignment(
        pe, loaded, {}, {}, data, int(item.get("index", 0)), int(item.get("size", 1)),
        population=item.get("population", ""), first=item.get("first", 0), arm=bool(item.get("arm")),
        level=level_number(item.get("level") or level),
    )  # fmt: skip
    return connect(assignment, item)


def connect(assignment: Assignment, ports: Mapping[str, Any]) -> Assignment:
    """The PE with the ports of a request: `inputs` {name: [[key, mask], …]}, `outputs` {name: [key, mask]}."""
    program = assignment.program
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
    bits = {name: int(value) for name, value in ports.get("index_bits", {}).items()}
    return assignment._replace(inputs=inputs, outputs=outputs, index_bits=bits)


def _range(program: Declaration, port: str, value: Sequence[int]) -> Range:
    key, mask = map(int, value)
    if key & ~mask or not 0 <= mask < 1 << 32 or key < 0:
        raise ConfigError(f"{program.name}, port {port!r}: key {key:#x} has bits outside mask {mask:#x}")
    return key, mask


def _data(loaded: Loaded, pe: int, name: str, wire: Sequence[Any]) -> np.ndarray:
    try:
        symbol = loaded.program.memory.find(name)
        return symbol.fit(from_wire(wire), whole=True)
    except ConfigError as error:
        raise ConfigError(f"PE {geometry.name(pe)}: {error.message}", pe=pe, **error.fields) from error


UNUSED = (0xFFFFFFFF, 0xFFFFFFFF)
"""Key and mask of a port that is connected to nothing."""


def endpoint(assignment: Assignment) -> Endpoint:
    """What the network must know of the PE."""
    program = assignment.program
    return Endpoint(
        assignment.pe,
        tuple((port, *keys) for port, name in enumerate(program.inputs) for keys in assignment.inputs.get(name, ())),
        tuple(assignment.outputs.get(name, UNUSED) for name in program.outputs),
        program.fifos, tuple(fifo_of_ports(program.fifos, program.inputs)),
    )  # fmt: skip


def image(assignment: Assignment) -> Image:
    """What the PE's process must know."""
    program, loaded = assignment.program, assignment.loaded
    drains = tuple(
        (sum(1 << port for port, fifo in enumerate(fifo_of_ports(program.fifos, program.inputs)) if fifo == number),
         fifo.fill_level) for number, fifo in enumerate(program.fifos) if fifo.drain == "interrupt"
    )  # fmt: skip
    entries = loaded.tick_address, loaded.drain_address
    return Image(assignment.pe, program.name, assignment.memory, *entries, drains, len(program.counts))


def initialise(assignment: Assignment, memory: ChipMemory, tick: int, seed: int = 0) -> None:
    """Writes the PE's SRAM anew: the system registers, for a program that begins in `tick`, and the regions; `seed`:
    the chip's.
    """
    program, sram = assignment.program, memory.sram[assignment.pe]
    memory.clear_sram(assignment.pe)
    views = {symbol.name: symbol.view(sram) for symbol in program.memory.symbols}
    views["sys"][Register.TICK] = tick
    views["sys"][[Register.PHASE, Register.NEXT_PHASE]] = NO_PHASE
    views["sys"][[Register.PE, Register.INDEX, Register.SIZE]] = assignment.pe, assignment.number, assignment.total
    views["random"][:] = kiss_seed(assignment.pe + seed * SEED_STEP)
    views["phases"][:] = program.phase_table
    for name, value in (dict(program.initial) | assignment.data).items():
        views[name][...] = value
    write_keys(assignment, memory)


def prepare_meter(assignment: Assignment, memory: ChipMemory, on: bool) -> None:
    """The PE's meter begins at 0, with what is known of its program's cycles."""
    program, cost = assignment.program, assignment.program.cost
    memory.metered |= on and cost is not None
    phases = [phase.name for phase in program.phases]
    meter.prepare_meter(memory.meter(assignment.pe), cost, phases, program.inputs, program.counts, assignment.level, on)


def write_keys(assignment: Assignment, memory: ChipMemory) -> None:
    """Writes what a program must know of its ports' keys into the PE's SRAM."""
    sram, names = memory.sram[assignment.pe], ("keys", "spaces", "index_bits")
    keys, spaces, bits = (assignment.memory[name].view(sram) for name in names)
    for port, name in enumerate(assignment.program.inputs):
        bits[port] = assignment.index_bits.get(name, varying_bits(assignment.inputs.get(name, ())))
    for port, name in enumerate(assignment.program.outputs):
        key, mask = assignment.outputs.get(name, UNUSED)
        keys[port], spaces[port] = key, ~mask & 0xFFFFFFFF
        if name not in assignment.outputs:
            spaces[port] = 0xFFFFFFFF
