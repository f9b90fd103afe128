"""libzmq's send and receive as functions that compiled code can call, on the sockets of pyzmq.

pyzmq carries its own libzmq; its symbols are loaded from there, so both use one library and one set of sockets.
"""

from __future__ import annotations

import errno
from pathlib import Path

import llvmlite.binding
import zmq

from spinn2emu.jit import External

EINTR, EAGAIN = errno.EINTR, errno.EAGAIN
SNDMORE, DONTWAIT = int(zmq.SNDMORE), int(zmq.DONTWAIT)


def _library() -> str:
    """Path of the libzmq that pyzmq has loaded into this process."""
    mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    found = sorted(path for path in mapped if "libzmq" in Path(path).name)
    return found[0] if found else zmq.backend.cython._zmq.__file__  # type: ignore[attr-defined]


llvmlite.binding.load_library_permanently(_library())

# int zmq_recv(void *socket, void *buffer, size_t length, int flags): returns the message's full size, or -1
zmq_recv = External("zmq_recv", "int32", "intp", "intp", "uintp", "int32")
# int zmq_send(void *socket, const void *buffer, size_t length, int flags)
zmq_send = External("zmq_send", "int32", "intp", "intp", "uintp", "int32")
zmq_errno = External("zmq_errno", "int32")
