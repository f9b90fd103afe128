"""Routing, compiled: looks up what a PE sent, counts it, and puts a copy into the queue of every target.

With several routers, the one that the sender belongs to counts the packet; every router makes the copies for its own
PEs, and the sender's stashes the packet for the others.
"""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import SUPERVISOR
from spinn2emu.jit import inlined
from spinn2emu.packets import OVERRAN, PACKET, PHASE_BEGINS, PacketType
from spinn2emu.router.passing import stash
from spinn2emu.router.state import Counter, Fault, PeCounter
from spinn2emu.router.table import NO_ENTRY, lookup
from spinn2emu.router.tap import tap
from spinn2emu.trace.capture import record
from spinn2emu.trace.schema import LINK, ROUTER, Event

_WORDS, _SIZE = PACKET.itemsize // 8, spec.FRAME_PACKETS.value
_QUEUE_FULL, _BAD_FRAME = int(Fault.QUEUE_FULL), int(Fault.BAD_FRAME)
_IN, _COPIES = int(Counter.PACKETS), int(Counter.COPIES)
_UNROUTED, _UNCLAIMED = int(Counter.UNROUTED), int(Counter.UNCLAIMED)
_OFF_CHIP, _NO_PAYLOAD, _OTHER_TYPE = int(Counter.OFF_CHIP), int(Counter.WITHOUT_PAYLOAD), int(Counter.OTHER_TYPE)
_SENT = int(PeCounter.SENT)
_MULTICAST, _NO_ENTRY = int(PacketType.MULTICAST), NO_ENTRY
_EVENT_SENT, _EVENT_UNROUTED, _EVENT_OTHER_TYPE, _EVENT_UNCLAIMED, _EVENT_OFF_CHIP = (
    int(event) for event in (Event.SENT, Event.UNROUTED, Event.OTHER_TYPE, Event.UNCLAIMED, Event.OFF_CHIP)
)  # fmt: skip
_PHASE_BEGINS, _EVENT_PHASE = PHASE_BEGINS, int(Event.PHASE)
_OVERRAN, _EVENT_OVERRUN, _TICK_NS = OVERRAN, int(Event.OVERRUN), spec.TICK_NS.value
_ROUTER, _LINK, _LINKS, _HOST = ROUTER, LINK, spec.LINKS.value, SUPERVISOR


@inlined
def _port_of(ports, pe, key):  # type: ignore[no-untyped-def]
    """The input port of the first filter of `pe` that matches `key`, or -1."""
    for i in range(ports.count[pe]):
        if key & ports.mask[pe, i] == ports.key[pe, i]:
            return np.int64(ports.port[pe, i])
    return -1


@inlined
def _replicate(router, packet, words, entry):  # type: ignore[no-untyped-def]
    """Puts a copy of `packet` into the queue of every target of `entry` that belongs to this router."""
    table, ports, gate, queues, registers = router.table, router.ports, router.gate, router.queues, router.registers
    for i in range(table.start[entry], table.start[entry + 1]):
        pe = np.int64(table.targets[i])
        registers.counters[_COPIES] += 1
        port = _port_of(ports, pe, packet.key)
        if port < 0:
            registers.counters[_UNCLAIMED] += 1
            time = np.int64(packet.time) + ports.latency[packet.source, pe]
            record(router.capture, packet, words, _EVENT_UNCLAIMED, pe, time)
            continue
        n = queues.length[pe]
        if n == _SIZE:
            gate.fault = _QUEUE_FULL
            gate.fault_pe = pe
            return
        for word in range(_WORDS):  # the whole record in four moves, then the two fields that differ
            queues.words[pe, n, word] = words[word]
        queues.packets[pe, n].port = port
        queues.packets[pe, n].time = packet.time + ports.latency[packet.source, pe]
        queues.length[pe] = n + 1


@inlined
def _leave(router, packet, words, links, at_router):  # type: ignore[no-untyped-def]
    """Counts the copies for other chips, one for each bit of `links`; there is none."""
    for link in range(_LINKS):
        if links >> link & 1:
            router.registers.counters[_OFF_CHIP] += 1
            record(router.capture, packet, words, _EVENT_OFF_CHIP, _LINK + link, at_router)


@inlined
def _count(router, packet, words):  # type: ignore[no-untyped-def]
    """Counts a packet that was sent."""
    registers = router.registers
    registers.counters[_IN] += 1
    registers.counters[_NO_PAYLOAD + (packet.control >> 4 & 3)] += 1
    registers.pe_counts[packet.source, _SENT] += 1
    record(router.capture, packet, words, _EVENT_SENT, _ROUTER, np.int64(packet.time))


@inlined
def _find(router, packet, words, at_router):  # type: ignore[no-untyped-def]
    """The entry that a packet matches, counted, with what leaves the chip by it; NO_ENTRY: the packet is dropped."""
    table, registers = router.table, router.registers
    entry = lookup(table, packet.key)
    if entry == _NO_ENTRY:
        registers.counters[_UNROUTED] += 1
        record(router.capture, packet, words, _EVENT_UNROUTED, _ROUTER, at_router)
        return entry
    registers.hits[entry] += 1
    if table.links[entry]:
        _leave(router, packet, words, table.links[entry], at_router)
    return entry


@inlined
def route(router, frame):  # type: ignore[no-untyped-def]
    """Looks up every packet, counts it and replicates it; drops what matches nothing, and counts that.

    `frame`: a BUFFER.
    """
    table, ports, registers = router.table, router.ports, router.registers
    own = np.int64(1) << router.gate.own
    for i in range(frame.head.count):
        packet, words = frame.packets[i], frame.words[i]
        if packet.source != frame.head.pe:
            router.gate.fault = _BAD_FRAME
            router.gate.fault_pe = frame.head.pe
            return
        if packet.control == _PHASE_BEGINS:
            record(router.capture, packet, words, _EVENT_PHASE, np.int64(packet.source), np.int64(0))
            continue
        if packet.control == _OVERRAN:
            end = np.int64(packet.time)
            record(router.capture, packet, words, _EVENT_OVERRUN, np.int64(packet.source), end, end - _TICK_NS)
            continue
        _count(router, packet, words)
        tap(router, packet)
        at_router = np.int64(packet.time) + ports.latency[packet.source, _ROUTER]
        if packet.control >> 6 != _MULTICAST:
            registers.counters[_OTHER_TYPE] += 1
            record(router.capture, packet, words, _EVENT_OTHER_TYPE, _ROUTER, at_router)
            continue
        entry = _find(router, packet, words, at_router)
        if entry == _NO_ENTRY:
            continue
        if table.spread[entry] & own:
            _replicate(router, packet, words, entry)
        if table.spread[entry] & ~own:
            stash(router.work, words, table.spread[entry] & ~own)


@inlined
def deliver(router, frame):  # type: ignore[no-untyped-def]
    """Replicates what another router has counted and passed on; every packet has a target here."""
    for i in range(frame.head.count):
        packet = frame.packets[i]
        _replicate(router, packet, frame.words[i], lookup(router.table, packet.key))


@inlined
def inject(router, frame):  # type: ignore[no-untyped-def]
    """Routes packets of the host, which every router gets: the first one counts them, each makes its PEs' copies."""
    table, own = router.table, np.int64(1) << router.gate.own
    for i in range(frame.head.count):
        packet, words = frame.packets[i], frame.words[i]
        if own == 1:
            _count(router, packet, words)
            entry = _find(router, packet, words, np.int64(packet.time) + router.ports.latency[_HOST, _ROUTER])
        else:
            entry = lookup(table, packet.key)
        if entry != _NO_ENTRY and table.spread[entry] & own:
            _replicate(router, packet, words, entry)
