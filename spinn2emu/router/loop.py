"""The router's loop, compiled: route what arrives, keep it, wake a PE once everything that it needs is there."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, SUPERVISOR, VERSION, FrameKind
from spinn2emu.jit import address_of, inlined, native, record_at
from spinn2emu.libzmq import DONTWAIT, EAGAIN, EINTR, zmq_errno, zmq_recv
from spinn2emu.packets import PACKET
from spinn2emu.router.gate import begin, choose, compact, note_report, relax, try_grant
from spinn2emu.router.passing import flush, flush_first, make_room, pass_on, send
from spinn2emu.router.route import deliver, inject, route
from spinn2emu.router.state import BUFFER, GATE, MAX_IDS, PORTS, QUEUES, REGISTERS, WORK, Fault, Router
from spinn2emu.router.table import TABLE
from spinn2emu.router.tap import TAP
from spinn2emu.trace.capture import (
    LAST_TICK,
    OWN,
    SHARED,
    Capture,
    announce,
    begin_work,
    end_work,
    is_due,
    is_on,
    sort_complete,
)

_PORTS, _PACKET_BYTES, _HEADER_BYTES = spec.MAX_PORTS.value, PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize
_FOREVER, _SUPERVISOR, _VERSION, _ROUTERS, _IDS = FOREVER, SUPERVISOR, VERSION, MAX_IDS, MAX_IDS
_FRAME_BYTES, _LAST_TICK = _HEADER_BYTES + spec.FRAME_PACKETS.value * _PACKET_BYTES, LAST_TICK
_REPORT, _FAILED, _RUN = int(FrameKind.REPORT), int(FrameKind.FAILED), int(FrameKind.RUN)
_PART, _INJECT = int(FrameKind.PART), int(FrameKind.INJECT)
_IDLE, _FAULT, _PASSED, _DONE = int(FrameKind.IDLE), int(FrameKind.FAULT), int(FrameKind.PASSED), int(FrameKind.DONE)
_BAD_FRAME, _EINTR, _EAGAIN, _DONTWAIT = int(Fault.BAD_FRAME), EINTR, EAGAIN, DONTWAIT
_LONG = 64
"""So many frames a router hears, at most, before it tells the other routers what it keeps for them."""

INTERRUPTED, BROKEN = 0, 1


@inlined
def _tell_supervisor(router, kind, status, pe, limit):  # type: ignore[no-untyped-def]
    """Sends a frame without packets to the supervisor."""
    frame = router.work.out
    frame.head.kind = kind
    frame.head.status = status
    frame.head.pe = pe
    frame.head.count = 0
    frame.head.limit = limit
    send(router, _SUPERVISOR, frame)


@inlined
def _settle(router):  # type: ignore[no-untyped-def]
    """This router's PEs have reached the limit: once the others' have, too, discards what is left over, and reports."""
    gate, queues, limit = router.gate, router.queues, router.gate.limit
    if gate.done[gate.own] < limit:
        gate.done[gate.own] = limit
        flush(router)
        frame = router.work.out
        frame.head.kind = _DONE
        frame.head.pe = 0
        frame.head.count = 0
        frame.head.router = gate.own
        frame.head.limit = limit
        for other in range(gate.routers):
            if other != gate.own:
                send(router, _ROUTERS + other, frame)
    for other in range(gate.routers):
        if gate.done[other] < limit:
            return
    gate.open = 0
    for pe in range(_IDS):
        if gate.present[pe] and queues.length[pe]:  # the queues of the others are theirs: packets may be coming there
            choose(router, pe, gate.tick[pe] - 1)
            compact(queues, pe, gate.tick[pe] - 1)
    _publish(router, True)
    _tell_supervisor(router, _IDLE, 0, 0, limit)


@inlined
def _recorded_before(router):  # type: ignore[no-untyped-def]
    """The tick before which everything has been recorded: nobody sends in an earlier one, or receives such packets."""
    gate, queues = router.gate, router.queues
    low = np.int64(_FOREVER)
    for i in range(gate.heard):
        low = min(low, gate.horizon[gate.heard_pe[i], gate.heard_port[i]])
    for pe in range(_IDS):
        for i in range(queues.length[pe] if gate.present[pe] else 0):
            low = min(low, np.int64(queues.packets[pe, i].tick))
    return low


@inlined
def _publish(router, settled):  # type: ignore[no-untyped-def]
    """While a trace is recorded: now and then says how far everything is, and sorts what is complete at all routers.

    settled: it is the end of a run, or of its window.
    """
    if not is_on(router.capture):
        return
    low = min(np.int64(_LAST_TICK), router.gate.limit - 1)  # the host may send in that tick
    for pe in range(_IDS):
        if router.gate.present[pe]:
            low = min(low, router.gate.tick[pe] - 1)
    if settled or is_due(router.capture, low):
        announce(router.capture, min(low, _recorded_before(router)))
    sort_complete(router.capture, settled)


@inlined
def _has_failed(router):  # type: ignore[no-untyped-def]
    """Whether the network has failed since this was asked last; the supervisor is told."""
    gate = router.gate
    fault = gate.fault
    if fault:
        _tell_supervisor(router, _FAULT, fault, gate.fault_pe, 0)
        gate.fault = 0
    return fault != 0


@inlined
def _promise(router, head):  # type: ignore[no-untyped-def]
    """Notes a PE's horizons; wakes whoever waited for them."""
    gate, pe = router.gate, np.int64(head.pe)
    for port in range(_PORTS):
        gate.horizon[pe, port] = head.horizon[port]
    if head.kind == _REPORT:
        note_report(gate, head)
        if gate.running == 0:
            flush_first(router)
        try_grant(router, pe, gate.need[pe])
    for i in range(gate.reach_start[pe], gate.reach_start[pe + 1]):
        target = np.int64(gate.reach[i])
        try_grant(router, target, gate.need[target])


@inlined
def _hear_pe(router):  # type: ignore[no-untyped-def]
    """Takes in what a PE has sent."""
    frame = router.work.into
    make_room(router, frame.head.count)
    route(router, frame)
    if not _has_failed(router):
        pass_on(router, frame.head)
        _promise(router, frame.head)


@inlined
def _hear_router(router, size):  # type: ignore[no-untyped-def]
    """Takes in what PEs of another router have sent: frame by frame, in one message."""
    where = address_of(router.work.into)
    end = where + size
    while where < end:
        frame = record_at(where, BUFFER)
        deliver(router, frame)
        if _has_failed(router):
            return
        _promise(router, frame.head)
        where += _HEADER_BYTES + np.int64(frame.head.count) * _PACKET_BYTES


@inlined
def _is_sound(head, size, sender):  # type: ignore[no-untyped-def]
    """Whether a frame is whole, and one that its sender may send: a PE whose memory is damaged sends anything."""
    whole = _HEADER_BYTES + np.int64(head.count) * _PACKET_BYTES
    if not whole <= size <= _FRAME_BYTES or head.version != _VERSION:
        return False
    kind = head.kind
    if sender >= _IDS and kind == _PASSED:  # others may follow in the same message
        return True
    if size != whole:
        return False
    if sender == _SUPERVISOR:
        return kind == _RUN or kind == _INJECT
    if sender >= _IDS:
        return kind == _DONE
    return sender == head.pe and (kind == _REPORT or kind == _PART or kind == _FAILED)


@native(int, TABLE, PORTS, GATE, QUEUES, WORK, REGISTERS, SHARED, OWN, TAP)
def run(socket, table, ports, gate, queues, work, registers, shared, own, tap):  # type: ignore[no-untyped-def]
    """Serves frames until a signal arrives (INTERRUPTED) or the network breaks (BROKEN)."""
    router = Router(socket, table, ports, gate, queues, work, registers, Capture(shared, own), tap)
    head, where, name = work.into.head, address_of(work.into), work.sender
    while True:
        if work.stashed_since > _LONG:
            flush(router)
        flags = _DONTWAIT if work.stashed_since else 0
        if zmq_recv(socket, name.ctypes.data, 4, flags) < 0:  # see `frames.identity`
            code = zmq_errno()
            if code != _EAGAIN:
                return INTERRUPTED if code == _EINTR else BROKEN
            flush(router)
            continue
        size = zmq_recv(socket, where, _FRAME_BYTES, 0)
        while size < 0 and zmq_errno() == _EINTR:
            size = zmq_recv(socket, where, _FRAME_BYTES, 0)
        sender = np.int64(name[2]) << 8 | np.int64(name[3])
        if not _is_sound(head, size, sender):
            _tell_supervisor(router, _FAULT, _BAD_FRAME, sender if sender < _IDS else 0, 0)
            continue
        begin_work(router.capture)
        registers.frames += 1
        if head.kind == _RUN:
            begin(router, head.limit)
        elif head.kind == _INJECT:
            inject(router, work.into)
            _has_failed(router)
        elif head.kind == _DONE:
            gate.done[head.router] = head.limit
        elif head.kind == _FAILED:
            _tell_supervisor(router, _FAILED, head.status, head.pe, 0)
        elif head.kind == _PASSED:
            _hear_router(router, size)
        else:
            _hear_pe(router)
        work.stashed_since += work.stashed_since > 0
        if gate.running == 0 and gate.left > 0:
            relax(router)
        _publish(router, False)
        if gate.open and gate.left == 0:
            _settle(router)
        end_work(router.capture)
