"""`spinn2emu boot`, `discover`, `ps`, `halt`: chips that stay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len, set_cell_size
from rich.table import Table

from spinn2emu.errors import ConfigError
from spinn2emu.levels import DEFAULT_LEVEL
from spinn2emu.population import column_label
from spinn2host.chip import Chip
from spinn2host.chip import discover as find_chips
from spinn2host.cli.common import Pes, attach, cores_option, existing_file, given, pass_chip_name, slack, timing_option
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.files import read_toml
from spinn2host.start import STUCK_AFTER_S, check_options

CHIP_KEYS = {
    "name": str,
    "pes": (int, list),
    "cores": list,
    "loop": str,
    "strict": bool,
    "seed": int,
    "deadline": (int, float),
    "level": str,
    "timing": bool,
    "arm": list,
}
"""What a CHIP.toml may say, and of which type."""


@click.command()
@click.argument("file", metavar="[CHIP.toml]", required=False, type=existing_file())
@click.option("--name", help="Name of the chip, for `--chip`.  [default: chip1, chip2, …]")
@click.option("--pes", type=click.IntRange(1), metavar="N", help="Number of PEs.  [default: all 152]")
@click.option("--strict/--no-strict", default=False, help="Check every array index in kernels: slower, finds errors.")
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the PEs' random numbers.",
)  # fmt: skip
@click.option(
    "--deadline", type=click.FloatRange(0, min_open=True), default=STUCK_AFTER_S, show_default=True, metavar="SECONDS",
    help="A run without progress for so long has failed; more for kernels that compute for long.",
)  # fmt: skip
@click.option(
    "--level", default=DEFAULT_LEVEL, show_default=True,
    help="Voltage of the PEs, unless a load says: 0.5V (150 MHz) or 0.8V (300 MHz).",
)  # fmt: skip
@timing_option
@click.option(
    "--arm", multiple=True, type=Pes(), metavar="PE",
    help="Execute what is loaded on this PE, or quad, as Cortex-M4 code (extra arm); may be repeated.",
)  # fmt: skip
@cores_option()
@json_option
@click.pass_context
def boot(context: click.Context, file: Path | None, as_json: bool, **options: Any) -> None:
    """Start a chip that runs until `halt`.

    A CHIP.toml may set name, pes (a number, or a list of PEs), cores (a list), loop, strict, seed, deadline, level,
    timing and arm (a list of PEs). Options win over it.

    \b
    Examples:
      spinn2emu boot
      spinn2emu boot --name desk --pes 16 --strict
      spinn2emu boot --arm 1.1.0 --arm 1.1.1
    """
    chosen = _read_chip(file) if file else {}
    options["arm"] = [pe for several in options["arm"] for pe in several]
    chosen |= {name: value for name, value in options.items() if given(context, name)}
    begin = time.monotonic()
    chip = Chip.boot(resident=True, **chosen)
    with chip:
        info = chip.info()
    seconds = time.monotonic() - begin
    if as_json:
        print_json({"name": chip.name, "pid": info["pid"], "pes": len(info["pes"]), "wall_s": seconds})
        return
    stdout.print(f"chip {chip.name}: {len(info['pes'])} PEs, process {info['pid']}, up in {seconds:.2f} s")
    stderr.print(f"halt it with: spinn2emu --chip {chip.name} halt", style="dim")


def _read_chip(file: Path) -> dict[str, Any]:
    content = read_toml(file)
    for key, value in content.items():
        if key not in CHIP_KEYS:
            raise ConfigError(f"{file}: unknown key {key!r}; there are {', '.join(CHIP_KEYS)}", key=key)
        kind = CHIP_KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type]
            raise ConfigError(f"{file}: {key} = {value!r} is of the wrong type", key=key)
    try:
        check_options(**{key: value for key, value in content.items() if key != "name"})
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", **error.fields) from error
    return content


@click.command()
@json_option
def discover(as_json: bool) -> None:
    """List the chips that run.

    Private chips belong to a process, such as `train`, and end with it.

    \b
    Example:
      spinn2emu discover
    """
    found = find_chips()
    if as_json:
        print_json({"chips": [{"name": c["name"], **({"responds": c["info"] is not None} | (c["info"] or {}))}
                              for c in found]})  # fmt: skip
        return
    if not found:
        stderr.print("no chip runs: `spinn2emu boot` starts one")
        return
    table = Table("chip", "process", "PEs", "programs", "tick", "state", "up", box=None, pad_edge=False)
    for chip in found:
        info = chip["info"]
        if info is None:
            table.add_row(chip["name"], "", "", "", "", "does not answer", "")
            continue
        state = "failed" if info["failure"] else "waiting" if info["idle"] else "running"
        row = (info["pid"], len(info["pes"]), len(info["programs"]), info["tick"])
        table.add_row(chip["name"], *map(str, row), state, _duration(time.time() - info["since"]))
    stdout.print(table)


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.0f} h"


@click.command()
@click.argument("pes", metavar="[PE]…", nargs=-1, type=Pes())
@click.option("--state", "states", multiple=True, help="Show only PEs in this state; may be repeated.")
@click.option("--program", help="Show only PEs whose program's name contains this text.")
@click.option("--all", "everything", is_flag=True, help="Show PEs without a program, too.")
@json_option
@pass_chip_name
def ps(
    name: str | None, pes: tuple[list[int], ...], states: tuple[str, ...], program: str | None, everything: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Show the PEs: state, program, tick, packets, SRAM, level and slack.

    A PE is written qx.qy.p; qx.qy means all four PEs of a quad. Slack: what its longest tick has left of the timer's
    period, in ms; below 0, its code took longer. Only of programs whose cycles are known. Programs that run as
    Cortex-M4 code are marked (arm).

    States: idle (no program), waiting, running, paused, stopped, runtime_error, dead, unresponsive;
    unknown: it has overwritten its status.

    \b
    Examples:
      spinn2emu ps
      spinn2emu ps 1.1 2.1.3 --json
      spinn2emu ps --state runtime_error --state unresponsive
    """
    with attach(name) as chip:
        reply = chip.request("ps")
        rows = reply["pes"]
    wanted = {pe for several in pes for pe in several}
    kept = [
        row for row in rows
        if (not wanted or row["id"] in wanted) and (not states or row["state"] in states)
        and (program is None or program in (row["program"] or ""))
    ]  # fmt: skip
    if as_json:
        print_json({"chip": chip.name, "tick": reply["tick"], "pes": kept})
        return
    shown = kept if everything or wanted or states else [row for row in kept if row["state"] != "idle"]
    if shown:
        _print_rows([[row["pe"], str(row["id"]), row["state"], *_cells(row), str(row["pid"] or "")] for row in shown],
                    [column_label(row.get("population") or "", row.get("first", 0)) for row in shown])  # fmt: skip
    if len(kept) > len(shown):
        stdout.print(f"{len(kept) - len(shown)} PEs have no program; tick {reply['tick']}")


TITLES = ["PE", "id", "state", "program", "phase", "tick", "in", "out", "lost", "SRAM", "level", "slack", "process"]
LEFT = ("PE", "state", "program", "population", "phase")
COLOURS = {"waiting": "green", "running": "cyan", "paused": "yellow", "stopped": "yellow", "idle": "bright_black"}


def _print_rows(rows: list[list[str]], populations: list[str]) -> None:
    """The rows under TITLES, with populations if there are any. Not a table of rich, which takes as long for 152 PEs as
    all the rest of the command.
    """
    table = [TITLES, *rows]
    if any(populations):
        at = TITLES.index("program") + 1
        names = ["population", *populations]
        table = [[*row[:at], name, *row[at:]] for row, name in zip(table, names, strict=True)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for number, row in enumerate(table):
        cells = [
            set_cell_size(cell, width) if title in LEFT else cell.rjust(width)
            for title, cell, width in zip(table[0], row, widths, strict=True)
        ]
        if number:
            cells[2] = click.style(cells[2], fg=COLOURS.get(row[2], "red"))
        click.echo("  ".join(cells).rstrip())


def _cells(row: dict[str, Any]) -> list[str]:
    if row["program"] is None:
        return [""] * 9
    used = f"{row['sram_used'] / 1024:.1f} kB"
    program = Path(row["program"]).name if row["program"].endswith(".py") else row["program"]
    program += " (arm)" * row["arm"]
    numbers = (row["tick"], row["packets_in"], row["packets_out"], row["dropped"] + row["discarded"])
    return [program, row["phase"] or "", *(f"{n:,}" for n in numbers), used, row["level"], slack(row)]


@click.command()
@click.option("--all", "everything", is_flag=True, help="Stop all your chips, also those of `train`.")
@json_option
@pass_chip_name
def halt(name: str | None, everything: bool, as_json: bool) -> None:
    """Stop a chip.

    \b
    Examples:
      spinn2emu halt
      spinn2emu --chip desk halt
      spinn2emu halt --all
    """
    names = [chip["name"] for chip in find_chips()] if everything else [name]
    halted = []
    for each in names:
        chip = attach(each)
        chip.halt()
        halted.append(chip.name)
    if as_json:
        print_json({"halted": halted})
    else:
        stderr.print(f"halted {', '.join(halted)}" if halted else "no chip runs")
