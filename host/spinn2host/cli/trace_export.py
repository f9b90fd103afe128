"""`spinn2emu trace export`: traces in other formats."""

from __future__ import annotations

from pathlib import Path

import click

from spinn2emu.errors import ConfigError
from spinn2host.cli.common import existing_file
from spinn2host.cli.output import json_option, print_json, stdout
from spinn2host.cli.trace_look import expression_argument, problem_of, read_what_can_be_read
from spinn2host.traces.export import FORMATS, check_suffix, save
from spinn2host.traces.expression import select


@click.command()
@click.argument("format", type=click.Choice(list(FORMATS)))
@click.argument("file", type=existing_file())
@click.argument("out", type=click.Path(path_type=Path))
@expression_argument
@json_option
def export(format: str, file: Path, out: Path, expression: str, as_json: bool) -> None:
    """Write the events of FILE that EXPR chooses (see `trace show --help`) to OUT in another format.

    \b
      perfetto    Chrome trace events, .json or .json.gz, for ui.perfetto.dev: quads, PEs, their phases, arrows from
                  sender to receivers
      csv         a line per event, .csv or .csv.gz
      parquet     the same as columns, .parquet, for pandas, polars, DuckDB; needs pyarrow
      nir-events  what each port of each PE sent, .npz with the arguments of nir.EventData: PE.port/idx, /time in s, …

    An arrow needs both ends: choose by type, PE or tick, not by event.

    \b
    Examples:
      spinn2emu trace export perfetto online.pcapng online.json.gz 'tick < 200'
      spinn2emu trace export csv online.pcapng errors.csv 'type == error and event == sent'
      spinn2emu trace export parquet online.pcapng.zst online.parquet
      spinn2emu trace export nir-events online.pcapng spikes.npz 'type == spike and tick < 27'
    """
    if out.exists() and out.samefile(file):
        raise ConfigError(f"{out} is the trace itself: name another file to write to", path=str(out))
    check_suffix(out, format)
    trace = read_what_can_be_read(file)
    chosen = select(trace, expression)
    save(chosen, out, format)
    size = out.stat().st_size
    if as_json:
        print_json({"file": str(file), "expression": expression, "format": format, "out": str(out),
                    "events": len(chosen.events), "bytes": size, "problem": problem_of(trace)})  # fmt: skip
        return
    stdout.print(f"wrote {len(chosen.events):,} of {len(trace.events):,} events to {out}: "
                 f"{size:,} bytes", markup=False)  # fmt: skip
