"""spinn2host: the host computer's side of spinn2emu."""

from spinn2host.chip import Chip

__all__ = ["Chip"]
