"""The levels of a PE: supply voltage and the clock that belongs to it."""

from __future__ import annotations

from spinn2emu import spec
from spinn2emu.errors import ConfigError

LEVELS = {"0.5V": spec.PE_CLOCK_LOW_HZ.value, "0.8V": spec.PE_CLOCK_HZ.value}
"""Clock in Hz by name; `sdk.set_level` takes the place in it."""
NAMES = tuple(LEVELS)
DEFAULT_LEVEL = "0.8V"


def level_number(name: object) -> int:
    """The place of a level in LEVELS. Raises ConfigError for one that there is not."""
    if name not in NAMES:
        known = ", ".join(f"{level} ({clock // 1_000_000} MHz)" for level, clock in LEVELS.items())
        raise ConfigError(f"there is no level {name!r}: a PE has {known}", level=name, levels=list(NAMES))
    return NAMES.index(str(name))
