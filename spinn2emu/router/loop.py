"""The router's loop, compiled: route what arrives, keep it, wake a PE once everything that it needs is there."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, SUPERVISOR, VERSION, Kind
from spinn2emu.jit import allocating, compiled, inlined
from spinn2emu.libzmq import EINTR, SNDMORE, zmq_errno, zmq_recv, zmq_send
from spinn2emu.packets import PACKET, PacketType
from spinn2emu.router.order import bound_fifo, sort
from spinn2emu.router.state import Counter, Fault, PeCounter, Word
from spinn2emu.router.table import NO_ENTRY, lookup

_PORTS, _PER_QUAD, _WINDOW = spec.MAX_PORTS.value, spec.PES_PER_QUAD.value, spec.WINDOW_TICKS.value
_PACKET_BYTES, _HEADER_BYTES = PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize
_WORDS = PACKET.itemsize // 8
_HEADER, _FOREVER, _SUPERVISOR, _VERSION = HEADER_PACKETS, FOREVER, SUPERVISOR, VERSION
_FRAME_BYTES = _HEADER_BYTES + spec.FRAME_PACKETS.value * _PACKET_BYTES
_REPORT, _PART, _FAILED, _GRANT, _RUN, _IDLE, _FAULT_FRAME = (int(kind) for kind in Kind)
_LIMIT, _LEFT, _FAULT, _FAULT_PE, _RUNNING, _TARGET = (int(word) for word in Word)
_QUEUE_FULL, _BAD_FRAME = int(Fault.QUEUE_FULL), int(Fault.BAD_FRAME)
_IN, _COPIES, _UNROUTED, _UNCLAIMED, _NOT_LIVE = (int(counter) for counter in list(Counter)[:5])
_OFF_CHIP, _NO_PAYLOAD, _OTHER_TYPE = int(Counter.OFF_CHIP), int(Counter.WITHOUT_PAYLOAD), int(Counter.OTHER_TYPE)
_SENT, _DELIVERED, _DISCARDED = int(PeCounter.SENT), int(PeCounter.DELIVERED), int(PeCounter.DISCARDED)
_MULTICAST, _NO_ENTRY, _EINTR, _SNDMORE = int(PacketType.MULTICAST), NO_ENTRY, EINTR, SNDMORE

INTERRUPTED, BROKEN = 0, 1


@inlined
def _port_of(ports, pe, key):  # type: ignore[no-untyped-def]
    """The input port of `pe` whose filter matches `key`, or -1."""
    for port in range(ports.count[pe]):
        if key & ports.mask[pe, port] == ports.key[pe, port]:
            return port
    return -1


@inlined
def _replicate(packet, words, entry, table, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Puts a copy of `packet` into the queue of every target of `entry`."""
    registers.counters[_OFF_CHIP] += table.links[entry]
    quad = np.int64(-1)
    for i in range(table.start[entry], table.start[entry + 1]):
        pe = np.int64(table.targets[i])
        if (pe - 1) // _PER_QUAD != quad:
            quad = (pe - 1) // _PER_QUAD
            registers.quad_copies[quad] += 1
        registers.counters[_COPIES] += 1
        port = _port_of(ports, pe, packet.key)
        if port < 0:
            registers.counters[_UNCLAIMED] += 1
            continue
        n = queues.length[pe]
        if n == queues.packets.shape[1]:
            gate.words[_FAULT] = _QUEUE_FULL
            gate.words[_FAULT_PE] = pe
            return
        for word in range(_WORDS):  # the whole record in four moves, then the two fields that differ
            queues.words[pe, n, word] = words[word]
        queues.packets[pe, n].port = port
        queues.packets[pe, n].time = packet.time + ports.latency[packet.source, pe]
        queues.length[pe] = n + 1


@inlined
def route(packets, words, table, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Looks up every packet, counts it and replicates it; drops what matches nothing, and counts that.

    `words`: the same packets as uint64 (n, 4).
    """
    for i in range(packets.shape[0]):
        packet = packets[i]
        registers.counters[_IN] += 1
        registers.counters[_NO_PAYLOAD + (packet.control >> 4 & 3)] += 1
        registers.pe_counts[packet.source, _SENT] += 1
        if packet.control >> 6 != _MULTICAST:
            registers.counters[_OTHER_TYPE] += 1
            continue
        entry = lookup(table, packet.key)
        if entry == _NO_ENTRY:
            registers.counters[_UNROUTED] += 1
            continue
        registers.hits[entry] += 1
        _replicate(packet, words[i], entry, table, ports, gate, queues, registers)


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
def _post(socket, pe, count, queues):  # type: ignore[no-untyped-def]
    """Sends the outgoing frame to `pe`. A target that is gone is the supervisor's to notice."""
    queues.head_out[0].version = _VERSION
    queues.head_out[0].pe = pe
    queues.head_out[0].count = count
    while zmq_send(socket, queues.identities[pe].ctypes.data, 4, _SNDMORE) < 0:
        if zmq_errno() != _EINTR:
            return
    while zmq_send(socket, queues.frame_out.ctypes.data, _HEADER_BYTES + count * _PACKET_BYTES, 0) < 0:
        if zmq_errno() != _EINTR:
            return


@inlined
def _complete_until(pe, gate):  # type: ignore[no-untyped-def]
    """The last tick for which every source of every live port of `pe` has promised to be done."""
    complete = np.int64(_FOREVER)
    for port in range(_PORTS):
        if gate.live[pe] >> port & 1:
            for i in range(gate.source_start[pe * _PORTS + port], gate.source_start[pe * _PORTS + port + 1]):
                complete = min(complete, gate.horizon[gate.source_pe[i], gate.source_port[i]])
    return complete


@allocating
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
        queues.frame_out[_HEADER + i] = queues.packets[pe, queues.chosen[i]]
    _compact(pe, end, queues)
    registers.pe_counts[pe, _DELIVERED] += chosen
    registers.activity[1] += 1
    gate.waiting[pe] = 0
    gate.words[_RUNNING] += 1
    queues.head_out[0].kind = _GRANT
    queues.head_out[0].live = gate.live[pe]
    queues.head_out[0].end = end
    queues.head_out[0].need = last + 1
    _post(socket, pe, chosen, queues)


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


@allocating
def _next_window(socket, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Lets the chip's time run to the next multiple of the window, or to the end of the run."""
    limit = min(gate.words[_TARGET], (gate.words[_LIMIT] // _WINDOW + 1) * _WINDOW)
    gate.words[_LIMIT] = limit
    gate.words[_LEFT] = 0
    for pe in range(gate.present.shape[0]):
        if gate.present[pe] and (not gate.waiting[pe] or gate.tick[pe] < limit):
            gate.words[_LEFT] += 1
    for pe in range(gate.present.shape[0]):
        _try_grant(socket, pe, gate.need[pe], ports, gate, queues, registers)


@allocating
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
    _post(socket, _SUPERVISOR, 0, queues)


@inlined
def _settle(socket, gate, queues, registers):  # type: ignore[no-untyped-def]
    """All PEs have reached the limit: discards what nobody will process any more, and reports."""
    for pe in range(gate.present.shape[0]):
        if queues.length[pe]:
            _choose(pe, gate.tick[pe] - 1, gate, queues, registers)
            _compact(pe, gate.tick[pe] - 1, queues)
    _tell_supervisor(socket, _IDLE, 0, 0, queues, gate.words[_LIMIT])


@compiled
def run(socket, table, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Serves frames until a signal arrives (INTERRUPTED) or the network breaks (BROKEN)."""
    sender = np.empty(64, np.uint8)
    head = queues.head_in[0]
    while True:
        if zmq_recv(socket, sender.ctypes.data, 64, 0) < 0:
            return INTERRUPTED if zmq_errno() == _EINTR else BROKEN
        size = zmq_recv(socket, queues.frame_in.ctypes.data, _FRAME_BYTES, 0)
        while size < 0 and zmq_errno() == _EINTR:
            size = zmq_recv(socket, queues.frame_in.ctypes.data, _FRAME_BYTES, 0)
        if size != _HEADER_BYTES + np.int64(head.count) * _PACKET_BYTES or head.pe >= gate.present.shape[0]:
            _tell_supervisor(socket, _FAULT_FRAME, _BAD_FRAME, 0, queues, 0)
            continue
        registers.activity[0] += 1
        if head.kind == _RUN:
            gate.words[_TARGET] = head.end
            _next_window(socket, ports, gate, queues, registers)
        elif head.kind == _FAILED:
            _tell_supervisor(socket, _FAILED, head.status, head.pe, queues, 0)
        else:
            pe = np.int64(head.pe)
            frame = slice(_HEADER, _HEADER + head.count)
            route(queues.frame_in[frame], queues.words_in[frame], table, ports, gate, queues, registers)
            if gate.words[_FAULT]:
                _tell_supervisor(socket, _FAULT_FRAME, gate.words[_FAULT], gate.words[_FAULT_PE], queues, 0)
                gate.words[_FAULT] = 0
                continue
            for port in range(_PORTS):
                gate.horizon[pe, port] = head.horizon[port]
            if head.kind == _REPORT:
                _note_report(head, gate)
                _try_grant(socket, pe, gate.need[pe], ports, gate, queues, registers)
            for i in range(gate.reach_start[pe], gate.reach_start[pe + 1]):
                target = gate.reach[i]
                _try_grant(socket, target, gate.need[target], ports, gate, queues, registers)
        while gate.words[_LEFT] == 0 and gate.words[_LIMIT] < gate.words[_TARGET]:
            _next_window(socket, ports, gate, queues, registers)
        if gate.words[_RUNNING] == 0 and gate.words[_LEFT] > 0:
            _relax(socket, ports, gate, queues, registers)
        if gate.words[_LEFT] == 0:
            gate.words[_LEFT] = -1
            _settle(socket, gate, queues, registers)
