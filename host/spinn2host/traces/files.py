"""Files whose name says how they are written."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast


@contextmanager
def open_for_writing(path: Path) -> Iterator[IO[bytes]]:
    """The file, emptied; compressed by gzip if its name ends in .gz, with no date in it. Raises OSError."""
    with open(path, "wb") as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
            yield cast(IO[bytes], packed)
