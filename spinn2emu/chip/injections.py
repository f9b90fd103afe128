"""Packets of the host: what has been asked for, checked, and waits for its tick."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.frames import SUPERVISOR
from spinn2emu.packets import NO_PORT, PACKET, PAYLOAD_BYTES, PacketType, control_byte
from spinn2emu.sdk import TX_PACKETS

MOST_WAITING = 1 << 20
"""Packets that wait for their tick."""
MOST_PER_TICK = TX_PACKETS
"""As for a PE."""
WINDOW_PACKETS = 4096
"""Packets after which a window of time ends, so that queues stay short; the packets of a tick stay together."""
_CHUNKS = 64
_BITS = 0xFFFFFFFF


class _Chunk(NamedTuple):
    """Packets (n,), not none, in order of their ticks, which stand apart as int64: so they are searched fast."""

    ticks: NDArray[np.int64]
    packets: NDArray[np.void]

    @classmethod
    def of(cls, packets: NDArray[np.void]) -> _Chunk:
        """Brings packets in order of ticks, equal ones in their order."""
        ticks = packets["tick"].astype(np.int64)
        if (ticks[1:] >= ticks[:-1]).all():
            return cls(ticks, packets)
        order = np.argsort(ticks, kind="stable")
        return cls(ticks[order], packets[order])

    def until(self, last: int) -> int:
        """How many are of tick `last` or before."""
        return int(np.searchsorted(self.ticks, last, "right"))

    def after(self, last: int) -> _Chunk:
        """The others."""
        return _Chunk(self.ticks[self.until(last) :], self.packets[self.until(last) :])


class Injections:
    """What waits, by tick of sending, and within a tick in the order in which it was asked for."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []

    def __len__(self) -> int:
        return sum(len(chunk.ticks) for chunk in self._chunks)

    def clear(self) -> None:
        """Nothing waits."""
        self._chunks = []

    def add(self, packets: NDArray[np.void]) -> None:
        """Takes in packets, (n,) of PACKET. Raises ConfigError, and takes in nothing, if they are too many."""
        if len(self) + len(packets) > MOST_WAITING:
            raise ConfigError(
                f"{len(self):,} packets of the host wait for their tick, with these "
                f"{len(self) + len(packets):,} of at most {MOST_WAITING:,}: let time run before more are injected",
                waiting=len(self), packets=len(packets), limit=MOST_WAITING,
            )  # fmt: skip
        if not len(packets):
            return
        chunk = _Chunk.of(packets)
        ticks, counts = np.unique(chunk.ticks, return_counts=True)
        for other in self._chunks:
            counts += np.searchsorted(other.ticks, ticks, "right") - np.searchsorted(other.ticks, ticks, "left")
        if (counts > MOST_PER_TICK).any():
            first = int(np.argmax(counts > MOST_PER_TICK))
            raise ConfigError(
                f"with these, the host would send {counts[first]:,} packets in tick {ticks[first]}, of at most "
                f"{MOST_PER_TICK:,}: spread them over several ticks", tick=int(ticks[first]),
                packets=int(counts[first]), limit=MOST_PER_TICK,
            )  # fmt: skip
        self._chunks.append(chunk)
        if len(self._chunks) > _CHUNKS:
            self._chunks = [_Chunk.of(np.concatenate([chunk.packets for chunk in self._chunks]))]

    def take(self, limit: int) -> tuple[NDArray[np.void], int]:
        """The packets that PEs process before tick `limit`, and that limit, or an earlier one if they are many."""
        parts = [chunk.packets[: chunk.until(limit - 2)] for chunk in self._chunks]
        due = _Chunk.of(np.concatenate(parts or [np.zeros(0, PACKET)]))
        if len(due.ticks) > WINDOW_PACKETS:
            last = int(due.ticks[WINDOW_PACKETS]) - 1  # the tick of the first packet that is too much is left out
            if due.ticks[0] > last:
                last += 1
            limit = last + 2
        packets = due.packets[: due.until(limit - 2)]
        self._chunks = [rest for chunk in self._chunks if len((rest := chunk.after(limit - 2)).ticks)]
        number = np.arange(len(packets)) - np.searchsorted(due.ticks, due.ticks[: len(packets)], "left")
        packets["time"] = number * 1_000_000_000 // spec.NOC_CLOCK_HZ.value  # as a PE: one per cycle of the mesh
        return packets, limit


def packets_of(keys: NDArray[Any], ticks: NDArray[Any], payloads: NDArray[Any] | None) -> NDArray[np.void]:
    """Packets of the host from arrays of integers: keys (n,), ticks (n,), payload words (n, 0 to 4) or None.

    Raises ConfigError for shapes and numbers that cannot be.
    """
    words = np.zeros((len(keys), 0), np.uint32) if payloads is None else payloads
    if keys.ndim != 1 or ticks.shape != keys.shape or words.ndim != 2 or len(words) != len(keys):
        raise ConfigError(
            f"packets have a key, a tick and a payload each: keys have shape {keys.shape}, ticks {ticks.shape}, "
            f"payloads {words.shape}", keys=list(keys.shape), ticks=list(ticks.shape), payloads=list(words.shape),
        )  # fmt: skip
    if 4 * words.shape[1] not in PAYLOAD_BYTES:
        raise ConfigError(f"a packet carries 0, 1, 2 or 4 payload words, not {words.shape[1]}", words=words.shape[1])
    for name, values in (("key", keys), ("tick", ticks), ("payload word", words)):
        if values.dtype.kind not in "iu":
            raise ConfigError(f"a {name} is an integer, not of dtype {values.dtype}", dtype=str(values.dtype))
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= _BITS:
            value = int(values.min()) if values.min() < 0 else int(values.max())
            raise ConfigError(f"{name} {value} does not fit 32 bits", value=value)
    packets = np.zeros(len(keys), PACKET)
    packets["control"] = control_byte(PacketType.MULTICAST, 4 * words.shape[1])
    packets["port"], packets["source"], packets["key"], packets["tick"] = NO_PORT, SUPERVISOR, keys, ticks
    packets["payload"][:, : words.shape[1]] = words
    return packets
