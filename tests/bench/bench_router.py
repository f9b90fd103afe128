"""The router's compiled `route`, alone, on one core: packets looked up and replicated per second."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from bench.measure import record, restricted_to, rounds, seconds
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.jit import OPTIONS
from spinn2emu.packets import PACKET, PacketType, control_byte
from spinn2emu.program import Fifo
from spinn2emu.router.loop import route
from spinn2emu.router.state import MAX_IDS, Counter, Endpoint, build, build_queues
from spinn2emu.router.table import Entry

FRAMES, FRAME_PACKETS, REPEATS, COPIES = 256, 256, 64, 2
PACKETS = FRAMES * FRAME_PACKETS * REPEATS
ALL_BITS = 0xFFFFFFFF


@numba.njit(**OPTIONS)
def route_all(repeats, frames, words, table, ports, gate, queues, registers):  # type: ignore[no-untyped-def]
    """Routes all frames `repeats` times; the queues of the targets are emptied after each."""
    for _ in range(repeats):
        for f in range(frames.shape[0]):
            queues.length[:] = 0
            route(frames[f], words[f], table, ports, gate, queues, registers)


def random_entries(rng: np.random.Generator, count: int) -> list[Entry]:
    """So many entries for a random key each, or a single one for every key, with two random targets."""
    pes = [tuple(map(int, 1 + rng.permutation(spec.PES.value)[:COPIES])) for _ in range(count)]
    if count == 1:
        return [Entry(0, 0, pes[0])]
    keys = rng.choice(1 << 32, count, replace=False)
    return [Entry(int(key), ALL_BITS, targets) for key, targets in zip(keys, pes, strict=True)]


def random_frames(rng: np.random.Generator, entries: list[Entry]) -> NDArray[np.void]:
    """Packets with a float payload from random PEs, each for a random entry: (FRAMES, FRAME_PACKETS)."""
    frames = np.zeros((FRAMES, FRAME_PACKETS), PACKET)
    frames["control"] = control_byte(PacketType.MULTICAST, 4)
    frames["source"] = rng.integers(1, MAX_IDS, frames.shape)
    frames["key"] = np.array([entry.key for entry in entries], np.uint32)[rng.integers(0, len(entries), frames.shape)]
    return frames


@pytest.mark.parametrize("count", [spec.ROUTER_ENTRIES.value, 1])
def bench_router(benchmark: Any, count: int) -> None:
    """Frames of 256 packets, two copies of each; every PE takes every key."""
    rng = np.random.default_rng(0)
    entries = random_entries(rng, count)
    frames = random_frames(rng, entries)
    endpoints = [Endpoint(pe, ((0, 0, 0),), (), Fifo(64)) for pe in geometry.PE_IDS]
    ports, shares = build(endpoints, entries, [], np.zeros(MAX_IDS, np.int64))
    memory = ChipMemory()
    registers = memory.registers[0]
    words = frames.view(np.uint64).reshape(FRAMES, FRAME_PACKETS, -1)
    queues = build_queues(memory.queues, memory.queued)
    arguments = (frames, words, shares[0].table, ports, shares[0].gate, queues, registers)
    with restricted_to(1):
        route_all(1, *arguments)
        counters = registers.counters[[Counter.PACKETS, Counter.COPIES, Counter.UNROUTED, Counter.UNCLAIMED]]
        assert counters.tolist() == [PACKETS // REPEATS, COPIES * PACKETS // REPEATS, 0, 0]
        benchmark.pedantic(route_all, (REPEATS, *arguments), rounds=rounds(9))
    values = [PACKETS / s / 1e6 for s in seconds(benchmark)]
    record(benchmark, f"router_{count}", "million packets per second", values)
