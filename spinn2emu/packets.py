"""SpiNNaker2 packets: the chip's formats, and the record in which the emulator carries them.

A packet on the chip is an 8-bit control byte, a 32-bit key (or address) and 0, 4, 8 or 16 bytes of payload [chip].
The layout of the control byte is the emulator's own choice:

    bits 7:6  type      0 multicast, 1 core-to-core, 2 nearest-neighbour, 3 global read/write
    bits 5:4  payload   0: none, 1: 4 bytes, 2: 8 bytes, 3: 16 bytes
    bits 3:0  reserved, must be 0 (a PE's report uses them for what is no packet: PHASE_BEGINS, OVERRAN)

On the wire: control byte, key little-endian, payload words little-endian. Inside the emulator a packet travels in a
PACKET record of 32 bytes, which adds who sent it, when, and on which port of the receiver it arrives.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spinn2emu.errors import ConfigError


class PacketType(enum.IntEnum):
    """Bits 7:6 of the control byte."""

    MULTICAST = 0
    CORE_TO_CORE = 1
    NEAREST_NEIGHBOUR = 2
    GLOBAL = 3


PAYLOAD_BYTES = (0, 4, 8, 16)
"""Payload sizes by the code in bits 5:4 of the control byte [chip]."""

PACKET = np.dtype(
    [
        ("control", "u1"),  # as above
        ("port", "u1"),  # the receiver's port, set by the router; 255 before that
        ("source", "u1"),  # id of the sending PE
        ("origin", "u1"),  # bits 5:3 phase of the sender, bits 2:0 its output port, by number; nobody acts on it
        ("key", "<u4"),
        ("payload", "<u4", (4,)),  # words beyond the payload's size are 0
        ("tick", "<u4"),  # the tick in which it was sent; it is processed one tick later
        ("time", "<u4"),  # ns within the tick, of the injection, then of the arrival; for the program: how long it took
    ]
)
"""A packet inside the emulator, 32 bytes; frames are arrays of these."""

SENT = np.dtype([
    ("tick", "<u4"),
    ("key", "<u4"),
    ("index", "<u4"),  # of the key among those of the port, as the program gave it to `send`; NO_INDEX: it has no keys
    ("payload", "<u4", (4,)),  # words beyond the payload's size are 0
    ("pe", "u1"),  # id
    ("port", "u1"),  # output port, by number
    ("words", "u1"),  # of the payload: 0, 1, 2 or 4
    ("reserved", "u1"),
])  # fmt: skip
"""A packet as a listener gets it, 32 bytes."""
NO_INDEX = 0xFFFFFFFF

PHASE_BEGINS = 0x01
"""As the control byte: no packet, but a note for the router that the PE begins the phase of `origin` in tick `tick`."""
OVERRAN = 0x02
"""As the control byte: no packet, but a note that the code of phase `origin` in tick `tick` ended `time` ns after that
tick began, beyond the timer's period."""
NO_PORT = 255
PORT_BITS = 3
"""Bits of `origin` that hold the output port; 3 more hold the phase."""


@dataclass(frozen=True)
class Packet:
    """One packet as the chip has it. Every field is checked; out of range raises ConfigError."""

    type: PacketType
    key: int
    payload: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in list(PacketType):
            raise ConfigError(f"packet type {self.type} does not exist: there are 0..{max(PacketType)}")
        if 4 * len(self.payload) not in PAYLOAD_BYTES:
            raise ConfigError(f"a packet carries 0, 1, 2 or 4 payload words, not {len(self.payload)}")
        for word in (self.key, *self.payload):
            if not 0 <= word < 1 << 32:
                raise ConfigError(f"{word:#x} does not fit the 32 bits of a key or payload word")

    @property
    def control(self) -> int:
        """The control byte."""
        return control_byte(self.type, 4 * len(self.payload))

    def encode(self) -> bytes:
        """The packet's bytes on the wire: 5 to 21 of them."""
        return struct.pack(f"<BI{len(self.payload)}I", self.control, self.key, *self.payload)

    @classmethod
    def decode(cls, data: bytes) -> Packet:
        """The packet that `encode` wrote. Raises ConfigError if length or reserved bits are wrong."""
        if len(data) < 5:
            raise ConfigError(f"a packet has at least 5 bytes, not {len(data)}")
        control, key = struct.unpack_from("<BI", data)
        size = PAYLOAD_BYTES[control >> 4 & 3]
        if control & 0x0F:
            raise ConfigError(f"reserved bits of the control byte {control:#04x} are set")
        if len(data) != 5 + size:
            raise ConfigError(f"control byte {control:#04x} announces {5 + size} bytes, there are {len(data)}")
        return cls(PacketType(control >> 6), key, struct.unpack_from(f"<{size // 4}I", data, 5))


def varying_bits(ranges: Sequence[tuple[int, int]]) -> int:
    """The bits of 32 in which keys of these ranges (key, mask) can differ; a key's are its index among them."""
    bits = 0
    for key, mask in ranges:
        bits |= ~mask & 0xFFFFFFFF | key ^ ranges[0][0]
    return bits


def control_byte(kind: PacketType, payload_bytes: int) -> int:
    """Control byte of a packet of that type with 0, 4, 8 or 16 bytes of payload."""
    return kind << 6 | PAYLOAD_BYTES.index(payload_bytes) << 4
