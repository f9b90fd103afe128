"""The die as figures show it: quads in colours, and the event router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from spinn2emu import geometry, spec
from spinn2host.traces.plot.style import BLACK, GREY, LIGHT

COLUMNS, ROWS = 7, 6
SIDE = 0.56
"""Of a quad's square; the distance between quads is 1."""
ROUTER_QUADS = tuple((spec.ROUTER_PORT_X.value, y.value) for y in (spec.ROUTER_PORT_LOW, spec.ROUTER_PORT_HIGH))


def draw_quads(
    axes: Axes, values: Mapping[int, tuple[float, str]], scale: ScalarMappable, size: float = 7
) -> None:  # fmt: skip
    """The die: each quad in the colour of its value, with the value's text, by number of the quad; others are empty.

    size: of the names, in points.
    """
    places = {quad: i for i, quad in enumerate(geometry.QUADS)}
    for x in range(1, COLUMNS + 1):
        for y in range(1, ROWS + 1):
            corner = (x - SIDE / 2, y - SIDE / 2)
            if (x, y) in places:
                value, text = values.get(places[x, y], (0, ""))
                fill, edge = colour(scale, value) if text else "white", BLACK if text else GREY
                axes.add_patch(Rectangle(corner, SIDE, SIDE, fc=fill, ec=edge, lw=0.6, gid=f"quad {x}.{y}"))
                ink = "white" if _luminance(fill) < 0.45 else edge
                up = 0.1 if text else 0
                axes.text(x, y + up, f"{x}.{y}", ha="center", va="center", fontsize=size, weight="bold", color=ink)
                if text:
                    axes.text(x, y - 0.11, text, ha="center", va="center", fontsize=size - 1, color=ink)
            elif (x, y) not in ROUTER_QUADS:
                axes.add_patch(Rectangle(corner, SIDE, SIDE, fc="none", ec=GREY, lw=0.6, ls=":", gid=f"empty {x}.{y}"))
                axes.text(x, y, "no PEs", ha="center", va="center", fontsize=size - 1, color=GREY)
    (x, low), (_, high) = ROUTER_QUADS
    height = high - low + SIDE
    axes.add_patch(Rectangle((x - SIDE / 2, low - SIDE / 2), SIDE, height, fc=LIGHT, ec=BLACK, lw=0.9, gid="router"))
    axes.text(x, (low + high) / 2, "event\nrouter", ha="center", va="center", fontsize=size, weight="bold")


def frame(axes: Axes, title: str) -> None:
    """The axes of a die."""
    axes.set_xlim(0.55, COLUMNS + 0.45)
    axes.set_ylim(0.55, ROWS + 0.45)
    axes.set_aspect("equal")
    axes.set_xticks(range(1, COLUMNS + 1))
    axes.set_yticks(range(1, ROWS + 1))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("quad x")
    axes.set_ylabel("quad y")
    axes.set_title(title)


def colour(scale: ScalarMappable, value: float) -> Any:
    """Of a value."""
    return scale.to_rgba(np.array([value]))[0]


def _luminance(colour: Any) -> float:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue
