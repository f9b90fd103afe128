"""How much instruction memory programs take, and that it is not more than a PE has.

Compiling for the PE takes seconds, so a load does it only where the host's code is so long that the PE's could be too
long, or if it is asked to. Otherwise a size is known if anybody has compiled the program before, or counted its cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from spinn2emu import geometry
from spinn2emu.arm.sizes import find_size
from spinn2emu.chip.declare import Declaration
from spinn2emu.chip.loading import Assignment
from spinn2emu.errors import ConfigError, ProgramError
from spinn2emu.memory_map import MemoryMap

SUSPECT_BYTES = 16 * 1024
"""Of the host's code. The PE's own has 0.3 to 2 times as many bytes, helpers included: shipped programs, and a test."""


def check_code(assignments: Iterable[Assignment], every: bool, report: Callable[[str], None]) -> None:
    """Compiles for the PE what may be too long for it, or, if `every`, all whose size is not known.

    Raises SramOverflow, with the code's map, for more than fits; if `every`, ProgramError for what cannot be compiled.
    """
    from spinn2emu.arm.build import Order, make

    for assignment in {assignment.program.code: assignment for assignment in assignments}.values():
        known, name = code_bytes(assignment.program), assignment.program.name
        if known or (known == 0 and not every) or not (every or assignment.loaded.host_bytes > SUSPECT_BYTES):
            continue
        report(f"compiling {name} for the PE, to see how much of its instruction memory it takes")
        try:
            make([Order(name, assignment.memory, assignment.folders)])
        except ConfigError as error:
            if every or not isinstance(error, ProgramError):
                text = f"PE {geometry.name(assignment.pe)}: {error.message}"
                raise type(error)(text, **({"pe": assignment.pe} | error.fields)) from error


def code_bytes(program: Declaration) -> int | None:
    """Bytes of instruction memory, 0 if it cannot be compiled for the PE; None: not known."""
    if program.cost is not None and program.cost.code_bytes:
        return program.cost.code_bytes
    size = find_size(program.code)
    return None if size is None else size.nbytes


def with_code(program: Declaration) -> MemoryMap:
    """Where its regions lie, with the size of its code as far as that is known now."""
    return replace(program.memory, code_bytes=code_bytes(program) or None)
