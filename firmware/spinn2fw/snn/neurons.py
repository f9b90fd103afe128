"""Leaky integrate-and-fire neurons, the models lif, lif_curr_exp, both without delays, and lif_conv2d of py-spinnaker2.

In tick t, for each neuron, in float32, with e and n the sums of the weights of excitatory and of inhibitory spikes that
act in t (a spike of tick s with delay d acts in tick s + 1 + d):

    lif            V = alpha_decay V + (e - n) + i_offset
    lif_curr_exp   Ie = exc_decay Ie + e;  In = inh_decay In + n;  V = alpha_decay V + (Ie - In) + i_offset
    V >= threshold: a spike; V = V - threshold, or V = v_reset

`t_refrac` ticks after a spike V is not updated, while the currents go on; it is compared with the threshold in every
tick. This is known from a third party's copy of the chip's code; all else agrees with recordings of a chip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Program, Region
from spinn2emu.sdk import count, kernel, log, send
from spinn2fw.kernels import synapses
from spinn2fw.kernels.synapses import CONVOLUTION, ENTRY, NOT_HEARD, RING_FULL, SLOTS, receive
from spinn2fw.snn.record import LOGS, Recorded, note_input, note_spike, note_tick, note_voltage, records

OUT = 0  # output port
COUNTS = (*synapses.COUNTS, "neurons", "currents", "voltages")
"""What cycles depend on, beside what `synapses` counts: neurons, those with currents, voltages that are recorded."""
NEURONS, CURRENTS, VOLTAGES = range(len(synapses.COUNTS), len(COUNTS))


class Parameters(Recorded):
    """Sizes of the regions. currents: as lif_curr_exp has them; delays: the ring buffer has 8 slots, else 1."""

    currents: bool = False
    delays: bool = True
    entries: int = pydantic.Field(0, ge=0)
    rows: int = pydantic.Field(0, ge=0)
    words: int = pydantic.Field(0, ge=0)
    convolutions: int = pydantic.Field(0, ge=0)
    kernels: int = pydantic.Field(0, ge=0)


def regions(p: Parameters, available: int) -> list[Region]:
    """Synapses, neurons, records."""
    n, with_currents = p.n, p.n if p.currents else 0
    return [
        Region("subtract", np.uint8, (1,), "1: reset by subtraction, 0: to v_reset"),
        Region("table", ENTRY, (p.entries,), "see kernels.synapses"),
        Region("rows", np.uint16, (p.rows + 1,), "place in words"),
        Region("words", np.uint16, (p.words,), "synapse"),
        Region("convolutions", CONVOLUTION, (p.convolutions,)),
        Region("kernels", np.int8, (p.kernels,), "weight"),
        Region("ring", np.uint16, (SLOTS if p.delays else 1, 2, n), "weight"),
        Region("threshold", np.float32, (n,), "weight"),
        Region("alpha_decay", np.float32, (n,), "per tick"),
        Region("i_offset", np.float32, (n,), "weight per tick"),
        Region("v_reset", np.float32, (n,), "weight"),
        Region("v", np.float32, (n,), "weight"),
        Region("exc_decay", np.float32, (with_currents,), "per tick"),
        Region("inh_decay", np.float32, (with_currents,), "per tick"),
        Region("exc_current", np.float32, (with_currents,), "weight"),
        Region("inh_current", np.float32, (with_currents,), "weight"),
        Region("t_refrac", np.uint16, (with_currents,), "tick"),
        Region("refractory", np.uint16, (with_currents,), "tick until V goes on"),
        *records(p),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Takes in spikes, integrates, fires, records."""
    note_input(ram, rx, t)
    count(pe, synapses.PROBES, rx.shape[0] * synapses.probes(ram.table))
    for packet in rx:
        code = receive(pe, ram, packet.key, t)
        if code:
            log(pe, code, packet.key)
            return code
    update(pe, ram, ram.ring[t % ram.ring.shape[0]], t)
    note_tick(pe, ram, t)
    return 0


@kernel
def update(pe: Any, ram: Any, slot: Any, t: int) -> None:
    """The equations above, neuron by neuron; empties the slot of the ring buffer that acts in this tick."""
    currents = ram.exc_decay.shape[0] > 0
    count(pe, NEURONS, ram.v.shape[0])
    count(pe, CURRENTS, ram.exc_decay.shape[0])
    count(pe, VOLTAGES, ram.v.shape[0] if t < ram.voltages.shape[0] else 0)
    for j in range(ram.v.shape[0]):
        excitation, inhibition = np.float32(slot[0, j]), np.float32(slot[1, j])
        slot[0, j] = 0
        slot[1, j] = 0
        if currents:
            excitation = ram.exc_decay[j] * ram.exc_current[j] + excitation
            inhibition = ram.inh_decay[j] * ram.inh_current[j] + inhibition
            ram.exc_current[j] = excitation
            ram.inh_current[j] = inhibition
        v = ram.v[j]
        if currents and ram.refractory[j] > 0:
            ram.refractory[j] -= 1
        else:
            v = ram.alpha_decay[j] * v + (excitation - inhibition) + ram.i_offset[j]
        if v >= ram.threshold[j]:
            v = v - ram.threshold[j] if ram.subtract[0] else ram.v_reset[j]
            send(pe, OUT, j)
            note_spike(ram, j, t)
            if currents:
                ram.refractory[j] = ram.t_refrac[j]
        ram.v[j] = v
        note_voltage(ram, j, v, t)


program = Program(
    tick=tick, regions=regions, parameters=Parameters, inputs=("spikes",), outputs=("spikes",), fifo=Fifo(256, 0),
    counts=COUNTS,
    errors={
        NOT_HEARD: "a spike came from a part that this PE has no synapses from (the log has its key)",
        RING_FULL: "the weights of one tick add up to more than 65535 for a neuron, and the ring has 16 bits: "
        "use smaller weights or fewer synapses (the log has the key of the spike)",
    },
    logs=LOGS | {NOT_HEARD: "spike with key {:.0f}", RING_FULL: "spike with key {:.0f}"}, log=8,
)  # fmt: skip
