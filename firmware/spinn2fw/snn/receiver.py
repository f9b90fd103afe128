"""Spike receiver: neurons that spike when the host says so, by a packet, while time passes.

A packet of the host with the key of neuron i that is sent in tick t makes neuron i spike in t + 1; several of them for
one neuron in a tick make one spike. How the original's spike_receiver is fed is not known: this is our own reading.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spinn2emu.program import Fifo, Program, Region
from spinn2emu.sdk import count, log, send
from spinn2fw.kernels.synapses import NEURON
from spinn2fw.snn.record import LOGS, Recorded, note_input, note_spike, note_tick, records

SPIKES = 0  # output port
NO_NEURON = 1
NEURONS = 0  # count


def regions(p: Recorded, available: int) -> list[Region]:
    """Who is to spike, and records."""
    return [Region("asked", np.uint8, (p.n,), "1: the neuron spikes in this tick"), *records(p)]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Takes in what the host has sent, and sends the spikes in the order of neurons."""
    note_input(ram, rx, t)
    for packet in rx:
        neuron = np.int64(packet.key & NEURON)
        if neuron >= ram.asked.shape[0]:
            log(pe, NO_NEURON, packet.key, ram.asked.shape[0])
            return NO_NEURON
        ram.asked[neuron] = 1
    count(pe, NEURONS, ram.asked.shape[0])
    for j in range(ram.asked.shape[0]):
        if ram.asked[j]:
            ram.asked[j] = 0
            send(pe, SPIKES, j)
            note_spike(ram, j, t)
    note_tick(pe, ram, t)
    return 0


program = Program(
    tick=tick, regions=regions, parameters=Recorded, inputs=("host",), outputs=("spikes",), fifo=Fifo(256, 0),
    counts=("neurons",),
    errors={NO_NEURON: "the host has named a neuron that this PE has not (the log has the key)"},
    logs=LOGS | {NO_NEURON: "packet with key {:.0f}, there are {:.0f} neurons"}, log=8,
)  # fmt: skip
