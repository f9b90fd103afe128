"""Input PE: plays the spikes of its samples from its buffer, in step with the optimizer's releases.

Its buffer holds the samples to come, and it knows how long one takes. So it needs to hear only every `ahead`-th release
and plays the following samples by itself: their spikes are on their way before the others ask for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import count, current_phase, phase_tick, send, set_phase
from spinn2fw.eventprop.common import NOT_RELEASED, find_release
from spinn2fw.kernels.events import due
from spinn2fw.kernels.keys import RELEASE_EVALUATE

CONTROL = 0  # input port
SPIKES = 0  # output port
EMPTY = 1
COUNTS = ("begun", "looks", "volleys", "last", "ended")
"""What cycles depend on: samples that begin and end, ticks of the last phase, with spikes to come, and to send."""
BEGUN, LOOKS, VOLLEYS, LAST, ENDED = range(len(COUNTS))

START, FORWARD, BACKWARD, GO_ON = range(4)
"""Phases. START is tick 0 of a sample that waits for its release, GO_ON of one that does not."""

STATE = np.dtype(
    [("begin", "i8"), ("T", "i4"), ("samples", "i4"), ("next", "i4"), ("evaluating", "i4"), ("event", "i4"),
     ("ahead", "i4"), ("left", "i4"), ("update_ticks", "i4")]
)  # fmt: skip


class Parameters(pydantic.BaseModel, extra="forbid"):
    """T: ticks of a sample. samples, events: what the buffer should hold; it holds less if they do not fit.

    ahead: samples that are played on one release. update_ticks: how long the optimizer's update lasts.
    """

    T: int = pydantic.Field(ge=2, le=65535)
    samples: int = pydantic.Field(ge=1)
    events: int = pydantic.Field(ge=0)
    ahead: int = pydantic.Field(default=1, ge=1)
    update_ticks: int = pydantic.Field(default=1, ge=1)


def regions(p: Parameters, available: int) -> list[Region]:
    """Samples in compressed rows: events start[s] … start[s+1]-1 are (tick, neuron), by tick, then neuron."""
    room = available - 128
    scale = min(1.0, room / (4 * (p.samples + 1) + 4 * p.events))
    samples, events = max(1, int(p.samples * scale)), int(p.events * scale)
    return [
        Region("state", STATE, (1,), "", np.array([(0, p.T, 0, 0, 0, 0, p.ahead, 0, p.update_ticks)], STATE)),
        Region("start", np.int32, (samples + 1,), "event"),
        Region("tick", np.uint16, (events,), "tick"),
        Region("neuron", np.uint16, (events,), "id"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`."""
    s, phase = ram.state[0], current_phase(pe)
    if phase == START:
        release = find_release(pe, rx, CONTROL)
        if release == NOT_RELEASED:
            set_phase(pe, START)
            return 0
        s.evaluating = release == RELEASE_EVALUATE
        s.left = s.ahead
    if phase == START or phase == GO_ON:
        if s.next >= s.samples:
            return EMPTY
        count(pe, BEGUN, 1)
        s.begin = t
        s.event = ram.start[s.next]
        s.next += 1
        s.left -= 1
    last, ticks = BACKWARD, s.T + s.update_ticks - 1
    if phase != BACKWARD:
        count(pe, LOOKS, s.event < ram.start[s.next])
        end = due(ram.tick, s.event, ram.start[s.next], t - s.begin)
        count(pe, VOLLEYS, end > s.event)
        for event in range(s.event, end):
            send(pe, SPIKES, ram.neuron[event])
        s.event = end
        if s.evaluating:
            last, ticks = FORWARD, s.T
    count(pe, LAST, phase == last)
    if phase == last and phase_tick(pe, t) == ticks - 1:
        count(pe, ENDED, 1)
        set_phase(pe, GO_ON if s.left > 0 and s.next < s.samples else START)
    return 0


def phases(p: Parameters) -> list[Phase]:
    """Tick 0 of a sample, ticks 1 … T, and T+1 … 2T+U-1 if the sample is for training."""
    return [
        Phase("start", 1, ("control",), ("spikes",), ("forward", "start")),
        Phase("forward", p.T, (), ("spikes",), ("backward", "start", "go on")),
        Phase("backward", p.T + p.update_ticks - 1, (), (), ("start", "go on")),
        Phase("go on", 1, (), ("spikes",), ("forward",)),
    ]


program = Program(
    tick=tick,
    parameters=Parameters,
    regions=regions,
    inputs=("control",),
    outputs=("spikes",),
    counts=COUNTS,
    phases=phases,
    fifo=Fifo(8, 0),
    errors={EMPTY: "a sample was released that the input buffer does not hold; fill it before the run"},
)
