"""The supervisor: one process per chip that links programs, forks router and PEs, serves the host link, and watches.

It names whoever dies or hangs, and whatever ends it, it leaves no process, socket or shared memory behind: children
die with it, the shared memory is anonymous, and the directory with the sockets goes last.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

from spinn2emu import geometry, link
from spinn2emu.chip import loading
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.network import Network, Options
from spinn2emu.chip.watch import Watch
from spinn2emu.errors import ChipStuck, ConfigError, ProtocolError, Spinn2Error
from spinn2emu.registers import Register
from spinn2emu.router.table import Entry

MAX_TICK = 2**32 - 2
"""Packets carry their tick in 32 bits: 49 days of 1 ms."""

START_DEADLINE_S = 30.0
"""For all PEs to report after the fork."""


class Waiter(NamedTuple):
    """A host that waits for the chip to reach its limit."""

    host: bytes
    request: dict[str, Any]
    deadline: float


class Supervisor:
    """Serves one chip until the host says halt, or its owner ends."""

    def __init__(self, directory: Path, owner: int, options: Options) -> None:
        self.directory = directory
        self.memory = ChipMemory()
        self.halted = False
        self.waiters: list[Waiter] = []
        self.watch = Watch(self.memory)
        self.owner = os.pidfd_open(owner)
        self.context = zmq.Context()
        self.network = Network(directory, self.memory, self.context, options)
        self.host = self.context.socket(zmq.ROUTER)
        self.host.set(zmq.MAXMSGSIZE, link.MAX_MESSAGE_BYTES)
        self.host.bind(f"ipc://{directory / link.SOCKET_NAME}")

    # --- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Runs until halted."""
        try:
            while not self.halted:
                for ready in self._poll():
                    self._handle(ready)
                self._check_time()
        finally:
            self.network.stop()
            self.host.close(linger=500)
            self.context.term()

    def _poll(self) -> list[Any]:
        poller = zmq.Poller()
        poller.register(self.owner, zmq.POLLIN)
        poller.register(self.host, zmq.POLLIN)
        for socket in self.network.sockets:
            poller.register(socket, zmq.POLLIN)
        for child in self.network.children:
            poller.register(child.pidfd, zmq.POLLIN)
        pending = [waiter.deadline for waiter in self.waiters]
        now = time.monotonic()
        timeout = min([1.0, *(deadline - now for deadline in pending)])
        return [what for what, _ in poller.poll(max(0, int(1000 * timeout) + 1))]

    def _handle(self, ready: Any) -> None:
        if ready is self.host:
            while self.host.poll(0):
                self._serve_request(*self.host.recv_multipart())
        elif ready in self.network.sockets:
            self.network.hear(ready)
        elif ready == self.owner:
            self.halted = True
        else:
            self.network.note_death(ready, self.watch.slowest(self.network.assignments))

    def _check_time(self) -> None:
        network, now = self.network, time.monotonic()
        if not network.idle and network.failure is None:
            network.failure = self.watch.stuck(network.assignments)
        due = [waiter for waiter in self.waiters if network.idle or network.failure or waiter.deadline <= now]
        self.waiters = [waiter for waiter in self.waiters if waiter not in due]
        for waiter in due:
            self._reply(waiter.host, waiter.request, lambda request: self._state())

    # --- requests of the host ---------------------------------------------------------------------------------------

    def _serve_request(self, host: bytes, *parts: bytes) -> None:
        try:
            request = link.decode(parts[-1])
        except ProtocolError as error:
            self.host.send_multipart([host, link.reply_error(error.fields.get("id", 0), error)])
            return
        timeout = request.get("timeout", 1.0)
        if request.get("op") == "wait" and isinstance(timeout, int | float):
            self.waiters.append(Waiter(host, request, time.monotonic() + min(timeout, 60.0)))
            return
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "info": self._info, "load": self._load, "run": self._run, "read": self._read, "write": self._write,
            "counters": self._counters, "halt": self._halt,
        }  # fmt: skip
        self._reply(host, request, operations.get(str(request.get("op")), self._unknown))

    def _reply(
        self, host: bytes, request: dict[str, Any], operation: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        try:
            answer = link.reply_ok(request, **operation(request))
        except Spinn2Error as error:
            answer = link.reply_error(request["id"], error)
        except Exception as error:
            traceback.print_exc()
            problem = ProtocolError(f"malformed {request.get('op')!r} request: {type(error).__name__}: {error}")
            answer = link.reply_error(request["id"], problem)
        self.host.send_multipart([host, answer])

    def _unknown(self, request: dict[str, Any]) -> dict[str, Any]:
        raise ProtocolError(f"unknown operation {request.get('op')!r}")

    def _info(self, request: dict[str, Any]) -> dict[str, Any]:
        network = self.network
        programs = {str(pe): a.loaded.program.name for pe, a in sorted(network.assignments.items())}
        return {"pid": os.getpid(), "tick": network.tick, "idle": network.idle, "programs": programs,
                "pids": {child.label: child.pid for child in network.children}}  # fmt: skip

    def _halt(self, request: dict[str, Any]) -> dict[str, Any]:
        self.halted = True
        return {}

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replaces everything on the chip: links, initialises, forks routers and PEs, waits until all report."""
        assignments = loading.link_all(request["pes"], one_tick=self.network.options.loop == "python")
        entries = [Entry(int(key), int(mask), *map(tuple, targets)) for key, mask, *targets in request["entries"]]
        self.network.start(assignments, entries)
        self._await_all()
        maps: list[Any] = []
        groups: dict[int, int] = {}
        for assignment in assignments:
            if id(assignment.loaded) not in groups:
                groups[id(assignment.loaded)] = len(maps)
                maps.append(_wire_map(assignment.loaded))
        return {"maps": maps, "map_of": {str(a.pe): groups[id(a.loaded)] for a in assignments}}

    def _await_all(self) -> None:
        """Waits until every PE has made its first report and the routers know this process."""
        network, deadline = self.network, time.monotonic() + START_DEADLINE_S
        while not network.idle and network.failure is None and not self.halted:
            if time.monotonic() > deadline:
                late = [geometry.name(pe) for pe, a in network.assignments.items() if not self._started(a)]
                text = f"{len(late)} of {len(network.assignments)} PEs did not start within {START_DEADLINE_S} s"
                network.failure = ChipStuck(f"{text}: {late[:8]}", tick=0, pes=late)
                break
            for ready in self._poll():
                if ready is not self.host:
                    self._handle(ready)
        if network.failure is not None:
            raise network.failure

    def _started(self, assignment: loading.Assignment) -> bool:
        sys_region = assignment.loaded.memory["sys"].view(self.memory.sram[assignment.pe])
        return bool(sys_region[Register.STATUS])

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        ticks, network = int(request["ticks"]), self.network
        if not 0 <= ticks <= MAX_TICK - network.tick:
            raise ConfigError(f"cannot run {ticks} ticks from tick {network.tick}: time goes forward, in 0..{MAX_TICK}")
        self._state()
        if not network.idle:
            raise ConfigError(f"the chip already runs to tick {network.tick}: wait for it first")
        if not network.assignments:
            raise ConfigError("no program is loaded: load one first")
        self.watch.begin()
        network.run(ticks)
        return {"tick": network.tick}

    def _state(self) -> dict[str, Any]:
        if self.network.failure is not None:
            raise self.network.failure
        return {"idle": self.network.idle, "tick": self.watch.slowest(self.network.assignments)}

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"data": [self.memory.range(pe, address, size).tobytes() for pe, address, size in request["ranges"]]}

    def _write(self, request: dict[str, Any]) -> dict[str, Any]:
        targets = [(self.memory.range(pe, address, len(data)), data) for pe, address, data in request["ranges"]]
        for target, data in targets:
            target[:] = np.frombuffer(data, np.uint8)
        return {}

    def _counters(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.network.counters()


def _wire_map(loaded: loading.Loaded) -> dict[str, Any]:
    symbols = [[s.name, s.address, s.dtype.str if s.dtype.names is None else s.dtype.descr, list(s.shape), s.unit]
               for s in loaded.memory.symbols]  # fmt: skip
    return {"program": loaded.program.name, "symbols": symbols}


def main() -> None:
    """`python -m spinn2emu.chip.supervisor DIRECTORY OWNER_PID OPTIONS`: serves a chip, says `ready` on stdout.

    OPTIONS: the fields of `network.Options`, as JSON.
    """
    directory, owner, options = Path(sys.argv[1]), int(sys.argv[2]), Options(**json.loads(sys.argv[3]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    supervisor = Supervisor(directory, owner, options)
    print("ready", flush=True)
    supervisor.serve()
    # After a crash the directory stays, so that the host can say why from the log; it, or the next boot, removes it.
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
