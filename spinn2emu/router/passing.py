"""What a router sends: frames to PEs and to the supervisor, and to the other routers what its PEs have sent to theirs.

What is for another router is kept until nothing else waits to be heard, or until none of the own PEs runs: then it goes
out in one message, frame behind frame. Where all talk to all, a router hears of another's PEs once per tick.
"""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import HEADER_PACKETS, VERSION, FrameKind
from spinn2emu.jit import address_of, inlined, record_at, sched_yield
from spinn2emu.libzmq import EINTR, SNDMORE, zmq_errno, zmq_send
from spinn2emu.packets import PACKET
from spinn2emu.router.state import BUFFER, MAX_IDS

_PORTS, _WORDS, _PACKET_BYTES = spec.MAX_PORTS.value, PACKET.itemsize // 8, PACKET.itemsize
_HEADER_PACKETS, _HEADER_BYTES = HEADER_PACKETS, HEADER_PACKETS * PACKET.itemsize
_FRAME_PACKETS, _VERSION, _PASSED, _ROUTERS = spec.FRAME_PACKETS.value, VERSION, int(FrameKind.PASSED), MAX_IDS
_EINTR, _SNDMORE = EINTR, SNDMORE


@inlined
def _send_bytes(router, target, address, size):  # type: ignore[no-untyped-def]
    """Sends what lies at `address`. A target that is gone is the supervisor's to notice."""
    while zmq_send(router.socket, router.work.identities[target].ctypes.data, 4, _SNDMORE) < 0:
        if zmq_errno() != _EINTR:
            return
    while zmq_send(router.socket, address, size, 0) < 0:
        if zmq_errno() != _EINTR:
            return


@inlined
def send(router, target, frame):  # type: ignore[no-untyped-def]
    """Sends a frame, a BUFFER."""
    frame.head.version = _VERSION
    _send_bytes(router, target, address_of(frame), _HEADER_BYTES + np.int64(frame.head.count) * _PACKET_BYTES)


@inlined
def _open_frame(work, other):  # type: ignore[no-untyped-def]
    """The frame, a BUFFER, behind those that are kept for another router."""
    return record_at(address_of(work.stash[other]) + work.stashed[other] * _PACKET_BYTES, BUFFER)


@inlined
def stash(work, words, others):  # type: ignore[no-untyped-def]
    """Keeps a packet for the other routers in the bit set `others`."""
    router = 0
    while others >> router:
        if others >> router & 1:
            n = work.stashed_packets[router]
            frame = _open_frame(work, router)
            for word in range(_WORDS):
                frame.words[n, word] = words[word]
            work.stashed_packets[router] = n + 1
        router += 1


@inlined
def pass_on(router, head):  # type: ignore[no-untyped-def]
    """Keeps what the PE has sent to PEs of other routers for those, and its horizons if they have moved."""
    gate, work = router.gate, router.work
    pe, moved = np.int64(head.pe), np.int64(0)
    for port in range(_PORTS):
        if head.horizon[port] != gate.horizon[pe, port]:
            moved |= gate.wants[pe, port]
    for other in range(gate.routers):
        if work.stashed_packets[other] or moved >> other & 1:
            onward = _open_frame(work, other)
            onward.head.kind = _PASSED
            onward.head.version = _VERSION
            onward.head.pe = pe
            onward.head.count = work.stashed_packets[other]
            for port in range(_PORTS):
                onward.head.horizon[port] = head.horizon[port]
            work.stashed[other] += _HEADER_PACKETS + work.stashed_packets[other]
            work.stashed_packets[other] = 0
            work.stashed_since = max(work.stashed_since, 1)


@inlined
def flush(router):  # type: ignore[no-untyped-def]
    """Sends each other router the frames that are kept for it, in one message."""
    work = router.work
    for other in range(router.gate.routers):
        if work.stashed[other]:
            _send_bytes(router, _ROUTERS + other, address_of(work.stash[other]), work.stashed[other] * _PACKET_BYTES)
            work.stashed[other] = 0
    work.stashed_since = 0


@inlined
def flush_first(router):  # type: ignore[no-untyped-def]
    """Sends what the other routers may wait for before this router wakes PEs, when none of them runs.

    The thread of this process that writes to sockets gets its turn now, while nobody else wants the core: once PEs have
    been woken, it would wait behind all of them, and the other cores with it.
    """
    if router.work.stashed_since:
        flush(router)
        sched_yield()


@inlined
def make_room(router, packets):  # type: ignore[no-untyped-def]
    """Makes sure that a frame of so many packets can be kept for any other router."""
    for other in range(router.gate.routers):
        if router.work.stashed[other] + packets > _FRAME_PACKETS:
            flush(router)
