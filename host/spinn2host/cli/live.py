"""`spinn2emu inject`, `events`: packets of the host, and those that PEs send, while time goes on."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator

import click

from spinn2emu.errors import Spinn2Error
from spinn2emu.population import column_label
from spinn2host.cli.common import Pes, attach, pass_chip_name
from spinn2host.cli.output import SCHEMA_VERSION, json_option, print_json, stderr, stdout
from spinn2host.cli.trace_options import KeyMask
from spinn2host.stream import Events, SentPacket


class Number(click.ParamType):
    """A number of 32 bits, such as 0x10003."""

    name = "NUMBER"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = value if isinstance(value, int) else int(str(value), 0)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 32:
            self.fail(f"{value!r} is not a number of 32 bits, such as 0x10003", param, ctx)
        return number


@click.command()
@click.argument("keys", metavar="KEY…", nargs=-1, required=True, type=Number())
@click.option(
    "--tick", type=click.IntRange(0), metavar="N",
    help="The tick in which they are sent; PEs process them one later.  [default: the first that is still open]",
)  # fmt: skip
@click.option(
    "--word", "words", type=Number(), multiple=True,
    help="A word of the payload, the same for all packets; may be repeated.",
)  # fmt: skip
@json_option
@pass_chip_name
def inject(name: str | None, keys: tuple[int, ...], tick: int | None, words: tuple[int, ...], as_json: bool) -> None:
    """Send multicast packets from the host into the chip's network, in the order given.

    They pass the routing table as those of PEs do. Between two runs, PEs process them in the chip's present tick.

    \b
    Examples:
      spinn2emu inject 0x10003
      spinn2emu inject 0x100 0x101 --tick 50
      spinn2emu inject 0x100 --word 0x3f800000
    """
    with attach(name) as chip:
        sent = chip.inject(list(keys), tick, [list(words)] * len(keys) if words else None)
    if as_json:
        print_json({"chip": chip.name, "packets": len(keys), "tick": sent})
    else:
        stdout.print(f"{len(keys)} packets are sent in tick {sent}, PEs process them in tick {sent + 1}")


@click.command()
@click.argument("pes", metavar="[PE]…", nargs=-1, type=Pes())
@click.option("--port", "ports", metavar="PORT", multiple=True, help="Only what is sent on this port; may be repeated.")
@click.option("--key", type=KeyMask(), help="Only these keys.")
@click.option("--ticks", type=click.IntRange(0), metavar="N", help="Let time run by so many ticks, and end.")
@click.option(
    "--window", type=click.IntRange(1), metavar="N",
    help="With --ticks: show packets after so many ticks.  [default: 64]",
)  # fmt: skip
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="End after so many packets.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object per packet to stdout, everything else to stderr."
)
@pass_chip_name
def events(
    name: str | None, pes: tuple[list[int], ...], ports: tuple[str, ...], key: tuple[int, int] | None,
    ticks: int | None, window: int | None, count: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the packets that PEs send, all or those named, as they are sent.

    Without --ticks, those of runs that are started elsewhere, until Ctrl-C. The chip's time waits until they are shown.

    \b
    Examples:
      spinn2emu events --ticks 100
      spinn2emu events 1.1.0 1.2 --port spikes
      spinn2emu events --key 0x100/0xffffff00 -n 10 --json
    """
    if window is not None and ticks is None:
        raise click.UsageError("--window is of the run that --ticks starts: name both")
    ids = [pe for several in pes for pe in several]
    with attach(name) as chip:
        if ids:  # of a quad, those that have programs
            known = set(map(int, chip.routes()["ports"]))
            ids = [pe for several in pes for pe in several if len(several) == 1 or pe in known] or ids
        with chip.events(ids, ports=ports, key=0 if key is None else key[0], mask=0 if key is None else key[1],
                         follow=ticks is None) as heard:  # fmt: skip
            if ticks is None:
                stderr.print("listening: Ctrl-C ends", style="dim")
            else:
                chip.start(ticks, window=window)
            try:
                _show(heard, count, as_json)
            finally:
                if ticks is not None:
                    with contextlib.suppress(Spinn2Error):  # it may have ended, or failed
                        chip.interrupt()


def _show(heard: Events, count: int | None, as_json: bool) -> None:
    packets: Iterator[SentPacket] = itertools.islice(heard, count)
    for packet in packets:
        if as_json:
            click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **packet._asdict()}))
        else:
            payload = "".join(f" {word:#010x}" for word in packet.payload)
            who = " ".join(filter(None, (packet.pe, column_label(packet.population, packet.first))))
            click.echo(f"{packet.tick:>6}  {who}  {packet.port} {packet.index}  key {packet.key:#010x}{payload}")
