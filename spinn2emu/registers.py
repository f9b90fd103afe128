"""The system regions of a PE: registers, keys, phases, log and FIFO, at the start of every program's data space.

They lie in SRAM, so that the host can read them like everything else, and hold nothing that depends on how the
processes were scheduled.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from spinn2emu import spec
from spinn2emu.frames import FOREVER
from spinn2emu.memory_map import MemoryMap, Symbol
from spinn2emu.program import Region


class Status(enum.IntEnum):
    """Word 0 of the registers."""

    LOADED = 0
    WAITING = 1
    RUNNING = 2
    RUNTIME_ERROR = 3


class Register(enum.IntEnum):
    """Index into the region `sys`."""

    STATUS = 0
    TICK = 1  # the tick that runs, or runs next
    PHASE = 2
    PHASE_START = 3
    PHASE_END = 4  # last tick of the phase
    NEXT_PHASE = 5  # set by sdk.set_phase, or NO_PHASE
    ERROR = 6  # what the kernel returned, if not 0
    LOG_COUNT = 7  # entries ever written; the ring holds the last ones
    PACKETS_IN = 8
    PACKETS_OUT = 9
    PE = 10  # id
    INDEX = 11  # of the PE in its population
    SIZE = 12  # of the population
    FAULT = 13  # a SystemError, or 0


class PhaseWord(enum.IntEnum):
    """Column of the region `phases`; from QUIET on one column per output port."""

    TICKS = 0
    LIVE = 1  # bit mask of input ports
    SENDS = 2  # bit mask of output ports
    NEXT = 3
    QUIET = 4  # + port: ticks after this phase's end in which the port is certainly silent


class SystemError(enum.IntEnum):
    """What the runtime finds wrong; it has a register of its own, so a program may return any code."""

    TX_FULL = -1
    KEY_RANGE = -2
    PROMISE = -3
    PHASE = -4
    EXCEPTION = -5
    COUNT = -6
    LEVEL = -7


SYSTEM_ERRORS: dict[int, str] = {
    SystemError.TX_FULL: "more packets in one tick than the transmit queue holds; send fewer, or in several ticks",
    SystemError.KEY_RANGE: "sent a key outside the key space of its output port; widen the port's mask",
    SystemError.PROMISE: "sent on a port that the phases declare silent in this tick; add it to the phase's `sends`",
    SystemError.PHASE: "set a phase that is not declared, or, before its phase's end, one that listens to other ports",
    SystemError.EXCEPTION: "an index exceeds its region (`--strict` checks all), or arrays of different shapes meet",
    SystemError.COUNT: "counted what the program does not declare in its `counts`, or an amount beyond 0 to 2^31 - 1",
    SystemError.LEVEL: "set a level that there is not: 0 is 0.5V, 1 is 0.8V",
}

SYSTEM_NAMES = {int(error): error.name for error in SystemError}

NO_PHASE = -1
"""In NEXT_PHASE: none was set; in PHASE: the PE has not begun; as `ticks`: such a phase is not declared."""

LOG_VALUES = 4
"""Of a log entry, at most."""
LOG = np.dtype([("tick", "<u4"), ("count", "<u4"), ("code", "<i8"), ("values", "<f8", (LOG_VALUES,))])
"""An entry of the region `log`; `count`: of its values that were given."""
REGISTERS = 16
_PORTS, _PHASES = spec.MAX_PORTS.value, spec.MAX_PHASES.value

_REGIONS = [
    Region("sys", np.int64, (REGISTERS,), "register"),
    Region("keys", np.uint32, (_PORTS,), "first key of each output port"),
    Region("spaces", np.uint32, (_PORTS,), "key bits that may vary on each output port"),
    Region("index_bits", np.uint32, (_PORTS,), "key bits that are a packet's index on each input port"),
    Region("phases", np.int64, (_PHASES, PhaseWord.QUIET + _PORTS), "see PhaseWord"),
    Region("random", np.uint64, (4,), "KISS64: x, c, y, z"),
]


def system_regions(log_entries: int = spec.LOG_ENTRIES.value, fifo_bytes: int = 0) -> list[Region]:
    """The regions that every program has, in this order, at the start of the data space; the last two are as long as
    it wants."""
    log = Region("log", LOG, (log_entries,), "tick, number of values, code, values; a ring")
    return [*_REGIONS, log, Region("fifo", np.uint8, (fifo_bytes,), "byte")]


def align(address: int) -> int:
    """The next multiple of the DMA alignment, as the linker places regions."""
    unit = spec.DMA_ALIGNMENT.value
    return -(-address // unit) * unit


def _system() -> np.dtype[Any]:
    registers = [(register.name.lower(), "<i8") for register in Register]
    rest = [("reserved", "<i8", (REGISTERS - len(registers),))]
    formats = [np.dtype([*registers, *rest]), *((np.dtype(r.dtype), r.shape) for r in _REGIONS[1:])]
    offsets = [sum(align(region.nbytes) for region in _REGIONS[:i]) for i in range(len(_REGIONS))]
    return np.dtype({"names": [region.name for region in _REGIONS], "formats": formats, "offsets": offsets})


SYSTEM = _system()
"""The system regions before the log as one record, as compiled code sees them: `sys` has the registers by name."""


def own_symbols(memory: MemoryMap) -> list[Symbol]:
    """The regions that a program has declared, without the system's."""
    return list(memory.symbols[len(system_regions()) :])


def wake_up(sys: np.ndarray, tick: int) -> bool:
    """The PE goes on in `tick`: if it has slept since an earlier one, its phase is as much longer. Whether it has."""
    slept = tick - sys[Register.TICK]
    if slept > 0 and sys[Register.PHASE] != NO_PHASE:
        sys[Register.PHASE_START] += slept
        if sys[Register.PHASE_END] < FOREVER:
            sys[Register.PHASE_END] += slept
    sys[Register.TICK] = tick
    return bool(slept > 0)


def kiss_seed(number: int) -> list[int]:
    """State of the KISS64 generator (x, c, y, z) for a seed of 64 bits, by default a PE's id.

    Words of SplitMix64 (Steele, Lea, Flood 2014); c below 2^58 as the multiply-with-carry part needs, y not 0.
    """
    words, bits = [], (1 << 64) - 1
    for i in range(1, 5):
        z = number + i * 0x9E3779B97F4A7C15 & bits
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & bits
        z = (z ^ z >> 27) * 0x94D049BB133111EB & bits
        words.append(z ^ z >> 31)
    x, c, y, z = words
    return [x, c >> 6, y or 1, z]
