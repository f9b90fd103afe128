"""Events as lines, one each, and as objects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from spinn2emu.population import column_label
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import DROPS, Event, latency_ns, payload_words
from spinn2emu.trace.table import EVENT_NAMES, INTERFACE_NAMES, SOURCE_NAMES, columns, named, neurons, populations

BLOCK_LINES = 1 << 14
RED, PLAIN = "\033[31m", "\033[0m"
_DROPS = {int(event): reason for event, reason in DROPS.items()}


def lines(trace: Trace) -> Iterator[list[str]]:
    """A line per event, in lists of BLOCK_LINES; columns are aligned over all of them, drops are red.

        tick  +ns  type  neuron  source → target  key  latency  hops  event  [port]  payload = its words as floats

    tick and ns say when the packet was sent; neuron is `exc[57]`, if the trace has populations; port is the output port
    for what was sent, else the input port; a drop has its reason there.
    """
    layout = _Layout(trace)
    for first in range(0, len(trace.events), BLOCK_LINES):
        yield layout.render(Trace(trace.events[first : first + BLOCK_LINES], trace.meta))


def objects(trace: Trace) -> Iterator[dict[str, Any]]:
    """An object per event: the columns of `table.COLUMNS` that are not about the payload, and these:

    payload: list of words; value: the first as float, text if it is not finite, None without; dropped: reason or None;
    population, neuron: None for none; id: text that an expression takes.
    """
    table = {name: column.tolist() for name, column in columns(trace).items() if not name.startswith("word")}
    sizes, words = table.pop("payload_bytes"), trace.events["payload"].tolist()
    for i, row in enumerate(zip(*table.values(), strict=True)):
        event = dict(zip(table, row, strict=True))
        event["payload"] = words[i][: sizes[i] // 4]
        event["value"] = _finite(event["value"]) if sizes[i] else None
        event["dropped"] = _DROPS[EVENT_NAMES.index(event["event"])] if event["dropped"] else None
        event["population"] = event["population"] or None
        event["neuron"] = event["neuron"] if event["population"] else None
        event["id"] = f"{event['source']}@{event['tick']}+{event['sent_ns']}"
        yield event


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


class _Layout:
    """The widths of the columns of all events of a trace."""

    def __init__(self, trace: Trace) -> None:
        events = trace.events
        self._types = _padded(trace.meta.type_names(), events["type"])
        self._events = _padded(EVENT_NAMES, events["event"])
        tick, sent = _digits(events["tick"]), _digits(events["sent"]) + 1
        self._template = f"%{tick}d  %+{sent}d ns  %s  %s%5s → %-6s  key %#010x  %s  %s  %s"
        self._width = max(map(cell_len, _neurons(trace)), default=0)
        self._arrival = f"latency %{_digits(latency_ns(events))}d ns  hops %{_digits(events['hops'])}d"
        self._no_arrival = " " * len(self._arrival % (0, 0))

    def render(self, trace: Trace) -> list[str]:
        """The lines of some of the events."""
        events = trace.events
        dropped = (events["event"] >= Event.UNROUTED).tolist()
        fields = zip(
            events["tick"].tolist(), events["sent"].tolist(), _texts(self._types, events["type"]), self._senders(trace),
            _texts(SOURCE_NAMES, events["source"]), _texts(INTERFACE_NAMES, events["target"]),
            events["key"].tolist(), self._arrivals(events), _texts(self._events, events["event"]), _ends(trace),
            strict=True,
        )  # fmt: skip
        plain = ((self._template % row).rstrip() for row in fields)
        return [RED + line + PLAIN if drop else line for line, drop in zip(plain, dropped, strict=True)]

    def _senders(self, trace: Trace) -> list[str]:
        if not self._width:
            return [""] * len(trace.events)
        return [f"{set_cell_size(text, self._width)}  " for text in _neurons(trace)]

    def _arrivals(self, events: NDArray[np.void]) -> list[str]:
        copies = (events["event"] != Event.SENT).tolist()
        rows = zip(copies, latency_ns(events).tolist(), events["hops"].tolist(), strict=True)
        return [self._arrival % (latency, hops) if copy else self._no_arrival for copy, latency, hops in rows]


def _neurons(trace: Trace) -> list[str]:
    """The neuron of each event, `exc[57]`; no text where none is known."""
    if not trace.meta.parts:
        return []
    coded = populations(trace)
    names = [column_label(name, 0) for name in coded.names]
    rows = zip(coded.codes.tolist(), neurons(trace).tolist(), strict=True)
    return [f"{names[code]}[{neuron}]" if neuron >= 0 else "" for code, neuron in rows]


def _digits(numbers: NDArray[Any]) -> int:
    return len(str(numbers.max())) if len(numbers) else 1


def _padded(names: list[str], codes: NDArray[np.uint8]) -> list[str]:
    """The names, as wide as the widest that is used."""
    width = max((len(names[code]) for code in np.flatnonzero(np.bincount(codes))), default=0)
    return [name.ljust(width) for name in names]


def _texts(names: list[str], codes: NDArray[Any]) -> list[str]:
    return [names[code] for code in codes.tolist()]


def _ends(trace: Trace) -> list[str]:
    """Port or reason, and the payload, of each event."""
    events = trace.events
    ports = _ports(trace)
    sizes = payload_words(events).tolist()
    if not any(sizes):
        return ports
    payload = np.ascontiguousarray(events["payload"])
    rows = zip(ports, sizes, payload.tolist(), payload.view(np.float32).tolist(), strict=True)
    return [port + _payload(words[:size], floats[:size]) if size else port for port, size, words, floats in rows]


def _ports(trace: Trace) -> list[str]:
    event = trace.events["event"].astype(np.int64)
    out, port = named(trace, "outputs"), named(trace, "inputs")
    texts = [f"[{name}]" for name in (*out.names, *port.names)] + [f"[{_DROPS.get(e, '')}]" for e in range(len(Event))]
    at_port = np.where(event == Event.RECEIVED, len(out.names) + port.codes, len(out.names) + len(port.names) + event)
    return _texts(texts, np.where(event == Event.SENT, out.codes, at_port))


_WORDS = {n: "  payload" + " 0x%08x" * n + " =" + " %g" * n for n in (1, 2, 4)}


def _payload(words: list[int], floats: list[float]) -> str:
    return _WORDS[len(words)] % (*words, *floats)
