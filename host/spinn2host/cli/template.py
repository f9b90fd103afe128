"""NAME: a program for a PE. It counts the packets that it hears, and sends one every few ticks."""

import numpy as np
import pydantic

from spinn2emu.program import Program, Region
from spinn2emu.sdk import log, packet_index, send


class Parameters(pydantic.BaseModel, extra="forbid"):
    """What `load --set name=value` may change."""

    period: int = pydantic.Field(4, ge=1)  # ticks between two packets
    keys: int = pydantic.Field(16, ge=1)  # different keys that are sent, one after the other


def regions(p, available):
    """The arrays in SRAM: name, dtype, shape, unit, initial value. `available`: bytes that are left for them."""
    return [
        Region("period", np.int64, (1,), "tick", p.period),
        Region("counts", np.uint32, (p.keys,), "packet by key"),
        Region("sent", np.int64, (1,), "packet"),
    ]


def tick(pe, ram, rx, t):
    """Runs once per tick t, compiled. `rx`: the packets that were sent to this PE in the tick before."""
    for packet in rx:
        ram.counts[packet_index(pe, packet) % ram.counts.shape[0]] += 1
    if t % ram.period[0] == 0:
        send(pe, 0, ram.sent[0] % ram.counts.shape[0])  # port 0, key within the port's keys
        ram.sent[0] += 1
        log(pe, 1, ram.sent[0])
    return 0  # or one of `errors`, which stops the chip


program = Program(
    tick=tick,
    regions=regions,
    parameters=Parameters,
    inputs=("input",),
    outputs=("output",),
    errors={},
    logs={1: "{} packets sent so far"},
)
