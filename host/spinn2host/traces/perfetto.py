"""A trace for ui.perfetto.dev: Chrome's trace events, as JSON.

A process per quad, a thread per PE; a slice per phase of the PE, in it a slice of 1 ns per event, an arrow from each
packet's sending to each of its copies, and the packets of each tick by type as a counter. Times are virtual µs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.population import label
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import INTERFACES, LINK, TYPES, Event, interfaces
from spinn2emu.trace.table import EVENT_NAMES, INTERFACE_NAMES, SOURCE_NAMES, packet_ids
from spinn2host.traces import phases
from spinn2host.traces.files import open_for_writing

BLOCK = 1 << 14
ROUTER_PROCESS = 1
"""pid of the event router and the links; quad k has k + 2."""
SLICE, START, FINISH = range(3)
ENDS = ["" if name == "sent" else f" {name}" for name in EVENT_NAMES]
"""Of the names of slices, by event."""


def save(path: Path, trace: Trace) -> None:
    """Writes the file, compressed by gzip if its name ends in .gz. Raises OSError."""
    with open_for_writing(path) as file:
        file.write(b'{"displayTimeUnit":"ns","traceEvents":[\n')
        file.write(b",\n".join(_names(trace)))
        for part in (_phases, _events, _counters):
            for block in part(trace):
                file.write(b",\n" + ",\n".join(block).encode())
        file.write(b"\n]}\n")


def _process(interface: int) -> int:
    return (interface - 1) // spec.PES_PER_QUAD.value + 2 if 0 < interface < LINK else ROUTER_PROCESS


_PLACES = [f'"pid":{_process(number)},"tid":{number + 1}' for number in range(INTERFACES)]


def _names(trace: Trace) -> list[bytes]:
    """Names of the processes and threads that have events or phases."""
    with_events = np.concatenate([[0], trace.events["source"], interfaces(trace.events), _shown(trace)["pe"]])
    named = np.flatnonzero(np.bincount(with_events.astype(np.int64)))
    processes = {ROUTER_PROCESS: "event router"}
    rows = []
    for number in named.tolist():
        name = INTERFACE_NAMES[number]
        if 0 < number < LINK:
            x, y, _ = geometry.position(number)
            processes[_process(number)] = f"quad {x}.{y}"
        program = f" {trace.meta.pes[name].program}" if name in trace.meta.pes else ""
        part = trace.meta.parts.get(name)
        population = f" {label(part.population, part.first)}" if part else ""
        rows.append({"ph": "M", "name": "thread_name", "pid": _process(number), "tid": number + 1,
                     "args": {"name": name + program + population}})  # fmt: skip
    heads = [{"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}} for pid, name in processes.items()]
    return [json.dumps(row, separators=(",", ":")).encode() for row in heads + rows]


def _shown(trace: Trace) -> NDArray[np.void]:
    """The phases of the ticks that the events are of."""
    known = phases.stretches(trace)
    if not len(trace.events):
        return known[:0]
    first, end = int(trace.events["tick"].min()), int(trace.events["tick"].max()) + 1
    known = known[(known["begin"] < end) & (known["end"] > first)]
    known["begin"], known["end"] = np.maximum(known["begin"], first), np.minimum(known["end"], end)
    return known


def _phases(trace: Trace) -> Iterator[list[str]]:
    """A slice for each phase of each PE."""
    known, us = _shown(trace), spec.TICK_NS.value // 1000
    names = {pair: json.dumps(trace.meta.name_of("phases", *pair)) for pair in set(known[["pe", "phase"]].tolist())}
    for first in range(0, len(known), BLOCK):
        yield [
            f'{{"ph":"X","name":{names[pe, phase]},"cat":"phase",{_PLACES[pe]},"ts":{us * begin},'
            f'"dur":{us * (end - begin)},"args":{{"first_tick":{begin},"ticks":{end - begin}}}}}'
            for pe, phase, begin, end in known[first : first + BLOCK].tolist()
        ]


def _events(trace: Trace) -> Iterator[list[str]]:
    """Slices, and the two ends of arrows, in order of time."""
    events, types = trace.events, trace.meta.type_names()
    kinds, rows, arrows = _in_order(events)
    for first in range(0, len(rows), BLOCK):
        part = slice(first, first + BLOCK)
        chosen = events[rows[part]]
        columns = (
            kinds[part].tolist(), arrows[part].tolist(), chosen["time"].tolist(), interfaces(chosen).tolist(),
            chosen["event"].tolist(), [types[number] for number in chosen["type"].tolist()], chosen["key"].tolist(),
            chosen["source"].tolist(), chosen["target"].tolist(), chosen["tick"].tolist(), chosen["sent"].tolist(),
        )  # fmt: skip
        yield [_row(*row) for row in zip(*columns, strict=True)]


def _in_order(events: NDArray[np.void]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Kind, number of the event, and number of the arrow, of each row of the file, (m,).

    What belongs to one event comes together: an arrow is bound to the slice that was opened last.
    """
    sent = np.flatnonzero(events["event"] == Event.SENT)
    copies = np.flatnonzero(events["event"] != Event.SENT)
    ids = packet_ids(events)
    sent = sent[np.argsort(ids[sent], kind="stable")]
    place = np.searchsorted(ids[sent], ids[copies])
    place[place == len(sent)] = 0
    known = ids[sent[place]] == ids[copies] if len(sent) else np.zeros(len(copies), np.bool_)
    starts, ends = sent[place[known]], copies[known]
    rows = np.concatenate([np.arange(len(events)), starts, ends])
    kinds = np.repeat(np.array([SLICE, START, FINISH], np.uint8), [len(events), len(starts), len(ends)])
    arrows = np.concatenate([np.zeros(len(events), np.int64), np.arange(1, len(ends) + 1), np.arange(1, len(ends) + 1)])
    order = np.lexsort((kinds, rows, events["time"][rows]))
    return kinds[order], rows[order], arrows[order]


def _row(
    kind: int, arrow: int, time: int, interface: int, event: int, type_: str, key: int, source: int, target: int,
    tick: int, sent: int,
) -> str:  # fmt: skip
    where = f'{_PLACES[interface]},"ts":{time // 1000}.{time % 1000:03d}'
    if kind == SLICE:
        return (
            f'{{"ph":"X","name":"{type_}{ENDS[event]}","cat":"{EVENT_NAMES[event]}",{where},"dur":0.001,"args":'
            f'{{"key":"{key:#010x}","source":"{SOURCE_NAMES[source]}","target":"{INTERFACE_NAMES[target]}",'
            f'"tick":{tick},"sent_ns":{sent}}}}}'
        )
    if kind == START:
        return f'{{"ph":"s","name":"{type_}","cat":"packet","id":{arrow},{where}}}'
    return f'{{"ph":"f","bp":"e","name":"{type_}","cat":"packet","id":{arrow},{where}}}'


def _counters(trace: Trace) -> Iterator[list[str]]:
    """Packets sent in each tick, by type; 0 in the tick after them, if none are sent in that."""
    sent, names = trace.events[trace.events["event"] == Event.SENT], trace.meta.type_names()
    if not len(sent):
        return
    types = np.unique(sent["type"])
    ticks, place = np.unique(sent["tick"].astype(np.int64), return_inverse=True)
    counts = np.bincount(place * TYPES + sent["type"], minlength=len(ticks) * TYPES).reshape(-1, TYPES)
    after = np.setdiff1d(ticks + 1, ticks)
    template = ",".join(f'"{names[number]}":%d' for number in types)
    every = np.concatenate([ticks, after])
    table = np.concatenate([counts[:, types], np.zeros((len(after), len(types)), np.int64)])
    order = np.argsort(every)
    us = spec.TICK_NS.value // 1000
    head = f'{{"ph":"C","name":"packets per tick","pid":{ROUTER_PROCESS},"ts":'
    for first in range(0, len(order), BLOCK):
        part = order[first : first + BLOCK]
        yield [
            f'{head}{tick * us},"args":{{{template % tuple(row)}}}}}'
            for tick, row in zip(every[part].tolist(), table[part].tolist(), strict=True)
        ]
