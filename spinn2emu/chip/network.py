"""The chip's processes: forks routers and PEs, and ends them; what the host asks of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import zmq
from numpy.typing import NDArray

from spinn2emu import geometry, hostlink, spec
from spinn2emu.arm.link import Image as Code
from spinn2emu.chip import execution, loading, processes, usage
from spinn2emu.chip.application import Application
from spinn2emu.chip.clock import Clock
from spinn2emu.chip.deployment import Before, Plan, check_descriptors, make_plan
from spinn2emu.chip.execution import arm_codes
from spinn2emu.chip.failures import as_error, process_died
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.tracing import Tracing
from spinn2emu.chip.watch import STUCK_AFTER_S
from spinn2emu.errors import ConfigError
from spinn2emu.frames import SUPERVISOR, identity
from spinn2emu.jit import prepare
from spinn2emu.jit.build import Build
from spinn2emu.levels import DEFAULT_LEVEL
from spinn2emu.pe import debug as pe_debug
from spinn2emu.pe import meter
from spinn2emu.pe import process as pe_process
from spinn2emu.pe.guard import guarded
from spinn2emu.pe.note import put_note
from spinn2emu.progress import tell
from spinn2emu.refused import refusal
from spinn2emu.registers import wake_up
from spinn2emu.router import debug as router_debug
from spinn2emu.router import process as router_process
from spinn2emu.router.loop import run as run_router
from spinn2emu.router.state import Counter, PeCounter
from spinn2emu.trace import recorder
from spinn2emu.trace.capture import record_packets
from spinn2emu.trace.schema import Event

NATIVES = (run_router, pe_process.run, guarded)
"""What every chip needs, compiled."""


class Options(NamedTuple):
    """How a chip's processes run; results never depend on it."""

    cores: list[int] | None = None
    """As in `placement.choose_cores`."""
    loop: str = "compiled"
    """"compiled", or "python": one router and all PEs run their loops in plain Python, for debugging."""
    strict: bool = False
    """Kernels check every index."""
    pes: list[int] | None = None
    """The PEs that programs may be loaded on; None: all."""
    seed: int = 0
    """Of the PEs' random numbers."""
    deadline: float = STUCK_AFTER_S
    """Seconds without progress after which a run counts as stuck."""
    arm: Sequence[int] = ()
    """PEs that execute whatever is loaded on them as Cortex-M4 code, beside those of which the load says so."""
    record: Sequence[Any] = ()
    """A folder, PEs and a number: of each of these PEs, so many activations are recorded there (`arm.activations`)."""
    timing: bool = True
    """Whether PEs count what their code does, and when."""
    level: str = DEFAULT_LEVEL
    """Of PEs whose load does not say."""


class Network(Clock):
    """Routers and PEs of a chip."""

    def __init__(
        self, directory: Path, memory: ChipMemory, context: zmq.Context[zmq.Socket[bytes]], options: Options
    ) -> None:
        super().__init__(memory)
        self.directory, self.context, self.options = directory, context, options
        self.quads = np.zeros(spec.QUADS.value, np.int64)
        self.children: list[processes.Child] = []
        self.report: Callable[[str], None] = tell
        self.build: Build | None = None
        self._starting = False
        self.codes: Mapping[int, Code] = {}

    def start(
        self, application: Application, fresh: Collection[int], await_all: Callable[[], None], anew: bool = False
    ) -> None:
        """Forks the processes of an application. Programs on `fresh` PEs begin in this tick, others go on.

        await_all: waits until all have reported, or raises why not. anew: the chip is cleared first, and time begins
        at 0.

        Raises ConfigError for a wrong routing table or cores, Spinn2Error if the system refuses what the processes
        need; the chip is as before then, or empty if it was to begin anew.
        """
        if anew and self.tracing is not None:
            raise ConfigError(
                f"the chip is traced to {self.tracing.path}, its time cannot begin again: stop the trace first "
                "(`spinn2emu script` and `train` have --trace)",
                path=str(self.tracing.path),
            )  # fmt: skip
        if self.tracing is not None:
            self.tracing.check(application.pes)
        plan = self._plan(application)
        check_descriptors(plan)
        self.codes = arm_codes(application, self.options.arm, self.report)
        if self.build is not None:
            self.build.wait(self.report)
            self.build = None
        prepare(NATIVES, self.report)
        before = None if anew else Before(self.application, self.quads, self.memory, fresh)
        self.stop()
        try:
            if anew:
                self._clear()
                self.runs += 1
            elif list(application.entries) != list(self.application.entries):
                self.quads = self._quads()
                self.memory.registers["hits"] = 0
            self.memory.notes[:] = 0
            self._settle(application, fresh)
            self._starting = True
            self._fork(plan)
            await_all()
        except Exception as error:
            self._roll_back(before, error, await_all)
        finally:
            self._starting = False

    def _clear(self) -> None:
        """Nothing is on the chip, at tick 0."""
        self.memory.clear()
        self.quads = np.zeros_like(self.quads)
        self.exchange.clear()
        self.held = False
        self.application, self.failure, self.tick, self.idle = Application(), None, 0, True

    def _plan(self, application: Application) -> Plan:
        plain = self.options.loop == "python"
        return make_plan(application, [] if plain else self.options.cores)

    def _fork(self, plan: Plan) -> None:
        """Starts the processes of an application whose PEs' memory is ready."""
        self.application, self.idle = plan.application, True
        self.memory.captures.restart(len(plan.shares), self.tick)
        if self.tracing is not None:
            self.tracing.name_types(plan.application.pes)
        # A new name for each load: the socket that is being closed may still reconnect to the old one's successor, and
        # would take the supervisor's identity there.
        self.loads += 1
        names = [f"{hostlink.NETWORK_NAME}{self.loads}-{r}" for r in range(len(plan.shares))]
        where = [hostlink.endpoint(self.directory / name) for name in names]
        processes.prepare_to_fork()
        memory = self.memory
        for r, share in enumerate(plan.shares):
            label = "router" if len(plan.shares) == 1 else f"router {r}"
            records = (memory.queues, memory.of_router(r), memory.captures.of_router(r), memory.tap)
            if self.options.loop == "python":
                body = partial(
                    router_debug.main, plan.endpoints, plan.application.entries, plan.connections, *records, where[r]
                )
            else:
                body = partial(router_process.main, r, share, plan.ports, *records, where)
            self.children.append(processes.fork(label, 0, body, plan.core(r)))
        for assignment in plan.application.awake:
            pe, router = assignment.pe, int(plan.home[assignment.pe])
            body = partial(self._serve, assignment, where[router])
            self.children.append(processes.fork(f"pe {geometry.name(pe)}", pe, body, plan.core(router)))
        for address in where:
            socket = self.context.socket(zmq.DEALER)
            socket.set(zmq.ROUTING_ID, identity(SUPERVISOR))
            socket.set(zmq.RECONNECT_IVL, 5)
            socket.connect(address)
            self.sockets.append(socket)
        self._begin_run(0)

    def _roll_back(self, before: Before | None, error: Exception, await_all: Callable[[], None]) -> NoReturn:
        """Not all processes could be started: ends those that were, and brings back what was there before."""
        self.stop()
        known = as_error(error, "the start of the chip's processes")
        if before is None:
            self._clear()
            raise known.extended(". The chip has no programs now") from error
        self.failure = None
        try:
            before.restore(self.memory)
            self.application, self.quads = before.application, before.quads
            self._fork(self._plan(self.application))
            await_all()
        except Exception as again:
            self.stop()
            self.idle = True
            self.failure = known.extended(". Nor could the processes that were there before be started again")
            raise self.failure from again
        raise known.extended(". The chip is as it was before") from error

    def _serve(self, assignment: loading.Assignment, endpoint: str) -> None:
        """The body of a PE's process."""
        pe, memory = assignment.pe, self.memory
        slow = self.options.loop == "python" or self.options.strict
        serve = pe_debug.main if slow else pe_process.main
        try:
            memory.keep_only(pe)
            image = execution.instead(assignment, memory, self.codes.get(pe), self.options.record)
            serve(image, memory.sram[pe], memory.guard(pe), memory.notes[pe], memory.meter(pe), endpoint)
            put_note(memory.notes[pe], "it cannot exchange frames with its router any more")
        except Exception as error:
            put_note(memory.notes[pe], refusal(error) or f"{type(error).__name__}: {error}")
            raise

    def _settle(self, application: Application, fresh: Collection[int]) -> None:
        """Brings every PE's SRAM and queue to the present tick."""
        first, queues = self.memory.registers[0], self.memory.queues
        for pe in np.flatnonzero(queues["length"][: len(self.memory.sram)]).tolist():
            if pe in fresh or pe in application.asleep or pe not in application.pes:
                count = int(queues["length"][pe])
                first["counters"][Counter.NOT_LIVE] += count
                first["pe_counts"][pe, PeCounter.DISCARDED] += count
                waiting, words = queues["packets"][pe, :count], queues["words"][pe, :count]
                capture = self.memory.captures.of_router(0)
                times = np.ascontiguousarray(waiting["time"])
                record_packets(*capture, waiting, words, int(Event.NOT_LIVE), pe, times, np.zeros_like(times))
                queues["length"][pe] = 0
        for pe, assignment in application.pes.items():
            if pe in fresh:
                loading.initialise(assignment, self.memory, self.tick, self.options.seed)
                loading.prepare_meter(assignment, self.memory, self.options.timing)
            else:
                loading.write_keys(assignment, self.memory)
            if pe not in application.asleep and wake_up(assignment.memory["sys"].view(self.memory.sram[pe]), self.tick):
                meter.rest(self.memory.meter(pe))

    def stop(self) -> None:
        """Ends all processes: PEs first, routers last."""
        processes.kill(sorted(self.children, key=lambda child: child.pe == 0))
        self.children = []
        self.memory.guards["busy"] = 0
        for socket in self.sockets:
            socket.close(linger=0)
        self.sockets = []
        for path in self.directory.glob(f"{hostlink.NETWORK_NAME}*"):
            path.unlink(missing_ok=True)

    # --- traces -----------------------------------------------------------------------------------------------------

    def trace(self, options: Mapping[str, Any]) -> None:
        """Begins a trace; see `tracing.TraceOptions`. Raises ConfigError."""
        if self.tracing is not None:
            raise ConfigError(f"the chip is traced to {self.tracing.path} already", path=str(self.tracing.path))
        prepare(recorder.NATIVES, self.report)
        self.tracing = Tracing(options, self.memory, self.assignments, len(self.sockets), self.tick)

    def hear_recorder(self) -> None:
        """Takes in what the recorder answers; a run that waited for it has ended."""
        if self.tracing is not None:
            waited = self.tracing.flushing
            self.tracing.hear()
            self.idle |= waited and not self.tracing.flushing

    def end_trace(self) -> dict[str, Any]:
        """Completes the trace. Raises ConfigError if there is none, Spinn2Error if it is not complete."""
        if self.tracing is None:
            raise ConfigError("the chip is not traced")
        tracing, self.tracing = self.tracing, None
        slack = {pe: usage.slack_ns(self.memory.meters[pe]) for pe in self.assignments}
        return tracing.stop({pe: ns for pe, ns in slack.items() if ns is not None})

    # --- what else the host asks ------------------------------------------------------------------------------------

    def counters(self) -> dict[str, list[Any]]:
        """All counters. A quad gets one copy of a packet for all its PEs; `frames` and `activations` tell of effort."""
        total = self.memory.total
        return {
            "names": [counter.name.lower() for counter in Counter],
            "router": total("counters").tolist(),
            "hits": total("hits")[: len(self.application.entries)].tolist(),
            "pes": total("pe_counts").tolist(),
            "quads": self._quads().tolist(),
            "frames": [int(total("frames")), int(total("grants"))],
            "activations": self.memory.activations.tolist(),
            "overruns": self.memory.meters["rows"]["overruns"].sum(axis=(1, 2)).tolist(),
        }

    def _quads(self) -> NDArray[np.int64]:
        """Copies that each quad got, from the hits of the present entries and those before them."""
        quads, hits = self.quads.copy(), self.memory.total("hits")
        for entry, count in zip(self.application.entries, hits, strict=False):
            quads[list({(pe - 1) // spec.PES_PER_QUAD.value for pe in entry.pes})] += count
        return quads

    def note_death(self, pidfd: int, slowest: int) -> None:
        """Reaps the child that `pidfd` stands for; the chip has failed. `slowest`: the lowest tick of any PE."""
        child = next((child for child in self.children if child.pidfd == pidfd), None)
        if child is None:
            return  # one that has ended in the meantime, for a good reason
        cause = processes.exit_cause(child.pid)
        self.children.remove(child)
        os.close(child.pidfd)
        if child.pe:
            self.memory.guards["busy"][child.pe] = 0
        failure = process_died(self.memory, child, self.assignments.get(child.pe), cause, slowest)
        if not self._starting:
            failure = failure.extended(". The chip cannot go on; reset or boot it")
        self.failure = self.failure or failure
