"""What the host sends into the chip and hears from it: both pass between two windows of time, when no PE runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.chip.injections import Injections
from spinn2emu.chip.listener import Listener
from spinn2emu.chip.loading import Assignment
from spinn2emu.errors import ConfigError, Spinn2Error


class Exchange:
    """`injections`: packets of the host that wait. `listener`: the host that listens, if there is one; `ended`: by
    number, why the last one was given up. `tap`: the record `router.tap.TAP`.
    """

    def __init__(self, tap: NDArray[np.void]) -> None:
        self.tap = tap
        self.injections = Injections()
        self.listener: Listener | None = None
        self.ended: dict[int, Spinn2Error] = {}

    def clear(self) -> None:
        """Time begins anew: nothing waits to be sent or to be fetched."""
        self.injections.clear()
        if self.listener is not None:
            self.listener.clear()

    @property
    def ready(self) -> bool:
        """Whether time may enter the next window."""
        return self.listener is None or self.listener.ready

    def window_ticks(self, wanted: int | None) -> int:
        """Ticks of a window: those that were asked for, or fewer than usual while somebody listens."""
        return wanted or (spec.WINDOW_TICKS if self.listener is None else spec.LIVE_WINDOW_TICKS).value

    def begin(
        self, limit: int, pes: Mapping[int, Assignment], loads: int, routers: int
    ) -> tuple[NDArray[np.void], int]:
        """A window begins: the packets of the host that it needs, and its end, `limit` or earlier if they are many."""
        if self.listener is not None:
            self.listener.arm(self.tap, pes, loads, routers)
        return self.injections.take(limit)

    def end(self, first: int, end: int) -> None:
        """The window of ticks `first` to `end` - 1 has ended: what was sent in it can be fetched."""
        if self.listener is not None:
            try:
                self.listener.collect(self.tap, first, end)
            except Spinn2Error as error:
                self.drop(error)

    def drop(self, why: Spinn2Error | None = None) -> None:
        """Nobody listens any more; `why`: what the listener is told if it asks."""
        assert self.listener is not None
        self.tap["on"] = 0
        self.listener.close()
        self.ended = {} if why is None else {self.listener.number: why}
        self.listener = None

    def inject(self, packets: NDArray[np.void], window: int, idle: bool) -> None:
        """Takes in packets of the host, (n,) of PACKET, in any order. window: the end of the present window of time.

        Raises ConfigError, and takes in none of them, for ticks that have passed, and for more than can wait.
        """
        first = open_tick(window)
        late = packets["tick"] < first
        if late.any():
            tick, count = int(packets["tick"][late].min()), int(late.sum())
            where = f"the chip is in tick {window}" if idle else f"the chip runs to tick {window}"
            remedy = "name that one or a later one" if idle else "name a later one, or run in shorter windows"
            raise ConfigError(
                f"{count:,} of {len(packets):,} packets come too late for tick {tick}: {where}, so tick {first} is the "
                f"first in which the host can still send: {remedy}", tick=tick, earliest=first, packets=count,
            )  # fmt: skip
        self.injections.add(packets)


def open_tick(window: int) -> int:
    """The first tick that the host can still send in, if a window of time ends, or has ended, at `window`: what is sent
    before is processed in ticks that have begun."""
    return max(0, window - 1)
