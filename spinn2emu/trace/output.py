"""A file that is written past the page cache (O_DIRECT) where the file system can: a trace is long, and read later."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PAGE = 4096
"""Direct writes begin at multiples of this in file and memory, and are as long."""
_FLUSH_AT = 1 << 20
_BUFFER = _FLUSH_AT + (1 << 18)


class Output:
    """A new file, or an existing one emptied. Raises OSError, here and where it says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        self._direct = self._set_direct(True)
        self._memory = memoryview(mmap.mmap(-1, _BUFFER))
        self._words = np.frombuffer(self._memory, np.uint32)
        self._start, self._filled = 0, 0  # of the buffer in the file; bytes in the buffer

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._fd

    @property
    def size(self) -> int:
        """Bytes written, with those that are still in the buffer."""
        return self._start + self._filled

    def room(self) -> NDArray[np.uint32]:
        """The free part of the buffer, at least 256 kB of it: to be filled, then told to `advance`."""
        return self._words[self._filled // 4 :]

    def advance(self, size: int) -> None:
        """`size` bytes (a multiple of 4) have been put into `room()`. Raises OSError."""
        self._filled += size
        if self._filled < _FLUSH_AT:
            return
        whole = self._filled // _PAGE * _PAGE
        self._write(whole)
        rest = self._filled - whole
        self._memory[:rest] = self._memory[whole : self._filled]
        self._start, self._filled = self._start + whole, rest

    def write(self, data: bytes) -> None:
        """Appends bytes. Raises OSError."""
        view = memoryview(data)
        while view:
            part = view[: _BUFFER - self._filled]
            self._memory[self._filled : self._filled + len(part)] = part
            view = view[len(part) :]
            self.advance(len(part))

    def flush(self) -> None:
        """Lets other programs see all that was written. Raises OSError."""
        if self._filled:
            self._set_direct(False)
            self._write(self._filled)
            self._set_direct(self._direct)

    def close(self) -> None:
        """Writes what is left. Raises OSError."""
        self.flush()
        self.let_go()

    def let_go(self) -> None:
        """Closes the file as it is."""
        os.close(self._fd)

    def _write(self, size: int) -> None:
        done = 0
        while done < size:
            try:
                done += os.pwrite(self._fd, self._memory[done:size], self._start + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._direct:
                    raise
                self._direct = self._set_direct(False)  # the disk is nearly full, or wants larger pages

    def _set_direct(self, wanted: bool) -> bool:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
        except OSError:  # EINVAL: not on this file system
            return False
        return wanted
