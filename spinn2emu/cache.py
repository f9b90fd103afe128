"""Where compiled kernels are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """The folder that holds compiled kernels."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spinn2emu"
    return Path(os.environ.get("SPINN2EMU_CACHE") or default)
