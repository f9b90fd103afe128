"""`spinn2emu trace`: record packets, and look at what was recorded."""

from __future__ import annotations

import click

from spinn2host.cli.lazy import LazyGroup

COMMANDS = {
    "record": "trace_record", "stop": "trace_record", "show": "trace_look", "stats": "trace_look", "plot": "trace_plot",
    "export": "trace_export", "diff": "trace_look", "replay": "trace_replay", "wireshark": "trace_wireshark",
}  # fmt: skip
"""The module of each command."""


@click.group(cls=LazyGroup, modules=COMMANDS)
def trace() -> None:
    """Record packets in pcapng files, and look at them: which, when, over which quads, to whom, what was dropped.

    \b
    Examples:
      spinn2emu train yinyang --preset online --trace online.pcapng
      spinn2emu trace show online.pcapng 'type == error and src == 1.2.1' -n 20
      spinn2emu trace stats online.pcapng
      spinn2emu trace plot raster online.pcapng
    """
