"""The router's loop, compiled: route what arrives, keep it, wake a PE once everything that it needs is there."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, SUPERVISOR, VERSION, FrameKind
from spinn2emu.jit import address_of, inlined, native
from spinn2emu.libzmq import EINTR, SNDMORE, zmq_errno, zmq_recv, zmq_send
from spinn2emu.packets import PACKET
from spinn2emu.router.order import bound_fifo, sort
from spinn2emu.router.route import deliver, inject, route
from spinn2emu.router.state import (
    GATE,
    MAX_IDS,
    PORTS,
    QUEUES,
    REGISTERS,
    WORK,
    Counter,
    Fault,
    PeCounter,
    Router,
)
from spinn2emu.router.table import TABLE
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
    record,
    sort_complete,
)
from spinn2emu.trace.schema import Event

_PORTS, _PACKET_BYTES, _HEADER_BYTES = spec.MAX_PORTS.value, PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize
_FOREVER, _SUPERVISOR, _VERSION, _ROUTERS, _IDS = FOREVER, SUPERVISOR, VERSION, MAX_IDS, MAX_IDS
_FRAME_BYTES, _LAST_TICK = _HEADER_BYTES + spec.FRAME_PACKETS.value * _PACKET_BYTES, LAST_TICK
_REPORT, _FAILED, _GRANT, _RUN = int(FrameKind.REPORT), int(FrameKind.FAILED), int(FrameKind.GRANT), int(FrameKind.RUN)
_PART, _INJECT = int(FrameKind.PART), int(FrameKind.INJECT)
_IDLE, _FAULT, _PASSED, _DONE = int(FrameKind.IDLE), int(FrameKind.FAULT), int(FrameKind.PASSED), int(FrameKind.DONE)
_BAD_FRAME, _NOT_LIVE = int(Fault.BAD_FRAME), int(Counter.NOT_LIVE)
_EVENT_RECEIVED, _EVENT_NOT_LIVE = int(Event.RECEIVED), int(Event.NOT_LIVE)
_DELIVERED, _DISCARDED = int(PeCounter.DELIVERED), int(PeCounter.DISCARDED)
_EINTR, _SNDMORE = EINTR, SNDMORE

INTERRUPTED, BROKEN = 0, 1


@inlined
def _choose(router, pe, end):  # type: ignore[no-untyped-def]
    """Takes the packets that `pe` processes up to tick `end` from its queue; discards those that come too late.

    Leaves their places in `work.chosen`, in order of arrival, and returns their number; compacts nothing yet.
    """
    gate, queues, work, registers = router.gate, router.queues, router.work, router.registers
    chosen = 0
    for i in range(queues.length[pe]):
        packet = queues.packets[pe, i]
        due = np.int64(packet.tick) + 1
        if due <= end:
            if due >= gate.tick[pe] and gate.live[pe] >> packet.port & 1:
                work.chosen[chosen] = i
                chosen += 1
            else:
                registers.counters[_NOT_LIVE] += 1
                registers.pe_counts[pe, _DISCARDED] += 1
                record(router.capture, packet, queues.words[pe, i], _EVENT_NOT_LIVE, pe, np.int64(packet.time))
    return chosen


@inlined
def _compact(queues, pe, end):  # type: ignore[no-untyped-def]
    """Keeps in the queue only what is due after tick `end`."""
    kept = 0
    for i in range(queues.length[pe]):
        if np.int64(queues.packets[pe, i].tick) + 1 > end:
            if kept != i:
                queues.packets[pe, kept] = queues.packets[pe, i]
            kept += 1
    queues.length[pe] = kept


@inlined
def _send(router, target, frame):  # type: ignore[no-untyped-def]
    """Sends a frame, a BUFFER. A target that is gone is the supervisor's to notice."""
    frame.head.version = _VERSION
    size = _HEADER_BYTES + np.int64(frame.head.count) * _PACKET_BYTES
    while zmq_send(router.socket, router.work.identities[target].ctypes.data, 4, _SNDMORE) < 0:
        if zmq_errno() != _EINTR:
            return
    while zmq_send(router.socket, address_of(frame), size, 0) < 0:
        if zmq_errno() != _EINTR:
            return


@inlined
def _pass_on(router, head):  # type: ignore[no-untyped-def]
    """Sends the other routers what the PE has sent to their PEs, and its horizons if they have moved."""
    gate, work = router.gate, router.work
    pe, moved = np.int64(head.pe), np.int64(0)
    for port in range(_PORTS):
        if head.horizon[port] != gate.horizon[pe, port]:
            moved |= gate.wants[pe, port]
    for other in range(gate.routers):
        if work.stashed[other] or moved >> other & 1:
            onward = work.stash[other]
            onward.head.kind = _PASSED
            onward.head.pe = pe
            onward.head.count = work.stashed[other]
            for port in range(_PORTS):
                onward.head.horizon[port] = head.horizon[port]
            _send(router, _ROUTERS + other, onward)
            work.stashed[other] = 0


@inlined
def _complete_until(gate, pe):  # type: ignore[no-untyped-def]
    """The last tick for which every source of every live port of `pe` has promised to be done."""
    complete = np.int64(_FOREVER)
    for port in range(_PORTS):
        if gate.live[pe] >> port & 1:
            for i in range(gate.source_start[pe * _PORTS + port], gate.source_start[pe * _PORTS + port + 1]):
                complete = min(complete, gate.horizon[gate.source_pe[i], gate.source_port[i]])
    return complete


@inlined
def _try_grant(router, pe, need):  # type: ignore[no-untyped-def]
    """Wakes `pe` with one frame, if it waits and can run to tick `need`, or to the end of the chip's time."""
    gate, queues, work, registers = router.gate, router.queues, router.work, router.registers
    last = gate.limit - 1
    if not gate.waiting[pe] or gate.tick[pe] > last:
        return
    end = min(_complete_until(gate, pe), gate.end[pe], last)
    if end < min(need, last):
        return
    chosen = _choose(router, pe, end)
    sort(router, pe, chosen)
    chosen = bound_fifo(router, pe, chosen)
    frame = work.out
    for i in range(chosen):
        packet = queues.packets[pe, work.chosen[i]]
        frame.packets[i] = packet
        record(router.capture, packet, queues.words[pe, work.chosen[i]], _EVENT_RECEIVED, pe, np.int64(packet.time))
    _compact(queues, pe, end)
    registers.pe_counts[pe, _DELIVERED] += chosen
    registers.grants += 1
    gate.waiting[pe] = 0
    gate.running += 1
    frame.head.kind = _GRANT
    frame.head.pe = pe
    frame.head.count = chosen
    frame.head.live = gate.live[pe]
    frame.head.end = end
    frame.head.limit = last + 1
    _send(router, pe, frame)


@inlined
def _note_report(gate, head):  # type: ignore[no-untyped-def]
    """Takes down what a PE waits for."""
    pe = head.pe
    gate.waiting[pe] = 1
    gate.tick[pe] = head.tick
    gate.need[pe] = head.need
    gate.end[pe] = head.end
    gate.live[pe] = head.live
    gate.running -= 1
    if head.tick >= gate.limit:
        gate.left -= 1


@inlined
def _begin(router, limit):  # type: ignore[no-untyped-def]
    """Lets the chip's time run to tick `limit`."""
    gate = router.gate
    gate.limit = limit
    gate.left = 0
    gate.open = 1
    for pe in range(_IDS):
        if gate.present[pe] and (not gate.waiting[pe] or gate.tick[pe] < limit):
            gate.left += 1
    for pe in range(_IDS):
        _try_grant(router, pe, gate.need[pe])


@inlined
def _relax(router):  # type: ignore[no-untyped-def]
    """Everybody waits for more than there is, as in recurrent networks: wakes whoever can run at least one tick.

    The PE with the lowest tick always can, because what is sent in a tick is processed in a later one.
    """
    for pe in range(_IDS):
        _try_grant(router, pe, router.gate.tick[pe])


@inlined
def _tell_supervisor(router, kind, status, pe, limit):  # type: ignore[no-untyped-def]
    """Sends a frame without packets to the supervisor."""
    frame = router.work.out
    frame.head.kind = kind
    frame.head.status = status
    frame.head.pe = pe
    frame.head.count = 0
    frame.head.limit = limit
    _send(router, _SUPERVISOR, frame)


@inlined
def _settle(router):  # type: ignore[no-untyped-def]
    """This router's PEs have reached the limit: once the others' have, too, discards what is left over, and reports."""
    gate, queues, limit = router.gate, router.queues, router.gate.limit
    if gate.done[gate.own] < limit:
        gate.done[gate.own] = limit
        frame = router.work.out
        frame.head.kind = _DONE
        frame.head.pe = 0
        frame.head.count = 0
        frame.head.router = gate.own
        frame.head.limit = limit
        for other in range(gate.routers):
            if other != gate.own:
                _send(router, _ROUTERS + other, frame)
    for other in range(gate.routers):
        if gate.done[other] < limit:
            return
    gate.open = 0
    for pe in range(_IDS):
        if gate.present[pe] and queues.length[pe]:  # the queues of the others are theirs: packets may be coming there
            _choose(router, pe, gate.tick[pe] - 1)
            _compact(queues, pe, gate.tick[pe] - 1)
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
def _hear(router):  # type: ignore[no-untyped-def]
    """Takes in what a PE has sent, from itself or from its router; wakes whoever waited for it."""
    gate, frame = router.gate, router.work.into
    head = frame.head
    pe = np.int64(head.pe)
    if head.kind == _PASSED:
        deliver(router, frame)
    else:
        route(router, frame)
        _pass_on(router, head)
    if _has_failed(router):
        return
    for port in range(_PORTS):
        gate.horizon[pe, port] = head.horizon[port]
    if head.kind == _REPORT:
        _note_report(gate, head)
        _try_grant(router, pe, gate.need[pe])
    for i in range(gate.reach_start[pe], gate.reach_start[pe + 1]):
        target = np.int64(gate.reach[i])
        _try_grant(router, target, gate.need[target])


@inlined
def _is_sound(head, size, sender):  # type: ignore[no-untyped-def]
    """Whether a frame is whole, and one that its sender may send: a PE whose memory is damaged sends anything."""
    if size > _FRAME_BYTES or size != _HEADER_BYTES + np.int64(head.count) * _PACKET_BYTES or head.version != _VERSION:
        return False
    kind = head.kind
    if sender == _SUPERVISOR:
        return kind == _RUN or kind == _INJECT
    if sender >= _IDS:
        return kind == _PASSED or kind == _DONE
    return sender == head.pe and (kind == _REPORT or kind == _PART or kind == _FAILED)


@native(int, TABLE, PORTS, GATE, QUEUES, WORK, REGISTERS, SHARED, OWN)
def run(socket, table, ports, gate, queues, work, registers, shared, own):  # type: ignore[no-untyped-def]
    """Serves frames until a signal arrives (INTERRUPTED) or the network breaks (BROKEN)."""
    router = Router(socket, table, ports, gate, queues, work, registers, Capture(shared, own))
    head, where, name = work.into.head, address_of(work.into), work.sender
    while True:
        if zmq_recv(socket, name.ctypes.data, 4, 0) < 0:  # see `frames.identity`
            return INTERRUPTED if zmq_errno() == _EINTR else BROKEN
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
            _begin(router, head.limit)
        elif head.kind == _INJECT:
            inject(router, work.into)
            _has_failed(router)
        elif head.kind == _DONE:
            gate.done[head.router] = head.limit
        elif head.kind == _FAILED:
            _tell_supervisor(router, _FAILED, head.status, head.pe, 0)
        else:
            _hear(router)
        if gate.running == 0 and gate.left > 0:
            _relax(router)
        _publish(router, False)
        if gate.open and gate.left == 0:
            _settle(router)
        end_work(router.capture)
