"""Waiting for file descriptors, of any number: `select.select` refuses those from 1,024 on."""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Any


def readable(files: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Those of the files (or descriptors) that can be read, or have ended, after `timeout` seconds at most."""
    by_number = {file if isinstance(file, int) else file.fileno(): file for file in files}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    ready = poll.poll(None if timeout is None else max(0, round(1000 * timeout)))
    return [by_number[number] for number, _ in ready]
