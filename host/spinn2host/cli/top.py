"""`spinn2emu top`: the die, live: which PEs are busy, how many packets per second, and how fast time passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from spinn2emu import geometry, spec
from spinn2emu.cost import short_name
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2emu.population import column_label
from spinn2host.chip import Chip
from spinn2host.cli.common import attach, pass_chip_name, slack
from spinn2host.cli.output import stdout

GLYPHS = {"idle": "·", "waiting": "○", "running": "◐", "paused": "‖", "stopped": "□"}
"""Of the states; any other one is an error, ✖. A PE that sends or receives is shown as ●."""
SHADES = ("grey50", "#5a9bd4", "#41b6c4", "#a1dab4", "#ffff99")
"""From no packets to 100,000 per second and more, a decade and a half each; told apart in any colour vision."""


class Sample(NamedTuple):
    """What the chip said at a moment. `rows` as in `Chip.ps`; `moment` in seconds."""

    moment: float
    tick: int
    rows: list[dict[str, Any]]


def sample(chip: Chip) -> Sample:
    """Asks the chip."""
    reply = chip.request("ps")
    return Sample(time.monotonic(), reply["tick"], reply["pes"])


def rates(before: Sample, now: Sample) -> dict[int, float]:
    """Packets in and out per second, by PE id; negative counts (after a reset) as 0."""
    seconds = max(1e-6, now.moment - before.moment)
    packets = [{row["id"]: row.get("packets_in", 0) + row.get("packets_out", 0) for row in s.rows}
               for s in (before, now)]  # fmt: skip
    return {pe: max(0, count - packets[0].get(pe, 0)) / seconds for pe, count in packets[1].items()}


def render(name: str, before: Sample, now: Sample) -> Group:
    """The screen."""
    by_pe = rates(before, now)
    ticks = max(0, now.tick - before.tick) / max(1e-6, now.moment - before.moment)
    programs = sum(row["program"] is not None for row in now.rows)
    title = Text(f"chip {name}   tick {now.tick:,}   {ticks:,.0f} ticks/s   {sum(by_pe.values()) / 2:,.0f} packets/s   "
                 f"{programs} of {len(now.rows)} PEs with a program\n", style="bold")  # fmt: skip
    legend = Text("\n· no program   ○ waiting   ● packets   ‖ paused   □ stopped   ✖ error, dead, hanging   * router\n")
    return Group(title, _die({row["id"]: row for row in now.rows}, by_pe), legend, _busiest(now.rows, by_pe))


def _die(rows: dict[int, dict[str, Any]], by_pe: dict[int, float]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for y in range(spec.GRID_ROWS.value, 0, -1):
        cells = [_quad(x, y, rows, by_pe) for x in range(1, spec.GRID_COLUMNS.value + 1)]
        table.add_row(f"y={y}", *cells)
    table.add_row("", *(f"x={x}" for x in range(1, spec.GRID_COLUMNS.value + 1)))
    return table


def _quad(x: int, y: int, rows: dict[int, dict[str, Any]], by_pe: dict[int, float]) -> Text:
    text = Text()
    if (x, y) not in geometry.QUADS:
        return Text(" *" if x == spec.ROUTER_PORT_X.value else "")
    for pe in geometry.pe_ids(f"{x}.{y}"):
        state = rows[pe]["state"] if pe in rows else "absent"
        busy = by_pe.get(pe, 0)
        glyph = (
            " " if state == "absent" else "●" if busy and state in ("waiting", "running") else GLYPHS.get(state, "✖")
        )
        text.append(glyph, "bold red" if glyph == "✖" else _shade(busy))
    return text


def _shade(rate: float) -> str:
    level = sum(rate >= limit for limit in (1e-9, 100, 3_000, 100_000))
    return SHADES[level]


def _busiest(rows: Sequence[dict[str, Any]], by_pe: dict[int, float], count: int = 10) -> Table:
    named = any(row.get("population") for row in rows)
    titles = ("PE", "state", "program", *(["population"] if named else []), "tick", "packets/s", "slack")
    table = Table(*titles, box=None, pad_edge=False)
    wrong = [row for row in rows if row["state"] not in GLYPHS]
    busy = sorted((row for row in rows if row["program"] and row not in wrong), key=lambda r: -by_pe[r["id"]])
    for row in (wrong + busy)[:count]:
        colour = "bold red" if row in wrong else ""
        population = [Text(column_label(row.get("population") or "", row.get("first", 0)))] if named else []
        numbers = (f"{row['tick']:,}", f"{by_pe[row['id']]:,.0f}", slack(row))
        table.add_row(row["pe"], row["state"], Text(short_name(row["program"])), *population, *numbers, style=colour)
    return table


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(0.05),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Time between two updates.",
)
@click.option("--once", is_flag=True, help="Print one picture and exit.")
@pass_chip_name
def top(name: str | None, interval: float, once: bool) -> None:
    """Show the die live: activity of every PE, packet rates, ticks per second.

    Press q to quit, p to freeze. The live view needs an extra: pip install 'spinn2emu[top]'.

    \b
    Examples:
      spinn2emu top
      spinn2emu top --once --interval 2
    """
    with attach(name) as chip:
        if once:
            before = sample(chip)
            time.sleep(interval)
            stdout.print(render(chip.name, before, sample(chip)))
            return
        live_view(chip, interval).run()


def live_view(chip: Chip, interval: float) -> Any:
    """The textual application. Raises ConfigError without the extra."""
    try:
        from textual.app import App, ComposeResult
        from textual.widgets import Footer, Static
    except ImportError:
        raise ConfigError("the live view needs textual: pip install 'spinn2emu[top]', or use --once") from None

    class Top(App[None]):
        """A screen that is drawn anew every interval."""

        BINDINGS = [("q", "quit", "Quit"), ("p", "pause", "Freeze")]  # noqa: RUF012

        def compose(self) -> ComposeResult:
            yield Static("", id="die")
            yield Footer()

        def on_mount(self) -> None:
            self.before, self.frozen = sample(chip), False
            self.look()
            self.set_interval(interval, self.look)

        def action_pause(self) -> None:
            self.frozen = not self.frozen

        def look(self) -> None:
            """Draws what has happened since the last look."""
            if self.frozen:
                return
            try:
                now = sample(chip)
            except Spinn2Error as error:
                self.exit(message=error.message)
                return
            self.query_one("#die", Static).update(render(chip.name, self.before, now))
            self.before = now

    return Top()
