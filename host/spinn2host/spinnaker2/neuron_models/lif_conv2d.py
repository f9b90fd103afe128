"""The chip program of `lif_conv2d`."""

from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.neuron_models.application import BaseApplication

__all__ = ["LIFConv2dApplication"]
refuse_unknown(__name__)


class LIFConv2dApplication(BaseApplication):
    """Of `lif_conv2d`."""
