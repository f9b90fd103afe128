"""Spike list: neurons that spike in the ticks that the host has written into SRAM. The list is their record, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Program, Region
from spinn2emu.sdk import send
from spinn2fw.snn.record import Recorded, note_input, records

SPIKES = 0  # output port


class Parameters(Recorded):
    """`events`: spikes in the list."""

    events: int = pydantic.Field(ge=0)


def regions(p: Parameters, available: int) -> list[Region]:
    """The list: event e is a spike of `neuron[e]` in `tick[e]`, by tick, then neuron."""
    return [
        Region("next", np.uint32, (1,), "event: all before it have had their tick"),
        Region("tick", np.uint32, (p.events,), "tick"),
        Region("neuron", np.uint8, (p.events,), "id"),
        *records(p),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Sends the spikes of this tick; those of ticks that have passed are left out."""
    note_input(ram, rx, t)
    event = ram.next[0]
    while event < ram.tick.shape[0] and ram.tick[event] <= t:
        if ram.tick[event] == t:
            send(pe, SPIKES, ram.neuron[event])
        event += 1
    ram.next[0] = event
    return 0


program = Program(tick=tick, regions=regions, parameters=Parameters, outputs=("spikes",), log=8)
