"""What takes long says so to whoever listens: the command line, or a user's program."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[str], None] | None = None


def listen(listener: Callable[[str], None] | None) -> None:
    """From now on `listener` gets lines about what is being done, such as "compiling …"; None: nobody does."""
    global _listener
    _listener = listener


def tell(text: str) -> None:
    """Something takes long."""
    if _listener is not None:
        _listener(text)
