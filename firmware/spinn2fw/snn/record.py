"""What PEs of spiking networks record in SRAM, tick by tick, with the chip's number of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Region
from spinn2emu.sdk import kernel, log
from spinn2fw.kernels.synapses import RECORD_HEAD

RECORD_FULL = 100
"""Code in the log."""
LOGS = {RECORD_FULL: "the records hold {} ticks: later ones are not recorded"}


class Recorded(pydantic.BaseModel, extra="forbid"):
    """What is recorded of `n` neurons, for `ticks` ticks."""

    n: int = pydantic.Field(ge=1, le=256)
    ticks: int = pydantic.Field(0, ge=0)
    record_spikes: bool = False
    record_v: bool = False
    record_time_done: bool = False
    record_n_packets: bool = False


def records(p: Recorded) -> list[Region]:
    """Per tick: spikes 2 + ceil(n / 32) words (tick, count, a bit per neuron), v n + 1 (the tick, too), 1 each for the
    two others."""

    def rows(wanted: bool) -> int:
        return p.ticks if wanted else 0

    return [
        Region("spikes", np.uint32, (rows(p.record_spikes), RECORD_HEAD + (p.n + 31) // 32), "tick, spikes, bits"),
        Region("voltages", np.float32, (rows(p.record_v), 1 + p.n), "tick, then as the threshold"),
        Region("time_done", np.uint32, (rows(p.record_time_done),), "ns"),
        Region("n_packets", np.uint32, (rows(p.record_n_packets),), "packet"),
    ]


@kernel
def note_input(ram: Any, rx: Any, t: int) -> None:
    """Records how many packets came in, and how long the one that took longest was on its way."""
    if t < ram.n_packets.shape[0]:
        ram.n_packets[t] = rx.shape[0]
    if t < ram.time_done.shape[0]:
        latest = np.uint32(0)
        for packet in rx:
            latest = max(latest, packet.time)
        ram.time_done[t] = latest


@kernel
def note_spike(ram: Any, j: int, t: int) -> None:
    """Records a spike of neuron j."""
    if t < ram.spikes.shape[0]:
        row = ram.spikes[t]
        row[1] += np.uint32(1)
        row[RECORD_HEAD + (j >> 5)] |= np.uint32(1) << np.uint32(j & 31)


@kernel
def note_voltage(ram: Any, j: int, v: Any, t: int) -> None:
    """Records neuron j's voltage, after a reset."""
    if t < ram.voltages.shape[0]:
        ram.voltages[t, 0] = t
        ram.voltages[t, 1 + j] = v


@kernel
def note_tick(pe: Any, ram: Any, t: int) -> None:
    """Writes the tick into the records, and says once that they are full."""
    if t < ram.spikes.shape[0]:
        ram.spikes[t, 0] = t
    elif t == ram.spikes.shape[0] and t > 0:
        log(pe, RECORD_FULL, t)
