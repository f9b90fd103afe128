"""Frames: the ZeroMQ messages that carry packets and promises between PEs and the router.

A frame is one FRAME header and `count` PACKET records. From a PE it says: these packets I sent, on port o I send
nothing more before tick `horizon[o]`, next I shall run tick `tick`, wake me when my `live` ports are complete up to
`need`, and I can use up to `end`. To a PE it says: these are all packets up to tick `end`, run till there. Among the
packets from a PE stand notes that a phase has begun (`packets.PHASE_BEGINS`). A message from router to router may be
several frames, one behind the other.
"""

from __future__ import annotations

import enum

import numpy as np

from spinn2emu import spec
from spinn2emu.packets import PACKET


class FrameKind(enum.IntEnum):
    """What a frame is."""

    REPORT = 1  # PE → router: packets and horizons; the PE now waits for a GRANT
    PART = 2  # PE → router: packets and horizons; the PE goes on by itself (its transmit buffer was filling up)
    FAILED = 3  # PE → router → supervisor: the kernel reported an error; the PE has stopped
    GRANT = 4  # router → PE: packets; run up to tick `end`
    RUN = 5  # supervisor → router: run to tick `limit` (exclusive)
    IDLE = 6  # router → supervisor: every PE has reached tick `limit`
    FAULT = 7  # router → supervisor: the network itself failed, `status` says how
    PASSED = 8  # router → router: packets that a PE has sent to PEs of the other router, and the PE's horizons
    DONE = 9  # router → router: everything before tick `limit` has been passed on
    INJECT = 10  # supervisor → every router: packets of the host, for the window that the next RUN begins


FRAME = np.dtype(
    [
        ("kind", "u1"),
        ("version", "u1"),
        ("pe", "<u2"),  # id of the PE that sends, or that is meant
        ("count", "<u4"),  # PACKET records that follow
        ("tick", "<i8"),  # REPORT: the next tick that the PE will run
        ("need", "<i8"),  # REPORT: the tick up to which it would like to run
        ("end", "<i8"),  # REPORT: the last tick that it could use; GRANT: that it may run
        ("live", "<u4"),  # bit p set: input port p is live in the ticks asked for
        ("status", "<u4"),  # FAILED: the error code; FAULT: the `router.state.Fault`
        ("limit", "<i8"),  # the tick at which the chip's time ends: RUN, GRANT, IDLE, DONE
        ("router", "<u4"),  # DONE: the router's number
        ("reserved", "<u4", (3,)),
        ("horizon", "<i8", (spec.MAX_PORTS.value,)),  # per output port: nothing more is sent before this tick
    ]
)
"""The header, 128 bytes: as long as four PACKET records, so that packets stay aligned behind it."""

VERSION = 1
HEADER_PACKETS = FRAME.itemsize // PACKET.itemsize
FOREVER = 1 << 60
"""A horizon or end that is never reached."""

MAX_ROUTERS = 8
"""Router processes of a chip, at most. They share the work of the one router that the chip has."""
SUPERVISOR = 0
"""The supervisor's id on the network: that of the management core. Packets of the host have it as their source."""


def identity(pe: int) -> bytes:
    """ZeroMQ routing id of a PE (or of the supervisor): 4 bytes, the first not zero."""
    return b"pe" + bytes((pe >> 8, pe & 255))


def new_buffer(packets: int) -> np.ndarray:
    """A frame buffer with room for the header and `packets` packets, shape (HEADER_PACKETS + packets,), PACKET."""
    return np.zeros(HEADER_PACKETS + packets, PACKET)


def header(buffer: np.ndarray) -> np.ndarray:
    """The header of a frame buffer, as a writable array of one FRAME."""
    return buffer[:HEADER_PACKETS].view(FRAME)
