"""What the original loads into a PE for a program in C. Such programs cannot run here, so nothing can be configured."""

from __future__ import annotations

from typing import Any

from spinn2host.spinnaker2.names import no_programs_in_c, refuse_unknown

__all__ = ["MemoryHandler", "MemoryRegion", "PEConfig"]
refuse_unknown(__name__)


class PEConfig:
    """The memory of a PE. Errors: ConfigError, always."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise no_programs_in_c("configuration.PEConfig")


class MemoryRegion:
    """A part of it. Errors: ConfigError, always."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise no_programs_in_c("configuration.MemoryRegion")


class MemoryHandler:
    """What finds room for parts. Errors: ConfigError, always."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise no_programs_in_c("configuration.MemoryHandler")
