"""Raster: spikes forward and errors backward, neuron by neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spinn2emu.population import column_label
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event, interface_name
from spinn2emu.trace.table import neurons
from spinn2host.mapping import index_of
from spinn2host.traces import phases
from spinn2host.traces.plot import choose
from spinn2host.traces.plot.style import (
    BLACK,
    BLUE,
    GREY,
    MANY,
    PURPLE,
    TIME_LABEL,
    VERMILLION,
    WIDTH,
    TraceFigure,
    legend_above,
    new_figure,
    styled,
)

STEPS = 4
"""Training steps that are shown if nobody says which ticks."""
PES = 8
"""If more PEs than these have spikes or errors, and nobody says which, the first of their quads is shown."""
LEAST_HEIGHT = 0.12
"""Of the rows of a PE, as a part of the highest."""
PHASE_COLOURS = {"forward": "#dcebf5", "backward": "#fbe6d9"}
SHADED = 200
"""More stretches of a phase than these are not shaded: they would be too narrow to be seen."""
CELLS = 4000
"""Of more points than THIN only one is drawn in each of so many cells along both axes: less than a pixel."""
THIN = 200_000


@dataclass
class _Points:
    """Arrays (n,): tick, PE whose neuron it is, number of the neuron in its row, and value (float32, of errors)."""

    tick: NDArray[np.int64]
    pe: NDArray[np.int64]
    neuron: NDArray[np.int64]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tick)

    def where(self, mask: NDArray[np.bool_]) -> _Points:
        """Those for which `mask` is true."""
        return _Points(self.tick[mask], self.pe[mask], self.neuron[mask], self.value[mask])


@styled
def raster(trace: Trace, pes: Sequence[int] | None = None, ticks: choose.Ticks | None = None) -> TraceFigure:
    """Spikes at the PE that sends them, and errors at the neuron that they are for, over virtual time.

    A neuron's number is in the bits of the key that the trace names, for PEs of a population, else in bits 15:0; those
    of a population are drawn together, whatever PEs they are on. In EventProp the error of a spike comes as long behind
    the middle of a step as the spike before it. Shaded is the phase that most PEs of the chip were in, whichever are
    shown. Size and direction of an error's triangle: its magnitude and sign.
    pes: ids; ticks: (first, end). Without them a part of a large trace is chosen, and the figure says which.
    Raises ConfigError if there are no spikes and errors.
    """
    events = trace.events[choose.is_type(trace, trace.events, "spike", "error")]
    choose.require(events, "spikes or errors", trace)
    notes = []
    if ticks is None:
        ticks, note = choose.first_steps(trace, STEPS)
        notes += [note] if note else []
    elif choose.axis(trace, ticks) != trace.ticks:
        notes.append(choose.note_of(trace, choose.axis(trace, ticks)))
    ticks = choose.axis(trace, ticks)
    series = _series(trace, events)
    present = np.unique(np.concatenate([points.pe for points in series.values()]))
    row_of, populations = choose.rows_of(trace)
    if pes is None:
        pes, note = choose.first_rows(present, row_of) if populations else _first_quad(present)
        notes += [note] if note else []
    shown_pes = [pe for pe in sorted(pes) if pe in present]
    rows = np.unique(row_of[shown_pes]).tolist()
    of_rows = {name: points.where(np.isin(points.pe, shown_pes)) for name, points in series.items()}
    for points in of_rows.values():
        points.pe = row_of[points.pe]
    heights = [max([0, *(int(p.neuron[p.pe == pe].max(initial=-1)) for p in of_rows.values())]) + 1 for pe in rows]
    shown = {name: p.where((p.tick >= ticks[0]) & (p.tick < ticks[1])) for name, p in of_rows.items()}
    if not sum(map(len, shown.values())):
        choose.require(events[:0], "spikes or errors of these PEs and ticks", trace)
    spans, unshaded = _phases(trace, ticks)
    height = float(np.clip(1.3 + 0.7 * len(rows), 2.8, 9))
    figure = new_figure(WIDTH, height, trace, notes + unshaded)
    axes = figure.add_subplot()
    bands = _Bands(rows, heights)
    handles = _draw_phases(axes, spans) + _draw(axes, shown, bands)
    _label_bands(axes, trace, bands, (height - 1.3) / bands.lower[-1], populations)
    _label_time(axes, ticks)
    legend_above(axes, handles, [str(handle.get_label()) for handle in handles])
    figure.contents = {
        "points": {name: len(points) for name, points in shown.items()},
        "pes": [interface_name(pe) for pe in shown_pes],
        "populations": [populations[row] for row in rows if row < len(populations)],
        "ticks": [ticks[0], ticks[1] - 1],
        "phases": [span._asdict() for span in spans],
    }  # fmt: skip
    return figure


def _series(trace: Trace, events: NDArray[np.void]) -> dict[str, _Points]:
    """Spikes where they are sent, errors where they arrive (or the other way, if only that was recorded), drops."""
    spike, error = choose.is_type(trace, events, "spike"), choose.is_type(trace, events, "error")
    sent, received = events["event"] == Event.SENT, events["event"] == Event.RECEIVED
    spikes = events[spike & sent] if (spike & sent).any() else events[spike & received]
    errors = events[error & received] if (error & received).any() else events[error & sent]
    dropped = events["event"] >= Event.UNROUTED
    return {
        "spike": _points(trace, spikes, np.zeros(len(spikes), np.bool_)),
        "error": _points(trace, errors, np.ones(len(errors), np.bool_)),
        "dropped": _points(trace, events[dropped], error[dropped]),
    }


def _points(trace: Trace, events: NDArray[np.void], to_target: NDArray[np.bool_]) -> _Points:
    at_target = choose.is_pe(events["target"]) & to_target
    pe = np.where(at_target, events["target"], events["source"]).astype(np.int64)
    value = np.ascontiguousarray(events["payload"][:, 0]).view(np.float32)
    known = neurons(Trace(events, trace.meta))
    neuron = np.where((known >= 0) & ~at_target, known, index_of(events["key"]))
    return _Points(events["tick"].astype(np.int64), pe, neuron, value)


def _first_quad(present: NDArray[np.int64]) -> tuple[list[int], str | None]:
    if len(present) <= PES:
        return [int(pe) for pe in present], None
    quads = np.unique(choose.quad_of(present))
    return choose.pes_of_quad(int(quads[0])), f"quad {choose.quad_name(int(quads[0]))}, one of {len(quads)} (see --pes)"


class _Bands:
    """Where rows are: PEs above each other, a band each, as high as it has neurons but no less than LEAST_HEIGHT."""

    def __init__(self, pes: Sequence[int], neurons: Sequence[int]) -> None:
        least = LEAST_HEIGHT * max(neurons)
        self.heights = np.maximum(neurons, least) / max(neurons)
        self.lower = np.concatenate([[0], np.cumsum(self.heights + 0.03)])
        self.pes, self.neurons = np.array(pes), np.array(neurons)

    def y(self, pe: NDArray[np.int64], neuron: NDArray[np.int64]) -> NDArray[np.float64]:
        """The height of each neuron's row."""
        band = np.searchsorted(self.pes, pe)
        y: NDArray[np.float64] = self.lower[band] + (neuron + 0.5) * self.heights[band] / self.neurons[band]
        return y


def _draw(axes: Axes, shown: dict[str, _Points], bands: _Bands) -> list[Artist]:
    spikes, errors, drops = shown["spike"], shown["error"], shown["dropped"]
    small = 1.6 * float(np.clip(np.sqrt(MANY / max(1, len(spikes))), 0.3, 1))
    handles: list[Artist] = []
    if len(spikes):
        at = _thinned(spikes)
        handles += axes.plot(
            at.tick, bands.y(at.pe, at.neuron), "o", ms=2 * small, mew=0, color=BLUE, gid="spike", zorder=3,
            rasterized=len(at) > MANY, label=f"{len(spikes):,} spike{_s(len(spikes))}",
        )  # fmt: skip
    largest = float(np.abs(errors.value[np.isfinite(errors.value)]).max(initial=0)) or 1.0
    for sign, marker, colour in (("positive", "^", VERMILLION), ("negative", "v", PURPLE)):
        some = errors.where(np.signbit(errors.value) == (sign == "negative"))
        if len(some):
            at = _thinned(some)
            size = 3 + 22 * small * np.sqrt(np.minimum(np.nan_to_num(np.abs(at.value), nan=largest) / largest, 1))
            points = axes.scatter(
                at.tick, bands.y(at.pe, at.neuron), size, color=colour, marker=marker, lw=0, gid=f"error {sign}",
                alpha=0.85, zorder=2, rasterized=len(at) > MANY, label=f"{len(some):,} {sign} error{_s(len(some))}",
            )  # fmt: skip
            handles.append(points)
    if len(drops):
        at = _thinned(drops)
        handles += axes.plot(
            at.tick, bands.y(at.pe, at.neuron), "x", ms=5, mew=1.1, color=BLACK, gid="dropped", zorder=4,
            rasterized=len(at) > MANY, label=f"{len(drops):,} dropped",
        )  # fmt: skip
    for lower in bands.lower[1:-1]:
        axes.axhline(lower - 0.015, color=GREY, lw=0.4)
    axes.set_ylim(-0.02, bands.lower[-1])
    return handles


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _thinned(points: _Points) -> _Points:
    """At most one point of many that would lie on each other."""
    if len(points) <= THIN:
        return points
    span = max(1, int(np.ptp(points.tick)) + 1)
    cell = (points.tick - points.tick.min()) * CELLS // max(span, CELLS)
    place = (cell << 32) + (points.pe << 16) + points.neuron
    first = np.unique(place, return_index=True)[1]
    chosen = np.zeros(len(points), bool)
    chosen[first] = True
    return points.where(chosen)


def _phases(trace: Trace, ticks: choose.Ticks) -> tuple[list[phases.Span], list[str]]:
    """The forward and backward phases of the chip within these ticks, and what to say if they are not drawn."""
    spans = [
        span._replace(begin=max(span.begin, ticks[0]), end=min(span.end, ticks[1]))
        for span in phases.common(trace, list(PHASE_COLOURS))
        if span.begin < ticks[1] and span.end > ticks[0]
    ]
    declared = {name for info in trace.meta.pes.values() for name in info.phases}
    if not len(trace.phases) and declared & PHASE_COLOURS.keys() and not spans:
        return [], ["without phases: the file does not say when they began"]
    if len(spans) > SHADED:
        return [], [f"without its {len(spans):,} phases (no more than {SHADED} are shaded)"]
    return spans, []


def _draw_phases(axes: Axes, spans: Sequence[phases.Span]) -> list[Artist]:
    """Shades the phases."""
    for name, begin, end in spans:
        axes.axvspan(begin - 0.5, end - 0.5, lw=0, zorder=0, color=PHASE_COLOURS[name], gid=f"phase {name}")
    used = [name for name in PHASE_COLOURS if any(span.name == name for span in spans)]
    return [Patch(color=PHASE_COLOURS[name], label=f"{name} phase") for name in used]


def _label_bands(axes: Axes, trace: Trace, bands: _Bands, inch: float, populations: Sequence[str]) -> None:
    """What the rows are on the left, numbers of neurons on the right, as far as there is room. inch: of a unit of
    height; populations: names of the first rows.
    """
    rooms, middles = bands.heights * inch, bands.lower[:-1] + bands.heights / 2
    if populations:
        names = [choose.plain(column_label(name, 0)) for name in populations]
        pes = [row - len(populations) for row in bands.pes.tolist() if row >= len(populations)]
        labels = [names[row] for row in bands.pes.tolist() if row < len(populations)]
        labels += [f"{interface_name(pe)} {label}" for pe, label in zip(pes, choose.pe_labels(trace, pes), strict=True)]
        axes.set_ylabel("population or PE" if pes else "population")
    else:
        labels, middles = _pe_labels(axes, trace, bands, rooms, middles)
    axes.set_yticks(middles, labels)
    axes.tick_params("y", length=0)
    ends = [
        (row, i)
        for row, n, room in zip(bands.pes.tolist(), bands.neurons, rooms, strict=True)
        if room > 0.15
        for i in sorted({0, int(n) - 1})
    ]
    if ends:
        right = axes.secondary_yaxis("right")
        right.set_yticks(bands.y(*np.array(ends).T), [str(neuron) for _, neuron in ends])
        right.tick_params(length=2, labelsize=6)
        last = dict(zip(bands.pes.tolist(), bands.neurons, strict=True))
        for label, (row, neuron) in zip(right.get_yticklabels(), ends, strict=True):
            if last[row] > 1:  # within the row, not into the next one
                label.set_verticalalignment("top" if neuron else "bottom")
        axes.text(1.005, 1.015, "neuron", transform=axes.transAxes, fontsize=6.5, va="bottom")


def _pe_labels(
    axes: Axes, trace: Trace, bands: _Bands, rooms: NDArray[np.float64], middles: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """The PEs, with what they are where there is room, or their quads where there is little; and where to write it."""
    pes = [int(pe) for pe in bands.pes]
    if rooms.min() < 0.11:
        quads, begins = np.unique(choose.quad_of(bands.pes), return_index=True)
        axes.set_ylabel("quad")
        middles = (bands.lower[begins] + bands.lower[np.append(begins[1:], len(pes))]) / 2
        return [choose.quad_name(int(quad)) for quad in quads], middles
    axes.set_ylabel("PE")
    names = [interface_name(pe) for pe in pes]
    if rooms.min() >= 0.2:
        names = [f"{name}\n{label}".strip() for name, label in zip(names, choose.pe_labels(trace, pes), strict=True)]
    return names, middles


def _label_time(axes: Axes, ticks: choose.Ticks) -> None:
    low, high = ticks
    margin = 0.01 * (high - low) + 0.5
    axes.set_xlim(low - margin, high - 1 + margin)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set_xlabel(TIME_LABEL)
    axes.set_title("Spikes and errors")
