"""The energy profile of a run, in one figure: all configurations beside the measured one, the die, phases, roles, and
power over a batch. Importing raises ConfigError if matplotlib is missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure
from matplotlib.transforms import Bbox

from spinn2emu import geometry, spec
from spinn2emu.cost import Interval
from spinn2host.energy import report
from spinn2host.energy.configurations import Configuration
from spinn2host.energy.model import CHIP, UNUSED, WAITING, Estimate, Part, Usage, estimate
from spinn2host.energy.read import Run
from spinn2host.energy.timeline import Power, power_over_batch
from spinn2host.traces import plot as plots
from spinn2host.traces.plot import die, style

MOST_BARS = 12
"""Roles or phases that have a bar, or an area, of their own; the others are one together."""
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILLION, style.PURPLE, style.SKY, *style.OTHER_COLOURS)
OTHERS = "others"
PLACES = 3
"""Decimals of places in the figure, whose width is 1."""
SMALL = 5.5
"""Points, of names on the die."""


@style.styled
def profile(run: Run, configuration: Configuration) -> plots.TraceFigure:
    """The figure of a run in this configuration; `contents` has what it shows in numbers."""
    usage, result = run.usage, estimate(run.usage, configuration)
    notes = [configuration.text]
    if usage.unknown:
        notes.append(f"cycles are not known of {', '.join(usage.unknown)}: dots and areas are lower bounds")
    height = 8.0 if usage.batches else 5.8
    figure = style.figure_of(style.WIDTH, height, [f"{run.name}: {_what(usage)}"], notes)
    rows = [1.45, 1.0, 1.0] if usage.batches else [1.45, 1.0]
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    left, right = parts[0].subplots(1, 2, width_ratios=[1, 1.45])
    _configurations(left, usage, configuration)
    _die(parts[0], right, result)
    roles = _few(result.by_role)
    colours = _colours(list(roles))
    unit = "mJ per batch" if usage.batches else "mJ"
    left, right = parts[1].subplots(1, 2)
    _bars(left, "Energy by phase", unit, _few(result.by_phase), {})
    _bars(right, "Energy by role", unit, roles, colours)
    if usage.batches:
        line = power_over_batch(usage, configuration)
        left, right = parts[2].subplots(1, 2)
        _over_a_batch(left, "Power over a batch", line.all, colours)
        _over_a_batch(right, "… of that, because PEs are busy", line.busy, colours)
    _fix_layout(figure)
    figure.contents = report.figures(result, usage)
    return figure


def _fix_layout(figure: plots.TraceFigure) -> None:
    """The layout's last digits differ from time to time, and with them the files: it is made once, and rounded."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for text in figure.texts:
        text.set_y(round(text.get_position()[1], PLACES))
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), PLACES))
        for axes in part.axes:
            axes.set_position(Bbox(np.round(axes.get_position(original=True).get_points(), PLACES)))


def _what(usage: Usage) -> str:
    if usage.batches:
        return f"mean of {usage.batches:,} batches, {usage.samples} samples each"
    return f"{usage.ticks:,} ticks in all"


def _few(parts: Mapping[str, Part]) -> dict[str, Interval]:
    """The energies, of many parts the largest and the sum of the others."""
    kept = sorted(parts, key=lambda name: -parts[name].mj.high)[:MOST_BARS]
    few = {name: part.mj for name, part in parts.items() if name in kept}
    for name, part in parts.items():
        if name not in kept:
            few[OTHERS] = few[OTHERS] + part.mj if OTHERS in few else part.mj
    return few


def _colours(roles: list[str]) -> dict[str, str]:
    fixed = {CHIP: style.GREY, UNUSED: style.LIGHT, OTHERS: style.BLACK}
    own = iter(COLOURS)
    return {role: fixed.get(role) or next(own) for role in roles}


def _dot(value: Interval) -> float:
    return value.low if np.isnan(value.central) else value.central


def _configurations(axes: Axes, usage: Usage, shown: Configuration) -> None:
    """Energy (of a run without batches: power) of each configuration, with the measured one as a line."""
    estimates = [estimate(usage, each) for each in report.worth_reporting(usage)]
    values = [each.mj if usage.batches else each.power_w * 1000 for each in estimates]
    places = np.arange(len(values))
    dots = np.array([_dot(value) for value in values])
    spans = np.abs(np.array([[value.low, value.high] for value in values]).T - dots)
    axes.errorbar(dots, places, xerr=spans, fmt="none", ecolor=style.GREY, elinewidth=1.0, capsize=2.0)
    ink = [style.VERMILLION if each.configuration == shown else style.BLACK for each in estimates]
    axes.scatter(dots, places, c=ink, s=16, zorder=3)
    axes.set_yticks(places, [each.configuration.name for each in estimates])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("mJ per batch" if usage.batches else "mW")
    axes.set_title("Configurations")
    if usage.batches:
        measured = spec.POSTER_BATCH_ENERGY.value / 1000
        axes.axvline(measured, color=style.BLUE, lw=1.0, ls="--", zorder=0, label=f"measured: {measured:g} mJ")
        axes.legend(loc="upper right")


def _die(figure: SubFigure, axes: Axes, result: Estimate) -> None:
    """Mean power of each quad."""
    quads = {}
    for number in range(spec.QUADS.value):
        first = spec.PES_PER_QUAD.value * number + geometry.PE_IDS[0]
        mw = sum(result.pe_mw[pe] for pe in range(first, first + spec.PES_PER_QUAD.value))
        if mw:
            quads[number] = (mw, f"{mw:.1f}")
    most = max((mw for mw, _ in quads.values()), default=1.0)
    scale = ScalarMappable(Normalize(0, most), style.INTENSITY)
    die.draw_quads(axes, quads, scale, SMALL)
    die.frame(axes, "Power of the quads")
    bar = figure.colorbar(scale, ax=axes, shrink=0.9, pad=0.02, aspect=30, label="mW")
    bar.outline.set_linewidth(0.6)


def _bars(axes: Axes, title: str, unit: str, parts: Mapping[str, Interval], colours: Mapping[str, str]) -> None:
    """A bar for each part with its interval."""
    places = np.arange(len(parts))
    dots = np.array([_dot(value) for value in parts.values()])
    spans = np.abs(np.array([[value.low, value.high] for value in parts.values()]).T - dots)
    plain = {CHIP: style.GREY, UNUSED: style.LIGHT, WAITING: style.LIGHT}
    ink = [colours.get(name) or plain.get(name, style.BLUE) for name in parts]
    axes.barh(places, dots, xerr=spans, color=ink, height=0.7, error_kw={"elinewidth": 0.8, "capsize": 1.5})
    most = max((value.high for value in parts.values()), default=1.0)
    for place, value in zip(range(len(parts)), parts.values(), strict=True):
        axes.text(value.high + 0.02 * most, place, f"{_dot(value):.3g}", va="center", fontsize=6.5)
    axes.set_yticks(places, [name.replace("$", r"\$") for name in parts])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * most)
    axes.set_xlabel(unit)
    axes.set_title(title)


def _over_a_batch(axes: Axes, title: str, power: Power, colours: Mapping[str, str]) -> None:
    """Power by role over the ticks of a batch, one on the other."""
    shown: Power = {}
    for role, mw in power.items():
        name = role if role in colours else OTHERS
        shown[name] = shown[name] + mw if name in shown else mw
    ticks = len(next(iter(shown.values()), ()))
    edges, low = np.arange(ticks + 1), np.zeros(ticks)
    for name, mw in shown.items():
        axes.stairs(low + mw, edges, baseline=low, fill=True, color=colours[name], lw=0)
        low = low + mw
    if ticks:
        axes.stairs(low, edges, color=style.BLACK, lw=0.8, baseline=None)
    axes.set_xlim(0, max(ticks, 1))
    axes.set_ylim(0, 1.05 * low.max(initial=0) or 1)
    axes.set_xlabel(f"ms in a batch (a tick is {spec.TICK_NS.value / 1e6:g} ms)")
    axes.set_ylabel("mW")
    axes.set_title(title)
