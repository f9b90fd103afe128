"""How networks run: what `spinn2emu script` was told, which reaches scripts, and what they start, by an environment
variable.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

VARIABLE = "SPINN2EMU_SCRIPT"


@dataclass
class Settings:
    """cores, loop, strict: as in `Chip.boot`, for a chip of the script's own. Where PEs wait for each other in every
    tick, one router and no pinning takes as long as a router per core, or less (4 to 144 PEs on 2 cores, measured).

    strict_weights: weights with fractions are refused. trace: arguments of `Chip.start_trace`, for every run. process:
    the script's id.
    """

    cores: list[int] | None = field(default_factory=list)
    loop: Literal["compiled", "python"] = "compiled"
    strict: bool = False
    strict_weights: bool = False
    trace: dict[str, Any] = field(default_factory=dict)
    process: int = 0

    @property
    def chip(self) -> str | None:
        """Name of the resident chip that is meant, if one is."""
        return os.environ.get("SPINN2EMU_CHIP") or None

    def to_environment(self) -> dict[str, str]:
        """As a variable."""
        return {VARIABLE: json.dumps(asdict(self))}


settings = Settings(**json.loads(os.environ.get(VARIABLE, "{}")))
"""Of this process."""
