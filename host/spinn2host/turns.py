"""Threads that take turns, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A lock that nobody starves at: with `threading.Lock`, a thread that asks in a loop would keep the others out."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._queue: deque[object] = deque()

    def take(self, timeout: float | None = None) -> bool:
        """Waits for this thread's turn, for `timeout` seconds at most; whether it has come."""
        mine = object()
        with self._change:
            self._queue.append(mine)
            come = False
            try:
                come = self._change.wait_for(lambda: self._queue[0] is mine, timeout)
            finally:
                if not come:
                    self._queue.remove(mine)
                    self._change.notify_all()
        return come

    def give(self) -> None:
        """The next one's turn."""
        with self._change:
            self._queue.popleft()
            self._change.notify_all()

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()
