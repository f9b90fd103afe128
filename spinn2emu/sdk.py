"""What a program's compiled code may call: send packets, take them apart, draw random numbers, change phase, write the
log, count what its cycles depend on.

All functions take `pe`, the handle that `tick` receives. Ports, phases and log codes are the indices of their
declarations in the program.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from spinn2emu import spec
from spinn2emu.jit import inlined
from spinn2emu.levels import LEVELS
from spinn2emu.packets import NO_PORT, PORT_BITS, PacketType, control_byte
from spinn2emu.program import FIFOS
from spinn2emu.registers import LOG_VALUES, SystemError

kernel = inlined
"""Decorator for a program's compiled functions other than `tick` and `drain`.

They allocate nothing, return no arrays and see no Python object.
"""

TX_PACKETS = 8192
"""Packets that a PE can send in a tick. If more than half as many wait to be reported, a PART frame takes them."""
TX_BUFFER = TX_PACKETS // 2 + 3 + TX_PACKETS
"""Places of the transmit buffer: for what is left of earlier ticks, notes of a phase and of ticks that took long, and
the packets of a tick."""
MAX_REGIONS = 100
"""Of a program, without the system's (own choice)."""
REGION_WORDS = 4

CONTEXT = np.dtype([
    ("pe", "<i8"),  # id
    ("rx_frame", "<i8"),  # addresses of the receive and the transmit frame, and of the packets in them
    ("rx_packets", "<i8"),
    ("tx_frame", "<i8"),
    ("tx_packets", "<i8"),
    ("rx_count", "<i8"),
    ("rx_next", "<i8"),  # the first of them that is not due yet
    ("due_packets", "<i8"),  # those for the tick that runs: their address, and how many
    ("due_count", "<i8"),
    ("drain_ports", "<i8", (FIFOS,)),  # of each FIFO that `drain` empties: its ports, a bit each, and its fill level
    ("drain_level", "<i8", (FIFOS,)),
    ("spare_packets", "<i8"),  # address of room for as many packets as the receive frame's
    ("tx_count", "<i8"),
    ("sequence", "<i8"),  # packets sent in this tick
    ("slot", "<i8"),  # cycle of the mesh, within the tick, in which the last of them was sent; -1: none
    ("cycles", "<f8"),  # of the PE's clock since the tick began, that its code has taken until now by its formula
    ("slots_per_cycle", "<f8"),  # cycles of the mesh in a cycle of the PE
    ("sent_cycles", "<f8"),  # of the formula: cycles of a packet that is sent,
    ("count_cycles", "<f8", (spec.MAX_COUNTS.value,)),  # and of one of each count
    ("counts", "<i8", (spec.MAX_COUNTS.value,)),  # what the program has counted in this tick
    ("declared", "<i8"),  # counts that the program declares
    ("drained", "<i8"),  # 1: the handler of FIFOs was called before this tick, and is to be charged
    ("next_level", "<i8"),  # of the clock, from the next tick on; -1: as it is
    ("grant_end", "<i8"),  # last tick for which the live ports are complete
    ("grant_live", "<i8"),  # the ports for which that holds
    ("limit", "<i8"),  # the chip's time ends before this tick
    ("until", "<i8"),  # last tick of this call
    ("last_phase", "<i8"),  # that began, and in which tick
    ("last_begin", "<i8"),
    ("sram", "<i8"),  # address of the system regions
    ("log", "<i8"),  # address of the log, and how many entries it has
    ("log_entries", "<i8"),
    ("horizon", "<i8", (spec.MAX_PORTS.value,)),  # earliest tick at which a port may send again, as promised
    ("regions", "<i8", (MAX_REGIONS, REGION_WORDS)),  # of each own region: address and up to three sizes
])  # fmt: skip
"""What the runtime shares with a program's entry: process-private, not SRAM."""

Pe = namedtuple("Pe", ["sram", "log", "tx", "context"])
"""The handle: the system regions (`registers.SYSTEM`), `registers.LOG`, the transmit buffer (PACKET), CONTEXT."""

_FULL, _KEY_RANGE, _PROMISE = int(SystemError.TX_FULL), int(SystemError.KEY_RANGE), int(SystemError.PROMISE)
_MC0, _MC4, _MC16 = (control_byte(PacketType.MULTICAST, size) for size in (0, 4, 16))
_NO_PORT, _PORT_BITS, _LOG_VALUES, _MOST = NO_PORT, PORT_BITS, LOG_VALUES, TX_PACKETS
# A PE injects at most one packet per cycle of the mesh's clock (own choice): 10/3 ns apart at 300 MHz.
_NOC_HZ, _SECOND_NS = spec.NOC_CLOCK_HZ.value, 1_000_000_000
_LATEST_NS = 4_000_000_000  # fits 32 bits, as does what it takes to arrive; only code that never ends comes so far
_BAD_COUNT, _BAD_LEVEL = int(SystemError.COUNT), int(SystemError.LEVEL)
_MOST_COUNTED, _LEVELS = 2**31 - 1, len(LEVELS)


@inlined
def _new_packet(pe, port, index, control):  # type: ignore[no-untyped-def]
    """All of a packet but its payload; int64 arguments, so that one compilation serves all."""
    sram, sys, context = pe.sram, pe.sram.sys, pe.context
    n = context.tx_count
    if context.sequence >= _MOST:
        sys.fault = _FULL
        n = 0
    key = np.uint32(index)
    if index != np.int64(key) or key & ~sram.spaces[port]:
        sys.fault = _KEY_RANGE
    if sys.tick < context.horizon[port]:
        sys.fault = _PROMISE
    packet = pe.tx[n]
    packet.control = control
    packet.port = _NO_PORT
    packet.source = context.pe
    packet.origin = sys.phase << _PORT_BITS | port
    packet.key = sram.keys[port] | key
    packet.tick = sys.tick
    context.cycles += context.sent_cycles
    context.slot = max(context.slot + 1, np.int64(context.cycles * context.slots_per_cycle))
    packet.time = min(context.slot * _SECOND_NS // _NOC_HZ, _LATEST_NS)
    context.tx_count = n + 1
    context.sequence += 1
    sys.packets_out += 1
    return packet


@inlined
def _send(pe, port, index, control, word0, word1, word2, word3):  # type: ignore[no-untyped-def]
    payload = _new_packet(pe, port, index, control).payload
    payload[0] = word0
    payload[1] = word1
    payload[2] = word2
    payload[3] = word3


@inlined
def send(pe, port, index):  # type: ignore[no-untyped-def]
    """Sends a multicast packet without payload, with key `index` within the port's key space."""
    zero = np.uint32(0)
    _send(pe, np.int64(port), np.int64(index), _MC0, zero, zero, zero, zero)


@inlined
def send_word(pe, port, index, word):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with a 32-bit word as its 4-byte payload."""
    zero = np.uint32(0)
    _send(pe, np.int64(port), np.int64(index), _MC4, np.uint32(word), zero, zero, zero)


@inlined
def send_float(pe, port, index, value):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with a float32 as its 4-byte payload."""
    zero = np.uint32(0)
    _send(pe, np.int64(port), np.int64(index), _MC4, np.float32(value).view(np.uint32), zero, zero, zero)


@inlined
def send_words(pe, port, index, word0, word1, word2, word3):  # type: ignore[no-untyped-def]
    """Sends a multicast packet with 16 bytes of payload, four 32-bit words."""
    words = np.uint32(word0), np.uint32(word1), np.uint32(word2), np.uint32(word3)
    _send(pe, np.int64(port), np.int64(index), _MC16, words[0], words[1], words[2], words[3])


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
def packet_index(pe, packet):  # type: ignore[no-untyped-def]
    """Which of its port's keys a packet has, from 0: the index that was given to `send`, if one PE sends to the port;
    with several, the one with number i in its population adds i times the keys that each has (int64)."""
    return np.int64(packet.key & pe.sram.index_bits[packet.port])


@inlined
def receive_array(packet, place, array):  # type: ignore[no-untyped-def]
    """Copies a packet of `send_array` into the flat float32 `array` that it sends; `place`: the packet's, 0 for the
    first. Returns how many words that were: 4, fewer at the array's end, 0 beyond it."""
    words, first = array.view(np.uint32), 4 * np.int64(place)
    count = min(4, words.shape[0] - first) if first >= 0 else 0
    for word in range(count):
        words[first + word] = packet.payload[word]
    return max(0, count)


@inlined
def float_word(packet, word):  # type: ignore[no-untyped-def]
    """Payload word 0..3 of a packet as float32."""
    return np.uint32(packet.payload[word]).view(np.float32)


@inlined
def pe_id(pe):  # type: ignore[no-untyped-def]
    """The PE's id, 1 to 152."""
    return pe.sram.sys.pe


@inlined
def population_index(pe):  # type: ignore[no-untyped-def]
    """The PE's number in its population, from 0."""
    return pe.sram.sys.index


@inlined
def population_size(pe):  # type: ignore[no-untyped-def]
    """How many PEs its population has."""
    return pe.sram.sys.size


@inlined
def current_phase(pe):  # type: ignore[no-untyped-def]
    """The number of the current phase, as the program declares them."""
    return pe.sram.sys.phase


@inlined
def phase_tick(pe, t):  # type: ignore[no-untyped-def]
    """Ticks since the current phase began: 0 in its first tick."""
    return t - pe.sram.sys.phase_start


@inlined
def set_phase(pe, phase):  # type: ignore[no-untyped-def]
    """The phase numbered `phase` begins in the next tick. A phase that is left
    before its end must be followed by one that listens to the same ports."""
    pe.sram.sys.next_phase = phase


@inlined
def set_level(pe, level):  # type: ignore[no-untyped-def]
    """The PE runs at another level (number in `levels.LEVELS`: 0 is 0.5V, 1 is 0.8V) from the next tick on. That
    changes times, and no result."""
    if 0 <= level < _LEVELS:
        pe.context.next_level = level
    else:
        pe.sram.sys.fault = _BAD_LEVEL


@inlined
def count(pe, which, amount):  # type: ignore[no-untyped-def]
    """Counts `amount` (0 to 2^31 - 1) more of what the program declares as number `which` of its `counts`: the cycles
    of its code depend on it. What is counted before a packet is sent delays it."""
    context = pe.context
    if 0 <= which < context.declared and 0 <= amount <= _MOST_COUNTED:
        context.counts[which] += amount
        context.cycles += context.count_cycles[which] * amount
    else:
        pe.sram.sys.fault = _BAD_COUNT


@inlined
def log(pe, code, *values):  # type: ignore[no-untyped-def]
    """Writes an entry to the log ring: the tick, a code, and up to 4 numbers. They are kept as float64, in which
    integers up to 2^53 are exact."""
    padded = values + (0.0, 0.0, 0.0, 0.0)  # noqa: RUF005 (numba cannot unpack)
    numbers = np.float64(padded[0]), np.float64(padded[1]), np.float64(padded[2]), np.float64(padded[3])
    _log(pe, np.int64(code), min(len(values), _LOG_VALUES), numbers)


@inlined
def _log(pe, code, count, numbers):  # type: ignore[no-untyped-def]
    sys = pe.sram.sys
    entry = pe.log[sys.log_count % pe.log.shape[0]]
    entry.tick = sys.tick
    entry.code = code
    entry.count = count
    for i in range(_LOG_VALUES):
        entry.values[i] = numbers[i]
    sys.log_count += 1


@inlined
def random_word(pe):  # type: ignore[no-untyped-def]
    """The next 64 bits (uint64) of the PE's generator, KISS64 (Marsaglia 2009): multiply-with-carry + xorshift +
    congruential, each modulo 2^64. Its state is the system region `random`, seeded with the PE's id at load.
    """
    state = pe.sram.random
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
