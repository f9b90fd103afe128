"""`Brian2Backend`, which scripts use where they have no board: here it runs the emulated chip."""

from __future__ import annotations

from typing import Any

from spinn2host.spinnaker2.hardware import SpiNNaker2Chip
from spinn2host.spinnaker2.messages import warn
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.snn import Network

__all__ = ["Brian2Backend"]
refuse_unknown(__name__)

SEMANTICS = (
    "Brian2Backend runs the emulated chip, not Brian2: neurons fire at V ≥ threshold, and a new current acts in the "
    "same tick (Brian2: V > threshold, and lif_curr_exp a tick later)"
)


class Brian2Backend:
    """The emulated chip, with the chip's semantics; an object may run any number of networks."""

    def run(self, net: Network, timesteps: int, quantize_weights: bool = True, **arguments: Any) -> None:
        """As `SpiNNaker2Chip.run`, whose other arguments it takes. Weights are whole numbers, as on the chip.

        Errors: as there.
        """
        warn(SEMANTICS)
        if not quantize_weights:
            warn("Brian2Backend: quantize_weights=False has no effect: synapses of the chip hold whole numbers, and "
                 "weights with fractions are rounded")  # fmt: skip
        SpiNNaker2Chip().run(net, timesteps, **arguments)
