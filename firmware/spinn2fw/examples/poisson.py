"""Poisson sources: each of `n` sends a spike in a tick with probability rate * 1 ms, by the PE's KISS64 generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.program import Program, Region
from spinn2emu.sdk import count, random_uniform, send

SOURCES = 0  # count


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`rate_hz`: mean rate of each source, in Hz; at most one spike per tick, that is 1000 Hz."""

    n: int = pydantic.Field(100, ge=1, le=4096)
    rate_hz: float = pydantic.Field(20.0, ge=0, le=1000)


def regions(p: Parameters, available: int) -> list[Region]:
    """SRAM of the sources. probability = rate_hz * tick_ns / 1e9."""
    probability = p.rate_hz * spec.TICK_NS.value / 1e9
    return [
        Region("probability", np.float32, (p.n,), "spike per tick", probability),
        Region("sent", np.uint32, (p.n,), "spike"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Draws one number per source, in their order."""
    count(pe, SOURCES, ram.probability.shape[0])
    for i in range(ram.probability.shape[0]):
        if random_uniform(pe) < ram.probability[i]:
            send(pe, 0, i)
            ram.sent[i] += 1
    return 0


program = Program(tick=tick, regions=regions, parameters=Parameters, outputs=("spikes",), counts=("sources",))
