"""`spinn2emu info`."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Column, Table

from spinn2emu import __version__, geometry, spec
from spinn2emu.errors import ConfigError, NoSuchChip
from spinn2emu.jit.store import store_root
from spinn2host.chip import Chip
from spinn2host.cli.common import pass_chip_name
from spinn2host.cli.output import json_option, print_json, stdout

CONSTANTS = {name: value for name, value in vars(spec).items() if isinstance(value, spec.Constant)}


@click.command()
@json_option
@pass_chip_name
def info(chip_name: str | None, as_json: bool) -> None:
    """Describe the chip and its hardware constants.

    Shows where each quad is on the die, and every constant with its source. If a chip runs, shows its state, too.

    \b
    Examples:
      spinn2emu info
      spinn2emu info --json
    """
    running = _running(chip_name)
    if as_json:
        print_json({
            "chip": running,
            "version": __version__,
            "kernel_cache": str(store_root()),
            "pes": {str(pe): geometry.name(pe) for pe in geometry.PE_IDS},
            "reserved": list(geometry.RESERVED_IDS),
            "constants": {name: constant._asdict() for name, constant in CONSTANTS.items()},
        })  # fmt: skip
        return
    stdout.print(
        f"spinn2emu {__version__}; {spec.PES.value} PEs in {spec.QUADS.value} quads; ids of each quad's first PE:\n"
    )
    stdout.print(die())
    if running:
        state = running["failure"] or ("waits" if running["idle"] else "runs")
        stdout.print(
            f"\nchip {running['name']}: process {running['pid']}, {len(running['pes'])} PEs, "
            f"{len(running['programs'])} with a program, seed {running['seed']}, tick {running['tick']}, {state}",
            markup=False,
        )  # fmt: skip
        for line in _programs(running):
            stdout.print(line, markup=False)
    stdout.print()
    first = Column("constant", no_wrap=True)
    table = Table(first, "value", "unit", "status", "source", "note", box=None, pad_edge=False)
    for name, c in CONSTANTS.items():
        table.add_row(name, f"{c.value:,}", c.unit, c.status, c.source, c.note)
    stdout.print(table)


def _programs(running: dict[str, Any]) -> list[str]:
    """A line for each program: on how many PEs, bytes of code."""
    found: dict[tuple[str, int | None], int] = {}
    for pe, program in running["programs"].items():
        key = program, running["code_bytes"][pe]
        found[key] = found.get(key, 0) + 1
    limit = f"{spec.ITCM_BYTES.value:,} bytes of instruction memory"
    return [f"  {program}: {count} PE{'s' * (count > 1)}, code {'?' if size is None else f'{size:,}'} of {limit}"
            for (program, size), count in found.items()]  # fmt: skip


def _running(name: str | None) -> dict[str, Any] | None:
    """What the chip says of itself; None if none was named and not exactly one runs."""
    try:
        with Chip.attach(name) as chip:
            return chip.info()
    except (NoSuchChip, ConfigError):
        if name is not None:
            raise
        return None


def die() -> str:
    """The die as text, y upwards: the id of the first PE of each quad, R for reserved, * for the event router."""
    rows = []
    for y in range(spec.GRID_ROWS.value, 0, -1):
        cells = [_cell(x, y) for x in range(1, spec.GRID_COLUMNS.value + 1)]
        rows.append(f"  y={y} " + " ".join(f"{cell:>5}" for cell in cells))
    rows.append("      " + " ".join(f"{f'x={x}':>5}" for x in range(1, spec.GRID_COLUMNS.value + 1)))
    return "\n".join(rows)


def _cell(x: int, y: int) -> str:
    if (x, y) not in geometry.QUADS:
        return "*" if x == spec.ROUTER_PORT_X.value else "."
    first = geometry.pe_id(f"{x}.{y}.0")
    return f"{first}R" if first in geometry.RESERVED_IDS else str(first)
