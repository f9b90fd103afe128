"""The chip's time: it runs in windows, at whose end all PEs wait for each other, and the host takes part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import zmq
from numpy.typing import NDArray

from spinn2emu.chip import loading
from spinn2emu.chip.application import Application
from spinn2emu.chip.exchange import Exchange, open_tick
from spinn2emu.chip.failures import network_stopped, pe_failed
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.overruns import Overruns
from spinn2emu.chip.tracing import Tracing
from spinn2emu.errors import Spinn2Error, TickOverrun
from spinn2emu.frames import SUPERVISOR, VERSION, FrameKind, header, new_buffer
from spinn2emu.router.state import Fault


class Clock:
    """Lets time run for the PEs of an application. `tick` is the end of the run, `idle` whether everybody has reached
    it, `held` whether time waits for the host that listens."""

    def __init__(self, memory: ChipMemory) -> None:
        self.memory = memory
        self.application = Application()
        self.sockets: list[zmq.Socket[bytes]] = []
        self.failure: Spinn2Error | None = None
        self.tracing: Tracing | None = None
        self.runs = 0  # how often time has been let run, or begun anew
        self.loads = 0  # how often processes have been started
        self.tick, self.idle = 0, True
        self.overruns, self._realtime = Overruns(memory), False
        self.exchange, self.held = Exchange(memory.tap), False
        self._begun, self._window, self._reached = 0, 0, 0  # of the window of time: begin, end, routers that are there
        self._window_ticks: int | None = None
        self._frame = new_buffer(0)

    @property
    def late(self) -> TickOverrun | None:
        """Why a run that is to keep to real time has ended."""
        return self.overruns.first if self._realtime else None

    @property
    def assignments(self) -> Mapping[int, loading.Assignment]:
        """The PEs that have programs."""
        return self.application.pes

    @property
    def awake(self) -> Mapping[int, loading.Assignment]:
        """Those that run."""
        return {assignment.pe: assignment for assignment in self.application.awake}

    def run(self, ticks: int, window: int | None = None, realtime: bool = False) -> None:
        """Lets time run on by `ticks`, in windows of so many; `idle` becomes true when all PEs have run them. realtime:
        the run ends with the window in which a tick takes longer than the timer's period."""
        self.runs += 1
        self._realtime = realtime
        self.overruns.begin()
        self._window_ticks = window
        self._begin_run(ticks)

    def _begin_run(self, ticks: int) -> None:
        self._window = self.tick
        self.tick += ticks
        self.idle = False
        if ticks:
            self.go_on()
        else:
            self._next_window()

    def go_on(self) -> None:
        """The next window of time begins, as soon as the host that listens wants it."""
        self.held = not self.exchange.ready
        if not self.held:
            self._next_window()

    def _next_window(self) -> None:
        """Time advances in windows, so that nobody runs far ahead of those whose packets he does not need."""
        size = self.exchange.window_ticks(self._window_ticks)
        limit, self._begun, self._reached = min(self.tick, (self._window // size + 1) * size), self._window, 0
        packets, self._window = self.exchange.begin(limit, self.assignments, self.loads, len(self.sockets))
        if len(packets):
            self._tell_routers(FrameKind.INJECT, packets)
        self._tell_routers(FrameKind.RUN, packets[:0])

    def _tell_routers(self, kind: FrameKind, packets: NDArray[np.void]) -> None:
        head = header(self._frame)[0]
        head["kind"], head["version"], head["pe"], head["limit"] = kind, VERSION, SUPERVISOR, self._window
        head["count"] = len(packets)
        frame = self._frame.tobytes() + packets.tobytes()
        for socket in self.sockets:
            socket.send(frame)

    def hear(self, socket: zmq.Socket[bytes]) -> None:
        """Takes in all that a router reports."""
        while socket.poll(0):
            self._hear_frame(header(np.frombuffer(socket.recv(), self._frame.dtype))[0])

    def _hear_frame(self, head: np.void) -> None:
        pe = int(head["pe"])
        if head["kind"] == FrameKind.IDLE:
            self._reached += int(head["limit"]) == self._window
            if self._reached == len(self.sockets):
                self._end_window()
        elif head["kind"] == FrameKind.FAILED:
            self.failure = self.failure or pe_failed(self.memory, self.assignments[pe])
        elif head["kind"] == FrameKind.FAULT:
            self.failure = self.failure or network_stopped(Fault(int(head["status"])), self.assignments.get(pe))

    def _end_window(self) -> None:
        self.exchange.end(self._begun, self._window)
        self.overruns.look(self.assignments)
        if self._realtime and self.overruns.found:
            self.tick = self._window
        if self._window < self.tick:
            self.go_on()
        else:
            self._end_run()

    def _end_run(self) -> None:
        if self.tracing is not None:
            self.tracing.flush()
        self.idle = self.tracing is None or not self.tracing.flushing  # else the run ends when that is done

    # --- the host ---------------------------------------------------------------------------------------------------

    @property
    def open_tick(self) -> int:
        """The first tick that the host can still send in."""
        return open_tick(self._window)

    def inject(self, packets: NDArray[np.void]) -> None:
        """Takes in packets of the host; see `Exchange.inject`."""
        self.exchange.inject(packets, self._window, self.idle)

    def ask(self, batches: int) -> None:
        """The host that listens has got so many batches, and wants more: what was sent until now is worked off."""
        assert self.exchange.listener is not None
        self.exchange.listener.ask(batches)
        if self.held:
            self.go_on()

    def end_listening(self, why: str | None = None) -> None:
        """Nobody listens any more, and time goes on. why: it was given up, for that reason."""
        listener = self.exchange.listener
        assert listener is not None
        self.exchange.drop(None if why is None else listener.gone(why, self._window))
        if self.held:
            self.go_on()

    def stop_time(self) -> None:
        """A run ends with its present window."""
        self.tick = self._window
        if self.held:
            self.held = False
            self._end_run()
