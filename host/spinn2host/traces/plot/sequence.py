"""Message sequence chart: what PEs of one sample send each other, tick by tick."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import DROPS, ROUTER, Event, Meta, interface_name
from spinn2host.traces.plot import choose
from spinn2host.traces.plot.style import BLACK, GREY, TraceFigure, colour_of_type, new_figure, styled

LINES = 50
"""At most so many lines of arrows; with more, ticks are put together."""
MOST_PES = 12
COLUMN, LINE = 1.35, 0.15
"""Inches between life lines, and between lines of arrows."""
GAP = 0.9
"""Lines that are left free where ticks are left out in which nothing was sent."""
SPACE = 0.2
"""Lines between two ticks."""
ARE_PACKETS = ("spike", "error")
"""Types of which a packet is one; packets of others carry several, as weights, or none."""
FIRST_TYPES = ("control", "weight")
"""Of a tick, drawn before the others: with them a step begins."""
HUB = 4
"""A PE that exchanges packets with more others than these is shown, but not whoever else it talks to."""
STUB = 0.3
"""Length of the arrow of what ends in the router, in columns."""


@dataclass
class _Arrow:
    """Packets of a type from one column to others in a row of ticks; `line` of that row, `count` to each column."""

    row: int
    source: int
    targets: list[int]
    number: int
    type: str
    colour: str
    event: Event
    count: int
    tick: int
    line: int = 0

    def ends(self) -> tuple[float, float]:
        """The columns that it covers."""
        if self.targets == [self.source] or not self.targets:
            return self.source, self.source + 0.95
        return min(self.source, *self.targets), max(self.source, *self.targets)

    def text(self) -> str:
        """What is written on it."""
        name = self.type.replace("_", "-") + ("" if self.type in ARE_PACKETS else " packet")
        plural = "" if self.count == 1 else "s"
        why = f" dropped ({self.event.name.lower().replace('_', ' ')})" if self.event in DROPS else ""
        itself = " to itself" if self.targets == [self.source] else ""
        return f"{self.count:,} {name}{plural}{itself}{why}"


@dataclass
class _Chart:
    """Rows of ticks from above: number of the first tick and width of each in ticks; arrows; y of each row's top."""

    first: NDArray[np.int64]
    width: int
    arrows: list[_Arrow]
    lines: list[int] = field(default_factory=list)

    def place(self) -> None:
        """Gives each arrow the first line of its row in which it covers no other."""
        taken: list[list[list[tuple[float, float]]]] = [[] for _ in self.first]
        for arrow in self.arrows:
            row = taken[arrow.row]
            low, high = arrow.ends()
            arrow.line = next(
                (i for i, line in enumerate(row) if all(high <= a or low >= b for a, b in line)), len(row)
            )
            if arrow.line == len(row):
                row.append([])
            row[arrow.line].append((low, high))
        self.lines = [len(row) for row in taken]

    def tops(self) -> tuple[list[float], float]:
        """Where each row begins, in lines from the top, and where the chart ends."""
        y, tops = 0.0, []
        for i, lines in enumerate(self.lines):
            if i and self.skipped(i):
                y += GAP
            tops.append(y)
            y += lines + SPACE
        return tops, y

    def skipped(self, row: int) -> int:
        """Ticks that are left out above this row."""
        return int(self.first[row] - self.first[row - 1]) - self.width


@styled
def sequence(
    trace: Trace, pes: Sequence[int] | None = None, quad: int | None = None, ticks: choose.Ticks | None = None
) -> TraceFigure:
    """PEs as life lines, ticks downwards without those in which nothing is sent, packets as arrows by type.

    Packets of a type that go the same way in the same tick are one arrow with their count; copies of a packet to
    several PEs share a line. If the chart is too long, neighbouring ticks are put together, and the figure says so.
    pes: ids, from left to right. Without them: those of a quad (number in `geometry.QUADS`; the first active one), and
    those that they exchange packets with. ticks: (first, end); without: the first training step.
    Raises ConfigError if these PEs exchange no packets then.
    """
    notes: list[str] = []
    if pes is None:
        pes, note = _default_pes(trace, quad)
        notes += [note] if note else []
    if len(set(pes)) < len(pes) or len(pes) > MOST_PES:
        raise ConfigError(f"a chart is of at most {MOST_PES} different PEs, not of {len(pes)}; name those that matter")
    if ticks is None:
        ticks, note = choose.first_steps(trace, 1, closing=True)
        notes += [note] if note else []
    elif choose.axis(trace, ticks) != trace.ticks:
        notes.append(choose.note_of(trace, choose.axis(trace, ticks)))
    events = _between(choose.in_ticks(trace.events, ticks), pes)
    choose.require(events, f"packets between {', '.join(map(interface_name, pes))} in these ticks", trace)
    chart = _fit(trace.meta, events, pes)
    if chart.width > 1:
        notes.append(f"{chart.width} ticks in a row where more than {LINES} lines would be needed")
    tops, height = chart.tops()
    figure = new_figure(max(4.2, 0.9 + COLUMN * len(pes)), 0.95 + LINE * height, trace, notes)
    axes = figure.add_subplot()
    _draw_life_lines(axes, trace, pes, chart, tops, height)
    for arrow in chart.arrows:
        _draw_arrow(axes, arrow, tops[arrow.row] + arrow.line + 0.75)
    _draw_ticks(axes, chart, tops, height, len(pes))
    figure.contents = {
        "pes": [interface_name(pe) for pe in pes], "ticks": [ticks[0], ticks[1] - 1], "ticks_per_row": chart.width,
        "rows": len(chart.first), "arrows": [
            {"tick": int(chart.first[a.row]), "type": a.type, "event": a.event.name.lower(),
             "from": interface_name(pes[a.source]), "to": [interface_name(pes[t]) for t in a.targets], "count": a.count}
            for a in chart.arrows
        ],
    }  # fmt: skip
    return figure


def _default_pes(trace: Trace, quad: int | None) -> tuple[list[int], str | None]:
    """A quad, the PEs that its PEs exchange packets with, those that these do, and so on, but not beyond a HUB."""
    events = trace.events
    received = events[(events["event"] == Event.RECEIVED) & (events["source"] > 0)]  # not those of the host
    copies = received[received["source"] != received["target"]]
    copies = copies if len(copies) else received
    choose.require(copies, "received packets", trace)
    source, target = choose.quad_of(copies["source"]), choose.quad_of(copies["target"])
    note = None
    if quad is None:
        inside = source == target
        found = np.unique(source[inside]) if inside.any() else np.unique(source)
        quad = int(found[0])
        if len(found) > 1 and inside.any():
            note = f"quad {choose.quad_name(quad)}, one of {len(found)} (see --quad)"
    exchanged = np.zeros((spec.PES.value + 1, spec.PES.value + 1), np.int64)
    np.add.at(exchanged, (copies["source"], copies["target"]), 1)
    exchanged += exchanged.T.copy()
    pes = [pe for pe in choose.pes_of_quad(quad) if exchanged[pe].any()]
    choose.require(copies if pes else copies[:0], f"packets received or sent by quad {choose.quad_name(quad)}", trace)
    follow, left = list(pes), 0
    while follow:
        own = exchanged[follow.pop(0)]
        for other in np.argsort(-own, kind="stable")[: np.count_nonzero(own)].tolist():
            if other in pes:
                continue
            if len(pes) == MOST_PES:
                left += 1
                continue
            pes.append(other)
            if np.count_nonzero(exchanged[other]) <= HUB:
                follow.append(other)
    if left:
        note = "; ".join([*([note] if note else []), f"{MOST_PES} PEs, of more that exchange packets (see --pes)"])
    return sorted(pes, key=lambda pe: (np.count_nonzero(exchanged[pe]) > HUB, pe)), note


def _between(events: NDArray[np.void], pes: Sequence[int]) -> NDArray[np.void]:
    """Copies from one of the PEs to one of them, and what one of them sent and the router dropped."""
    to = np.isin(events["target"], pes) | (events["target"] == ROUTER)
    return events[(events["event"] != Event.SENT) & np.isin(events["source"], pes) & to]


def _fit(meta: Meta, events: NDArray[np.void], pes: Sequence[int]) -> _Chart:
    """The chart with as few ticks to a row as possible."""
    width = 1
    while True:
        rows = np.unique(events["tick"].astype(np.int64) // width)
        if len(rows) <= LINES:
            chart = _chart(meta, events, pes, width)
            chart.place()
            if sum(chart.lines) <= LINES or len(rows) == 1:
                return chart
        width = max(width + 1, width * 5 // 4)


def _chart(meta: Meta, events: NDArray[np.void], pes: Sequence[int], width: int) -> _Chart:
    column = np.full(spec.PES.value + 1, -1)
    column[list(pes)] = np.arange(len(pes))
    rows, row = np.unique(events["tick"].astype(np.int64) // width, return_inverse=True)
    fields = np.stack([row, events["event"], events["type"], column[events["source"]]]).astype(np.int64)
    target = np.where(events["target"] == ROUTER, -1, column[np.minimum(events["target"], spec.PES.value)])
    groups, first, counts = np.unique(np.vstack([fields, target]), axis=1, return_index=True, return_counts=True)
    names = meta.type_names()
    arrows: dict[tuple[int, ...], _Arrow] = {}
    ticks = events["tick"][first].tolist()
    for (at, event, kind, source, to), tick, count in zip(groups.T.tolist(), ticks, counts.tolist(), strict=True):
        side = (to > source) - (to < source)
        key = (tick, source, kind, event, side, count)
        arrow = arrows.setdefault(
            key, _Arrow(at, source, [], kind, names[kind], colour_of_type(meta, kind), Event(event), count, tick)
        )
        if to >= 0:
            arrow.targets.append(to)
    return _Chart(rows * width, width, sorted(arrows.values(), key=_order))


def _order(arrow: _Arrow) -> tuple[int, ...]:
    """By tick; in it FIRST_TYPES, then from left to right, then by type."""
    first = [*FIRST_TYPES, arrow.type].index(arrow.type)
    return arrow.row, arrow.tick, first, int(arrow.ends()[0]), arrow.number


def _draw_life_lines(
    axes: Axes, trace: Trace, pes: Sequence[int], chart: _Chart, tops: Sequence[float], height: float
) -> None:
    """Solid where time passes, dotted where ticks are left out."""
    labels = choose.pe_labels(trace, pes)
    gaps = [(tops[i] - GAP - SPACE / 2, tops[i] - SPACE / 2) for i in range(1, len(tops)) if chart.skipped(i)]
    begins = [-0.3, *(end for _, end in gaps)]
    ends = [*(begin for begin, _ in gaps), height]
    for x, (pe, label) in enumerate(zip(pes, labels, strict=True)):
        axes.vlines([x] * len(begins), begins, ends, color=GREY, lw=0.8, zorder=1)
        if gaps:
            axes.vlines([x] * len(gaps), *zip(*gaps, strict=True), color=GREY, lw=0.8, ls=(0, (1, 2)), zorder=1)
        axes.text(
            x, -0.35, f"{interface_name(pe)}\n{label}".strip(), ha="center", va="bottom", fontsize=8, linespacing=1.2,
            bbox={"boxstyle": "round,pad=0.35", "fc": "white", "ec": BLACK, "lw": 0.7}, gid=f"pe {interface_name(pe)}",
        )  # fmt: skip


def _draw_arrow(axes: Axes, arrow: _Arrow, y: float) -> None:
    dropped = arrow.event in DROPS
    targets: Iterable[float] = arrow.targets
    if not arrow.targets or arrow.targets == [arrow.source]:
        targets = [arrow.source + STUB]
    for target in targets:
        patch = FancyArrowPatch(
            (arrow.source, y), (target, y), arrowstyle="-" if dropped else "-|>", mutation_scale=6.5, shrinkA=0,
            shrinkB=0, lw=1.0, color=arrow.colour, gid=f"arrow {arrow.type}", zorder=2,
        )  # fmt: skip
        axes.add_patch(patch)
        if dropped:
            x = target if not arrow.targets else target + (0.03 if target < arrow.source else -0.03)
            axes.plot([x], [y], "x", ms=4.5, mew=1.2, color=BLACK, zorder=3, gid="dropped")
    nearest = min(targets, key=lambda target: abs(target - arrow.source))
    x, align = (arrow.source + nearest) / 2, "center"
    if not arrow.targets or arrow.targets == [arrow.source]:
        x, align = arrow.source + STUB + 0.05, "left"
    axes.text(
        x, y - 0.06 if align == "center" else y, arrow.text(), ha=align, va="bottom" if align == "center" else "center",
        fontsize=6.2, color=BLACK, zorder=4,
        bbox={"boxstyle": "square,pad=0.02", "fc": "white", "ec": "none", "alpha": 0.85},
    )  # fmt: skip


def _draw_ticks(axes: Axes, chart: _Chart, tops: Sequence[float], height: float, columns: int) -> None:
    for i, (top, lines) in enumerate(zip(tops, chart.lines, strict=True)):
        if i % 2 == 0:
            axes.axhspan(top - SPACE / 2, top + lines + SPACE / 2, color="#f4f4f4", lw=0, zorder=0)
    names = [str(first) if chart.width == 1 else f"{first}–{first + chart.width - 1}" for first in chart.first]
    axes.set_yticks([top + lines / 2 for top, lines in zip(tops, chart.lines, strict=True)], names)
    axes.set_ylim(height, -2.6)
    axes.set_xlim(-0.25, columns - 0.75)
    axes.set_xticks([])
    axes.tick_params("y", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(f"tick of sending ({spec.TICK_NS.value / 1e6:g} ms each)" if height > 14 else "tick")
    axes.set_title("Messages between PEs")
