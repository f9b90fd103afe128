"""What a chip has counted, with names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry

PE_COLUMNS = ("sent", "delivered", "discarded", "fifo_lost")
"""Of the table of PEs: packets that a PE sent, got, got for a port that was not live, and lost in its FIFO."""
OVERRUNS = "overruns"
"""Beside them: its ticks that took longer than the timer's period."""


class Counters(dict[str, NDArray[np.int64]]):
    """Counts since tick 0, as arrays:

    router       (16,)      by register; `registers` has them by name
    hits         (entries,) packets that matched each routing entry
    pes          (153, 4)   by PE id (0: the host) and PE_COLUMNS; `of` has those of a PE by name
    quads        (38,)      copies that each quad got; quad i has the PEs 4 i + 1 … 4 i + 4
    frames       (2,)       frames that routers got and sent: effort, which differs from run to run
    activations  (153,)     by PE id; effort, too
    overruns     (153,)     by PE id: ticks longer than the timer's period, since its program began
    """

    def __init__(self, arrays: dict[str, NDArray[np.int64]], names: Sequence[str]) -> None:
        super().__init__(arrays)
        self.names = tuple(names)

    @property
    def registers(self) -> dict[str, int]:
        """The router's registers by name."""
        return dict(zip(self.names, self["router"].tolist(), strict=True))

    def of(self, pe: str | int) -> dict[str, int]:
        """The counts of a PE (`qx.qy.p`, or its id), or of `host`, by the names in PE_COLUMNS and OVERRUNS. Raises
        ConfigError."""
        number = 0 if pe == "host" else geometry.pe_id(pe) if isinstance(pe, str) else pe
        counts = zip(PE_COLUMNS, self["pes"][number].tolist(), strict=True)
        return {**dict(counts), OVERRUNS: int(self[OVERRUNS][number])}

    def __repr__(self) -> str:
        """What is not 0."""
        lines = [f"{name}: {count:,}" for name, count in self.registers.items() if count]
        for who in ("host", *map(geometry.name, geometry.PE_IDS)):
            counts = ", ".join(f"{name} {count:,}" for name, count in self.of(who).items() if count)
            lines += [f"{'' if who == 'host' else 'PE '}{who}: {counts}"] if counts else []
        return "\n".join(lines) or "nothing has been counted"
