"""What moves networks onto boards in the original. Here, settings are taken and have no effect: there is one way."""

from spinn2host.spinnaker2.experiment_backends.backend_settings import ROUTING, BackendSettings
from spinn2host.spinnaker2.experiment_backends.base_experiment_backend import ExperimentBackendType
from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["ROUTING", "BackendSettings", "ExperimentBackendType"]
refuse_unknown(__name__)
