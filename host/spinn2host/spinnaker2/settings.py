"""How `spinn2emu script` wants networks to run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal


@dataclass
class Settings:
    """chip: name of a resident chip, or none; the others as in `Chip.boot`; strict_weights: fractions are refused."""

    chip: str | None = os.environ.get("SPINN2EMU_CHIP")
    cores: list[int] | None = None
    loop: Literal["compiled", "python"] = "compiled"
    strict: bool = False
    strict_weights: bool = False


settings = Settings()
