"""Tracing, the supervisor's side: what is recorded, the recorder's process, and its end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pydantic

from spinn2emu import geometry
from spinn2emu.chip import processes
from spinn2emu.chip.loading import UNUSED, Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.descriptors import readable
from spinn2emu.errors import ConfigError, Spinn2Error, describe
from spinn2emu.population import label
from spinn2emu.registers import NO_PHASE, Register
from spinn2emu.trace import recorder
from spinn2emu.trace.capture import ALL, SOME, CaptureMemory, Filter, wants_everything
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.schema import Event, Meta, Part, PeInfo

CLOSE_DEADLINE_S = 30.0
_LAST_TICK = (1 << 32) - 1
_WORD = 0xFFFFFFFF

EventName = Literal["sent", "received", "dropped"]


class TraceOptions(pydantic.BaseModel, extra="forbid"):
    """What to record, and how to write it. Empty lists: all. `pes`: packets from or to one of them (ids, names, quads);
    `types`, `without`: names as in `schema.Meta.types`.
    """

    path: str
    events: list[EventName] = []
    types: list[str] = []
    without: list[str] = []
    pes: list[int | str] = []
    key: int = pydantic.Field(0, ge=0, le=_WORD)
    mask: int = pydantic.Field(0, ge=0, le=_WORD)
    first: int = pydantic.Field(0, ge=0, le=_LAST_TICK)
    last: int = pydantic.Field(_LAST_TICK, ge=0, le=_LAST_TICK)
    limit: int | None = pydantic.Field(None, gt=0)
    compress: bool = False

    def about(self) -> dict[str, Any]:
        """The filter, for the file: what differs from recording all."""
        written = self.model_dump(exclude_defaults=True, exclude={"path", "compress"})
        if self.pes:
            written["pes"] = [pe if isinstance(pe, str) else geometry.name(pe) for pe in self.pes]
        return written

    def chooses(self) -> bool:
        """Whether the routers have to look at what they record."""
        return bool(self.about().keys() - {"limit"})


class Tracing:
    """A trace that is being recorded. Raises ConfigError if it cannot begin."""

    def __init__(
        self, request: Mapping[str, Any], memory: ChipMemory, pes: Mapping[int, Assignment], routers: int, tick: int
    ) -> None:
        try:
            options = TraceOptions.model_validate(dict(request))
        except pydantic.ValidationError as error:
            raise ConfigError(f"trace: {describe(error)}") from error
        self.path, self.captures = Path(options.path), memory.captures
        self.flushing, self.alive = False, True
        self.error: str | None = None
        captures = memory.captures
        self.infos = {pe: _info(pes[pe]) for pe in sorted(pes)}
        names = {pe: geometry.name(pe) for pe in self.infos}
        self.meta = Meta(
            {names[pe]: info for pe, info in self.infos.items()}, options.about(),
            began={names[pe]: phase for pe in names if (phase := _phase(pes[pe], memory)) is not None},
            parts={names[pe]: _part(pes[pe]) for pe in names if pes[pe].population},
        )  # fmt: skip
        wants_everything(captures)
        _set_filter(options, captures, self.meta, tick)
        try:
            writer = TraceWriter(self.path, self.meta, options.compress, options.limit)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}", path=str(self.path)) from error
        captures.clear()
        captures.restart(routers, tick)
        self.name_types(pes)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        body = partial(recorder.main, captures, writer, theirs)
        self.child = processes.fork("recorder", 0, body, keep=[theirs.fileno(), writer.fileno()])
        theirs.close()
        writer.let_go()
        captures.filter[Filter.ON] = SOME if options.chooses() else ALL

    def check(self, pes: Mapping[int, Assignment]) -> None:
        """Raises ConfigError for programs that the trace describes otherwise: its head has been written."""
        for pe, assignment in pes.items():
            if self.infos.get(pe, _info(assignment)) != _info(assignment):
                raise ConfigError(
                    f"the chip is traced to {self.path}, which says that {self.infos[pe].program} runs on PE "
                    f"{geometry.name(pe)}, not {assignment.program.name}: stop the trace first, load before it",
                    path=str(self.path), pe=pe, program=assignment.program.name,
                )  # fmt: skip

            said, given = self.meta.parts.get(geometry.name(pe), Part("")), _part(assignment)
            if pe in self.infos and said[:2] != given[:2]:
                raise ConfigError(
                    f"the chip is traced to {self.path}, which says that PE {geometry.name(pe)} is of "
                    f"{_population(said)}, not of {_population(given)}: stop the trace first, load before it",
                    path=str(self.path), pe=pe, population=assignment.population,
                )  # fmt: skip

    def name_types(self, pes: Mapping[int, Assignment]) -> None:
        """Takes down which output port sends packets of which type. Of PEs that got a program since the trace began,
        ports have no names in it, and no type but those that it knows: what else they send is multicast."""
        infos = {geometry.name(pe): self.infos.get(pe) or _info(assignment) for pe, assignment in pes.items()}
        self.captures.type_of[:] = replace(self.meta, pes=infos).type_table()

    def state(self) -> dict[str, Any]:
        """What the host is told while it goes on; `error`: why it is not complete, or None."""
        return {"path": str(self.path), "pid": self.child.pid, "error": self.error}

    def flush(self) -> None:
        """Asks the recorder to write all that is complete; `hear` says when that is done."""
        self.flushing = self._say(recorder.FLUSH)

    def hear(self) -> dict[str, Any]:
        """Takes in the recorder's answer, or that it has died; returns the answer."""
        try:
            answer = self.control.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return {}
        except ConnectionError:
            answer = b""
        self.flushing = False
        if not answer:
            self.captures.filter[Filter.ON], self.alive = 0, False
            self.error = self.error or "the recorder has died"
            return {}
        state: dict[str, Any] = json.loads(answer)
        self.error = self.error or state["error"]
        return state

    def stop(self, slack: Mapping[int, int]) -> dict[str, Any]:
        """Writes what is left and ends the recorder; `slack`: see `trace.file.Trace`.

        Raises Spinn2Error if the trace is not complete.
        """
        for pe, ns in slack.items():
            self.captures.shared["slack"][pe] = ns
        self.captures.filter[Filter.ON] = 0
        if self.flushing and readable([self.control], CLOSE_DEADLINE_S):
            self.hear()
        state: dict[str, Any] = {}
        if self._say(recorder.CLOSE) and readable([self.control], CLOSE_DEADLINE_S):
            state = self.hear()
        self.control.close()
        cause = processes.end(self.child)
        if self.error is None and not state:
            self.error = f"the recorder has {cause}"
        if self.error is not None:
            raise Spinn2Error(f"the trace {self.path} is not complete: {self.error}", path=str(self.path))
        return {"path": str(self.path), "events": state["events"], "bytes": self.path.stat().st_size}

    def _say(self, what: bytes) -> bool:
        try:
            self.control.send(what)
        except OSError:
            return False
        return True


def _set_filter(options: TraceOptions, captures: CaptureMemory, meta: Meta, tick: int) -> None:
    words = captures.filter
    if options.key & ~options.mask:
        raise ConfigError(f"trace: key {options.key:#x} has bits outside mask {options.mask:#x}: it can never match")
    if options.first > options.last:
        raise ConfigError(f"trace: no tick lies between {options.first} and {options.last}")
    if options.last < tick:
        raise ConfigError(
            f"trace: tick {options.last} has passed, the chip is in tick {tick}", last=options.last, tick=tick
        )
    words[Filter.KEY], words[Filter.MASK] = options.key, options.mask
    words[Filter.FIRST], words[Filter.LAST] = options.first, options.last
    if options.events:
        dropped = [event for event in Event if Event.UNROUTED <= event <= Event.OFF_CHIP]
        kinds = {"sent": [Event.SENT], "received": [Event.RECEIVED], "dropped": dropped}
        words[Filter.EVENTS] = sum(1 << event for name in options.events for event in kinds[name])
    if options.types:
        captures.types[:] = 0
        captures.types[_types(options.types, meta)] = 1
    captures.types[_types(options.without, meta)] = 0
    if options.pes:
        captures.pes[:] = 0
        captures.pes[[pe for given in options.pes for pe in _used(given, meta)]] = 1


def _types(names: Iterable[str], meta: Meta) -> list[int]:
    """The numbers of types. Raises ConfigError for a name that none has."""
    wanted = [name.lower().replace("-", "_") for name in names]
    for name in wanted:
        if name not in meta.types:
            raise ConfigError(
                f"trace: the programs send no packets of type {name!r}: there are {', '.join(meta.types)}", type=name,
                types=list(meta.types),
            )  # fmt: skip
    return [list(meta.types).index(name) for name in wanted]


def _used(given: int | str, meta: Meta) -> list[int]:
    """The PEs that are meant. Raises ConfigError if they do not exist, or none has a program."""
    pes = geometry.pe_ids(str(given))
    if not any(geometry.name(pe) in meta.pes for pe in pes):
        where = f"quad {given}: none of its PEs has" if len(pes) > 1 else f"PE {geometry.name(pes[0])}: it has no"
        raise ConfigError(
            f"trace: nothing can be recorded of {where} {'a ' if len(pes) > 1 else ''}program (see `spinn2emu ps`)",
            pes=pes,
        )  # fmt: skip
    return pes


def _info(assignment: Assignment) -> PeInfo:
    program = assignment.program
    name = Path(program.name).name if program.name.endswith(".py") else program.name
    return PeInfo(name, list(program.inputs), list(program.outputs), [phase.name for phase in program.phases])


def _part(assignment: Assignment) -> Part:
    ports = (assignment.outputs.get(port, UNUSED) for port in assignment.program.outputs)
    return Part(assignment.population, assignment.first, [_WORD ^ mask for _, mask in ports])


def _population(part: Part) -> str:
    return f"population {label(part.population, part.first)}" if part.population else "no population"


def _phase(assignment: Assignment, memory: ChipMemory) -> tuple[int, int] | None:
    """The phase that the PE is in and its first tick; None: it has not begun."""
    words = assignment.memory["sys"].view(memory.sram[assignment.pe])
    phase = int(words[Register.PHASE])
    return None if phase == NO_PHASE else (phase, int(words[Register.PHASE_START]))
