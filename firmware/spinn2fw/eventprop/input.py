"""Input PE: plays the spikes of the next sample from its buffer when the optimizer releases it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Program, Region
from spinn2emu.registers import Register
from spinn2emu.sdk import phase_tick, send, set_phase
from spinn2fw.eventprop.common import FORWARD, NOT_RELEASED, RELEASE_EVALUATE, find_release, sample_phases

CONTROL = 0  # input port
SPIKES = 0  # output port
EMPTY = 1

_PHASE = int(Register.PHASE)

STATE = np.dtype(
    [("T", "i4"), ("samples", "i4"), ("next", "i4"), ("playing", "i4"), ("evaluating", "i4"), ("event", "i4")]
)


class Parameters(pydantic.BaseModel, extra="forbid"):
    """T: ticks of a sample. samples, events: what the buffer should hold; it holds less if they do not fit."""

    T: int = pydantic.Field(ge=2, le=65535)
    samples: int = pydantic.Field(ge=1)
    events: int = pydantic.Field(ge=0)


def regions(p: Parameters, available: int) -> list[Region]:
    """Samples in compressed rows: events start[s] … start[s+1]-1 are (tick, neuron), by tick, then neuron."""
    room = available - 128
    scale = min(1.0, room / (4 * (p.samples + 1) + 4 * p.events))
    samples, events = max(1, int(p.samples * scale)), int(p.events * scale)
    return [
        Region("state", STATE, (1,), "", np.array([(p.T, 0, 0, -1, 0, 0)], STATE)),
        Region("start", np.int32, (samples + 1,), "event"),
        Region("tick", np.uint16, (events,), "tick"),
        Region("neuron", np.uint16, (events,), "id"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`."""
    s = ram.state[0]
    i = phase_tick(pe, t)
    if pe.sys[_PHASE] != FORWARD:
        return 0
    if i == 0:
        release = find_release(rx, CONTROL)
        if release == NOT_RELEASED:
            set_phase(pe, FORWARD)
            return 0
        s.evaluating = release == RELEASE_EVALUATE
        s.playing = s.next
        s.next += 1
        if s.playing >= s.samples:
            return EMPTY
        s.event = ram.start[s.playing]
    while s.event < ram.start[s.playing + 1] and ram.tick[s.event] == i:
        send(pe, SPIKES, ram.neuron[s.event])
        s.event += 1
    if i == s.T and s.evaluating:
        set_phase(pe, FORWARD)
    return 0


program = Program(
    tick=tick,
    parameters=Parameters,
    regions=regions,
    inputs=("control",),
    outputs=("spikes",),
    phases=lambda p: sample_phases(p.T, ("control",), (), ("spikes",), ()),
    fifo=Fifo(8, 0),
    errors={EMPTY: "a sample was released that the input buffer does not hold; fill it before the run"},
)
