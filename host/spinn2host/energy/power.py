"""What the chip and its PEs draw, in mW, from the five powers that were measured of a whole chip (`spec.POWER_*`).

    a PE asleep   = (152 PEs sleeping - all PEs off) / 152
    busy, more    = (152 PEs running CoreMark - 152 PEs sleeping) / 152

Both are averages over 152 PEs, and add up: PEs of different levels on one chip were not measured. `low` and `high` are
what the last digit of the powers leaves open. For code more is open, since only CoreMark was measured: a PE that is
busy draws no less than one that sleeps, and `spec.POWER_OF_CODE` says what is taken as the most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spinn2emu import levels, spec
from spinn2emu.cost import Interval


@dataclass(frozen=True)
class Level:
    """A performance level of a PE: its clock, and what the PE draws asleep, and `busy` more while it runs, in mW."""

    name: str
    clock_hz: int
    asleep: Interval
    busy: Interval


def measured(power: spec.Constant) -> Interval:
    """A measured power in mW, as far as it was rounded."""
    rounding = spec.POWER_ROUNDING.value
    low, high = power.value - rounding, power.value + rounding
    return Interval(low / 1000, power.value / 1000, high / 1000)


def _per_pe(more: spec.Constant, less: spec.Constant) -> Interval:
    """The difference of two powers of 152 PEs, of one."""
    (low, central, high), off = measured(more), measured(less)
    return Interval(low - off.high, central - off.central, high - off.low) * (1 / spec.PES.value)


def _level(name: str, asleep: spec.Constant, busy: spec.Constant) -> Level:
    coremark = _per_pe(busy, asleep)
    code = Interval(0.0, coremark.central, coremark.high * spec.POWER_OF_CODE.value / 100)
    return Level(name, levels.LEVELS[name], _per_pe(asleep, spec.POWER_OFF), code)


CHIP = measured(spec.POWER_OFF)
"""The chip with all PEs off: NoC, router, links and interfaces that wait, the management core."""

LEVELS: Mapping[str, Level] = MappingProxyType({
    level.name: level
    for level in (
        _level("0.5V", spec.POWER_ASLEEP_LOW, spec.POWER_BUSY_LOW),
        _level("0.8V", spec.POWER_ASLEEP_HIGH, spec.POWER_BUSY_HIGH),
    )
})  # fmt: skip

ABSENT = (
    "transport (NoC, router, links): no source gives the energy of a packet; what they draw while they wait is in the "
    "chip's part",
    "DRAM: no source gives its power",
    "changes of level and waking up: no source gives their energy",
)
"""What the model has no numbers for."""
