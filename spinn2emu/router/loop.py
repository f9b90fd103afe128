"""The router's loop, compiled: route what arrives, keep it, wake a PE once everything that it needs is there."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, SUPERVISOR, VERSION, Kind
from spinn2emu.jit import compiled, inlined
from spinn2emu.libzmq import EINTR, SNDMORE, zmq_errno, zmq_recv, zmq_send
from spinn2emu.packets import PACKET
from spinn2emu.router.order import bound_fifo, sort
from spinn2emu.router.route import deliver, route
from spinn2emu.router.state import MAX_IDS, Counter, Fault, PeCounter, Word
from spinn2emu.trace.capture import begin_work, end_work, publish, record
from spinn2emu.trace.schema import Event

_PORTS, _PACKET_BYTES, _HEADER_BYTES = spec.MAX_PORTS.value, PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize
_HEADER, _FOREVER, _SUPERVISOR, _VERSION, _ROUTERS = HEADER_PACKETS, FOREVER, SUPERVISOR, VERSION, MAX_IDS
_FRAME_BYTES = _HEADER_BYTES + spec.FRAME_PACKETS.value * _PACKET_BYTES
_REPORT, _PART, _FAILED, _GRANT, _RUN, _IDLE, _FAULT_FRAME, _PASSED, _DONE = (int(kind) for kind in Kind)
_LIMIT, _LEFT, _FAULT, _FAULT_PE, _RUNNING, _OPEN, _OWN = (int(word) for word in Word)
_BAD_FRAME, _NOT_LIVE = int(Fault.BAD_FRAME), int(Counter.NOT_LIVE)
_EVENT_RECEIVED, _EVENT_NOT_LIVE = int(Event.RECEIVED), int(Event.NOT_LIVE)
_DELIVERED, _DISCARDED = int(PeCounter.DELIVERED), int(PeCounter.DISCARDED)
_EINTR, _SNDMORE = EINTR, SNDMORE

INTERRUPTED, BROKEN = 0, 1


@inlined
def _choose(pe, end, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Takes the packets that `pe` processes up to tick `end` from its queue; discards those that come too late.

    Leaves their places in `queues.chosen`, in order of arrival, and returns their number; compacts nothing yet.
    """
    chosen = 0
    for i in range(queues.length[pe]):
        packet = queues.packets[pe, i]
        due = np.int64(packet.tick) + 1
        if due <= end:
            if due >= gate.tick[pe] and gate.live[pe] >> packet.port & 1:
                queues.chosen[chosen] = i
                chosen += 1
            else:
                registers.counters[_NOT_LIVE] += 1
                registers.pe_counts[pe, _DISCARDED] += 1
                record(registers.capture, packet, queues.words[pe, i], _EVENT_NOT_LIVE, pe, packet.time)
    return chosen


@inlined
def _compact(pe, end, queues):  # type: ignore[no-untyped-def]
    """Keeps in the queue only what is due after tick `end`."""
    kept = 0
    for i in range(queues.length[pe]):
        if np.int64(queues.packets[pe, i].tick) + 1 > end:
            if kept != i:
                queues.packets[pe, kept] = queues.packets[pe, i]
            kept += 1
    queues.length[pe] = kept


@inlined
def _send(socket, target, frame_address, count, queues):  # type: ignore[no-untyped-def]
    """Sends a frame with `count` packets. A target that is gone is the supervisor's to notice."""
    while zmq_send(socket, queues.identities[target].ctypes.data, 4, _SNDMORE) < 0:
        if zmq_errno() != _EINTR:
            return
    while zmq_send(socket, frame_address, _HEADER_BYTES + count * _PACKET_BYTES, 0) < 0:
        if zmq_errno() != _EINTR:
            return


@inlined
def _post(socket, pe, target, count, queues):  # type: ignore[no-untyped-def]
    """Sends the outgoing frame, which is about `pe`, to a PE, the supervisor or another router."""
    queues.head_out[0].version = _VERSION
    queues.head_out[0].pe = pe
    queues.head_out[0].count = count
    _send(socket, target, queues.frame_out.ctypes.data, count, queues)


@inlined
def _pass_on(socket, head, gate, queues):  # type: ignore[no-untyped-def]
    """Sends the other routers what the PE has sent to their PEs, and its horizons if they have moved."""
    pe = np.int64(head.pe)
    moved = np.int64(0)
    for port in range(_PORTS):
        if head.horizon[port] != gate.horizon[pe, port]:
            moved |= gate.wants[pe, port]
    for router in range(gate.done.shape[0]):
        count = queues.stashed[router]
        if count or moved >> router & 1:
            onward = queues.stash_heads[router, 0]
            onward.kind = _PASSED
            onward.version = _VERSION
            onward.pe = pe
            onward.count = count
            for port in range(_PORTS):
                onward.horizon[port] = head.horizon[port]
            _send(socket, _ROUTERS + router, queues.stash[router].ctypes.data, count, queues)
            queues.stashed[router] = 0


@inlined
def _complete_until(pe, gate):  # type: ignore[no-untyped-def]
    """The last tick for which every source of every live port of `pe` has promised to be done."""
    complete = np.int64(_FOREVER)
    for port in range(_PORTS):
        if gate.live[pe] >> port & 1:
            for i in range(gate.source_start[pe * _PORTS + port], gate.source_start[pe * _PORTS + port + 1]):
                complete = min(complete, gate.horizon[gate.source_pe[i], gate.source_port[i]])
    return complete


@inlined
def _try_grant(socket, pe, need, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Wakes `pe` with one frame, if it waits and can run to tick `need`, or to the end of the chip's time."""
    last = gate.words[_LIMIT] - 1
    if not gate.waiting[pe] or gate.tick[pe] > last:
        return
    end = min(_complete_until(pe, gate), gate.end[pe], last)
    if end < min(need, last):
        return
    chosen = _choose(pe, end, gate, queues, registers)
    sort(pe, chosen, queues)
    chosen = bound_fifo(pe, chosen, ports, queues, registers)
    for i in range(chosen):
        packet = queues.packets[pe, queues.chosen[i]]
        queues.frame_out[_HEADER + i] = packet
        record(registers.capture, packet, queues.words[pe, queues.chosen[i]], _EVENT_RECEIVED, pe, packet.time)
    _compact(pe, end, queues)
    registers.pe_counts[pe, _DELIVERED] += chosen
    registers.activity[1] += 1
    gate.waiting[pe] = 0
    gate.words[_RUNNING] += 1
    queues.head_out[0].kind = _GRANT
    queues.head_out[0].live = gate.live[pe]
    queues.head_out[0].end = end
    queues.head_out[0].need = last + 1
    _post(socket, pe, pe, chosen, queues)


@inlined
def _note_report(head, gate):  # type: ignore[no-untyped-def]
    """Takes down what a PE waits for."""
    pe = head.pe
    gate.waiting[pe] = 1
    gate.tick[pe] = head.tick
    gate.need[pe] = head.need
    gate.end[pe] = head.end
    gate.live[pe] = head.live
    gate.words[_RUNNING] -= 1
    if head.tick >= gate.words[_LIMIT]:
        gate.words[_LEFT] -= 1


@inlined
def _begin(socket, limit, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Lets the chip's time run to tick `limit`."""
    gate.words[_LIMIT] = limit
    gate.words[_LEFT] = 0
    gate.words[_OPEN] = 1
    for pe in range(gate.present.shape[0]):
        if gate.present[pe] and (not gate.waiting[pe] or gate.tick[pe] < limit):
            gate.words[_LEFT] += 1
    for pe in range(gate.present.shape[0]):
        _try_grant(socket, pe, gate.need[pe], ports, gate, queues, registers)


@inlined
def _relax(socket, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Everybody waits for more than there is, as in recurrent networks: wakes whoever can run at least one tick.

    The PE with the lowest tick always can, because what is sent in a tick is processed in a later one.
    """
    for pe in range(gate.present.shape[0]):
        _try_grant(socket, pe, gate.tick[pe], ports, gate, queues, registers)


@inlined
def _tell_supervisor(socket, kind, status, pe, queues, limit):  # type: ignore[no-untyped-def]
    """Sends a frame without packets to the supervisor."""
    queues.head_out[0].kind = kind
    queues.head_out[0].status = status
    queues.head_out[0].need = pe
    queues.head_out[0].end = limit
    _post(socket, _SUPERVISOR, _SUPERVISOR, 0, queues)


@inlined
def _settle(socket, gate, queues, registers):  # type: ignore[no-untyped-def]
    """This router's PEs have reached the limit: once the others' have, too, discards what is left over, and reports."""
    limit = gate.words[_LIMIT]
    if gate.done[gate.words[_OWN]] < limit:
        gate.done[gate.words[_OWN]] = limit
        queues.head_out[0].kind = _DONE
        queues.head_out[0].status = gate.words[_OWN]
        queues.head_out[0].end = limit
        for router in range(gate.done.shape[0]):
            if router != gate.words[_OWN]:
                _post(socket, 0, _ROUTERS + router, 0, queues)
    for router in range(gate.done.shape[0]):
        if gate.done[router] < limit:
            return
    gate.words[_OPEN] = 0
    for pe in range(gate.present.shape[0]):
        if gate.present[pe] and queues.length[pe]:  # the queues of the others are theirs: packets may be coming there
            _choose(pe, gate.tick[pe] - 1, gate, queues, registers)
            _compact(pe, gate.tick[pe] - 1, queues)
    publish(registers.capture, gate, queues, True)
    _tell_supervisor(socket, _IDLE, 0, 0, queues, limit)


@inlined
def _hear(socket, head, ports, table, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Takes in what a PE has sent, from itself or from its router; wakes whoever waited for it."""
    pe = np.int64(head.pe)
    frame = slice(_HEADER, _HEADER + head.count)
    if head.kind == _PASSED:
        deliver(queues.frame_in[frame], queues.words_in[frame], table, ports, gate, queues, registers)
    else:
        route(queues.frame_in[frame], queues.words_in[frame], table, ports, gate, queues, registers)
        _pass_on(socket, head, gate, queues)
    if gate.words[_FAULT]:
        _tell_supervisor(socket, _FAULT_FRAME, gate.words[_FAULT], gate.words[_FAULT_PE], queues, 0)
        gate.words[_FAULT] = 0
        return
    for port in range(_PORTS):
        gate.horizon[pe, port] = head.horizon[port]
    if head.kind == _REPORT:
        _note_report(head, gate)
        _try_grant(socket, pe, gate.need[pe], ports, gate, queues, registers)
    for i in range(gate.reach_start[pe], gate.reach_start[pe + 1]):
        target = gate.reach[i]
        _try_grant(socket, target, gate.need[target], ports, gate, queues, registers)


@compiled
def run(socket, table, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Serves frames until a signal arrives (INTERRUPTED) or the network breaks (BROKEN)."""
    head = queues.head_in[0]
    while True:
        if zmq_recv(socket, queues.frame_in.ctypes.data, 0, 0) < 0:  # whom it is from, its header says
            return INTERRUPTED if zmq_errno() == _EINTR else BROKEN
        size = zmq_recv(socket, queues.frame_in.ctypes.data, _FRAME_BYTES, 0)
        while size < 0 and zmq_errno() == _EINTR:
            size = zmq_recv(socket, queues.frame_in.ctypes.data, _FRAME_BYTES, 0)
        if size != _HEADER_BYTES + np.int64(head.count) * _PACKET_BYTES or head.pe >= gate.present.shape[0]:
            _tell_supervisor(socket, _FAULT_FRAME, _BAD_FRAME, 0, queues, 0)
            continue
        begin_work(registers.capture)
        registers.activity[0] += 1
        if head.kind == _RUN:
            _begin(socket, head.end, ports, gate, queues, registers)
        elif head.kind == _DONE:
            gate.done[head.status] = head.end
        elif head.kind == _FAILED:
            _tell_supervisor(socket, _FAILED, head.status, head.pe, queues, 0)
        else:
            _hear(socket, head, ports, table, gate, queues, registers)
        if gate.words[_RUNNING] == 0 and gate.words[_LEFT] > 0:
            _relax(socket, ports, gate, queues, registers)
        publish(registers.capture, gate, queues, False)
        if gate.words[_OPEN] and gate.words[_LEFT] == 0:
            _settle(socket, gate, queues, registers)
        end_work(registers.capture)
