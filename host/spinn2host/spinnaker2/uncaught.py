"""Errors of the emulator that a script does not catch: the script's own lines, the message, and an exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import spinn2emu
import spinn2host
from spinn2emu.errors import Spinn2Error

OURS = tuple(str(Path(package.__file__ or "").parent) for package in (spinn2emu, spinn2host))


def show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A hook for `sys.excepthook`: ends the script with the error's exit code, as commands do."""
    if not isinstance(error, Spinn2Error):
        sys.__excepthook__(kind, error, trace)
        return
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(OURS)]
    lines = traceback.format_list(frames)
    print("".join(lines) + f"{kind.__name__}: {error.message}", file=sys.stderr)
    raise SystemExit(error.exit_code)
