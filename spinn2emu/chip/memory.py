"""What the host can address on the chip: every PE's SRAM and the router's registers.

One anonymous shared mapping, made before the processes are forked: the system frees it when the last of them ends.
"""

from __future__ import annotations

import mmap

import numpy as np

from spinn2emu import spec
from spinn2emu.router.state import MAX_IDS, Counter, PeCounter, Registers


class ChipMemory:
    """`sram`: uint8 (153, 131072), row = PE id. `registers`: the router's. `activations`: int64 (153,)."""

    def __init__(self) -> None:
        words = (len(Counter), spec.ROUTER_ENTRIES.value, MAX_IDS * len(PeCounter), spec.QUADS.value, 8, MAX_IDS)
        sram_bytes = MAX_IDS * spec.SRAM_BYTES.value
        self._mapping = mmap.mmap(-1, sram_bytes + 8 * sum(words))
        memory = np.frombuffer(self._mapping, np.uint8)
        self.sram = memory[:sram_bytes].reshape(MAX_IDS, spec.SRAM_BYTES.value)
        blocks = np.split(memory[sram_bytes:].view(np.int64), np.cumsum(words)[:-1])
        pe_counts = blocks[2].reshape(MAX_IDS, len(PeCounter))
        self.registers = Registers(blocks[0], blocks[1], pe_counts, blocks[3], blocks[4])
        self.activations = blocks[5]

    def clear(self) -> None:
        """All bytes 0, as after a reset."""
        np.frombuffer(self._mapping, np.uint8)[:] = 0
