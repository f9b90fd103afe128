"""The host that listens to what PEs send: its filter, what it has not fetched yet, and how long time waits for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, pidfd
from spinn2emu.chip.loading import Assignment
from spinn2emu.errors import ConfigError, DeadlineExceeded, Spinn2Error
from spinn2emu.packets import PORT_BITS, SENT
from spinn2emu.router.tap import TAP_PACKETS, tapped

BATCH = 1 << 16
"""Packets of an answer."""


class Listener:
    """Listens to the output ports named `ports` of `pes` (empty: all), to keys k with k & mask == key.

    Time enters a window only while the listener is `asking` for more: it has worked off all that was sent before.
    Raises ConfigError for PEs, ports and keys that nobody has.
    """

    def __init__(
        self, number: int, pes: Sequence[int], ports: Sequence[str], keys: tuple[int, int], pid: int, patience: float
    ) -> None:
        self.number, self.pes, self.ports, self.key, self.mask = number, pes, ports, *keys
        self.pid, self.patience = pid, patience
        if self.key & ~self.mask:
            raise ConfigError(f"key {self.key:#x} has bits outside mask {self.mask:#x}: it can never match")
        self.asking = False
        self.pidfd: int | None = None
        with contextlib.suppress(OSError):  # it may be another container's; then patience alone tells that it is gone
            self.pidfd = pidfd.open_process(pid) if pid > 0 else None
        self._first = np.zeros(0, np.uint32)
        self._outbox: list[NDArray[np.void]] = []
        self._given: NDArray[np.void] | None = None  # handed over, but the listener has not said that it got it
        self._batches = 0  # handed over
        self._loads = -1
        self._quiet = time.monotonic()  # since when it does not ask

    def close(self) -> None:
        """Nobody listens any more."""
        if self.pidfd is not None:
            os.close(self.pidfd)

    def clear(self) -> None:
        """Forgets what has not been fetched."""
        self._outbox, self._given = [], None

    @property
    def waiting(self) -> int:
        """Packets that have not been fetched."""
        return sum(map(len, self._outbox))

    @property
    def ready(self) -> bool:
        """Whether time may go on."""
        return self.asking and not self._outbox

    @property
    def late(self) -> bool:
        """Whether it has not asked for too long."""
        return not self.asking and time.monotonic() - self._quiet > self.patience

    def arm(self, tap: NDArray[np.void], pes: Mapping[int, Assignment], loads: int, routers: int) -> None:
        """The routers note what is wanted in the window that begins. loads: changes with the programs."""
        if self._loads != loads:
            self._loads, self._first = loads, np.zeros((len(tap["ports"]), 1 << PORT_BITS), np.uint32)
            tap["ports"] = 0
            for pe, assignment in pes.items():
                if self.pes and pe not in self.pes:
                    continue
                for number, port in enumerate(assignment.program.outputs):
                    tap["ports"][pe] |= (not self.ports or port in self.ports) << number
                    self._first[pe, number] = assignment.outputs.get(port, (0, 0))[0]
            tap["key"], tap["mask"], tap["routers"] = self.key, self.mask, routers
        tap["count"], tap["on"] = 0, 1

    def check(self, pes: Mapping[int, Assignment]) -> None:
        """Raises ConfigError if what it listens to does not exist."""
        for pe in self.pes:
            if pe not in pes:
                who = geometry.name(pe) if pe in geometry.PE_IDS else repr(pe)
                raise ConfigError(f"no program is loaded on PE {who}: nothing is sent there", pe=pe)
        known = {port for pe, a in pes.items() if not self.pes or pe in self.pes for port in a.program.outputs}
        for port in self.ports:
            if port not in known:
                text = ", ".join(sorted(known)) or "none"
                raise ConfigError(f"no program has an output port {port!r}; there are: {text}", port=port)

    def collect(self, tap: NDArray[np.void], first: int, end: int) -> None:
        """Takes in what PEs have sent in the ticks `first` to `end` - 1. Raises Spinn2Error if it is too much."""
        if not tap["on"]:
            return  # it began to listen in this window
        tap["on"] = 0
        packets, lost = tapped(tap)
        if lost:
            share = TAP_PACKETS // int(tap["routers"])
            raise Spinn2Error(
                f"PEs have sent {len(packets) + lost:,} packets that the host wants to hear, in the window of ticks "
                f"{first} to {end - 1}; a router keeps {share:,}, {lost:,} are lost, and nobody listens any more: run "
                "in shorter windows, or listen to fewer PEs, ports or keys", packets=len(packets) + lost, lost=lost,
                limit=share, tick=first,
            )  # fmt: skip
        rows = np.zeros(len(packets), SENT)
        rows["pe"], rows["port"] = packets["source"], packets["origin"] & ((1 << PORT_BITS) - 1)
        for name in ("tick", "key", "payload"):
            rows[name] = packets[name]
        rows["index"] = packets["key"] - self._first[rows["pe"], rows["port"]]
        rows["words"] = np.array([0, 1, 2, 4], np.uint8)[packets["control"] >> 4 & 3]
        self._outbox += [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]

    def ask(self, batches: int) -> None:
        """It wants more, and has got so many: an answer on which it did not wait (Ctrl-C) is given again."""
        if self._given is not None and batches < self._batches:
            self._outbox.insert(0, self._given)
            self._batches -= 1
        self._given, self.asking = None, True

    def take(self) -> NDArray[np.void]:
        """What is handed over now, (n,) of SENT; time waits then until it asks again."""
        self.asking, self._quiet = False, time.monotonic()
        if not self._outbox:
            return np.zeros(0, SENT)
        self._given = self._outbox.pop(0)
        self._batches += 1
        return self._given

    def gone(self, why: str, tick: int) -> Spinn2Error:
        """What it is told when it asks after all."""
        lost = f"{self.waiting:,} packets that it had not fetched are lost, and all that PEs send from tick {tick} on"
        return DeadlineExceeded(
            f"nobody listens any more: {why}, so time goes on without the listener; {lost}. Ask more often, or "
            "listen with more patience (`events(patience=...)`)", lost=self.waiting, tick=tick, deadline=self.patience,
        )  # fmt: skip
