"""spinn2emu: the emulated SpiNNaker2 chip (hardware only; firmware is `spinn2fw`, the host's side `spinn2host`)."""

from spinn2emu.version import VERSION as __version__

__all__ = ["__version__"]
