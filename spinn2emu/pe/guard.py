"""Who may touch a PE's SRAM: its kernel during an activation, the host in between; neither sees the other's half work.

Both sides raise their flag first and look at the other's then (Dekker), with sequentially consistent atomics, so one
of them sees the other in any case; the PE gives way.
"""

from __future__ import annotations

import numpy as np

from spinn2emu.jit import address_of, atomic_exchange, atomic_load, inlined, native, usleep

GUARD = np.dtype([
    ("busy", "<i8"),  # 1: the PE is active
    ("hold", "<i8"),  # 1: the host reads or writes
    ("activations", "<i8"),
    ("reserved", "<i8", (5,)),  # a cache line, so that PEs on different cores do not disturb each other
])  # fmt: skip
"""The guard words of a PE. They are no SRAM: how a PE is scheduled shows in them."""

_BUSY, _HOLD = (GUARD.fields[name][1] for name in ("busy", "hold"))  # type: ignore[index]
_PAUSE_US = 20


@inlined
def enter(guard):  # type: ignore[no-untyped-def]
    """The PE begins an activation, once the host is out of its SRAM."""
    busy, hold = address_of(guard) + _BUSY, address_of(guard) + _HOLD
    atomic_exchange(busy, 1)
    while atomic_load(hold):
        atomic_exchange(busy, 0)
        usleep(_PAUSE_US)
        atomic_exchange(busy, 1)
    guard.activations += 1


@inlined
def leave(guard):  # type: ignore[no-untyped-def]
    """The activation ends."""
    atomic_exchange(address_of(guard) + _BUSY, 0)


HOLD, RELEASE, ENTER, LEAVE = range(4)


@native(GUARD, int)
def guarded(guard, what):  # type: ignore[no-untyped-def]
    """From Python. HOLD: the host asks for the SRAM; returns whether the PE is still active; it does not begin another
    activation. RELEASE: the host is done. ENTER, LEAVE: the PE, for its loop in plain Python.
    """
    if what == HOLD:
        atomic_exchange(address_of(guard) + _HOLD, 1)
        return atomic_load(address_of(guard) + _BUSY)
    if what == RELEASE:
        atomic_exchange(address_of(guard) + _HOLD, 0)
    elif what == ENTER:
        enter(guard)
    else:
        leave(guard)
    return 0
