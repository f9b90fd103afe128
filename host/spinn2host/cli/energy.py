"""`spinn2emu energy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Column, Table

from spinn2emu import spec
from spinn2emu.cost import Interval
from spinn2host.cli.common import existing_file
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.energy import report
from spinn2host.energy.configurations import Configuration, configuration
from spinn2host.energy.model import Estimate, Part, estimate
from spinn2host.energy.read import Run, read_run


@click.command()
@click.argument("run", metavar="RUN|TRACE", type=existing_file())
@click.option(
    "--configuration", "names", multiple=True, metavar="NAME",
    help="Show only this configuration of the chip; may be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.png|.svg|.pdf",
    help="Draw the first configuration's energy by phase and role, the die, and power over a batch.",
)
@json_option
def energy(run: Path, names: tuple[str, ...], plot: Path | None, as_json: bool) -> None:
    """Show power and energy of a run, in each configuration of the chip, beside what was measured.

    RUN is a folder of `train --out`, or a file with what `train --json` or `run --json` printed; of a TRACE it is known
    as much as packets and phases tell. Figures are intervals: the central one, and in brackets how low and how high it
    can be as far as the sources say.

    A configuration is the level of the PEs (0.5 V and 150 MHz, or 0.8 V and 300 MHz), those without a program off or
    asleep, and PEs asleep or waiting busily between ticks. Which one the published figures are of, no source says.

    \b
    Examples:
      spinn2emu energy runs/mine
      spinn2emu energy runs/mine --configuration 0.8V-off --configuration 0.5V-off --json
      spinn2emu energy runs/mine --plot energy.pdf
    """
    chosen = [configuration(name) for name in dict.fromkeys(names)]
    if plot is not None:
        from spinn2host.traces.plot import check_suffix

        check_suffix(plot)
    found = read_run(run)
    main = chosen[0] if chosen else report.usual(found.usage)
    shown = chosen or report.worth_reporting(found.usage)
    notes: list[str] = []
    if plot is not None:
        notes = _draw(found, main, plot)
    if as_json:
        _print_json(found, main, shown, plot)
    else:
        _print(found, main, shown)
        for note in notes:
            stderr.print(note, markup=False)
        if plot is not None:
            stdout.print(f"\n{plot}", markup=False)


def _draw(run: Run, of: Configuration, path: Path) -> list[str]:
    from spinn2host.energy.plot import profile
    from spinn2host.traces.plot import save

    figure = profile(run, of)
    save(figure, path)
    return figure.notes


def _print_json(run: Run, main: Configuration, shown: Sequence[Configuration], plot: Path | None) -> None:
    of = {each.name: report.figures(estimate(run.usage, each), run.usage) for each in shown}
    if run.usage.batches:
        of = {name: {**figures, "to_poster_percent": report.to_poster(figures)} for name, figures in of.items()}
    print_json({
        "run": run.name, "configuration": main.name, "configurations": of,
        "descriptions": {each.name: each.text for each in shown}, "batches": run.usage.batches,
        "samples": run.usage.samples, "poster": report.poster() if run.usage.batches else None,
        "unknown_costs": run.usage.unknown, "notes": run.notes, "absent": list(report.ABSENT),
        "plot": None if plot is None else str(plot),
    })  # fmt: skip


def _print(run: Run, main: Configuration, shown: Sequence[Configuration]) -> None:
    estimates = [estimate(run.usage, each) for each in shown]
    stdout.print(_configurations(run, estimates))
    if run.usage.batches:
        stdout.print(f"measured: {spec.POSTER_BATCH.note}, batch {spec.POSTER_BATCH.value}; {spec.POSTER_POWER.note}\n")
    else:
        stdout.print()
    result = estimate(run.usage, main)
    stdout.print(f"{main.name}: {main.text}", markup=False)
    for title, parts in (("role", result.by_role), ("phase", result.by_phase)):
        stdout.print(_parts(title, parts, result))
        stdout.print()
    static = result.static_share
    stdout.print(f"drawn however little the PEs do: {_range(static * 100, 1)}% of the energy")
    for role, ms in result.longest_ms.items():
        if ms > spec.TICK_NS.value / 1e6:
            stdout.print(
                f"{role}: its longest tick takes {ms:.2f} ms of 1 ms: it does not meet its tick", style="yellow"
            )
    if run.usage.unknown:
        programs = ", ".join(run.usage.unknown)
        advice = "" if run.notes else "; `spinn2emu cost PROGRAM` counts them"
        stdout.print(
            f"the cycles are not known of {programs}: at most they take all the time (high){advice}", markup=False
        )
    for note in run.notes:
        stdout.print(note, markup=False)
    for absent in report.ABSENT:
        stdout.print(f"not in these figures: {absent}", style="dim")


def _configurations(run: Run, estimates: Sequence[Estimate]) -> Table:
    """A row per configuration; of a run with batches, beside the poster's figures."""
    right = [Column(name, justify="right") for name in ("ms", "mW", "mJ")]
    if not run.usage.batches:
        table = Table("configuration", *right, box=None, pad_edge=False)
        for each in estimates:
            mw = _range(each.power_w * 1000, 1)
            table.add_row(each.configuration.name, f"{each.ms:g}", mw, _range(each.mj, 2))
        return table
    per_sample = Column("mJ per sample", justify="right")
    to_poster = [Column(f"{name} to measured", justify="right") for name in ("power", "energy")]
    right[0].header, right[2].header = "ms per batch", "mJ per batch"
    table = Table("configuration", *right, per_sample, *to_poster, box=None, pad_edge=False)
    for each in estimates:
        published = report.to_poster(report.figures(each, run.usage))
        ahead = [published[name]["central"] for name in ("power_w", "mj_per_batch")]
        cells = [
            f"{each.ms:g}", _range(each.power_w * 1000, 0), _range(each.mj, 1), _range(each.mj * (1 / each.samples), 2),
            *("?" if percent is None else f"{percent:+.0f}%" for percent in ahead),
        ]  # fmt: skip
        table.add_row(each.configuration.name, *cells)
    published_ms, watts, mj, mj_per_sample = report.poster().values()
    table.add_row(
        "measured (poster)", f"{published_ms:g}", f"{1000 * watts:g}", f"{mj:g}", f"{mj_per_sample:g}", style="bold"
    )
    return table


def _parts(title: str, parts: Mapping[str, Part], result: Estimate) -> Table:
    names = ("PEs", "mJ", "mW", "busy")
    table = Table(title, *(Column(name, justify="right") for name in names), box=None, pad_edge=False)
    for name, part in parts.items():
        count = len(part.pes)
        busy = f"{_range(part.busy_ms * (100 / (count * result.ms)), 2)}%" if count else ""
        table.add_row(escape(name), str(count or ""), _range(part.mj, 3), _range(part.mj * (1000 / result.ms), 1), busy)
    return table


def _range(of: Interval, digits: int) -> str:
    """`22.2 (22.1 – 22.4)`; one number if all three look the same, ? for what is not known. digits: decimals, less of
    large numbers."""
    digits = min(digits, 0 if of.high >= 1000 else 1 if of.high >= 100 else 3)
    low, central, high = (f"{value:.{digits}f}" if value == value else "?" for value in of)
    return low if low == central == high else f"{central} ({low} – {high})"
