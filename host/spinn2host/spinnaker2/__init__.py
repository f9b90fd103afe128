"""spinn2host.spinnaker2: py-spinnaker2's interface, on the emulated chip.

    from spinn2host.spinnaker2 import hardware, snn

`spinn2emu script FILE.py` runs scripts that import it as `spinnaker2`. It was written from what scripts expect, not by
SpiNNcloud or TU Dresden, who make the original; docs/spinnaker2.md says what runs and what it was checked against.
"""

from spinn2host.spinnaker2.names import refuse_unknown

__all__ = [
    "ann2snn_helpers",
    "brian2_sim",
    "configuration",
    "coordinates",
    "experiment_backends",
    "hardware",
    "helpers",
    "live",
    "logger",
    "mapper",
    "neuron_models",
    "s2_nir",
    "snn",
]

refuse_unknown(
    __name__,
    {
        "network": " (networks are snn.Network)",
        "connectors": " (a projection takes a list of connections)",
        "Network": " (it is snn.Network)",
        "Population": " (it is snn.Population)",
        "Projection": " (it is snn.Projection)",
    },
    on_demand=__all__,  # scripts use `spinnaker2.helpers` and others without importing them
)
