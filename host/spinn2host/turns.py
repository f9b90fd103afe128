"""Threads that take turns, in the order in which they came."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque

LOOK_S = 0.001
"""How often a thread that waits looks whether its turn has come."""


class Turns:
    """A lock that nobody starves at: with `threading.Lock`, a thread that asks in a loop would keep the others out.

    A thread holds a lock of its own, `turn`, while it waits and while it is its turn: `with turn: turns.come(turn)`.
    Ctrl-C may end that at any moment. `with` and a lock of the interpreter leave no gap for it; methods written in
    Python, one to take a turn and one to give it back, would be interrupted themselves, and the turn never end.
    """

    def __init__(self) -> None:
        self._queue: deque[threading.Lock] = deque()

    def come(self, turn: threading.Lock, timeout: float = math.inf) -> bool:
        """Waits until it is the turn of this thread, which holds `turn`; whether that was within `timeout` seconds."""
        end = time.monotonic() + timeout
        self._queue.append(turn)
        while (first := self._queue[0]) is not turn:
            if not first.locked():
                self._forget(first)
            elif time.monotonic() < end:
                time.sleep(LOOK_S)
            else:
                return False
        return True

    def _forget(self, turn: threading.Lock) -> None:
        with contextlib.suppress(ValueError):  # another thread has
            self._queue.remove(turn)
