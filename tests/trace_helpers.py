"""A trace like that of EventProp training, made without a chip, and the pieces it is made of."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spinn2emu import mesh, spec
from spinn2emu.packets import NO_PORT, PacketType, control_byte
from spinn2emu.trace.file import Trace, canonical_order
from spinn2emu.trace.schema import CHIP_TYPES, EVENT, PHASE, ROUTER, Event, Meta, Part, PeInfo, interface_name
from spinn2fw.kernels.keys import PacketKind, key
from spinn2host.mapping import OPTIMIZER, SAMPLE_PES


class Type(enum.IntEnum):
    """Types of packets, as `example_meta` numbers them."""

    SPIKE = len(CHIP_TYPES)
    ERROR = enum.auto()
    GRADIENT = enum.auto()
    WEIGHT = enum.auto()
    CONTROL = enum.auto()
    SILENT = enum.auto()


TYPES = [*CHIP_TYPES, *(kind.name.lower() for kind in Type)]
TICK_NS = spec.TICK_NS.value
NS_BETWEEN_PACKETS = 4
T = 6
"""Ticks of a forward pass; a training step takes 2T + 1."""
STEP_TICKS = 2 * T + 1
FORWARD, BACKWARD = range(2)
INPUT_FORWARD, IDLE = 1, 0
"""Phases of layers and loss; of inputs; of the optimizer."""
LAYER_PORTS = ("control", "weights", "spikes", "errors")
CONTROL, WEIGHTS, SPIKES, ERRORS = range(4)


@dataclass
class Recording:
    """Collects events; `trace` puts them in order."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    phases: list[tuple[int, int, int]] = field(default_factory=list)
    """(PE, tick, number of the phase that it begins)."""

    def send(
        self, tick: int, source: int, type: Type, key: int, to: Mapping[int, int | Event],
        payload: Sequence[int] = (), out: int = 0, phase: int = FORWARD,
    ) -> None:  # fmt: skip
        """A packet, and its copies: for each target the port on which it is received, or why it is dropped.

        It is sent 4 ns behind the same PE's packet before it in the tick.
        """
        number = self.sent[source, tick] = self.sent.get((source, tick), -1) + 1
        sent = NS_BETWEEN_PACKETS * number
        control = control_byte(PacketType.MULTICAST, 4 * len(payload))
        words = tuple((*payload, 0, 0, 0, 0)[:4])

        def add(event: Event, target: int, port: int, latency: int, hops: int) -> None:
            time = tick * TICK_NS + sent + latency
            self.rows.append(
                (time, tick, sent, key, words, source, target, event, type, port, phase, out, hops, control, 0)
            )

        add(Event.SENT, ROUTER, NO_PORT, 0, 0)
        for target, end in to.items():
            hops = mesh.hops(source) + (mesh.hops(target) if target else 0)
            latency = mesh.latency_ns(source, target or None)
            event, port = (end, NO_PORT) if isinstance(end, Event) else (Event.RECEIVED, end)
            add(event, target, port, latency, hops)

    def trace(self, meta: Meta | None = None) -> Trace:
        """The events in canonical order."""
        events = np.array(self.rows, EVENT)
        phases = np.array(sorted(self.phases, key=lambda row: (row[1], row[0])), PHASE)
        return Trace(events[canonical_order(events)], meta or Meta(types=TYPES), phases=phases)


def words_of(values: Iterable[float]) -> list[int]:
    """The float32 values as payload words."""
    return [int(word) for word in np.array(list(values), np.float32).view(np.uint32)]


def chain(sample: int) -> list[int]:
    """PE ids of input, layer 1, layer 2 and loss of a sample: a quad."""
    return [SAMPLE_PES[4 * sample + i] for i in range(4)]


def example_meta(samples: int) -> Meta:
    """Programs and names of `example_trace`."""
    phases = ("forward", "backward")
    layer = PeInfo("spinn2fw.eventprop.layer", LAYER_PORTS, ("spikes", "errors", "gradients", "silent"), phases)
    programs = [
        PeInfo("spinn2fw.eventprop.input", ("control",), ("spikes",), ("start", "forward", "backward", "go on")),
        layer,
        layer,
        PeInfo("spinn2fw.eventprop.loss", ("control", "spikes"), ("errors",), phases),
    ]
    adam_ports = ("gradients", "silent"), ("control", "weights1", "weights2")
    pes = {interface_name(OPTIMIZER): PeInfo("spinn2fw.eventprop.adam", *adam_ports, ("idle", "training", "update"))}
    for sample in range(samples):
        pes |= {interface_name(pe): program for pe, program in zip(chain(sample), programs, strict=True)}
    return Meta(pes, types=TYPES)


STRANGE = "[red]a, $x$; é%: 5"
"""A name that is read by whoever interprets names."""


def population_trace() -> Trace:
    """Spikes of neurons 3 and 57 of `exc`, split at 50, and 200 of STRANGE to a PE of none, which sends an error."""
    *senders, target = range(77, 81)
    recording = Recording()
    for tick, (pe, part, neuron) in enumerate(zip(senders, (0, 1, 2), (3, 7, 200), strict=True)):
        key = 0x10000000 | part << 8 | neuron
        recording.send(tick, pe, Type.SPIKE, key, {target: 0 if part < 2 else Event.FIFO_FULL})
    recording.send(3, target, Type.ERROR, 0x2000FFFF, {})
    info = PeInfo("a.program", ["spikes"], ["spikes"], [])
    parts = {"1.1.0": Part("exc", 0, [255]), "1.1.1": Part("exc", 50, [255]), "1.1.2": Part(STRANGE, 0, [255])}
    return recording.trace(Meta({f"1.1.{p}": info for p in range(4)}, types=TYPES, parts=parts))


def example_trace(samples: int = 3, steps: int = 2) -> Trace:
    """Training of a 5-4-3 network: release, weights, spikes forward, errors backward, gradients, drops."""
    recording, rng = Recording(), np.random.default_rng(1)
    for step in range(steps):
        begin = step * STEP_TICKS
        _release(recording, begin, samples)
        _begin_phases(recording, begin, samples)
        for sample in range(samples):
            _forward(recording, begin, sample, rng)
            _backward(recording, begin, sample, rng)
    return recording.trace(example_meta(samples))


def _begin_phases(recording: Recording, begin: int, samples: int) -> None:
    """A sample's forward phase begins behind its release, in the first step where the PEs wait for that."""
    recording.phases += [(OPTIMIZER, begin, IDLE), (OPTIMIZER, begin + 1, 1), (OPTIMIZER, begin + STEP_TICKS - 1, 2)]
    first = begin + 1 if begin else 0
    for sample in range(samples):
        source, *others = chain(sample)
        recording.phases += [(source, first, 0), (source, first + 1, INPUT_FORWARD), (source, begin + T, 2)]
        recording.phases += [(pe, tick, phase) for pe in others for tick, phase in ((first, 0), (begin + T, 1))]


def _release(recording: Recording, begin: int, samples: int) -> None:
    """Control to all PEs, new weights to the layers."""
    chains = [chain(sample) for sample in range(samples)]
    all_but_inputs = {pe: CONTROL for pes in chains for pe in pes[1:]}
    recording.send(begin, OPTIMIZER, Type.CONTROL, key(PacketKind.CONTROL, 0), all_but_inputs, phase=IDLE)
    inputs = {pes[0]: CONTROL for pes in chains}
    recording.send(begin, OPTIMIZER, Type.CONTROL, key(PacketKind.CONTROL, 1), inputs, phase=IDLE)
    for layer, count in ((1, 5), (2, 3)):  # 5 * 4 and 4 * 3 weights, four to a packet
        targets = {pes[layer]: WEIGHTS for pes in chains}
        for i in range(count):
            payload = words_of(0.1 * layer + 0.01 * i + 0.001 * k for k in range(4))
            recording.send(
                begin, OPTIMIZER, Type.WEIGHT, key(PacketKind.WEIGHT, layer) + i, targets, payload, layer, IDLE
            )


def _forward(recording: Recording, begin: int, sample: int, rng: np.random.Generator) -> None:
    """Each of 5 inputs and 4 and 3 neurons spikes once, layer by layer one or two ticks later."""
    pes = chain(sample)
    for layer, neurons in enumerate((5, 4, 3)):
        port = SPIKES if layer < 2 else 1
        for i in range(neurons):
            tick = begin + layer + int(rng.integers(2))
            recording.send(tick, pes[layer], Type.SPIKE, key(PacketKind.SPIKE, layer, sample) + i,
                           {pes[layer + 1]: port}, phase=FORWARD if layer else INPUT_FORWARD)  # fmt: skip


def _backward(recording: Recording, begin: int, sample: int, rng: np.random.Generator) -> None:
    """Errors one PE down, gradients to the optimizer. Sample 0 loses an error, and sends one that nobody routes."""
    pes = chain(sample)
    for layer, errors, out in ((3, 3, 0), (2, 4, 1)):
        for i in range(errors):
            end = Event.NOT_LIVE if (sample, layer, i) == (0, 2, 3) else ERRORS
            tick = begin + T + (3 - layer) + int(rng.integers(2))
            payload = words_of([rng.normal()])
            recording.send(tick, pes[layer], Type.ERROR, key(PacketKind.ERROR, layer, sample) + i,
                           {pes[layer - 1]: end}, payload, out, BACKWARD)  # fmt: skip
    if sample == 0:
        recording.send(begin + T + 2, pes[1], Type.ERROR, key(PacketKind.ERROR, 1, sample), {ROUTER: Event.UNROUTED},
                       words_of([0.5]), 1, BACKWARD)  # fmt: skip
    for layer, count in ((1, 5), (2, 3)):
        for i in range(count):
            recording.send(begin + STEP_TICKS - 2, pes[layer], Type.GRADIENT,
                           key(PacketKind.GRADIENT, layer, sample) + i, {OPTIMIZER: 0}, words_of(rng.normal(size=4)), 2,
                           BACKWARD)  # fmt: skip


def repeated(trace: Trace, times: int) -> Trace:
    """The events again and again, each time later, for large traces."""
    length = int(trace.events["tick"].max()) + 1 if len(trace.events) else 0
    events = np.tile(trace.events, times).reshape(times, -1)
    later = np.arange(times, dtype=np.uint64)[:, None] * np.uint64(length)
    events["tick"] += later.astype(np.uint32)
    events["time"] += later * np.uint64(TICK_NS)
    phases = np.tile(trace.phases, times).reshape(times, -1)
    phases["tick"] += later.astype(np.uint32)
    return Trace(events.reshape(-1), trace.meta, phases=phases.reshape(-1))
