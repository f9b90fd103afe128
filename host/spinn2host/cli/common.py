"""What the commands of a resident chip share: the chip, PEs as arguments, values of options."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2host.chip import Chip

pass_chip_name = click.pass_obj
"""Gives a command the global option `--chip`, or None."""


def attach(name: str | None) -> Chip:
    """The chip that the command is about."""
    return Chip.attach(name)


class Pes(click.ParamType):
    """`qx.qy.p`, a quad `qx.qy`, or an id; becomes a list of ids."""

    name = "PE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, list) else geometry.pe_ids(value)


class Ticks(click.ParamType):
    """`FIRST:LAST`, either of which may be left out, or one tick; becomes both, the last one None if it is open."""

    name = "FIRST:LAST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        first, colon, last = value.partition(":")
        if not all(part.isdecimal() or (colon and not part) for part in (first, last if colon else first)):
            self.fail(f"{value!r} is not a range of ticks such as 10:99, 500:, :99 or 7", param, ctx)
        ticks = int(first or 0), (int(last) if last else None) if colon else int(first)
        if ticks[1] is not None and ticks[1] < ticks[0]:
            self.fail(f"{value!r} contains no tick: the last one comes before the first", param, ctx)
        return ticks


class Address(click.ParamType):
    """An address (0x1F000, 64) or the name of a region, or of a field of it."""

    name = "ADDRESS|SYMBOL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return value if isinstance(value, int) else int(value, 0)
        except ValueError:
            return value


class Assignment(click.ParamType):
    """`name=value`."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not written name=value", param, ctx)
        return name, text


def parse_value(text: str) -> Any:
    """A number, boolean, string or list, as in TOML; what is none of them is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def one_pe(pes: list[int]) -> int:
    """The PE of a command that takes one. Raises click.UsageError for a quad."""
    if len(pes) != 1:
        raise click.UsageError("name one PE, as qx.qy.p")
    return pes[0]


def cores_option(default: str = "auto") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How the machine is used."""
    options = (
        click.option(
            "--loop", type=click.Choice(["compiled", "python"]), default="compiled", show_default=True,
            help="How the loops of routers and PEs run; python: slow, for debugging.",
        ),
        click.option(
            "--cores", type=Cores(), default=default, show_default=True,
            help="Processor cores that the chip's processes are pinned to. The results are the same.",
        ),
    )  # fmt: skip

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in options:
            command = option(command)
        return command

    return decorate


def timing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether the chip counts cycles."""
    return click.option(
        "--timing/--no-timing", default=True,
        help="Count what the PEs' code does, and how long that takes. The results are the same.",
    )(command)  # fmt: skip


def slack(row: Mapping[str, Any]) -> str:
    """Of a row of `ps`: what the longest tick has left of the timer's period, in ms."""
    return "" if row.get("slack_ns") is None else f"{row['slack_ns'] / 1e6:.3f} ms"


class Cores(click.ParamType):
    """`auto`, `none`, or a list of cores."""

    name = "auto|none|N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return {"auto": None, "none": []}[value] if value in ("auto", "none") else list(map(int, value.split(",")))
        except ValueError:
            self.fail(f"{value!r} is neither auto, none nor a list of cores like 0,1", param, ctx)


def given(context: click.Context, name: str) -> bool:
    """Whether the user has given the option, if only its default value."""
    return context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def run_with_chip(command: Sequence[str], chip: str, stdout: int | None = None) -> int:
    """Runs a command that finds the chip in $SPINN2EMU_CHIP; its exit code, as a shell has it. Raises ConfigError.

    `spinn2emu` is this one, whatever is on the PATH. stdout: a file descriptor for what it prints.
    """
    words = [sys.executable, "-m", "spinn2host.cli.main", *command[1:]] if command[0] == "spinn2emu" else list(command)
    environment = os.environ | {"SPINN2EMU_CHIP": chip}
    try:
        code = subprocess.run(words, env=environment, stdout=stdout, check=False).returncode
    except OSError as error:
        raise ConfigError(f"{command[0]}: {error.strerror}", command=command[0]) from error
    return code if code >= 0 else 128 - code


def existing_file() -> click.Path:
    """A file's path; whether it is there, the command says."""
    return click.Path(path_type=Path)
