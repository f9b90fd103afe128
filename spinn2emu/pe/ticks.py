"""What happens around a tick: the phase machine and the decision whether the PE may go on.

Compiled into every program's entry (`entry.py`).
"""

from __future__ import annotations

import enum

from spinn2emu.frames import FOREVER
from spinn2emu.jit import inlined
from spinn2emu.packets import NO_PORT, PHASE_BEGINS, PORT_BITS
from spinn2emu.registers import NO_PHASE, PhaseWord, Register, Status, SystemError
from spinn2emu.sdk import Context


class Stop(enum.IntEnum):
    """Why a program's entry returned."""

    GO_ON = 0  # it did not
    ASK = 1  # it needs a grant for the next tick
    FLUSH = 2  # the transmit buffer is half full
    FAILED = 3  # the kernel reported an error


_GO_ON, _ASK, _FLUSH, _FAILED = (int(stop) for stop in Stop)
_STATUS, _TICK, _PHASE, _START, _END, _NEXT, _ERROR = (int(r) for r in list(Register)[:7])
_TICKS, _LIVE, _SENDS, _AFTER, _QUIET = (int(word) for word in PhaseWord)
_HORIZON, _LIMIT, _UNTIL = int(Context.HORIZON), int(Context.LIMIT), int(Context.UNTIL)
_GRANT_END, _GRANT_LIVE = int(Context.GRANT_END), int(Context.GRANT_LIVE)
_TX_COUNT, _TX_CAPACITY, _SEQUENCE = int(Context.TX_COUNT), int(Context.TX_CAPACITY), int(Context.SEQUENCE)
_RUNTIME_ERROR, _BAD_PHASE = int(Status.RUNTIME_ERROR), int(SystemError.PHASE)
_LAST_PHASE, _LAST_BEGIN, _PE = int(Context.LAST_PHASE), int(Context.LAST_BEGIN), int(Context.PE)
_NO_PORT, _PHASE_BEGINS, _PORT_BITS = NO_PORT, PHASE_BEGINS, PORT_BITS
_FOREVER, _NONE = FOREVER, NO_PHASE


@inlined
def promise(sys, phases, context, t):  # type: ignore[no-untyped-def]
    """Fixes, for every output port, the tick, t at the earliest, before which it will stay silent."""
    phase = sys[_PHASE]
    for port in range(phases.shape[1] - _QUIET):
        first = t
        if not phases[phase, _SENDS] >> port & 1:
            first = min(sys[_END] + 1 + phases[phase, _QUIET + port], _FOREVER)
        context[_HORIZON + port] = max(context[_HORIZON + port], first)


@inlined
def enter_phase(sys, phases, context, phase, t):  # type: ignore[no-untyped-def]
    """Starts `phase` in tick t."""
    sys[_PHASE] = phase
    sys[_START] = t
    sys[_END] = t + phases[phase, _TICKS] - 1 if phases[phase, _TICKS] > 0 else _FOREVER
    promise(sys, phases, context, t)


@inlined
def set_until(sys, phases, context):  # type: ignore[no-untyped-def]
    """How far the PE may run by itself: to the end of its grant, or of a phase in which it listens to nobody."""
    live = phases[sys[_PHASE], _LIVE]
    if live == 0:
        context[_UNTIL] = min(sys[_END], context[_LIMIT] - 1)
    elif live == context[_GRANT_LIVE]:
        context[_UNTIL] = min(sys[_END], context[_GRANT_END])
    else:
        context[_UNTIL] = sys[_TICK] - 1


@inlined
def begin_tick(pe, t):  # type: ignore[no-untyped-def]
    """Makes t the current tick. If a phase begins in it, the next report says so, for a trace; not if it is one of one
    tick that begins again, in which a PE waits.
    """
    sys, context = pe.sys, pe.context
    sys[_TICK] = t
    context[_SEQUENCE] = 0
    if t == sys[_START]:
        if sys[_PHASE] != context[_LAST_PHASE] or t != context[_LAST_BEGIN] + 1:
            note = pe.tx[context[_TX_COUNT]]
            note.control = _PHASE_BEGINS
            note.port = _NO_PORT
            note.source = context[_PE]
            note.origin = sys[_PHASE] << _PORT_BITS
            note.key = note.time = 0
            note.payload[0] = note.payload[1] = note.payload[2] = note.payload[3] = 0
            note.tick = t
            context[_TX_COUNT] += 1
        context[_LAST_PHASE] = sys[_PHASE]
        context[_LAST_BEGIN] = t


@inlined
def end_tick(pe, t, code):  # type: ignore[no-untyped-def]
    """Closes tick t, after which the program returned `code`; moves the phase on. Returns a Stop."""
    sys, phases, context = pe.sys, pe.phases, pe.context
    following = sys[_NEXT]
    if (following != _NONE and (following < 0 or following >= phases.shape[0] or phases[following, _TICKS] < 0)) or (
        following != _NONE and t < sys[_END] and phases[following, _LIVE] != phases[sys[_PHASE], _LIVE]
    ):
        code = _BAD_PHASE
    if code == 0:
        code = sys[_ERROR]
    if code != 0:
        sys[_ERROR] = code
        sys[_STATUS] = _RUNTIME_ERROR
        return _FAILED
    sys[_TICK] = t + 1
    if following != _NONE:
        enter_phase(sys, phases, context, following, t + 1)
        sys[_NEXT] = _NONE
    elif t == sys[_END]:
        enter_phase(sys, phases, context, phases[sys[_PHASE], _AFTER], t + 1)
    set_until(sys, phases, context)
    if t + 1 > context[_UNTIL]:
        return _ASK
    if context[_TX_COUNT] > context[_TX_CAPACITY] // 2:
        return _FLUSH
    return _GO_ON
