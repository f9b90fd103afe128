"""`spinn2emu cost`: cycles of a program's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from spinn2emu.cost import Cost, cost_file, read_cost, write_cost
from spinn2emu.errors import ConfigError
from spinn2host.cli.common import Assignment, parse_value
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.files import writing


@click.command()
@click.argument("program")
@click.option(
    "--set", "parameters", multiple=True, type=Assignment(), help="Set a parameter of the program; may be repeated."
)
@click.option("--count", "anew", is_flag=True, help="Count, even if formulas are known.")
@click.option(
    "--ticks", type=click.IntRange(10), default=400, show_default=True, metavar="N", help="Ticks that are counted."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the packets.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the formulas to a file.")
@json_option
def cost(
    program: str, parameters: tuple[tuple[str, str], ...], anew: bool, ticks: int, seed: int, out: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show how many cycles a program's code takes on a PE.

    PROGRAM is the name of a module, a .py file, or a NETWORK.toml. Cycles are a formula for each phase, linear in
    counts: activations (tick), packets by input port (in.PORT), packets sent (sent), and what the program counts itself
    (`sdk.count`); each with its lowest, central and highest value.

    If no formulas are known for the program as it is now, they are counted (extra arm): the program runs for some
    ticks, with pseudo-random packets on its input ports, its activations are executed as Cortex-M4 code, and formulas
    fitted to half of them; how well these agree with the other half is shown. They are kept in the cache, where chips
    find them. A file NAME.cost.json beside the program (--out) is found, too.

    \b
    Examples:
      spinn2emu cost blink.py --set period=5
      spinn2emu cost blink.py --count --ticks 2000 --out blink.cost.json
    """
    values = {name: parse_value(text) for name, text in parameters}
    if values and program.endswith(".toml"):
        raise ConfigError("parameters (--set) are those of one program: a network sets them itself")
    found = [] if anew else _known(program, values)
    if not found:
        from spinn2host.arm.costs import count_program, keep

        found = count_program(program, values, ticks, seed)
        keep(found)
    if out is not None:
        if len(found) != 1:
            raise ConfigError(f"{program} has {len(found)} programs: --out is for the formulas of one")
        with writing(out):
            write_cost(out, found[0])
    if as_json:
        print_json({"costs": [each.to_json() for each in found]})
    else:
        _print(found)


def _known(program: str, values: dict[str, object]) -> list[Cost]:
    """All formulas, if all are known; else none."""
    from spinn2host.arm.costs import known_costs

    try:
        costs = known_costs(program, values)
    except ConfigError as error:
        file = cost_file(program)
        if values or program.endswith((".py", ".toml")) or file is None or not file.is_file():
            raise
        stderr.print(f"not compared with the program's sources: {error.message}", style="dim")
        return [read_cost(file)]
    return [each for each in costs if each is not None] if None not in costs else []


def _print(costs: Sequence[Cost]) -> None:
    for each in costs:
        size = f", {each.code_bytes:,} bytes of code" if each.code_bytes else ""
        stdout.print(f"[bold]{each.program}[/]{size}", highlight=False)
        table = Table(box=None, pad_edge=False)
        for title in ("phase", "term", "low", "central", "high", "activations", "rms", "worst", "others"):
            table.add_column(title, justify="left" if title in ("phase", "term") else "right")
        for phase, formula in each.phases.items():
            fitted = f"{formula.activations:,}", f"{formula.rms:.1%}", f"{formula.worst:.1%}", f"{formula.others:+.1%}"
            for number, (term, cycles) in enumerate(formula.terms.items()):
                about = fitted if number == 0 and formula.activations else ("", "", "", "")
                table.add_row(phase if number == 0 else "", term, *(f"{n:,.1f}" for n in cycles), *about)
        stdout.print(table)
        for what, text in each.provenance.items():
            stdout.print(f"{what}: {text}", style="dim", highlight=False)
