"""The original's logger. Here, what there is to say is a line on standard error, and nothing has to be set up."""

from __future__ import annotations

from typing import Any

from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["SpiNNaker2Logger"]
refuse_unknown(__name__)


class SpiNNaker2Logger:
    """Takes settings and does nothing with them."""

    @classmethod
    def setup(cls, *args: Any, **kwargs: Any) -> None:
        """Accepts any level."""
