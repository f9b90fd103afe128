"""Optimizer PE: releases a sample, sums the gradients of the batch, makes an Adam step, multicasts the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import current_phase, float_word, kernel, log, packet_index, send, send_array, set_phase
from spinn2emu.sram import align
from spinn2fw.kernels import adam, finite
from spinn2fw.kernels.keys import (
    END_OF_DATA,
    RELEASE_EVALUATE,
    RELEASE_TRAIN,
    TO_INPUTS,
    layer_of,
    place_of,
    sample_of,
)  # fmt: skip

GRADIENTS, SILENT = range(2)
OUTPUTS = ("control", *(f"weights{layer}" for layer in range(1, spec.MAX_PORTS.value)))
CONTROL, WEIGHTS = 0, 1  # the weights of layer l leave on port l
IDLE, TRAINING, UPDATE, EVALUATING = range(4)
MISSING, NO_RATE = 1, 2

STATE = np.dtype(
    [("layers", "i4"), ("batch", "i4"), ("to_train", "i4"), ("to_evaluate", "i4"), ("step", "i4"), ("rates", "i4"),
     ("fresh", "i4"), ("ahead", "i4"), ("released", "i4"), ("patience", "i4"),
     ("boost", "f4"), ("beta1", "f4"), ("beta2", "f4"), ("rest1", "f4"), ("rest2", "f4"), ("eps", "f4"),
     ("weight_decay", "f4")]
)  # fmt: skip


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`layers`: (n_in, n_out) of each; `steps`: rates to hold (less if they do not fit); `patience` 0: no waking.

    `ahead`: the input PEs hear every so many releases.
    """

    layers: list[tuple[int, int]] = pydantic.Field(min_length=1, max_length=spec.MAX_PORTS.value - 1)
    T: int = pydantic.Field(ge=2)
    batch: int = pydantic.Field(ge=1, le=255)
    steps: int = pydantic.Field(ge=1)
    ahead: int = pydantic.Field(default=1, ge=1)
    beta1: float
    beta2: float
    rest1: float
    rest2: float
    eps: float
    weight_decay: float
    patience: int = pydantic.Field(ge=0)
    boost: float


def regions(p: Parameters, available: int) -> list[Region]:
    """Weights, moments and one gradient, flat, a layer behind the other; a step size and a scale per step."""
    sizes, outputs = [a * b for a, b in p.layers], [b for _, b in p.layers]
    n, neurons = sum(sizes), sum(outputs)
    constants = (len(p.layers), p.batch, 0, 0, 0, 0, 1, p.ahead, 0, p.patience, p.boost, p.beta1, p.beta2, p.rest1,
                 p.rest2, p.eps, p.weight_decay)  # fmt: skip
    fixed = [
        Region("state", STATE, (1,), "", np.array([constants], STATE)),
        Region("shape", np.int32, (len(p.layers), 2), "neuron", np.array(p.layers)),
        Region("W", np.float32, (n,), "threshold"),
        Region("m", np.float32, (n,)),
        Region("v", np.float32, (n,)),
        Region("G", np.float32, (n,)),
        Region("silence", np.int32, (neurons,), "sample"),
        Region("spoke", np.uint8, (neurons,), "0/1"),
        Region("runs", np.int32, (len(p.layers), p.batch), "packet"),
    ]
    left = available - sum(align(region.nbytes) for region in fixed) - 16
    return [*fixed, Region("rates", np.float32, (max(1, min(p.steps, left // 8)), 2), "step size, scale")]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`: only IDLE and UPDATE do anything."""
    phase = current_phase(pe)
    if phase == UPDATE:
        code = update(pe, ram, rx)
        if code:
            return code
    if phase == IDLE or phase == UPDATE:
        release(pe, ram)
    return 0


@kernel
def release(pe: Any, ram: Any) -> None:
    """Sends the weights, if they are new, and releases the next sample of every quad; or waits for the host.

    The host asks for training or for evaluation in a run, not for both: the input PEs do not hear every release.
    """
    s = ram.state[0]
    if s.to_train == 0 and s.to_evaluate == 0:
        s.released = 0
        if current_phase(pe) == UPDATE:
            send(pe, CONTROL, END_OF_DATA)
        return
    if s.fresh:
        first = 0
        for layer in range(s.layers):
            size = ram.shape[layer, 0] * ram.shape[layer, 1]
            send_array(pe, WEIGHTS + layer, 0, ram.W[first : first + size])
            first += size
        s.fresh = 0
    kind = RELEASE_TRAIN if s.to_train > 0 else RELEASE_EVALUATE
    send(pe, CONTROL, kind)
    if s.released % s.ahead == 0:
        send(pe, CONTROL, TO_INPUTS | kind)
    s.released += 1
    if kind == RELEASE_TRAIN:
        s.to_train -= 1
        set_phase(pe, TRAINING)
    else:
        s.to_evaluate -= 1
        set_phase(pe, EVALUATING)


@kernel
def update(pe: Any, ram: Any, rx: Any) -> int:
    """Sums the gradients by ascending sample, makes the step, and wakes neurons that are silent too long."""
    s = ram.state[0]
    if s.step >= s.rates:
        return NO_RATE
    code = sum_gradients(pe, ram, rx)
    if code:
        return code
    step_size, scale = ram.rates[s.step]
    rest1, rest2 = s.rest1, s.rest2
    adam.adam_step(ram.W, ram.m, ram.v, ram.G, step_size, scale, s.beta1, s.beta2, rest1, rest2, s.eps, s.weight_decay)
    s.step += 1
    s.fresh = 1
    if s.patience > 0:
        note_speakers(pe, ram, rx)
        first, neuron = 0, 0
        for layer in range(s.layers):
            n_in, n_out = ram.shape[layer]
            W = ram.W[first : first + n_in * n_out].reshape(n_in, n_out)
            silence, spoke = ram.silence[neuron : neuron + n_out], ram.spoke[neuron : neuron + n_out]
            adam.wake_silent(W, silence, spoke, s.batch, s.patience, s.boost)
            first += n_in * n_out
            neuron += n_out
    return finite.check_step(ram.W, ram.m, ram.v)


@kernel
def sum_gradients(pe: Any, ram: Any, rx: Any) -> int:
    """G = sum over samples, ascending. Each sample's packets of a layer are consecutive: one sender, one tick."""
    s = ram.state[0]
    ram.runs[:] = -1
    for p in range(rx.shape[0]):
        index = packet_index(pe, rx[p])
        if rx[p].port == GRADIENTS and place_of(index) == 0:
            ram.runs[layer_of(index) - 1, sample_of(index)] = p
    ram.G[:] = 0
    first = 0
    for layer in range(s.layers):
        size = np.int64(ram.shape[layer, 0]) * ram.shape[layer, 1]
        G, packets = ram.G[first : first + size], (size + 3) // 4
        for sample in range(s.batch):
            run = ram.runs[layer, sample]
            if (
                run < 0
                or run + packets > rx.shape[0]
                or place_of(packet_index(pe, rx[run + packets - 1])) != packets - 1
            ):
                log(pe, MISSING, sample)
                return MISSING
            for i in range(size):
                G[i] += float_word(rx[run + i // 4], i % 4)
        first += size
    return 0 if finite.all_finite(ram.G) else finite.GRADIENT


@kernel
def note_speakers(pe: Any, ram: Any, rx: Any) -> None:
    """spoke[j] = 1 if neuron j spiked in any sample of the batch."""
    ram.spoke[:] = 0
    for packet in rx:
        if packet.port == SILENT:
            index, neuron = packet_index(pe, packet), 0
            layer = layer_of(index) - 1
            for below in range(layer):
                neuron += ram.shape[below, 1]
            base = 128 * place_of(index)
            for j in range(base, min(np.int64(ram.shape[layer, 1]), base + 128)):
                silent = packet.payload[(j - base) // 32] >> np.uint32(j & 31) & np.uint32(1)
                ram.spoke[neuron + j] |= 1 - silent


def phases(p: Parameters) -> list[Phase]:
    """After a release the optimizer listens to nobody until the gradients leave (training) or the sample ends."""
    outputs = OUTPUTS[: len(p.layers) + 1]
    after = ("idle", "training", "evaluating")
    return [
        Phase("idle", 1, (), outputs, after),
        Phase("training", 2 * p.T, (), (), ("update",)),
        Phase("update", 1, ("gradients", "silent"), outputs, after),
        Phase("evaluating", p.T, (), (), ("idle",)),
    ]


program = Program(
    tick=tick,
    parameters=Parameters,
    regions=regions,
    inputs=("gradients", "silent"),
    outputs=OUTPUTS,
    phases=phases,
    fifo=Fifo(64, 16),
    errors={
        MISSING: "gradient packets of a sample (the log has its number) are missing",
        NO_RATE: "no step size for this step; fill `rates` before the run",
        **{code: finite.TEXTS[code] for code in (finite.GRADIENT, finite.WEIGHTS, finite.MOMENTS)},
    },
)
