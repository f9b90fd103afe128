"""What a PE's process has to say beyond an error code: a text in memory that the supervisor reads when it is gone."""

from __future__ import annotations

import numpy as np


def put_note(note: np.ndarray, text: str) -> None:
    """Leaves a text, as much of it as there is room for; `note`: uint8, 0 where nothing is written."""
    data = text.encode()[: len(note)]
    note[: len(data)] = np.frombuffer(data, np.uint8)
    note[len(data) :] = 0


def read_note(note: np.ndarray) -> str:
    """The text that was left, or none."""
    return note.tobytes().rstrip(b"\0").decode(errors="replace")
