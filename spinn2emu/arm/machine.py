"""A Cortex-M4F that executes an image, by unicorn (extra `arm`): the same SRAM, packets, and counts of instructions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import accelerators, spec
from spinn2emu.arm.link import Image
from spinn2emu.arm.memory import (
    BLOCKS,
    CLOCK,
    COUNT,
    EXP_OPERAND,
    EXP_RESULT,
    LOG_OPERAND,
    LOG_RESULT,
    PACKETS,
    PAYLOAD,
    PERIPHERAL_BYTES,
    PERIPHERALS,
    SEND,
    SEND_BYTES,
)
from spinn2emu.errors import ConfigError, ProgramError
from spinn2emu.jit import native
from spinn2emu.memory_map import DATA_BASE, DATA_END, MemoryMap
from spinn2emu.packets import PACKET, PAYLOAD_BYTES

_HALFWORDS = spec.ITCM_BYTES.value // 2
_RETURN = 0x3C  # where a call returns to: the last word of the vector table
_STACK_END = spec.SRAM_BYTES.value
_PAGE = 4096

COUNTS = np.dtype([
    ("end", "<i8"),  # of the block before; -1: none
    ("edges", "<i4", (_HALFWORDS + 1,)),  # +1 where a block begins, -1 behind it: their sums are the executions
    ("taken", "<i4", (_HALFWORDS + 1,)),  # by the end of a block: how often another than the next one followed
])  # fmt: skip


@native(int, int, int, COUNTS, returns=False)
def count_block(engine, address, size, counts):  # type: ignore[no-untyped-def]
    """unicorn's hook: a block of `size` bytes at `address` begins."""
    end = address + (size & 0xFFFFFFFF)
    counts.edges[address >> 1] += 1
    counts.edges[end >> 1] -= 1
    if counts.end >= 0 and counts.end != address:
        counts.taken[counts.end >> 1] += 1
    counts.end = end


class Sent(NamedTuple):
    """A packet as the code gives it to the communication unit. `code`: of the payload's size (PAYLOAD_BYTES)."""

    port: int
    code: int
    key: int
    payload: tuple[int, ...]


class Counted(NamedTuple):
    """What the program counts, in code that runs on a chip of the emulator."""

    which: int
    amount: int


class Level(NamedTuple):
    """The level of the clock that the program asks for."""

    level: int


class Profile(NamedTuple):
    """How often each halfword of the instruction memory was executed as (part of) an instruction, how often a branch
    that ends before a halfword was taken, accesses of peripherals, and operations of the exp/log unit."""

    executed: NDArray[np.int64]
    taken: NDArray[np.int64]
    accesses: int
    operations: int


def engine() -> Any:
    """The module unicorn. Raises ConfigError without it."""
    try:
        import unicorn
    except ImportError as error:
        raise ConfigError("executing Cortex-M4 code needs unicorn: pip install 'spinn2emu[arm]'") from error
    return unicorn


class Machine:
    """One PE's core. `data`: the data space as the core sees and changes it, bytes from DATA_BASE to the stack, the
    memory of a PE's SRAM or a copy of it.

    The stack and the instruction memory are the machine's own, so that the SRAM is the same as after the host's code.
    """

    def __init__(self, image: Image, memory: MemoryMap, data: NDArray[np.uint8], packets: int = 8192) -> None:
        self.image, self.data = image, data
        unicorn = engine()
        from unicorn import arm_const

        self._error = unicorn.UcError
        self._arm = arm_const
        self.packets = np.zeros(-(-packets * PACKET.itemsize // _PAGE) * _PAGE, np.uint8)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        self.uc.mem_map(0, DATA_BASE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.uc.mem_write(0, image.filled(memory))
        read_write = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        used = min(-(-memory.used // _PAGE) * _PAGE, DATA_END - DATA_BASE)
        self.uc.mem_map_ptr(DATA_BASE, used, read_write, data.ctypes.data)
        self.uc.mem_map(DATA_END, _STACK_END - DATA_END, read_write)
        self.uc.mem_map_ptr(PACKETS, len(self.packets), unicorn.UC_PROT_READ, self.packets.ctypes.data)
        self.uc.mmio_map(PERIPHERALS, BLOCKS * PERIPHERAL_BYTES, self._read, None, self._write, None)
        self._registers: dict[int, int] = {}
        self.done: list[Sent | Counted | Level] = []
        self.accesses = self.operations = 0
        self.counts: NDArray[Any] | None = None

    def run(self, entry: str, packets: NDArray[Any]) -> int:
        """One call of a function of the program with these packets (records PACKET). Returns its code; `done` holds
        what it has sent, counted and asked for. Raises ProgramError if the code leaves its memory.
        """
        self.done = []
        data = packets.tobytes()
        if len(data) > len(self.packets):
            raise ConfigError(f"{len(packets)} packets at once; the machine was made for fewer")
        self.packets[: len(data)] = np.frombuffer(data, np.uint8)
        address, arm, uc = self.image.entry(entry), self._arm, self.uc
        uc.reg_write(arm.UC_ARM_REG_SP, _STACK_END)
        uc.reg_write(arm.UC_ARM_REG_LR, _RETURN | 1)
        uc.reg_write(arm.UC_ARM_REG_R0, PACKETS)
        uc.reg_write(arm.UC_ARM_REG_R1, len(packets))
        if self.counts is not None:
            self.counts["end"] = -1
        try:
            uc.emu_start(address | 1, _RETURN)
        except self._error as error:
            place = uc.reg_read(arm.UC_ARM_REG_PC)
            raise ProgramError(
                f"{self.image.program}: its Cortex-M4 code fails at {place:#x} ({error}): an access outside the PE's "
                "memory, or more stack than 4 kB", program=self.image.program, address=place,
            ) from error  # fmt: skip
        low, high = uc.reg_read(arm.UC_ARM_REG_R0), uc.reg_read(arm.UC_ARM_REG_R1)
        code: int = struct.unpack("<q", struct.pack("<II", low, high))[0]
        return code

    @property
    def sent(self) -> list[Sent]:
        """The packets that the last call has sent."""
        return [packet for packet in self.done if isinstance(packet, Sent)]

    def count(self) -> None:
        """From now on the machine counts what it executes; `profile` has it."""
        import ctypes

        from unicorn.unicorn_py3.unicorn import uclib

        if not count_block.loaded:
            from spinn2emu.jit import prepare

            prepare([count_block])
        self.counts = np.zeros(1, COUNTS)
        handle = ctypes.c_size_t()
        hook, block = ctypes.c_void_p(count_block.address), 1 << 3  # UC_HOOK_BLOCK
        record = ctypes.c_void_p(self.counts.ctypes.data)
        every = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        status = uclib.uc_hook_add(self.uc._uch, ctypes.byref(handle), block, hook, record, *every)
        if status:
            raise RuntimeError(f"unicorn refuses the hook: {status}")

    def profile(self) -> Profile:
        """What was executed since the last call of this, or since `count`."""
        assert self.counts is not None
        counts = self.counts[0]
        executed = np.cumsum(counts["edges"], dtype=np.int64)
        taken = counts["taken"].astype(np.int64)
        profile = Profile(executed, taken, self.accesses, self.operations)
        counts["edges"], counts["taken"], self.accesses, self.operations = 0, 0, 0, 0
        return profile

    def _read(self, uc: Any, offset: int, size: int, user_data: Any) -> int:
        self.accesses += 1
        return self._registers.get(PERIPHERALS + offset, 0)

    def _write(self, uc: Any, offset: int, size: int, value: int, user_data: Any) -> None:
        self.accesses += 1
        register = PERIPHERALS + offset
        self._registers[register] = value
        if SEND <= register < SEND + SEND_BYTES:
            port, code = divmod(register - SEND, 16)
            words = PAYLOAD_BYTES[code // 4] // 4
            payload = tuple(self._registers[PAYLOAD + 4 * word] for word in range(words))
            self.done.append(Sent(port, code // 4, value, payload))
        elif register == CLOCK:
            self.done.append(Level(value))
        elif CLOCK < register < CLOCK + PERIPHERAL_BYTES:  # `sdk.count` says which of these counts there are not
            self.done.append(Counted((register - COUNT) // 4, value))
        elif register == EXP_OPERAND:
            self.operations += 1
            self._registers[EXP_RESULT] = _unit(accelerators.exp, value)
        elif register == LOG_OPERAND:
            self.operations += 1
            self._registers[LOG_RESULT] = _unit(accelerators.log, value)


def _unit(function: Callable[[Any], Any], operand: int) -> int:
    """The exp/log unit: bits of a float32 in and out."""
    x = np.uint32(operand).view(np.float32)
    with np.errstate(all="ignore"):
        return int(np.float32(function.py_func(x)).view(np.uint32))  # type: ignore[attr-defined]
