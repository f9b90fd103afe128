"""State × power × time: what the chip draws while its PEs run, from how long each was busy in each phase.

    energy of a PE = time * (asleep) + (time busy) * (busy, more)          powers of its level: `power.LEVELS`
    time busy      = cycles / clock of the level, at most the time

The chip itself, and PEs without a program, are parts of their own (CHIP, UNUSED). Cycles of a program whose cost is not
known count as: low, asleep all the time; high, busy all the time; central, not known (nan; None in JSON).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spinn2emu import geometry, spec
from spinn2emu.cost import DRAIN, ZERO, Interval
from spinn2host.energy.configurations import Configuration
from spinn2host.energy.power import CHIP as CHIP_POWER
from spinn2host.energy.power import LEVELS, Level

CHIP, UNUSED, WAITING = "chip", "unused", "waiting"
"""Roles and phases of their own: the chip with all PEs off; PEs without a program; time in none of a PE's phases."""

TICK_S = spec.TICK_NS.value / 1e9
UNKNOWN = Interval(0.0, math.nan, math.inf)
"""Cycles of a program whose cost is not known."""


class Row(NamedTuple):
    """How long a PE was in a phase at a level, and the cycles that it was busy meanwhile (`UNKNOWN`: no cost is known).

    ticks: of time, 0 for what happens within other phases (the handler of a FIFO). longest: central cycles of the
    longest tick, nan if not known.
    """

    pe: int
    role: str
    program: str
    phase: str
    level: str
    ticks: float
    cycles: Interval
    longest: float


@dataclass(frozen=True)
class Usage:
    """What ran. `ticks`: of a batch (or of the run, if `batches` is 0), also by level where it depends on the clock;
    `batches`: how many the rows' ticks and cycles are of; `samples`: of a batch."""

    rows: Sequence[Row]
    ticks: int
    batches: int = 0
    samples: int = 0
    ticks_at: Mapping[str, int] = field(default_factory=dict)

    def ticks_in(self, configuration: Configuration) -> int:
        """Ticks of a batch in this configuration."""
        return self.ticks_at.get(configuration.level or "", self.ticks)

    @property
    def unknown(self) -> list[str]:
        """Programs whose cost is not known."""
        return sorted({row.program for row in self.rows if math.isinf(row.cycles.high)})


@dataclass
class Part:
    """What a role or a phase takes: energy in mJ, time busy in PE·ms, and its PEs."""

    mj: Interval = ZERO
    busy_ms: Interval = ZERO
    pes: set[int] = field(default_factory=set)

    def add(self, mj: Interval, busy_ms: Interval = ZERO, pes: Iterable[int] = ()) -> None:
        """Adds a share."""
        self.mj, self.busy_ms = self.mj + mj, self.busy_ms + busy_ms
        self.pes.update(pes)


@dataclass
class Estimate:
    """Of a batch, or of a run if there are no batches. `static_mj`: what is drawn if no PE is ever busy; `longest_ms`:
    of the longest tick of a PE by role (central), if it is known; `pe_mw`: mean power by PE id 1..152, central, or with
    unknown costs low.
    """

    configuration: Configuration
    ms: float
    samples: int
    by_role: dict[str, Part]
    by_phase: dict[str, Part]
    static_mj: Interval
    longest_ms: dict[str, float]
    pe_mw: dict[int, float]

    @property
    def mj(self) -> Interval:
        """Energy in mJ."""
        return sum((part.mj for part in self.by_role.values()), ZERO)

    @property
    def power_w(self) -> Interval:
        """Mean power in W."""
        return self.mj * (1 / self.ms)

    @property
    def static_share(self) -> Interval:
        """The part of the energy that is drawn if no PE is ever busy, 0..1."""
        low, central, high = self.mj
        return Interval(self.static_mj.high / high, self.static_mj.central / central, self.static_mj.low / low)


def estimate(usage: Usage, configuration: Configuration) -> Estimate:
    """What the chip would draw in this configuration."""
    ticks = usage.ticks_in(configuration)
    ms = ticks * TICK_S * 1000
    result = Estimate(configuration, ms, usage.samples, {}, {}, CHIP_POWER * (ms / 1000), {}, {})
    _charge(result, CHIP, CHIP, result.static_mj)
    by_pe: dict[int, list[Row]] = {}
    for row in usage.rows:
        by_pe.setdefault(row.pe, []).append(row)
    for pe in geometry.PE_IDS:
        if pe in by_pe:
            _add_pe(result, pe, by_pe[pe], ticks, max(1, usage.batches))
        elif configuration.unused is not None:
            _add_unused(result, pe, LEVELS[configuration.unused])
        else:
            result.pe_mw[pe] = 0.0
    for phase in (DRAIN, WAITING):  # what belongs to no phase comes last
        if phase in result.by_phase:
            result.by_phase[phase] = result.by_phase.pop(phase)
    return result


def _charge(
    result: Estimate, role: str, phase: str, mj: Interval, busy_ms: Interval = ZERO, pes: Iterable[int] = ()
) -> None:
    result.by_role.setdefault(role, Part()).add(mj, busy_ms, pes)
    result.by_phase.setdefault(phase, Part()).add(mj, busy_ms, pes)


def _add_unused(result: Estimate, pe: int, level: Level) -> None:
    s = result.ms / 1000
    busy = Interval(s, s, s) if result.configuration.busy else ZERO
    result.static_mj += level.asleep * s
    mj = level.asleep * s + _product(level.busy, busy)
    _charge(result, UNUSED, UNUSED, mj, busy * 1000, (pe,))
    result.pe_mw[pe] = mj.central / s


def _add_pe(result: Estimate, pe: int, rows: Sequence[Row], ticks: int, batches: int) -> None:
    """A PE with a program: its phases share the time by their ticks; what these do not fill, it waits."""
    known = sum(row.ticks for row in rows) / batches
    share = min(1.0, ticks / known) if known else 0.0
    spans = [row.ticks / batches * share * TICK_S for row in rows]
    levels = [LEVELS[result.configuration.level or row.level] for row in rows]
    busy = [
        _busy(row, batches, level, s, result.configuration.busy)
        for row, level, s in zip(rows, levels, spans, strict=True)
    ]
    rest = max(0.0, ticks * TICK_S - sum(spans))
    waits = Interval(rest, rest, rest) if result.configuration.busy else ZERO
    busy = _at_most([*busy, waits], ticks * TICK_S)
    total = ZERO
    names = [*((row.role, row.phase) for row in rows), (rows[-1].role, WAITING)]
    for (role, phase), level, s, each in zip(names, [*levels, levels[-1]], [*spans, rest], busy, strict=True):
        mj = level.asleep * s + _product(level.busy, each)
        if s or each.high:
            result.static_mj += level.asleep * s
            _charge(result, role, phase, mj, each * 1000, (pe,))
            total += mj
    for row, level in zip(rows, levels, strict=True):
        if not math.isnan(row.longest):
            longest = 1000 * row.longest / level.clock_hz
            result.longest_ms[row.role] = max(longest, result.longest_ms.get(row.role, 0.0))
    mean = total.low if math.isnan(total.central) else total.central
    result.pe_mw[pe] = mean / (result.ms / 1000)


def _busy(row: Row, batches: int, level: Level, s: float, always: bool) -> Interval:
    """Seconds, of `s`, in which a PE is busy with a row; always: in all of them."""
    if always:
        return Interval(s, s, s)
    if math.isinf(row.cycles.high):
        low = row.cycles.low / (batches * level.clock_hz)
        return Interval(min(low, s), math.nan, s or math.inf)
    return row.cycles * (1 / (batches * level.clock_hz))


def _at_most(busy: Sequence[Interval], s: float) -> list[Interval]:
    """No PE is busy for longer than the time: if it were, all its phases have less. What has no bound of its own, as
    handlers whose cost is not known, may take what the others leave.
    """
    left = max(0.0, s - sum(each.high for each in busy if math.isfinite(each.high)))
    busy = [each if math.isfinite(each.high) else each._replace(high=left) for each in busy]
    total = sum(busy, ZERO)
    factor = [min(1.0, s / each) if each > 0 else 1.0 for each in total]  # nan stays
    return [Interval(*(value * f for value, f in zip(each, factor, strict=True))) for each in busy]


def _product(a: Interval, b: Interval) -> Interval:
    """Of two figures that are not negative."""
    return Interval(a.low * b.low, a.central * b.central, a.high * b.high)
