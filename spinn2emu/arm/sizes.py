"""What is known of the size of programs' Cortex-M4 code, by fingerprint, without compiling: it is kept in the store."""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from spinn2emu.errors import Spinn2Error, SramOverflow, from_wire
from spinn2emu.jit import store

_KEPT = "code-"
"""Before the fingerprint, what is known is called so in the store."""


class Size(NamedTuple):
    """Bytes of instruction memory, 0 if nothing could be compiled; `error`: of the linker or the compiler."""

    nbytes: int
    error: Spinn2Error | None


def keep_size(fingerprint: str, nbytes: int, error: Spinn2Error | None = None) -> None:
    """Notes bytes of instruction memory; with an `error`, that they are too many, or that nothing could be compiled."""
    store.write(_KEPT + fingerprint, msgpack.packb([nbytes, None if error is None else error.to_wire()]))


def find_size(fingerprint: str) -> Size | None:
    """What is known; None: nobody has compiled it."""
    data = store.read(_KEPT + fingerprint)
    if data is None:
        return None
    nbytes, error = msgpack.unpackb(data)
    return Size(nbytes, None if error is None else from_wire(error))


def check_size(fingerprint: str) -> None:
    """Raises SramOverflow for code that is known to be too long."""
    size = find_size(fingerprint)
    if size is not None and isinstance(size.error, SramOverflow):
        raise size.error
