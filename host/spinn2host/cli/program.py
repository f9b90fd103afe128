"""`spinn2emu program`: what a program takes of a PE."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from spinn2emu.arm.build import Described, describe
from spinn2emu.cost import Cost, Interval
from spinn2emu.memory_map import DATA_BASE, DATA_END
from spinn2emu.progress import tell
from spinn2host.arm.listing import Row, listing
from spinn2host.cli.common import Assignment, parse_value
from spinn2host.cli.output import json_option, print_json, stdout
from spinn2host.files import writing


@click.command()
@click.argument("program")
@click.option(
    "--set", "parameters", multiple=True, type=Assignment(), help="Set a parameter of the program; may be repeated."
)
@click.option("--asm", is_flag=True, help="Show the instructions, their cycles, and the program's lines (extra arm).")
@click.option(
    "--elf", type=click.Path(path_type=Path), metavar="FILE", help="Write the code to an ELF file, for objdump and gdb."
)
@json_option
def program(program: str, parameters: tuple[tuple[str, str], ...], asm: bool, elf: Path | None, as_json: bool) -> None:
    """Show what a program takes of a PE: regions, Cortex-M4 code, cycles.

    PROGRAM, the name of a module or a .py file, is compiled for the PE; no chip is needed.

    \b
    Examples:
      spinn2emu program blink.py --set period=5
      spinn2emu program blink.py --asm
      spinn2emu program spinn2fw.examples.lif --elf lif.elf
    """
    values = {name: parse_value(text) for name, text in parameters}
    name = os.path.abspath(program) if program.endswith(".py") else program
    tell(f"compiling {program} for the PE")
    found = describe(name, values, (os.getcwd(), *sys.path), lines=asm)
    rows = list(listing(found)) if asm else []
    if elf is not None:
        with writing(elf):
            elf.write_bytes(found.image.to_elf(found.memory))
    if as_json:
        print_json(_as_json(found, rows if asm else None))
        return
    stdout.print(f"program {program}\n", markup=False)
    _print_regions(found)
    _print_code(found)
    _print_cycles(found.cost)
    if asm:
        _print_listing(rows)
    if elf is not None:
        stdout.print(f"\nwrote {elf}", markup=False)


def _print_regions(found: Described) -> None:
    table, memory = _table("address", "bytes", "region", "dtype", "shape", "unit", right=("bytes",)), found.memory
    for s in memory.symbols:
        kind = "record" if s.dtype.names else str(s.dtype)
        table.add_row(f"{s.address:#07x}", f"{s.nbytes:,}", s.name, kind, "x".join(map(str, s.shape)), s.unit)
    stdout.print(table)
    stdout.print(f"used {memory.used:,} of {DATA_END - DATA_BASE:,} bytes of data space, {memory.free:,} free\n")


def _print_code(found: Described) -> None:
    table, image = _table("address", "bytes", "function", right=("bytes",)), found.image
    for function in image.functions:
        helper = " (helper)" * function.helper
        table.add_row(f"{function.address:#07x}", f"{function.size:,}", function.name + helper)
    stdout.print(table)
    stdout.print(
        f"code {image.nbytes:,} of {DATA_BASE:,} bytes of instruction memory, with vectors, table, constants\n"
    )


def _print_cycles(cost: Cost | None) -> None:
    if cost is None:
        stdout.print("cycles are not known: `spinn2emu cost` counts them, anew when the program has changed")
        return
    table = _table("phase", "term", "cycles", "low", "high", right=("cycles", "low", "high"))
    for phase, formula in cost.phases.items():
        for term, cycles in formula.terms.items():
            table.add_row(phase, term, *(f"{value:,.1f}" for value in (cycles.central, cycles.low, cycles.high)))
    stdout.print(table)


def _print_listing(rows: list[Row]) -> None:
    last = None
    for row in rows:
        code = row.instruction
        if row.function is not None:
            last = None
            stdout.print(f"\n{row.function.name}{' (helper)' * row.function.helper}:", markup=False)
        if row.place is not None and row.place != last:
            last = row.place
            stdout.print(f"{Path(last.file).name}:{last.line}  {last.text}", markup=False, style="dim")
        taken = f", taken +{_cycles(code.taken)}" if any(code.taken) else ""
        stdout.print(f"  {code.address:#06x}  {code.text:<40} {_cycles(code.cycles)}{taken}", markup=False)


def _cycles(cycles: Interval) -> str:
    """The central figure, and the ends if they differ."""
    low, central, high = (f"{value:g}" for value in cycles)
    return central if low == high else f"{central} ({low}-{high})"


def _table(*titles: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left")
    return table


def _as_json(found: Described, rows: list[Row] | None) -> dict[str, Any]:
    memory, image = found.memory, found.image
    content: dict[str, Any] = {
        "program": image.program,
        "regions": [
            {"name": s.name, "address": s.address, "bytes": s.nbytes, "dtype": str(s.dtype), "shape": list(s.shape),
             "unit": s.unit} for s in memory.symbols
        ],
        "used": memory.used, "free": memory.free,
        "code_bytes": image.nbytes, "code_limit": DATA_BASE, "fingerprint": image.fingerprint,
        "functions": [
            {"name": f.name, "address": f.address, "bytes": f.size, "helper": f.helper}
            for f in image.functions
        ],
        "cost": None if found.cost is None else found.cost.to_json(),
    }  # fmt: skip
    if rows is not None:
        content["instructions"] = [
            {"address": row.instruction.address, "bytes": row.instruction.size, "text": row.instruction.text,
             "cycles": row.instruction.cycles.to_json(), "taken": row.instruction.taken.to_json(),
             "file": row.place and row.place.file, "line": row.place and row.place.line} for row in rows
        ]  # fmt: skip
    return content
