"""Which part of a trace a figure shows, and what its PEs are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.population import column_label
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import INTERFACES, interface_name
from spinn2host.mapping import layer_of
from spinn2host.pe_program import short_program
from spinn2host.traces import phases

Ticks = tuple[int, int]
"""First tick, and the one behind the last."""

TICKS_WITHOUT_STEPS = 200
"""What is shown of a trace in which no releases are."""
ROWS = 16
"""Of populations, and of PEs without, that are shown if nobody says which PEs."""


def is_type(trace: Trace, events: NDArray[np.void], *names: str) -> NDArray[np.bool_]:
    """Which of the events are of packets of one of these types, (n,)."""
    result: NDArray[np.bool_] = np.isin(events["type"], [i for i, name in enumerate(trace.meta.types) if name in names])
    return result


def require(events: NDArray[np.void], what: str, trace: Trace) -> None:
    """Raises ConfigError if there are no events: what was looked for, and what is there instead."""
    if len(events):
        return
    of, names = trace.events, trace.meta.type_names()
    kinds = np.bincount(of["type"], minlength=len(names))
    there = ", ".join(f"{kinds[i]:,} {names[i]}" for i in np.flatnonzero(kinds))
    raise ConfigError(
        f"nothing to draw: no {what} among {len(of):,} events" + (f" ({there})" if there else "")
        + "; take a wider --ticks, --pes or expression, or record more",
        events=len(of),
    )  # fmt: skip


def axis(trace: Trace, ticks: Ticks | None) -> Ticks:
    """The ticks that a figure covers, however few events there are: those asked for, as far as the trace goes."""
    first, end = trace.ticks
    return (first, end) if ticks is None else (ticks[0], max(ticks[0] + 1, min(ticks[1], end)))


def note_of(trace: Trace, ticks: Ticks) -> str:
    """What to say of a figure of these ticks."""
    (first, end), whole = ticks, trace.ticks
    shown = f"ticks {first} to {end - 1}" if end - first > 1 else f"tick {first}"
    return shown + ("" if ticks == whole else f" of {whole[0]} to {whole[1] - 1}")


def in_ticks(events: NDArray[np.void], ticks: Ticks | None) -> NDArray[np.void]:
    """The events whose packets were sent in these ticks."""
    if ticks is None:
        return events
    return events[(events["tick"] >= ticks[0]) & (events["tick"] < ticks[1])]


def step_begins(trace: Trace) -> NDArray[np.int64]:
    """Ticks in which training steps begin, ascending: those before forward phases, in which samples are released. Of a
    trace without phases those in which control packets were sent.
    """
    begins = phases.begins(trace, "forward")
    if not len(begins):
        begins = np.unique(trace.events["tick"][is_type(trace, trace.events, "control")]).astype(np.int64) + 1
    return np.maximum(begins - 1, 0)


def first_steps(trace: Trace, count: int, closing: bool = False) -> tuple[Ticks, str | None]:
    """The ticks of the first steps, with the next release if `closing`; and what to say if these are not all ticks."""
    whole = trace.ticks
    begins = step_begins(trace)
    if len(begins) > count:
        first, end = int(begins[0]), int(begins[count]) + closing
        what = f"the first {count} of {len(begins)} steps" if count > 1 else f"the first of {len(begins)} steps"
    else:
        first, end = whole[0], min(whole[0] + TICKS_WITHOUT_STEPS, whole[1]) if not len(begins) else whole[1]
        what = "the first ticks"
    if (first, end) == whole:
        return whole, None
    return (first, end), f"{what}, {note_of(trace, (first, end))} (see --ticks)"


def quad_of(pes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number of each PE's quad in `geometry.QUADS`; what is no PE gives -1 or more than the last quad."""
    return (pes.astype(np.int64) - 1) // spec.PES_PER_QUAD.value


def is_pe(interfaces: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of the interfaces are PEs."""
    result: NDArray[np.bool_] = (interfaces > 0) & (interfaces <= spec.PES.value)
    return result


def pes_of_quad(quad: int) -> list[int]:
    """PE ids of the quad with this number."""
    size = spec.PES_PER_QUAD.value
    return list(range(size * quad + 1, size * quad + size + 1))


def quad_name(quad: int) -> str:
    """`qx.qy` of the quad with this number."""
    x, y = geometry.QUADS[quad]
    return f"{x}.{y}"


def pe_labels(trace: Trace, pes: Sequence[int]) -> list[str]:
    """What each PE is, as matplotlib has texts: its population, or else its program's name, with the layer's number if
    there are several, from the keys that it sends.
    """
    programs = {pe: trace.meta.pes[interface_name(pe)].program for pe in pes if interface_name(pe) in trace.meta.pes}
    layers = np.full(spec.PES.value + 1, -1)
    layers[trace.events["source"]] = layer_of(trace.events["key"])
    labels = []
    for pe in pes:
        part = trace.meta.parts.get(interface_name(pe))
        if part is not None:
            labels.append(plain(column_label(part.population, part.first)))
            continue
        program = short_program(programs.get(pe, ""))
        labels.append(f"layer {layers[pe]}" if program == "layer" and layers[pe] >= 0 else program)
    return labels


def rows_of(trace: Trace) -> tuple[NDArray[np.int64], list[str]]:
    """The row of each interface's neurons, (INTERFACES,), and names of the first rows: populations, in the order of
    their places on the die. Other PEs have a row each, as have those of a population that all begin at 0.
    """
    firsts: dict[str, list[int]] = {}
    for part in trace.meta.parts.values():
        firsts.setdefault(part.population, []).append(part.first)
    in_order = sorted(trace.meta.parts.items(), key=lambda item: geometry.position(geometry.pe_id(item[0])))
    numbered = [(pe, name) for pe, (name, *_) in in_order if len(set(firsts[name])) == len(firsts[name])]
    names = list(dict.fromkeys(name for _, name in numbered))
    row_of = len(names) + np.arange(INTERFACES)
    for pe, name in numbered:
        row_of[geometry.pe_id(pe)] = names.index(name)
    return row_of, names


def first_rows(present: NDArray[np.int64], row_of: NDArray[np.int64]) -> tuple[list[int], str | None]:
    """The PEs of the first rows, of those that are present, and what to say if these are not all."""
    rows = np.unique(row_of[present])
    chosen = [int(pe) for pe in present if row_of[pe] in rows[:ROWS]]
    return chosen, f"the first {ROWS} of {len(rows)} populations and PEs (see --pes)" if len(rows) > ROWS else None


def plain(text: str) -> str:
    """The text as matplotlib has it that takes nothing in it for a formula."""
    return text.replace("$", r"\$")
