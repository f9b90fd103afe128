"""`spinn2emu trace show`, `stats`, `diff`: look at trace files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from spinn2emu.errors import Mismatch
from spinn2emu.population import column_label
from spinn2emu.trace.file import Trace, read_trace
from spinn2host.cli.common import existing_file
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.traces import diff as differences
from spinn2host.traces import show as shown
from spinn2host.traces.expression import select
from spinn2host.traces.stats import SECTIONS, statistics

MOST_ROWS = 10

expression_argument = click.argument("expression", metavar="[EXPR]", default="")


def read_what_can_be_read(path: Path) -> Trace:
    """The trace; a warning to stderr says where reading ended. Raises ConfigError if it is none at all."""
    trace = read_trace(path)
    if trace.problem is not None:
        stderr.print("[yellow]warning[/]", end=": ")
        stderr.print(f"{path}, byte {trace.problem.position:,}: {trace.problem.text}; "
                     f"{len(trace.events):,} events were read", markup=False)  # fmt: skip
    return trace


def problem_of(trace: Trace) -> dict[str, Any] | None:
    """For --json."""
    return None if trace.problem is None else trace.problem._asdict()


@click.command()
@click.argument("file", type=existing_file())
@expression_argument
@click.option("-n", "count", type=click.IntRange(0), default=50, show_default=True, help="How many events; 0: all.")
@click.option("--tail", is_flag=True, help="The last of them rather than the first.")
@json_option
def show(file: Path, expression: str, count: int, tail: bool, as_json: bool) -> None:
    """Print the events of FILE that EXPR chooses, a line each: the tick and ns of the sending, type, source, target.

    What is [in brackets] is the output port of what was sent, the input port where it was received, and why it was
    dropped, in red.

    \b
    EXPR compares fields with values by == != < <= > >= and in, joined by and, or, not and ( ):
      event type     names: sent, received, …; spike, error, gradient, …; `dropped` stands alone
      src dst pe     a PE 1.2.1, or all of a quad: 1.2; pe: source or target; router, link0
      tick           of the sending
      time latency   ns, or with a unit: 30ms, 2.5us
      key word0 … word3   numbers; key & 0xF0000000 == 0x10000000
      phase out port      names or numbers: out in (spikes, errors)
      population neuron   of the sender: population == exc and neuron < 10
      hops payload value  hops, payload bytes, first payload word as a float
      id             a packet with all its copies: 1.2.1@30+13

    \b
    Examples:
      spinn2emu trace show online.pcapng
      spinn2emu trace show online.pcapng 'type == error and src == 1.2.1' -n 20
      spinn2emu trace show online.pcapng 'dropped or latency > 200ns' --tail
      spinn2emu trace show online.pcapng 'id == 1.2.1@30+13' --json
      spinn2emu trace show online.pcapng -n 0 | grep 1.2.1
    """
    trace = read_what_can_be_read(file)
    matching = select(trace, expression)
    matched = len(matching.events)
    first = max(0, matched - count) if tail and count else 0
    chosen = Trace(matching.events[first : first + count] if count else matching.events, trace.meta)
    if as_json:
        print_json({"file": str(file), "expression": expression, "events": len(trace.events), "matched": matched,
                    "problem": problem_of(trace), "shown": list(shown.objects(chosen))})  # fmt: skip
        return
    for block in shown.lines(chosen):
        click.echo("\n".join(block))
    part = "" if len(chosen.events) == matched else f"; {'the last' if tail else 'the first'} {count:,} are shown (-n)"
    stderr.print(f"{matched:,} of {len(trace.events):,} events match{part}", markup=False)


@click.command()
@click.argument("file", type=existing_file())
@expression_argument
@click.option("--by", "sections", type=click.Choice(list(SECTIONS)), multiple=True, help="Only this; several times.")
@json_option
def stats(file: Path, expression: str, sections: tuple[str, ...], as_json: bool) -> None:
    """Count packets and copies of FILE, of those events that EXPR chooses (see `trace show --help`).

    A packet is sent once and has a copy for every target. Links are those of the mesh: a packet crosses them once from
    its quad to the event router, and once from there to each quad with targets. Populations (what their PEs send), PEs,
    routes and links are the busiest 10, unless --by names them; --json has all.

    \b
    Examples:
      spinn2emu trace stats online.pcapng
      spinn2emu trace stats online.pcapng 'type == spike' --by pe --by link
      spinn2emu trace stats online.pcapng 'pe == 1.2' --json | jq .latency
    """
    trace = read_what_can_be_read(file)
    content = statistics(select(trace, expression), sections)
    if as_json:
        print_json({"file": str(file), "expression": expression, "events": len(trace.events),
                    "problem": problem_of(trace), **content})  # fmt: skip
        return
    total = content.pop("total")
    stdout.print(f"{total['events']:,} of {len(trace.events):,} events: {total['sent']:,} packets sent, "
                 f"{total['received']:,} copies received, {total['dropped']:,} dropped")  # fmt: skip
    if total["events"]:
        rates = ", ".join(f"{total[f'{name}_per_ms']:,.1f} {name}" for name in ("sent", "received", "dropped"))
        stdout.print(f"ticks {total['first_tick']} to {total['last_tick']}, {total['ms']:,.0f} ms; per ms {rates}")
    for name, section in content.items():
        if section:
            rows = _rows(name, section)
            most = MOST_ROWS if name in ("population", "pe", "route", "link") and name not in sections else len(rows)
            stdout.print()
            stdout.print(_table(rows[:most]))
            if len(rows) > most:
                stdout.print(f"… and {len(rows) - most:,} more: --by {name}", markup=False)


def _rows(name: str, section: Any) -> list[dict[str, Any]]:
    """The rows of a table; populations and PEs by how busy they are, as routes and links are already."""
    if isinstance(section, list):
        return section
    rows = [{name: key, **(row if isinstance(row, dict) else {"events": row})} for key, row in section.items()]
    if name not in ("population", "pe"):
        return rows
    busiest = sorted(rows, key=lambda row: -row["sent"] - row["received"] - row["dropped"])
    return [{**row, name: column_label(row[name], 0)} for row in busiest]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column, value in rows[0].items():
        title = {"tick": "per tick", "latency": "latency in ns"}.get(column, column.replace("_", " "))
        table.add_column(title, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(Text(value if isinstance(value, str) else _number(value)) for value in row.values()))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


@click.command()
@click.argument("a", type=existing_file())
@click.argument("b", type=existing_file())
@expression_argument
@json_option
def diff(a: Path, b: Path, expression: str, as_json: bool) -> int:
    """Compare the traces A and B, or the events in them that EXPR chooses. Exit code 6 if they differ.

    The first event that differs is shown, counted from 0, with what comes before and after it. Whether a file is
    compressed makes no difference.

    \b
    Examples:
      spinn2emu trace diff one.pcapng other.pcapng.zst
      spinn2emu trace diff one.pcapng other.pcapng 'type == spike'
    """
    traces = [select(read_what_can_be_read(path), expression) for path in (a, b)]
    found = differences.compare(*traces)
    parts = [] if found.first is None else [differences.around(trace, found.first) for trace in traces]
    if as_json:
        print_json({
            "a": str(a), "b": str(b), "expression": expression, "equal": found.equal, "events": list(found.events),
            "problems": [problem_of(trace) for trace in traces], "first": found.first, "fields": found.fields,
            "prefix": found.prefix, "same_meta": found.same_meta,
            "context": {name: list(shown.objects(part)) for name, part in zip("ab", parts, strict=False)},
        })  # fmt: skip
    else:
        _print_difference(found, [a, b], parts)
    return 0 if found.equal else Mismatch.exit_code


def _print_difference(found: differences.Difference, paths: list[Path], parts: list[Trace]) -> None:
    if found.first is None:
        what = "" if found.same_meta else "; programs, names, phases or the filter of the traces differ"
        stdout.print(f"the {found.events[0]:,} events are equal{what}", markup=False)
        return
    if found.prefix:
        short, long = paths if found.prefix == "a" else reversed(paths)
        stdout.print(f"{short} is the begin of {long}: it ends after {min(found.events):,} events, the other has "
                     f"{max(found.events):,}", markup=False)  # fmt: skip
    else:
        stdout.print(f"event {found.first:,} differs in {', '.join(found.fields)} "
                     f"({found.events[0]:,} and {found.events[1]:,} events)", markup=False)  # fmt: skip
    if not found.same_meta:
        stdout.print("programs, names, phases or the filter of the traces differ too")
    for path, part in zip(paths, parts, strict=True):
        stdout.print(f"\n{path}", markup=False)
        number = max(0, found.first - differences.CONTEXT)
        for line in (line for block in shown.lines(part) for line in block):
            click.echo(f"{'>' if number == found.first else ' '} {number:9,d}  {line}")
            number += 1
