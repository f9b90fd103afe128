"""The original's layers for the matrix accelerator of a PE. There are none here: importing this says so."""

from spinn2host.spinnaker2.names import no_module

raise no_module(
    __name__,
    "the matrix accelerator of a PE is not emulated yet",
    "compute such layers in the script, or as neurons with Conv2DProjection and Projection",
)
