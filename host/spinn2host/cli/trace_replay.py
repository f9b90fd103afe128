"""`spinn2emu trace replay`."""

from __future__ import annotations

from pathlib import Path

import click

from spinn2emu.trace.schema import source_name
from spinn2host.cli.common import attach, existing_file, pass_chip_name
from spinn2host.cli.output import json_option, print_json, stdout
from spinn2host.cli.trace_look import read_what_can_be_read
from spinn2host.traces.expression import select
from spinn2host.traces.replay import describe
from spinn2host.traces.replay import replay as replay_packets


@click.command()
@click.argument("file", type=existing_file())
@click.argument("expression", metavar="[EXPR]", default="")
@click.option("--begin", type=click.IntRange(0), default=0, show_default=True,
              help="The trace's tick that is to be the chip's present one; earlier packets are left out.")  # fmt: skip
@click.option("--ticks", type=click.IntRange(0), help="Then let so many ticks pass.")
@json_option
@pass_chip_name
def replay(name: str | None, file: Path, expression: str, begin: int, ticks: int | None, as_json: bool) -> None:
    """Send recorded packets again on a chip that runs, in the same ticks.

    Each PE that sent some gets a program that sends them, in place of its own; the routing table stays.

    \b
    Examples:
      spinn2emu trace replay run.pcapng 'src == 1.1.0 and type == spike' --ticks 100
      spinn2emu trace replay run.pcapng 'pe == 1.1' --begin 500
    """
    trace = read_what_can_be_read(file)
    with attach(name) as chip:
        sent = replay_packets(chip, select(trace, expression), begin)
        if ticks is not None:
            chip.run(ticks)
    if as_json:
        print_json({"chip": chip.name, "packets": {source_name(pe): count for pe, count in sent.items()}})
    else:
        stdout.print(describe(sent))
