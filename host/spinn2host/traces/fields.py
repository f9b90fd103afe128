"""The fields of an event that expressions may name: what they mean, which values they have, how they compare.

What an event does not have (`port` of a packet that is being sent, `value` without a payload) makes every comparison
false, also `!=`.
"""

from __future__ import annotations

import difflib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.packets import NO_PORT
from spinn2emu.population import short_name
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event, latency_ns, payload_words
from spinn2emu.trace.table import (
    EVENT_NAMES,
    INTERFACE_NAMES,
    SOURCE_NAMES,
    named,
    neurons,
    packet_ids,
    populations,
    values,
)

Mask = NDArray[np.bool_]
Column = Callable[[Trace], NDArray[Any]]

ORDER: dict[str, Callable[..., Any]] = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(UNITS)})?")
MOST_NAMES = 12
"""Names of populations that an error lists."""
_PACKET = re.compile(r"(?P<pe>[\d.]+|host)@(?P<tick>\d+)\+(?P<sent>\d+)")


@dataclass(frozen=True)
class Field(ABC):
    """`about`: what it is, for people. Values come as text; ValueError says why one cannot be."""

    about: str
    ordered: ClassVar[bool] = False

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The value that a text stands for. Raises ValueError."""

    @abstractmethod
    def equal(self, trace: Trace, value: Any) -> Mask:
        """Which events have the value, (n,). Raises ValueError if none could, in this trace."""

    def present(self, trace: Trace) -> Mask:
        """Which events have the field at all, (n,)."""
        return np.ones(len(trace.events), np.bool_)

    def order(self, trace: Trace, operator: str, value: Any) -> Mask:
        """Which events are <, <=, > or >= the value, (n,), if the field is `ordered`. Raises ValueError as `equal`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Field):
    """An integer. `is_time`: ns, or a number with one of UNITS; `bits32`: may be masked."""

    ordered: ClassVar[bool] = True
    column: Column
    has: Column | None = None
    is_time: bool = False
    bits32: bool = False

    def parse(self, text: str) -> int | float:
        if not self.is_time:
            return _integer(text)
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no time: write for example 250, 250ns, 2.5us or 30ms")
        value = Decimal(match[1]) * UNITS[match[2] or "ns"]
        return int(value) if value == int(value) else float(value)

    def equal(self, trace: Trace, value: int | float, mask: int | None = None) -> Mask:
        column = self.column(trace)
        return self.present(trace) & (column == value if mask is None else column & np.uint32(mask) == value)

    def present(self, trace: Trace) -> Mask:
        return super().present(trace) if self.has is None else self.has(trace)

    def order(self, trace: Trace, operator: str, value: int | float, mask: int | None = None) -> Mask:
        column = self.column(trace)
        result: Mask = ORDER[operator](column if mask is None else column & np.uint32(mask), value)
        return self.present(trace) & result


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is no integer: write for example 30 or 0x1f") from None


class Value(Field):
    """The float32 in the first payload word. Numbers are rounded to float32 before they are compared."""

    ordered: ClassVar[bool] = True

    def parse(self, text: str) -> np.float32:
        try:
            with np.errstate(over="ignore"):
                return np.float32(float(text))
        except ValueError:
            raise ValueError(f"{text!r} is no number: write for example 0.5, -1e-3, inf or nan") from None

    def equal(self, trace: Trace, value: np.float32) -> Mask:
        column = values(trace.events)
        return self.present(trace) & (np.isnan(column) if math.isnan(value) else column == value)

    def present(self, trace: Trace) -> Mask:
        return _has_word(0)(trace)

    def order(self, trace: Trace, operator: str, value: np.float32) -> Mask:
        result: Mask = ORDER[operator](values(trace.events), value)
        return result


@dataclass(frozen=True)
class Name(Field):
    """One of a fixed list of names, `column` by number."""

    column: Column
    names: list[str]

    def parse(self, text: str) -> int:
        name = text.lower().replace("-", "_")
        if name not in self.names:
            raise ValueError(f"there is no {text!r}{nearest(name, self.names)}\npossible: {', '.join(self.names)}")
        return self.names.index(name)

    def equal(self, trace: Trace, value: int) -> Mask:
        result: Mask = self.column(trace) == value
        return result


class TypeName(Field):
    """The type of the packet, by a name that the trace knows."""

    def parse(self, text: str) -> str:
        return text.lower().replace("-", "_")

    def equal(self, trace: Trace, value: str) -> Mask:
        names = trace.meta.type_names()
        if value not in names:
            known = trace.meta.types
            raise ValueError(f"there is no {value!r}{nearest(value, known)}\npossible: {', '.join(known)}")
        result: Mask = trace.events["type"] == names.index(value)
        return result


_PLACES = [*INTERFACE_NAMES, SOURCE_NAMES[0]]
_POSSIBLE_PLACES = "possible: a PE 1.2.1, its id, a quad 1.2 (its four PEs), a population, host, router, link0 … link5"


@dataclass(frozen=True)
class PeField(Field):
    """Where packets come from or go to, a place or population; `columns`: fields of EVENT, one of which must be it."""

    columns: tuple[str, ...]

    def parse(self, text: str) -> list[int] | str:
        if text in _PLACES:
            return [_PLACES.index(text)]
        try:
            return geometry.pe_ids(text)
        except ConfigError as error:
            if text[:1].isdigit():
                raise ValueError(f"{error.message}\n{_POSSIBLE_PLACES}") from None
            return short_name(text)

    def equal(self, trace: Trace, value: list[int] | str) -> Mask:
        value = _pes_of(trace, value) if isinstance(value, str) else value
        chosen = np.zeros(len(_PLACES), np.bool_)
        chosen[value] = True
        as_source = np.concatenate([chosen[-1:], chosen[1:]])  # 0: as a target the router, else the host
        by_column = [(as_source if column == "source" else chosen)[trace.events[column]] for column in self.columns]
        result: Mask = np.logical_or.reduce(by_column)
        return result


def _pes_of(trace: Trace, population: str) -> list[int]:
    pes = [geometry.pe_id(name) for name, part in trace.meta.parts.items() if part.population == population]
    if not pes:
        known = trace.meta.populations()
        raise ValueError(
            f"{population!r} is no place and no population of the trace{nearest(population, known)}\n{_POSSIBLE_PLACES}"
        )
    return pes


@dataclass(frozen=True)
class Named(Field):
    """A number that the trace may have a name for; `kind`: as in `table.named`."""

    ordered: ClassVar[bool] = True
    column: str
    kind: str

    def parse(self, text: str) -> int | str:
        try:
            return int(text, 0)
        except ValueError:
            return text

    def equal(self, trace: Trace, value: int | str) -> Mask:
        if isinstance(value, int):
            numbers: Mask = trace.events[self.column] == value
            return self.present(trace) & numbers
        coded = named(trace, self.kind)
        if value in coded.names:
            names: Mask = coded.codes == coded.names.index(value)
            return names
        known = sorted({name for info in trace.meta.pes.values() for name in getattr(info, self.kind)})
        if value not in known:
            possible = (
                f"possible: {', '.join(known)}, or a number" if known else "the trace has no names: write a number"
            )
            raise ValueError(f"none is called {value!r}{nearest(value, known)}\n{possible}")
        return np.zeros(len(trace.events), np.bool_)

    def present(self, trace: Trace) -> Mask:
        return super().present(trace) if self.kind != "inputs" else trace.events["port"] != NO_PORT

    def order(self, trace: Trace, operator: str, value: int | str) -> Mask:
        if isinstance(value, str):
            raise ValueError("names have no order: only == and != and in compare them")
        result: Mask = ORDER[operator](trace.events[self.column], value)
        return self.present(trace) & result


class PopulationName(Field):
    """The population of the sender, by a name that the trace knows."""

    def parse(self, text: str) -> str:
        return short_name(text)

    def equal(self, trace: Trace, value: str) -> Mask:
        coded = populations(trace)
        known = trace.meta.populations()
        if value not in known:
            some = ", ".join(known[:MOST_NAMES]) + (", …" if len(known) > MOST_NAMES else "")
            possible = f"possible: {some}" if known else "no PE of the trace has a population"
            raise ValueError(f"there is no {value!r}{nearest(value, known)}\n{possible}")
        result: Mask = coded.codes == coded.names.index(value)
        return result

    def present(self, trace: Trace) -> Mask:
        return _has_population(trace)


class PacketId(Field):
    """The packet: who sent it, when."""

    def parse(self, text: str) -> int:
        match = _PACKET.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no packet: write PE@tick+ns, as 1.2.1@30+13")
        try:
            source = 0 if match["pe"] == SOURCE_NAMES[0] else geometry.pe_id(match["pe"])
            return (int(match["tick"]) * spec.TICK_NS.value + int(match["sent"])) << 8 | source
        except ConfigError as error:
            raise ValueError(error.message) from None

    def equal(self, trace: Trace, value: int) -> Mask:
        result: Mask = packet_ids(trace.events) == value
        return result


def nearest(name: str, names: Iterable[str]) -> str:
    """A suggestion, or nothing."""
    found = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _raw(column: str) -> Column:
    return lambda trace: trace.events[column]


def _latency(trace: Trace) -> NDArray[np.int64]:
    return latency_ns(trace.events)


def _has_population(trace: Trace) -> Mask:
    return neurons(trace) >= 0


def _has_word(number: int) -> Column:
    return lambda trace: payload_words(trace.events) > number


def _word(number: int) -> Number:
    def column(trace: Trace) -> NDArray[np.uint32]:
        word: NDArray[np.uint32] = trace.events["payload"][:, number]
        return word

    return Number(f"payload word {number}", column, _has_word(number), bits32=True)


FIELDS: dict[str, Field] = {
    "event": Name("what happened: sent, received, or why it was dropped", _raw("event"), EVENT_NAMES),
    "type": TypeName("type of the packet, by the name of its output port: spike, error, …"),
    "src": PeField("the PE that sent it: 1.2.1, 1.2 for a quad's four PEs, or a population; or host", ("source",)),
    "dst": PeField("where the copy went: a PE, quad or population, router (all that is sent), link0 …", ("target",)),
    "pe": PeField("src or dst", ("source", "target")),
    "key": Number("the packet's key; also key & 0xF0000000 == 0x10000000", _raw("key"), bits32=True),
    "tick": Number("the tick in which it was sent", _raw("tick")),
    "time": Number("when the event happened, since tick 0: in ns, or with a unit, 30ms", _raw("time"), is_time=True),
    "latency": Number("from the sending to the event: in ns, or with a unit", _latency, is_time=True),
    "hops": Number("hops of the mesh up to the event", _raw("hops")),
    "population": PopulationName("the population of the sender, by name"),
    "neuron": Number("number of the neuron in the sender's population", neurons, _has_population),
    "phase": Named("phase of the sender, by number or name", "phase", "phases"),
    "out": Named("output port of the sender, by number or name", "out", "outputs"),
    "port": Named("input port of the target, by number or name", "port", "inputs"),
    "payload": Number("bytes of the payload: 0, 4, 8 or 16", lambda trace: 4 * payload_words(trace.events)),
    **{f"word{number}": _word(number) for number in range(4)},
    "value": Value("word0 as a float"),
    "id": PacketId("the packet, PE@tick+ns of the sending: 1.2.1@30+13"),
}  # fmt: skip
"""What can be compared."""

FLAGS: dict[str, Column] = {"dropped": lambda trace: trace.events["event"] >= Event.UNROUTED}
"""What is true or false, and stands alone."""
