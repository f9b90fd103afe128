"""`spinn2emu script`: a script of py-spinnaker2, as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from spinn2host import script_path
from spinn2host.cli.common import cores_option, given
from spinn2host.cli.trace_options import take_capture, trace_option
from spinn2host.spinnaker2.settings import Settings

FOLDER = str(Path(script_path.__file__).parent)


@click.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
@click.argument("file", metavar="FILE.py", type=click.Path())
@click.argument("arguments", metavar="[ARGS]…", nargs=-1, type=click.UNPROCESSED)
@click.option("--strict-weights", is_flag=True, help="Refuse weights with fractions instead of rounding them.")
@click.option("--strict", is_flag=True, help="Check every array index in kernels: slower, finds errors.")
@trace_option
@cores_option("none")
@click.pass_context
def script(
    context: click.Context, file: str, arguments: tuple[str, ...], strict_weights: bool, strict: bool,
    trace_file: Path | None, cores: list[int] | None, loop: Literal["compiled", "python"], **options: Any,
) -> None:  # fmt: skip
    """Run a script of py-spinnaker2, unmodified, on the emulated chip.

    `import spinnaker2` works in FILE.py and in what it starts. The chip is one of its own, which ends with it, unless
    --chip (before `script`), $SPINN2EMU_CHIP or `eth_ip="emu://NAME"` in the script names one that runs. Standard
    output and the exit code are the script's. With --trace, the second run of a network goes to FILE-2.pcapng, and so
    on.

    \b
    Examples:
      spinn2emu script classifier.py --samples 10
      spinn2emu script --trace packets.pcapng classifier.py
      spinn2emu --chip desk script classifier.py
    """
    name: str | None = context.obj
    for option in ("cores", "loop", "strict"):
        if name is not None and given(context, option):
            raise click.UsageError(f"--{option} is for a chip of the script's own: chip {name} was booted with its own")
    trace = take_capture(trace_file, options) or {}
    if trace:
        trace["path"] = os.path.abspath(trace["path"])
    chosen = Settings(cores, loop, strict, strict_weights, trace, os.getpid())
    environment = os.environ | chosen.to_environment()
    if name is not None:
        environment["SPINN2EMU_CHIP"] = name
    path = [FOLDER, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.path.join(".", file) if file.startswith("-") else file  # no option of Python
    os.execve(sys.executable, [sys.executable, file, *arguments], environment)
