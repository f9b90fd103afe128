"""`spinn2emu new-program`, `load`, `run`, `signal`: programs on a resident chip."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import click

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2host.cli.common import Assignment, Pes, attach, parse_value, pass_chip_name
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.cli.trace_options import take_capture, trace_option
from spinn2host.energy import report
from spinn2host.energy.collect import Tally
from spinn2host.files import writing
from spinn2host.progress_bar import progress_bar

MOST_LATE = 4
"""PEs whose ticks took too long of which a run says so."""
TEMPLATE = Path(__file__).with_name("template.py")


@click.command("new-program")
@click.argument("name")
def new_program(name: str) -> None:
    """Write NAME.py, a small working program for a PE, to start from.

    \b
    Example:
      spinn2emu new-program blink
    """
    path = Path(name).with_suffix(".py")
    if not path.stem.isidentifier():
        raise ConfigError(f"{path.stem!r} is not a name for a program: use letters, digits and '_'")
    if path.exists():
        raise ConfigError(f"{path} exists already")
    text = TEMPLATE.read_text(encoding="utf-8").replace("NAME", path.stem)
    with writing(path):
        path.write_text(text, encoding="utf-8")
    stdout.print(f"wrote {path}")
    stderr.print(f"try it: spinn2emu boot && spinn2emu load {path} 1.1.0 && spinn2emu run --ticks 10", style="dim")


@click.command()
@click.argument("program")
@click.argument("pes", metavar="PE…", nargs=-1, type=Pes())
@click.option(
    "--set", "parameters", multiple=True, type=Assignment(), help="Set a parameter of the program; may be repeated."
)
@click.option(
    "--data",
    multiple=True,
    type=Assignment(),
    metavar="REGION=FILE.npy",
    help="Set the initial contents of a region; may be repeated.",
)
@click.option("--replace", is_flag=True, help="Replace programs that the PEs run already.")
@click.option(
    "--level", help="Voltage of the PEs: 0.5V (150 MHz) or 0.8V (300 MHz).  [default: as the chip was booted]"
)
@click.option("--arm", is_flag=True, help="Execute the program as Cortex-M4 code (extra arm): slow, the same results.")
@click.option("--check-code", is_flag=True, help="Compile for the PE now, to see whether the code fits: some seconds.")
@json_option
@pass_chip_name
def load(
    name: str | None, program: str, pes: tuple[list[int], ...], parameters: tuple[tuple[str, str], ...],
    data: tuple[tuple[str, str], ...], replace: bool, level: str | None, arm: bool, check_code: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Load a program on PEs, or a network described in a TOML file.

    PROGRAM is the name of a module, a .py file, or a NETWORK.toml, which names populations of PEs, their programs and
    connections, and replaces the routing table. Programs begin in the chip's present tick.

    \b
    Examples:
      spinn2emu load blink.py 1.1.0 --set period=5
      spinn2emu load blink.py 1.1.0 --data counts=counts.npy --replace
      spinn2emu load ring.toml
    """
    from spinn2host.network import load_array, read_network

    if program.endswith(".toml"):
        if pes or parameters or data or level:
            raise ConfigError("a network names its PEs, parameters, data and levels itself")
        network = read_network(Path(program))
        for item in network.pes:
            item.arm |= arm
        ids = [pe for several in network.populations.values() for pe in several]
        with attach(name) as chip:
            chip.load_network(network, replace, check_code)
            text = ", ".join(f"{population}: {len(ids)} PEs" for population, ids in network.populations.items())
            text += f"; {len(network.entries)} routing entries"
    else:
        ids = [pe for several in pes for pe in several]
        if not ids:
            raise click.UsageError("name the PEs to load the program on")
        values = {key: parse_value(value) for key, value in parameters}
        arrays = {region: load_array(Path(file)) for region, file in data}
        with attach(name) as chip:
            chip.load(program, ids, values, arrays, replace, level, arm=arm, check_code=check_code)
            memory = chip.maps[ids[0]]
            text = f"{len(ids)} PEs run {program}: {memory.used:,} bytes of SRAM each, {memory.free:,} free"
            if memory.code_bytes is not None:
                text += f"; {memory.code_bytes:,} of {spec.ITCM_BYTES.value:,} bytes of code"
    if as_json:
        print_json({"chip": chip.name, "program": program, "pes": [geometry.name(pe) for pe in ids],
                    "code_bytes": {geometry.name(pe): chip.maps[pe].code_bytes for pe in ids}})  # fmt: skip
    else:
        stdout.print(text, markup=False)


@click.command()
@click.option(
    "--ticks", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="Number of ticks, 1 ms each."
)
@click.option(
    "--window", type=click.IntRange(1), metavar="N",
    help="All PEs wait for each other, and for the host, after so many ticks.  [default: 2048, 64 for `events`]",
)  # fmt: skip
@click.option("--detach", is_flag=True, help="Start the run, and do not wait for its end.")
@click.option(
    "--realtime-check", is_flag=True,
    help="It is an error if a tick of a PE takes longer than the timer's period; the run ends with its window.",
)  # fmt: skip
@click.option("--stop", is_flag=True, help="End a run that was started elsewhere, and wait for its end.")
@trace_option
@json_option
@pass_chip_name
def run(
    name: str | None, ticks: int, window: int | None, detach: bool, realtime_check: bool, stop: bool, as_json: bool,
    trace_file: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Advance the chip's time, and wait for the end.

    Ctrl-C ends the run; the chip can be used again as soon as the command has returned.

    \b
    Examples:
      spinn2emu run --ticks 100
      spinn2emu run --ticks 1000000 --detach
      spinn2emu run --stop
      spinn2emu run --ticks 100 --trace run.pcapng --trace-pe 1.1.0
    """
    capture = take_capture(trace_file, options)
    if capture is not None and (detach or stop):
        raise click.UsageError("a trace ends with the run: --trace goes with neither --detach nor --stop")
    with attach(name) as chip, nullcontext() if capture is None else chip.trace(**capture):
        tally, first = Tally(), chip.info()["tick"]
        before = None if detach or stop else chip.usage()
        begin = time.monotonic()
        if stop:
            chip.end_run()
        try:
            if not stop and (ticks or chip.info()["idle"]):
                chip.start(ticks, window=window, realtime_check=realtime_check)
            if detach:
                tick = chip.info()["tick"]
            else:
                with progress_bar(ticks) as progress:
                    tick = chip.wait(progress)
        except KeyboardInterrupt:
            stderr.print("the run is ending …", style="dim")
            tick = chip.interrupt()
            stderr.print(f"the run has ended in tick {tick}; the chip is ready for another")
            raise
        seconds = time.monotonic() - begin
        late = [] if detach else chip.overruns()
        if before is not None:
            tally.add(before, chip.usage())
    for each in late[:MOST_LATE]:
        stderr.print(each["text"], style="yellow", markup=False)
    if len(late) > MOST_LATE:
        stderr.print(f"… and {len(late) - MOST_LATE} more PEs: see `spinn2emu ps`", style="yellow")
    usage = tally.usage(tick - first)
    about = {} if usage is None else report.chip(usage)
    if as_json:
        print_json({"chip": {"name": chip.name} | about, "tick": tick, "wall_s": seconds, "overruns": late})
    else:
        stdout.print(f"tick {tick}" + ("" if detach else f", after {seconds:.2f} s"))
        if about:
            stdout.print(f"on the chip {report.in_a_line(about)}", markup=False)


@click.command()
@click.argument("signal", type=click.Choice(["pause", "resume", "stop", "reset"]))
@click.argument("pes", metavar="[PE]…", nargs=-1, type=Pes())
@click.option("--all", "everything", is_flag=True, help="Signal all PEs that have a program.")
@json_option
@pass_chip_name
def signal(
    name: str | None, signal: Literal["pause", "resume", "stop", "reset"], pes: tuple[list[int], ...],
    everything: bool, as_json: bool,
) -> None:  # fmt: skip
    """Pause, resume, stop or reset PEs between two runs.

    \b
    pause   the PE sleeps; time goes on without it, and packets for it are discarded and counted
    resume  the PE continues where it was paused
    stop    the program ends; the PE's SRAM can be read, and another program can be loaded
    reset   the program begins again in the present tick; with --all, the chip begins again at tick 0

    \b
    Examples:
      spinn2emu signal pause 1.1.0 1.1.1
      spinn2emu signal reset --all
    """
    if bool(pes) == everything:
        raise click.UsageError("name PEs, or all of them with --all")
    ids = None if everything else [pe for several in pes for pe in several]
    with attach(name) as chip:
        chip.signal(signal, ids)
        rows = [row for row in chip.ps() if (row["program"] if ids is None else row["id"] in ids)]
    if as_json:
        print_json({"chip": chip.name, "states": {row["pe"]: row["state"] for row in rows}})
    else:
        stdout.print(", ".join(f"{row['pe']} {row['state']}" for row in rows))
