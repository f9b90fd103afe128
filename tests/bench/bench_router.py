"""The router's compiled `route`, alone, on one core: packets looked up and replicated per second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bench.measure import record, restricted_to, rounds, seconds
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.jit import Array, native
from spinn2emu.packets import PacketType, control_byte
from spinn2emu.program import Fifo
from spinn2emu.router.loop import route
from spinn2emu.router.state import (
    BUFFER,
    GATE,
    MAX_IDS,
    PORTS,
    QUEUES,
    REGISTERS,
    WORK,
    Counter,
    Endpoint,
    Router,
    build,
    build_work,
)
from spinn2emu.router.table import TABLE, Entry
from spinn2emu.router.tap import TAP
from spinn2emu.trace.capture import OWN, SHARED, Capture

FRAMES, FRAME_PACKETS, REPEATS, COPIES = 256, 256, 64, 2
PACKETS = FRAMES * FRAME_PACKETS * REPEATS
ALL_BITS = 0xFFFFFFFF


@native(int, Array(BUFFER), TABLE, PORTS, GATE, QUEUES, WORK, REGISTERS, SHARED, OWN, TAP, returns=False)
def route_all(repeats, frames, table, ports, gate, queues, work, registers, shared, own, tap):  # type: ignore[no-untyped-def]
    """Routes all frames `repeats` times; the queues of the targets are emptied after each."""
    router = Router(0, table, ports, gate, queues, work, registers, Capture(shared, own), tap)
    for _ in range(repeats):
        for f in range(frames.shape[0]):
            queues.length[:] = 0
            route(router, frames[f])


def random_entries(rng: np.random.Generator, count: int) -> list[Entry]:
    """So many entries for a random key each, or a single one for every key, with two random targets."""
    pes = [tuple(map(int, 1 + rng.permutation(spec.PES.value)[:COPIES])) for _ in range(count)]
    if count == 1:
        return [Entry(0, 0, pes[0])]
    keys = rng.choice(1 << 32, count, replace=False)
    return [Entry(int(key), ALL_BITS, targets) for key, targets in zip(keys, pes, strict=True)]


def random_frames(rng: np.random.Generator, entries: list[Entry]) -> NDArray[np.void]:
    """Frames of FRAME_PACKETS packets with a float payload, each from a random PE, each packet for a random entry."""
    frames = np.zeros(FRAMES, BUFFER)
    keys = np.array([entry.key for entry in entries], np.uint32)
    for frame in frames:
        packets = frame["packets"][:FRAME_PACKETS]
        packets["control"] = control_byte(PacketType.MULTICAST, 4)
        packets["source"] = frame["head"]["pe"] = rng.integers(1, MAX_IDS)
        packets["key"] = keys[rng.integers(0, len(entries), FRAME_PACKETS)]
        frame["head"]["count"] = FRAME_PACKETS
    return frames


@pytest.mark.parametrize("count", [spec.ROUTER_ENTRIES.value, 1])
def bench_router(benchmark: Any, count: int) -> None:
    """Frames of 256 packets, two copies of each; every PE takes every key."""
    rng = np.random.default_rng(0)
    entries = random_entries(rng, count)
    frames = random_frames(rng, entries)
    endpoints = [Endpoint(pe, ((0, 0, 0),), (), (Fifo(64),), (0,)) for pe in geometry.PE_IDS]
    ports, shares = build(endpoints, entries, [], np.zeros(MAX_IDS, np.int64))
    memory = ChipMemory()
    registers, capture = memory.of_router(0), memory.captures.of_router(0)
    records = (shares[0].table, ports, shares[0].gate, memory.queues, build_work(), registers, *capture, memory.tap)
    arguments = (frames, *records)
    with restricted_to(1):
        route_all(1, *arguments)
        counters = registers["counters"][[Counter.PACKETS, Counter.COPIES, Counter.UNROUTED, Counter.UNCLAIMED]]
        assert counters.tolist() == [PACKETS // REPEATS, COPIES * PACKETS // REPEATS, 0, 0]
        benchmark.pedantic(route_all, (REPEATS, *arguments), rounds=rounds(9))
    values = [PACKETS / s / 1e6 for s in seconds(benchmark)]
    record(benchmark, f"router_{count}", "million packets per second", values)
