"""What PEs send, as a host hears it while time goes on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2emu.packets import SENT
from spinn2host.connection import WAIT_S

if TYPE_CHECKING:
    from spinn2host.connection import Connection

KEPT = 1_000_000
"""Packets that a stream keeps until they are read."""


class SentPacket(NamedTuple):
    """A packet that a PE has sent in `tick`, on its output port `port`; index: of the key among those of the port, as
    the program gave it to `send` (packets.NO_INDEX for a port without keys); payload: 0, 1, 2 or 4 words of 32 bits;
    population: the PE's, "" without one; first: number in it of the PE's first neuron."""

    tick: int
    pe: str
    port: str
    index: int  # type: ignore[assignment]  # tuples have a method of that name, which is of no use here
    key: int
    payload: tuple[int, ...]
    population: str = ""
    first: int = 0


class Events:
    """Packets that PEs send, as they are sent: complete, by (tick, PE, sequence). `Chip.events` makes one.

    >>> with chip.events() as events:                                     # doctest: +SKIP
    ...     chip.start(1000)
    ...     for packet in events:
    ...         print(packet.tick, packet.pe, packet.index)

    Iterating ends when no run goes on and all has been delivered; it can begin again then. It may be read by one thread
    while another one runs the chip by the same handle.
    """

    def __init__(self, chip: Connection, follow: bool, **options: Any) -> None:
        self._chip, self._follow = chip, follow
        reply = chip.request("listen", pid=os.getpid(), **options)
        self.number: int = reply["listener"]
        self._kept: deque[NDArray[np.void]] = deque()
        self._count = 0
        self._batches = 0  # that have arrived
        self._loads: int | None = None
        self._programs: Mapping[str, tuple[list[str], str, int]] = {}
        self._turn = threading.Lock()
        self.closed = False

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nobody listens any more; what is kept can still be read."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(Spinn2Error):
                self._chip.request("hush", listener=self.number)

    def __iter__(self) -> Iterator[SentPacket]:
        """Packet by packet."""
        for batch in self.batches():
            yield from self.packets(batch)

    def batches(self) -> Iterator[NDArray[np.void]]:
        """As arrays (n,) of SENT, not empty: tick, key, index, payload (4 words), pe (id), port (number), words (of the
        payload). Those of a window of time come together, up to 65,536 at once.
        """
        while True:
            batch = self._next()
            if batch is None:
                if self.closed:
                    return
                if self.ask()["idle"] and not self._kept and not self._follow:
                    return
            else:
                yield batch

    def read(self) -> NDArray[np.void]:
        """All that has been delivered and not been read yet, (n,) of SENT: after a run, all that was sent in it."""
        batches = []
        while (batch := self._next()) is not None:
            batches.append(batch)
        return np.concatenate(batches) if batches else np.zeros(0, SENT)

    def packets(self, batch: NDArray[np.void]) -> Iterator[SentPacket]:
        """The packets of an array of SENT."""
        known = {}
        for pe, port in set(zip(batch["pe"].tolist(), batch["port"].tolist(), strict=True)):
            ports, population, first = self._programs.get(str(pe), ([], "", 0))
            name = ports[port] if port < len(ports) else str(port)  # the PE may have another program by now
            known[pe, port] = geometry.name(pe), name, population, first
        columns = (batch[name].tolist() for name in ("tick", "pe", "port", "index", "key", "words", "payload"))
        for tick, pe, port, index, key, words, payload in zip(*columns, strict=True):
            who, name, population, first = known[pe, port]
            yield SentPacket(tick, who, name, index, key, tuple(payload[:words]), population, first)

    def ask(self, run: int | None = None) -> dict[str, Any]:
        """Says that what was delivered has been worked off, so that time may go on; waits a moment for more, and keeps
        that. Returns the state of the run: idle, tick, run.

        Raises ConfigError if more is kept than there is room for, and what makes the chip fail.
        """
        with self._turn:
            if self._count > KEPT:
                self._chip.request("end_run")
                raise ConfigError(
                    f"{self._count:,} packets have been delivered and not been read, {KEPT:,} are kept, so the run is "
                    "ended: read them more often, run fewer ticks at a time, or use `run(on_events=...)`",
                    kept=self._count, limit=KEPT,
                )  # fmt: skip
            reply = self._chip.request(
                "fetch",
                listener=self.number,
                timeout=WAIT_S,
                follow=self._follow,
                run=run,
                loads=self._loads,
                batches=self._batches,
            )
            self._loads, self._programs = reply["loads"], reply.get("programs", self._programs)
            if rows := reply["packets"]:
                self._kept.append(np.frombuffer(rows, SENT))
                self._count += len(rows) // SENT.itemsize
                self._batches += 1
            if reply["more"]:
                reply["idle"] = False
            return reply

    def _next(self) -> NDArray[np.void] | None:
        with contextlib.suppress(IndexError):
            batch = self._kept.popleft()
            self._count -= len(batch)
            return batch
        return None
