"""Lists of connections that stay the same from run to run: scripts run a network once for every sample."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


class Converted:
    """Gives a list of rows as an array, which is made once as long as the list stays the same: to compare it with a
    copy takes a tenth of the time. The copy is made when the list is asked for a second time; one that is found to
    have changed is converted every time from then on.
    """

    def __init__(self) -> None:
        self._times = 0
        self._copy: list[list[Any]] | None = None
        self._array: Rows | None = None

    def of(self, connections: Any) -> Any:
        """The rows as an array, float64; other things than lists of lists, and what is no array, as they are."""
        if type(connections) is not list:
            return connections
        self._times += 1
        if self._array is not None:
            with contextlib.suppress(ValueError):  # arrays as rows cannot be compared so
                if connections == self._copy:
                    return self._array
            self._copy = self._array = None
        if self._times != 2 or any(type(row) is not list for row in connections):
            return connections
        try:
            self._array = np.asarray(connections, np.float64)
        except (TypeError, ValueError):
            return connections
        self._copy = [row.copy() for row in connections]
        return self._array
