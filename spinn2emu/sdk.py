"""What a program's compiled code may call: send packets, draw random numbers, change phase, write the log.

All functions take `pe`, the handle that `tick` receives. Ports, phases and log codes are the indices of their
declarations in the program.
"""

from __future__ import annotations

import enum
from collections import namedtuple

import numpy as np

from spinn2emu import spec
from spinn2emu.jit import inlined
from spinn2emu.packets import NO_PORT, PORT_BITS, PacketType, control_byte
from spinn2emu.registers import Register, SystemError

kernel = inlined
"""Decorator for a program's compiled functions other than `tick`.

They allocate nothing, return no arrays and see no Python object.
"""


class Context(enum.IntEnum):
    """Words of the table that the runtime shares with a program's entry: process-private, not SRAM."""

    RX_ADDRESS = 0
    RX_COUNT = 1
    RX_NEXT = 2
    TX_ADDRESS = 3
    TX_CAPACITY = 4
    TX_COUNT = 5
    SEQUENCE = 6  # packets sent in this tick
    GRANT_END = 7  # last tick for which the live ports are complete
    GRANT_LIVE = 8  # the ports for which that holds
    LIMIT = 9  # the chip's time ends before this tick
    UNTIL = 10  # last tick of this call
    PE = 11
    LAST_PHASE = 12  # that began, and in which tick
    LAST_BEGIN = 13
    HORIZON = 16  # + port: earliest tick at which the port may send again, as promised
    REGIONS = 32  # then four words for each region: address and up to three sizes


REGION_WORDS = 4
CONTEXT_WORDS = 512

Pe = namedtuple("Pe", ["sys", "keys", "spaces", "phases", "log", "random", "tx", "context"])

_SEQUENCE, _TX_COUNT, _HORIZON, _PE = (
    int(Context.SEQUENCE), int(Context.TX_COUNT), int(Context.HORIZON), int(Context.PE),
)  # fmt: skip
_TICK, _PHASE, _NEXT, _ERROR, _LOG_COUNT, _OUT, _START = (
    int(Register.TICK), int(Register.PHASE), int(Register.NEXT_PHASE), int(Register.ERROR), int(Register.LOG_COUNT),
    int(Register.PACKETS_OUT), int(Register.PHASE_START),
)  # fmt: skip
_FULL, _KEY_RANGE, _PROMISE = int(SystemError.TX_FULL), int(SystemError.KEY_RANGE), int(SystemError.PROMISE)
_MC0, _MC4, _MC16 = (control_byte(PacketType.MULTICAST, size) for size in (0, 4, 16))
_NO_PORT, _PORT_BITS = NO_PORT, PORT_BITS
# A PE injects at most one packet per cycle of the mesh's clock (own choice): 10/3 ns apart at 300 MHz.
_NOC_HZ, _SECOND_NS = spec.NOC_CLOCK_HZ.value, 1_000_000_000


@inlined
def _new_packet(pe, port, index, control):  # type: ignore[no-untyped-def]
    n = pe.context[_TX_COUNT]
    if n >= pe.tx.shape[0]:
        pe.sys[_ERROR] = _FULL
        n = 0
    key = np.uint32(index)
    if np.int64(index) != np.int64(key) or key & ~pe.spaces[port]:
        pe.sys[_ERROR] = _KEY_RANGE
    if pe.sys[_TICK] < pe.context[_HORIZON + port]:
        pe.sys[_ERROR] = _PROMISE
    packet = pe.tx[n]
    packet.control = control
    packet.port = _NO_PORT
    packet.source = pe.context[_PE]
    packet.origin = pe.sys[_PHASE] << _PORT_BITS | port
    packet.key = pe.keys[port] | key
    packet.tick = pe.sys[_TICK]
    packet.time = pe.context[_SEQUENCE] * _SECOND_NS // _NOC_HZ
    pe.context[_TX_COUNT] = n + 1
    pe.context[_SEQUENCE] += 1
    pe.sys[_OUT] += 1
    return packet


@inlined
def send(pe, port, index):  # type: ignore[no-untyped-def]
    """Sends a multicast packet without payload, with key `index` within the port's key space."""
    packet = _new_packet(pe, port, index, _MC0)
    packet.payload[0] = packet.payload[1] = packet.payload[2] = packet.payload[3] = 0


@inlined
def send_word(pe, port, index, word):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with a 32-bit word as its 4-byte payload."""
    packet = _new_packet(pe, port, index, _MC4)
    packet.payload[0] = word
    packet.payload[1] = packet.payload[2] = packet.payload[3] = 0


@inlined
def send_float(pe, port, index, value):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with a float32 as its 4-byte payload."""
    packet = _new_packet(pe, port, index, _MC4)
    packet.payload[0] = np.float32(value).view(np.uint32)
    packet.payload[1] = packet.payload[2] = packet.payload[3] = 0


@inlined
def send_words(pe, port, index, word0, word1, word2, word3):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with 16 bytes of payload, four 32-bit words."""
    packet = _new_packet(pe, port, index, _MC16)
    packet.payload[0] = word0
    packet.payload[1] = word1
    packet.payload[2] = word2
    packet.payload[3] = word3


@inlined
def send_array(pe, port, index, values):  # type: ignore[no-untyped-def]
    """Sends a flat float32 array in 16-byte packets with keys `index`, `index` + 1, …; the last is padded with 0."""
    words = values.view(np.uint32)
    whole = words.shape[0] // 4
    for i in range(whole):
        send_words(pe, port, index + i, words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3])
    rest = words.shape[0] - 4 * whole
    if rest:
        word1 = words[4 * whole + 1] if rest > 1 else np.uint32(0)
        word2 = words[4 * whole + 2] if rest > 2 else np.uint32(0)
        send_words(pe, port, index + whole, words[4 * whole], word1, word2, np.uint32(0))


@inlined
def float_word(packet, word):  # type: ignore[no-untyped-def]
    """Payload word 0..3 of a packet as float32."""
    return np.uint32(packet.payload[word]).view(np.float32)


@inlined
def phase_tick(pe, t):  # type: ignore[no-untyped-def]
    """Ticks since the current phase began: 0 in its first tick."""
    return t - pe.sys[_START]


@inlined
def set_phase(pe, phase):  # type: ignore[no-untyped-def]
    """The phase numbered `phase` begins in the next tick. A phase that is left
    before its end must be followed by one that listens to the same ports."""
    pe.sys[_NEXT] = phase


@inlined
def log(pe, code, value):  # type: ignore[no-untyped-def]
    """Writes an entry (tick, code, value) to the log ring."""
    entry = pe.log[pe.sys[_LOG_COUNT] % pe.log.shape[0]]
    entry.tick = pe.sys[_TICK]
    entry.code = code
    entry.value = value
    pe.sys[_LOG_COUNT] += 1


@inlined
def random_word(pe):  # type: ignore[no-untyped-def]
    """The next 64 bits (uint64) of the PE's generator, KISS64 (Marsaglia 2009): multiply-with-carry + xorshift +
    congruential, each modulo 2^64. Its state is the system region `random`, seeded with the PE's id at load.
    """
    state = pe.random
    t = (state[0] << np.uint64(58)) + state[1]
    state[1] = state[0] >> np.uint64(6)
    state[0] += t
    state[1] += np.uint64(state[0] < t)
    state[2] ^= state[2] << np.uint64(13)
    state[2] ^= state[2] >> np.uint64(17)
    state[2] ^= state[2] << np.uint64(43)
    state[3] = np.uint64(6906969069) * state[3] + np.uint64(1234567)
    return state[0] + state[2] + state[3]


@inlined
def random_uniform(pe):  # type: ignore[no-untyped-def]
    """A float32 in [0, 1): the upper 24 bits of `random_word`, times 2^-24."""
    return np.float32(random_word(pe) >> np.uint64(40)) * np.float32(2.0**-24)
