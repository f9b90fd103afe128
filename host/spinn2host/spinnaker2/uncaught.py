"""Errors of the emulator that a script does not catch, and Ctrl-C: the script's own lines, a message, an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

import zmq

import spinn2emu
import spinn2host
from spinn2emu.errors import Spinn2Error

HIDDEN = (*(f"{Path(package.__file__ or '').parent}{os.sep}" for package in (spinn2emu, spinn2host, zmq)),
          "zmq/", contextlib.__file__, threading.__file__)  # fmt: skip
"""Files whose lines say nothing to the script's author."""


def show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A hook for `sys.excepthook`: ends the script with the error's exit code, as commands do."""
    if isinstance(error, Spinn2Error):
        _show(error, error.message, trace)
        raise SystemExit(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        _show(error, "", trace)  # Python itself ends as one does that was interrupted
    else:
        sys.__excepthook__(kind, error, trace)


def show_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    """The same for `threading.excepthook`: ends the thread, as any error does, and not the script."""
    if isinstance(arguments.exc_value, Spinn2Error):
        _show(arguments.exc_value, arguments.exc_value.message, arguments.exc_traceback)
    else:
        threading.__excepthook__(arguments)


def _show(error: BaseException, message: str, trace: TracebackType | None) -> None:
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(HIDDEN)]
    text = ": ".join([type(error).__name__, *([message] if message else [])])
    print("".join(traceback.format_list(frames)) + text, file=sys.stderr)
