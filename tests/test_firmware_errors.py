"""Every error code of every firmware program: what brings it about, in which tick, and what it says; in both loops."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Chips

import spinn2fw
from spinn2emu.errors import PeFailed
from spinn2emu.program import Program
from spinn2fw.eventprop import adam, input, layer, loss
from spinn2fw.examples import lif
from spinn2fw.kernels import finite, synapses
from spinn2fw.kernels.keys import LAYER_SHIFT, RELEASE_TRAIN, SAMPLE_SHIFT
from spinn2fw.snn import receiver
from spinn2host.chip import Chip, PeProgram

PE, PLAYER = 77, 5
Packet = tuple[int, int, Sequence[float]]
"""Tick of sending, key, payload (float32)."""

PORTS = {"control": 1, "weights": 2, "spikes": 3, "gradients": 4, "silent": 5, "errors": 6, "host": 7}
"""Bits 31:28 of the keys that each input port hears."""


def key(port: str, index: int = 0) -> int:
    return PORTS[port] << 28 | index


def release(tick: int = 0) -> Packet:
    """Of a sample for training; it begins in the next tick."""
    return tick, key("control", RELEASE_TRAIN), ()


def gradient(tick: int, sample: int, index: int, *values: float) -> Packet:
    """Four entries of layer 1's gradient."""
    return tick, key("gradients", 1 << LAYER_SHIFT | sample << SAMPLE_SHIFT | index), (*values, 0, 0, 0, 0)[:4]


ADAM = {
    "layers": [(2, 3)], "T": 2, "batch": 2, "steps": 4, "beta1": 0.9, "beta2": 0.999, "rest1": 0.1, "rest2": 0.001,
    "eps": 1e-8, "weight_decay": 0.0, "patience": 0, "boost": 0.0,
}  # fmt: skip
UPDATE = 2 * ADAM["T"] + 1
"""Tick of the first update: release in tick 0, 2T ticks of training."""
GRADIENTS = [gradient(UPDATE - 1, sample, i, 1.0, 2.0, 3.0, 4.0) for sample in range(2) for i in range(2)]
"""Two packets of either sample."""
NEXT_GRADIENTS = [(tick + UPDATE, *rest) for tick, *rest in GRADIENTS]
"""Of the following step."""
LAYER = {
    "n_in": 1, "n_out": 2, "T": 5, "alpha": 0.5, "beta": 0.5, "one_minus_alpha": 0.5, "one_minus_beta": 0.5,
    "tau_s": 5.0, "send_errors": False, "send_silent": False,
}  # fmt: skip
NEURON = {"n": 1, "entries": 1, "rows": 256, "words": 1}
SYNAPSE = {
    "table": np.array([(key("spikes", 0x100), 0xFFFFFF00, 0, -1)], synapses.ENTRY),
    "rows": np.array([0, *[1] * 256], np.uint16), "words": np.array([15 << 12], np.uint16),
}  # fmt: skip
"""From neuron 0 of a part that the PE hears, with the largest weight."""
N_OUT, T = 700, 100
"""Of a layer whose neurons spike in every step: there is no room for all these spikes."""


class Case(NamedTuple):
    """A program that fails with `code` in `tick` (-1: see the test); `logged`: the value of its last log entry."""

    program: str
    parameters: Mapping[str, Any]
    data: Mapping[str, Any]
    packets: Sequence[Packet]
    code: int
    tick: int
    logged: float | None = None


def adam_case(
    packets: Sequence[Packet], code: int, logged: float | None = None, *, train: int = 1, rates: int = 4,
    layers: Sequence[tuple[int, int]] = ((2, 3),), **data: Any,
) -> Case:  # fmt: skip
    """The last of `train` steps fails; the host has filled so many rates."""
    state = {"state.to_train": train, "state.rates": rates, "rates": np.full((4, 2), 0.1, np.float32), **data}
    parameters = {**ADAM, "layers": list(layers)}
    return Case("spinn2fw.eventprop.adam", parameters, state, packets, code, train * UPDATE, logged)


CASES: dict[str, Case] = {
    "adam: no gradient at all": adam_case([], adam.MISSING, 0),
    "adam: the first sample's gradient is missing": adam_case(GRADIENTS[2:], adam.MISSING, 0),
    "adam: the last sample's gradient is missing": adam_case(GRADIENTS[:2], adam.MISSING, 1),
    "adam: a gradient of one packet is missing": adam_case(GRADIENTS[:1], adam.MISSING, 1, layers=[(1, 3)]),
    "adam: the end of the first gradient is missing": adam_case(
        [GRADIENTS[0], *GRADIENTS[2:]], adam.MISSING, 0
    ),
    "adam: the end of the last gradient is missing, as it was not in the step before": adam_case(
        [*GRADIENTS, *NEXT_GRADIENTS[:3]], adam.MISSING, 1, train=2
    ),
    "adam: gradients come in another order than by sample": adam_case(
        [*GRADIENTS[2:], *GRADIENTS[:2]], adam.MISSING, 0
    ),
    "adam: layers come in another order": adam_case(
        [gradient(UPDATE - 1, 0, 1 << LAYER_SHIFT), *GRADIENTS], adam.MISSING, 0, layers=[(2, 3), (3, 1)]
    ),
    "adam: a gradient too many": adam_case([*GRADIENTS, gradient(UPDATE - 1, 2, 0)], adam.MISSING, 2),
    "adam: no rate": adam_case([*GRADIENTS, *NEXT_GRADIENTS], adam.NO_RATE, train=2, rates=1),
    "adam: gradient": adam_case(
        [*GRADIENTS[:3], gradient(UPDATE - 1, 1, 1, np.nan, 1.0)], finite.GRADIENT
    ),
    "adam: weights": adam_case(GRADIENTS, finite.WEIGHTS, W=np.full(6, np.inf, np.float32)),
    "adam: moments": adam_case(GRADIENTS, finite.MOMENTS, v=np.full(6, np.inf, np.float32)),
    "input: empty": Case(
        "spinn2fw.eventprop.input", {"T": 5, "samples": 2, "events": 10}, {}, [release()], input.EMPTY, 1
    ),
    "layer: more input spikes than can be recorded": Case(
        "spinn2fw.eventprop.layer", {**LAYER, "T": 2}, {}, [release(), *[(1, key("spikes"), ())] * 2],
        layer.INPUT_FULL, 2, 1,
    ),
    "layer: a spike from nowhere": Case(
        "spinn2fw.eventprop.layer", LAYER, {}, [release(), (1, key("spikes", 1), ())], layer.BAD_INPUT, 2, 1
    ),
    "layer: more output spikes than can be recorded": Case(
        "spinn2fw.eventprop.layer", {**LAYER, "n_out": N_OUT, "T": T, "alpha": 1.0},
        {"W": np.full((1, N_OUT), 1e3, np.float32)}, [release(), (1, key("spikes"), ())], layer.RECORD_FULL, -1,
    ),
    "loss: empty": Case(
        "spinn2fw.eventprop.loss", {"classes": 3, "T": 5, "samples": 2, "batch": 1, "xi": 1.0, "a": 0.0, "b": 1.0}, {},
        [release()], loss.EMPTY, 1,
    ),
    "loss: loss": Case(
        "spinn2fw.eventprop.loss", {"classes": 3, "T": 5, "samples": 1, "batch": 1, "xi": 1.0, "a": 1.0, "b": 1e-3},
        {"state.samples": 1}, [release()], finite.LOSS, 1 + 5,
    ),
    "lif: a spike from nowhere": Case(
        "spinn2fw.examples.lif", {"n": 3, "n_in": 4}, {}, [(0, key("spikes", 3), ()), (1, key("spikes", 4), ())],
        lif.BAD_SOURCE, 2,
    ),
    "neurons: a spike from nowhere": Case(
        "spinn2fw.snn.neurons", NEURON, SYNAPSE, [(0, key("spikes", 0x1FF), ()), (1, key("spikes", 0x200), ())],
        synapses.NOT_HEARD, 2,
    ),
    "neurons: more weight in a tick than 16 bits hold": Case(
        "spinn2fw.snn.neurons", NEURON, {**SYNAPSE, "ring": np.full((8, 2, 1), 0xFFFF - 14, np.uint16)},
        [(0, key("spikes", 0x100), ())], synapses.RING_FULL, 1,
    ),
    "receiver: no such neuron": Case(
        "spinn2fw.snn.receiver", {"n": 2}, {}, [(0, key("host", 1), ()), (1, key("host", 2), ())], receiver.NO_NEURON, 2
    ),
}  # fmt: skip


def programs() -> dict[str, Program]:
    """All programs of the firmware, by module."""
    modules = [importlib.import_module(info.name) for info in pkgutil.walk_packages(spinn2fw.__path__, "spinn2fw.")]
    return {module.__name__: module.program for module in modules if hasattr(module, "program")}


def test_every_code_has_a_case() -> None:
    declared = {(name, code) for name, program in programs().items() for code in program.errors}
    assert len(declared) > 8
    assert declared == {(case.program, case.code) for case in CASES.values()}


def player(packets: Sequence[Packet]) -> PeProgram:
    """Sends these packets."""
    count = max(1, len(packets))
    data = {
        "tick": np.full(count, 2**32 - 1, np.uint32), "index": np.zeros(count, np.uint32),
        "port": np.zeros(count, np.uint8), "size": np.zeros(count, np.uint8),
        "payload": np.zeros((count, 4), np.uint32),
    }  # fmt: skip
    for i, (tick, index, payload) in enumerate(packets):
        data["tick"][i], data["index"][i], data["size"][i] = tick, index, len(payload)
        data["payload"][i, : len(payload)] = np.array(payload, np.float32).view(np.uint32)
    parameters = {"ports": ["packets"], "count": count, "words": 4}
    return PeProgram(PLAYER, "spinn2fw.replay", parameters, outputs={"packets": (0, 0)}, data=data)


@pytest.fixture(params=["compiled", "python"])
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """With either loop of the PEs."""
    return chips(loop=request.param)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_fails_with_its_code_and_text(chip: Chip, case: Case) -> None:
    inputs = programs()[case.program].inputs
    target = PeProgram(PE, case.program, dict(case.parameters), {port: (key(port), 0xF0000000) for port in inputs})
    chip.deploy([player(case.packets), target], [(0, 0x80000000, [PE])])
    for where, values in case.data.items():
        chip.write(PE, where, values)
    tick, logged = case.tick, case.logged
    if tick < 0:
        logged = chip.maps[PE]["out_id"].shape[0]
        assert N_OUT < logged < N_OUT * (T - 1)
        tick = 2 + logged // N_OUT  # the first spikes are sent in tick 2
    with pytest.raises(PeFailed) as caught:
        chip.run(T + 5)
    error = caught.value
    assert (error.pe, error.program, error.code, error.tick) == (PE, case.program, case.code, tick)
    assert programs()[case.program].errors[case.code] in str(error)
    assert chip.read(PLAYER, "next")[0] > 0 or not case.packets
    if logged is not None:
        assert error.log[-1] == f"tick {tick}: code {case.code}, {logged:g}"
