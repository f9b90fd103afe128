"""What a trace says of a packet: the record in memory (EVENT) and the frame in the file (FRAME).

One event is recorded where a PE sends a packet, and one for every copy of it, where that ends: with the PE that
processes it, or where it is dropped. The copies of a packet share its source, tick and time of sending, which no other
packet has: that is its id. Besides, an event of its own kind says when a PE begins a phase. `docs/traces.md` describes
the fields for users; a test compares it with this file.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.packets import PacketType
from spinn2emu.population import short_name

VERSION = 2
"""Of the frame. It rises when the meaning or the place of a field changes. In version 1 the numbers of types were
fixed, and there were no phases; such files are read."""

LINKTYPE = 147
"""LINKTYPE_USER0 of the registry of link types: for private use."""


class Event(enum.IntEnum):
    """What happened to a packet or a copy of it; from UNROUTED to OFF_CHIP it was dropped."""

    SENT = 0
    RECEIVED = 1  # the target processes it in the next tick
    UNROUTED = 2
    OTHER_TYPE = 3
    UNCLAIMED = 4
    NOT_LIVE = 5
    FIFO_FULL = 6
    OFF_CHIP = 7
    PHASE = 8  # no packet: the source begins the frame's phase in its tick
    OVERRUN = 9  # no packet: the source's code of that tick ends after the timer's period


DROPS = {
    Event.UNROUTED: "no routing entry matches the key",
    Event.OTHER_TYPE: "the event router takes multicast packets only",
    Event.UNCLAIMED: "no input port of the target listens to the key",
    Event.NOT_LIVE: "the port is not live in the tick of processing",
    Event.FIFO_FULL: "the receive FIFO of the target is full",
    Event.OFF_CHIP: "nothing is connected to the link",
}
"""Why a packet was dropped; the comment of its frame says so."""


CHIP_TYPES = tuple(kind.name.lower() for kind in PacketType)
"""The packet types of the chip, by number."""
TYPES = 16
"""Types that a trace can tell apart: those of the chip, then those of ports."""


def type_of_port(port: str) -> str:
    """The type of packets that an output port of this name sends: the name without digits and an s at its end, in lower
    case. `spikes`, `weights2` and `error` give spike, weight and error. Names of CHIP_TYPES stay the chip's.
    """
    name = re.sub(r"\W", "_", port.lower())
    name = name.rstrip("0123456789").removesuffix("s") or name
    return CHIP_TYPES[0] if name in CHIP_TYPES else name or CHIP_TYPES[0]


def types_of_ports(ports: Iterable[str]) -> list[str]:
    """Names of all types by number: those of the chip, then those of the ports, in the order of their first.

    Raises ConfigError if they are more than TYPES.
    """
    names = list(dict.fromkeys([*CHIP_TYPES, *map(type_of_port, ports)]))
    if len(names) > TYPES:
        own, limit = names[len(CHIP_TYPES) :], TYPES - len(CHIP_TYPES)
        raise ConfigError(
            f"a trace tells packets of {limit} kinds of output ports apart, the programs have {len(own)}: "
            f"{', '.join(own)}. Ports whose names differ only in digits at the end are of one kind",
            limit=limit, types=own,
        )  # fmt: skip
    return names


EVENT = np.dtype(
    [
        ("time", "<u8"),  # ns since tick 0: of the sending, of the arrival, of the drop
        ("tick", "<u4"),  # in which it was sent
        ("sent", "<u4"),  # ns from the begin of that tick to the sending
        ("key", "<u4"),
        ("payload", "<u4", (4,)),  # words beyond the payload's size are 0
        ("source", "<u2"),  # PE id; 0: the host
        ("target", "<u2"),  # interface that the copy was for: PE id 1..152, LINK + 0..5; 0: none
        ("event", "u1"),  # Event
        ("type", "u1"),  # number of its name in Meta.types
        ("port", "u1"),  # input port of the target, by number; NO_PORT: none
        ("phase", "u1"),  # of the sender, by number
        ("out", "u1"),  # output port of the sender, by number
        ("hops", "u1"),  # of the mesh, up to the place of the event
        ("control", "u1"),  # see `packets`
        ("reserved", "u1"),
    ]
)
"""An event, 48 bytes. Sorted by (tick, time, source, target); what happens in a tick after LAST_NS comes last, by
(source, target, time)."""
LAST_NS = (1 << 20) - 1
"""Since a tick began: more than its period, which only code that takes longer exceeds."""

FRAME = np.dtype(
    [
        ("version", "u1"), ("event", "u1"), ("type", "u1"), ("port", "u1"), ("source", "<u2"), ("target", "<u2"),
        ("tick", "<u4"), ("sent", "<u4"), ("phase", "u1"), ("out", "u1"), ("hops", "u1"), ("control", "u1"),
        ("latency", "<u4"), ("key", "<u4"),
    ]
)  # fmt: skip
"""A frame of the file, 28 bytes, behind which the payload lies; fields as in EVENT, `latency` in ns since sending."""

PHASE = np.dtype([("pe", "<u2"), ("tick", "<u4"), ("phase", "u1")])
"""A PE begins a phase (by number) in a tick. Sorted by (tick, pe)."""

OVERRUN = np.dtype([("pe", "<u2"), ("tick", "<u4"), ("phase", "u1"), ("late_ns", "<u4")])
"""A PE's code of a tick ends so late after the timer's period. Sorted by (tick, pe)."""

ROUTER = 0
"""The interface of the event router, at which the host enters; those of PEs have the PE's id."""
LINK = spec.PES.value + 1
"""The interface of the first of the links to other chips."""
INTERFACES = LINK + spec.LINKS.value


def source_name(number: int) -> str:
    """`host`, or `qx.qy.p`."""
    return interface_name(number) if number else "host"


def interface_name(number: int) -> str:
    """`router`, `qx.qy.p` or `link0`."""
    if number == ROUTER:
        return "router"
    return f"link{number - LINK}" if number >= LINK else geometry.name(number)


def interfaces(events: NDArray[np.void]) -> NDArray[np.uint16]:
    """The interface at which each event happened, (n,): where it was sent, or where it ended."""
    place = np.where(events["event"] == Event.SENT, events["source"], events["target"])
    result: NDArray[np.uint16] = place.astype(np.uint16)
    return result


def latency_ns(events: NDArray[np.void]) -> NDArray[np.int64]:
    """ns from the sending of each packet to the event, (n,)."""
    begin = events["tick"].astype(np.int64) * spec.TICK_NS.value + events["sent"]
    return events["time"].astype(np.int64) - begin


def payload_words(events: NDArray[np.void]) -> NDArray[np.int64]:
    """Payload words of each packet, (n,): 0, 1, 2 or 4."""
    return np.array([0, 1, 2, 4])[events["control"] >> 4 & 3]


@dataclass(frozen=True)
class PeInfo:
    """A PE when the trace began: its program, and names that the numbers in events stand for."""

    program: str
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    phases: Sequence[str] = ()


class Part(NamedTuple):
    """What a PE holds of a population: the neurons from number `first` on. `bits`: by output port, the bits of a key
    that number them.
    """

    population: str
    first: int = 0
    bits: Sequence[int] = ()


def _pe(name: str) -> str:
    """Of a file. Raises ConfigError for the name of no PE."""
    return geometry.name(geometry.pe_id(name))


def _part(population: str, first: int, bits: Sequence[int]) -> Part:
    """Of a file. Raises TypeError or ValueError for what cannot be."""
    if any(type(word) is not int or not 0 <= word < 1 << 32 for word in (first, *bits)):
        raise ValueError("neurons and bits of keys are words")
    return Part(short_name(_text(population)), first, list(bits))


def _pe_info(program: str, **names: Sequence[str]) -> PeInfo:
    """Of a file. Raises TypeError or ValueError for other types."""
    return PeInfo(_text(program), **{kind: [_text(name) for name in several] for kind, several in names.items()})


def _began(name: str, phase: int, tick: int) -> tuple[int, int]:
    """Of a file. Raises ConfigError, TypeError or ValueError for what cannot be."""
    geometry.pe_id(name)
    if not 0 <= phase < 1 << 8 or not 0 <= tick < 1 << 32:
        raise ValueError("phases are numbered, and ticks have 32 bits")
    return int(phase), int(tick)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("names are texts")
    return value


@dataclass(frozen=True)
class Meta:
    """What a trace's first block says. `pes` by name; `filter`: what was recorded of all, as the user wrote it.

    types: names of the types of packets, by number; without them those of the ports of `pes`. began: by PE, the number
    of the phase that it was in when the trace began, and its first tick. version: of the file that it was read from.
    parts: of populations, by PE, of PEs that have one.
    """

    pes: dict[str, PeInfo] = field(default_factory=dict)
    filter: dict[str, Any] = field(default_factory=dict)
    types: Sequence[str] = ()
    began: dict[str, tuple[int, int]] = field(default_factory=dict)
    version: int = VERSION
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.types:
            ports = [port for info in self.pes.values() for port in info.outputs]
            object.__setattr__(self, "types", types_of_ports(ports))

    def to_json(self) -> str:
        """As text, the same for equal contents; each program once, `pes` has its number."""
        infos = {json.dumps(vars(info), sort_keys=True): info for info in self.pes.values()}
        number = {text: i for i, text in enumerate(infos)}
        return json.dumps({
            "spinn2emu_trace": VERSION, "types": self.types, "filter": self.filter,
            "programs": [vars(info) for info in infos.values()],
            "pes": {name: number[json.dumps(vars(info), sort_keys=True)] for name, info in self.pes.items()},
            "began": self.began, **({"populations": self.parts} if self.parts else {}),
        })  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> Meta:
        """Of a file's comment; empty if that is not ours."""
        try:
            content = json.JSONDecoder().raw_decode(text)[0]
            version = content["spinn2emu_trace"]
            if version == 1:
                pes = {name: _pe_info(**info) for name, info in content["pes"].items()}
                ports = [type_of_port(port) for info in pes.values() for port in info.outputs]
                types = list(dict.fromkeys([*CHIP_TYPES, *ports]))[:TYPES]
                return cls(pes, dict(content["filter"]), types, version=1)
            programs = [_pe_info(**info) for info in content["programs"]]
            began = {name: _began(name, *at) for name, at in content["began"].items()}
            types = [re.sub(r"\W", "_", _text(name)) for name in content["types"]][:TYPES]
            pes = {name: programs[i] for name, i in content["pes"].items()}
            parts = {
                geometry.name(geometry.pe_id(name)): _part(*part)
                for name, part in content.get("populations", {}).items()
            }
            return cls(pes, dict(content["filter"]), types, began, parts=parts)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, ConfigError):
            return cls()

    def name_of(self, kind: str, pe: int, number: int) -> str:
        """Name of a PE's port or phase (`kind`: inputs, outputs, phases), or its number where no name is known."""
        info = self.pes.get(interface_name(pe))
        names: Sequence[str] = getattr(info, kind) if info else ()
        return names[number] if number < len(names) else str(number)

    def populations(self) -> list[str]:
        """Their names, in the order of their first PEs."""
        first = {part.population: 0 for _, part in sorted(self.parts.items(), key=lambda item: geometry.pe_id(item[0]))}
        return list(first)

    def type_names(self) -> list[str]:
        """A name for every number below TYPES."""
        return [*self.types, *(f"type{number}" for number in range(len(self.types), TYPES))]

    def type_table(self) -> NDArray[np.uint8]:
        """The type's number by source and output port, (INTERFACES, ports)."""
        table = np.zeros((INTERFACES, spec.MAX_PORTS.value), np.uint8)
        known = {name: number for number, name in enumerate(self.types)}
        for number in range(INTERFACES):
            if info := self.pes.get(interface_name(number)):
                for port, name in enumerate(info.outputs[: spec.MAX_PORTS.value]):
                    table[number, port] = known.get(type_of_port(name), 0)
        return table
