"""Tracing, the supervisor's side: what is recorded, the recorder's process, and its end."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pydantic

from spinn2emu import geometry
from spinn2emu.chip import processes
from spinn2emu.chip.loading import Assignment
from spinn2emu.errors import ConfigError, Spinn2Error, describe
from spinn2emu.trace import recorder
from spinn2emu.trace.capture import ALL, SOME, CaptureMemory, Filter, wants_everything
from spinn2emu.trace.file import TraceWriter
from spinn2emu.trace.schema import INTERFACES, Event, Meta, PeInfo, Type, type_of_port

CLOSE_DEADLINE_S = 30.0
_LAST_TICK = (1 << 32) - 1
_WORD = 0xFFFFFFFF

EventName = Literal["sent", "received", "dropped"]


class TraceOptions(pydantic.BaseModel, extra="forbid"):
    """What to record, and how to write it. Empty lists: all. `pes`: packets from or to one of them (ids)."""

    path: str
    events: list[EventName] = []
    types: list[str] = []
    without: list[str] = []
    pes: list[int] = []
    key: int = pydantic.Field(0, ge=0, le=_WORD)
    mask: int = pydantic.Field(0, ge=0, le=_WORD)
    first: int = pydantic.Field(0, ge=0, le=_LAST_TICK)
    last: int = pydantic.Field(_LAST_TICK, ge=0, le=_LAST_TICK)
    limit: int | None = pydantic.Field(None, gt=0)
    compress: bool = False

    def about(self) -> dict[str, Any]:
        """The filter, for the file: what differs from recording all."""
        written = self.model_dump(exclude_defaults=True, exclude={"path", "limit", "compress"})
        if self.pes:
            written["pes"] = [geometry.name(pe) for pe in self.pes]
        return written


class Tracing:
    """A trace that is being recorded. Raises ConfigError if it cannot begin."""

    def __init__(
        self, request: Mapping[str, Any], captures: CaptureMemory, pes: Mapping[int, Assignment], routers: int,
        tick: int,
    ) -> None:  # fmt: skip
        try:
            options = TraceOptions.model_validate(dict(request))
        except pydantic.ValidationError as error:
            raise ConfigError(f"trace: {describe(error)}") from error
        self.path, self.captures = Path(options.path), captures
        self.flushing, self.alive = False, True
        self.error: str | None = None
        wants_everything(captures)
        _set_filter(options, captures)
        recorder.prepare(captures)
        try:
            meta = Meta({geometry.name(pe): _info(pes[pe]) for pe in sorted(pes)}, options.about())
            writer = TraceWriter(self.path, meta, options.compress, options.limit)
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
        captures.filter[Filter.ON] = SOME if options.about() else ALL

    def name_types(self, pes: Mapping[int, Assignment]) -> None:
        """Takes down which output port sends packets of which type."""
        self.captures.type_of[:] = Type.MULTICAST
        for pe, assignment in pes.items():
            for port, name in enumerate(assignment.loaded.program.outputs):
                self.captures.type_of[pe, port] = type_of_port(name)

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

    def stop(self) -> dict[str, Any]:
        """Writes what is left and ends the recorder. Raises Spinn2Error if the trace is not complete."""
        self.captures.filter[Filter.ON] = 0
        if self.flushing and select.select([self.control], [], [], CLOSE_DEADLINE_S)[0]:
            self.hear()
        state: dict[str, Any] = {}
        if self._say(recorder.CLOSE) and select.select([self.control], [], [], CLOSE_DEADLINE_S)[0]:
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


def _set_filter(options: TraceOptions, captures: CaptureMemory) -> None:
    words = captures.filter
    if options.key & ~options.mask:
        raise ConfigError(f"trace: key {options.key:#x} has bits outside mask {options.mask:#x}: it can never match")
    if options.first > options.last:
        raise ConfigError(f"trace: no tick lies between {options.first} and {options.last}")
    words[Filter.KEY], words[Filter.MASK] = options.key, options.mask
    words[Filter.FIRST], words[Filter.LAST] = options.first, options.last
    if options.events:
        dropped = [event for event in Event if event >= Event.UNROUTED]
        kinds = {"sent": [Event.SENT], "received": [Event.RECEIVED], "dropped": dropped}
        words[Filter.EVENTS] = sum(1 << event for name in options.events for event in kinds[name])
    if options.types:
        captures.types[:] = 0
        captures.types[[_type(name) for name in options.types]] = 1
    captures.types[[_type(name) for name in options.without]] = 0
    if options.pes:
        wrong = [pe for pe in options.pes if not 0 < pe < INTERFACES]
        if wrong:
            raise ConfigError(f"trace: there is no PE with id {wrong[0]}", pe=wrong[0])
        captures.pes[:] = 0
        captures.pes[options.pes] = 1


def _type(name: str) -> int:
    known = {kind.name.lower(): int(kind) for kind in Type}
    if name not in known:
        raise ConfigError(f"trace: there is no packet type {name!r}: there are {', '.join(known)}", type=name)
    return known[name]


def _info(assignment: Assignment) -> PeInfo:
    program, phases = assignment.loaded.program, assignment.loaded.program.phase_list(assignment.loaded.parameters)
    name = Path(program.name).name if program.name.endswith(".py") else program.name
    return PeInfo(name, list(program.inputs), list(program.outputs), [phase.name for phase in phases])
