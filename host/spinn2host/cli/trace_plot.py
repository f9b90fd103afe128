"""`spinn2emu trace plot`: figures of a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace
from spinn2host.cli.common import Pes, Ticks, existing_file
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.cli.trace_look import expression_argument, problem_of, read_what_can_be_read
from spinn2host.traces.expression import select

if TYPE_CHECKING:
    from spinn2host.traces.plot import TraceFigure


class Quad(click.ParamType):
    """`qx.qy`; becomes its number."""

    name = "QUAD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        if value.count(".") != 1:
            self.fail(f"{value!r} is no quad: write qx.qy", param, ctx)
        return (geometry.pe_ids(value)[0] - 1) // spec.PES_PER_QUAD.value


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options of all figures."""
    for decorate in (
        json_option,
        click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE.png|.svg|.pdf",
                     help="Where to write the figure; in the current directory by default."),
        click.option("--ticks", type=Ticks(), help="Only packets sent in these ticks."),
        expression_argument,
        click.argument("file", type=existing_file()),
    ):  # fmt: skip
        function = decorate(function)
    return function


pes_option = click.option(
    "--pes", type=Pes(), multiple=True, help="A PE qx.qy.p, an id, or a quad qx.qy; may be repeated."
)


@click.group()
def plot() -> None:
    """Draw a trace: PNG for the screen, SVG or PDF for a paper. Needs `pip install 'spinn2emu[trace]'`.

    EXPR chooses packets, as in `trace show`. What is left out of a large trace is said on the figure and on stderr.

    \b
    Examples:
      spinn2emu trace plot raster online.pcapng
      spinn2emu trace plot raster full.pcapng --pes 1.1 --ticks 0:219 -o raster.pdf
      spinn2emu trace plot mesh full.pcapng 'type == gradient'
      spinn2emu trace plot sequence full.pcapng --quad 6.6
      spinn2emu trace plot timeline full.pcapng
    """


@plot.command()
@_common
@pes_option
def raster(
    file: Path, expression: str, ticks: tuple[int, int | None] | None, out: Path | None, as_json: bool,
    pes: tuple[list[int], ...],
) -> None:  # fmt: skip
    """Spikes forward and errors backward, neuron by neuron, over virtual time.

    \b
    Examples:
      spinn2emu trace plot raster online.pcapng
      spinn2emu trace plot raster full.pcapng --pes 1.1.1 --pes 1.1.2 --ticks 550:769 -o layers.svg
    """
    _figure("raster", file, expression, out, as_json, ticks=ticks, pes=_flat(pes))


@plot.command()
@_common
def mesh(file: Path, expression: str, ticks: tuple[int, int | None] | None, out: Path | None, as_json: bool) -> None:
    """The die: packets over each link of the mesh, and sent and received by each quad.

    \b
    Examples:
      spinn2emu trace plot mesh full.pcapng
      spinn2emu trace plot mesh full.pcapng 'type == weight' --ticks 0:54 -o weights.pdf
    """
    _figure("mesh", file, expression, out, as_json, ticks=ticks)


@plot.command()
@_common
@pes_option
@click.option("--quad", type=Quad(), help="The quad whose PEs are shown, with those they exchange packets with.")
def sequence(
    file: Path, expression: str, ticks: tuple[int, int | None] | None, out: Path | None, as_json: bool,
    pes: tuple[list[int], ...], quad: int | None,
) -> None:  # fmt: skip
    """What the PEs of a sample send each other, tick by tick; one training step by default.

    \b
    Examples:
      spinn2emu trace plot sequence online.pcapng
      spinn2emu trace plot sequence full.pcapng --quad 6.6 --ticks 55:110
      spinn2emu trace plot sequence ring.pcapng --pes 1.1.0 --pes 1.1.1 --pes 2.1.0
    """
    if pes and quad is not None:
        raise ConfigError("--pes and --quad both say whom to show: give one of them")
    _figure("sequence", file, expression, out, as_json, ticks=ticks, pes=_flat(pes), quad=quad)


@plot.command()
@_common
def timeline(
    file: Path, expression: str, ticks: tuple[int, int | None] | None, out: Path | None, as_json: bool
) -> None:
    """Packets per tick by type, drops, and which PEs are active when.

    \b
    Examples:
      spinn2emu trace plot timeline full.pcapng
      spinn2emu trace plot timeline full.pcapng 'not type == gradient' --ticks 0:549 -o steps.pdf
    """
    _figure("timeline", file, expression, out, as_json, ticks=ticks)


def _flat(pes: tuple[list[int], ...]) -> list[int] | None:
    return list(dict.fromkeys(pe for group in pes for pe in group)) or None


def _figure(kind: str, file: Path, expression: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Reads, chooses, draws, saves."""
    from spinn2host.traces import plot as plots

    out = out or Path(f"{file.name.split('.')[0] or 'trace'}-{kind}.png")
    plots.check_suffix(out)
    trace = _select(file, read_what_can_be_read(file), expression)
    draw: Callable[..., TraceFigure] = getattr(plots, kind)
    if options["ticks"]:
        first, last = options["ticks"]
        options["ticks"] = first, (1 << 32 if last is None else last + 1)
    figure = draw(trace, **options)
    plots.save(figure, out)
    if figure.notes:
        stderr.print(f"Shown: {'; '.join(figure.notes)}", markup=False)
    if as_json:
        print_json({"file": str(out), "figure": kind, "events": len(trace.events), **figure.contents,
                    "notes": figure.notes, "problem": problem_of(trace)})  # fmt: skip
    else:
        stdout.print(str(out), markup=False)


def _select(file: Path, trace: Trace, expression: str) -> Trace:
    """The events that the expression chooses; ConfigError if these are none."""
    if not len(trace.events):
        raise ConfigError(f"{file} holds no events: nothing to draw", path=str(file), events=0)
    chosen = select(trace, expression)
    if not len(chosen.events):
        raise ConfigError(
            f"{file}: none of {len(trace.events):,} events is left by {expression!r}: nothing to draw; "
            "`spinn2emu trace stats` shows what there is", events=len(trace.events), expression=expression,
        )  # fmt: skip
    return chosen
