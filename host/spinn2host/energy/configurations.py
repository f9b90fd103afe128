"""Named configurations of the chip: the level of its PEs, those without a program off or asleep, and how PEs wait.

No source says in which configuration a published figure was measured, so all are reported, each with its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spinn2emu.errors import ConfigError
from spinn2emu.levels import DEFAULT_LEVEL
from spinn2host.energy.power import LEVELS


@dataclass(frozen=True)
class Configuration:
    """level: of the PEs with a program; None: each at the level at which it ran. unused: the level of the others, or
    None: they are off. busy: between ticks PEs wait busily, those without a program all the time; else they sleep.
    """

    name: str
    level: str | None
    unused: str | None = None
    busy: bool = False

    @property
    def text(self) -> str:
        """In words."""
        used = "PEs at the levels at which they ran"
        if self.level is not None:
            used = f"PEs at {_volts(self.level)}, {LEVELS[self.level].clock_hz / 1e6:.0f} MHz"
        verb = "waiting busily" if self.busy else "asleep"
        unused = "off" if self.unused is None else f"{verb} at {_volts(self.unused)}"
        return f"{used}, {verb} between ticks; unused PEs {unused}"


def _volts(level: str) -> str:
    return level.replace("V", " V")


DEFAULT = f"{DEFAULT_LEVEL}-off"
AS_RUN = "as-run"
"""Reported of a run whose PEs had several levels."""

CONFIGURATIONS = {
    configuration.name: configuration
    for configuration in (
        Configuration("0.5V-off", "0.5V"),
        Configuration("0.5V-asleep", "0.5V", "0.5V"),
        Configuration("0.5V-off-busy", "0.5V", None, True),
        Configuration("0.5V-all-busy", "0.5V", "0.5V", True),
        Configuration("0.8V-off", "0.8V"),
        Configuration("0.8V-asleep-0.5V", "0.8V", "0.5V"),
        Configuration("0.8V-asleep", "0.8V", "0.8V"),
        Configuration("0.8V-off-busy", "0.8V", None, True),
        Configuration("0.8V-all-busy", "0.8V", "0.8V", True),
        Configuration(AS_RUN, None),
    )
}


def configuration(name: str) -> Configuration:
    """The configuration of this name. Raises ConfigError, with all names, if there is none."""
    if name not in CONFIGURATIONS:
        names = ", ".join(CONFIGURATIONS)
        raise ConfigError(f"there is no configuration {name!r} of the chip: take one of {names}",
                          configuration=name, configurations=list(CONFIGURATIONS))  # fmt: skip
    return CONFIGURATIONS[name]


def of_levels(levels: Iterable[str]) -> Configuration:
    """The configuration of a run whose PEs had these levels, unused PEs off, asleep between ticks."""
    distinct = set(levels)
    if not distinct:
        return CONFIGURATIONS[DEFAULT]
    return CONFIGURATIONS[f"{distinct.pop()}-off" if len(distinct) == 1 else AS_RUN]
