"""The base of chip programs."""

from __future__ import annotations

from typing import Any

from spinn2host.spinnaker2.names import no_programs_in_c, refuse_unknown

__all__ = ["BaseApplication"]
refuse_unknown(__name__)


class BaseApplication:
    """A program of a PE. Attributes of the class may be set, and have no effect. Errors: ConfigError to make one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise no_programs_in_c(type(self).__name__)
