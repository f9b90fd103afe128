"""Neuron layer PE: LIF neurons forward, EventProp adjoint backward, its gradient to the optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import (
    count,
    current_phase,
    float_word,
    kernel,
    log,
    packet_index,
    phase_tick,
    receive_array,
    send,
    send_array,
    send_float,
    send_words,
    set_phase,
)
from spinn2emu.sram import align
from spinn2fw.eventprop.common import (
    BACKWARD,
    FORWARD,
    NOT_RELEASED,
    find_release,
    sample_phases,
)
from spinn2fw.kernels import lif
from spinn2fw.kernels.events import mark
from spinn2fw.kernels.keys import RELEASE_EVALUATE
from spinn2fw.kernels.layout import NEURONS as BITS

INPUTS = ("control", "weights", "spikes", "errors")
OUTPUTS = ("spikes", "errors", "gradients", "silent")
CONTROL, _, SPIKES, ERRORS = range(4)
OUT_SPIKES, OUT_ERRORS, OUT_GRADIENTS, OUT_SILENT = range(4)
RECORD_FULL, INPUT_FULL, BAD_INPUT = 1, 2, 3
COUNTS = ("cleared", "steps", "neurons", "rows", "synapses", "spikes", "sums", "left", "scanned")
"""What cycles depend on: words that a sample begins with cleared; steps, forward or backward, and their neurons; input
spikes, each a row of weights or of the gradient, and their synapses; own spikes in a backward step; products in the
errors of input spikes; gradients that leave; neurons that are looked at for silence."""
CLEARED, STEPS, NEURONS, ROWS, SYNAPSES, SPIKES_BACK, SUMS, LEFT, SCANNED = range(len(COUNTS))

STATE = np.dtype(
    [("T", "i4"), ("evaluating", "i4"), ("running", "i4"), ("send_errors", "i4"), ("send_silent", "i4"),
     ("alpha", "f4"), ("beta", "f4"), ("one_minus_alpha", "f4"), ("one_minus_beta", "f4"), ("tau_s", "f4")]
)  # fmt: skip


class Parameters(pydantic.BaseModel, extra="forbid"):
    """Shape, ticks, and the constants of `spinn2fw.kernels.lif`; errors go to the previous layer if there is one."""

    n_in: int = pydantic.Field(ge=1, le=65535)
    n_out: int = pydantic.Field(ge=1, le=65535)
    T: int = pydantic.Field(ge=2, le=65535)
    alpha: float
    beta: float
    one_minus_alpha: float
    one_minus_beta: float
    tau_s: float
    send_errors: bool
    send_silent: bool


def regions(p: Parameters, available: int) -> list[Region]:
    """State, weights, gradient, and the records of spikes: as long as the worst case, or what fits."""
    constants = (p.T, 0, 0, p.send_errors, p.send_silent, p.alpha, p.beta, p.one_minus_alpha, p.one_minus_beta, p.tau_s)
    fixed = [
        Region("state", STATE, (1,), "", np.array([constants], STATE)),
        Region("W", np.float32, (p.n_in, p.n_out), "threshold"),
        Region("G", np.float32, (p.n_in, p.n_out), "1/threshold"),
        Region("I", np.float32, (p.n_out,), "threshold"),
        Region("V", np.float32, (p.n_out,), "threshold"),
        Region("lI", np.float32, (p.n_out,)),
        Region("lV", np.float32, (p.n_out,)),
        Region("e", np.float32, (p.n_out,), "1/tick"),
        Region("in_start", np.int32, (p.T + 1,), "spike"),
        Region("out_start", np.int32, (p.T + 1,), "spike"),
    ]
    left = available - sum(align(region.nbytes) for region in fixed) - 64
    worst_in, worst_out = p.n_in * (p.T - 1), p.n_out * (p.T - 1)
    scale = min(1.0, max(0, left) / (2 * worst_in + 6 * worst_out))
    # At least one spike per neuron: with less room than that the layer does not fit, which the linker reports.
    n_in, n_out = max(p.n_in, int(worst_in * scale)), max(p.n_out, int(worst_out * scale))
    return [
        *fixed,
        Region("in_id", np.uint16, (n_in,), "id"),
        Region("out_id", np.uint16, (n_out,), "id"),
        Region("out_d", np.float32, (n_out,), "threshold"),
    ]


def drain(pe: Any, ram: Any, rx: Any) -> int:
    """Takes over new weights as they arrive."""
    weights = ram.W.reshape(ram.W.size)
    for packet in rx:
        receive_array(packet, packet_index(pe, packet), weights)
    return 0


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`."""
    s, i = ram.state[0], phase_tick(pe, t)
    if current_phase(pe) == BACKWARD:
        step = s.T - 2 - i
        return backward(pe, ram, rx, step) if step >= 0 else 0
    if i == 0:
        return begin(pe, ram, rx)
    if i < s.T:
        return forward(pe, ram, rx, i)
    if s.evaluating:
        set_phase(pe, FORWARD)
    return 0


@kernel
def begin(pe: Any, ram: Any, rx: Any) -> int:
    """Tick 0: without a release waits for one, else clears the state for the sample."""
    release = find_release(pe, rx, CONTROL)
    if release == NOT_RELEASED:
        set_phase(pe, FORWARD)
        return 0
    ram.state[0].evaluating = release == RELEASE_EVALUATE
    count(pe, CLEARED, ram.G.size + 5 * ram.I.size + 2 * ram.in_start.size)
    ram.G[:] = 0
    for state in (ram.I, ram.V, ram.lI, ram.lV, ram.e):
        state[:] = 0
    ram.in_start[:] = 0
    ram.out_start[:] = 0
    return 0


@kernel
def forward(pe: Any, ram: Any, rx: Any, i: int) -> int:
    """Forward step i with the spikes that were sent in tick i - 1; sends its own."""
    s = ram.state[0]
    low, high = ram.in_start[i - 1], ram.in_start[i - 1]
    for packet in rx:
        if packet.port == SPIKES:
            if high == ram.in_id.shape[0]:
                log(pe, INPUT_FULL, high)
                return INPUT_FULL
            index = packet_index(pe, packet)
            if index >= ram.W.shape[0]:
                log(pe, BAD_INPUT, index)
                return BAD_INPUT
            place = high
            while place > low and ram.in_id[place - 1] > index:  # ascending, whoever sent them
                ram.in_id[place] = ram.in_id[place - 1]
                place -= 1
            ram.in_id[place] = index
            high += 1
    ram.in_start[i] = high
    first = ram.out_start[i]
    ids, distances = ram.out_id[first:], ram.out_d[first:]
    note_work(pe, ram, high - low)
    spikes = lif.step(ram.W, ram.I, ram.V, s.alpha, s.beta, s.one_minus_beta, ram.in_id[low:high], ids, distances)
    if spikes == lif.FULL:
        log(pe, RECORD_FULL, ram.out_id.shape[0])
        return RECORD_FULL
    ram.out_start[i + 1] = first + spikes
    for q in range(spikes):
        send(pe, OUT_SPIKES, ids[q])
    return 0


@kernel
def note_work(pe: Any, ram: Any, rows: int) -> None:
    """Counts a step with so many input spikes."""
    n = ram.I.shape[0]
    count(pe, STEPS, 1)
    count(pe, NEURONS, n)
    count(pe, ROWS, rows)
    count(pe, SYNAPSES, rows * n)


@kernel
def backward(pe: Any, ram: Any, rx: Any, i: int) -> int:
    """Backward step i: errors to the previous layer, adjoint step, gradient; after step 0 the gradient leaves."""
    s = ram.state[0]
    for packet in rx:
        if packet.port == ERRORS:
            ram.e[packet_index(pe, packet)] += float_word(packet, 0)
    inputs = ram.in_id[ram.in_start[i] : ram.in_start[i + 1]]
    if s.send_errors:
        for k in inputs:
            count(pe, SUMS, ram.I.shape[0])
            send_float(pe, OUT_ERRORS, k, lif.input_error(ram.W, ram.lI, ram.lV, np.int64(k)))
    own = slice(ram.out_start[i + 1], ram.out_start[i + 2])
    note_work(pe, ram, inputs.shape[0])
    count(pe, SPIKES_BACK, ram.out_start[i + 2] - ram.out_start[i + 1])
    lif.adjoint_step(ram.lI, ram.lV, s.alpha, s.one_minus_alpha, s.beta, ram.e, ram.out_id[own], ram.out_d[own])
    lif.add_gradient(ram.G, ram.lI, s.tau_s, inputs)
    if i == 0:
        count(pe, LEFT, 1)
        send_array(pe, OUT_GRADIENTS, 0, ram.G.reshape(ram.G.size))
        if s.send_silent:
            report_silent(pe, ram)
    return 0


@kernel
def report_silent(pe: Any, ram: Any) -> None:
    """Sends which neurons stayed silent in this sample: bit j of packet p is neuron 128 p + j."""
    n = ram.V.shape[0]
    count(pe, SCANNED, n)
    spoke = ram.e  # all 0 after the last step; borrowed as scratch
    mark(spoke, ram.out_id[: ram.out_start[ram.out_start.shape[0] - 1]])
    for p in range((n + BITS - 1) // BITS):
        words = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
        w0, w1, w2, w3 = words
        for j in range(BITS * p, min(n, BITS * (p + 1))):
            bit = np.uint32(spoke[j] == 0) << np.uint32(j & 31)
            word = (j - BITS * p) // 32
            if word == 0:
                w0 |= bit
            elif word == 1:
                w1 |= bit
            elif word == 2:
                w2 |= bit
            else:
                w3 |= bit
        send_words(pe, OUT_SILENT, p, w0, w1, w2, w3)
    spoke[:] = 0


def phases(p: Parameters) -> list[Phase]:
    """Forward: control, weights and spikes are live; backward: errors."""
    return sample_phases(
        p.T, ("control", "weights", "spikes"), ("errors",), ("spikes",), ("errors", "gradients", "silent")
    )  # fmt: skip


program = Program(
    tick=tick,
    drain=drain,
    parameters=Parameters,
    regions=regions,
    inputs=INPUTS,
    outputs=OUTPUTS,
    counts=COUNTS,
    phases=phases,
    fifo=lambda p: (Fifo(32, 16, drain="interrupt", ports=("weights",)), Fifo(64 + max(p.n_in, p.n_out))),
    errors={
        RECORD_FULL: "the layer's spike record is full (the log has its length): use fewer neurons or smaller T",
        INPUT_FULL: "the record of input spikes is full (the log has its length); use fewer inputs or a smaller T",
        BAD_INPUT: "a spike came from an input that the layer has no weights for (the log has its id)",
    },
)
