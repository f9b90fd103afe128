"""What a trace says of a packet: the record in memory (EVENT) and the frame in the file (FRAME).

One event is recorded where a PE sends a packet, and one for every copy of it, where that ends: with the PE that
processes it, or where it is dropped. The copies of a packet share its source, tick and time of sending, which no other
packet has: that is its id. `docs/traces.md` describes the fields for users; a test compares it with this file.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec

VERSION = 1
"""Of the frame. It rises when the meaning or the place of a field changes."""

LINKTYPE = 147
"""LINKTYPE_USER0 of the registry of link types: for private use."""


class Event(enum.IntEnum):
    """What happened to a packet or a copy of it; from UNROUTED on it was dropped."""

    SENT = 0
    RECEIVED = 1  # the target processes it in the next tick
    UNROUTED = 2
    OTHER_TYPE = 3
    UNCLAIMED = 4
    NOT_LIVE = 5
    FIFO_FULL = 6
    OFF_CHIP = 7


DROPS = {
    Event.UNROUTED: "no routing entry matches the key",
    Event.OTHER_TYPE: "the event router takes multicast packets only",
    Event.UNCLAIMED: "no input port of the target listens to the key",
    Event.NOT_LIVE: "the port is not live in the tick of processing",
    Event.FIFO_FULL: "the receive FIFO of the target is full",
    Event.OFF_CHIP: "nothing is connected to the link",
}
"""Why a packet was dropped; the comment of its frame says so."""


class Type(enum.IntEnum):
    """What a packet is for, by the name of the output port that it was sent on, or its type on the chip."""

    MULTICAST = 0
    SPIKE = 1
    ERROR = 2
    GRADIENT = 3
    WEIGHT = 4
    CONTROL = 5
    SILENT = 6
    CORE_TO_CORE = 7
    NEAREST_NEIGHBOUR = 8
    GLOBAL = 9


_PORT_TYPES = {t.name.lower(): t for t in list(Type)[Type.SPIKE : Type.CORE_TO_CORE]}


def type_of_port(port: str) -> Type:
    """The type of packets that a port of this name sends: `spikes`, `weights2` and `error` are known, and so on."""
    return _PORT_TYPES.get(port.rstrip("0123456789").removesuffix("s"), Type.MULTICAST)


EVENT = np.dtype(
    [
        ("time", "<u8"),  # ns since tick 0: of the sending, of the arrival, of the drop
        ("tick", "<u4"),  # in which it was sent
        ("sent", "<u4"),  # ns from the begin of that tick to the sending
        ("key", "<u4"),
        ("payload", "<u4", (4,)),  # words beyond the payload's size are 0
        ("source", "<u2"),  # PE id
        ("target", "<u2"),  # interface that the copy was for: PE id 1..152, LINK + 0..5; 0: none
        ("event", "u1"),  # Event
        ("type", "u1"),  # Type
        ("port", "u1"),  # input port of the target, by number; NO_PORT: none
        ("phase", "u1"),  # of the sender, by number
        ("out", "u1"),  # output port of the sender, by number
        ("hops", "u1"),  # of the mesh, up to the place of the event
        ("control", "u1"),  # see `packets`
        ("reserved", "u1"),
    ]
)
"""An event, 48 bytes. Sorted by (time, source, target)."""

FRAME = np.dtype(
    [
        ("version", "u1"), ("event", "u1"), ("type", "u1"), ("port", "u1"), ("source", "<u2"), ("target", "<u2"),
        ("tick", "<u4"), ("sent", "<u4"), ("phase", "u1"), ("out", "u1"), ("hops", "u1"), ("control", "u1"),
        ("latency", "<u4"), ("key", "<u4"),
    ]
)  # fmt: skip
"""A frame of the file, 28 bytes, behind which the payload lies; fields as in EVENT, `latency` in ns since sending."""

ROUTER = 0
"""The interface of the event router; those of PEs have the PE's id."""
LINK = spec.PES.value + 1
"""The interface of the first of the links to other chips."""
INTERFACES = LINK + spec.LINKS.value


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


def _pe_info(program: str, **names: Sequence[str]) -> PeInfo:
    """Of a file. Raises TypeError or ValueError for other types."""
    if not all(isinstance(name, str) for several in ([program], *names.values()) for name in several):
        raise ValueError("names are texts")
    return PeInfo(program, **{kind: list(several) for kind, several in names.items()})


@dataclass(frozen=True)
class Meta:
    """What a trace's first block says. `pes` by name; `filter`: what was recorded of all, as the user wrote it."""

    pes: dict[str, PeInfo] = field(default_factory=dict)
    filter: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As text, the same for equal contents."""
        pes = {name: vars(info) for name, info in self.pes.items()}
        return json.dumps({"spinn2emu_trace": VERSION, "pes": pes, "filter": self.filter}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Meta:
        """Of a file's comment; empty if that is not ours."""
        try:
            content = json.loads(text)
            return cls({name: _pe_info(**info) for name, info in content["pes"].items()}, dict(content["filter"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()

    def name_of(self, kind: str, pe: int, number: int) -> str:
        """Name of a PE's port or phase (`kind`: inputs, outputs, phases), or its number where no name is known."""
        info = self.pes.get(interface_name(pe))
        names: Sequence[str] = getattr(info, kind) if info else ()
        return names[number] if number < len(names) else str(number)
