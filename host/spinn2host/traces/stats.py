"""What a trace adds up to: packets and copies by type, PE, route, tick, link and reason; latencies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, mesh, spec
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import DROPS, INTERFACES, LINK, TYPES, Event, Meta, latency_ns
from spinn2emu.trace.table import EVENT_NAMES, INTERFACE_NAMES, SOURCE_NAMES, populations

PERCENTILES = {"min": 0, "p50": 50, "p90": 90, "p99": 99, "max": 100}
SENT, RECEIVED, DROPPED = range(3)
OUTCOMES = {"sent": SENT, "received": RECEIVED, "dropped": DROPPED}
"""What is counted: packets sent, copies received, copies dropped. `outcomes` gives each event's number."""

Section = Callable[[Trace], Any]


def statistics(trace: Trace, sections: tuple[str, ...] = ()) -> dict[str, Any]:
    """All sections, or some of SECTIONS, as JSON has them; the keys stay what they are.

    total: `sent`, `received`, `dropped`, `events`, `first_tick`, `last_tick`, `ms` (virtual, from the begin of the
      first tick to the end of the last), and `sent_per_ms`, `received_per_ms`, `dropped_per_ms`
    type: by type `sent`, `received`, `dropped` and the three per ms
    population: the same by the sender's population, of those that have one
    event: by event, how many
    pe: by name `sent`, `received`, `dropped` (with this target); `host`, `router` and links are there if events name
      them
    route: list of `type`, `source`, `target`, `received`, `dropped`; the busiest first
    tick: for sent, received, dropped `min`, `median`, `max` per tick of sending, from the first tick to the last, and
      `busiest`, a tick with `max`
    latency: by type, of received copies: `copies`, and `min`, `p50`, `p90`, `p99`, `max` in ns
    link: list of `from`, `to` (positions of the mesh) and `packets`; the busiest first
    waiting: `pe`, where copies waited for others at the last link to a PE, and `router`, where packets would wait for
      its pipeline, which takes one per cycle (it is not part of latencies): `packets`, how many `waited`, `mean_ns` of
      those, `max_ns`
    drop: by event `copies` and `reason`
    overrun: by PE, of all that the file says: `overruns`, ticks that took longer than the timer's period, the `first`,
      and `worst_ns`, by how much at most
    """
    result = {"total": _total(trace.events)}
    for name in sections or SECTIONS:
        result[name] = SECTIONS[name](trace)
    return result


def outcomes(events: NDArray[np.void]) -> NDArray[np.uint8]:
    """SENT, RECEIVED or DROPPED of each event, (n,)."""
    return np.minimum(events["event"], Event.UNROUTED).astype(np.uint8)


def _count(codes: NDArray[Any], events: NDArray[np.void], size: int) -> NDArray[np.int64]:
    """Events by code and outcome, (size, 3)."""
    flat = codes.astype(np.int64) * 3 + outcomes(events)
    return np.bincount(flat, minlength=3 * size).reshape(size, 3)


def _named_counts(counts: NDArray[np.int64]) -> dict[str, int]:
    return {name: int(counts[number]) for name, number in OUTCOMES.items()}


def _span_ms(events: NDArray[np.void]) -> float:
    if not len(events):
        return 0.0
    return (int(events["tick"].max()) - int(events["tick"].min()) + 1) * spec.TICK_NS.value / 1e6


def _with_rates(counts: NDArray[np.int64], ms: float) -> dict[str, float]:
    rates = {f"{name}_per_ms": count / ms if ms else 0.0 for name, count in _named_counts(counts).items()}
    return {**_named_counts(counts), **rates}


def _total(events: NDArray[np.void]) -> dict[str, Any]:
    counts = np.bincount(outcomes(events), minlength=3)
    ticks = {"first_tick": int(events["tick"].min()), "last_tick": int(events["tick"].max())} if len(events) else {}
    ms = _span_ms(events)
    return {"events": len(events), "first_tick": None, "last_tick": None, **ticks, "ms": ms, **_with_rates(counts, ms)}


def _by_type(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, float]]:
    counts, ms, types = _count(events["type"], events, TYPES), _span_ms(events), meta.type_names()
    return {types[i]: _with_rates(counts[i], ms) for i in np.flatnonzero(counts.sum(1))}


def _by_population(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, float]]:
    coded, ms = populations(Trace(events, meta)), _span_ms(events)
    counts = _count(coded.codes, events, len(coded.names))
    return {name: _with_rates(counts[i], ms) for i, name in enumerate(coded.names) if i and counts[i].any()}


def _by_event(events: NDArray[np.void], meta: Meta) -> dict[str, int]:
    counts = np.bincount(events["event"], minlength=len(Event))
    return {EVENT_NAMES[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def _by_pe(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, int]]:
    sent, host = events["event"] == Event.SENT, INTERFACES
    place = np.where(sent, np.where(events["source"] == 0, host, events["source"]), events["target"])
    counts, names = _count(place, events, INTERFACES + 1), [*INTERFACE_NAMES, SOURCE_NAMES[0]]
    return {names[i]: _named_counts(counts[i]) for i in np.flatnonzero(counts.sum(1))}


def _by_route(events: NDArray[np.void], meta: Meta) -> list[dict[str, Any]]:
    copies = events[events["event"] != Event.SENT]
    shape = TYPES, INTERFACES, INTERFACES
    codes = np.ravel_multi_index([copies[name].astype(np.int64) for name in ("type", "source", "target")], shape)
    counts = _count(codes, copies, int(np.prod(shape)))
    busy = np.flatnonzero(counts.any(1))
    busy = busy[np.argsort(-counts[busy].sum(1), kind="stable")]
    types = meta.type_names()
    return [
        {"type": types[type_], "source": SOURCE_NAMES[source], "target": INTERFACE_NAMES[target],
         "received": int(counts[code, RECEIVED]), "dropped": int(counts[code, DROPPED])}
        for code, type_, source, target in zip(busy, *np.unravel_index(busy, shape), strict=True)
    ]  # fmt: skip


def _by_tick(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, Any]]:
    """Only ticks with events are counted one by one: a damaged file may name any tick."""
    if not len(events):
        return {}
    span = int(events["tick"].max()) - int(events["tick"].min()) + 1
    result = {}
    for name, number in OUTCOMES.items():
        ticks, counts = np.unique(events["tick"][outcomes(events) == number], return_counts=True)
        empty = span - len(ticks)
        ordered = np.sort(counts)
        low, high = ((span - 1) // 2 - empty, span // 2 - empty)  # places of the median among those that are not 0
        median = sum(float(ordered[place]) if place >= 0 else 0.0 for place in (low, high)) / 2
        result[name] = {
            "min": 0 if empty else int(ordered[0]), "median": median, "max": int(counts.max(initial=0)),
            "busiest": int(ticks[counts.argmax()]) if len(ticks) else None,
        }  # fmt: skip
    return result


def _latencies(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, int]]:
    received = events[events["event"] == Event.RECEIVED]
    latency, types = latency_ns(received), meta.type_names()
    result = {}
    for number in np.unique(received["type"]):
        own = latency[received["type"] == number]
        values = np.percentile(own, list(PERCENTILES.values()), method="higher")
        result[types[number]] = {"copies": len(own), **dict(zip(PERCENTILES, map(int, values), strict=True))}
    return result


def link_loads(events: NDArray[np.void]) -> dict[mesh.Link, int]:
    """Packets that crossed each link of the mesh, of these events.

    A packet goes once from its quad to the event router, and from there once to each quad that has targets: one flit
    serves up to four PEs.
    """
    injected = np.bincount(events["source"][events["event"] == Event.SENT], minlength=1)
    copies = events[(events["event"] != Event.SENT) & (events["target"] > 0) & (events["target"] < LINK)]
    quads = len(geometry.QUADS)
    quad = (copies["target"].astype(np.uint64) - 1) // spec.PES_PER_QUAD.value
    sent = copies["tick"].astype(np.uint64) * spec.TICK_NS.value + copies["sent"]
    flits = np.unique((sent * INTERFACES + copies["source"]) * quads + quad)
    return mesh.link_loads(injected, np.bincount(flits % quads, minlength=quads))


def _by_link(events: NDArray[np.void], meta: Meta) -> list[dict[str, Any]]:
    loads = sorted(link_loads(events).items(), key=lambda item: (-item[1], item[0]))
    return [{"from": f"{a[0]}.{a[1]}", "to": f"{b[0]}.{b[1]}", "packets": count} for (a, b), count in loads]


def _drops(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, Any]]:
    counts = np.bincount(events["event"], minlength=len(Event))
    return {
        EVENT_NAMES[event]: {"copies": int(counts[event]), "reason": reason}
        for event, reason in DROPS.items() if counts[event]
    }  # fmt: skip


def _waiting(events: NDArray[np.void], meta: Meta) -> dict[str, dict[str, float]]:
    received, sent = events[events["event"] == Event.RECEIVED], events[events["event"] == Event.SENT]
    alone = np.array([mesh.latency_of_hops(hops) for hops in range(int(received["hops"].max(initial=0)) + 1)])
    at_pe = latency_ns(received) - alone[received["hops"]]
    hops = np.array([mesh.noc_ns(count) for count in mesh.hops_table().tolist()])
    arrival = sent["tick"].astype(np.int64) * spec.TICK_NS.value + sent["sent"] + hops[sent["source"]]
    known = {"pe": at_pe, "router": _queued(np.sort(arrival), spec.ROUTER_CLOCK_HZ.value)}
    return {
        place: {
            "packets": len(waits), "waited": int((waits > 0).sum()),
            "mean_ns": float(waits[waits > 0].mean()) if (waits > 0).any() else 0.0,
            "max_ns": float(waits.max(initial=0)),
        }
        for place, waits in known.items() if len(waits)
    }  # fmt: skip


def _queued(arrival: NDArray[np.int64], clock_hz: int) -> NDArray[np.float64]:
    """ns that each of the packets that arrive at these times, ascending, waits where one is served per cycle, (n,)."""
    common = math.gcd(clock_hz, 1_000_000_000)
    ns, cycle = clock_hz // common, 1_000_000_000 // common
    served = np.arange(len(arrival)) * cycle
    begin = np.maximum.accumulate(arrival * ns - served) + served
    result: NDArray[np.float64] = (begin - arrival * ns) / ns
    return result


def _overruns(trace: Trace) -> dict[str, dict[str, int]]:
    late = trace.overruns
    return {
        INTERFACE_NAMES[pe]: {
            "overruns": len(own), "first": int(own["tick"].min()), "worst_ns": int(own["late_ns"].max()),
        }
        for pe in np.unique(late["pe"]).tolist() for own in [late[late["pe"] == pe]]
    }  # fmt: skip


def _of_events(section: Callable[[NDArray[np.void], Meta], Any]) -> Section:
    return lambda trace: section(trace.events, trace.meta)


SECTIONS: dict[str, Section] = {
    "type": _of_events(_by_type), "population": _of_events(_by_population), "event": _of_events(_by_event),
    "pe": _of_events(_by_pe), "route": _of_events(_by_route), "tick": _of_events(_by_tick),
    "latency": _of_events(_latencies), "link": _of_events(_by_link), "waiting": _of_events(_waiting),
    "drop": _of_events(_drops), "overrun": _overruns,
}  # fmt: skip
