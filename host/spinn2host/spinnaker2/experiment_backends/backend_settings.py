"""How a board is used; none of it matters to an emulated chip."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["ROUTING", "BackendSettings"]
refuse_unknown(__name__)


class ROUTING(Enum):
    """How spikes travel: by the router's multicast, or from chip to chip. Here always by the one chip's router."""

    MC = "MC"
    C2C = "C2C"


@dataclass
class BackendSettings:
    """Settings that scripts assign; they change nothing here."""

    routing_type: ROUTING = ROUTING.MC
    rebuild_apps: bool = False
    switch_serial: bool = False
