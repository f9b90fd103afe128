"""spinn2host: the host computer's side of spinn2emu.

    Chip, discover          a chip: boot or attach, load, run, look inside
    PeProgram, read_network what its PEs run, and who listens to whom
    make_recipe, Samples    what is trained, and on what
    Data, train             a whole training: `train(recipe, data, "chip", seed=0)`
    open_backend            a network on a chip or off it, to train and evaluate step by step
    OnChip, OffChip         the two kinds of it

All of them are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinn2host.chip import Chip, PeProgram, discover
    from spinn2host.events import Samples
    from spinn2host.network import read_network
    from spinn2host.offchip import OffChip
    from spinn2host.onchip import OnChip
    from spinn2host.recipe import make_recipe
    from spinn2host.training import Data, load_yinyang, open_backend, train

_MODULES = {
    "Chip": "chip", "PeProgram": "chip", "discover": "chip", "Samples": "events", "read_network": "network",
    "OffChip": "offchip", "OnChip": "onchip", "make_recipe": "recipe",
    "Data": "training", "load_yinyang": "training", "open_backend": "training", "train": "training",
}  # fmt: skip

__all__ = [
    "Chip", "Data", "OffChip", "OnChip", "PeProgram", "Samples", "discover", "load_yinyang", "make_recipe",
    "open_backend", "read_network", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"spinn2host.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
