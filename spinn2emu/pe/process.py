"""The PE's process: receives a grant, runs the program's ticks, sends a report; compiled, no Python per frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np
import zmq

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, VERSION, Kind, header, identity, new_buffer
from spinn2emu.jit import call_address, compiled, inlined
from spinn2emu.libzmq import EINTR, zmq_errno, zmq_recv, zmq_send
from spinn2emu.memory_map import MemoryMap
from spinn2emu.packets import PACKET
from spinn2emu.pe.guard import enter, leave
from spinn2emu.pe.ticks import Stop, enter_phase, promise, set_until
from spinn2emu.registers import NO_PHASE, PhaseWord, Register, Status
from spinn2emu.sdk import CONTEXT_WORDS, REGION_WORDS, Context

TX_PACKETS = 8192
"""Transmit buffer: half of it is sent off as a PART frame, all of it in one tick is an error."""

_FRAME_BYTES = (HEADER_PACKETS + spec.FRAME_PACKETS.value) * PACKET.itemsize
_PACKET_BYTES, _HEADER_BYTES, _PORTS = PACKET.itemsize, HEADER_PACKETS * PACKET.itemsize, spec.MAX_PORTS.value
_ASK, _FLUSH, _FAILED = int(Stop.ASK), int(Stop.FLUSH), int(Stop.FAILED)
_REPORT, _PART, _FAILED_FRAME, _GRANT = int(Kind.REPORT), int(Kind.PART), int(Kind.FAILED), int(Kind.GRANT)
_STATUS, _TICK, _PHASE, _END, _ERROR = (
    int(Register.STATUS), int(Register.TICK), int(Register.PHASE), int(Register.PHASE_END), int(Register.ERROR),
)  # fmt: skip
_LIVE, _SENDS = int(PhaseWord.LIVE), int(PhaseWord.SENDS)
_RX_COUNT, _RX_NEXT, _TX_COUNT = int(Context.RX_COUNT), int(Context.RX_NEXT), int(Context.TX_COUNT)
_GRANT_END, _GRANT_LIVE, _LIMIT = int(Context.GRANT_END), int(Context.GRANT_LIVE), int(Context.LIMIT)
_HORIZON, _PE = int(Context.HORIZON), int(Context.PE)
_WAITING, _RUNNING, _FOREVER, _EINTR = int(Status.WAITING), int(Status.RUNNING), FOREVER, EINTR

INTERRUPTED, BROKEN = 0, 1
NEVER = -1
"""As the limit in the context: the process has not reported yet."""
_NEVER = NEVER


@inlined
def _send(socket, kind, sys, phases, context, frame, frame_address):  # type: ignore[no-untyped-def]
    """Sends what is in the transmit buffer, with the PE's promises and wishes. Returns 0, or an errno."""
    phase, tick = sys[_PHASE], sys[_TICK]
    frame[0].kind = kind
    frame[0].pe = context[_PE]
    frame[0].count = context[_TX_COUNT]
    frame[0].tick = tick
    frame[0].live = phases[phase, _LIVE]
    frame[0].end = sys[_END]
    frame[0].need = sys[_END] if sys[_END] < _FOREVER else tick
    frame[0].status = sys[_ERROR]
    for port in range(_PORTS):
        speaks = phases[phase, _SENDS] >> port & 1
        frame[0].horizon[port] = tick if speaks else context[_HORIZON + port]
    size = _HEADER_BYTES + context[_TX_COUNT] * _PACKET_BYTES
    context[_TX_COUNT] = 0
    while zmq_send(socket, frame_address, size, 0) < 0:
        code = zmq_errno()
        if code != _EINTR:
            return code
    return 0


@compiled
def run(socket, entry, sys, phases, context, addresses, grant, report, guard):  # type: ignore[no-untyped-def]
    """Serves grants until a signal arrives (INTERRUPTED) or the network is gone (BROKEN).

    `addresses`: of the context, the receive and the transmit buffer; `grant`, `report`: their headers as FRAME[1].
    """
    if context[_LIMIT] == _NEVER:  # a new process: the program begins, or goes on where its SRAM says
        context[_LIMIT] = 0
        if sys[_PHASE] < 0:
            enter_phase(sys, phases, context, 0, sys[_TICK])
        else:
            promise(sys, phases, context, sys[_TICK])
        sys[_STATUS] = _WAITING
        if _send(socket, _REPORT, sys, phases, context, report, addresses[2]):
            return BROKEN
    while True:
        size = zmq_recv(socket, addresses[1], _FRAME_BYTES, 0)
        if size < 0:
            return INTERRUPTED if zmq_errno() == _EINTR else BROKEN
        if grant[0].kind != _GRANT or size > _FRAME_BYTES:
            return BROKEN
        context[_RX_COUNT] = grant[0].count
        context[_RX_NEXT] = 0
        context[_GRANT_END] = grant[0].end
        context[_GRANT_LIVE] = grant[0].live
        context[_LIMIT] = grant[0].need
        enter(guard)
        set_until(sys, phases, context)
        sys[_STATUS] = _RUNNING
        stop = call_address(entry, addresses[0])
        while stop == _FLUSH:
            if _send(socket, _PART, sys, phases, context, report, addresses[2]):
                return BROKEN
            stop = call_address(entry, addresses[0])
        kind = _REPORT if stop == _ASK else _FAILED_FRAME
        if stop == _ASK:
            sys[_STATUS] = _WAITING
        leave(guard)
        if _send(socket, kind, sys, phases, context, report, addresses[2]):
            return BROKEN


class Image(NamedTuple):
    """A linked program, ready to run on one PE."""

    pe: int
    program: str
    memory: MemoryMap
    entry: int
    """Address of the compiled entry."""
    tick: Any
    """The program's function, to say where it fails."""


def build_context(image: Image, sram: np.ndarray, rx: np.ndarray, tx: np.ndarray) -> np.ndarray:
    """The context table of a PE; `rx` and `tx` are frame buffers, `sram` its bytes."""
    context = np.zeros(CONTEXT_WORDS, np.int64)
    context[Context.RX_ADDRESS] = rx[HEADER_PACKETS:].ctypes.data
    context[Context.TX_ADDRESS] = tx[HEADER_PACKETS:].ctypes.data
    context[Context.TX_CAPACITY] = len(tx) - HEADER_PACKETS
    context[Context.PE] = image.pe
    context[Context.LIMIT] = NEVER
    context[Context.LAST_PHASE] = NO_PHASE
    for i, symbol in enumerate(image.memory.symbols):
        word = Context.REGIONS + REGION_WORDS * i
        context[word] = symbol.view(sram).ctypes.data
        context[word + 1 : word + 1 + len(symbol.shape)] = symbol.shape
    return context


def prepare() -> None:
    """Compiles the loop, or loads it from the cache: to be done once, before the PEs are forked."""
    words, table, frame = np.zeros(1, np.int64), np.zeros((1, 1), np.int64), header(new_buffer(0))
    run.compile(tuple(map(numba.typeof, (0, 0, words, table, words, words, frame, frame, words))))  # type: ignore[attr-defined]


def main(image: Image, sram: np.ndarray, guard: np.ndarray, note: np.ndarray, endpoint: str) -> None:
    """Body of a PE's process; returns only if the network is gone."""
    rx = np.empty(HEADER_PACKETS + spec.FRAME_PACKETS.value, PACKET)
    tx = new_buffer(TX_PACKETS + 1)  # and the note of a phase
    context = build_context(image, sram, rx, tx)
    sys, phases = (image.memory[name].view(sram) for name in ("sys", "phases"))
    grant, report = header(rx), header(tx)
    report["version"] = VERSION
    addresses = np.array([context.ctypes.data, rx.ctypes.data, tx.ctypes.data], np.int64)
    with connected(image.pe, endpoint) as socket:
        handle = socket.underlying
        while run(handle, image.entry, sys, phases, context, addresses, grant, report, guard) == INTERRUPTED:
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
