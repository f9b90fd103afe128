"""The gate: what each PE of a router waits for, and the frame that wakes it once all of that is there."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER, FrameKind
from spinn2emu.jit import inlined
from spinn2emu.router.arrival import arrive, record_arrival
from spinn2emu.router.order import bound_fifos, sort
from spinn2emu.router.passing import send
from spinn2emu.router.state import MAX_IDS, Counter, PeCounter
from spinn2emu.trace.capture import is_on, record
from spinn2emu.trace.schema import Event

_PORTS, _FOREVER, _IDS, _GRANT = spec.MAX_PORTS.value, FOREVER, MAX_IDS, int(FrameKind.GRANT)
_NOT_LIVE, _DELIVERED, _DISCARDED = int(Counter.NOT_LIVE), int(PeCounter.DELIVERED), int(PeCounter.DISCARDED)
_EVENT_RECEIVED, _EVENT_NOT_LIVE = int(Event.RECEIVED), int(Event.NOT_LIVE)


@inlined
def choose(router, pe, end):  # type: ignore[no-untyped-def]
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
def compact(queues, pe, end):  # type: ignore[no-untyped-def]
    """Keeps in the queue only what is due after tick `end`."""
    kept = 0
    for i in range(queues.length[pe]):
        if np.int64(queues.packets[pe, i].tick) + 1 > end:
            if kept != i:
                queues.packets[pe, kept] = queues.packets[pe, i]
            kept += 1
    queues.length[pe] = kept


@inlined
def _lacks(gate, pe, until):  # type: ignore[no-untyped-def]
    """Whether some source of a live port of `pe` may still send before tick `until`.

    Looks first at the source that was the reason last time, and goes on from there: promises only grow, so between two
    grants every source is looked at about once, not once for each frame of each source.
    """
    first, last = gate.source_start[pe * _PORTS], gate.source_start[(pe + 1) * _PORTS]
    i = gate.watched[pe]
    for _ in range(first, last):
        if gate.horizon[gate.source_pe[i], gate.source_port[i]] < until and gate.live[pe] >> gate.source_input[i] & 1:
            gate.watched[pe] = i
            return True
        i += 1
        if i == last:
            i = first
    return False


@inlined
def _complete_until(gate, pe):  # type: ignore[no-untyped-def]
    """The last tick for which every source of every live port of `pe` has promised to be done."""
    complete = np.int64(_FOREVER)
    for i in range(gate.source_start[pe * _PORTS], gate.source_start[(pe + 1) * _PORTS]):
        if gate.live[pe] >> gate.source_input[i] & 1:
            complete = min(complete, gate.horizon[gate.source_pe[i], gate.source_port[i]])
    return complete


@inlined
def try_grant(router, pe, need):  # type: ignore[no-untyped-def]
    """Wakes `pe` with one frame, if it waits and can run to tick `need`, or to the end of the chip's time."""
    gate, queues, work, registers = router.gate, router.queues, router.work, router.registers
    last = gate.limit - 1
    if not gate.waiting[pe] or gate.tick[pe] > last or _lacks(gate, pe, min(need, last)):
        return
    end = min(_complete_until(gate, pe), gate.end[pe], last)
    if end < min(need, last):
        return
    chosen = choose(router, pe, end)
    sort(router, pe, chosen)
    if is_on(router.capture):
        arrive(router, pe, chosen)
    chosen = bound_fifos(router, pe, chosen)
    frame = work.out
    for i in range(chosen):
        packet = queues.packets[pe, work.chosen[i]]
        frame.packets[i] = packet
        frame.packets[i].time = router.ports.latency[packet.source, pe]  # no result depends on when it was sent
        record_arrival(router, pe, work.chosen[i], _EVENT_RECEIVED)
    compact(queues, pe, end)
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
    send(router, pe, frame)


@inlined
def note_report(gate, head):  # type: ignore[no-untyped-def]
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
def begin(router, limit):  # type: ignore[no-untyped-def]
    """Lets the chip's time run to tick `limit`."""
    gate = router.gate
    gate.limit = limit
    gate.left = 0
    gate.open = 1
    for pe in range(_IDS):
        if gate.present[pe] and (not gate.waiting[pe] or gate.tick[pe] < limit):
            gate.left += 1
    for pe in range(_IDS):
        try_grant(router, pe, gate.need[pe])


@inlined
def relax(router):  # type: ignore[no-untyped-def]
    """Everybody waits for more than there is, as in recurrent networks: wakes whoever can run at least one tick.

    The PE with the lowest tick always can, because what is sent in a tick is processed in a later one.
    """
    for pe in range(_IDS):
        try_grant(router, pe, router.gate.tick[pe])
