"""A tick that runs as Cortex-M4 code on the SRAM of a PE of a running chip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import sdk
from spinn2emu.arm.activations import Context
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import Counted, Machine, Sent
from spinn2emu.errors import Spinn2Error
from spinn2emu.memory_map import DATA_BASE, DATA_END, MemoryMap
from spinn2emu.packets import PacketType, control_byte
from spinn2emu.pe.check import as_python
from spinn2emu.registers import SYSTEM, Register, SystemError

_SDK: tuple[Any, ...] = (sdk._send, sdk.count, sdk.set_level)
_CONTROL = [control_byte(PacketType.MULTICAST, size) for size in (0, 4, 8, 16)]


class ArmTick:
    """The tick of a program as Cortex-M4 code on a PE's own SRAM. What it gives to the communication unit, the SDK's
    own function sends."""

    def __init__(self, image: Image, memory: MemoryMap, sram: NDArray[np.uint8], note: Callable[[str], None]) -> None:
        self.machine = Machine(image, memory, sram[DATA_BASE:DATA_END], sdk.TX_PACKETS * 8)
        self.note = note
        self.system: Any = sram[DATA_BASE:][: SYSTEM.itemsize].view(SYSTEM).view(np.recarray)[0]
        self.sys = memory["sys"].view(sram)
        self.send, self.count, self.set_level = (as_python(kernel.py_func) for kernel in _SDK)

    def call(self, entry: str, address: int) -> int:
        """One tick, or drain."""
        context = Context(address)
        try:
            code = self.machine.run(entry, context.due())
        except Spinn2Error as error:
            self.note(error.message)
            self.sys[Register.FAULT] = SystemError.EXCEPTION
            return 0
        pe = sdk.Pe(self.system, None, context.transmit_buffer().view(np.recarray), context.record)
        with np.errstate(all="ignore"):
            for what in self.machine.done:
                if isinstance(what, Sent):
                    words = (np.uint32(word) for word in (*what.payload, 0, 0, 0, 0)[:4])
                    index = what.key ^ int(self.system.keys[what.port])
                    self.send(pe, what.port, index, _CONTROL[what.code], *words)
                elif isinstance(what, Counted):
                    self.count(pe, what.which, what.amount)
                else:
                    self.set_level(pe, what.level)
        return code
