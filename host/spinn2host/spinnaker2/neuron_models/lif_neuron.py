"""Chip programs of the lif models."""

from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.neuron_models.application import BaseApplication

__all__ = ["LIFApplication", "LIFNoDelayApplication"]
refuse_unknown(__name__)


class LIFApplication(BaseApplication):
    """Of `lif`."""


class LIFNoDelayApplication(BaseApplication):
    """Of `lif_no_delay`."""
