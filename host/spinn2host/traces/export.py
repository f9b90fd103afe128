"""Traces in other formats: `FORMATS` writes them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace
from spinn2emu.trace.table import COLUMNS, columns, extra
from spinn2host.traces import nir, perfetto
from spinn2host.traces.files import open_for_writing

BLOCK_ROWS = 1 << 16


def save_csv(path: Path, trace: Trace) -> None:
    """A line per event under the names of `table.COLUMNS`. Raises OSError."""
    with open_for_writing(path) as raw, io.TextIOWrapper(raw, "utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for first in range(0, len(trace.events), BLOCK_ROWS):
            part = columns(Trace(trace.events[first : first + BLOCK_ROWS], trace.meta))
            writer.writerows(zip(*(column.tolist() for column in part.values()), strict=True))


def save_parquet(path: Path, trace: Trace) -> None:
    """The table of `Trace.to_arrow`. Raises OSError, ConfigError without the extra."""
    write_table, table = extra("pyarrow.parquet").write_table, trace.to_arrow()
    with open(path, "wb") as file:
        write_table(table, file, compression="zstd")


FORMATS: dict[str, Callable[[Path, Trace], object]] = {
    "perfetto": perfetto.save, "csv": save_csv, "parquet": save_parquet, "nir-events": nir.save_events,
}  # fmt: skip
SUFFIXES = {
    "perfetto": (".json", ".json.gz"), "csv": (".csv", ".csv.gz"), "parquet": (".parquet",), "nir-events": (".npz",),
}  # fmt: skip
"""What the names of files of each format end in; those that end in .gz are compressed."""


def save(trace: Trace, path: str | os.PathLike[str], format: str) -> None:
    """Writes the trace in one of FORMATS; a file that is there is replaced.

    Raises ConfigError for another format, a name with another suffix than the format's, if the file cannot be written,
    or without a module that the format needs.
    """
    if format not in FORMATS:
        raise ConfigError(f"there is no format {format!r}: {', '.join(FORMATS)}")
    check_suffix(Path(path), format)
    try:
        FORMATS[format](Path(path), trace)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", path=str(path)) from error


def check_suffix(path: Path, format: str) -> None:
    """Raises ConfigError if the name has a suffix, but none of the format's."""
    possible = SUFFIXES[format]
    if path.suffix and not path.name.lower().endswith(possible):
        raise ConfigError(
            f"{path}: {format} is written to files that end in {' or '.join(possible)}", path=str(path), format=format,
            possible=list(possible),
        )  # fmt: skip
