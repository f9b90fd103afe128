"""What all figures share: size, colours, and how they are saved so that equal figures are equal files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any, ParamSpec, TypeVar

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import Meta

WIDTH = 7.2
"""Inches: both columns of a page of two."""
MANY = 2000
"""From so many points on they are one picture in a vector file."""
PNG_DPI, VECTOR_DPI = 200, 300
SUFFIXES = (".png", ".svg", ".pdf")

BLACK, GREY, LIGHT = "#000000", "#6b6b6b", "#d9d9d9"
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
"""The palette of Okabe and Ito, which everybody can tell apart."""
TYPE_COLOURS = {
    "spike": BLUE, "error": VERMILLION, "gradient": GREEN, "weight": ORANGE, "control": PURPLE, "silent": SKY,
    "multicast": BLACK, "core_to_core": YELLOW, "nearest_neighbour": GREY, "global": LIGHT,
}  # fmt: skip
"""Of types of packets that many programs send; others get one of OTHER_COLOURS by their number."""
OTHER_COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499",
                 "#661100", "#6699CC", "#888888")  # fmt: skip
"""The palette of Tol for many colours ("muted")."""
INTENSITY = "cividis_r"
"""Colour map of counts: the darker, the more."""

TIME_LABEL = f"virtual time (ms; a tick is {spec.TICK_NS.value / 1e6:g} ms)"

_STYLE: dict[str, Any] = {
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
    "svg.hashsalt": "spinn2emu",
    "path.simplify": True,
}

P = ParamSpec("P")
R = TypeVar("R")


class TraceFigure(Figure):
    """A figure. `contents`: what it shows, in numbers; `notes`: what of the trace it shows, where that is not all."""

    contents: dict[str, Any]
    notes: list[str]

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return to_bytes(self, "png")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function in the style of all figures, whatever the user's settings are, and leaves those as they were."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(_STYLE, after_reset=True):
            return function(*args, **kwargs)

    return inner


def new_figure(width: float, height: float, trace: Trace, notes: Iterable[str]) -> TraceFigure:
    """An empty figure, in inches. Below it, on further lines, stands where the events come from, and the notes: what is
    shown of them, and how.
    """
    return figure_of(width, height, _origin(trace), notes)


def figure_of(width: float, height: float, origin: Iterable[str], notes: Iterable[str]) -> TraceFigure:
    """As `new_figure`, of what is described by the lines of `origin`."""
    notes = list(notes)
    lines = [*origin, *(["Shown: " + "; ".join(notes)] if notes else [])]
    columns = int(17 * width)  # characters of this size
    wrapped = [part for line in lines for part in wrap(line, columns, subsequent_indent="    ")]
    figure = TraceFigure(figsize=(width, height + 0.11 * len(wrapped)), layout="constrained")
    figure.notes, figure.contents = notes, {}
    if wrapped:
        figure.supxlabel("\n".join(wrapped), x=0.01, ha="left", fontsize=6.5, color=GREY, parse_math=False)
    return figure


def _origin(trace: Trace) -> list[str]:
    """The file, what was recorded in it, and what was chosen of that."""
    recorded = ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(trace.meta.filter.items())
    )
    parts = [
        trace.name, f"recorded: {recorded}" if recorded else "", f"only: {trace.chosen}" if trace.chosen else "",
        "damaged" if trace.problem is not None else "",
    ]  # fmt: skip
    return [line] if (line := "; ".join(part for part in parts if part)) else []


def legend_above(axes: Axes, handles: Iterable[Artist], labels: Iterable[str]) -> None:
    """A legend in one line between title and data, where it covers neither."""
    handles, labels = list(handles), list(labels)
    if not handles:
        return
    columns = len(handles) if len(handles) <= 6 else (len(handles) + 1) // 2
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.1,
        columnspacing=1.4, handletextpad=0.5, handlelength=1.2,
    )  # fmt: skip
    lines = -(-len(handles) // columns)
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=5 + 11.5 * lines)


def colour_of_type(meta: Meta, number: int) -> str:
    """The colour in which all figures of a trace show a type of packet."""
    return TYPE_COLOURS.get(meta.type_names()[number], OTHER_COLOURS[number % len(OTHER_COLOURS)])


def short(count: int) -> str:
    """At most four characters, of numbers below 10^12: 950, 12k, 1.3M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 0.9995 * size:
            return f"{count / size:.{0 if count >= 9.95 * size else 1}f}{unit}"
    return str(count)


@styled
def to_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file of this kind (png, svg, pdf): the same bytes for the same figure."""
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = BytesIO()
    dpi = PNG_DPI if kind == "png" else VECTOR_DPI
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # names are in any script
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=undated[kind])
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a .png, .svg or .pdf file. Raises ConfigError for another suffix, and if it cannot be written."""
    path = Path(path)
    check_suffix(path)
    try:
        path.write_bytes(to_bytes(figure, path.suffix.lower()[1:]))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", path=str(path)) from error


def check_suffix(path: Path) -> None:
    """Raises ConfigError unless the path's suffix is one of SUFFIXES."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: figures are written as {', '.join(SUFFIXES)}, by the name's suffix", path=str(path))
