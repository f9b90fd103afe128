"""libzmq's send and receive as functions that compiled code can call, on the sockets of pyzmq.

pyzmq carries its own libzmq; its symbols are loaded from there, so both use one library and one set of sockets.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import llvmlite.binding
import zmq
from numba import types

EINTR = errno.EINTR
SNDMORE = int(zmq.SNDMORE)


def _library() -> str:
    """Path of the libzmq that pyzmq has loaded into this process."""
    mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    found = sorted(path for path in mapped if "libzmq" in Path(path).name)
    return found[0] if found else zmq.backend.cython._zmq.__file__  # type: ignore[attr-defined]


llvmlite.binding.load_library_permanently(_library())

# int zmq_recv(void *socket, void *buffer, size_t length, int flags): returns the message's full size, or -1
zmq_recv: Any = types.ExternalFunction("zmq_recv", types.int32(types.intp, types.intp, types.uintp, types.int32))
# int zmq_send(void *socket, const void *buffer, size_t length, int flags)
zmq_send: Any = types.ExternalFunction("zmq_send", types.int32(types.intp, types.intp, types.uintp, types.int32))
zmq_errno: Any = types.ExternalFunction("zmq_errno", types.int32())
