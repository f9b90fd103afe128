"""The host's handle of a chip: boot or attach, load, run, look inside, halt."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spinn2emu import memory_map
from spinn2emu.cost import Cost
from spinn2emu.errors import ConfigError, DeadlineExceeded, NoSuchChip, PeDied
from spinn2emu.levels import DEFAULT_LEVEL
from spinn2emu.memory_map import MemoryMap
from spinn2host.connection import WAIT_S, check_descriptors, whole
from spinn2host.counters import Counters
from spinn2host.directories import PRIVATE, base_directory, chip_directory, is_alive, new_directory, remove, running
from spinn2host.live import Live, OnEvents
from spinn2host.pe_program import PeProgram, ports_to_wire, search_path
from spinn2host.recording import LOAD_DEADLINE_S, PeName, pe_id, pe_ids
from spinn2host.start import STUCK_AFTER_S, await_supervisor, check_options, discard, start_supervisor
from spinn2host.usage import PeUsage, costs_of, rows_of

if TYPE_CHECKING:
    from spinn2host.network import Network

INTERRUPT_DEADLINE_S = 10.0
"""For a run to end that was told to."""


@dataclass
class LogTail:
    """What a PE has logged: (tick, code, values, text) each, the text with its values filled in; `count` entries ever,
    `lost` before they could be read."""

    entries: list[tuple[int, int, tuple[float, ...], str]]
    count: int
    lost: int


class Chip(Live):
    """A chip: a private one, which lives as long as this object or its process, or a resident one.

    >>> with Chip.boot() as chip:                                         # doctest: +SKIP
    ...     chip.load("counter.py", ["1.1.0"])
    ...     chip.run(100)
    ...     chip.read("1.1.0", "ticks")
    """

    def __init__(self, directory: Path, process: subprocess.Popen[str] | None = None, lock: int = -1) -> None:
        super().__init__(directory, process, lock)
        self.maps: dict[int, MemoryMap] = {}

    @classmethod
    def boot(
        cls, cores: Sequence[int] | None = None, loop: Literal["compiled", "python"] = "compiled", *,
        name: str | None = None, pes: Sequence[PeName] | int | None = None, strict: bool = False,
        seed: int = 0, deadline: float = STUCK_AFTER_S, resident: bool = False, level: str = DEFAULT_LEVEL,
        timing: bool = True, arm: Sequence[PeName] = (),
        record: tuple[Path, Sequence[PeName], int] | None = None,
    ) -> Chip:  # fmt: skip
        """Starts a chip's supervisor.

        cores: the processor cores to share the work, with a router process on each and the PEs that it serves pinned
        there, too. None: the machine's, as many as pay (one for fewer than 16 PEs), without pinning where the system
        forbids it. Empty: one router, nothing is pinned: for few PEs whose kernels take long.

        loop: "python" runs the router's and the PEs' loops, but not the kernels, as plain Python, for debugging: slow.

        name: by which `attach` and the command line find it; a chip without gets one.

        pes: the PEs that it has, or how many (application PEs first); None: all 152.

        strict: kernels check every index, and fail with an error instead of touching somebody else's memory.

        seed: of the PEs' random numbers (`sdk.random_word` and so on), 0 to 2^32 - 1; each PE has its own numbers.

        deadline: seconds without progress after which a run counts as stuck: more for kernels that compute for long.

        resident: it goes on when this process ends, until somebody halts it.

        level: of PEs whose load does not say: "0.5V" (150 MHz) or "0.8V" (300 MHz). timing: whether PEs count what
        their code does and how long that takes; without, all of a tick's packets are sent at its begin.

        arm: PEs that execute what is loaded on them as Cortex-M4 code, in unicorn: slow, the same results.

        record: a folder, PEs, and how many activations of each are recorded there (`spinn2emu.arm.activations`).

        Results never depend on cores, loop, level and timing.

        Raises ConfigError for a name that is taken and options that are none, PeDied or DeadlineExceeded if it does not
        come up; `load` raises ConfigError for cores that cannot be used.
        """
        check_descriptors()
        options = check_options(
            cores=cores, loop=loop, strict=strict, pes=pes, seed=seed, deadline=deadline, level=level, timing=timing,
            arm=arm, record=record,
        )  # fmt: skip
        directory, lock = new_directory(name, private=not resident)
        process = None
        try:
            process = start_supervisor(directory, 0 if resident else os.getpid(), options, lock)
            await_supervisor(process, directory)
        except BaseException:
            if process is not None:
                discard(process)
            os.close(lock)
            remove(directory)
            raise
        if not resident:
            return cls(directory, process, lock)
        assert process.stdout is not None
        process.stdout.close()
        process.wait()  # the supervisor itself has left this session
        os.close(lock)
        return cls(directory)

    @classmethod
    def attach(cls, name: str | None = None) -> Chip:
        """A handle of a chip that runs; without a name, of the only resident one.

        Raises NoSuchChip, or ConfigError if several run and no name was given.
        """
        if name is None:
            names = [name for name in running(base_directory()) if not name.startswith(PRIVATE)]
            if len(names) > 1:
                raise ConfigError(f"several chips run: {', '.join(names)}: say which (`--chip NAME`)", names=names)
            if not names:
                raise NoSuchChip(f"no chip runs in {base_directory()}: `spinn2emu boot` starts one")
            name = names[0]
        directory = chip_directory(name)
        if not is_alive(directory):
            raise NoSuchChip(f"no chip named {name} runs: `spinn2emu discover` lists those that do", name=name)
        return cls(directory)

    def __enter__(self) -> Chip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            self.close()
        else:
            self.halt()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return int(self.info()["pid"])

    def info(self) -> dict[str, Any]:
        """name, pid, tick, idle, failure (text), pes (ids), programs by PE id, process ids by label, options,
        host (`waiting`: packets of the host that wait for their tick; `listener`: process that listens), arm (ids of
        the PEs that execute Cortex-M4 code)."""
        return self.request("info")

    def ps(self) -> list[dict[str, Any]]:
        """A row per PE: id, pe (name), state, program, pid, and with a program phase, tick, packets_in, packets_out,
        dropped, discarded, sram_used, sram_free (bytes), activations, level, overruns (ticks longer than the timer's
        period), slack_ns (the least that a tick has left of it; both None where no cycles are known), arm (whether it
        executes Cortex-M4 code).

        state: idle (no program), waiting, running, paused, stopped, runtime_error, dead, unresponsive;
        unknown: it has overwritten its status.
        """
        rows: list[dict[str, Any]] = self.request("ps")["pes"]
        return rows

    # --- programs ---------------------------------------------------------------------------------------------------

    def load(
        self, program: str | os.PathLike[str], pes: PeName | Iterable[PeName],
        parameters: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None, replace: bool = False,
        level: str | None = None, *, arm: bool = False, check_code: bool = False,
    ) -> None:  # fmt: skip
        """Loads a program (a module's name, or the path of a .py file) on PEs, which begin it in the present tick.

        pes: one PE, or several, which are a population in this order. parameters: of the program. data: region →
        initial contents, of the region's whole shape. replace: also where another program runs. level: of its
        clock and voltage, "0.5V" or "0.8V"; None: as the chip was booted. arm: the PEs execute it as Cortex-M4 code, in
        unicorn: slow, the same results. check_code: it is compiled for the PE, if that was not done before, to see
        whether its code fits: takes some seconds. Its ports are not connected yet: see `load_network`.

        Raises ConfigError, SramOverflow, ProgramError before anything changes.
        """
        ids, values = pe_ids(pes), dict(parameters or {})
        items = [
            PeProgram(pe, program, values, data=data or {}, index=index, size=len(ids), level=level, arm=arm)
            for index, pe in enumerate(ids)
        ]
        self.load_programs(items, replace, check_code)

    def load_programs(self, pes: Sequence[PeProgram], replace: bool = False, check_code: bool = False) -> None:
        """As `load`, for programs with ports and data of their own; the routing table stays."""
        self._load(pes, replace=replace, check_code=check_code)

    def deploy(self, pes: Sequence[PeProgram], entries: Iterable[tuple[int, int, Sequence[int]]]) -> None:
        """Replaces all programs and routing entries (key, mask, PE ids) of the chip; time starts at 0.

        Raises as `load` does.
        """
        self._load(pes, entries=entries, anew=True)

    def load_network(
        self, network: str | os.PathLike[str] | Network, replace: bool = False, check_code: bool = False
    ) -> Network:
        """Loads the programs of a network, connects its PEs, and replaces all routing entries.

        network: the path of a NETWORK.toml, or what `read_network` makes of it. Returns the latter. replace: also where
        another program runs. Raises as `load` does.
        """
        from spinn2host.network import Network, read_network

        if isinstance(network, str | os.PathLike):
            network = read_network(network)
        if not isinstance(network, Network):
            raise ConfigError(f"load_network wants the path of a TOML file, or a Network, not {type(network).__name__}")
        ports = {str(pe): ports_to_wire(*value) for pe, value in network.ports.items()}
        self._load(network.pes, entries=network.entries, ports=ports, replace=replace, check_code=check_code)
        return network

    def _load(self, pes: Sequence[PeProgram], entries: Iterable[Any] | None = None, **options: Any) -> None:
        items = [pe.to_wire() for pe in pes]
        routes = None if entries is None else [list(entry) for entry in entries]
        reply = self.request("load", LOAD_DEADLINE_S, pes=items, entries=routes, path=search_path(), **options)
        maps = [MemoryMap.from_wire(wire) for wire in reply["maps"]]
        self.maps = {int(pe): maps[number] for pe, number in reply["map_of"].items()}

    def signal(
        self, signal: Literal["pause", "resume", "stop", "reset"], pes: PeName | Iterable[PeName] | None = None
    ) -> None:
        """Signals PEs: one, several, or all that have a program (None). The chip must not be running.

        pause: the PE sleeps; time goes on without it, and what arrives for it is discarded and counted. resume: it goes
        on where it was. stop: its program ends, SRAM stays. reset: its program begins again, with its initial data, in
        the present tick; a reset of all PEs begins at tick 0, clears the counters, and heals a chip that has failed.
        """
        self.request("signal", signal=signal, pes=None if pes is None else pe_ids(pes))

    # --- time -------------------------------------------------------------------------------------------------------

    def run(
        self, ticks: int, progress: Callable[[int], None] | None = None, *, window: int | None = None,
        on_events: OnEvents | None = None, realtime_check: bool = False,
    ) -> None:  # fmt: skip
        """Lets the chip's time advance by `ticks` and waits for it; `progress` gets the slowest PE's tick.

        window: ticks after which all PEs wait for each other; None: 2,048, or 64 while somebody listens. Packets that
        the host sends (`inject`) are for the next window, what PEs send is heard at the end of the present one. Results
        never depend on it.

        on_events: gets all that PEs send, or what this handle's `events` listen to, at the end of each window, as an
        array (n,) of `packets.SENT` (see `Events.batches`); time goes on when it returns.

        realtime_check: a tick that takes longer than the timer's period is an error, TickOverrun; the run ends with its
        window, and the chip can go on. Only programs are checked whose cycles are known.

        Raises PeDied, PeFailed or ChipStuck. Ctrl-C (KeyboardInterrupt) ends the run.
        """
        with self._hearing(on_events is not None):
            self.start(ticks, window=window, realtime_check=realtime_check)
            try:
                self._wait(progress, on_events)
            except KeyboardInterrupt:
                self.interrupt()
                raise

    def start(self, ticks: int, *, window: int | None = None, realtime_check: bool = False) -> None:
        """As `run`, but does not wait."""
        self._listening()
        self._run = self.request(
            "run", ticks=whole("ticks", ticks), window=None if window is None else whole("window", window, 1),
            realtime=realtime_check,
        )["run"]  # fmt: skip

    def end_run(self) -> None:
        """Ends a run that somebody started, at the end of its present window."""
        self.request("end_run")

    def interrupt(self) -> int:
        """Ends a run, and waits until time stands still; returns the tick.

        Raises DeadlineExceeded if it has not ended after 10 s, or what made the run fail.
        """
        end = time.monotonic() + INTERRUPT_DEADLINE_S
        self.request("end_run", INTERRUPT_DEADLINE_S)
        while True:
            reply = self.request("wait", timeout=WAIT_S)
            if reply["idle"]:
                return int(reply["tick"])
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"the run has not ended within {INTERRUPT_DEADLINE_S:.0f} s, a PE is at tick {reply['tick']}: it "
                    "ends at the end of its window", deadline=INTERRUPT_DEADLINE_S, tick=reply["tick"],
                )  # fmt: skip

    # --- memory -----------------------------------------------------------------------------------------------------

    def read(self, pe: PeName, what: str | int, size: int = 0, torn: bool = False) -> np.ndarray:
        """A copy of a region, of a `region.field` if the region is a single record, or of `size` bytes at an address.

        The PE is kept between two activations meanwhile. torn: it is not, for a PE that does not return.
        """
        return self.read_many([(pe, what, size)], torn)[0]

    def read_many(self, what: Sequence[tuple[Any, ...]], torn: bool = False) -> list[np.ndarray]:
        """Copies of several regions (PE, name) or bytes (PE, address, size), all between activations of their PEs."""
        ranges = [[pe_id(pe), where, size[0] if size else 0] for pe, where, *size in what]
        data = self.request("read", ranges=ranges, torn=torn)["data"]
        return [memory_map.from_wire(wire).copy() for wire in data]

    def write(self, pe: PeName, where: str | int, values: Any, torn: bool = False) -> None:
        """Overwrites the beginning of a region, or bytes from an address; see `write_many`."""
        self.write_many([(pe, where, values)], torn)

    def write_many(self, what: Sequence[tuple[PeName, str | int, Any]], torn: bool = False) -> None:
        """Overwrites the beginning of several regions, in one request.

        Values are converted to the region's dtype. Raises ConfigError, and writes nothing, if they are more than the
        region holds, of another shape, or would lose their value.
        """
        ranges = [[pe_id(pe), where, memory_map.to_wire(np.asarray(values))] for pe, where, values in what]
        self.request("write", ranges=ranges, torn=torn)

    def memory(self, pe: PeName) -> MemoryMap:
        """Where the regions of a PE's program lie."""
        return MemoryMap.from_wire(self.request("memory", pe=pe_id(pe))["map"])

    def log(self, pe: PeName, since: int = 0) -> LogTail:
        """What a PE has logged, from its entry number `since` on, as far as its ring still holds it."""
        reply = self.request("log", pe=pe_id(pe), since=since)
        entries = [(tick, code, tuple(values), text) for tick, code, values, text in reply["entries"]]
        return LogTail(entries, reply["count"], reply["lost"])

    # --- network ----------------------------------------------------------------------------------------------------

    def counters(self) -> Counters:
        """What routers and PEs have counted since tick 0, as arrays and by name: see `Counters`."""
        reply = self.request("counters")
        keys = ("router", "hits", "pes", "quads", "frames", "activations", "overruns")
        return Counters({key: np.array(reply[key], np.int64) for key in keys}, reply["names"])

    def usage(self) -> list[PeUsage]:
        """What the PEs have done with their time since their programs were loaded: a row per PE, phase and level in
        which it ran, in the order of PEs."""
        return rows_of(self.request("usage"))

    def costs(self) -> dict[str, Cost | None]:
        """The formulas of cycles of the programs that are loaded, by name; None: nothing is known."""
        return costs_of(self.request("usage"))

    def overruns(self) -> list[dict[str, Any]]:
        """The first tick of each PE, in the present or the last run, that took longer than the timer's period: `text`,
        and the fields of `TickOverrun`."""
        late: list[dict[str, Any]] = self.request("overruns")["overruns"]
        return late

    def routes(self) -> dict[str, Any]:
        """`entries`: [key, mask, PE ids, links, hits]; `ports` by PE id: inputs {name: [[key, mask]]}, outputs;
        `programs` by PE id: names of all `inputs` and `outputs`, connected or not."""
        return self.request("routes")


def discover(deadline: float = 1.0) -> list[dict[str, Any]]:
    """All chips of this user that run: `name`, and `info`, or None for one that does not answer."""
    found: list[dict[str, Any]] = []
    for name in running(base_directory()):
        try:
            with Chip.attach(name) as chip:
                found.append({"name": name, "info": chip.request("info", deadline)})
        except DeadlineExceeded:
            found.append({"name": name, "info": None})
        except (NoSuchChip, PeDied):
            continue
    return found
