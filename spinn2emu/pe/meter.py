"""The meter of a PE: what its code does and how long that takes, by the program's formulas; compiled.

    cycles = backlog + cost[tick] + sum over ports of cost[in] * packets + sum over counts of cost[count] * amount
             + cost[sent] * packets sent

with the central figures; low and high are made of the sums afterwards, because the formulas are linear. In a tick the
cycles grow as its code counts and sends, so that they say when a packet is sent. A handler of FIFOs works in the tick
before, when its packets arrive. What a tick does not get done within the timer's period is the backlog of the next one.

Meters are no SRAM: the layout of a program's memory, and its bytes, do not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spinn2emu import spec
from spinn2emu.cost import DRAIN, IN, SENT, TICK, Cost
from spinn2emu.jit import inlined, record_at
from spinn2emu.levels import LEVELS
from spinn2emu.packets import NO_PORT, OVERRAN, PACKET, PORT_BITS

DRAIN_PHASE = spec.MAX_PHASES.value
"""The handler of FIFOs, as a phase by number."""
PHASES = DRAIN_PHASE + 1
AT_TICK, AT_SENT, AT_COUNTS, AT_IN = 0, 1, 2, 2 + spec.MAX_COUNTS.value
"""Places of the terms of a formula: one for each count, and for each input port."""
TERMS = AT_IN + spec.MAX_PORTS.value

TERM = np.dtype([
    ("cost", "<f8"),  # cycles, central; 0 where none are known
    ("sum", "<i8"),  # how much of it there was
])  # fmt: skip
ROW = np.dtype([
    ("worst", "<f8"),  # cycles of the longest tick, or call of the handler, without backlog,
    ("worst_tick", "<i8"),  # and which that was
    ("overruns", "<i8"),
    ("reserved", "<i8"),  # what a tick needs lies in few cache lines
    ("terms", TERM, (TERMS,)),
])  # fmt: skip
"""Of a phase at a level."""

METER = np.dtype([
    ("on", "<i8"),  # 0: nothing is counted
    ("counts", "<i8"),  # that the program declares
    ("level", "<i8"),
    ("next_level", "<i8"),  # from the next tick on; -1: as it is
    ("spare", "<f8"),  # cycles that were left of the last tick's period; below 0: its code goes on in the next
    ("late", "<i8"),  # the last tick that was an overrun, or -1
    ("period", "<f8", (len(LEVELS),)),  # of the timer, in cycles, by level
    ("least", "<f8", (len(LEVELS),)),  # the fewest cycles that any tick has left of it; below 0: an overrun
    ("slots_per_cycle", "<f8", (len(LEVELS),)),  # cycles of the mesh in a cycle of the PE
    ("known", "<i8"),  # 1: there is a formula
    ("first_late", "<i8"),  # the first one of the present run, or -1; its phase, level, and the cycles until its end
    ("first_phase", "<i8"),
    ("first_level", "<i8"),
    ("first_cycles", "<f8"),
    ("reserved", "<i8", (7,)),
    ("rows", ROW, (len(LEVELS), PHASES)),
])  # fmt: skip
"""Of a PE."""

_DRAIN, _TICK, _IN, _SENT, _COUNTS, _PHASE_BITS = DRAIN_PHASE, AT_TICK, AT_IN, AT_SENT, AT_COUNTS, DRAIN_PHASE - 1
_PORT_BITS = spec.MAX_PORTS.value - 1
_OVERRAN, _NO_PORT, _ORIGIN_BITS, _PACKET_BYTES = OVERRAN, NO_PORT, PORT_BITS, PACKET.itemsize
_TICK_NS, _LATEST_NS = float(spec.TICK_NS.value), float(spec.LATEST_NS.value)


def prepare_meter(
    meter: np.ndarray, cost: Cost | None, phases: Sequence[str], inputs: Sequence[str], counts: Sequence[str],
    level: int, on: bool,
) -> None:  # fmt: skip
    """A program begins: its formulas, if they are known; `phases`, `inputs` and `counts` by name."""
    meter[...] = 0
    meter["on"], meter["known"], meter["counts"], meter["level"] = on, cost is not None, len(counts), level
    meter["next_level"] = meter["late"] = meter["first_late"] = -1
    meter["rows"]["worst_tick"] = -1
    for number, clock in enumerate(LEVELS.values()):
        meter["period"][number] = meter["least"][number] = clock * spec.TICK_NS.value / 1e9
        meter["slots_per_cycle"][number] = spec.NOC_CLOCK_HZ.value / clock
    for phase, formula in (cost.phases if cost is not None else {}).items():
        if phase == DRAIN or phase in phases:
            for term, cycles in formula.terms.items():
                place = _place(term, inputs, counts)
                if place is not None:
                    number = DRAIN_PHASE if phase == DRAIN else phases.index(phase)
                    meter["rows"]["terms"]["cost"][:, number, place] = cycles.central
    rest(meter)


def _place(term: str, inputs: Sequence[str], counts: Sequence[str]) -> int | None:
    """Of a term of a formula; None: of a port that the program does not have with its parameters."""
    places = {TICK: AT_TICK, SENT: AT_SENT}
    places |= {IN + port: AT_IN + number for number, port in enumerate(inputs)}
    return (places | {count: AT_COUNTS + number for number, count in enumerate(counts)}).get(term)


def rest(meter: np.ndarray) -> None:
    """The PE has nothing left to do: it has begun, or has slept."""
    meter["spare"] = meter["period"][meter["level"]]


@inlined
def _begin(meter, context, phase, rx, low, high):  # type: ignore[no-untyped-def]
    """The code of a phase begins, with the packets number low to high - 1, which come in on few ports in turn."""
    row = meter.rows[meter.level, phase]
    terms = row.terms
    terms[_TICK].sum += 1
    cycles, i = terms[_TICK].cost, low
    while i < high:
        first, port = i, rx[i].port
        i += 1
        while i < high and rx[i].port == port:
            i += 1
        term = terms[_IN + (port & _PORT_BITS)]
        term.sum += i - first
        cycles += term.cost * (i - first)
    context.sent_cycles = terms[_SENT].cost
    for i in range(meter.counts):
        context.count_cycles[i] = terms[_COUNTS + i].cost
    context.cycles += cycles


@inlined
def _note(context, phase, t, end_ns):  # type: ignore[no-untyped-def]
    """For a trace: the code of tick t ends so late after that began."""
    note = record_at(context.tx_packets + context.tx_count * _PACKET_BYTES, PACKET)
    note.control = _OVERRAN
    note.port = _NO_PORT
    note.source = context.pe
    note.origin = phase << _ORIGIN_BITS
    note.key = 0
    note.payload[0] = note.payload[1] = note.payload[2] = note.payload[3] = 0
    note.tick = t
    note.time = np.int64(min(end_ns, _LATEST_NS))
    context.tx_count += 1


@inlined
def _end(meter, context, phase, t, cycles):  # type: ignore[no-untyped-def]
    """Code that belongs to tick t ends, after so many cycles."""
    row = meter.rows[meter.level, phase]
    terms = row.terms
    terms[_SENT].sum += context.sequence
    for i in range(meter.counts):
        terms[_COUNTS + i].sum += context.counts[i]
        context.counts[i] = 0
    if cycles > row.worst:
        row.worst = cycles
        row.worst_tick = t


@inlined
def _check(meter, context, phase, t):  # type: ignore[no-untyped-def]
    """What is left of the period of tick t, after the code of `phase`: is it an overrun?"""
    spare = meter.spare
    if spare < meter.least[meter.level]:
        meter.least[meter.level] = spare
    if spare < 0 and meter.late < t:
        period = meter.period[meter.level]
        meter.rows[meter.level, phase].overruns += 1
        meter.late = t
        _note(context, phase, t, (period - spare) * _TICK_NS / period)
        if meter.first_late < 0:
            meter.first_late = t
            meter.first_phase = phase
            meter.first_level = meter.level
            meter.first_cycles = period - spare


@inlined
def begin_drain(meter, context, rx, low, high):  # type: ignore[no-untyped-def]
    """The handler of FIFOs is called, with the packets number low to high - 1."""
    if meter.on:
        context.cycles = 0.0
        _begin(meter, context, _DRAIN, rx, low, high)


@inlined
def end_drain(meter, context, t):  # type: ignore[no-untyped-def]
    """It returns, in tick t: the one before the tick that runs next."""
    if meter.on:
        meter.spare -= context.cycles
        context.drained = 1
        _end(meter, context, _DRAIN, t, context.cycles)


@inlined
def begin_code(meter, context, phase, t, rx, low, high):  # type: ignore[no-untyped-def]
    """The code of tick t begins, once that of the tick before is done, and the handler with what came in that."""
    if context.drained:
        context.drained = 0
        _check(meter, context, _DRAIN, t - 1)
    if meter.next_level >= 0:
        meter.spare *= meter.period[meter.next_level] / meter.period[meter.level]
        meter.level = meter.next_level
        meter.next_level = -1
    if meter.on:
        context.slots_per_cycle = meter.slots_per_cycle[meter.level]
        context.cycles = max(0.0, -meter.spare)
        _begin(meter, context, phase & _PHASE_BITS, rx, low, high)


@inlined
def end_code(meter, context, phase, t):  # type: ignore[no-untyped-def]
    """The code of tick t ends."""
    if meter.on:
        backlog = max(0.0, -meter.spare)
        meter.spare = meter.period[meter.level] - context.cycles
        _end(meter, context, phase & _PHASE_BITS, t, context.cycles - backlog)
        _check(meter, context, phase & _PHASE_BITS, t)
    meter.next_level = context.next_level
    context.next_level = -1
