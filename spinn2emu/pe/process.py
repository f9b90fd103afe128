"""The PE's process: receives a grant, runs the program's ticks, sends a report; compiled, no Python per frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import zmq

from spinn2emu import spec
from spinn2emu.frames import FOREVER, FRAME, HEADER_PACKETS, VERSION, FrameKind, header, identity, new_buffer
from spinn2emu.jit import address_of, array_at, call_address, inlined, native
from spinn2emu.libzmq import EINTR, zmq_errno, zmq_recv, zmq_send
from spinn2emu.memory_map import DATA_BASE, MemoryMap
from spinn2emu.packets import PACKET
from spinn2emu.pe.guard import GUARD, enter, leave
from spinn2emu.pe.meter import METER, begin_code, begin_drain, end_code, end_drain
from spinn2emu.pe.ticks import Stop, begin_tick, end_tick, enter_phase, promise, set_until
from spinn2emu.program import FIFOS
from spinn2emu.registers import NO_PHASE, SYSTEM, PhaseWord, Status, own_symbols
from spinn2emu.sdk import CONTEXT, TX_BUFFER

_FRAME_BYTES = (HEADER_PACKETS + spec.FRAME_PACKETS.value) * PACKET.itemsize
_PACKET_BYTES, _HEADER_BYTES, _PORTS = PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize, spec.MAX_PORTS.value
_GO_ON, _ASK, _FLUSH = int(Stop.GO_ON), int(Stop.ASK), int(Stop.FLUSH)
_REPORT, _PART, _FAILED_FRAME, _GRANT = (
    int(FrameKind.REPORT),
    int(FrameKind.PART),
    int(FrameKind.FAILED),
    int(FrameKind.GRANT),
)
_LIVE, _SENDS = int(PhaseWord.LIVE), int(PhaseWord.SENDS)
_WAITING, _RUNNING, _FOREVER, _EINTR = int(Status.WAITING), int(Status.RUNNING), FOREVER, EINTR
_FIFOS = FIFOS
_VERSION = VERSION

INTERRUPTED, BROKEN = 0, 1
NEVER = -1
"""As the limit in the context: the process has not reported yet."""
_NEVER = NEVER


@inlined
def _send(socket, kind, sram, context, frame):  # type: ignore[no-untyped-def]
    """Sends what is in the transmit buffer, with the PE's promises and wishes. Returns 0, or an errno."""
    sys = sram.sys
    frame.kind = kind
    frame.version = _VERSION
    frame.pe = context.pe
    frame.count = context.tx_count
    frame.tick = sys.tick
    frame.live = sram.phases[sys.phase, _LIVE]
    frame.end = sys.phase_end
    frame.need = sys.phase_end if sys.phase_end < _FOREVER else sys.tick
    frame.status = sys.error
    for port in range(_PORTS):
        speaks = sram.phases[sys.phase, _SENDS] >> port & 1
        frame.horizon[port] = sys.tick if speaks else context.horizon[port]
    size = _HEADER_BYTES + context.tx_count * _PACKET_BYTES
    context.tx_count = 0
    while zmq_send(socket, context.tx_frame, size, 0) < 0:
        code = zmq_errno()
        if code != _EINTR:
            return np.int64(code)
    return np.int64(0)


@inlined
def _to_front(context, rx, low, high, ports):  # type: ignore[no-untyped-def]
    """Moves those of the packets number low to high - 1 that came in on `ports`, a bit each, before the others; either
    stay in their order. Returns where they end."""
    others, end = array_at(context.spare_packets, (context.rx_count,), PACKET), low
    for i in range(low, high):
        if ports >> rx[i].port & 1:
            if end < i:
                rx[end] = rx[i]
            end += 1
        else:
            others[i - end] = rx[i]
    for i in range(end, high):
        rx[i] = others[i - end]
    return end


@inlined
def _drain(drain_address, sram, context, meter, rx, low, high):  # type: ignore[no-untyped-def]
    """What a tick's packets, number low to high - 1, do before it: interrupts let the program's `drain` empty FIFOs,
    one after the other, with a FIFO's fill level of packets at a time. Returns its code; the others are due then.
    """
    for fifo in range(_FIFOS):
        ports, level = context.drain_ports[fifo], context.drain_level[fifo]
        if ports != 0:
            end = _to_front(context, rx, low, high, ports)
            while low < end:
                context.due_packets = context.rx_packets + low * _PACKET_BYTES
                context.due_count = min(level, end - low)
                begin_drain(meter, context, rx, low, low + context.due_count)
                code = call_address(drain_address, address_of(context))
                end_drain(meter, context, sram.sys.tick - 1)
                if code != 0 or sram.sys.fault != 0:
                    return code
                low += context.due_count
    context.due_packets = context.rx_packets + low * _PACKET_BYTES
    context.due_count = high - low
    return np.int64(0)


@inlined
def _run_ticks(tick_address, drain_address, sram, context, meter):  # type: ignore[no-untyped-def]
    """Runs the program's ticks, each with the packets that are due in it, until it has to ask or to send, or fails."""
    sys, low, t, stop = sram.sys, context.rx_next, sram.sys.tick, np.int64(_GO_ON)
    rx = array_at(context.rx_packets, (context.rx_count,), PACKET)
    while stop == _GO_ON:
        high = low
        while high < rx.shape[0] and rx[high].tick < t:  # what is sent in a tick is processed in the next
            high += 1
        sys.packets_in += high - low
        context.due_packets = context.rx_packets + low * _PACKET_BYTES
        context.due_count = high - low
        begin_tick(sram, context, t)
        code = np.int64(0)
        if drain_address != 0:  # in the tick before this one, on the chip
            code = _drain(drain_address, sram, context, meter, rx, low, high)
        if code == 0 and sys.fault == 0:
            begin_code(meter, context, sys.phase, t, rx, high - context.due_count, high)
            code = call_address(tick_address, address_of(context))
            end_code(meter, context, sys.phase, t)
        stop = end_tick(sram, context, t, code)
        low = high
        t += 1
    context.rx_next = low
    return stop


@native(int, int, int, SYSTEM, CONTEXT, FRAME, FRAME, GUARD, METER)
def run(socket, tick_address, drain_address, sram, context, grant, report, guard, meter):  # type: ignore[no-untyped-def]
    """Serves grants until a signal arrives (INTERRUPTED) or the network is gone (BROKEN).

    `tick_address`, `drain_address`: of the program's compiled code, 0 if it has no `drain`; `grant`, `report`: headers
    of the receive and the transmit frame.
    """
    sys = sram.sys
    if context.limit == _NEVER:  # a new process: the program begins, or goes on where its SRAM says
        context.limit = 0
        if sys.phase < 0:
            enter_phase(sram, context, np.int64(0), sys.tick)
        else:
            promise(sram, context, sys.tick)
        sys.status = _WAITING
        if _send(socket, _REPORT, sram, context, report):
            return BROKEN
    while True:
        size = zmq_recv(socket, context.rx_frame, _FRAME_BYTES, 0)
        if size < 0:
            return INTERRUPTED if zmq_errno() == _EINTR else BROKEN
        if grant.kind != _GRANT or grant.version != _VERSION or size > _FRAME_BYTES:
            return BROKEN
        context.rx_count = grant.count
        context.rx_next = 0
        context.grant_end = grant.end
        context.grant_live = grant.live
        context.limit = grant.limit
        enter(guard)
        set_until(sram, context)
        sys.status = _RUNNING
        stop = _run_ticks(tick_address, drain_address, sram, context, meter)
        while stop == _FLUSH:
            if _send(socket, _PART, sram, context, report):
                return BROKEN
            stop = _run_ticks(tick_address, drain_address, sram, context, meter)
        kind = _REPORT if stop == _ASK else _FAILED_FRAME
        if stop == _ASK:
            sys.status = _WAITING
        leave(guard)
        if _send(socket, kind, sram, context, report):
            return BROKEN


class Image(NamedTuple):
    """A linked program, ready to run on one PE."""

    pe: int
    program: str
    memory: MemoryMap
    tick_address: int
    """Of the compiled `tick`."""
    drain_address: int = 0
    """Of the compiled `drain`; 0: it has none."""
    drains: tuple[tuple[int, int], ...] = ()
    """The FIFOs that it empties: input ports, a bit each, and fill level."""
    counts: int = 0
    """How many it declares."""


def build_context(image: Image, sram: np.ndarray, rx: np.ndarray, tx: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """The context of a PE, of dtype CONTEXT; `rx` and `tx` are frame buffers, `sram` its bytes, `spare` has room for as
    many packets as `rx`."""
    context = np.zeros((), CONTEXT)
    context["pe"], context["limit"], context["last_phase"] = image.pe, NEVER, NO_PHASE
    context["next_level"], context["declared"] = -1, image.counts
    context["rx_frame"], context["tx_frame"] = rx.ctypes.data, tx.ctypes.data
    context["rx_packets"], context["tx_packets"] = (frame[HEADER_PACKETS:].ctypes.data for frame in (rx, tx))
    context["spare_packets"] = spare.ctypes.data
    for number, (ports, level) in enumerate(image.drains):
        context["drain_ports"][number], context["drain_level"][number] = ports, level
    context["sram"] = sram.ctypes.data + DATA_BASE
    log = image.memory["log"]
    context["log"], context["log_entries"] = log.view(sram).ctypes.data, log.shape[0]
    for row, symbol in zip(context["regions"], own_symbols(image.memory), strict=False):
        row[0] = symbol.view(sram).ctypes.data
        row[1 : 1 + len(symbol.shape)] = symbol.shape
    return context


def main(image: Image, sram: np.ndarray, guard: np.ndarray, note: np.ndarray, meter: np.ndarray, endpoint: str) -> None:
    """Body of a PE's process; returns only if the network is gone."""
    rx = np.empty(HEADER_PACKETS + spec.FRAME_PACKETS.value, PACKET)
    tx = new_buffer(TX_BUFFER)
    spare = np.empty(spec.FRAME_PACKETS.value, PACKET)  # never touched, and so no memory, without a `drain`
    context = build_context(image, sram, rx, tx, spare)
    system = sram[DATA_BASE:][: SYSTEM.itemsize].view(SYSTEM)
    with connected(image.pe, endpoint) as socket:
        entries = image.tick_address, image.drain_address
        arguments = (socket.underlying, *entries, system, context, header(rx), header(tx), guard, meter)
        while run(*arguments) == INTERRUPTED:
            pass


@contextmanager
def connected(pe: int, endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """The socket of a PE, to its router."""
    with zmq.Context() as network, network.socket(zmq.DEALER) as socket:
        socket.set(zmq.ROUTING_ID, identity(pe))
        socket.set(zmq.RECONNECT_IVL, 5)  # the router may not be there yet
        for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
            socket.set(option, 0)
        socket.connect(endpoint)
        yield socket
