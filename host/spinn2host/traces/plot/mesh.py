"""The die: how many packets cross each link of the mesh, and how many each quad sends and receives."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import FancyArrow
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu import mesh as noc
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Event
from spinn2host.traces.plot import choose
from spinn2host.traces.plot.die import COLUMNS, ROUTER_QUADS, ROWS, SIDE, colour, draw_quads, frame
from spinn2host.traces.plot.style import BLACK, INTENSITY, LIGHT, WIDTH, TraceFigure, new_figure, short, styled

ASIDE = 0.1
"""From the middle of a link to the arrow of each of its directions."""
LOG_FROM = 30
"""Colours are logarithmic from this ratio of the largest to the smallest count on."""


@styled
def mesh(trace: Trace, ticks: choose.Ticks | None = None) -> TraceFigure:
    """Load of the links in packets, from `spinn2emu.mesh`: from each sender to the event router, and from there once
    to each quad with targets. A quad's colour: packets that it sent, and packets that came to it.

    ticks: (first, end) of sending; None: all. Raises ConfigError if there are no events.
    """
    events = choose.in_ticks(trace.events, ticks)
    choose.require(events, "packets in these ticks" if ticks else "packets", trace)
    injected, delivered = traffic(events)
    loads = noc.link_loads(injected.tolist(), delivered.tolist())
    sent = injected[1:].reshape(-1, spec.PES_PER_QUAD.value).sum(1)
    first, end = choose.axis(trace, ticks)
    figure = new_figure(
        WIDTH, 4.9, trace, [choose.note_of(trace, (first, end)), f"{int(injected.sum()):,} packets sent"]
    )
    axes = figure.add_subplot()
    quads, links = _scale(sent + delivered), _scale(np.array(list(loads.values()) or [0]))
    _draw_links(axes, loads, links)
    draw_quads(axes, {i: (int(count), short(int(count))) for i, count in enumerate(sent + delivered) if count}, quads)
    frame(axes, "Load of the mesh")
    _bar(figure, axes, links, "packets over a link (arrows)")
    _bar(figure, axes, quads, "packets sent and received by a quad (squares)")
    figure.contents = {
        "ticks": [first, end - 1], "packets": int(injected.sum()),
        "quads": {choose.quad_name(i): {"sent": int(s), "received": int(d)}
                  for i, (s, d) in enumerate(zip(sent, delivered, strict=True)) if s or d},
        "links": [{"from": list(a), "to": list(b), "packets": n} for (a, b), n in sorted(loads.items())],
    }  # fmt: skip
    return figure


def traffic(events: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packets that each PE sent, by id (153,), and packets that went to each quad, by number (38,).

    A packet counts as sent if any event tells of it, and once for a quad, whether its PEs processed or dropped it.
    """
    tick = np.searchsorted(np.unique(events["tick"]), events["tick"])  # fewer bits than the tick itself
    packet = tick << 28 | events["sent"].astype(np.int64) << 8 | events["source"]  # ns within a tick have 20 bits
    injected = np.bincount(_distinct(packet) & 0xFF, minlength=spec.PES.value + 1)
    copies = (events["event"] != Event.SENT) & choose.is_pe(events["target"])
    pairs = _distinct(packet[copies] << 6 | choose.quad_of(events["target"][copies]))
    return injected, np.bincount(pairs & 0x3F, minlength=len(geometry.QUADS))


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """As np.unique; events come nearly in order, which this sort takes advantage of."""
    values = np.sort(values, kind="stable")
    return values[np.diff(values, prepend=-1) != 0]


def _scale(counts: NDArray[np.int64]) -> ScalarMappable:
    """Colours for counts, of which 0 has none."""
    used = counts[counts > 0]
    low, high = (int(used.min()), int(used.max())) if len(used) else (0, 1)
    log = low > 0 and high / low >= LOG_FROM
    return ScalarMappable(LogNorm(low, high) if log else Normalize(0, high), INTENSITY)


def _draw_links(axes: Axes, loads: dict[noc.Link, int], scale: ScalarMappable) -> None:
    """Two arrows between neighbours, each to the right of its direction; grey where nothing went."""
    gap, aside = 1 - SIDE, ASIDE
    for x in range(1, COLUMNS + 1):
        for y in range(1, ROWS + 1):
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                to = (x + dx, y + dy)
                if not (1 <= to[0] <= COLUMNS and 1 <= to[1] <= ROWS) or {(x, y), to} == set(ROUTER_QUADS):
                    continue
                count = loads.get(((x, y), to), 0)
                begin = SIDE / 2 + 0.03
                width, head, edge = (0.075, 0.17, 0.4) if count else (0.02, 0.07, 0)
                arrow = FancyArrow(
                    x + dx * begin + dy * aside, y + dy * begin - dx * aside, dx * (gap - 0.06), dy * (gap - 0.06),
                    width=width, head_width=head, head_length=0.15, length_includes_head=True, lw=edge, ec=BLACK,
                    fc=colour(scale, count) if count else LIGHT, gid=f"link {x}.{y} {to[0]}.{to[1]}",
                )  # fmt: skip
                axes.add_patch(arrow)


def _bar(figure: TraceFigure, axes: Axes, scale: ScalarMappable, label: str) -> None:
    log = isinstance(scale.norm, LogNorm)
    label += " (logarithmic)" if log else ""
    bar = figure.colorbar(scale, ax=axes, shrink=0.9, pad=0.02, aspect=30, label=label)
    bar.locator = LogLocator(subs=(1, 2, 5) if scale.norm.vmax / scale.norm.vmin < 1000 else (1,)) if log else (  # type: ignore[operator]
        MaxNLocator(integer=True)
    )  # fmt: skip
    bar.minorlocator = NullLocator()
    bar.formatter = FuncFormatter(lambda value, _: f"{value:,.0f}")
    bar.outline.set_linewidth(0.6)
    bar.update_ticks()
