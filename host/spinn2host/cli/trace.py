"""`spinn2emu trace`: record packets, and look at what was recorded."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "record": "trace_record", "stop": "trace_record", "show": "trace_look", "stats": "trace_look", "plot": "trace_plot",
    "export": "trace_export", "diff": "trace_look", "replay": "trace_replay", "wireshark": "trace_wireshark",
}  # fmt: skip
"""The module of each command, imported when it is used."""


class TraceCommands(click.Group):
    """The commands of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"spinn2host.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=TraceCommands)
def trace() -> None:
    """Record packets in pcapng files, and look at them: which, when, over which quads, to whom, what was dropped.

    \b
    Examples:
      spinn2emu train yinyang --preset online --trace online.pcapng
      spinn2emu trace show online.pcapng 'type == error and src == 1.2.1' -n 20
      spinn2emu trace stats online.pcapng
      spinn2emu trace plot raster online.pcapng
    """
