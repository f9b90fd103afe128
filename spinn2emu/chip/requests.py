"""What a host may send: the contents of each request, checked before anything is done about it."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import pydantic

from spinn2emu import memory_map
from spinn2emu.errors import ConfigError, ProtocolError, describe
from spinn2emu.population import MAX_NAME


def _as_tuple(value: Any) -> Any:
    """msgpack has lists only."""
    return tuple(value) if isinstance(value, list) else value


def _as_array(wire: tuple[Any, list[int], bytes]) -> tuple[Any, list[int], bytes]:
    """Raises ValueError if shape, dtype and bytes contradict each other; what is no dtype is the operation's to say."""
    with contextlib.suppress(ConfigError):
        memory_map.from_wire(wire)
    return wire


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("a name must be printable, on one line")
    return name


_Tuple = pydantic.BeforeValidator(_as_tuple)
_Bits = Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]
_Keys = Annotated[tuple[int, int], _Tuple]
_Size = Annotated[int, pydantic.Field(ge=0)]
_Array = Annotated[tuple[Any, list[_Size], bytes], _Tuple, pydantic.AfterValidator(_as_array)]
_Entry = Annotated[tuple[int, int, list[int]] | tuple[int, int, list[int], list[int]], _Tuple]
_Name = Annotated[str, pydantic.Field(max_length=MAX_NAME), pydantic.AfterValidator(_printable)]
_Where = int | str
"""An address, or the name of a region."""


class _Request(pydantic.BaseModel, strict=True, extra="ignore"):
    """Every request has `op` and `id` besides."""


class _Ports(_Request):
    inputs: dict[str, list[_Keys]] = {}
    outputs: dict[str, _Keys] = {}
    index_bits: dict[str, _Bits] = {}


class _Item(_Ports):
    pe: int
    program: str
    parameters: dict[str, Any] = {}
    data: dict[str, _Array] = {}
    index: int = 0
    size: int = 1
    population: _Name = ""
    first: _Bits = 0
    level: str | None = None
    arm: bool = False


class _Load(_Request):
    pes: list[_Item]
    entries: list[_Entry] | None = None
    ports: dict[Annotated[str, pydantic.Field(pattern=r"^\d+$")], _Ports] | None = None
    anew: bool = False
    check_code: bool = False
    replace: bool = False
    path: list[str] = []


class _Signal(_Request):
    signal: str
    pes: list[int] | None = None


class _Run(_Request):
    ticks: int
    window: Annotated[int, pydantic.Field(ge=1)] | None = None
    realtime: bool = False


class _Inject(_Request):
    keys: _Array
    ticks: _Array | None = None
    payloads: _Array | None = None


class _Listen(_Request):
    pes: list[int] = []
    ports: list[str] = []
    key: _Bits = 0
    mask: _Bits = 0
    pid: int = 0
    patience: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class _Fetch(_Request):
    listener: int
    batches: int
    timeout: Annotated[float, pydantic.Field(allow_inf_nan=False)] = 1.0
    follow: bool = False
    run: int | None = None
    loads: int | None = None


class _Hush(_Request):
    listener: int


class _Wait(_Request):
    timeout: Annotated[float, pydantic.Field(allow_inf_nan=False)] = 1.0
    run: int | None = None


class _Read(_Request):
    ranges: list[Annotated[tuple[int, _Where, int], _Tuple]]
    torn: bool = False


class _Write(_Request):
    ranges: list[Annotated[tuple[int, _Where, _Array], _Tuple]]
    torn: bool = False


class _OfPe(_Request):
    pe: int


class _Log(_OfPe):
    since: int = 0


class _Trace(_Request):
    options: dict[str, Any]


_KNOWN: dict[str, type[_Request]] = {
    "info": _Request, "ps": _Request, "state": _Request, "end_run": _Request, "counters": _Request, "routes": _Request,
    "usage": _Request, "overruns": _Request,
    "halt": _Request, "trace_stop": _Request, "load": _Load, "signal": _Signal, "run": _Run, "wait": _Wait,
    "read": _Read, "write": _Write, "memory": _OfPe, "log": _Log, "trace_start": _Trace,
    "inject": _Inject, "listen": _Listen, "fetch": _Fetch, "hush": _Hush,
}  # fmt: skip


def check(request: dict[str, Any]) -> None:
    """Raises ProtocolError for a request that does not exist, or lacks what it needs."""
    op = request.get("op")
    known = _KNOWN.get(op) if isinstance(op, str) else None
    if known is None:
        raise ProtocolError(f"unknown operation {op!r}: there are {', '.join(_KNOWN)}")
    try:
        known.model_validate(request)
    except pydantic.ValidationError as error:
        raise ProtocolError(f"malformed {op!r} request: {describe(error)}", op=op) from error
