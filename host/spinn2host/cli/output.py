"""What all commands print with: results to stdout (one JSON object with --json), everything else to stderr."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from typing import Any

import click
from rich.console import Console

from spinn2emu.errors import Spinn2Error

SCHEMA_VERSION = 1


def open_streams() -> None:
    """Standard streams that whoever started us has closed lead to nowhere, here and in what we start: else the next
    file that is opened would take their number, and get what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            os.set_inheritable(number, True)
            if nowhere != number:
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


open_streams()
stdout = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to stdout, everything else to stderr."
)


def show_anything() -> None:
    """What the terminal's character set lacks is shown as `?`, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(content: dict[str, Any]) -> None:
    """Prints the object, with the schema's version."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **content}, allow_nan=False))


def jsonable(value: Any) -> Any:
    """Arrays and numbers as JSON has them; what is not finite, as text, complex numbers as pairs, bytes as hex."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, complex):
        return [jsonable(value.real), jsonable(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def report_error(error: Spinn2Error) -> None:
    """An error for a person."""
    stderr.print(f"[bold red]{type(error).__name__}[/]", end=": ")
    stderr.print(error.message, markup=False)


def report_progress(text: str) -> None:
    """What takes long."""
    stderr.print(text, style="dim", markup=False)
