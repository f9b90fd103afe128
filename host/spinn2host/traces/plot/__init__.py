"""Figures of traces: each function returns a matplotlib Figure that is ready for a paper; `save` writes it.

    from spinn2emu.trace.file import read_trace
    from spinn2host.traces import plot

    figure = plot.raster(read_trace("online.pcapng"), ticks=(0, 114))
    plot.save(figure, "raster.pdf")

Importing raises ConfigError if matplotlib is missing.
"""

from __future__ import annotations

from spinn2emu.errors import ConfigError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ConfigError("figures need matplotlib: pip install 'spinn2emu[trace]'") from error

from spinn2host.traces.plot.mesh import mesh
from spinn2host.traces.plot.raster import raster
from spinn2host.traces.plot.sequence import sequence
from spinn2host.traces.plot.style import SUFFIXES, TraceFigure, check_suffix, save
from spinn2host.traces.plot.timeline import timeline

__all__ = ["SUFFIXES", "TraceFigure", "check_suffix", "mesh", "raster", "save", "sequence", "timeline"]
