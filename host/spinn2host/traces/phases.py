"""Which phase each PE was in, and when: of the chip's schedule, whatever packets of the trace were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.geometry import pe_id
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import interface_name

STRETCH = np.dtype([("pe", "<i8"), ("phase", "<i8"), ("begin", "<i8"), ("end", "<i8")])
"""A PE is in a phase (by number) from tick `begin` on, before tick `end`."""


def stretches(trace: Trace) -> NDArray[np.void]:
    """All phases that are known, (n,) of STRETCH, by PE and begin; the last of each PE ends with the trace.

    A phase that follows itself is two, but not while the PE waits in a phase of one tick that begins again and again.
    """
    known = trace.phases
    began = [] if "limit" in trace.meta.filter else trace.meta.began.items()  # later phases may have been forgotten
    first = np.array([(pe_id(name), phase, begin) for name, (phase, begin) in began], np.int64).reshape(-1, 3)
    pe = np.concatenate([first[:, 0], known["pe"].astype(np.int64)])
    phase = np.concatenate([first[:, 1], known["phase"].astype(np.int64)])
    begin = np.concatenate([first[:, 2], known["tick"].astype(np.int64)])
    order = np.lexsort((begin, pe))
    pe, phase, begin = pe[order], phase[order], begin[order]
    new = np.flatnonzero((np.diff(pe, prepend=-1) != 0) | (np.diff(begin, prepend=-1) != 0))
    result = np.empty(len(new), STRETCH)
    result["pe"], result["phase"], result["begin"] = pe[new], phase[new], begin[new]
    last = np.diff(result["pe"], append=-1) != 0
    end = max(trace.ticks[1], int(begin.max(initial=-1)) + 1)
    result["end"] = np.where(last, end, np.roll(result["begin"], -1))
    return result


class Span(NamedTuple):
    """Most PEs are in the phase of this name from tick `begin` on, before tick `end`."""

    name: str
    begin: int
    end: int


def common(trace: Trace, names: Sequence[str]) -> list[Span]:
    """When more PEs of the chip are in a phase of one of these names than in those of each other, in order of time."""
    known = stretches(trace)
    code = _codes(trace, names)[known["pe"], known["phase"] % spec.MAX_PHASES.value]
    known, code = known[code >= 0], code[code >= 0]
    if not len(known):
        return []
    ticks, place = np.unique(np.concatenate([known["begin"], known["end"]]), return_inverse=True)
    change = np.zeros((len(names), len(ticks)), np.int64)
    np.add.at(change, (code, place[: len(known)]), 1)
    np.add.at(change, (code, place[len(known) :]), -1)
    inside = change.cumsum(1)
    which = np.where(inside.any(0), inside.argmax(0), -1)
    begins = np.flatnonzero(np.diff(which, prepend=-1))
    ends = np.append(begins[1:], len(which) - 1)
    return [
        Span(names[which[a]], int(ticks[a]), int(ticks[b]))
        for a, b in zip(begins, ends, strict=True) if which[a] >= 0
    ]  # fmt: skip


def begins(trace: Trace, name: str) -> NDArray[np.int64]:
    """Ticks in which most PEs that have a phase of this name begin it, ascending."""
    known = stretches(trace)
    chosen = _codes(trace, [name])[known["pe"], known["phase"] % spec.MAX_PHASES.value] == 0
    ticks, counts = np.unique(known["begin"][chosen], return_counts=True)
    result: NDArray[np.int64] = ticks[2 * counts > counts.max(initial=0)]
    return result


def _codes(trace: Trace, names: Sequence[str]) -> NDArray[np.int64]:
    """Index of each PE's phases in `names`, or -1, (PE id, number of the phase)."""
    code = np.full((spec.PES.value + 1, spec.MAX_PHASES.value), -1)
    for pe in range(1, spec.PES.value + 1):
        info = trace.meta.pes.get(interface_name(pe))
        for number, name in enumerate(info.phases[: spec.MAX_PHASES.value] if info else ()):
            code[pe, number] = names.index(name) if name in names else -1
    return code
