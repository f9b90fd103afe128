"""The kinds of software between a script and a board; the emulated chip needs neither."""

from enum import Enum

from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["ExperimentBackendType"]
refuse_unknown(__name__)


class ExperimentBackendType(Enum):
    """Boards take either; here it makes no difference."""

    CPP = "cpp"
    SPINNMAN2 = "spinnman2"
