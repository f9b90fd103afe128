"""A PE of a running chip whose program runs as Cortex-M4 code, or whose activations are recorded.

Both stand where the compiled tick is called: a C function of the context's address, in Python.
"""

from __future__ import annotations

import ctypes
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import sdk
from spinn2emu.arm.activations import Context
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import Machine
from spinn2emu.errors import Spinn2Error
from spinn2emu.memory_map import DATA_BASE, DATA_END, MemoryMap
from spinn2emu.packets import PacketType, control_byte
from spinn2emu.pe.check import as_python
from spinn2emu.registers import SYSTEM, Register, SystemError

TICK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
_CONTROL = [control_byte(PacketType.MULTICAST, size) for size in (0, 4, 8, 16)]


class ArmTick:
    """The tick of a program as Cortex-M4 code on a PE's own SRAM. What it gives to the communication unit, the SDK's
    own function sends."""

    def __init__(self, image: Image, memory: MemoryMap, sram: NDArray[np.uint8], note: Callable[[str], None]) -> None:
        self.machine = Machine(image, memory, sram[DATA_BASE:DATA_END], sdk.TX_PACKETS * 8)
        self.note = note
        self.system: Any = sram[DATA_BASE:][: SYSTEM.itemsize].view(SYSTEM).view(np.recarray)[0]
        self.sys = memory["sys"].view(sram)
        self.send = as_python(sdk._send.py_func)  # type: ignore[attr-defined]
        self.handle = namedtuple("Handle", ["sram", "log", "tx", "context"])

    def call(self, address: int) -> int:
        """One tick."""
        context = Context(address)
        try:
            code = self.machine.run("tick", context.due())
        except Spinn2Error as error:
            self.note(error.message)
            self.sys[Register.FAULT] = SystemError.EXCEPTION
            return 0
        pe = self.handle(self.system, None, context.transmit_buffer().view(np.recarray), context.record)
        for port, size, key, payload in self.machine.sent:
            words = (np.uint32(word) for word in (*payload, 0, 0, 0, 0)[:4])
            with np.errstate(all="ignore"):
                self.send(pe, port, key ^ int(self.system.keys[port]), _CONTROL[size], *words)
        return code
