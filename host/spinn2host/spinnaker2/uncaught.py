"""Errors of the emulator that a script does not catch: the script's own lines, the message, and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

import spinn2emu
import spinn2host
from spinn2emu.errors import Spinn2Error

HIDDEN = (*(f"{Path(package.__file__ or '').parent}{os.sep}" for package in (spinn2emu, spinn2host)),
          contextlib.__file__, threading.__file__)  # fmt: skip
"""Files whose lines say nothing to the script's author."""


def show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A hook for `sys.excepthook`: ends the script with the error's exit code, as commands do."""
    if not isinstance(error, Spinn2Error):
        sys.__excepthook__(kind, error, trace)
        return
    _show(error, trace)
    raise SystemExit(error.exit_code)


def show_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    """The same for `threading.excepthook`: ends the thread, as any error does, and not the script."""
    if isinstance(arguments.exc_value, Spinn2Error):
        _show(arguments.exc_value, arguments.exc_traceback)
    else:
        threading.__excepthook__(arguments)


def _show(error: Spinn2Error, trace: TracebackType | None) -> None:
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(HIDDEN)]
    print("".join(traceback.format_list(frames)) + f"{type(error).__name__}: {error.message}", file=sys.stderr)
