"""What chip programs of the original share: power management, and the layout of their tables."""

from __future__ import annotations

from enum import Enum
from typing import Any

from spinn2host.spinnaker2.messages import warn
from spinn2host.spinnaker2.names import no_programs_in_c, refuse_unknown

__all__ = ["DVFSParams", "PmgtMode", "format_routing_info"]
refuse_unknown(
    __name__, {"N_WORDS_MPT_ENTRY": " (it belongs to the tables of programs in C, and their ARM code cannot run here)"}
)


class PmgtMode(Enum):
    """Levels of power of a PE; of the original's, one is known."""

    PL_MODE_LOW = "PL_MODE_LOW"


class DVFSParams:
    """When a PE changes its voltage and clock. Accepted, without effect: results do not depend on them."""

    def __init__(self, mode: PmgtMode = PmgtMode.PL_MODE_LOW, pl_threshold: int = 0) -> None:
        warn("DVFSParams: no effect here: emulated PEs have no clock or power levels; results do not depend on them")
        self.mode, self.pl_threshold = mode, pl_threshold


def format_routing_info(*args: Any, **kwargs: Any) -> Any:
    """The routing table of a program in C. Errors: ConfigError, always."""
    raise no_programs_in_c("neuron_models.common.format_routing_info")
