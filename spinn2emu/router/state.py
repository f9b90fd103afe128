"""The router's registers and working memory, built from the links between the PEs' ports.

Each is one record in memory, which compiled code gets by its address.
"""

from __future__ import annotations

import enum
import itertools
from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, mesh, spec, untouched
from spinn2emu.frames import FRAME, MAX_ROUTERS, identity
from spinn2emu.packets import PACKET
from spinn2emu.program import FIFOS, POLICIES, Fifo
from spinn2emu.router.table import Entry, build_table


class Counter(enum.IntEnum):
    """The 16 diagnostic registers. Which register counts what is the emulator's own choice."""

    PACKETS = 0  # multicast packets injected
    COPIES = 1  # copies that went to a PE
    UNROUTED = 2  # dropped: no entry matches
    UNCLAIMED = 3  # dropped: no input port of the target matches the key
    NOT_LIVE = 4  # discarded: the port was not live in the tick of processing
    FIFO_DROPPED = 5
    FIFO_STALLED = 6  # packets that waited in the network for room in a FIFO
    OFF_CHIP = 7  # copies for a link to another chip; there is none
    WITHOUT_PAYLOAD = 8
    PAYLOAD_4 = 9
    PAYLOAD_8 = 10
    PAYLOAD_16 = 11
    OTHER_TYPE = 12  # dropped: not multicast
    RESERVED_13 = 13
    RESERVED_14 = 14
    RESERVED_15 = 15


class PeCounter(enum.IntEnum):
    """Columns of the per-PE counts that the router keeps."""

    SENT = 0
    DELIVERED = 1
    DISCARDED = 2
    FIFO_LOST = 3


class Fault(enum.IntEnum):
    """Why the network stopped."""

    NONE = 0
    QUEUE_FULL = 1
    BAD_FRAME = 2


MAX_IDS = spec.PES.value + 1
MAX_FILTERS = 64
"""Filters of all input ports of a PE together, at most (own choice)."""

_PORTS, _SIZE, _PES = spec.MAX_PORTS.value, spec.FRAME_PACKETS.value, spec.PES.value
_PAIRS = MAX_IDS * _PORTS
_AT_ONCE = 1 << 20  # pairs of an entry and a filter that are compared at once, so that they fit in memory

REGISTERS = np.dtype([
    ("counters", "<i8", (spec.ROUTER_COUNTERS.value,)),  # see Counter
    ("hits", "<i8", (spec.ROUTER_ENTRIES.value,)),
    ("pe_counts", "<i8", (MAX_IDS, len(PeCounter))),
    ("frames", "<i8"),  # that came in, and grants that went out: these depend on scheduling
    ("grants", "<i8"),
])  # fmt: skip
"""What the host may read."""

GATE = np.dtype([
    ("own", "<i8"),  # this router's number
    ("routers", "<i8"),  # how many there are
    ("limit", "<i8"),  # the end of the run, or of its window
    ("left", "<i8"),  # PEs that have not reached it
    ("running", "<i8"),  # PEs that have been woken and have not reported yet
    ("open", "<i8"),  # 1: the supervisor waits to hear that all have reached the limit
    ("fault", "<i8"),
    ("fault_pe", "<i8"),
    # by PE id: whether it is this router's, whether it waits, and what its last report said
    ("present", "u1", (MAX_IDS,)),
    ("waiting", "u1", (MAX_IDS,)),
    ("tick", "<i8", (MAX_IDS,)),
    ("need", "<i8", (MAX_IDS,)),
    ("end", "<i8", (MAX_IDS,)),
    ("live", "<i8", (MAX_IDS,)),
    ("horizon", "<i8", (MAX_IDS, _PORTS)),
    # sources of input port p of PE d: source_pe/port[source_start[8 d + p] : source_start[8 d + p + 1]]
    ("source_start", "<i8", (_PAIRS + 1,)),
    ("source_pe", "u1", (_PAIRS * _PAIRS,)),
    ("source_port", "u1", (_PAIRS * _PAIRS,)),
    ("source_input", "u1", (_PAIRS * _PAIRS,)),  # p
    ("watched", "<i8", (MAX_IDS,)),  # the place among its sources of the one that a PE was last seen waiting for
    # the ports whose packets come to this router, also those that no input port listens to
    ("heard", "<i8"),
    ("heard_pe", "u1", (_PAIRS,)),
    ("heard_port", "u1", (_PAIRS,)),
    # the PEs of this router that PE s can reach: reach[reach_start[s] : reach_start[s + 1]]
    ("reach_start", "<i8", (MAX_IDS + 1,)),
    ("reach", "u1", (MAX_IDS * MAX_IDS,)),
    ("wants", "<i8", (MAX_IDS, _PORTS)),  # bit r: on that port the PE can reach a PE of another router r
    ("done", "<i8", (MAX_ROUTERS,)),  # the tick up to which each router has passed on everything
])  # fmt: skip
"""What each PE waits for, and who promised what. Mostly room that is never touched, and so costs nothing."""

PORTS = np.dtype([
    ("count", "<i8", (MAX_IDS,)),  # filters, of which the first that matches gives the port
    ("port", "u1", (MAX_IDS, MAX_FILTERS)),
    ("key", "<u4", (MAX_IDS, MAX_FILTERS)),
    ("mask", "<u4", (MAX_IDS, MAX_FILTERS)),
    ("latency", "<u4", (MAX_IDS, MAX_IDS)),  # ns from source to target
    ("fifos", "<i8", (MAX_IDS,)),
    ("fifo_of", "u1", (MAX_IDS, _PORTS)),  # by input port
    ("fifo_depth", "<i8", (MAX_IDS, FIFOS)),  # without bound if it is emptied as packets arrive
    ("fifo_policy", "<i8", (MAX_IDS, FIFOS)),
])  # fmt: skip
"""By PE id: filters of its input ports, and its FIFOs."""


def _two_views(count: int, before: list[Any], shape: tuple[int, ...] = ()) -> np.dtype[Any]:
    """Fields, and behind them `packets` of shape (*shape, count), which are also `words`: uint64, four to a packet."""
    first = np.dtype(before)
    names = [*first.names, "packets", "words"]  # type: ignore[misc]
    formats = [*(first.fields[name][0] for name in first.names), (PACKET, (*shape, count)),  # type: ignore[index, union-attr]
               ("<u8", (*shape, count, PACKET.itemsize // 8))]  # fmt: skip
    offsets = [*(first.fields[name][1] for name in first.names), first.itemsize, first.itemsize]  # type: ignore[index, union-attr]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets})


QUEUES = _two_views(_SIZE, [("length", "<i8", (MAX_IDS + 7,))], (MAX_IDS,))
"""What waits for each PE: `packets` (PE id, place), `length` of them. It outlives the router's process."""

BUFFER = _two_views(_SIZE, [("head", FRAME)])
"""A frame."""

WORK = np.dtype([
    ("chosen", "<i8", (_SIZE,)),
    ("order", "<i8", (_SIZE,)),
    ("arrival", "<i8", (_SIZE,)),  # by place in the queue: see `arrival.arrive`
    ("excess", "<i8", (FIFOS,)),  # packets of a tick that a FIFO has no room for
    ("runs", "<i8", (_SIZE + 1,)),
    ("ranks", "<i8", (_SIZE,)),
    ("by_rank", "<i8", (_SIZE,)),
    ("spare", "<i8", (_SIZE,)),
    ("source_place", "<i8", (MAX_IDS + 1,)),
    ("identities", "u1", (MAX_IDS + MAX_ROUTERS, 4)),
    ("sender", "u1", (4,)),  # the identity of whom the frame `into` is from
    # what is kept for each other router: whole frames, in places of the size of a packet, behind them packets of the
    # frame that is being routed; and how many frames have come in since the first of all these was kept
    ("stashed", "<i8", (MAX_ROUTERS,)),
    ("stashed_packets", "<i8", (MAX_ROUTERS,)),
    ("stashed_since", "<i8"),
    ("into", BUFFER),
    ("out", BUFFER),
    ("stash", BUFFER, (MAX_ROUTERS,)),
])  # fmt: skip
"""Frames that come and go, and scratch memory of sorting."""

Router = namedtuple("Router", ["socket", "table", "ports", "gate", "queues", "work", "registers", "capture", "tap"])
"""All that the router's compiled functions work on: records of these types; `capture`: see `trace.capture`, `tap`:
`router.tap`."""


class Endpoint(NamedTuple):
    """The network's view of a PE. `inputs`: filters (port, key, mask); `outputs`: key ranges by port, (key, mask)."""

    pe: int
    inputs: tuple[tuple[int, int, int], ...]
    outputs: tuple[tuple[int, int], ...]
    fifos: tuple[Fifo, ...]
    fifo_of: tuple[int, ...] = ()
    """By input port: the number of the FIFO that its packets go to."""


class Connection(NamedTuple):
    """Packets of `port` of PE `source` may reach input `target_port` of PE `target`."""

    source: int
    port: int
    target: int
    target_port: int


class Routes:
    """Every output port with every routing entry that may match its packets, and the PEs that the entries lead to.

    `reached`: bool (entries, MAX_IDS).
    """

    def __init__(self, endpoints: Sequence[Endpoint], entries: Sequence[Entry]) -> None:
        self.endpoints = endpoints
        self.key = np.array([entry.key for entry in entries], np.uint32)
        self.mask = np.array([entry.mask for entry in entries], np.uint32)
        self.reached = np.zeros((len(entries), MAX_IDS), bool)
        for reached, entry in zip(self.reached, entries, strict=True):
            reached[[pe for pe in entry.pes if pe in geometry.PE_IDS]] = True  # `build_table` refuses others

    def __iter__(self) -> Iterator[tuple[Endpoint, int, NDArray[np.intp]]]:
        """PE, number of its output port, numbers of the entries."""
        for endpoint in self.endpoints:
            for port, (key, mask) in enumerate(endpoint.outputs):
                yield endpoint, port, np.flatnonzero(_meets(self.key, self.mask, key, mask))

    def targets(self) -> set[tuple[int, int, int]]:
        """(source PE, its port, target PE) of all of them."""
        return {
            (endpoint.pe, port, target)
            for endpoint, port, numbers in self
            for target in np.flatnonzero(self.reached[numbers].any(axis=0)).tolist()
        }


def _meets(key: Any, mask: Any, other: Any, other_mask: Any) -> Any:
    """Whether two sets of keys have one in common, elementwise."""
    return (key ^ np.uint32(other)) & mask & np.uint32(other_mask) == 0


def find_connections(endpoints: Sequence[Endpoint], entries: Sequence[Entry]) -> list[Connection]:
    """All connections that the routing entries make possible between output and input ports."""
    routes = Routes(endpoints, entries)
    connections: set[tuple[int, ...]] = set()
    filters = np.array([(e.pe, *filter_) for e in endpoints for filter_ in e.inputs], np.int64).reshape(-1, 4)
    key, mask = filters[:, 2].astype(np.uint32), filters[:, 3].astype(np.uint32)
    for endpoint, port, numbers in routes:
        met = np.flatnonzero(_meets(key, mask, *endpoint.outputs[port]))
        for some in np.array_split(numbers, 1 + len(numbers) * len(met) // _AT_ONCE):
            common = _meets(key[met], mask[met], routes.key[some, None], routes.mask[some, None])
            heard = (common & routes.reached[some[:, None], filters[met, 0]]).any(axis=0)
            connections.update((endpoint.pe, port, *to) for to in filters[met[heard], :2].tolist())
    return sorted(itertools.starmap(Connection, connections))


def build_ports(endpoints: Sequence[Endpoint]) -> NDArray[np.void]:
    """Port filters, latencies and FIFOs by PE id: a record PORTS."""
    ports = np.zeros((), PORTS)
    ports["latency"] = mesh.latency_table()
    for endpoint in endpoints:
        pe = endpoint.pe
        ports["count"][pe] = len(endpoint.inputs)
        for i, filter_ in enumerate(endpoint.inputs):
            ports["port"][pe, i], ports["key"][pe, i], ports["mask"][pe, i] = filter_
        ports["fifos"][pe] = len(endpoint.fifos)
        ports["fifo_of"][pe, : len(endpoint.fifo_of)] = endpoint.fifo_of
        for number, fifo in enumerate(endpoint.fifos):
            ports["fifo_depth"][pe, number] = fifo.depth if fifo.drain == "tick" else _SIZE
            ports["fifo_policy"][pe, number] = POLICIES.index(fifo.policy)
    return ports


def build_gate(
    endpoints: Sequence[Endpoint], connections: Sequence[Connection], routes: Iterable[tuple[int, int, int]],
    home: NDArray[np.int64], own: int,
) -> NDArray[np.void]:  # fmt: skip
    """Router `own`'s gate, a record GATE, before the first report: nobody waits, nobody has promised anything.

    `routes`: (source PE, its port, target PE), also where no port of the target listens.
    """
    gate = untouched.zeros(GATE)
    gate["present"][[endpoint.pe for endpoint in endpoints if home[endpoint.pe] == own]] = 1
    gate["left"] = gate["running"] = gate["present"].sum()  # a new process runs until its first report
    gate["own"], gate["routers"] = own, home.max(initial=0) + 1
    gate["done"] = -1
    sources: list[list[Connection]] = [[] for _ in range(_PAIRS)]
    reach: list[set[int]] = [set() for _ in range(MAX_IDS)]
    for connection in connections:
        if home[connection.target] == own:
            sources[connection.target * _PORTS + connection.target_port].append(connection)
            reach[connection.source].add(connection.target)
    flat = [connection for bucket in sources for connection in bucket]
    gate["source_start"][1:] = np.cumsum([len(bucket) for bucket in sources])
    gate["source_pe"][: len(flat)] = [connection.source for connection in flat]
    gate["source_port"][: len(flat)] = [connection.port for connection in flat]
    gate["source_input"][: len(flat)] = [connection.target_port for connection in flat]
    gate["watched"] = gate["source_start"][:-1:_PORTS]
    gate["reach_start"][1:] = np.cumsum([len(targets) for targets in reach])
    gate["reach"][: gate["reach_start"][-1]] = [pe for targets in reach for pe in sorted(targets)]
    heard = set()
    for source, port, target in routes:
        if home[target] == own:
            heard.add((source, port))
        else:
            gate["wants"][source, port] |= 1 << home[target]
    gate["heard"] = len(heard)
    for i, (source, port) in enumerate(sorted(heard)):
        gate["heard_pe"][i], gate["heard_port"][i] = source, port
    return gate


def build_work() -> NDArray[np.void]:
    """A router's record WORK."""
    work = untouched.zeros(WORK)
    work["identities"] = [list(identity(number)) for number in range(MAX_IDS + MAX_ROUTERS)]
    return work


class Share(NamedTuple):
    """What one router knows: records TABLE and GATE."""

    table: NDArray[np.void]
    gate: NDArray[np.void]


def build(
    endpoints: Sequence[Endpoint], entries: Sequence[Entry], connections: Sequence[Connection], home: NDArray[np.int64]
) -> tuple[NDArray[np.void], list[Share]]:
    """Ports and every router's share of a chip; `home[pe]`: number of the router that serves a PE."""
    routers = range(int(home.max()) + 1)
    tables = build_table(entries, home, len(routers))
    routes = Routes(endpoints, entries).targets()
    shares = [Share(tables[r], build_gate(endpoints, connections, routes, home, r)) for r in routers]
    return build_ports(endpoints), shares
