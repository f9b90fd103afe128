"""The router's registers and working memory, built from the links between the PEs' ports."""

from __future__ import annotations

import enum
from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import mesh, spec
from spinn2emu.frames import FRAME, HEADER_PACKETS, header, identity
from spinn2emu.packets import PACKET
from spinn2emu.program import Fifo
from spinn2emu.router.table import Entry, Table, build_table, share


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


class Word(enum.IntEnum):
    """Index into the router's working registers."""

    LIMIT = 0  # the end of the run, or of its window
    LEFT = 1  # PEs that have not reached the limit
    FAULT = 2
    FAULT_PE = 3
    RUNNING = 4  # PEs that have been woken and have not reported yet
    OPEN = 5  # 1: the supervisor waits to hear that all have reached the limit
    OWN = 6  # this router's number


POLICIES = ("stall", "drop", "overwrite")
DRAINS = ("tick", "interrupt")
MAX_IDS = spec.PES.value + 1
MAX_ROUTERS = 8
"""Router processes of a chip, at most. They share the work of the one router that the chip has."""

Registers = namedtuple("Registers", ["counters", "hits", "pe_counts", "activity", "capture"])
"""What the host may read: 16 counters, hits per entry, counts per PE; `activity`: frames in, grants out (these two
depend on scheduling). `capture`: see `trace.capture`."""

Gate = namedtuple(
    "Gate",
    ["words", "present", "waiting", "tick", "need", "end", "live", "horizon",
     "source_start", "source_pe", "source_port", "heard_pe", "heard_port", "reach_start", "reach", "wants", "done"],
)  # fmt: skip
"""What each PE waits for, and who promised what. Sources of input port p of PE d: source_pe/port[start[8 d + p]:].

`heard_pe/port`: all ports whose packets come to this router, also those that no input port listens to.
`reach`: the PEs of this router that a PE can reach; bit r of `wants[pe, port]`: on that port it can reach a PE of
another router r; `done[r]`: the tick up to which router r has passed on everything.
"""

MAX_FILTERS = 64
"""Filters of all input ports of a PE together, at most (own choice)."""

Ports = namedtuple("Ports", ["count", "port", "key", "mask", "latency", "fifo_depth", "fifo_policy", "fifo_drain"])
"""By PE id: its `count` filters, of which the first that matches gives the `port`; latencies by source; the FIFO."""

Queues = namedtuple(
    "Queues",
    ["packets", "words", "length", "chosen", "runs", "ranks", "by_rank", "spare", "order", "identities", "frame_in",
     "words_in", "frame_out", "head_in", "head_out", "stash", "stash_words", "stash_heads", "stashed"],
)  # fmt: skip
"""`packets` (PE id, place) wait, `length` of them; `words`, `words_in`: the same memory as uint64, four to a packet.

`stash` (router, place): a frame for each other router, with `stashed` packets; `stash_heads[r, 0]` is its header.
"""


class Endpoint(NamedTuple):
    """The network's view of a PE. `inputs`: filters (port, key, mask); `outputs`: key ranges by port, (key, mask)."""

    pe: int
    inputs: tuple[tuple[int, int, int], ...]
    outputs: tuple[tuple[int, int], ...]
    fifo: Fifo


class Link(NamedTuple):
    """Packets of `port` of PE `source` may reach input `target_port` of PE `target`."""

    source: int
    port: int
    target: int
    target_port: int


def find_routes(endpoints: Sequence[Endpoint], entries: Sequence[Entry]) -> Iterator[tuple[Endpoint, int, Entry]]:
    """Every output port with every routing entry that may match its packets."""
    keys = np.array([entry.key for entry in entries], np.uint32)
    masks = np.array([entry.mask for entry in entries], np.uint32)
    for endpoint in endpoints:
        for port, (key, mask) in enumerate(endpoint.outputs):
            for number in np.nonzero((keys ^ np.uint32(key)) & masks & np.uint32(mask) == 0)[0]:
                yield endpoint, port, entries[int(number)]


def find_links(endpoints: Sequence[Endpoint], entries: Sequence[Entry]) -> list[Link]:
    """All connections that the routing entries make possible between output and input ports."""
    by_pe = {endpoint.pe: endpoint for endpoint in endpoints}
    links = set()
    for endpoint, port, entry in find_routes(endpoints, entries):
        key, mask = endpoint.outputs[port]
        for pe in entry.pes:
            for target_port, key_in, mask_in in by_pe[pe].inputs if pe in by_pe else ():
                meets_sender = (key_in ^ key) & mask_in & mask == 0
                if meets_sender and (key_in ^ entry.key) & mask_in & entry.mask == 0:
                    links.add(Link(endpoint.pe, port, pe, target_port))
    return sorted(links)


def build_ports(endpoints: Sequence[Endpoint]) -> Ports:
    """Port filters, latencies and FIFOs by PE id."""
    count, port = np.zeros(MAX_IDS, np.int64), np.zeros((MAX_IDS, MAX_FILTERS), np.uint8)
    key, mask = (np.zeros((MAX_IDS, MAX_FILTERS), np.uint32) for _ in range(2))
    depth, policy, drain = (np.zeros(MAX_IDS, np.int64) for _ in range(3))
    for endpoint in endpoints:
        count[endpoint.pe] = len(endpoint.inputs)
        for i, filter_ in enumerate(endpoint.inputs):
            port[endpoint.pe, i], key[endpoint.pe, i], mask[endpoint.pe, i] = filter_
        depth[endpoint.pe] = endpoint.fifo.depth
        policy[endpoint.pe] = POLICIES.index(endpoint.fifo.policy)
        drain[endpoint.pe] = DRAINS.index(endpoint.fifo.drain)
    return Ports(count, port, key, mask, mesh.latency_table(), depth, policy, drain)


def build_gate(
    endpoints: Sequence[Endpoint], links: Sequence[Link], routes: Iterable[tuple[int, int, int]],
    home: NDArray[np.int64], own: int,
) -> Gate:  # fmt: skip
    """Router `own`'s gate before the first report: nobody waits, nobody has promised anything.

    `routes`: (source PE, its port, target PE), also where no port of the target listens.
    """
    ports = spec.MAX_PORTS.value
    present = np.zeros(MAX_IDS, np.uint8)
    present[[endpoint.pe for endpoint in endpoints if home[endpoint.pe] == own]] = 1
    sources: list[list[Link]] = [[] for _ in range(MAX_IDS * ports)]
    reach: list[set[int]] = [set() for _ in range(MAX_IDS)]
    wants = np.zeros((MAX_IDS, ports), np.int64)
    for link in links:
        if home[link.target] == own:
            sources[link.target * ports + link.target_port].append(link)
            reach[link.source].add(link.target)
    heard = set()
    for source, port, target in routes:
        if home[target] == own:
            heard.add((source, port))
        else:
            wants[source, port] |= 1 << home[target]
    flat = [link for bucket in sources for link in bucket]
    words = np.zeros(len(Word), np.int64)
    words[Word.LEFT] = words[Word.RUNNING] = present.sum()  # a new process runs until its first report
    words[Word.OWN] = own
    return Gate(  # type: ignore[call-arg, unused-ignore]
        words, present, np.zeros(MAX_IDS, np.uint8),
        *(np.zeros(MAX_IDS, np.int64) for _ in range(4)),
        np.zeros((MAX_IDS, ports), np.int64),
        np.concatenate([[0], np.cumsum([len(bucket) for bucket in sources])]).astype(np.int64),
        np.array([link.source for link in flat], np.int64), np.array([link.port for link in flat], np.int64),
        *np.array(sorted(heard), np.int64).reshape(-1, 2).T.copy(),
        np.concatenate([[0], np.cumsum([len(targets) for targets in reach])]).astype(np.int64),
        np.array([pe for targets in reach for pe in sorted(targets)], np.int64),
        wants, np.full(home.max(initial=0) + 1, -1, np.int64),
    )  # fmt: skip


def build_queues(packets: NDArray[np.void], length: NDArray[np.int64], routers: int = 1) -> Queues:
    """Buffers of one of `routers`. `packets` (153, FRAME_PACKETS) and `length` (153,) are the queues of all PEs: they
    outlive the process, so that what waits in them is there for the next one.
    """
    size = spec.FRAME_PACKETS.value
    frame_in, frame_out = np.empty(HEADER_PACKETS + size, PACKET), np.empty(HEADER_PACKETS + size, PACKET)
    stash = np.empty((routers, HEADER_PACKETS + size), PACKET)
    identities = np.array([list(identity(number)) for number in range(MAX_IDS + MAX_ROUTERS)], np.uint8)
    return Queues(
        packets, packets.view(np.uint64).reshape(MAX_IDS, size, -1),
        length, np.empty(size, np.int64),
        np.empty(size + 1, np.int64), np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64),
        np.empty(size, np.int64), identities,
        frame_in, frame_in.view(np.uint64).reshape(len(frame_in), -1), frame_out,
        header(frame_in), header(frame_out),
        stash, stash.view(np.uint64).reshape(routers, len(frame_in), -1), stash.view(FRAME),
        np.zeros(routers, np.int64),
    )  # fmt: skip


class Share(NamedTuple):
    """What one router knows."""

    table: Table
    gate: Gate


def build(
    endpoints: Sequence[Endpoint], entries: Sequence[Entry], links: Sequence[Link], home: NDArray[np.int64]
) -> tuple[Ports, list[Share]]:
    """Ports and every router's share of a chip; `home[pe]`: number of the router that serves a PE."""
    table = build_table(entries)
    routers = range(int(home.max()) + 1)
    routes = {(e.pe, port, pe) for e, port, entry in find_routes(endpoints, entries) for pe in entry.pes}
    shares = [Share(share(table, home, r), build_gate(endpoints, links, routes, home, r)) for r in routers]
    return build_ports(endpoints), shares
