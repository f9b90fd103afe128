"""The original's names for what places a network on PEs. Here `layout.map_network` does that, for every board alike."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from spinn2emu import geometry
from spinn2host.spinnaker2.layout import Layout, map_network
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.snn import Network

refuse_unknown(__name__)


class SynapseWordSize(enum.IntEnum):
    """Bits of a synapse's word."""

    SIZE_16 = 16


@dataclass(frozen=True)
class SynapseWordSpec:
    """Bits of the parts of a synapse's word, as models with delays have them."""

    word_size: SynapseWordSize = SynapseWordSize.SIZE_16
    weight: int = 4
    delay: int = 3
    synapse_sign: int = 1
    target: int = 8


class Mapper:
    """Places a network on the 148 application PEs of a chip."""

    def __init__(self, network: Network | None = None, *_: Any, **__: Any) -> None:
        self.network = network

    def map(self, network: Network | None = None, timesteps: int = 0) -> Layout:
        """Parts, programs and routes of the network. Raises ConfigError or SramOverflow."""
        net = network or self.network
        if net is None:
            raise TypeError("a Mapper needs a network")
        return map_network(net, timesteps, geometry.APPLICATION_IDS)


class IterativeMapper(Mapper):
    """As `Mapper`: there is one way of mapping here."""
