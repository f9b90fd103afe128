"""What the SDK's functions are in the PE's own code: stores to the communication unit, the exp/log unit's registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinn2emu import accelerators, sdk
from spinn2emu.arm.memory import CLOCK, COUNT, EXP_OPERAND, EXP_RESULT, LOG_OPERAND, LOG_RESULT, PAYLOAD, SEND
from spinn2emu.jit import Kernel, inlined, load_word, store_word
from spinn2emu.packets import PacketType, control_byte

_MC4, _MC16 = (control_byte(PacketType.MULTICAST, size) for size in (4, 16))
_SEND, _PAYLOAD, _CLOCK, _COUNT = SEND, PAYLOAD, CLOCK, COUNT
_EXP_OPERAND, _EXP_RESULT, _LOG_OPERAND, _LOG_RESULT = EXP_OPERAND, EXP_RESULT, LOG_OPERAND, LOG_RESULT


@inlined
def _send(pe, port, index, control, word0, word1, word2, word3):  # type: ignore[no-untyped-def]
    """As `sdk._send`. A key beyond the port's key space is noticed by whoever executes the code: the key's bits are
    flipped, not set, by the index."""
    if control >= _MC4:
        store_word(_PAYLOAD, word0)
    if control >= _MC16:
        store_word(_PAYLOAD + 4, word1)
        store_word(_PAYLOAD + 8, word2)
        store_word(_PAYLOAD + 12, word3)
    store_word(_SEND + 16 * port + np.int64(control >> 2), pe.sram.keys[port] ^ np.uint32(index))


@inlined
def exp(x):  # type: ignore[no-untyped-def]
    """As `accelerators.exp`."""
    store_word(_EXP_OPERAND, np.float32(x).view(np.uint32))
    return np.uint32(load_word(_EXP_RESULT)).view(np.float32)


@inlined
def log(x):  # type: ignore[no-untyped-def]
    """As `accelerators.log`."""
    store_word(_LOG_OPERAND, np.float32(x).view(np.uint32))
    return np.uint32(load_word(_LOG_RESULT)).view(np.float32)


@inlined
def set_level(pe, level):  # type: ignore[no-untyped-def]
    """As `sdk.set_level`. A level that does not exist is noticed by whoever executes the code."""
    store_word(_CLOCK, np.uint32(level))


@inlined
def no_count(pe, which, amount):  # type: ignore[no-untyped-def]
    """Counting is the emulator's, the PE's code has nothing of it."""


@inlined
def count(pe, which, amount):  # type: ignore[no-untyped-def]
    """As `sdk.count`, for code that runs on a chip of the emulator, whose meter wants to know."""
    store_word(_COUNT + 4 * np.int64(which), np.uint32(amount))


_SAME: Any = {sdk._send: _send, accelerators.exp: exp, accelerators.log: log, sdk.set_level: set_level}
STAND_INS: dict[Kernel, Kernel] = _SAME | {sdk.count: no_count}
ON_CHIP: dict[Kernel, Kernel] = _SAME | {sdk.count: count}
"""For code that is executed in place of the host's."""
