"""Measures the latency to another PE, which runs `echo`: sends a packet, waits for its echo, sends the next.

A packet arrives with the time that it was on its way, in ns; the echo carries the one that it saw in its payload.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Program, Region
from spinn2emu.sdk import send


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`count`: pings to send."""

    count: int = pydantic.Field(10, ge=1)


def regions(p: Parameters, available: int) -> list[Region]:
    """SRAM of the pinging PE."""
    return [
        Region("sent_at", np.int64, (1,), "tick, -1: nothing was sent yet", -1),
        Region("done", np.int64, (1,), "ping"),
        Region("there_ns", np.uint32, (p.count,), "ns"),
        Region("back_ns", np.uint32, (p.count,), "ns"),
        Region("ticks", np.int64, (p.count,), "tick from ping to echo"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Takes down an echo; sends the first ping, and one after each echo."""
    for packet in rx:
        n = ram.done[0]
        ram.there_ns[n], ram.back_ns[n], ram.ticks[n] = packet.payload[0], packet.time, t - ram.sent_at[0]
        ram.done[0] += 1
    if ram.done[0] < ram.ticks.shape[0] and (rx.shape[0] > 0 or ram.sent_at[0] < 0):
        send(pe, 0, 0)
        ram.sent_at[0] = t
    return 0


program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("echo",), outputs=("ping",))
