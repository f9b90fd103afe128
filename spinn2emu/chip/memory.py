"""What the host can address on the chip, every PE's SRAM and the router's registers, and what waits in the network.

Anonymous shared mappings, made before the processes are forked: the system frees them when the last of them ends.
"""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError, DeadlineExceeded
from spinn2emu.frames import MAX_ROUTERS
from spinn2emu.memory_map import DATA_BASE
from spinn2emu.pe.guard import GUARD, HOLD, RELEASE, guarded
from spinn2emu.pe.meter import METER
from spinn2emu.registers import SYSTEM, Register
from spinn2emu.router.state import MAX_IDS, QUEUES, REGISTERS
from spinn2emu.router.tap import TAP
from spinn2emu.trace.capture import CaptureMemory

HOLD_DEADLINE_S = 1.0
"""How long the host waits for a PE to leave its kernel."""
NOTE_BYTES = 512


GUARD_BYTES = 1 << 20
"""On both sides of a PE's SRAM nothing lies for at least so many bytes, as its process sees it."""
_TICK = DATA_BASE + SYSTEM.fields["sys"][1] + 8 * Register.TICK  # type: ignore[index]
_PAGE = mmap.PAGESIZE
METER_BYTES = -(-METER.itemsize // _PAGE) * _PAGE
_PROT_NONE, _MAP_FIXED, _MAP_NORESERVE = 0, 0x10, 0x4000
_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)


class ChipMemory:
    """`sram`: uint8 (153, 131072), row = PE id. `guards` (153,) of `guard.GUARD`. `registers` (MAX_ROUTERS,) of
    `router.state.REGISTERS`, by router process. `notes`: uint8 (153, NOTE_BYTES), what PEs that failed have to say
    beyond their code, UTF-8. `meters` (153,) of `meter.METER`. `queues`: a record `router.state.QUEUES`, what waits for
    each PE. `tap`: a record `router.tap.TAP`, what a host listens to. `captures`: what routers record.
    """

    def __init__(self) -> None:
        size = spec.SRAM_BYTES.value
        self._sram = mmap.mmap(-1, 2 * GUARD_BYTES + MAX_IDS * size)
        self._control = mmap.mmap(-1, MAX_IDS * _PAGE)  # a page for each PE: its guard and its note
        self._queues = mmap.mmap(-1, QUEUES.itemsize)  # memory is committed only where packets really lie
        self._registers = mmap.mmap(-1, MAX_ROUTERS * REGISTERS.itemsize)
        self.sram = np.frombuffer(self._sram, np.uint8, MAX_IDS * size, GUARD_BYTES).reshape(MAX_IDS, size)
        self.guards = np.ndarray(MAX_IDS, GUARD, self._control, 0, (_PAGE,))
        self.notes = np.ndarray((MAX_IDS, NOTE_BYTES), np.uint8, self._control, GUARD.itemsize, (_PAGE, 1))
        self._meters = mmap.mmap(-1, MAX_IDS * METER_BYTES)
        self.meters = np.ndarray(MAX_IDS, METER, self._meters, 0, (METER_BYTES,))
        self.metered = False  # whether any is on
        self.queues = np.frombuffer(self._queues, QUEUES, 1).reshape(())
        self.registers = np.frombuffer(self._registers, REGISTERS)
        self._tap = mmap.mmap(-1, TAP.itemsize)
        self.tap = np.frombuffer(self._tap, TAP, 1).reshape(())
        self.captures = CaptureMemory()

    def clear(self) -> None:
        """All bytes 0, as after a reset."""
        for mapping in (self._sram, self._control, self._meters, self._queues, self._registers, self._tap):
            mapping.madvise(mmap.MADV_REMOVE)

    def clear_sram(self, pe: int) -> None:
        """All bytes of a PE's SRAM 0; the system provides its pages when they are touched."""
        size = spec.SRAM_BYTES.value
        self._sram.madvise(mmap.MADV_REMOVE, GUARD_BYTES + pe * size, size)

    def guard(self, pe: int) -> np.ndarray:
        """The guard of a PE, a record."""
        return self.guards[pe : pe + 1].reshape(())

    def meter(self, pe: int) -> np.ndarray:
        """The meter of a PE, a record."""
        return self.meters[pe : pe + 1].reshape(())

    def of_router(self, number: int) -> np.ndarray:
        """The registers of a router process, a record."""
        return self.registers[number : number + 1].reshape(())

    def keep_only(self, pe: int) -> None:
        """In the process of a PE: nothing of all this remains but its own SRAM, guard, note and meter. Where the
        others' were, an access is a fault. Raises OSError.
        """
        size, own = spec.SRAM_BYTES.value, GUARD_BYTES + pe * spec.SRAM_BYTES.value
        _close(self._sram, 0, own)
        _close(self._sram, own + size, len(self._sram))
        _close(self._control, 0, pe * _PAGE)
        _close(self._control, (pe + 1) * _PAGE, len(self._control))
        _close(self._meters, 0, pe * METER_BYTES)
        _close(self._meters, (pe + 1) * METER_BYTES, len(self._meters))
        for mapping in (self._queues, self._registers, self._tap, self.captures.mapping):
            _close(mapping, 0, len(mapping))

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

    @contextmanager
    def held(self, pes: Iterable[int]) -> Iterator[None]:
        """Keeps the PEs between two activations: what is read or written meanwhile is never torn.

        Raises DeadlineExceeded, naming the PE, if one does not return from its kernel.
        """
        guards = {pe: self.guard(pe) for pe in pes}
        deadline = time.monotonic() + HOLD_DEADLINE_S
        try:
            for pe, guard in guards.items():
                while guarded(guard, HOLD):
                    if time.monotonic() > deadline:
                        raise DeadlineExceeded(
                            f"PE {geometry.name(pe)} has not left its kernel for {HOLD_DEADLINE_S} s, what is read or "
                            "written now may be half done: ask again, or accept that (`--torn`)",
                            pe=pe, name=geometry.name(pe), deadline=HOLD_DEADLINE_S,
                        )  # fmt: skip
                    time.sleep(1e-5)
            yield
        finally:
            for guard in guards.values():
                guarded(guard, RELEASE)

    def activity(self) -> int:
        """A number that grows as long as anything happens on the network."""
        return int(
            sum(values.sum() for values in (self.activations, self.registers["frames"], self.registers["grants"]))
        )

    @property
    def ticks(self) -> NDArray[np.int64]:
        """The tick that each PE runs, or runs next, (153,)."""
        ticks: NDArray[np.int64] = self.sram[:, _TICK : _TICK + 8].view(np.int64)[:, 0]
        return ticks

    @property
    def activations(self) -> NDArray[np.int64]:
        """How often each PE has been woken, (153,)."""
        activations: NDArray[np.int64] = self.guards["activations"]
        return activations

    def total(self, field: str) -> NDArray[np.int64]:
        """A field of the registers, summed over the router processes."""
        total: NDArray[np.int64] = self.registers[field].sum(axis=0)
        return total


def _close(mapping: mmap.mmap, begin: int, end: int) -> None:
    """Takes a part of a mapping out of this process; its addresses stay taken, and every access there is a fault."""
    if begin < end:
        address = np.frombuffer(mapping, np.uint8).ctypes.data + begin
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED | _MAP_NORESERVE
        if _mmap(address, end - begin, _PROT_NONE, flags, -1, 0) != address:
            raise OSError(ctypes.get_errno(), "a PE's process cannot give up what is not its own")
