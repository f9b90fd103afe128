"""What a host may send: the contents of each request, checked before anything is done about it."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from spinn2emu.errors import ProtocolError, describe

Keys = tuple[int, int]
Where = int | str
"""An address, or the name of a region."""


class _Request(pydantic.BaseModel, strict=True, extra="ignore"):
    """Every request has `op` and `id` besides."""


class _Item(_Request):
    pe: int
    program: str
    parameters: dict[str, Any] = {}
    inputs: dict[str, list[list[int]]] = {}
    outputs: dict[str, list[int]] = {}
    data: dict[str, list[Any]] = {}
    index: int = 0
    size: int = 1
    index_bits: dict[str, Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]] = {}


class _Load(_Request):
    pes: list[_Item]
    entries: list[Annotated[list[int | list[int]], pydantic.Field(min_length=3, max_length=4)]] | None = None
    ports: dict[str, dict[str, Any]] | None = None
    anew: bool = False
    replace: bool = False
    path: list[str] = []


class _Signal(_Request):
    signal: str
    pes: list[int] | None = None


class _Run(_Request):
    ticks: int


class _Wait(_Request):
    timeout: float = 1.0
    run: int | None = None


class _Read(_Request):
    ranges: list[tuple[int, Where, int]]
    torn: bool = False


class _Write(_Request):
    ranges: list[tuple[int, Where, list[Any]]]
    torn: bool = False


class _OfPe(_Request):
    pe: int


class _Log(_OfPe):
    since: int = 0


class _Trace(_Request):
    options: dict[str, Any]


_KNOWN: dict[str, type[_Request]] = {
    "info": _Request, "ps": _Request, "state": _Request, "end_run": _Request, "counters": _Request, "routes": _Request,
    "halt": _Request, "trace_stop": _Request, "load": _Load, "signal": _Signal, "run": _Run, "wait": _Wait,
    "read": _Read, "write": _Write, "memory": _OfPe, "log": _Log, "trace_start": _Trace,
}  # fmt: skip


def check(request: dict[str, Any]) -> None:
    """Raises ProtocolError for a request that does not exist, or lacks what it needs."""
    op = request.get("op")
    known = _KNOWN.get(op) if isinstance(op, str) else None
    if known is None:
        raise ProtocolError(f"unknown operation {op!r}: there are {', '.join(_KNOWN)}")
    try:
        known.model_validate(_tuples(request) if op in ("read", "write") else request)
    except pydantic.ValidationError as error:
        raise ProtocolError(f"malformed {op!r} request: {describe(error)}", op=op) from error


def _tuples(request: dict[str, Any]) -> dict[str, Any]:
    """msgpack has lists only."""
    ranges = request.get("ranges")
    if not isinstance(ranges, list):
        return request
    return request | {"ranges": [tuple(item) if isinstance(item, list) else item for item in ranges]}
