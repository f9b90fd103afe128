"""What PEs send as events of NIR: an index, a time, and a value where packets carry one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event, payload_words, source_name
from spinn2emu.trace.table import extra, neurons, values
from spinn2host.mapping import index_of


class Events(NamedTuple):
    """What one output port of a PE sent, with the arguments of nir.EventData, or nir.ValuedEventData if it has values.

    idx (1, n) int64: the neuron in its population, without one the key's low 16 bits; time (1, n) float64: s since
    tick 0, of the sending; value (1, n) float32: first payload word, or None if no packet has one (a packet without:
    NaN). n_neurons: highest idx + 1; t_max: s to the end of the last tick of the trace.
    """

    pe: str
    port: str
    idx: NDArray[np.int64]
    time: NDArray[np.float64]
    value: NDArray[np.float32] | None
    n_neurons: int
    t_max: float


def sent_events(trace: Trace) -> Iterator[Events]:
    """What each output port of each PE sent, by PE id and port, in order of time."""
    if not len(trace.events):
        return
    t_max = _seconds(np.array([(int(trace.events["tick"].max()) + 1) * spec.TICK_NS.value]))[0]
    sent = trace.events[trace.events["event"] == Event.SENT]
    places = sent["source"].astype(np.int64) << 8 | sent["out"]
    order = np.argsort(places, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(places[order])) + 1):
        if not len(rows):
            continue
        events = sent[rows]
        source, out = int(events["source"][0]), int(events["out"][0])
        neuron = neurons(Trace(events, trace.meta))
        idx = np.where(neuron >= 0, neuron, index_of(events["key"]))[None]
        value = values(events)[None] if payload_words(events).any() else None
        port = trace.meta.name_of("outputs", source, out)
        times = _seconds(events["time"].astype(np.int64))[None]
        yield Events(source_name(source), port, idx, times, value, int(idx.max()) + 1, float(t_max))


def _seconds(ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """s, rounded up where the nearest float would lie in the tick before: NIR divides by the length of a tick."""
    seconds = ns / 1e9
    tick = spec.TICK_NS.value
    early = np.floor(seconds / (tick / 1e9)) < ns // tick
    return np.where(early, np.nextafter(seconds, np.inf), seconds)


def save_events(path: Path, trace: Trace) -> int:
    """Writes `PE.port/idx`, `/time`, `/n_neurons`, `/t_max`, `/value` of each port to an .npz; returns how many ports.

    Raises OSError.
    """
    arrays: dict[str, Any] = {}
    nodes = 0
    for events in sent_events(trace):
        nodes += 1
        for name in ("idx", "time", "value", "n_neurons", "t_max"):
            if (content := getattr(events, name)) is not None:
                arrays[f"{events.pe}.{events.port}/{name}"] = content
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)
    return nodes


def to_nir(trace: Trace) -> Any:
    """nir.NIRGraphData: a node per PE that sends, an observable per port. Raises ConfigError without the extra."""
    nir = extra("nir")
    nodes: dict[str, dict[str, Any]] = {}
    for events in sent_events(trace):
        arguments = {"idx": events.idx, "time": events.time, "n_neurons": events.n_neurons, "t_max": events.t_max}
        if events.value is None:
            data = nir.EventData(**arguments)
        else:
            data = nir.ValuedEventData(**arguments, value=events.value)
        nodes.setdefault(events.pe, {})[events.port] = data
    return nir.NIRGraphData({pe: nir.NIRNodeData(ports) for pe, ports in nodes.items()})
