"""Optimizer PE: releases a sample, sums the gradients of the batch, makes an Adam step, multicasts the weights.

Gradients are added as they arrive, by the interrupt of a FIFO (`drain`): they come by ascending PE, so by ascending
sample, and those of a layer in the order of its weights. So the next packet's key and place are known before it is
there: nothing is computed of a key, and a packet that is missing is noticed at the one that comes instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import (
    count,
    current_phase,
    float_word,
    kernel,
    log,
    packet_index,
    phase_tick,
    send,
    send_array,
    set_phase,
)
from spinn2emu.sram import align
from spinn2fw.kernels import adam, finite, layout
from spinn2fw.kernels.keys import (
    END_OF_DATA,
    LAYER_SHIFT,
    RELEASE_EVALUATE,
    RELEASE_TRAIN,
    SAMPLE_SHIFT,
    TO_INPUTS,
    layer_of,
    place_of,
)  # fmt: skip
from spinn2fw.kernels.layout import GRADIENTS_AT_ONCE, SILENT_AT_ONCE, WORDS, first_places

GRADIENTS, SILENT = range(2)
OUTPUTS = ("control", *(f"weights{layer}" for layer in range(1, spec.MAX_PORTS.value)))
CONTROL, WEIGHTS = 0, 1  # the weights of layer l leave on port l
IDLE, TRAINING, UPDATE, EVALUATING = range(4)
MISSING, NO_RATE = 1, 2
COUNTS = ("released", "cleared", "layers", "weights", "checked", "neurons", "raised")
"""What cycles depend on: samples that are released; words that a batch begins with cleared; layers, weights, and their
neurons in an update; numbers that are looked at whether they are finite; weights of neurons that are woken."""
RELEASED, CLEARED, LAYERS, STEPPED, CHECKED, NEURONS, RAISED = range(len(COUNTS))

STATE = np.dtype(
    [("layers", "i4"), ("batch", "i4"), ("to_train", "i4"), ("to_evaluate", "i4"), ("step", "i4"), ("rates", "i4"),
     ("fresh", "i4"), ("ahead", "i4"), ("released", "i4"), ("patience", "i4"),
     ("sample", "i4"), ("layer", "i4"), ("place", "i4"),  # of the gradient's next packet; sample == batch: none
     ("boost", "f4"), ("beta1", "f4"), ("beta2", "f4"), ("rest1", "f4"), ("rest2", "f4"), ("eps", "f4"),
     ("weight_decay", "f4")]
)  # fmt: skip
LAYER = np.dtype([("n_in", "i4"), ("n_out", "i4"), ("first", "i4"), ("last", "i4"), ("first_silent", "i4")])
"""Of a layer: its shape; its packets are those from `first` to `last` - 1, of silent neurons from `first_silent`."""


class Parameters(pydantic.BaseModel, extra="forbid"):
    """`layers`: (n_in, n_out) of each; `steps`: rates to hold (less if they do not fit); `patience` 0: no waking.

    `ahead`: the input PEs hear every so many releases. `update_ticks`: of the update; `shares`: the part of the weights
    that is updated in each of them (empty: the same in all).
    """

    layers: list[tuple[int, int]] = pydantic.Field(min_length=1, max_length=spec.MAX_PORTS.value - 1)
    T: int = pydantic.Field(ge=2)
    batch: int = pydantic.Field(ge=1, le=255)
    steps: int = pydantic.Field(ge=1)
    ahead: int = pydantic.Field(default=1, ge=1)
    update_ticks: int = pydantic.Field(default=1, ge=1, le=1000)
    shares: list[pydantic.NonNegativeFloat] = []
    beta1: float
    beta2: float
    rest1: float
    rest2: float
    eps: float
    weight_decay: float
    patience: int = pydantic.Field(ge=0)
    boost: float

    @pydantic.model_validator(mode="after")
    def _share_of_each_tick(self) -> Parameters:
        if self.shares and (len(self.shares) != self.update_ticks or not abs(sum(self.shares) - 1) < 1e-6):
            raise ValueError(f"shares: {self.shares} are not one for each of {self.update_ticks} ticks, 1 in all")
        return self


def regions(p: Parameters, available: int) -> list[Region]:
    """Weights, moments and one gradient as `kernels.layout` has them; a step size and a scale per step."""
    firsts = first_places([a * b for a, b in p.layers])
    silent = first_places([b for _, b in p.layers], layout.NEURONS)
    rows = [(*p.layers[i], *firsts[i : i + 2], silent[i]) for i in range(len(p.layers))]
    places, neurons = WORDS * firsts[-1], sum(b for _, b in p.layers)
    constants = (len(p.layers), p.batch, 0, 0, 0, 0, 1, p.ahead, 0, p.patience, 0, 0, 0, p.boost, p.beta1, p.beta2,
                 p.rest1, p.rest2, p.eps, p.weight_decay)  # fmt: skip
    ends = np.cumsum(p.shares or [1 / p.update_ticks] * p.update_ticks) * places
    ends[-1] = places
    fixed = [
        Region("state", STATE, (1,), "", np.array([constants], STATE)),
        Region("layer", LAYER, (len(p.layers),), "neuron, packet", np.array(rows, LAYER)),
        Region("ends", np.int32, (p.update_ticks,), "weight", np.rint(ends).astype(np.int32)),
        Region("W", np.float32, (places,), "threshold"),
        Region("m", np.float32, (places,)),
        Region("v", np.float32, (places,)),
        Region("G", np.float32, (places,)),
        Region("silence", np.int32, (neurons,), "sample"),
        Region("spoke", np.uint8, (neurons,), "0/1"),
        Region("silent", np.uint32, (WORDS * silent[-1],), "bit per neuron"),
    ]
    left = available - sum(align(region.nbytes) for region in fixed) - 16
    return [*fixed, Region("rates", np.float32, (max(1, min(p.steps, left // 8)), 2), "step size, scale")]


def drain(pe: Any, ram: Any, rx: Any) -> int:
    """Takes in gradients, or who was silent, as they arrive."""
    if rx[0].port == SILENT:
        note_silent(pe, ram, rx)
        return 0
    return add_gradients(pe, ram, rx)


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`: only IDLE and UPDATE do anything."""
    phase = current_phase(pe)
    if phase == UPDATE:
        i = phase_tick(pe, t)
        code = update(pe, ram, i)
        if code or i < ram.ends.shape[0] - 1:
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
        for number in range(s.layers):
            first, last = ram.layer[number].first, ram.layer[number].last
            send_array(pe, WEIGHTS + number, 0, ram.W[WORDS * first : WORDS * last])
        s.fresh = 0
    kind = RELEASE_TRAIN if s.to_train > 0 else RELEASE_EVALUATE
    send(pe, CONTROL, kind)
    if s.released % s.ahead == 0:
        send(pe, CONTROL, TO_INPUTS | kind)
    s.released += 1
    count(pe, RELEASED, 1)
    if kind == RELEASE_TRAIN:
        s.to_train -= 1
        expect_gradients(pe, ram)
        set_phase(pe, TRAINING)
    else:
        s.to_evaluate -= 1
        set_phase(pe, EVALUATING)


@kernel
def expect_gradients(pe: Any, ram: Any) -> None:
    """A batch begins: nothing is summed yet, and all were silent."""
    s = ram.state[0]
    s.sample, s.layer, s.place = 0, 0, 0
    count(pe, CLEARED, ram.G.size + ram.silent.size)
    ram.G[:] = 0
    ram.silent[:] = 0xFFFFFFFF


@kernel
def add_gradients(pe: Any, ram: Any, rx: Any) -> int:
    """G += four entries of a packet, sample by sample; the packets must come in that order, none missing.

    Every gradient of a batch comes this way, so cycles count: numbers are unsigned and have 32 bits, since the PE has
    no more and an index that could be negative costs a comparison; and all is read before anything is written.
    """
    s, G = ram.state[0], ram.G
    first_key = np.uint32(rx[0].key - np.uint32(packet_index(pe, rx[0])))  # of the port
    wanted, place, last = expected(ram, first_key), np.uint32(s.place), np.uint32(ram.layer[s.layer].last)
    p, n, one = np.uint32(0), np.uint32(rx.shape[0]), np.uint32(1)
    while p < n:
        packet = rx[p]
        if packet.key != wanted:
            log(pe, MISSING, s.sample)
            return MISSING
        at = np.uint32(place << np.uint32(2))
        sum0, sum1 = G[at] + float_word(packet, 0), G[at + one] + float_word(packet, 1)
        sum2, sum3 = G[at + np.uint32(2)] + float_word(packet, 2), G[at + np.uint32(3)] + float_word(packet, 3)
        G[at] = sum0
        G[at + one] = sum1
        G[at + np.uint32(2)] = sum2
        G[at + np.uint32(3)] = sum3
        p, place, wanted = np.uint32(p + one), np.uint32(place + one), np.uint32(wanted + one)
        if place == last:
            next_layer(ram)
            wanted, place, last = expected(ram, first_key), np.uint32(s.place), np.uint32(ram.layer[s.layer].last)
    s.place = place
    return 0


@kernel
def expected(ram: Any, first_key: np.uint32) -> np.uint32:
    """The key of the gradient's next packet, `first_key` being the port's; none has that of layer 0."""
    s = ram.state[0]
    layer = 0 if s.sample == s.batch else s.layer + 1
    index = layer << LAYER_SHIFT | s.sample << SAMPLE_SHIFT | (s.place - ram.layer[s.layer].first)
    return np.uint32(first_key + np.uint32(index))


@kernel
def next_layer(ram: Any) -> None:
    """A layer's gradient of a sample is complete: the next layer's, or the first of the next sample, follows."""
    s = ram.state[0]
    s.place = ram.layer[s.layer].last
    s.layer += 1
    if s.layer == s.layers:
        s.layer, s.place = 0, 0
        s.sample += 1


@kernel
def note_silent(pe: Any, ram: Any, rx: Any) -> None:
    """Clears the bits of the neurons that spiked in a sample."""
    for packet in rx:
        index = packet_index(pe, packet)
        first = WORDS * (ram.layer[layer_of(index) - 1].first_silent + place_of(index))
        for word in range(WORDS):
            ram.silent[first + word] &= packet.payload[word]


@kernel
def update(pe: Any, ram: Any, i: int) -> int:
    """Tick i of the update: Adam's step on its share of the weights; wakes neurons that are silent too long in the
    last.
    """
    s = ram.state[0]
    if i == 0:
        if s.step >= s.rates:
            return NO_RATE
        if s.sample < s.batch:
            log(pe, MISSING, s.sample)
            return MISSING
        count(pe, CHECKED, ram.G.size)
        if not finite.all_finite(ram.G):
            return finite.GRADIENT
    step_size, scale = ram.rates[s.step]
    low, high, rest1, rest2 = ram.ends[i - 1] if i > 0 else 0, ram.ends[i], s.rest1, s.rest2
    for number in range(s.layers):  # not what lies between them
        layer = ram.layer[number]
        first = max(low, WORDS * layer.first)
        last = min(high, WORDS * layer.first + layer.n_in * layer.n_out)
        if first < last:
            count(pe, LAYERS, 1)
            count(pe, STEPPED, last - first)
            W, m, v, G = ram.W[first:last], ram.m[first:last], ram.v[first:last], ram.G[first:last]
            adam.adam_step(W, m, v, G, step_size, scale, s.beta1, s.beta2, rest1, rest2, s.eps, s.weight_decay)
    if i < ram.ends.shape[0] - 1:
        return 0
    s.step += 1
    s.fresh = 1
    if s.patience > 0:
        wake(pe, ram)
    count(pe, CHECKED, 3 * ram.W.size)
    return finite.check_step(ram.W, ram.m, ram.v)


@kernel
def wake(pe: Any, ram: Any) -> None:
    """Wakes the neurons of all layers that were silent too long."""
    s, neuron = ram.state[0], 0
    for number in range(s.layers):
        n_in, n_out, bits = ram.layer[number].n_in, ram.layer[number].n_out, 32 * WORDS * ram.layer[number].first_silent
        count(pe, NEURONS, n_out)
        for j in range(n_out):
            silent = ram.silent[(bits + j) // 32] >> np.uint32(j & 31) & np.uint32(1)
            ram.spoke[neuron + j] = 1 - silent
        first = WORDS * ram.layer[number].first
        W = ram.W[first : first + n_in * n_out].reshape(n_in, n_out)
        silence, spoke = ram.silence[neuron : neuron + n_out], ram.spoke[neuron : neuron + n_out]
        woken = adam.wake_silent(W, silence, spoke, s.batch, s.patience, s.boost)
        count(pe, RAISED, woken * n_in)
        neuron += n_out


def phases(p: Parameters) -> list[Phase]:
    """After a release the optimizer listens to nobody until the gradients leave (training) or the sample ends."""
    outputs = OUTPUTS[: len(p.layers) + 1]
    after = ("idle", "training", "evaluating")
    return [
        Phase("idle", 1, (), outputs, after),
        Phase("training", 2 * p.T, (), (), ("update",)),
        Phase("update", p.update_ticks, ("gradients", "silent"), outputs, after),
        Phase("evaluating", p.T, (), (), ("idle",)),
    ]


program = Program(
    tick=tick,
    drain=drain,
    parameters=Parameters,
    regions=regions,
    inputs=("gradients", "silent"),
    outputs=OUTPUTS,
    counts=COUNTS,
    phases=phases,
    fifo=(
        Fifo(2 * GRADIENTS_AT_ONCE, 16, drain="interrupt", ports=("gradients",), level=GRADIENTS_AT_ONCE),
        Fifo(2 * SILENT_AT_ONCE, 16, drain="interrupt", level=SILENT_AT_ONCE),
    ),
    errors={
        MISSING: "gradient packets of a sample (the log has its number) are missing, or come before an earlier one's",
        NO_RATE: "no step size for this step; fill `rates` before the run",
        **{code: finite.TEXTS[code] for code in (finite.GRADIENT, finite.WEIGHTS, finite.MOMENTS)},
    },
)
