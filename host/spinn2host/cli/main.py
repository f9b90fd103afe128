"""The command `spinn2emu`: groups, the global options, and what errors become."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from spinn2emu import __version__
from spinn2emu.errors import Spinn2Error
from spinn2host.cli.info import info
from spinn2host.cli.output import report_error
from spinn2host.cli.train import train
from spinn2host.cli.verify import verify

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="spinn2emu")
def cli() -> None:
    """An emulator of the SpiNNaker2 chip: a process per PE, packets only, EventProp training on the chip.

    \b
    Examples:
      spinn2emu train yinyang                        the full recipe on the emulated chip
      spinn2emu train yinyang --on offchip --seed 1  the same bits, in one process
      spinn2emu verify vectors/*.npz --on both       compare with reference vectors
      spinn2emu info                                 the chip: quads, PEs, constants with their sources

    \b
    Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 no such chip, 4 timeout,
    5 a PE died or failed, 6 verification mismatch, 130 interrupted.
    """


cli.add_command(train)
cli.add_command(verify)
cli.add_command(info)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        result = cli.main(args=None if arguments is None else list(arguments), standalone_mode=False)
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


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
