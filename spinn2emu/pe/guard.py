"""Who may touch a PE's SRAM: its kernel during an activation, the host in between; neither sees the other's half work.

Both sides raise their flag first and look at the other's then (Dekker), with sequentially consistent atomics, so one
of them sees the other in any case; the PE gives way.
"""

from __future__ import annotations

import enum
from typing import Any

from numba import types

from spinn2emu.jit import atomic_exchange, atomic_load, compiled, inlined

GUARD_WORDS = 8
"""int64 words per PE: a cache line, so that PEs on different cores do not disturb each other."""


class Guard(enum.IntEnum):
    """Index into the guard words of a PE. They are no SRAM: how a PE is scheduled shows in them."""

    BUSY = 0  # 1: the PE is active
    HOLD = 1  # 1: the host reads or writes
    ACTIVATIONS = 2


_BUSY, _HOLD, _ACTIVATIONS = int(Guard.BUSY), int(Guard.HOLD), int(Guard.ACTIVATIONS)
_PAUSE_US = 20
_usleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


@inlined
def enter(guard):  # type: ignore[no-untyped-def]
    """The PE begins an activation, once the host is out of its SRAM."""
    busy, hold = guard.ctypes.data + 8 * _BUSY, guard.ctypes.data + 8 * _HOLD
    atomic_exchange(busy, 1)
    while atomic_load(hold):
        atomic_exchange(busy, 0)
        _usleep(_PAUSE_US)
        atomic_exchange(busy, 1)
    guard[_ACTIVATIONS] += 1


@inlined
def leave(guard):  # type: ignore[no-untyped-def]
    """The activation ends."""
    atomic_exchange(guard.ctypes.data + 8 * _BUSY, 0)


@compiled
def hold(guard):  # type: ignore[no-untyped-def]
    """The host asks for the SRAM. Returns whether the PE is still active; it does not begin another activation."""
    atomic_exchange(guard.ctypes.data + 8 * _HOLD, 1)
    return atomic_load(guard.ctypes.data + 8 * _BUSY) != 0


@compiled
def release(guard):  # type: ignore[no-untyped-def]
    """The host is done."""
    atomic_exchange(guard.ctypes.data + 8 * _HOLD, 0)


@compiled
def enter_from_python(guard):  # type: ignore[no-untyped-def]
    """`enter` for the plain Python loop."""
    enter(guard)


@compiled
def leave_from_python(guard):  # type: ignore[no-untyped-def]
    """`leave` for the plain Python loop."""
    leave(guard)
