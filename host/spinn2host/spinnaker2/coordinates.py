"""Addresses of a PE's memory, as scripts with chip programs of their own count them."""

from __future__ import annotations

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["ByteAddr", "align_addr_to_next_multiple_of_other"]
refuse_unknown(__name__)


class ByteAddr(int):
    """An address in bytes. Errors: ConfigError below 0."""

    def __new__(cls, address: int) -> ByteAddr:
        if address < 0:
            raise ConfigError(f"an address is 0 or more, not {address}", value=address)
        return super().__new__(cls, address)

    def __repr__(self) -> str:
        return f"ByteAddr({int(self):#x})"


def align_addr_to_next_multiple_of_other(address: int, other: int) -> ByteAddr:
    """`address`, or the next multiple of `other` above it. Errors: ConfigError unless `other` is above 0."""
    if other <= 0:
        raise ConfigError(f"an address is aligned to multiples of a number above 0, not {other}", value=other)
    return ByteAddr(-(-address // other) * other)
