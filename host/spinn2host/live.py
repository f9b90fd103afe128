"""Live input and output of a chip: packets of the host, and the packets that PEs send, while time goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinn2emu import memory_map
from spinn2emu.errors import ConfigError
from spinn2host.recording import Recording


class Live(Recording):
    """What of a chip is about packets of the host; see `docs/live.md`."""

    def inject(self, keys: Any, ticks: Any = None, payloads: Any = None) -> int:
        """Sends multicast packets from the host into the chip's network, now or in ticks to come; between two runs, or
        while time runs. Returns the first of these ticks.

        keys: one, or (n,). ticks: in which they are sent, one or (n,); PEs process them one tick later, before
        what PEs have sent, those of one tick in the order in which they were injected. None: the first tick that is
        still open: between two runs, the one before the chip's present tick (0 at tick 0), so that PEs process them
        in that; while time runs, it depends on how far that is. payloads: 32-bit words or float32, one for all, (n,),
        or 1, 2 or 4 for each packet: (n, words).

        Raises ConfigError, and sends nothing, for a tick in which PEs cannot get them any more, more than 1,048,576
        packets that wait or 8,192 of one tick, and what are no keys, ticks or words.
        """
        key, tick = _integers("keys", keys), None if ticks is None else _integers("ticks", ticks)
        if key.ndim == 0:
            key = np.full(1 if tick is None or tick.ndim == 0 else tick.shape, key)
        content: dict[str, Any] = {"keys": memory_map.to_wire(key)}
        if tick is not None:
            content["ticks"] = memory_map.to_wire(np.full(key.shape, tick) if tick.ndim == 0 else tick)
        if payloads is not None:
            content["payloads"] = memory_map.to_wire(_words(payloads, len(key)))
        return int(self.request("inject", **content)["tick"])


def _integers(what: str, values: Any) -> np.ndarray:
    """As an array of integers, which may be empty. Raises ConfigError."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error
    if array.dtype.kind not in "iu" and array.size:
        raise ConfigError(f"{what} are integers, not {array.dtype}: {values!r}"[:200], dtype=str(array.dtype))
    return array if array.size else array.astype(np.int64)


def _words(payloads: Any, count: int) -> np.ndarray:
    """Payload words of `count` packets, (count, words); of floats their bits as float32."""
    array = np.asarray(payloads)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, np.float32).view(np.uint32).reshape(array.shape)
    else:
        array = _integers("payloads", payloads)
    if array.ndim == 0:
        array = np.full(count, array)
    return array[:, np.newaxis] if array.ndim == 1 else array
