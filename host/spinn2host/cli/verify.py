"""`spinn2emu verify`."""

from __future__ import annotations

import math
from pathlib import Path

import click

from spinn2emu.errors import Mismatch
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.training import Place
from spinn2host.verify import Report
from spinn2host.verify import verify as run_verify

PLACES: dict[str, tuple[Place, ...]] = {"chip": ("chip",), "offchip": ("offchip",), "both": ("offchip", "chip")}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on", "place", type=click.Choice(list(PLACES)), default="both", show_default=True, help="Where to run them."
)
@json_option
def verify(files: tuple[Path, ...], place: str, as_json: bool) -> int:
    """Compare with reference vectors.

    A FILE holds test vectors, a training trajectory, or samples of the Yin-Yang generator. Spikes must be equal,
    gradients and weights within 1e-4 of the largest entry of their array. The exit code is 6 if anything differs.

    \b
    Example:
      spinn2emu verify tests/vectors/*.npz --on both
    """

    def each(report: Report) -> None:
        state = "[green]ok[/]" if report.ok else "[red]MISMATCH[/]"
        target = stderr if as_json else stdout
        target.print(f"{state:<18} {report.on:<8} {report.file}  worst relative error {report.worst:.1e}")
        for problem in report.problems[:5]:
            target.print(f"    {problem}", markup=False)

    reports = run_verify(files, PLACES[place], each)
    ok = all(report.ok for report in reports)
    if as_json:
        results = [
            {"file": r.file, "on": r.on, "ok": r.ok, "problems": r.problems,
             "worst_relative_error": r.worst if math.isfinite(r.worst) else None} for r in reports
        ]  # fmt: skip
        print_json({"results": results, "ok": ok})
    return 0 if ok else Mismatch.exit_code
