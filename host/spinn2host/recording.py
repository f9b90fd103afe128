"""Recording of packets on a chip, from Python."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spinn2emu import geometry
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2host.connection import Connection

LOAD_DEADLINE_S = 600.0
"""Compiling a large program cold takes tens of seconds."""
TRACE_DEADLINE_S = 120.0
"""For what is left to be written."""

PeName = str | int
"""`qx.qy.p`, or an id 1..152."""


def pe_id(pe: PeName) -> int:
    """The id of a PE that is given by name or id. Raises ConfigError for what is neither."""
    if isinstance(pe, str):
        return geometry.pe_id(pe)
    try:
        return operator.index(pe)
    except TypeError:
        raise ConfigError(f"{pe!r} is not a PE: write 'qx.qy.p', or an id such as 77", pe=repr(pe)) from None


def pe_ids(pes: PeName | Iterable[PeName]) -> list[int]:
    """The ids of one PE or several. Raises ConfigError as `pe_id` does."""
    return [pe_id(pe) for pe in (pes if isinstance(pes, Iterable) and not isinstance(pes, str) else [pes])]


def _words(words: str | Sequence[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


class Recording(Connection):
    """What of a chip is about traces; see `docs/traces.md`."""

    @contextlib.contextmanager
    def trace(self, path: str | os.PathLike[str], **options: Any) -> Iterator[None]:
        """Records the packets of all runs within the `with` block in a pcapng file; see `start_trace`."""
        self.start_trace(path, **options)
        try:
            yield
        except BaseException:
            with contextlib.suppress(Spinn2Error):
                self.finish_trace()
            raise
        self.finish_trace()

    def start_trace(
        self, path: str | os.PathLike[str], *, events: str | Sequence[str] = (), types: str | Sequence[str] = (),
        without: str | Sequence[str] = (), pes: PeName | Iterable[PeName] = (), key: int = 0, mask: int = 0,
        first: int = 0, last: int | None = None, limit: int | None = None, compress: bool | None = None,
    ) -> None:  # fmt: skip
        """Begins to record packets in a pcapng file, which is overwritten. The chip must not be running.

        events: of "sent", "received", "dropped"; types: names of output ports without digits and an s at the end, such
        as "spike" for `spikes`; without: types that are left out; pes: packets that one of them, or a PE of a quad
        `qx.qy`, sends or gets; key, mask: keys k with k & mask == key; first, last: ticks of sending; empty: all.
        limit: bytes; only the last packets are kept. compress: by zstd; by default if the path ends in .zst.

        Raises ConfigError.
        """
        path = os.path.abspath(path)
        options: dict[str, Any] = {
            "path": path, "events": _words(events), "types": _words(types), "without": _words(without),
            "pes": [pes] if isinstance(pes, str | int) else list(pes), "key": key, "mask": mask,
            "first": first, "limit": limit, "compress": path.endswith(".zst") if compress is None else compress,
        }  # fmt: skip
        if last is not None:
            options["last"] = last
        self.request("trace_start", LOAD_DEADLINE_S, options=options)

    def stop_trace(self) -> dict[str, Any]:
        """Completes the trace; returns its path, and how many events and bytes it has.

        Raises ConfigError if none is being recorded or the chip runs, Spinn2Error if it is not complete.
        """
        reply = self.request("trace_stop", TRACE_DEADLINE_S)
        return {name: reply[name] for name in ("path", "events", "bytes")}

    def finish_trace(self) -> dict[str, Any]:
        """As `stop_trace`, but waits for the end of a run first, whatever becomes of it."""
        with contextlib.suppress(Spinn2Error):
            self.wait()
        return self.stop_trace()
