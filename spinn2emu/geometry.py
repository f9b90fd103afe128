"""Where quads and PEs are on the die, how they are named and numbered. Source: `machine` in `spec.py`."""

from __future__ import annotations

import re
from typing import NamedTuple

from spinn2emu import spec
from spinn2emu.errors import ConfigError

# In the order of the PE ids: quad k holds the ids 4k+1 .. 4k+4 (id 0 is the management core).
QUADS: tuple[tuple[int, int], ...] = (
    (7, 6), (7, 5), (6, 6), (6, 5), (6, 4), (5, 4), (5, 6), (3, 6), (4, 6), (5, 5),
    (3, 5), (4, 5), (1, 6), (2, 6), (1, 5), (2, 5), (1, 4), (2, 4), (3, 4), (1, 1),
    (2, 1), (1, 2), (2, 2), (1, 3), (2, 3), (3, 3), (5, 1), (3, 1), (4, 1), (5, 2),
    (3, 2), (4, 2), (7, 1), (6, 1), (7, 2), (6, 2), (6, 3), (5, 3),
)  # fmt: skip

PE_IDS = range(1, spec.PES.value + 1)
RESERVED_IDS = range(1, spec.RESERVED_PES.value + 1)
"""Kept for system software: quad (7,6). Which four PEs it is, is the emulator's own choice."""
APPLICATION_IDS = range(spec.RESERVED_PES.value + 1, spec.PES.value + 1)

_QUAD_INDEX = {quad: index for index, quad in enumerate(QUADS)}
_QUAD_NAME = re.compile(r"[1-7]\.[1-6]")
_NAME = re.compile(r"([1-7])\.([1-6])\.([0-3])")


class Pe(NamedTuple):
    """Position of a PE: quad column 1..7, quad row 1..6, number within the quad 0..3."""

    x: int
    y: int
    p: int

    def __str__(self) -> str:
        return f"{self.x}.{self.y}.{self.p}"


def position(pe: int) -> Pe:
    """Position of the PE with id `pe` (1..152). Raises ConfigError for other ids."""
    if pe not in PE_IDS:
        raise ConfigError(f"there is no PE with id {pe}: ids are 1..{spec.PES.value}")
    x, y = QUADS[(pe - 1) // spec.PES_PER_QUAD.value]
    return Pe(x, y, (pe - 1) % spec.PES_PER_QUAD.value)


def name(pe: int) -> str:
    """`qx.qy.p` of the PE with id `pe`."""
    return str(position(pe))


def pe_id(text: str) -> int:
    """Id (1..152) of the PE that is written `qx.qy.p`. Raises ConfigError if no such PE is on the die."""
    match = _NAME.fullmatch(text)
    quad = (int(match[1]), int(match[2])) if match else None
    if match is None or quad not in _QUAD_INDEX:
        raise ConfigError(f"{text!r} is no PE: write qx.qy.p with a quad of the die (see `spinn2emu info`) and p 0..3")
    return _QUAD_INDEX[quad] * spec.PES_PER_QUAD.value + int(match[3]) + 1


def pe_ids(text: str) -> list[int]:
    """Ids of `qx.qy.p`, of the four PEs of a quad `qx.qy`, or of a PE's id. Raises ConfigError for anything else."""
    if text.isdecimal() and int(text) in PE_IDS:
        return [int(text)]
    if _QUAD_NAME.fullmatch(text):
        return [pe_id(f"{text}.{p}") for p in range(spec.PES_PER_QUAD.value)]
    return [pe_id(text)]
