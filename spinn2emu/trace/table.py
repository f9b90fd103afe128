"""A trace as a table with a row per event, for numpy, pandas and pyarrow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.packets import NO_PORT
from spinn2emu.trace.schema import INTERFACES, Event, Meta, interface_name, latency_ns, payload_words, source_name

if TYPE_CHECKING:
    from spinn2emu.trace.file import Trace

COLUMNS = {
    "time_ns": "int64, ns since tick 0: of the sending, of the arrival, of the drop",
    "tick": "uint32, in which the packet was sent",
    "sent_ns": "uint32, ns from the begin of that tick to the sending",
    "latency_ns": "int64, ns from the sending to the event; 0: it is the sending",
    "event": "text, name of schema.Event: sent, received, or why it was dropped",
    "type": "text: what kind of output port it was sent on, or its type on the chip",
    "source": "text, PE that sent it, qx.qy.p, or host",
    "target": "text, where the packet or copy was going: PE, link0 … link5, or router",
    "out": "text, output port of the source; its number where the trace does not name it, as for port and phase",
    "port": "text, input port of the target; empty: none",
    "phase": "text, of the source",
    "population": "text, of the source; empty: it has none",
    "neuron": "int64: which of its population the packet is of; -1: no population",
    "key": "uint32",
    "payload_bytes": "uint8: 0, 4, 8 or 16",
    "word0": "uint32, payload; 0 beyond its size",
    "word1": "uint32",
    "word2": "uint32",
    "word3": "uint32",
    "value": "float32 that word0 holds; NaN without a payload",
    "hops": "uint8, of the mesh, up to the place of the event",
    "dropped": "bool",
    "id": "int64, of the packet: sent and copies have it in common",
}
"""The columns, with dtype and unit. Text is str in numpy, categorical in pandas, a dictionary in arrow."""


class Coded(NamedTuple):
    """Text: row i says names[codes[i]]; `codes` (n,)."""

    codes: NDArray[Any]
    names: list[str]

    def text(self) -> NDArray[np.str_]:
        """The texts, (n,)."""
        return np.array(self.names or [""])[self.codes]


EVENT_NAMES = [event.name.lower() for event in Event if event < Event.PHASE]
INTERFACE_NAMES = [interface_name(number) for number in range(INTERFACES)]
SOURCE_NAMES = [source_name(number) for number in range(INTERFACES)]

_OWNER = {"inputs": ("target", "port"), "outputs": ("source", "out"), "phases": ("source", "phase")}


def named(trace: Trace, kind: str) -> Coded:
    """Names of the events' input ports, output ports or phases (`kind`: inputs, outputs, phases), "" for no port."""
    pe, number = _OWNER[kind]
    pairs = trace.events[pe].astype(np.int64) << 8 | trace.events[number]
    names: dict[str, int] = {}
    code_of = np.zeros(INTERFACES << 8, np.int32)
    for pair in np.flatnonzero(np.bincount(pairs)).tolist():
        name = _name(trace.meta, kind, pair >> 8, pair & 0xFF)
        code_of[pair] = names.setdefault(name, len(names))
    return Coded(code_of[pairs], list(names))


def _name(meta: Meta, kind: str, pe: int, number: int) -> str:
    return "" if kind == "inputs" and number == NO_PORT else meta.name_of(kind, pe, number)


def populations(trace: Trace) -> Coded:
    """The populations of the events' sources, "" for none."""
    names = ["", *trace.meta.populations()]
    code_of = np.zeros(INTERFACES, np.int32)
    for pe, part in trace.meta.parts.items():
        code_of[geometry.pe_id(pe)] = names.index(part.population)
    return Coded(code_of[trace.events["source"]], names)


def neurons(trace: Trace) -> NDArray[np.int64]:
    """Of the sources' populations, by what each key says besides the port, (n,); -1 for none."""
    first = np.full(INTERFACES, -1, np.int64)
    bits = np.zeros((INTERFACES, spec.MAX_PORTS.value), np.int64)
    for pe, part in trace.meta.parts.items():
        number = geometry.pe_id(pe)
        first[number] = part.first
        bits[number, : len(part.bits)] = part.bits[: spec.MAX_PORTS.value]
    source, out = trace.events["source"], trace.events["out"] % spec.MAX_PORTS.value
    result: NDArray[np.int64] = first[source] + (trace.events["key"] & bits[source, out])
    return result


def packet_ids(events: NDArray[np.void]) -> NDArray[np.int64]:
    """Of the packet of each event, (n,): 256 * (ns from tick 0 to its sending) + source."""
    sent = events["tick"].astype(np.int64) * spec.TICK_NS.value + events["sent"]
    return sent << 8 | events["source"]


def values(events: NDArray[np.void]) -> NDArray[np.float32]:
    """The float32 in the first payload word of each event, (n,); NaN where there is none."""
    result = np.ascontiguousarray(events["payload"][:, 0]).view(np.float32)
    return np.where(payload_words(events) > 0, result, np.float32(np.nan))


def _coded_columns(trace: Trace) -> dict[str, NDArray[Any] | Coded]:
    events = trace.events
    words = {f"word{i}": events["payload"][:, i] for i in range(4)}
    return {
        "time_ns": events["time"].astype(np.int64),
        "tick": events["tick"],
        "sent_ns": events["sent"],
        "latency_ns": latency_ns(events),
        "event": Coded(events["event"], EVENT_NAMES),
        "type": Coded(events["type"], trace.meta.type_names()),
        "source": Coded(events["source"], SOURCE_NAMES),
        "target": Coded(events["target"], INTERFACE_NAMES),
        "out": named(trace, "outputs"),
        "port": named(trace, "inputs"),
        "phase": named(trace, "phases"),
        "population": populations(trace),
        "neuron": neurons(trace),
        "key": events["key"],
        "payload_bytes": (4 * payload_words(events)).astype(np.uint8),
        **words,
        "value": values(events),
        "hops": events["hops"],
        "dropped": events["event"] >= Event.UNROUTED,
        "id": packet_ids(events),
    }


def columns(trace: Trace) -> dict[str, NDArray[Any]]:
    """The table as arrays (n,), by the names of COLUMNS."""
    return {
        name: column.text() if isinstance(column, Coded) else np.ascontiguousarray(column)
        for name, column in _coded_columns(trace).items()
    }


def to_pandas(trace: Trace) -> Any:
    """The table as pandas.DataFrame. Raises ConfigError without the extra."""
    pandas = extra("pandas")
    return pandas.DataFrame(
        {
            name: pandas.Categorical.from_codes(_signed(column), column.names) if isinstance(column, Coded) else column
            for name, column in _coded_columns(trace).items()
        }
    )


def to_arrow(trace: Trace) -> Any:
    """The table as pyarrow.Table. Raises ConfigError without the extra."""
    arrow = extra("pyarrow")

    def array(column: NDArray[Any] | Coded) -> Any:
        if isinstance(column, Coded):
            names = arrow.array(column.names, arrow.string())
            return arrow.DictionaryArray.from_arrays(arrow.array(_signed(column)), names)
        return arrow.array(np.ascontiguousarray(column))

    return arrow.table({name: array(column) for name, column in _coded_columns(trace).items()})


def _signed(column: Coded) -> NDArray[np.signedinteger[Any]]:
    return column.codes.astype(np.int8 if len(column.names) < 128 else np.int32)


def extra(module: str) -> Any:
    """A module that comes with the extra `trace`. Raises ConfigError without it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"this needs {module}: pip install 'spinn2emu[trace]'") from None
