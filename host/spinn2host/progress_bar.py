"""A progress bar for runs that take long, on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE_S = 2.0
"""A run that is over sooner shows no bar."""


@contextlib.contextmanager
def progress_bar(ticks: int) -> Iterator[Callable[[int], None]]:
    """What gets the chip's tick now and then, and shows on standard error how far a run of so many ticks is."""
    begin, first, shown = time.monotonic(), list[int](), list[tuple[Any, Any]]()
    is_terminal = sys.stderr.isatty()

    def progress(tick: int) -> None:
        if not first:
            first.append(tick)
        if is_terminal and not shown and time.monotonic() - begin > PATIENCE_S:
            shown.append(_show(ticks))
        for bar, task in shown:
            bar.update(task, description=str(tick), completed=tick - first[0])

    try:
        yield progress
    finally:
        for bar, _ in shown:
            bar.stop()


def _show(ticks: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("tick {task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar, bar.add_task("", total=max(1, ticks))
