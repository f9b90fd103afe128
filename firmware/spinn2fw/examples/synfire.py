"""A group of a synfire chain: `n` leaky integrate-and-fire neurons that all hear every spike of the group before.

    v_t = decay * v_{t-1} + weight * (spikes heard in tick t);  v >= 1: spike, v = 0   (v in thresholds, decay per tick)

A volley that is large enough makes the next group fire one tick later, and so on: in a ring it goes round for ever,
tick by tick. The host starts it by writing a number of spikes to `kick`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Program, Region
from spinn2emu.sdk import count, send

NEURONS = 0  # count


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`weight` in thresholds per spike; `record`: ticks of which the volleys are kept."""

    n: int = pydantic.Field(20, ge=1, le=4096)
    weight: float = 0.06
    decay: float = 0.8
    record: int = pydantic.Field(1024, ge=1)


def regions(p: Parameters, available: int) -> list[Region]:
    """SRAM of a group."""
    return [
        Region("v", np.float32, (p.n,), "threshold"),
        Region("constants", np.float32, (2,), "weight, decay", np.array([p.weight, p.decay])),
        Region("kick", np.int64, (1,), "spikes to send in the next tick"),
        Region("volley", np.uint16, (p.record,), "spikes by tick, a ring"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Integrates the volley that was sent in the tick before, and sends the group's own."""
    current = ram.constants[0] * np.float32(rx.shape[0])
    spikes = 0
    count(pe, NEURONS, ram.v.shape[0])
    for i in range(ram.v.shape[0]):
        v = ram.constants[1] * ram.v[i] + current
        if v >= np.float32(1) or i < ram.kick[0]:
            send(pe, 0, i)
            spikes += 1
            v = np.float32(0)
        ram.v[i] = v
    ram.kick[0] = 0
    ram.volley[t % ram.volley.shape[0]] = spikes
    return 0


program = Program(
    tick=tick, regions=regions, parameters=Parameters, inputs=("spikes",), outputs=("spikes",), counts=("neurons",)
)
