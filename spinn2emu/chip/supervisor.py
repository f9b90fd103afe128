"""The supervisor: one process per chip that links programs, forks router and PEs, serves the host link, and watches.

It names whoever dies or hangs, and whatever ends it, it leaves no process, socket or shared memory behind: children
die with it, the shared memory is anonymous, and the directory with the sockets goes last.
"""

from __future__ import annotations

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

from spinn2emu import geometry, link, spec
from spinn2emu.chip import loading, processes
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.watch import Watch, pe_failed
from spinn2emu.errors import ChipStuck, ConfigError, PeDied, ProtocolError, Spinn2Error
from spinn2emu.frames import SUPERVISOR, VERSION, Kind, header, identity, new_buffer
from spinn2emu.pe import process as pe_process
from spinn2emu.registers import Register, Status
from spinn2emu.router import process as router_process
from spinn2emu.router.state import Fault, build
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

    def __init__(self, directory: Path, owner: int) -> None:
        self.directory = directory
        self.memory = ChipMemory()
        self.assignments: dict[int, loading.Assignment] = {}
        self.children: list[processes.Child] = []
        self.failure: Spinn2Error | None = None
        self.loads = 0
        self.tick = 0
        self.idle = True
        self.halted = False
        self.waiters: list[Waiter] = []
        self.watch = Watch(self.memory)
        self.owner = os.pidfd_open(owner)
        self.frame = new_buffer(0)
        self.network: zmq.Socket[bytes] | None = None
        self.context = zmq.Context()
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
            self._stop_children()
            self.host.close(linger=500)
            self.context.term()

    def _poll(self) -> list[Any]:
        poller = zmq.Poller()
        poller.register(self.owner, zmq.POLLIN)
        poller.register(self.host, zmq.POLLIN)
        if self.network is not None:
            poller.register(self.network, zmq.POLLIN)
        for child in self.children:
            poller.register(child.pidfd, zmq.POLLIN)
        pending = [waiter.deadline for waiter in self.waiters]
        now = time.monotonic()
        timeout = min([1.0, *(deadline - now for deadline in pending)])
        return [what for what, _ in poller.poll(max(0, int(1000 * timeout) + 1))]

    def _handle(self, ready: Any) -> None:
        if ready is self.host:
            while self.host.poll(0):
                self._serve_request(*self.host.recv_multipart())
        elif ready is self.network and self.network is not None:
            while self.network.poll(0):
                self._hear_router(self.network.recv())
        elif ready == self.owner:
            self.halted = True
        else:
            for child in [child for child in self.children if child.pidfd == ready]:
                self._note_death(child)

    def _check_time(self) -> None:
        if not self.idle and self.failure is None:
            self.failure = self.watch.stuck(self.assignments)
        now = time.monotonic()
        due = [waiter for waiter in self.waiters if self.idle or self.failure or waiter.deadline <= now]
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
        programs = {str(pe): a.loaded.program.name for pe, a in sorted(self.assignments.items())}
        return {"pid": os.getpid(), "tick": self.tick, "idle": self.idle, "programs": programs,
                "pids": {child.label: child.pid for child in self.children}}  # fmt: skip

    def _halt(self, request: dict[str, Any]) -> dict[str, Any]:
        self.halted = True
        return {}

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replaces everything on the chip: links, initialises, forks router and PEs, waits until all report."""
        assignments = loading.link_all(request["pes"])
        entries = [Entry(int(key), int(mask), *map(tuple, targets)) for key, mask, *targets in request["entries"]]
        endpoints = [loading.endpoint(assignment) for assignment in assignments]
        table, ports, gate = build(endpoints, entries)
        self._stop_children()
        self.memory.clear()
        self.assignments = {assignment.pe: assignment for assignment in assignments}
        self.failure, self.tick, self.idle = None, 0, False
        for assignment in assignments:
            loading.initialise(assignment, self.memory)
        # A new name for each load: the socket that is being closed may still reconnect to the old one's successor, and
        # would take the supervisor's identity there.
        self.loads += 1
        where = f"ipc://{self.directory / link.NETWORK_NAME}{self.loads}"
        registers = self.memory.registers
        router_process.prepare(table, ports, gate, registers)
        pe_process.prepare()
        processes.prepare_to_fork()
        self.children.append(
            processes.fork("router", 0, lambda: router_process.main(table, ports, gate, registers, where))
        )
        for assignment in assignments:
            self._fork_pe(assignment, where)
        self._connect(where)
        self._await_all(len(assignments))
        maps: list[Any] = []
        groups: dict[int, int] = {}
        for assignment in assignments:
            if id(assignment.loaded) not in groups:
                groups[id(assignment.loaded)] = len(maps)
                maps.append(_wire_map(assignment.loaded))
        return {"maps": maps, "map_of": {str(a.pe): groups[id(a.loaded)] for a in assignments}}

    def _fork_pe(self, assignment: loading.Assignment, where: str) -> None:
        pe, image = assignment.pe, loading.image(assignment)
        sram, activations = self.memory.sram[pe], self.memory.activations[pe : pe + 1]
        body = lambda: pe_process.main(image, sram, activations, where)  # noqa: E731
        self.children.append(processes.fork(f"pe {geometry.name(pe)}", pe, body))

    def _connect(self, where: str) -> None:
        self.network = self.context.socket(zmq.DEALER)
        self.network.set(zmq.ROUTING_ID, identity(SUPERVISOR))
        self.network.set(zmq.RECONNECT_IVL, 5)
        self.network.connect(where)

    def _await_all(self, count: int) -> None:
        """Waits until every PE has made its first report and the router knows this process."""
        self._send_run(0)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.idle and self.failure is None:
            if time.monotonic() > deadline:
                late = [geometry.name(pe) for pe, a in self.assignments.items() if not self._status(a)]
                text = f"{len(late)} of {count} PEs did not start within {START_DEADLINE_S} s: {late[:8]}"
                self.failure = ChipStuck(text, tick=0, pes=late)
                break
            for ready in self._poll():
                if ready is not self.host:
                    self._handle(ready)
            if self.halted:
                return
        if self.failure is not None:
            raise self.failure

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        ticks = int(request["ticks"])
        if not 0 <= ticks <= MAX_TICK - self.tick:
            raise ConfigError(f"cannot run {ticks} ticks from tick {self.tick}: time goes forward, in 0..{MAX_TICK}")
        self._state()
        if not self.idle:
            raise ConfigError(f"the chip already runs to tick {self.tick}: wait for it first")
        if not self.assignments:
            raise ConfigError("no program is loaded: load one first")
        self.tick += ticks
        self.idle = False
        self.watch.begin()
        self._send_run(self.tick)
        return {"tick": self.tick}

    def _state(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"idle": self.idle, "tick": self.watch.slowest(self.assignments)}

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"data": [self.memory.range(pe, address, size).tobytes() for pe, address, size in request["ranges"]]}

    def _write(self, request: dict[str, Any]) -> dict[str, Any]:
        targets = [(self.memory.range(pe, address, len(data)), data) for pe, address, data in request["ranges"]]
        for target, data in targets:
            target[:] = np.frombuffer(data, np.uint8)
        return {}

    def _counters(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.memory.counters()

    # --- the network and the processes ------------------------------------------------------------------------------

    def _send_run(self, tick: int) -> None:
        assert self.network is not None
        head = header(self.frame)[0]
        head["kind"], head["version"], head["pe"], head["end"] = Kind.RUN, VERSION, SUPERVISOR, tick
        self.network.send(self.frame.tobytes())

    def _hear_router(self, data: bytes) -> None:
        head = header(np.frombuffer(data, self.frame.dtype))[0]
        pe = int(head["need"])
        if head["kind"] == Kind.IDLE:
            self.idle = int(head["end"]) == self.tick
        elif head["kind"] == Kind.FAILED:
            self.failure = self.failure or pe_failed(self.memory, self.assignments[pe], int(head["status"]))
        elif head["kind"] == Kind.FAULT:
            who = f" at PE {geometry.name(pe)}" if pe else ""
            limit = spec.FRAME_PACKETS.value
            cause = {
                Fault.QUEUE_FULL: f"more than {limit} packets wait for it; let its sources send less ahead of it",
                Fault.BAD_FRAME: "a frame was malformed",
            }[Fault(int(head["status"]))]
            self.failure = self.failure or ChipStuck(f"the network stopped{who}: {cause}", pe=pe, limit=limit)

    def _note_death(self, child: processes.Child) -> None:
        cause = processes.exit_cause(child.pid)
        self.children.remove(child)
        os.close(child.pidfd)
        if child.pe:
            assignment = self.assignments[child.pe]
            tick = int(self._registers(assignment)[Register.TICK])
            program = assignment.loaded.program.name
            who = f"PE {geometry.name(child.pe)} ({program}) died in tick {tick}"
        else:
            program, tick, who = "", self.watch.slowest(self.assignments), "the router process died"
        self.failure = self.failure or PeDied(
            f"{who}: {cause}. The chip cannot go on; boot it again", pe=child.pe, name=child.label, program=program,
            tick=tick, cause=cause,
        )  # fmt: skip

    def _registers(self, assignment: loading.Assignment) -> np.ndarray:
        return assignment.loaded.memory["sys"].view(self.memory.sram[assignment.pe])

    def _status(self, assignment: loading.Assignment) -> Status:
        return Status(int(self._registers(assignment)[Register.STATUS]))

    def _stop_children(self) -> None:
        """PEs first, the router last."""
        processes.kill(sorted(self.children, key=lambda child: child.pe == 0))
        self.children = []
        if self.network is not None:
            self.network.close(linger=0)
            self.network = None
        for path in self.directory.glob(f"{link.NETWORK_NAME}*"):
            path.unlink(missing_ok=True)


def _wire_map(loaded: loading.Loaded) -> dict[str, Any]:
    symbols = [[s.name, s.address, s.dtype.str if s.dtype.names is None else s.dtype.descr, list(s.shape), s.unit]
               for s in loaded.memory.symbols]  # fmt: skip
    return {"program": loaded.program.name, "symbols": symbols}


def main() -> None:
    """`python -m spinn2emu.chip.supervisor DIRECTORY OWNER_PID`: serves a chip, says `ready` on stdout."""
    directory, owner = Path(sys.argv[1]), int(sys.argv[2])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    supervisor = Supervisor(directory, owner)
    print("ready", flush=True)
    supervisor.serve()
    # After a crash the directory stays, so that the host can say why from the log; it, or the next boot, removes it.
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
