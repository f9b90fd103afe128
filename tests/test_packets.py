"""Packets byte for byte, and the records in which the emulator carries them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.errors import ConfigError
from spinn2emu.frames import FRAME, HEADER_PACKETS, header, identity, new_buffer
from spinn2emu.packets import PACKET, Packet, PacketType, control_byte

GOLDEN = [
    (
        # type multicast (0), no payload (0), reserved 0: control 0x00
        # key 0x12345678, little-endian
        Packet(PacketType.MULTICAST, 0x12345678),
        b"\x00" b"\x78\x56\x34\x12",
    ),
    (
        # type multicast (0), 4 bytes of payload (1): control 0b00_01_0000
        # key 0x00000001
        # payload 1.0 as float32: 0x3F800000
        Packet(PacketType.MULTICAST, 1, (0x3F800000,)),
        b"\x10" b"\x01\x00\x00\x00" b"\x00\x00\x80\x3f",
    ),
    (
        # type core-to-core (1), 8 bytes of payload (2): control 0b01_10_0000
        # key 0xFFFFFFFF
        # payload 1, 2
        Packet(PacketType.CORE_TO_CORE, 0xFFFFFFFF, (1, 2)),
        b"\x60" b"\xff\xff\xff\xff" b"\x01\x00\x00\x00" b"\x02\x00\x00\x00",
    ),
    (
        # type nearest-neighbour (2), no payload (0): control 0b10_00_0000
        # key 0x80000000
        Packet(PacketType.NEAREST_NEIGHBOUR, 0x80000000),
        b"\x80" b"\x00\x00\x00\x80",
    ),
    (
        # type global (3), 16 bytes of payload (3): control 0b11_11_0000
        # address 0x0001F000
        # payload 0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C
        Packet(PacketType.GLOBAL, 0x0001F000, (0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C)),
        b"\xf0" b"\x00\xf0\x01\x00" b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
    ),
]  # fmt: skip

words = st.integers(0, 2**32 - 1)
payloads = st.sampled_from([0, 1, 2, 4]).flatmap(lambda n: st.tuples(*[words] * n))
packets = st.builds(Packet, st.sampled_from(PacketType), words, payloads)


@pytest.mark.parametrize(("packet", "data"), GOLDEN)
def test_golden_bytes(packet: Packet, data: bytes) -> None:
    assert packet.encode() == data
    assert Packet.decode(data) == packet


def test_golden_bytes_cover_every_type_and_payload_size() -> None:
    assert {packet.type for packet, _ in GOLDEN} == set(PacketType)
    assert {4 * len(packet.payload) for packet, _ in GOLDEN} == {0, 4, 8, 16}


@given(packets)
def test_packets_roundtrip(packet: Packet) -> None:
    data = packet.encode()
    assert len(data) == 5 + 4 * len(packet.payload)
    assert Packet.decode(data) == packet


@pytest.mark.parametrize("word", [-1, 2**32])
def test_words_beyond_32_bits_are_refused(word: int) -> None:
    with pytest.raises(ConfigError, match="32 bits"):
        Packet(PacketType.MULTICAST, word)
    with pytest.raises(ConfigError, match="32 bits"):
        Packet(PacketType.MULTICAST, 0, (0, word))


@pytest.mark.parametrize("count", [3, 5])
def test_payload_sizes_that_the_chip_lacks_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"not {count}"):
        Packet(PacketType.MULTICAST, 0, (0,) * count)


@given(packets, st.integers(1, 15))
def test_reserved_bits_are_refused(packet: Packet, reserved: int) -> None:
    data = packet.encode()
    with pytest.raises(ConfigError, match="reserved bits"):
        Packet.decode(bytes([data[0] | reserved]) + data[1:])


@given(packets, st.integers(-4, 20).filter(bool))
def test_a_wrong_length_is_refused(packet: Packet, change: int) -> None:
    data = packet.encode()
    with pytest.raises(ConfigError, match="bytes"):
        Packet.decode(data[:change] if change < 0 else data + bytes(change))


@pytest.mark.parametrize("size", range(5))
def test_less_than_a_header_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 5 bytes, not {size}"):
        Packet.decode(bytes(size))


def test_control_byte_of_every_kind() -> None:
    values = {control_byte(kind, size) for kind in PacketType for size in (0, 4, 8, 16)}
    assert values == set(range(0, 256, 16))


def test_packet_record_layout() -> None:
    assert PACKET.fields is not None
    assert {name: (field[0].str or "", field[1]) for name, field in PACKET.fields.items() if name != "payload"} == {
        "control": ("|u1", 0), "port": ("|u1", 1), "source": ("|u1", 2), "origin": ("|u1", 3), "key": ("<u4", 4),
        "tick": ("<u4", 24), "time": ("<u4", 28),
    }  # fmt: skip
    assert (PACKET["payload"].base, PACKET["payload"].shape, PACKET.fields["payload"][1]) == (np.dtype("<u4"), (4,), 8)
    assert PACKET.itemsize == 32
    assert PACKET.fields["key"][1] % 4 == 0


def test_frame_header_layout() -> None:
    assert FRAME.fields is not None
    assert {name: field[1] for name, field in FRAME.fields.items()} == {
        "kind": 0, "version": 1, "pe": 2, "count": 4, "tick": 8, "need": 16, "end": 24, "live": 32, "status": 36,
        "limit": 40, "router": 48, "reserved": 52, "horizon": 64,
    }  # fmt: skip
    assert FRAME["horizon"].shape == (8,)
    assert FRAME.itemsize == 128 == HEADER_PACKETS * PACKET.itemsize


def test_the_header_lies_in_the_frame_buffer() -> None:
    buffer = new_buffer(2)
    head = header(buffer)
    head[0]["pe"], head[0]["count"] = 0x0102, 2
    assert len(buffer) == HEADER_PACKETS + 2
    assert buffer.tobytes()[2:8] == b"\x02\x01\x02\x00\x00\x00"
    assert not buffer[HEADER_PACKETS:].tobytes().strip(b"\0")


def test_network_identities_are_different_and_legal() -> None:
    identities = [identity(pe) for pe in range(153)]
    assert len(set(identities)) == 153
    assert all(len(name) == 4 and name[0] for name in identities)
