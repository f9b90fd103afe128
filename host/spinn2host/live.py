"""Live input and output of a chip: packets of the host, and the packets that PEs send, while time goes on."""

from __future__ import annotations

import contextlib
import subprocess
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import memory_map
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2host.recording import PeName, Recording, pe_ids
from spinn2host.stream import Events

PATIENCE_S = 10.0
"""For which time waits for a host that listens."""

OnEvents = Callable[[NDArray[np.void]], object]
"""Gets an array of `packets.SENT`."""


class Live(Recording):
    """What of a chip is about packets of the host and for the host; see `docs/live.md`."""

    def __init__(self, directory: Path, process: subprocess.Popen[str] | None = None, lock: int = -1) -> None:
        super().__init__(directory, process, lock)
        self._events: weakref.ref[Events] | None = None
        self._listener = 0  # their number

    def inject(self, keys: Any, ticks: Any = None, payloads: Any = None) -> int:
        """Sends multicast packets from the host into the chip's network, now or in ticks to come; between two runs, or
        while time runs. Returns the first of these ticks.

        keys: one, or (n,). ticks: in which they are sent, one or (n,); PEs process them one tick later, before
        what PEs have sent, those of one tick in the order in which they were injected. None: the first tick that is
        still open: between two runs, the one before the chip's present tick (0 at tick 0), so that PEs process them
        in that; while time runs, it depends on how far that is. payloads: 32-bit words or float32, one for all, (n,),
        or 1, 2 or 4 for each packet: (n, words).

        Raises ConfigError, and sends nothing, for a tick in which PEs cannot get them any more, more than 1,048,576
        packets that wait or 8,192 of one tick, and what are no keys, ticks or words.
        """
        key, tick = _integers("keys", keys), None if ticks is None else _integers("ticks", ticks)
        if key.ndim == 0:
            key = np.full(1 if tick is None or tick.ndim == 0 else tick.shape, key)
        content: dict[str, Any] = {"keys": memory_map.to_wire(key)}
        if tick is not None:
            content["ticks"] = memory_map.to_wire(np.full(key.shape, tick) if tick.ndim == 0 else tick)
        if payloads is not None:
            content["payloads"] = memory_map.to_wire(_words(payloads, len(key)))
        return int(self.request("inject", **content)["tick"])

    # --- packets of PEs ---------------------------------------------------------------------------------------------

    def events(
        self, pes: PeName | Iterable[PeName] = (), *, ports: str | Sequence[str] = (), key: int = 0, mask: int = 0,
        follow: bool = False, patience: float = PATIENCE_S,
    ) -> Events:  # fmt: skip
        """Listens to the packets that PEs send, from the next window of time on, until it is closed: see `Events`.

        pes, ports: those that are heard, by name or id, and name; empty: all. key, mask: keys k with k & mask == key.
        follow: iterating goes on when a run ends, and waits for the next one. One listens at a time.

        Time enters a window, of 64 ticks unless a run says otherwise, when all that was sent before has been read, so
        nothing is lost, and an answer by `inject` reaches the same tick each time. patience: seconds for which time
        waits; then it goes on without the listener, which gets DeadlineExceeded with the number of packets lost.

        Raises ConfigError for PEs, ports and keys that nobody has, and if somebody listens already.
        """
        if not isinstance(patience, Real) or not 0 < patience < float("inf"):
            raise ConfigError(f"patience is a number of seconds above 0, not {patience!r}", patience=repr(patience))
        self._listening()
        words = [ports] if isinstance(ports, str) else list(ports)
        events = Events(self, follow, pes=pe_ids(pes), ports=words, key=key, mask=mask, patience=float(patience))
        self._events, self._listener = weakref.ref(events), events.number
        return events

    def wait(self, progress: Callable[[int], None] | None = None) -> int:
        """As `Connection.wait`; what PEs send meanwhile is kept by the handle's `events`, if there are any."""
        return self._wait(progress, None)

    def _wait(self, progress: Callable[[int], None] | None, on_events: OnEvents | None) -> int:
        events = self._listening()
        if events is None:
            return super().wait(progress)
        run, self._run = self._run, None
        while True:
            reply = events.ask(run)
            run = reply["run"]
            if on_events is not None and len(batch := events.read()):
                try:
                    on_events(batch)
                except BaseException:
                    self.request("end_run")
                    raise
            if progress:
                progress(reply["tick"])
            if reply["idle"]:
                return int(reply["tick"])

    def _listening(self) -> Events | None:
        """The handle's events, if they are in use. Those that nobody has any more are closed, or time would wait."""
        events = None if self._events is None else self._events()
        if events is None and self._events is not None:
            self.request("hush", listener=self._listener)
        if events is None or events.closed:
            self._events = None
            return None
        return events

    @contextlib.contextmanager
    def _hearing(self, wanted: bool) -> Iterator[None]:
        """For a run with a callback: listens to all that is sent, unless the handle listens to something already."""
        if not wanted or self._listening() is not None:
            yield
            return
        with self.events():
            yield

    def halt(self) -> None:
        """As `Connection.halt`; nobody listens any more."""
        if self._events is not None and (events := self._events()) is not None:
            events.closed = True
        self._events = None
        super().halt()

    def close(self) -> None:
        """As `Connection.close`; it listens no more."""
        with contextlib.suppress(Spinn2Error):
            if (events := self._listening()) is not None:
                events.close()
        super().close()


def _integers(what: str, values: Any) -> np.ndarray:
    """As an array of integers, which may be empty. Raises ConfigError."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error
    if array.dtype.kind not in "iu" and array.size:
        raise ConfigError(f"{what} are integers, not {array.dtype}: {values!r}"[:200], dtype=str(array.dtype))
    return array if array.size else array.astype(np.int64)


def _words(payloads: Any, count: int) -> np.ndarray:
    """Payload words of `count` packets, (count, words); of floats their bits as float32."""
    array = np.asarray(payloads)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, np.float32).view(np.uint32).reshape(array.shape)
    else:
        array = _integers("payloads", payloads)
    if array.ndim == 0:
        array = np.full(count, array)
    return array[:, np.newaxis] if array.ndim == 1 else array
