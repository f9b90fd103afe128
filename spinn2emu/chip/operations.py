"""What a host can ask of a chip: one method per operation of the host link, from request to answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from spinn2emu import geometry, hostlink, memory_map
from spinn2emu.chip import loading, logs, processes, usage
from spinn2emu.chip.application import SIGNALS, Application
from spinn2emu.chip.code_size import check_code, code_bytes, with_code
from spinn2emu.chip.live import Live
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.network import Network
from spinn2emu.chip.watch import Watch
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2emu.memory_map import Symbol
from spinn2emu.registers import Register, Status
from spinn2emu.router.state import PeCounter
from spinn2emu.router.table import Entry

MAX_TICK = 2**32 - 2
"""Packets carry their tick in 32 bits: 49 days of 1 ms."""

Request = dict[str, Any]
Answer = dict[str, Any]


class Operations:
    """`await_all`: waits until all PEs of a new application have reported."""

    def __init__(
        self, name: str, owner: int, network: Network, memory: ChipMemory, watch: Watch, await_all: Callable[[], None]
    ) -> None:
        self.name, self.owner, self.network, self.memory, self.watch = name, owner, network, memory, watch
        self.await_all = await_all
        self.since = time.time()
        self.halted = False
        self.live = Live(network, self.state)
        self._known: dict[str, Callable[[Request], Answer]] = {
            "info": self.info, "ps": self.ps, "load": self.load, "signal": self.signal, "run": self.run,
            "state": self.state, "end_run": self.end_run, "read": self.read, "write": self.write, "memory": self.maps,
            "log": self.log, "counters": self.counters, "usage": self.usage,
            "overruns": self.overruns, "routes": self.routes, "halt": self.halt,
            "trace_start": self.trace_start, "trace_stop": self.trace_stop, **self.live.known,
        }  # fmt: skip

    def serve(self, request: Request) -> Answer:
        """The answer to a request, which has been checked."""
        return self._known[request["op"]](request)

    # --- the chip ---------------------------------------------------------------------------------------------------

    def info(self, request: Request) -> Answer:
        """What the chip is and where its time stands."""
        network, options = self.network, self.network.options
        programs = {str(pe): a.program.name for pe, a in sorted(network.assignments.items())}
        tracing = network.tracing
        return {
            "name": self.name, "pid": os.getpid(), "owner": self.owner, "since": self.since, "tick": self._tick(),
            "idle": network.idle, "failure": None if network.failure is None else network.failure.message,
            "pes": self._available(), "programs": programs, "loop": options.loop, "strict": options.strict,
            "seed": options.seed, "cores": options.cores, "timing": options.timing, "level": options.level,
            "arm": sorted(network.codes), "code_bytes": self._code_bytes(),
            "pids": {child.label: child.pid for child in network.children},
            "trace": None if tracing is None else tracing.state(), "host": self.live.state(),
        }  # fmt: skip

    def halt(self, request: Request) -> Answer:
        """The supervisor ends."""
        self.halted = True
        return {}

    def ps(self, request: Request) -> Answer:
        """A row for every PE of the chip."""
        pids = {child.pe: child.pid for child in self.network.children}
        counts = self.memory.total("pe_counts")
        return {"tick": self._tick(), "pes": [self._row(pe, pids, counts[pe]) for pe in self._available()]}

    def _row(self, pe: int, pids: dict[int, int], counts: np.ndarray) -> dict[str, Any]:
        row: dict[str, Any] = {"id": pe, "pe": geometry.name(pe), "state": "idle", "program": None, "pid": pids.get(pe)}
        assignment = self.network.assignments.get(pe)
        if assignment is None:
            return row
        program, sys = assignment.program, self._view(pe, "sys")
        phase, phases = int(sys[Register.PHASE]), [phase.name for phase in program.phases]
        return row | {
            "state": self._state_of(pe, pids.get(pe)), "program": program.name,
            "population": assignment.population or None, "first": assignment.first,
            "phase": phases[phase] if 0 <= phase < len(phases) else None, "tick": int(sys[Register.TICK]),
            "packets_in": int(sys[Register.PACKETS_IN]), "packets_out": int(sys[Register.PACKETS_OUT]),
            "dropped": int(counts[PeCounter.FIFO_LOST]), "discarded": int(counts[PeCounter.DISCARDED]),
            "sram_used": program.memory.used, "sram_free": program.memory.free,
            "activations": int(self.memory.activations[pe]), **usage.of_pe(self.memory.meters[pe]),
            "arm": pe in self.network.codes,
        }  # fmt: skip

    def _state_of(self, pe: int, pid: int | None) -> str:
        if pe in self.network.application.asleep:
            return self.network.application.asleep[pe]
        if pid is None:
            return "dead"
        if self.watch.unresponsive(pe) or processes.is_stopped(pid):
            return "unresponsive"
        status = int(self._view(pe, "sys")[Register.STATUS])
        return Status(status).name.lower() if status in list(Status) else "unknown"  # SRAM may hold anything

    # --- programs ---------------------------------------------------------------------------------------------------

    def load(self, request: Request) -> Answer:
        """Programs for `pes`, and routing `entries` (None: they stay) with the `ports` of PEs that have a program.

        `anew`: in place of all that the chip has, time begins at 0; `replace`: in place of these PEs' programs.
        """
        network, options = self.network, self.network.options
        anew = bool(request.get("anew"))
        if not anew:
            self._check_well()
        items = [item | {"program": hostlink.path_from_wire(item["program"])} for item in request["pes"]]
        folders = [hostlink.path_from_wire(folder) for folder in request.get("path") or ()]
        assignments = loading.load_all(
            items, folders, options.strict, network.report, options.level,
        )  # fmt: skip
        check_code(assignments, bool(request.get("check_code")), network.report)
        fresh = {assignment.pe for assignment in assignments}
        self._check_available(fresh)
        application = Application() if anew else network.application
        if request.get("entries") is not None:
            entries = [Entry(int(key), int(mask), *map(tuple, targets)) for key, mask, *targets in request["entries"]]
            application = application.route(entries)
        application = application.without(fresh if request.get("replace") else ()).add(assignments)
        application = application.connect(request.get("ports") or {})
        application.check()
        self._start(application, fresh, anew)
        maps: list[Any] = []
        groups: dict[int, int] = {}
        for assignment in assignments:
            if id(assignment.loaded) not in groups:
                groups[id(assignment.loaded)] = len(maps)
                maps.append(with_code(assignment.program).to_wire())
        return {"maps": maps, "map_of": {str(a.pe): groups[id(a.loaded)] for a in assignments}}

    def signal(self, request: Request) -> Answer:
        """Pauses, resumes, stops or resets PEs; a reset of all begins at tick 0 and heals a chip that failed."""
        network, signal = self.network, request["signal"]
        if signal not in SIGNALS:
            raise ConfigError(f"unknown signal {signal!r}: there are {', '.join(SIGNALS)}", signal=signal)
        pes = [int(pe) for pe in (network.assignments if request.get("pes") is None else request["pes"])]
        anew = signal == "reset" and request.get("pes") is None
        if not anew:
            self._check_well()
        application = network.application.signal(signal, pes)
        self._start(application, set(pes) if signal == "reset" else set(), anew)
        return {"tick": network.tick}

    def _start(self, application: Application, fresh: Collection[int], anew: bool) -> None:
        self.network.start(application, fresh, self.await_all, anew)
        self.watch.begin()

    # --- time -------------------------------------------------------------------------------------------------------

    def run(self, request: Request) -> Answer:
        """Lets time run; the answer comes at once. `wait` (see the supervisor) tells when it is over."""
        ticks, network = int(request["ticks"]), self.network
        if not 0 <= ticks <= MAX_TICK - network.tick:
            raise ConfigError(f"cannot run {ticks} ticks from tick {network.tick}: time goes forward, in 0..{MAX_TICK}")
        self.state(request)
        self._check_idle()
        if not network.assignments:
            raise ConfigError("no program is loaded: load one first")
        self.watch.begin()
        realtime = bool(request.get("realtime"))
        if realtime:
            self._check_metered()
        network.run(ticks, request.get("window"), realtime)
        return {"tick": network.tick, "run": network.runs}

    def end_run(self, request: Request) -> Answer:
        """A run ends as soon as its present window of ticks does."""
        if not self.network.idle:
            self.network.stop_time()
        return {"tick": self.network.tick}

    def state(self, request: Request) -> Answer:
        """Whether all have reached the end of the run; `tick`: of the slowest. Raises what made the chip fail."""
        network = self.network
        if request.get("run") not in (None, network.runs):
            raise Spinn2Error(
                f"the run was ended before its time: somebody else has reset or reloaded chip {self.name}, or started "
                "another run", run=request["run"],
            )  # fmt: skip
        if network.failure is not None:
            raise network.failure
        if network.idle and network.late is not None and request.get("run") is not None:
            raise network.late
        return {"idle": network.idle, "tick": self._tick(), "run": network.runs}

    # --- memory -----------------------------------------------------------------------------------------------------

    def read(self, request: Request) -> Answer:
        """Regions, or bytes from an address, of PEs; between their activations unless `torn`."""
        symbols = [(pe, self._symbol(pe, where, size)) for pe, where, size in request["ranges"]]
        views = [self._bytes(pe, symbol) for pe, symbol in symbols]
        with self.memory.held(() if request.get("torn") else {pe for pe, _ in symbols}):
            data = [view.tobytes() for view in views]
        return {
            "data": [
                [memory_map.dtype_to_wire(s.dtype), list(s.shape), d] for (_, s), d in zip(symbols, data, strict=True)
            ]
        }

    def write(self, request: Request) -> Answer:
        """The beginning of regions, or bytes from an address; all of it, or nothing if something does not fit."""
        targets = []
        for pe, where, wire in request["ranges"]:
            values = memory_map.from_wire(wire)
            symbol = self._symbol(pe, where, values.nbytes)
            data = np.ascontiguousarray(values if isinstance(where, int) else fit(pe, symbol, values))
            target = self._bytes(pe, symbol)[: data.nbytes]
            targets.append((pe, target, np.frombuffer(data.tobytes(), np.uint8)))
        with self.memory.held(() if request.get("torn") else {pe for pe, _, _ in targets}):
            for _, target, values in targets:
                target[:] = values
        return {}

    def maps(self, request: Request) -> Answer:
        """The memory map of a PE."""
        return {"map": with_code(self._assignment(request["pe"]).program).to_wire()}

    def log(self, request: Request) -> Answer:
        """What a PE has logged since its entry number `since`; `count`: entries ever written, `lost`: overwritten."""
        pe, since = request["pe"], int(request.get("since", 0))
        program = self._assignment(pe).program
        with self.memory.held([pe]):
            count, ring = int(self._view(pe, "sys")[Register.LOG_COUNT]), self._view(pe, "log").copy()
        first = max(since, count - len(ring), 0)
        rows = logs.entries(ring, count, first, program.logs)
        return {"count": count, "lost": max(0, first - since), "entries": rows, "program": program.name}

    # --- network ----------------------------------------------------------------------------------------------------

    def counters(self, request: Request) -> Answer:
        """All counters."""
        return {"tick": self._tick(), **self.network.counters()}

    def usage(self, request: Request) -> Answer:
        """What the meters of PEs say; see `usage.read_meters`."""
        with self.memory.held(self.network.awake):
            return usage.read_meters(self.network.assignments, self.memory)

    def overruns(self, request: Request) -> Answer:
        """The first tick of each PE, in the present or the last run, that took longer than the timer's period."""
        return {"overruns": self.network.overruns.to_wire()}

    def routes(self, request: Request) -> Answer:
        """Routing entries with their hits, the ports of the PEs with their keys, and all that their programs have."""
        application = self.network.application
        hits = self.memory.total("hits")[: len(application.entries)].tolist()
        entries = [
            [e.key, e.mask, list(e.pes), list(e.links), n] for e, n in zip(application.entries, hits, strict=True)
        ]
        return {
            "entries": entries,
            "ports": {str(pe): {"inputs": a.inputs, "outputs": a.outputs} for pe, a in application.pes.items()},
            "programs": {
                str(pe): {"inputs": list(a.program.inputs), "outputs": list(a.program.outputs)}
                for pe, a in application.pes.items()
            },
        }

    # --- traces -----------------------------------------------------------------------------------------------------

    def trace_start(self, request: Request) -> Answer:
        """Begins to record packets, between two runs; `options` as in `tracing.TraceOptions`."""
        self._check_idle()
        self.network.trace(request["options"])
        return {}

    def trace_stop(self, request: Request) -> Answer:
        """Completes the trace, between two runs or after a failure; says what is in it."""
        if self.network.failure is None:
            self._check_idle()
        return self.network.end_trace()

    # --- what the above share ---------------------------------------------------------------------------------------

    def _code_bytes(self) -> dict[str, int | None]:
        programs = {a.program.code: a.program for a in self.network.assignments.values()}
        sizes = {code: code_bytes(program) or None for code, program in programs.items()}
        return {str(pe): sizes[a.program.code] for pe, a in sorted(self.network.assignments.items())}

    def _available(self) -> list[int]:
        return list(geometry.PE_IDS if self.network.options.pes is None else self.network.options.pes)

    def _check_available(self, pes: Collection[int]) -> None:
        for pe in sorted(set(pes) - set(self._available())):
            raise ConfigError(
                f"PE {geometry.name(pe)} is not part of chip {self.name}, which was booted with "
                f"{len(self._available())} PEs", pe=pe,
            )  # fmt: skip

    def _check_idle(self) -> None:
        if not self.network.idle:
            raise ConfigError(
                f"the chip already runs to tick {self.network.tick}: wait for it (`spinn2emu run --ticks 0`), or end "
                "the run (`spinn2emu run --stop`)", tick=self.network.tick,
            )  # fmt: skip

    def _check_well(self) -> None:
        if self.network.failure is not None:
            raise ConfigError(
                "the chip has failed, its PEs stand at different ticks: reset all of them first (`spinn2emu signal "
                f"reset --all`), that begins at tick 0. It said: {self.network.failure.message}",
            )
        self._check_idle()

    def _check_metered(self) -> None:
        if not self.network.options.timing:
            raise ConfigError(
                "the chip was booted without its timing model (`--no-timing`): it cannot tell whether its ticks are "
                "shorter than the timer's period"
            )
        programs = {a.program.name: a.program.cost for a in self.network.awake.values()}
        if not any(programs.values()):
            raise ConfigError(
                f"no formula of cycles is known for {', '.join(programs) or 'any program'}: nobody can tell whether a "
                "tick is shorter than the timer's period. Let a program declare its `costs`", programs=list(programs),
            )  # fmt: skip

    def _tick(self) -> int:
        network = self.network
        return network.tick if network.idle else self.watch.slowest(network.awake)

    def _assignment(self, pe: Any) -> loading.Assignment:
        if pe not in self.network.assignments:
            who = geometry.name(pe) if pe in geometry.PE_IDS else repr(pe)
            raise ConfigError(f"no program is loaded on PE {who}", pe=pe)
        return self.network.assignments[pe]

    def _symbol(self, pe: Any, where: int | str, size: int) -> Symbol:
        if isinstance(where, str):
            return self._assignment(pe).memory.find(where)
        self.memory.range(pe, where, size)
        return Symbol(f"{where:#x}", where, np.dtype(np.uint8), (size,), "byte")

    def _bytes(self, pe: int, symbol: Symbol) -> np.ndarray:
        return self.memory.range(pe, symbol.address, symbol.nbytes)

    def _view(self, pe: int, region: str) -> np.ndarray:
        return self.network.assignments[pe].memory[region].view(self.memory.sram[pe])


def fit(pe: int, symbol: Symbol, values: np.ndarray) -> np.ndarray:
    """`Symbol.fit`, with the PE in the error."""
    try:
        return symbol.fit(values)
    except ConfigError as error:
        raise ConfigError(f"PE {geometry.name(pe)}: {error.message}", pe=pe, **error.fields) from error
