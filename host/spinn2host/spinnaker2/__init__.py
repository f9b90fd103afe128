"""spinn2host.spinnaker2: py-spinnaker2's interface, on the emulated chip.

    from spinn2host.spinnaker2 import hardware, snn

`spinn2emu script FILE.py` runs scripts that import it as `spinnaker2`. It was written from what scripts expect, not by
SpiNNcloud or TU Dresden, who make the original; docs/spinnaker2.md says what runs and what it was checked against.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Modules are there without being imported by name, as scripts expect."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"spinnaker2 has no module {name!r}") from None
