"""Why a chip has failed, in words: a kernel returned an error, a process died, the network stopped."""

from __future__ import annotations

from spinn2emu import geometry, spec
from spinn2emu.chip import logs
from spinn2emu.chip.loading import Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.processes import Child
from spinn2emu.errors import ChipStuck, PeDied, PeFailed, Spinn2Error
from spinn2emu.pe.note import read_note
from spinn2emu.refused import refusal
from spinn2emu.registers import SYSTEM_ERRORS, SYSTEM_NAMES, Register
from spinn2emu.router.state import Fault

_OUT_OF_RANGE = "an index out of range (`boot --strict` finds the line)"
_SIGNALS = {
    "SIGSEGV": f"it has reached beyond its SRAM, by {_OUT_OF_RANGE} or a recursion without end",
    "SIGBUS": f"it has reached beyond its SRAM, by {_OUT_OF_RANGE}",
    "SIGABRT": f"its memory is damaged, perhaps by {_OUT_OF_RANGE}",
    "SIGILL": f"its memory is damaged, perhaps by {_OUT_OF_RANGE}",
}
"""What signals say of a kernel."""


def as_error(error: Exception, what: str) -> Spinn2Error:
    """The error of an operation `what` that failed here: the system's refusal, or a fault of the emulator."""
    if isinstance(error, Spinn2Error):
        return error
    if reason := refusal(error):
        return Spinn2Error(f"{what} failed: {reason}", op=what)
    text = f"{what} failed in the chip's supervisor, which is a fault of spinn2emu; please report it"
    return Spinn2Error(f"{text}: {type(error).__name__}: {error}", op=what)


def pe_failed(memory: ChipMemory, assignment: Assignment) -> PeFailed:
    """The error of a PE whose kernel returned an error code."""
    program, sram = assignment.program, memory.sram[assignment.pe]
    sys, log = (program.memory[name].view(sram) for name in ("sys", "log"))
    registers = (Register.ERROR, Register.FAULT, Register.TICK, Register.LOG_COUNT)
    own, fault, tick, count = (int(sys[register]) for register in registers)
    if own:
        code, whose = own, "code" if own > 0 else "a code of its own,"
        text = program.errors.get(own, "the program declares no text for this code")
    else:
        code, whose = fault, "code"
        damaged = f"its system registers were overwritten, by {_OUT_OF_RANGE}"
        text = read_note(memory.notes[assignment.pe]) or SYSTEM_ERRORS.get(fault, damaged)
    tail = logs.entries(log, count, max(0, count - min(5, len(log))), program.logs)
    lines = [logs.line(entry) for entry in tail]
    return PeFailed(
        f"PE {assignment.who} failed in tick {tick} with {whose} {code}: {text}"
        + "".join(f"\n  log: {line}" for line in lines),
        pe=assignment.pe, name=geometry.name(assignment.pe), program=program.name, tick=tick, code=code,
        fault=None if own else SYSTEM_NAMES.get(fault, ""), log=lines, population=assignment.population or None,
    )  # fmt: skip


def process_died(memory: ChipMemory, child: Child, assignment: Assignment | None, cause: str, slowest: int) -> PeDied:
    """The error of a process that ended by itself: of a PE with its program, or a router. `slowest`: the lowest tick of
    any PE.
    """
    program, tick, who = "", slowest, f"the {child.label} process died"
    if assignment is not None:
        tick = int(assignment.memory["sys"].view(memory.sram[child.pe])[Register.TICK])
        program = assignment.program.name
        who = f"PE {assignment.who} died in tick {tick}"
        why = read_note(memory.notes[child.pe]) or _SIGNALS.get(cause.removeprefix("killed by "))
        cause += f": {why}" if why else ""
    return PeDied(f"{who}: {cause}", pe=child.pe, name=child.label, program=program, tick=tick, cause=cause,
                  population=(assignment and assignment.population) or None)  # fmt: skip


def network_stopped(fault: Fault, assignment: Assignment | None) -> ChipStuck:
    """The error of a router that cannot go on, because of a PE if it knows which."""
    limit, pe, who = spec.FRAME_PACKETS.value, 0, ""
    if assignment is not None:
        pe = assignment.pe
        who = f" at PE {assignment.who}"
    if fault == Fault.QUEUE_FULL:
        cause = f"more than {limit} packets wait for it; let its sources send less ahead of it"
    else:
        cause = f"a frame that it has sent is damaged, perhaps by {_OUT_OF_RANGE}"
    return ChipStuck(f"the network stopped{who}: {cause}", pe=pe, limit=limit)
