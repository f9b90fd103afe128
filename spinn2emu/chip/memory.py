"""What the host can address on the chip: every PE's SRAM and the router's registers.

One anonymous shared mapping, made before the processes are forked: the system frees it when the last of them ends.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.router.state import MAX_IDS, MAX_ROUTERS, Counter, PeCounter, Registers


class ChipMemory:
    """`sram`: uint8 (153, 131072), row = PE id. `registers`: by router process. `activations`: int64 (153,)."""

    def __init__(self) -> None:
        sizes = (len(Counter), spec.ROUTER_ENTRIES.value, MAX_IDS * len(PeCounter), 8)
        sram_bytes = MAX_IDS * spec.SRAM_BYTES.value
        self._mapping = mmap.mmap(-1, sram_bytes + 8 * (MAX_IDS + MAX_ROUTERS * sum(sizes)))
        memory = np.frombuffer(self._mapping, np.uint8)
        self.sram = memory[:sram_bytes].reshape(MAX_IDS, spec.SRAM_BYTES.value)
        words = memory[sram_bytes:].view(np.int64)
        self.activations = words[:MAX_IDS]
        self.registers = [
            _registers(np.split(block, np.cumsum(sizes)[:-1])) for block in words[MAX_IDS:].reshape(MAX_ROUTERS, -1)
        ]

    def clear(self) -> None:
        """All bytes 0, as after a reset."""
        self._mapping.madvise(mmap.MADV_REMOVE)

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

    def activity(self) -> int:
        """A number that grows as long as anything happens on the network."""
        return int(self.activations.sum() + sum(registers.activity.sum() for registers in self.registers))

    def total(self) -> Registers:
        """The registers, summed over the router processes."""
        return Registers(*map(sum, zip(*self.registers, strict=True)))


def _registers(blocks: list[NDArray[np.int64]]) -> Registers:
    counters, hits, pe_counts, activity = blocks
    return Registers(counters, hits, pe_counts.reshape(MAX_IDS, len(PeCounter)), activity)
