"""PEs whose tick is another than the host's compiled one: Cortex-M4 code, or one whose activations are recorded.

Both stand where the compiled tick is called, a C function of the context's address, and are in Python.
"""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from spinn2emu import geometry
from spinn2emu.arm.link import Image as Code
from spinn2emu.chip import loading
from spinn2emu.chip.application import Application
from spinn2emu.chip.loading import Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.pe.note import put_note
from spinn2emu.pe.process import Image
from spinn2emu.refused import refusal

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
_kept: list[Any] = []
"""What C calls must not be forgotten by Python."""


def arm_codes(application: Application, pes: Collection[int], report: Callable[[str], None]) -> dict[int, Code]:
    """The code of the PEs that execute it, by id; `pes`: beside those whose assignment says so.

    Raises ConfigError without unicorn, ProgramError or SramOverflow for what cannot be compiled for the PE.
    """
    chosen = [assignment for assignment in application.awake if assignment.arm or assignment.pe in pes]
    if not chosen:
        return {}
    from spinn2emu.arm.build import Order, make
    from spinn2emu.arm.machine import engine

    engine()
    orders = {
        a.program.code: Order(a.memory.program, a.memory, a.folders, on_chip=True)
        for a in chosen if a.program.code not in _codes
    }  # fmt: skip
    if orders:
        report(f"compiling {', '.join(dict.fromkeys(order.program for order in orders.values()))} for the PE")
        _codes.update((code, made.image) for code, made in zip(orders, make(list(orders.values())), strict=True))
    return {a.pe: replace(_codes[a.program.code], program=a.program.name) for a in chosen}


_codes: dict[str, Code] = {}
"""What was compiled before, by fingerprint: processes are started anew after every signal."""


def instead(assignment: Assignment, memory: ChipMemory, code: Code | None, record: Sequence[Any]) -> Image:
    """The image of a PE, with the tick that it runs: `code`, if it executes that, or one that is recorded.

    To be called in the PE's process.
    """
    image, pe = loading.image(assignment), assignment.pe
    sram, note = memory.sram[pe], partial(put_note, memory.notes[pe])
    make: Callable[[str, int], Callable[[int], int]]
    if code is not None:
        from spinn2emu.arm.execution import ArmTick

        core = ArmTick(code, image.memory, sram, note)

        def make(entry: str, address: int) -> Callable[[int], int]:
            return partial(core.call, entry)

    elif record and pe in record[1]:
        from spinn2emu.arm.activations import Recorder, Recording

        program = assignment.program
        phases = tuple(phase.name for phase in program.phases)
        recording = Recording(program.name, pe, image.memory, phases, program.inputs, tuple(program.counts))
        recorder = Recorder(Path(record[0]) / f"{geometry.name(pe)}.activations", record[2], recording)

        def make(entry: str, address: int) -> Callable[[int], int]:
            return partial(recorder.call, entry, _ENTRY(address), sram)

    else:
        return image
    return image._replace(
        tick_address=_address(make("tick", image.tick_address), note),
        drain_address=image.drain_address and _address(make("drain", image.drain_address), note),
    )


def _address(call: Callable[[int], int], note: Callable[[str], None]) -> int:
    """Of a C function that calls a function of Python. If that raises, the process ends, with a note: C would go on."""

    def checked(address: int) -> int:
        try:
            return call(address)
        except BaseException as error:
            note(refusal(error) or f"{type(error).__name__}: {error}")
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    function = _ENTRY(checked)
    _kept.append(function)
    return ctypes.cast(function, ctypes.c_void_p).value or 0
