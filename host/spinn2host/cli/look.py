"""`spinn2emu read`, `write`, `memory`, `log`, `counters`: look inside a resident chip."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2emu.memory_map import DATA_BASE, DATA_END
from spinn2host.chip import Chip
from spinn2host.cli.common import Address, Pes, attach, one_pe, parse_value, pass_chip_name, run_with_chip, slack
from spinn2host.cli.output import json_option, jsonable, print_json, stderr, stdout
from spinn2host.counters import OVERRUNS, PE_COLUMNS
from spinn2host.files import writing

torn_option = click.option("--torn", is_flag=True, help="Do not wait until the PE has left its kernel.")


@click.command()
@click.argument("pe", type=Pes())
@click.argument("what", type=Address())
@click.option("--count", type=click.IntRange(1), metavar="N", help="Number of elements.")
@click.option("--as", "dtype", metavar="DTYPE", help="Interpret the bytes as this dtype, for example float32.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.npy", help="Write the array to a file.")
@torn_option
@json_option
@pass_chip_name
def read(
    name: str | None, pe: list[int], what: int | str, count: int | None, dtype: str | None, out: Path | None,
    torn: bool, as_json: bool,
) -> None:  # fmt: skip
    """Read a PE's memory, also while the chip runs.

    WHAT is a region, a field of a record (region.field), or an address. From an address it reads one element of the
    dtype of --as, or 16 bytes without --as, unless --count says otherwise.

    \b
    Examples:
      spinn2emu read 1.1.0 counts
      spinn2emu read 1.1.0 weights --out weights.npy
      spinn2emu read 1.1.0 0x8000 --as int64 --count 16
    """
    kind = _dtype(dtype)
    with attach(name) as chip:
        if isinstance(what, int):
            size = kind.itemsize if kind else 1
            values = chip.read(one_pe(pe), what, size * (count or (1 if kind else 16)), torn)
        else:
            values = chip.read(one_pe(pe), what, torn=torn)
    if kind:
        values = _reinterpret(values, kind)
    values = values[:count] if count else values
    if out:
        _save(out, values)
    if as_json:
        print_json({"chip": chip.name, "pe": geometry.name(pe[0]), "what": what, "dtype": str(values.dtype),
                    "shape": list(values.shape), "values": jsonable(values)})  # fmt: skip
    elif out:
        stdout.print(f"wrote {values.dtype}{list(values.shape)} to {out}", markup=False)
    else:
        stdout.print(np.array2string(values, max_line_width=100, threshold=1000), markup=False)


def _dtype(text: str | None) -> np.dtype[Any] | None:
    if text is None:
        return None
    try:
        dtype = np.dtype(text)
    except TypeError as error:
        raise ConfigError(f"{text!r} is not a dtype such as float32, uint8 or int64") from error
    if dtype.hasobject or not dtype.itemsize:
        raise ConfigError(f"{text!r} is a dtype that SRAM cannot hold")
    return dtype


def _reinterpret(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    data = values.tobytes()
    if len(data) % dtype.itemsize:
        raise ConfigError(f"{len(data)} bytes cannot be divided into elements of {dtype}, {dtype.itemsize} bytes each")
    return np.frombuffer(data, dtype)


def _save(path: Path, values: NDArray[Any]) -> None:
    with writing(path), path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pe", type=Pes())
@click.argument("where", type=Address())
@click.argument("values", metavar="VALUE…|FILE.npy", nargs=-1, required=True)
@click.option("--as", "dtype", metavar="DTYPE", help="dtype of the values, for example float32; needed at an address.")
@torn_option
@pass_chip_name
def write(
    name: str | None, pe: list[int], where: int | str, values: tuple[str, ...], dtype: str | None, torn: bool
) -> None:
    """Write to a PE's memory, also while the chip runs.

    WHERE is a region, whose first elements are overwritten, a field of a record (region.field), or an address.

    \b
    Examples:
      spinn2emu write 1.1.0 period 7
      spinn2emu write 1.1.0 counts counts.npy
      spinn2emu write 1.1.0 0x8000 --as float32 1.5 2.5
    """
    kind = _dtype(dtype)
    if isinstance(where, int) and kind is None and not values[0].endswith(".npy"):
        raise click.UsageError("values for an address need a dtype, such as --as float32")
    array = _values(values)
    if kind is not None:
        try:
            array = array.astype(kind, casting="same_kind" if array.dtype.kind == kind.kind else "safe")
        except TypeError as error:
            raise ConfigError(str(error)) from error
    with attach(name) as chip:
        chip.write(one_pe(pe), where, array, torn)


def _values(values: tuple[str, ...]) -> NDArray[Any]:
    from spinn2host.network import load_array

    if len(values) == 1 and values[0].endswith(".npy"):
        return load_array(Path(values[0]))
    numbers = [parse_value(value) for value in values]
    bad = [value for value, number in zip(values, numbers, strict=True) if not isinstance(number, int | float)]
    if bad:
        raise ConfigError(f"{bad[0]!r} is not a number")
    return np.array(numbers)


@click.command()
@click.argument("pe", type=Pes())
@json_option
@pass_chip_name
def memory(name: str | None, pe: list[int], as_json: bool) -> None:
    """Show the memory map of a PE: regions, addresses, sizes and free space.

    \b
    Example:
      spinn2emu memory 1.1.0
    """
    with attach(name) as chip:
        memory_map = chip.memory(one_pe(pe))
    if as_json:
        regions = [
            {"name": s.name, "address": s.address, "bytes": s.nbytes, "dtype": str(s.dtype), "shape": list(s.shape),
             "unit": s.unit} for s in memory_map.symbols
        ]  # fmt: skip
        print_json({"pe": geometry.name(pe[0]), "program": memory_map.program, "regions": regions,
                    "used": memory_map.used, "free": memory_map.free, "code_bytes": memory_map.code_bytes})  # fmt: skip
        return
    stdout.print(f"PE {geometry.name(pe[0])}, {memory_map.program}", markup=False)
    table = Table(box=None, pad_edge=False)
    for title in ("address", "bytes", "region", "dtype", "shape", "unit"):
        table.add_column(title, justify="right" if title == "bytes" else "left")
    for s in memory_map.symbols:
        kind = "record" if s.dtype.names else str(s.dtype)
        table.add_row(f"{s.address:#07x}", f"{s.nbytes:,}", s.name, kind, "x".join(map(str, s.shape)), s.unit)
    stdout.print(table)
    total = DATA_END - DATA_BASE
    stdout.print(f"used {memory_map.used:,} of {total:,} bytes of data space, {memory_map.free:,} free")
    known = "?" if memory_map.code_bytes is None else f"{memory_map.code_bytes:,}"
    more = " (`spinn2emu program` says how many)" if memory_map.code_bytes is None else ""
    stdout.print(f"code {known} of {DATA_BASE:,} bytes of instruction memory{more}")


@click.command()
@click.argument("pe", type=Pes())
@click.option("-f", "--follow", is_flag=True, help="Keep printing new entries until Ctrl-C.")
@json_option
@pass_chip_name
def log(name: str | None, pe: list[int], follow: bool, as_json: bool) -> None:
    """Print what a PE's program has logged: tick, code, values, and the text that it has for the code.

    The ring in the PE's SRAM holds the last 32 entries, or as many as the program says.

    \b
    Examples:
      spinn2emu log 1.1.0
      spinn2emu log 1.1.0 -f
    """
    with attach(name) as chip:
        tail = chip.log(one_pe(pe))
        if as_json:
            entries = [
                {"tick": tick, "code": code, "values": jsonable(values), "text": text}
                for tick, code, values, text in tail.entries
            ]
            print_json({"pe": geometry.name(pe[0]), "count": tail.count, "lost": tail.lost, "entries": entries})
            return
        stdout.print(f"{'tick':>8}  {'code':>4}  {'values':<24} text", markup=False)
        while True:
            if tail.lost:
                stderr.print(f"… {tail.lost} entries were overwritten before they could be read", style="yellow")
            for tick, code, values, text in tail.entries:
                numbers = " ".join(f"{value:g}" for value in values)
                stdout.print(f"{tick:>8}  {code:>4}  {numbers:<24} {text}".rstrip(), markup=False)
            if not follow:
                return
            time.sleep(0.2)
            tail = chip.log(pe[0], since=tail.count)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--pes", "by_pe", is_flag=True, help="Show the counts of PEs, too.")
@json_option
@pass_chip_name
def counters(name: str | None, command: tuple[str, ...], by_pe: bool, as_json: bool) -> int:
    """Show what the router and the PEs have counted.

    With a COMMAND, runs it and shows by how much the counts have changed. COMMAND finds the chip in $SPINN2EMU_CHIP,
    and its exit code becomes that of `counters`.

    \b
    Examples:
      spinn2emu counters --pes
      spinn2emu counters -- spinn2emu run --ticks 100
    """
    with attach(name) as chip:
        before, code = None, 0
        if command:
            before = _count(chip)
            code = run_with_chip(command, chip.name, stdout=2 if as_json else None)
        now, slacks = _count(chip), {row["pe"]: row.get("slack_ns") for row in chip.ps()}
    if before is not None:
        now = {key: {who: _minus(value, before[key].get(who)) for who, value in now[key].items()} for key in now}
    if as_json:
        print_json({"chip": chip.name, "command": list(command), "exit_code": code, **now,
                    "slack_ns": slacks})  # fmt: skip
        return code
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for register, value in now["router"].items():
        if value:
            table.add_row(register, f"{value:,}")
    stdout.print(table if table.rows else "nothing has been counted")
    if by_pe:
        columns = (*PE_COLUMNS, OVERRUNS)
        table = Table("PE", *columns, "slack", box=None, pad_edge=False)
        for who, counts in now["pes"].items():
            if any(counts.values()):
                table.add_row(who, *(f"{counts[column]:,}" for column in columns), slack({"slack_ns": slacks.get(who)}))
        stdout.print(table)
    return code


def _count(chip: Chip) -> dict[str, Any]:
    counters = chip.counters()
    return {"router": counters.registers, "pes": {geometry.name(pe): counters.of(pe) for pe in geometry.PE_IDS}}


def _minus(now: Any, before: Any) -> Any:
    if isinstance(now, dict):
        return {key: value - before[key] for key, value in now.items()}
    return now - before
