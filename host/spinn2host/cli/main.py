"""The command `spinn2emu`: groups, the global options, and what errors become."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from spinn2emu.errors import Spinn2Error
from spinn2emu.progress import listen
from spinn2emu.refused import explain
from spinn2emu.version import VERSION
from spinn2host.cli.lazy import LazyGroup
from spinn2host.cli.output import report_error, report_progress, show_anything

INTERRUPTED = 130
TERMINATED = 143

COMMANDS = {
    "train": "train", "verify": "verify", "script": "script",
    "boot": "chip", "discover": "chip", "info": "info", "ps": "chip", "top": "top", "halt": "chip",
    "new-program": "deploy", "program": "program", "load": "deploy", "run": "deploy", "signal": "deploy",
    "read": "look", "write": "look", "memory": "look", "log": "look", "counters": "look", "router": "router",
    "inject": "live", "events": "live", "trace": "trace", "energy": "energy", "cost": "cost",
}  # fmt: skip
"""The module of each command, in the order of the help."""


@click.group(
    cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(VERSION, prog_name="spinn2emu")
@click.option(
    "--chip", "chip_name", envvar="SPINN2EMU_CHIP", metavar="NAME",
    help="The chip to use.  [default: $SPINN2EMU_CHIP, or the only chip that runs]",
)  # fmt: skip
@click.pass_context
def cli(context: click.Context, chip_name: str | None) -> None:
    """Emulate the SpiNNaker2 chip: each processing element (PE) is a process, and PEs exchange nothing but packets.

    \b
    Examples:
      spinn2emu train yinyang                        train by EventProp on the emulated chip
      spinn2emu train yinyang --on offchip --seed 1  train in one process, with the same bits
      spinn2emu verify vectors/*.npz --on both       compare with reference vectors
      spinn2emu script network.py                    run a script of py-spinnaker2 as it is
      spinn2emu info                                 quads, PEs, constants with their sources
      spinn2emu new-program blink                    write a small program to start from
      spinn2emu boot                                 start a chip that runs until `halt`
      spinn2emu load blink.py 1.1.0                  load your program on one of its PEs
      spinn2emu run --ticks 100                      advance its time
      spinn2emu read 1.1.0 counts                    read its memory

    \b
    Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 no such chip, 4 timeout,
    5 a PE died or failed, 6 a comparison found a difference, 130 interrupted.
    """
    context.obj = chip_name


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        show_anything()
        listen(report_progress)
        words = None if arguments is None else list(arguments)
        result = cli.main(args=words, prog_name="spinn2emu", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Spinn2Error as error:
        report_error(error)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        return 1
    except OSError as error:
        report_error(Spinn2Error(f"the system refused something: {explain(error)}"))
        return 1
    except MemoryError as error:
        report_error(Spinn2Error(f"the memory is used up; close some programs, or see `ulimit -v`. {error}".rstrip()))
        return 1


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))  # so that temporary folders are removed
    code = run()
    try:
        sys.stdout.flush()
    except OSError:  # said already; or the interpreter would say it once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
