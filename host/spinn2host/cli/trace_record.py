"""`spinn2emu trace record`, `trace stop`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spinn2host.cli.common import attach, pass_chip_name, run_with_chip
from spinn2host.cli.output import json_option, print_json, stderr
from spinn2host.cli.trace_options import capture_options, take_capture


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND…")
@capture_options()
@json_option
@pass_chip_name
def record(name: str | None, file: Path, command: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Record the packets of a chip in FILE.pcapng, or FILE.pcapng.zst, while COMMAND runs.

    COMMAND finds the chip in $SPINN2EMU_CHIP. The exit code is its own. (`train` and `script`, which begin time anew,
    have --trace.)

    \b
    Examples:
      spinn2emu trace record run.pcapng -- spinn2emu run --ticks 100
      spinn2emu trace record last.pcapng --limit 100MB --without gradient -- python experiment.py
    """
    capture = take_capture(file, options)
    assert capture is not None
    chip = attach(name)
    with chip:
        chip.start_trace(**capture)
        try:
            code = run_with_chip(command, chip.name)
        finally:
            summary = chip.finish_trace()
    if as_json:
        print_json({"chip": chip.name, "exit_code": code, **summary})
    else:
        stderr.print(f"{summary['events']:,} events, {summary['bytes']:,} bytes in {summary['path']}")
        if not summary["events"]:
            stderr.print(f"nothing was sent on chip {chip.name} meanwhile, or nothing of what was to be recorded")
    return code


@click.command()
@json_option
@pass_chip_name
def stop(name: str | None, as_json: bool) -> None:
    """End a trace that somebody has begun, and was interrupted before its end.

    \b
    Example:
      spinn2emu trace stop
    """
    with attach(name) as chip:
        summary = chip.finish_trace()
    if as_json:
        print_json({"chip": chip.name, **summary})
    else:
        stderr.print(f"{summary['events']:,} events, {summary['bytes']:,} bytes in {summary['path']}")
