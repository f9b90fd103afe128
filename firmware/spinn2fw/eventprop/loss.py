"""Loss PE: time-to-first-spike cross-entropy of one sample after the other, errors back to the last layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu.program import Fifo, Program, Region
from spinn2emu.sdk import count, current_phase, kernel, packet_index, phase_tick, send_float, set_phase
from spinn2emu.sram import align
from spinn2fw.eventprop.common import (
    FORWARD,
    NOT_RELEASED,
    find_release,
    sample_phases,
)
from spinn2fw.kernels import finite
from spinn2fw.kernels.keys import RELEASE_EVALUATE
from spinn2fw.kernels.loss import NO_LABEL, classify, note_first, sample_loss

CONTROL, SPIKES = range(2)
ERRORS = 0  # output port
EMPTY = 1
COUNTS = ("begun", "classes", "scanned")
"""What cycles depend on: samples that begin; classes in the loss, and those that are looked at for errors to send."""
BEGUN, CLASSES, SCANNED = range(len(COUNTS))

STATE = np.dtype(
    [("T", "i4"), ("samples", "i4"), ("next", "i4"), ("current", "i4"), ("evaluating", "i4"),
     ("xi", "f4"), ("a", "f4"), ("b", "f4"), ("batch", "f4")]
)  # fmt: skip


class Parameters(pydantic.BaseModel, extra="forbid"):
    """Classes, ticks, labels to hold (less if they do not fit), and the constants of `kernels.loss`."""

    classes: int = pydantic.Field(ge=1, le=254)
    T: int = pydantic.Field(ge=2, le=32766)
    samples: int = pydantic.Field(ge=1)
    batch: int = pydantic.Field(ge=1)
    xi: float = pydantic.Field(gt=0)
    a: float
    b: float = pydantic.Field(gt=0)


def regions(p: Parameters, available: int) -> list[Region]:
    """Labels in; per sample first spikes (tick, T: none), predicted class, cross-entropy and loss out."""
    fixed = [
        Region("state", STATE, (1,), "", np.array([(p.T, 0, 0, -1, 0, p.xi, p.a, p.b, p.batch)], STATE)),
        Region("probability", np.float32, (p.classes,)),
        Region("e", np.float32, (p.classes,), "1/tick"),
    ]
    per_sample = 1 + 1 + 2 * p.classes + 4 + 4
    left = available - sum(align(region.nbytes) for region in fixed) - 128
    samples = max(1, min(p.samples, left // per_sample))
    return [
        *fixed,
        Region("label", np.uint8, (samples,), "class"),
        Region("predicted", np.uint8, (samples,), "class"),
        Region("first", np.int16, (samples, p.classes), "tick"),
        Region("ce", np.float32, (samples,), "nat"),
        Region("loss", np.float32, (samples,), "nat"),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Tick of the schedule in `spinn2fw.eventprop`."""
    s = ram.state[0]
    i = phase_tick(pe, t)
    if current_phase(pe) == FORWARD:
        if i == 0:
            return begin(pe, ram, rx)
        for packet in rx:
            if packet.port == SPIKES:
                note_first(ram.first[s.current], packet_index(pe, packet), i - 1)
        if i < s.T:
            return 0
        finish(pe, ram)
        if s.evaluating:  # what is not finite then, the host finds: quads do not wait for each other
            set_phase(pe, FORWARD)
            return 0
        if not np.isfinite(ram.loss[s.current]):
            return finite.LOSS
        send_errors(pe, ram, s.T - 1)
    else:
        send_errors(pe, ram, s.T - 2 - i)
    return 0


@kernel
def begin(pe: Any, ram: Any, rx: Any) -> int:
    """Tick 0: without a release waits for one."""
    s, release = ram.state[0], find_release(pe, rx, CONTROL)
    if release == NOT_RELEASED:
        set_phase(pe, FORWARD)
        return 0
    count(pe, BEGUN, 1)
    s.evaluating = release == RELEASE_EVALUATE
    s.current = s.next
    s.next += 1
    if s.current >= s.samples:
        return EMPTY
    ram.first[s.current, :] = s.T
    return 0


@kernel
def finish(pe: Any, ram: Any) -> None:
    """Tick T: all spikes are in."""
    s = ram.state[0]
    count(pe, CLASSES, ram.e.shape[0])
    first, label = ram.first[s.current], ram.label[s.current]
    ram.predicted[s.current] = classify(first)
    ce, loss = sample_loss(first, label, s.xi, s.a, s.b, s.batch, ram.probability, ram.e)
    ram.ce[s.current] = ce
    ram.loss[s.current] = loss


@kernel
def send_errors(pe: Any, ram: Any, i: int) -> None:
    """The error of each class whose first spike was in step i."""
    s = ram.state[0]
    if ram.label[s.current] == NO_LABEL:
        return
    count(pe, SCANNED, ram.e.shape[0])
    for k in range(ram.e.shape[0]):
        if ram.first[s.current, k] == i:
            send_float(pe, ERRORS, k, ram.e[k])


program = Program(
    tick=tick,
    parameters=Parameters,
    regions=regions,
    inputs=("control", "spikes"),
    outputs=("errors",),
    counts=COUNTS,
    phases=lambda p: sample_phases(p.T, ("control", "spikes"), (), ("errors",), ("errors",)),
    fifo=lambda p: Fifo(8 + p.classes, 0),
    errors={
        EMPTY: "a sample was released that has no label in the buffer; fill it before the run",
        finite.LOSS: finite.TEXTS[finite.LOSS],
    },
)
