"""The gating router in plain Python: slow, to read, and to check the compiled one (`loop.py`) against.

One process serves all PEs. Every packet goes the same way, every counter ends with the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import zmq
from numpy.typing import NDArray

from spinn2emu import mesh, spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, SUPERVISOR, VERSION, FrameKind, header, identity, new_buffer
from spinn2emu.packets import OVERRAN, PACKET, PHASE_BEGINS, PacketType
from spinn2emu.router.arrival import CYCLE_STEPS, NS_STEPS
from spinn2emu.router.process import bound
from spinn2emu.router.state import Connection, Counter, Endpoint, Fault, PeCounter
from spinn2emu.router.table import Entry
from spinn2emu.router.tap import tap_one
from spinn2emu.trace.capture import Capture, publish_tick, record_packets
from spinn2emu.trace.schema import LINK, ROUTER, Event


class RouterLoop:
    """The router. `serve` is its life, `route` what happens to a packet, `try_grant` what wakes a PE."""

    def __init__(
        self, endpoints: Sequence[Endpoint], entries: Sequence[Entry], connections: Sequence[Connection],
        queues: NDArray[np.void], registers: NDArray[np.void], capture: Capture, tap: NDArray[np.void],
        socket: zmq.Socket[bytes],
    ) -> None:  # fmt: skip
        self.entries, self.registers, self.capture, self.tap, self.socket = entries, registers, capture, tap, socket
        self.endpoints = {endpoint.pe: endpoint for endpoint in endpoints}
        self.sources = {
            (pe, port): set[tuple[int, int]]() for pe in self.endpoints for port in range(spec.MAX_PORTS.value)
        }
        self.reach = {pe: set[int]() for pe in self.endpoints}
        for connection in connections:
            self.sources[connection.target, connection.target_port].add((connection.source, connection.port))
            self.reach[connection.source].add(connection.target)
        self.kept = queues
        self.queues = {pe: [p.copy() for p in queues["packets"][pe, : queues["length"][pe]]] for pe in self.endpoints}
        self.reports: dict[int, np.void] = {}  # of the PEs that wait
        self.next_tick = dict.fromkeys(self.endpoints, 0)
        self.horizons = {pe: np.zeros(spec.MAX_PORTS.value, np.int64) for pe in self.endpoints}
        self.latency = mesh.latency_table()
        self.limit, self.open = 0, False

    def serve(self) -> None:
        """Takes in a frame, wakes whoever has all that it needs, and so on."""
        while True:
            _, data = self.socket.recv_multipart()
            frame = np.frombuffer(data, new_buffer(0).dtype)
            head, packets = header(frame)[0], frame[HEADER_PACKETS:]
            self.registers["frames"] += 1
            pe = int(head["pe"])
            if head["kind"] == FrameKind.RUN:
                self.limit, self.open = int(head["limit"]), True
                self.wake(self.endpoints)
            elif head["kind"] == FrameKind.INJECT:
                for packet in packets:
                    self.route(packet)
            elif head["kind"] == FrameKind.FAILED:
                self.tell(FrameKind.FAILED, pe, int(head["status"]))
            else:
                for packet in packets:
                    self.route(packet)
                self.horizons[pe] = head["horizon"].copy()
                if head["kind"] == FrameKind.REPORT:
                    self.reports[pe], self.next_tick[pe] = head.copy(), int(head["tick"])
                self.wake({pe} | self.reach[pe])
            running = len(self.endpoints) - len(self.reports)
            done = all(tick >= self.limit for tick in self.next_tick.values())
            if not running and not done:  # everybody waits for more than there is, as in recurrent networks
                for pe in self.endpoints:
                    self.try_grant(pe, self.next_tick[pe])
            if self.open and not running and done:
                self.settle()

    def route(self, packet: np.void) -> None:
        """The first entry that matches decides; every target whose port matches gets a copy into its queue."""
        count, source = self.registers["counters"], int(packet["source"])
        if packet["control"] == PHASE_BEGINS:
            self.note(packet, Event.PHASE, source, 0)
            return
        if packet["control"] == OVERRAN:
            late = packet["time"] - np.uint32(spec.TICK_NS.value)
            self.note_all(np.array([packet]), Event.OVERRUN, source, 0, np.array([late], np.uint32))
            return
        count[Counter.PACKETS] += 1
        count[Counter.WITHOUT_PAYLOAD + (int(packet["control"]) >> 4 & 3)] += 1
        self.registers["pe_counts"][source, PeCounter.SENT] += 1
        self.note(packet, Event.SENT, ROUTER, 0)
        if source != SUPERVISOR:
            tap_one(self.tap, packet)
        if packet["control"] >> 6 != PacketType.MULTICAST:
            count[Counter.OTHER_TYPE] += 1
            self.note(packet, Event.OTHER_TYPE, ROUTER, self.latency[source, ROUTER])
            return
        key = int(packet["key"])
        number = next((i for i, entry in enumerate(self.entries) if key & entry.mask == entry.key), None)
        if number is None:
            count[Counter.UNROUTED] += 1
            self.note(packet, Event.UNROUTED, ROUTER, self.latency[source, ROUTER])
            return
        entry = self.entries[number]
        self.registers["hits"][number] += 1
        count[Counter.OFF_CHIP] += len(entry.links)
        for link in sorted(entry.links):
            self.note(packet, Event.OFF_CHIP, LINK + link, self.latency[source, ROUTER])
        count[Counter.COPIES] += len(entry.pes)
        for pe in entry.pes:
            inputs = self.endpoints[pe].inputs if pe in self.endpoints else ()
            port = next((port for port, own, mask in inputs if key & mask == own), None)
            if port is None:
                count[Counter.UNCLAIMED] += 1
                self.note(packet, Event.UNCLAIMED, pe, self.latency[source, pe])
                continue
            if len(self.queues[pe]) == spec.FRAME_PACKETS.value:
                self.tell(FrameKind.FAULT, pe, Fault.QUEUE_FULL)
                return
            copy = packet.copy()
            copy["port"], copy["time"] = port, packet["time"] + self.latency[source, pe]
            self.queues[pe].append(copy)

    def note(self, packet: np.void, event: Event, target: int, late: np.integer | int) -> None:
        """For a trace: what happened to a packet, `late` ns after it was sent."""
        self.note_all(np.array([packet]), event, target, late)

    def note_copies(self, packets: list[np.void], event: Event, pe: int, wait: bool = False) -> None:
        """For a trace: what happened to copies that had arrived at a PE, after they have waited for each other."""
        waits = [self.waits.get(id(packet), 0) for packet in packets] if wait else [0] * len(packets)
        copies, late = np.array(packets, PACKET), np.array(waits, np.uint32)
        words = copies.view(np.uint64).reshape(len(copies), PACKET.itemsize // 8)
        record_packets(*self.capture, copies, words, int(event), pe, copies["time"] + late, late)

    def note_all(
        self, packets: np.ndarray, event: Event, target: int, late: np.integer | int, waits: np.ndarray | None = None
    ) -> None:
        """As `note`, of several packets."""
        words = packets.view(np.uint64).reshape(len(packets), PACKET.itemsize // 8)
        times = np.ascontiguousarray(packets["time"] + np.uint32(late))
        waits = np.zeros(len(packets), np.uint32) if waits is None else waits
        record_packets(*self.capture, packets, words, int(event), target, times, waits)

    def wake(self, pes: Iterable[int]) -> None:
        """Tries to give each of these PEs what it needs."""
        for pe in pes:
            if pe in self.reports:
                self.try_grant(pe, int(self.reports[pe]["need"]))

    def try_grant(self, pe: int, need: int) -> None:
        """Wakes a PE that waits if it can run to tick `need`, or to the end of the chip's time."""
        report, last = self.reports.get(pe), self.limit - 1
        if report is None or self.next_tick[pe] > last:
            return
        end = min(self.complete_until(pe, int(report["live"])), int(report["end"]), last)
        if end < min(need, last):
            return
        heard = self.take(pe, end)
        self.waits = waits(heard)
        packets = self.bound_fifos(pe, heard)
        self.note_copies(packets, Event.RECEIVED, pe, wait=True)
        self.registers["pe_counts"][pe, PeCounter.DELIVERED] += len(packets)
        self.registers["grants"] += 1
        del self.reports[pe]
        frame = new_buffer(len(packets))
        for i, packet in enumerate(packets):
            frame[HEADER_PACKETS + i] = packet
            frame[HEADER_PACKETS + i]["time"] = self.latency[int(packet["source"]), pe]
        head = header(frame)[0]
        head["kind"], head["version"], head["pe"], head["count"] = FrameKind.GRANT, VERSION, pe, len(packets)
        head["live"], head["end"], head["limit"] = report["live"], end, last + 1
        self.socket.send_multipart([identity(pe), frame.tobytes()])

    def complete_until(self, pe: int, live: int) -> int:
        """The last tick for which every source of every live port has promised to be done."""
        return min(
            (int(self.horizons[source][out]) for port in range(spec.MAX_PORTS.value) if live >> port & 1
             for source, out in self.sources[pe, port]), default=FOREVER,
        )  # fmt: skip

    def take(self, pe: int, end: int) -> list[np.void]:
        """What the PE processes up to tick `end`, by (tick, source, sequence); what comes for a dead port is lost."""
        report = self.reports[pe]
        due = [packet for packet in self.queues[pe] if packet["tick"] + 1 <= end]
        self.queues[pe] = [packet for packet in self.queues[pe] if packet["tick"] + 1 > end]
        heard = [p for p in due if p["tick"] + 1 >= report["tick"] and report["live"] >> p["port"] & 1]
        dead = [p for p in due if not (p["tick"] + 1 >= report["tick"] and report["live"] >> p["port"] & 1)]
        self.note_copies(dead, Event.NOT_LIVE, pe)
        self.registers["counters"][Counter.NOT_LIVE] += len(dead)
        self.registers["pe_counts"][pe, PeCounter.DISCARDED] += len(dead)
        return sorted(heard, key=lambda packet: (int(packet["tick"]), int(packet["source"])))

    def bound_fifos(self, pe: int, packets: list[np.void]) -> list[np.void]:
        """Applies depth and policy of its FIFO to the packets of each tick, by their time of arrival."""
        kept: list[np.void] = []
        for tick in sorted({int(packet["tick"]) for packet in packets}):
            now = [packet for packet in packets if packet["tick"] == tick]
            lost = set().union(*(self.overflow(pe, number, now) for number in range(len(self.endpoints[pe].fifos))))
            kept += [packet for i, packet in enumerate(now) if i not in lost]
            self.note_copies([packet for i, packet in enumerate(now) if i in lost], Event.FIFO_FULL, pe, wait=True)
            self.registers["counters"][Counter.FIFO_DROPPED] += len(lost)
            self.registers["pe_counts"][pe, PeCounter.FIFO_LOST] += len(lost)
        return kept

    def overflow(self, pe: int, number: int, packets: list[np.void]) -> list[int]:
        """The places among the packets of a tick of those that FIFO `number` of the PE loses."""
        fifo, fifo_of = self.endpoints[pe].fifos[number], self.endpoints[pe].fifo_of
        own = [i for i, packet in enumerate(packets) if fifo_of[packet["port"]] == number]
        arrival = sorted(own, key=lambda i: (int(packets[i]["time"]), int(packets[i]["source"])))
        excess = max(0, len(own) - fifo.depth) if fifo.drain == "tick" else 0
        if fifo.policy == "stall":
            self.registers["counters"][Counter.FIFO_STALLED] += excess
            return []
        return arrival[len(own) - excess :] if fifo.policy == "drop" else arrival[:excess]

    def settle(self) -> None:
        """All PEs have reached the limit: discards what nobody will process any more, keeps the rest, and reports."""
        for pe in self.endpoints:
            self.take(pe, self.next_tick[pe] - 1)
            self.kept["length"][pe] = len(self.queues[pe])
            for i, packet in enumerate(self.queues[pe]):
                self.kept["packets"][pe, i] = packet
        self.open = False
        publish_tick(*self.capture, self.limit - 1)
        self.tell(FrameKind.IDLE, 0, 0)

    def tell(self, kind: FrameKind, pe: int, status: int) -> None:
        """Sends a frame without packets to the supervisor."""
        frame = new_buffer(0)
        head = header(frame)[0]
        head["kind"], head["version"], head["pe"], head["limit"] = kind, VERSION, pe, self.limit
        head["status"] = status
        self.socket.send_multipart([identity(SUPERVISOR), frame.tobytes()])


def waits(packets: list[np.void]) -> dict[int, int]:
    """ns that each packet (by `id`) for a PE waits for those before it: the last link takes one per cycle of the mesh.
    `packets`: by (tick, source, sequence)."""
    found, tick, free = {}, -1, 0
    for packet in sorted(packets, key=lambda packet: (int(packet["tick"]), int(packet["time"]))):
        if packet["tick"] != tick:
            tick, free = int(packet["tick"]), 0
        free = max(int(packet["time"]) * NS_STEPS, free)
        found[id(packet)] = free // NS_STEPS - int(packet["time"])
        free += CYCLE_STEPS
    return found


def main(
    endpoints: Sequence[Endpoint], entries: Sequence[Entry], connections: Sequence[Connection],
    queues: NDArray[np.void], registers: NDArray[np.void], capture: Capture, tap: NDArray[np.void], where: str,
) -> None:  # fmt: skip
    """Body of the router's process."""
    with bound(0, [where]) as socket:
        RouterLoop(endpoints, entries, connections, queues, registers, capture, tap, socket).serve()
