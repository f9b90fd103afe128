"""Large records of which most is never touched."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def zeros(dtype: np.dtype[Any]) -> NDArray[np.void]:
    """A record of zeros whose pages the system provides when they are touched, so that the others cost nothing.

    `np.zeros` clears memory itself where the process has used it before.
    """
    pages = mmap.mmap(-1, dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype, 1).reshape(())
