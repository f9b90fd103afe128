"""A population of leaky integrate-and-fire neurons with dense weights, and a record of its voltages.

    v_t = decay * v_{t-1} + sum over the spikes j heard in tick t of weights[j, i]
    v >= 1: spike, v = 0, and silence for `refractory` ticks             (v in thresholds, decay per tick)

Spikes are added in the order in which they come: by source PE, and as that one sent them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Program, Region
from spinn2emu.sdk import count, packet_index, send

BAD_SOURCE = 1
NEURONS, SYNAPSES = range(2)  # counts


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`n_in`: keys that are listened to, each of a neuron with weights of its own; `weight`: mean of the weights, which
    are uniform in 0 … 2 * weight, from `seed`; `record`: of so many neurons, the first ones, the last `ticks` voltages
    are kept."""

    n: int = pydantic.Field(64, ge=1)
    n_in: int = pydantic.Field(100, ge=1, le=1 << 16)
    weight: float = 0.05
    seed: int = pydantic.Field(0, ge=0)
    decay: float = 0.95
    refractory: int = pydantic.Field(2, ge=0)
    record: int = pydantic.Field(4, ge=1)
    ticks: int = pydantic.Field(1000, ge=1)


def regions(p: Parameters, available: int) -> list[Region]:
    """SRAM of the population."""
    weights = 2 * p.weight * np.random.Generator(np.random.PCG64(p.seed)).random((p.n_in, p.n))
    return [
        Region("weights", np.float32, (p.n_in, p.n), "threshold per spike", weights),
        Region("v", np.float32, (p.n,), "threshold"),
        Region("rest", np.int32, (p.n,), "tick until the neuron listens again"),
        Region("decay", np.float32, (1,), "per tick", p.decay),
        Region("refractory", np.int32, (1,), "tick", p.refractory),
        Region("voltages", np.float32, (p.ticks, min(p.record, p.n)), "threshold by tick, a ring"),
        Region("spikes", np.uint32, (p.n,), "spike"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Decay, input, threshold, record."""
    count(pe, NEURONS, ram.v.shape[0])
    count(pe, SYNAPSES, rx.shape[0] * ram.v.shape[0])
    for i in range(ram.v.shape[0]):
        ram.v[i] *= ram.decay[0]
    for packet in rx:
        source = packet_index(pe, packet)
        if source >= ram.weights.shape[0]:
            return BAD_SOURCE
        for i in range(ram.v.shape[0]):
            ram.v[i] += ram.weights[source, i]
    for i in range(ram.v.shape[0]):
        if ram.rest[i] > 0:
            ram.rest[i] -= 1
            ram.v[i] = np.float32(0)
        elif ram.v[i] >= np.float32(1):
            send(pe, 0, i)
            ram.spikes[i] += 1
            ram.rest[i] = ram.refractory[0]
            ram.v[i] = np.float32(0)
    for i in range(ram.voltages.shape[1]):
        ram.voltages[t % ram.voltages.shape[0], i] = ram.v[i]
    return 0


def fifo(p: Parameters) -> Fifo:
    """Room for a spike from every source in a tick."""
    return Fifo(p.n_in)


program = Program(
    tick=tick, regions=regions, parameters=Parameters, inputs=("spikes",), outputs=("spikes",), fifo=fifo,
    counts=("neurons", "synapses"),
    errors={BAD_SOURCE: "a spike from a neuron beyond n_in"},
)  # fmt: skip
