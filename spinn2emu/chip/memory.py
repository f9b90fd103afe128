"""What the host can address on the chip: every PE's SRAM and the router's registers.

One anonymous shared mapping, made before the processes are forked: the system frees it when the last of them ends.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
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

    def range(self, pe: int, address: int, size: int) -> np.ndarray:
        """Bytes of a PE's SRAM, writable. Raises ConfigError if they are not all on the chip."""
        if pe not in geometry.PE_IDS:
            raise ConfigError(f"there is no PE with id {pe}: ids are 1..{spec.PES.value}", pe=pe)
        if address < 0 or size < 0 or address + size > spec.SRAM_BYTES.value:
            raise ConfigError(
                f"PE {geometry.name(pe)}: bytes {address:#x}..{address + size:#x} exceed its SRAM of "
                f"{spec.SRAM_BYTES.value:#x} bytes", pe=pe, address=address, size=size,
            )  # fmt: skip
        return self.sram[pe, address : address + size]

    def counters(self) -> dict[str, Any]:
        """All counters, as lists."""
        hits = self.registers.hits
        used = int(np.max(np.nonzero(hits)[0], initial=0)) + 1
        return {
            "router": self.registers.counters.tolist(),
            "hits": hits[:used].tolist(),
            "pes": self.registers.pe_counts.tolist(),
            "quads": self.registers.quad_copies.tolist(),
            "frames": self.registers.activity[:2].tolist(),
            "activations": self.activations.tolist(),
        }
