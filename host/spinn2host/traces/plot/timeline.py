"""Time line: packets by type, drops, and which PEs are active when."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import TYPES, Event, source_name
from spinn2host.traces.plot import choose
from spinn2host.traces.plot.style import (
    BLACK,
    INTENSITY,
    TIME_LABEL,
    WIDTH,
    TraceFigure,
    colour_of_type,
    legend_above,
    new_figure,
    short,
    styled,
)

BINS = 500
"""At most so many along the time."""
LOG_FROM = 12
"""Axes and colours are logarithmic if the most is more than so many times the median, or the square of it the least."""
NAMED_PES = 24
"""Of more PEs only the quads are named."""


@styled
def timeline(trace: Trace, ticks: choose.Ticks | None = None) -> TraceFigure:
    """Packets per tick by type, with drops marked; below, packets per tick that each PE sent and received.

    Types are stacked; where single ticks rise far above the others, they overlap on a logarithmic axis instead.
    A bin is a whole number of ticks, the fewest with which there are no more than BINS; if a bin is no small part of a
    training step, a whole number of steps, because others would show a beat.
    ticks: (first, end) of sending; None: all. Raises ConfigError if there are no events.
    """
    events = choose.in_ticks(trace.events, ticks)
    choose.require(events, "packets in these ticks" if ticks else "packets", trace)
    first, end = choose.axis(trace, ticks)
    width = _bin_width(trace, end - first)
    bins = -(-(end - first) // width)
    place = (events["tick"].astype(np.int64) - first) // width
    edges = np.minimum(first + width * np.arange(bins + 1), end) - 0.5
    sent = events["event"] == Event.SENT
    packets = sent if sent.any() else events["event"] == Event.RECEIVED
    by_type = _histogram(events["type"][packets], place[packets], TYPES, bins)
    drops = np.bincount(place[events["event"] >= Event.UNROUTED], minlength=bins)
    by_pe = _by_pe(events, place, bins)
    active = _rows(by_pe)
    notes = [choose.note_of(trace, (first, end)), *([f"mean of {width:,} ticks each"] if width > 1 else [])]
    total = by_type.sum(0)
    log = bool(total.any() and total.max() > LOG_FROM * np.median(total[total > 0]))
    notes.append("types before each other on a logarithmic scale" if log else "types stacked")
    rows = float(np.clip(0.13 * len(active), 0.9, 2.6))
    figure = new_figure(WIDTH, 2.7 + rows, trace, notes)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, rows])
    counted = "sent" if sent.any() else "received"
    _draw_types(upper, trace, edges, by_type, drops, counted, log)
    _draw_pes(figure, lower, edges, by_pe[active] / np.diff(edges), active)
    names = trace.meta.type_names()
    figure.contents = {
        "ticks": [first, end - 1], "ticks_per_bin": width, "bins": bins, "logarithmic": log,
        "packets": {names[i]: int(by_type[i].sum()) for i in np.flatnonzero(by_type.any(1))},
        "dropped": int(drops.sum()), "pes": [source_name(int(pe)) for pe in active],
    }  # fmt: skip
    return figure


def _bin_width(trace: Trace, span: int) -> int:
    """Ticks of a bin."""
    width = -(-span // BINS)
    begins = choose.step_begins(trace)
    step = int(begins[1] - begins[0]) if len(begins) > 1 else 1
    return -(-width // step) * step if 4 * width > step else width


def _rows(by_pe: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids of PEs that are active, or, of many, of all in quads that are."""
    active = np.flatnonzero(by_pe.any(1))
    if len(active) <= NAMED_PES:
        return active
    active = active[active > 0]  # the host is in no quad
    return np.concatenate([choose.pes_of_quad(int(quad)) for quad in np.unique(choose.quad_of(active))])


def _histogram(row: NDArray[np.integer], place: NDArray[np.int64], rows: int, bins: int) -> NDArray[np.int64]:
    """How often each (row, bin) occurs, (rows, bins)."""
    return np.bincount(row.astype(np.int64) * bins + place, minlength=rows * bins).reshape(rows, bins)


def _by_pe(events: NDArray[np.void], place: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """Packets that each PE sent or received, (153, bins); if there are only drops, those of each sender."""
    known = events["event"] <= Event.RECEIVED
    mask = known if known.any() else ~known
    pe = np.where(events["event"] == Event.RECEIVED, events["target"], events["source"])
    return _histogram(pe[mask], place[mask], spec.PES.value + 1, bins)


def _draw_types(
    axes: Axes,
    trace: Trace,
    edges: NDArray[np.float64],
    counts: NDArray[np.int64],
    drops: NDArray[np.int64],
    counted: str,
    log: bool,
) -> None:
    """Areas on each other, the largest type at the bottom; with `log`, before each other, the largest behind."""
    totals, names = counts.sum(1), trace.meta.type_names()
    order = [kind for kind in np.argsort(-totals, kind="stable").tolist() if totals[kind]]
    colours = {kind: colour_of_type(trace.meta, kind) for kind in order}
    rates = counts / np.diff(edges)
    total = rates.sum(0)
    base = np.full(counts.shape[1], 0.7 * rates[rates > 0].min() if log else 0.0)
    for kind in order:
        above = np.maximum(base, rates[kind]) if log else base + rates[kind]
        axes.stairs(above, edges, baseline=base, fill=True, color=colours[kind], gid=names[kind])
        base = base if log else above
    handles: list[Artist] = [Patch(color=colours[kind]) for kind in order]
    labels = [f"{names[kind].replace('_', ' ')} {short(int(totals[kind]))}" for kind in order]
    top = float(rates.max() if log else total.max()) or 1.0
    if drops.any():
        middle = (edges[:-1] + edges[1:])[drops > 0] / 2
        marks = axes.plot(
            middle, np.full(len(middle), (1.5 if log else 1.06) * top), "v", ms=4, mew=0, color=BLACK, gid="dropped"
        )
        handles, labels = [*handles, *marks], [*labels, f"dropped {short(int(drops.sum()))}"]
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    elif top >= 3 or (np.diff(edges) == 1).all():
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(base.min() if log else 0, (2.2 if log else 1.12) * top)
    axes.set_ylabel(f"packets {counted} per tick" + (" (logarithmic)" if log else ""))
    axes.set_title("Packets by type")
    legend_above(axes, handles, labels)


def _draw_pes(
    figure: TraceFigure, axes: Axes, edges: NDArray[np.float64], rates: NDArray[np.float64], pes: NDArray[np.int64]
) -> None:
    """A row per PE, by id, so that those of a quad are together; the first is at the top."""
    used = rates[rates > 0]
    low, high = (used.min(), used.max()) if len(used) else (0.0, 1.0)
    norm = LogNorm(low, high) if low and high / low >= LOG_FROM**2 else Normalize(0, high)
    rows = np.arange(len(pes) + 1) - 0.5
    image = axes.pcolormesh(
        edges, rows, np.ma.masked_equal(rates, 0), cmap=INTENSITY, norm=norm, rasterized=True, gid="pes"
    )
    axes.set_ylim(rows[-1], rows[0])
    quads = choose.quad_of(pes)
    begins = np.flatnonzero(np.diff(quads, prepend=-1))
    for begin in begins[1:]:
        axes.axhline(begin - 0.5, color="#cfcfcf", lw=0.3)
    if len(pes) <= NAMED_PES:
        axes.set_yticks(range(len(pes)), [source_name(int(pe)) for pe in pes])
        axes.set_ylabel("PE")
    else:
        middles = (begins + np.append(begins[1:], len(pes)) - 1) / 2
        axes.set_yticks(middles, [choose.quad_name(int(quads[begin])) for begin in begins])
        axes.set_ylabel("quad (a row per PE)")
    axes.tick_params("y", length=0, labelsize=6 if len(pes) <= 100 else 5)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set_xlabel(TIME_LABEL)
    axes.set_title("Packets sent and received by each PE")
    label = "packets per tick" + (" (logarithmic)" if isinstance(norm, LogNorm) else "")
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=max(6, 0.3 * len(pes)), label=label)
    bar.formatter = FuncFormatter(lambda value, _: f"{value:,g}")
    bar.outline.set_linewidth(0.6)
    bar.update_ticks()
