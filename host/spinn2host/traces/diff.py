"""Where two traces begin to differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import EVENT

CONTEXT = 3
"""Events shown before and after the first that differs."""


@dataclass(frozen=True)
class Difference:
    """How traces `a` and `b` compare.

    first: number of the first event that differs, counted from 0 among those that were compared, or that only the
    longer one has; None: the events are equal. fields: of `schema.EVENT`, in which the two differ there; empty if only
    one has it. prefix: "a" or "b", if that trace ends where the other goes on. same_meta: programs, names, filter and
    phases are equal.
    """

    events: tuple[int, int]
    first: int | None
    fields: list[str]
    prefix: str | None
    same_meta: bool

    @property
    def equal(self) -> bool:
        """Events, phases, and all that the first block says."""
        return self.first is None and self.same_meta


def compare(a: Trace, b: Trace) -> Difference:
    """Compares events, phases and Meta."""
    lengths = len(a.events), len(b.events)
    common = min(lengths)
    different = np.flatnonzero((_words(a.events[:common]) != _words(b.events[:common])).any(1))
    first, fields, prefix = None, [], None
    if len(different):
        first = int(different[0])
        one, other = a.events[first], b.events[first]
        fields = [name for name in EVENT.names or () if not np.array_equal(one[name], other[name])]
    elif lengths[0] != lengths[1]:
        first, prefix = common, "a" if lengths[0] < lengths[1] else "b"
    same_meta = a.meta.to_json() == b.meta.to_json() and np.array_equal(a.phases, b.phases)
    return Difference(lengths, first, fields, prefix, same_meta)


def around(trace: Trace, number: int) -> Trace:
    """The events from CONTEXT before to CONTEXT after event `number`."""
    return Trace(trace.events[max(0, number - CONTEXT) : number + CONTEXT + 1], trace.meta)


def _words(events: NDArray[np.void]) -> NDArray[Any]:
    return np.ascontiguousarray(events).view(np.uint64).reshape(len(events), EVENT.itemsize // 8)
