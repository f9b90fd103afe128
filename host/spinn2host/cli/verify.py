"""`spinn2emu verify`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from spinn2emu.errors import ConfigError, Mismatch
from spinn2host.cli.common import Assignment, given, parse_value
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.training import Place
from spinn2host.verify import Report
from spinn2host.verify import verify as run_verify

PLACES: dict[str, tuple[Place, ...]] = {"chip": ("chip",), "offchip": ("offchip",), "both": ("offchip", "chip")}
OF_ARM = ("parameters", "ticks", "seed")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--on", "place", type=click.Choice(list(PLACES)), default="both", show_default=True, help="Where to run them."
)
@click.option(
    "--arm", is_flag=True, help="Execute programs as Cortex-M4 code, and compare with the host's (extra arm)."
)
@click.option(
    "--set", "parameters", multiple=True, type=Assignment(),
    help="With --arm: set a parameter of the program; may be repeated.",
)  # fmt: skip
@click.option(
    "--ticks", type=click.IntRange(1), default=300, show_default=True, metavar="N",
    help="With --arm: number of ticks that a program runs.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="With --arm: seed of the packets that a program gets.",
)  # fmt: skip
@json_option
@click.pass_context
def verify(
    context: click.Context, files: tuple[Path, ...], place: str, arm: bool, as_json: bool, **options: Any
) -> int:
    """Compare with reference vectors, or with Cortex-M4 code.

    A FILE holds test vectors, a training trajectory, or samples of the Yin-Yang generator. Spikes must be equal,
    gradients and weights within 1e-4 of the largest entry of their array. The exit code is 6 if anything differs.

    With --arm, activations of programs are recorded and executed as Cortex-M4 code, which must leave the same bytes and
    send the same packets: of all programs that spinn2emu has, or, with a FILE, of a program (a module, or a .py file),
    which gets pseudo-random packets on its input ports, or of those in a NETWORK.toml.

    \b
    Examples:
      spinn2emu verify tests/vectors/*.npz --on both
      spinn2emu verify --arm
      spinn2emu verify --arm blink.py --set period=5
    """
    if arm:
        if given(context, "place"):
            raise click.UsageError("--on is not for --arm: programs run on the chip")
        return _verify_arm(files, as_json, **options)
    for name in OF_ARM:
        if given(context, name):
            raise click.UsageError(f"--{'set' if name == 'parameters' else name} is for --arm")
    if not files:
        raise click.UsageError("name files, or programs are checked with --arm")

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


def _verify_arm(
    files: tuple[Path, ...], as_json: bool, parameters: tuple[tuple[str, str], ...], ticks: int, seed: int
) -> int:
    from spinn2host.arm.verify import verify_program, verify_shipped

    values = {name: parse_value(text) for name, text in parameters}
    if values and (not files or any(file.suffix == ".toml" for file in files)):
        raise ConfigError("parameters (--set) are those of one program: name its file; a network sets them itself")
    found = [verify_program(str(file), values, ticks, seed) for file in files] if files else [verify_shipped()]
    results = [result for several in found for result in several]
    ok = all(result.ok for result in results)
    if as_json:
        print_json({"ok": ok, "results": [
            {"program": r.program, "activations": r.activations, "code_bytes": r.code_bytes, "ok": r.ok,
             "problems": r.problems, "remarks": r.remarks} for r in results
        ]})  # fmt: skip
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("program", "activations", "code bytes", "result"):
            table.add_column(title, justify="left" if title in ("program", "result") else "right")
        for r in results:
            state = "[green]same[/]" if r.ok else "[red]DIFFERENT[/]"
            table.add_row(r.program, f"{r.activations:,}", f"{r.code_bytes:,}", state)
        stdout.print(table)
        for text in (text for r in results for text in [*r.problems, *r.remarks]):
            stdout.print(text, markup=False)
    return 0 if ok else Mismatch.exit_code
