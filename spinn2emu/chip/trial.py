"""A user's file is tried out in a child process first: what ends or blocks a process must not do so to the chip."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from spinn2emu import link
from spinn2emu.chip import processes
from spinn2emu.errors import ProgramError, Spinn2Error

DEADLINE_S = 120.0
"""For importing, linking and compiling a program, cold."""


def try_out(name: str, body: Callable[[], object]) -> None:
    """Runs `body`, which loads and compiles the program `name`, in a child; raises the error that it raises there.

    Raises ProgramError if the child dies, or is not done in time. What it compiles is in the cache afterwards.
    """
    reading, writing = os.pipe()

    def child() -> None:
        answer = b""
        try:
            body()
        except Spinn2Error as error:
            answer = link.reply_error(0, error)
        os.write(writing, answer or link.reply_ok({"id": 0}))

    # `processes.fork` closes what is inherited from 3 on: the pipe must be among what it keeps.
    started = processes.fork(f"trial of {name}", 0, child, keep=[writing])
    os.close(writing)
    data, deadline = b"", time.monotonic() + DEADLINE_S
    try:
        while True:
            if not select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
                text = f"is not loaded and compiled after {DEADLINE_S:.0f} s: does it block when it is imported?"
                raise ProgramError(f"program {name} {text}", program=name, deadline=DEADLINE_S)
            part = os.read(reading, 1 << 16)
            if not part:
                break
            data += part
    finally:
        os.close(reading)
        cause = processes.end(started)
    if not data:
        raise ProgramError(f"program {name} ends its process when it is loaded: {cause}", program=name, cause=cause)
    link.unwrap(link.decode(data))
