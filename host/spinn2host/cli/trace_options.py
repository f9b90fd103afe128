"""Options of the commands that record a trace: `train --trace`, `run --trace`, `trace record`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from spinn2emu import geometry
from spinn2host.cli.common import Pes, Ticks

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE = re.compile(r"(\d+)\s*([kmg]?)i?b?", re.IGNORECASE)


class Size(click.ParamType):
    """`100MB`, `1G`, or bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = _SIZE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no size such as 100MB", param, ctx)
        return int(match[1]) * _UNITS[match[2].lower()]


class KeyMask(click.ParamType):
    """`KEY` or `KEY/MASK`."""

    name = "KEY[/MASK]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            key, _, mask = str(value).partition("/")
            return int(key, 0), int(mask, 0) if mask else 0xFFFFFFFF
        except ValueError:
            self.fail(f"{value!r} is no key such as 0x10000000/0xF0000000", param, ctx)


def capture_options(prefix: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What to record; the options' names begin with `prefix`."""
    several: dict[str, Any] = {"multiple": True}
    made = (
        ("events", {"type": click.Choice(["sent", "received", "dropped"]), **several, "help": "Only these."}),
        ("type", {"metavar": "TYPE", **several, "help": "Only packets of this type: spike for a port called spikes."}),
        ("without", {"metavar": "TYPE", **several, "help": "No packets of this type."}),
        ("pe", {"type": Pes(), **several, "help": "Only packets from or to this PE, or quad."}),
        ("key", {"type": KeyMask(), "help": "Only these keys."}),
        ("ticks", {"type": Ticks(), "help": "Only packets sent in these ticks."}),
        ("limit", {"type": Size(), "help": "Keep only the last packets, in so many bytes."}),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, settings in reversed(made):
            command = click.option(f"--{prefix}{name}", f"capture_{name}", **settings)(command)
        return command

    return decorate


def trace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--trace FILE`, and with it what to record."""
    file = click.option(
        "--trace", "trace_file", type=click.Path(path_type=Path), metavar="FILE.pcapng[.zst]",
        help="Record all packets in a file for `spinn2emu trace`, Wireshark or tshark.",
    )  # fmt: skip
    return file(capture_options("trace-")(command))


def take_capture(path: Path | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """Takes what these options say out of `options`: arguments of `Chip.start_trace`, or None without a path."""
    values = {
        name: options.pop(f"capture_{name}") for name in ("events", "type", "without", "pe", "key", "ticks", "limit")
    }
    if path is None:
        if any(values.values()):
            raise click.UsageError("what to record was said, but not where: add --trace FILE.pcapng")
        return None
    capture: dict[str, Any] = {
        "path": path, "events": values["events"], "types": values["type"], "without": values["without"],
        "pes": [_pe_or_quad(pes) for pes in values["pe"]], "limit": values["limit"],
    }  # fmt: skip
    if values["key"]:
        capture["key"], capture["mask"] = values["key"]
    if values["ticks"]:
        capture["first"], capture["last"] = values["ticks"]
    return capture


def _pe_or_quad(pes: list[int]) -> str:
    """What `Pes` was given."""
    return geometry.name(pes[0]) if len(pes) == 1 else geometry.name(pes[0]).rpartition(".")[0]
