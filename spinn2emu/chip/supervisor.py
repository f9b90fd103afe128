"""The supervisor: one process per chip that links programs, forks router and PEs, serves the host link, and watches.

It names whoever dies or hangs, and whatever ends it, it leaves no process, socket or shared memory behind: children
die with it, the shared memory is anonymous, and the directory with the sockets goes last.
"""

from __future__ import annotations

import contextlib
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

import zmq

from spinn2emu import geometry, hostlink, pidfd
from spinn2emu.chip import loading, requests
from spinn2emu.chip.failures import as_error
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.network import NATIVES, Network, Options
from spinn2emu.chip.operations import Operations
from spinn2emu.chip.watch import Watch
from spinn2emu.errors import ChipStuck, ProtocolError, Spinn2Error
from spinn2emu.jit import store
from spinn2emu.jit.build import Build
from spinn2emu.refused import refusal
from spinn2emu.registers import Register

START_DEADLINE_S = 30.0
"""For all PEs to report after the fork."""


class Waiter(NamedTuple):
    """A host that waits for the chip to reach its limit, or for packets that PEs send."""

    host: bytes
    request: dict[str, Any]
    deadline: float


class Supervisor:
    """Serves one chip until a host says halt, or its owner (a process id; 0: nobody) ends."""

    def __init__(self, directory: Path, owner: int, options: Options) -> None:
        self.directory = directory
        self.memory = ChipMemory()
        self.waiters: list[Waiter] = []
        self.watch = Watch(self.memory, options.deadline)
        self.owner = pidfd.open_process(owner) if owner else None
        self.context = zmq.Context()
        self.network = Network(directory, self.memory, self.context, options)
        with contextlib.suppress(OSError):  # else later, when it is needed
            self.network.build = Build(NATIVES)  # goes on in the background, if something is missing
        name = directory.name.removeprefix(hostlink.DIRECTORY_PREFIX)
        self.operations = Operations(name, owner, self.network, self.memory, self.watch, self._await_all)
        self._later = {"wait": self.operations.state, "fetch": self.operations.live.fetch}  # answered when it is time
        self.host = self.context.socket(zmq.ROUTER)
        self.host.set(zmq.MAXMSGSIZE, hostlink.MAX_MESSAGE_BYTES)
        self.host.bind(hostlink.endpoint(directory / hostlink.SOCKET_NAME))

    # --- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Runs until halted."""
        try:
            while not self.operations.halted:
                for ready in self._poll():
                    self._handle(ready)
                self._check_time()
        finally:
            self.network.stop()
            if self.network.build is not None:
                self.network.build.cancel()
            with contextlib.suppress(Spinn2Error):
                self.network.end_trace()
            self.host.close(linger=500)
            self.context.term()

    def _poll(self) -> list[Any]:
        poller = zmq.Poller()
        if self.owner is not None:
            poller.register(self.owner, zmq.POLLIN)
        poller.register(self.host, zmq.POLLIN)
        for socket in self.network.sockets:
            poller.register(socket, zmq.POLLIN)
        for child in self.network.children:
            poller.register(child.pidfd, zmq.POLLIN)
        listener = self.network.exchange.listener
        if listener is not None and listener.pidfd is not None:
            poller.register(listener.pidfd, zmq.POLLIN)
        if self.network.tracing is not None and self.network.tracing.alive:
            poller.register(self.network.tracing.control.fileno(), zmq.POLLIN)
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
        elif self.network.tracing is not None and ready == self.network.tracing.control.fileno():
            self.network.hear_recorder()
        elif ready == self.owner:
            self.operations.halted = True
        elif not self.operations.live.note_death(ready):
            self.network.note_death(ready, self.watch.slowest(self.network.awake))

    def _check_time(self) -> None:
        network, now = self.network, time.monotonic()
        self.watch.look()
        self.operations.live.look()
        if network.held:
            self.watch.begin()
        if not network.idle and network.failure is None:
            network.failure = self.watch.stuck(network.awake, network.children)
        due = [waiter for waiter in self.waiters if waiter.deadline <= now or self._is_due(waiter.request)]
        self.waiters = [waiter for waiter in self.waiters if waiter not in due]
        for waiter in due:
            self._reply(waiter.host, waiter.request, self._later[waiter.request["op"]])

    def _is_due(self, request: dict[str, Any]) -> bool:
        if request["op"] == "fetch":
            return self.operations.live.is_due(request)
        return self.network.idle or self.network.failure is not None

    # --- requests of the host ---------------------------------------------------------------------------------------

    def _serve_request(self, host: bytes, *parts: bytes) -> None:
        try:
            request = hostlink.decode(parts[-1])
        except ProtocolError as error:
            self.host.send_multipart([host, hostlink.reply_error(error.fields.get("id", 0), error)])
            return
        try:
            requests.check(request)
        except ProtocolError as error:
            self.host.send_multipart([host, hostlink.reply_error(request["id"], error)])
            return
        if request["op"] in self._later:
            if request["op"] == "fetch":
                try:
                    self.operations.live.ask(request)
                except Spinn2Error as error:
                    self.host.send_multipart([host, hostlink.reply_error(request["id"], error)])
                    return
            self.waiters.append(Waiter(host, request, time.monotonic() + min(request.get("timeout", 1.0), 60.0)))
            return

        def report(text: str) -> None:
            self.host.send_multipart([host, hostlink.progress(request, text)])

        self.network.report = report
        self._reply(host, request, self.operations.serve)

    def _reply(
        self, host: bytes, request: dict[str, Any], operation: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        try:
            answer = hostlink.reply_ok(request, **operation(request))
        except Spinn2Error as error:
            answer = hostlink.reply_error(request["id"], error)
        except Exception as error:
            traceback.print_exc()
            answer = hostlink.reply_error(request["id"], as_error(error, repr(request["op"])))
        self.host.send_multipart([host, answer])

    def _await_all(self) -> None:
        """Waits until every PE has made its first report and the routers know this process."""
        network, deadline = self.network, time.monotonic() + START_DEADLINE_S
        while not network.idle and network.failure is None and not self.operations.halted:
            if time.monotonic() > deadline:
                late = [geometry.name(pe) for pe, a in network.application.pes.items() if not self._started(a)]
                text = f"{len(late)} of {len(network.assignments)} PEs did not start within {START_DEADLINE_S} s"
                network.failure = ChipStuck(f"{text}: {late[:8]}", tick=0, pes=late)
                break
            for ready in self._poll():
                if ready is not self.host:
                    self._handle(ready)
        if network.failure is not None:
            raise network.failure

    def _started(self, assignment: loading.Assignment) -> bool:
        sys_region = assignment.memory["sys"].view(self.memory.sram[assignment.pe])
        return bool(sys_region[Register.STATUS])


def main() -> None:
    """`python -m spinn2emu.chip.supervisor DIRECTORY OWNER_PID OPTIONS`: serves a chip, says `ready` on stdout.

    OWNER_PID: the chip ends with that process; 0 for a resident chip. OPTIONS: the fields of `network.Options`, JSON.
    """
    directory, owner, options = Path(sys.argv[1]), int(sys.argv[2]), Options(**json.loads(sys.argv[3]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    if owner == 0 and os.fork():
        os._exit(0)  # the resident chip belongs to nobody
    store.settle()
    os.chdir("/")  # nobody's folder is kept busy, and no import begins there
    try:
        supervisor = Supervisor(directory, owner, options)
    except Exception as error:
        if reason := refusal(error):
            sys.exit(reason)
        raise
    print("ready", flush=True)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    supervisor.serve()
    # After a crash the directory stays, so that the host can say why from the log; it, or the next boot, removes it.
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
