"""What PEs send, for a host that listens: routers put copies into shared memory, which the supervisor empties between
two windows of time, when no router works."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinn2emu.frames import MAX_ROUTERS
from spinn2emu.jit import inlined
from spinn2emu.packets import PACKET, PORT_BITS
from spinn2emu.router.state import MAX_IDS

TAP_PACKETS = 1 << 21
"""That all routers hold together in a window, in equal shares (own choice): more than PEs can send in a tick."""

TAP = np.dtype([
    ("on", "<i8"),  # 0: nobody listens, and all else is of no meaning
    ("ports", "u1", (MAX_IDS,)),  # bit p: what the PE sends on its output port p is wanted,
    ("key", "<u4"),  # if its key under the mask is this
    ("mask", "<u4"),
    ("routers", "<i8"),  # that share the room
    ("count", "<i8", (MAX_ROUTERS, 8)),  # first word: packets of each router, also those that found no room
    ("packets", PACKET, (TAP_PACKETS,)),
])  # fmt: skip

_SIZE, _PORTS = TAP_PACKETS, (1 << PORT_BITS) - 1


@inlined
def tap(router, packet):  # type: ignore[no-untyped-def]
    """Copies a packet that a PE has sent, if somebody wants it."""
    if router.tap.on:
        _put(router.tap, router.gate.own, packet)


@inlined
def _put(tap, own, packet):  # type: ignore[no-untyped-def]
    if tap.ports[packet.source] >> (packet.origin & _PORTS) & 1 and packet.key & tap.mask == tap.key:
        share, n = _SIZE // tap.routers, tap.count[own, 0]
        if n < share:
            tap.packets[own * share + n] = packet
        tap.count[own, 0] = n + 1


def tap_one(tap: NDArray[np.void], packet: np.void) -> None:
    """`tap` in Python, of the only router; `tap`: the record TAP."""
    wanted = int(tap["ports"][packet["source"]]) >> (int(packet["origin"]) & _PORTS) & 1
    if tap["on"] and wanted and packet["key"] & tap["mask"] == tap["key"]:
        n = int(tap["count"][0, 0])
        if n < _SIZE:
            tap["packets"][n] = packet
        tap["count"][0, 0] = n + 1


def tapped(tap: NDArray[np.void]) -> tuple[NDArray[np.void], int]:
    """What routers have put there, (n,) of PACKET by (tick, source, sequence), and how many found no room."""
    share, counts = _SIZE // int(tap["routers"]), tap["count"][: int(tap["routers"]), 0].tolist()
    words = tap["packets"].view("<u8").reshape(_SIZE, -1)  # numpy copies these much faster than records
    words = np.concatenate([words[r * share : r * share + min(count, share)] for r, count in enumerate(counts)])
    packets = words.view(PACKET)[:, 0]
    order = np.lexsort((packets["source"], packets["tick"]))
    return words[order].view(PACKET)[:, 0], sum(max(0, count - share) for count in counts)
