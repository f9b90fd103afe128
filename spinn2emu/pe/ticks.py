"""What happens around a tick: the phase machine and the decision whether the PE may go on; compiled."""

from __future__ import annotations

import enum

from spinn2emu import spec
from spinn2emu.frames import FOREVER
from spinn2emu.jit import inlined, record_at
from spinn2emu.packets import NO_PORT, PACKET, PHASE_BEGINS, PORT_BITS
from spinn2emu.registers import NO_PHASE, PhaseWord, Status, SystemError
from spinn2emu.sdk import TX_PACKETS


class Stop(enum.IntEnum):
    """Why the PE runs no further tick now."""

    GO_ON = 0  # it does
    ASK = 1  # it needs a grant for the next tick
    FLUSH = 2  # the transmit buffer is half full
    FAILED = 3  # the kernel reported an error


_GO_ON, _ASK, _FLUSH, _FAILED = int(Stop.GO_ON), int(Stop.ASK), int(Stop.FLUSH), int(Stop.FAILED)
_TICKS, _LIVE, _SENDS = int(PhaseWord.TICKS), int(PhaseWord.LIVE), int(PhaseWord.SENDS)
_AFTER, _QUIET = int(PhaseWord.NEXT), int(PhaseWord.QUIET)
_NO_PORT, _PHASE_BEGINS, _PORT_BITS = NO_PORT, PHASE_BEGINS, PORT_BITS
_PACKET_BYTES = PACKET.itemsize
_RUNTIME_ERROR, _BAD_PHASE = int(Status.RUNTIME_ERROR), int(SystemError.PHASE)
_FOREVER, _NONE, _PORTS, _PHASES, _HALF = (
    FOREVER,
    NO_PHASE,
    spec.MAX_PORTS.value,
    spec.MAX_PHASES.value,
    TX_PACKETS // 2,
)


@inlined
def promise(sram, context, t):  # type: ignore[no-untyped-def]
    """Fixes, for every output port, the tick, t at the earliest, before which it will stay silent."""
    phase = sram.sys.phase
    for port in range(_PORTS):
        first = t
        if not sram.phases[phase, _SENDS] >> port & 1:
            first = min(sram.sys.phase_end + 1 + sram.phases[phase, _QUIET + port], _FOREVER)
        context.horizon[port] = max(context.horizon[port], first)


@inlined
def enter_phase(sram, context, phase, t):  # type: ignore[no-untyped-def]
    """Starts `phase` in tick t."""
    ticks = sram.phases[phase, _TICKS]
    sram.sys.phase = phase
    sram.sys.phase_start = t
    sram.sys.phase_end = t + ticks - 1 if ticks > 0 else _FOREVER
    promise(sram, context, t)


@inlined
def set_until(sram, context):  # type: ignore[no-untyped-def]
    """How far the PE may run by itself: to the end of its grant, or of a phase in which it listens to nobody."""
    live = sram.phases[sram.sys.phase, _LIVE]
    if live == 0:
        context.until = min(sram.sys.phase_end, context.limit - 1)
    elif live == context.grant_live:
        context.until = min(sram.sys.phase_end, context.grant_end)
    else:
        context.until = sram.sys.tick - 1


@inlined
def begin_tick(sram, context, t):  # type: ignore[no-untyped-def]
    """Makes t the current tick. If a phase begins in it, the next report says so, for a trace; not if it is one of one
    tick that begins again, in which a PE waits.
    """
    sys = sram.sys
    sys.tick = t
    context.sequence = 0
    context.slot = -1
    if t == sys.phase_start:
        if sys.phase != context.last_phase or t != context.last_begin + 1:
            note = record_at(context.tx_packets + context.tx_count * _PACKET_BYTES, PACKET)
            note.control = _PHASE_BEGINS
            note.port = _NO_PORT
            note.source = context.pe
            note.origin = sys.phase << _PORT_BITS
            note.key = note.time = 0
            note.payload[0] = note.payload[1] = note.payload[2] = note.payload[3] = 0
            note.tick = t
            context.tx_count += 1
        context.last_phase = sys.phase
        context.last_begin = t


@inlined
def end_tick(sram, context, t, code):  # type: ignore[no-untyped-def]
    """Closes tick t, after which the program returned `code`; moves the phase on. Returns a Stop."""
    sys = sram.sys
    following = sys.next_phase
    if following != _NONE:
        exists = 0 <= following < _PHASES and sram.phases[following, _TICKS] >= 0
        if not exists or (t < sys.phase_end and sram.phases[following, _LIVE] != sram.phases[sys.phase, _LIVE]):
            sys.fault = _BAD_PHASE
    if code != 0 or sys.fault != 0:
        sys.error = code
        sys.status = _RUNTIME_ERROR
        return _FAILED
    sys.tick = t + 1
    if following != _NONE:
        enter_phase(sram, context, following, t + 1)
        sys.next_phase = _NONE
    elif t == sys.phase_end:
        enter_phase(sram, context, sram.phases[sys.phase, _AFTER], t + 1)
    set_until(sram, context)
    if t + 1 > context.until:
        return _ASK
    if context.tx_count > _HALF:
        return _FLUSH
    return _GO_ON
