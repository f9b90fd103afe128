"""Order and bound of what a PE receives: ties, and the bounds of the FIFO and of the network; in both loops."""

from __future__ import annotations

import pytest
from conftest import Chips
from helpers import SPACE, write_program

from spinn2emu import geometry, mesh
from spinn2emu.errors import ChipStuck
from spinn2emu.router.state import Counter, PeCounter
from spinn2emu.spec import FRAME_PACKETS
from spinn2host.chip import Chip, PeProgram

SINK = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    depth: int
    policy: str

def regions(p, available):
    return [Region("n", np.int64, (1,), "packet"), Region("heard", np.uint32, (200,), "key")]

def tick(pe, ram, rx, t):
    for packet in rx:
        ram.heard[ram.n[0] % 200] = packet.key
        ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",),
                  fifo=lambda p: Fifo(p.depth, policy=p.policy))
"""
LOW, HIGH, TARGET = (geometry.pe_id(name) for name in ("3.3.0", "3.3.1", "1.1.0"))
"""Two sources equally far from the target; number i of each arrives at the same time."""
A0, A1, A2, B0, B1, B2 = 0x10, 0x11, 0x12, 0x20, 0x21, 0x22
"""Keys of LOW's packets, and of HIGH's. They arrive as A0, B0, A1, B1, A2, B2; the program sees all of LOW's first."""
TICKS = 6


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("fifo"), "sink", SINK)


@pytest.fixture(params=["compiled", "python"])
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """With either loop of the router."""
    return chips(loop=request.param)


def heard(chip: Chip, programs: dict[str, str], sink: str, **fifo: object) -> list[int]:
    """The keys that the target sees per tick, the same in each; deploys and runs."""
    sources = [
        PeProgram(pe, programs["source"], {"count": 3}, {}, {"out": (key, SPACE)})
        for pe, key in ((HIGH, B0), (LOW, A0))
    ]
    chip.deploy([*sources, PeProgram(TARGET, sink, fifo, {"in": (0, 0)})], [(0, 0, [TARGET])])
    chip.run(TICKS)
    keys = chip.read(TARGET, "heard")[: chip.read(TARGET, "n")[0]].tolist()
    count = len(keys) // (TICKS - 1)
    assert keys == keys[:count] * (TICKS - 1)
    return keys[:count]


@pytest.mark.parametrize(
    ("policy", "depth", "kept"),
    [
        ("drop", 1, [A0]),
        ("drop", 3, [A0, A1, B0]),
        ("drop", 4, [A0, A1, B0, B1]),
        ("overwrite", 1, [B2]),
        ("overwrite", 3, [A2, B1, B2]),
        ("overwrite", 4, [A1, A2, B1, B2]),
        ("stall", 1, [A0, A1, A2, B0, B1, B2]),
        ("drop", 6, [A0, A1, A2, B0, B1, B2]),
    ],
)
def test_of_packets_that_arrive_together_the_lower_source_comes_first(
    chip: Chip, programs: dict[str, str], sink: str, policy: str, depth: int, kept: list[int]
) -> None:
    assert LOW < HIGH and mesh.latency_ns(LOW, TARGET) == mesh.latency_ns(HIGH, TARGET)
    assert heard(chip, programs, sink, depth=depth, policy=policy) == kept
    counters, lost = chip.counters(), (6 - len(kept)) * (TICKS - 1)
    assert counters["router"][Counter.FIFO_DROPPED] == lost == counters["pes"][TARGET, PeCounter.FIFO_LOST]
    stalled = (6 - depth) * (TICKS - 1) if policy == "stall" else 0
    assert counters["router"][Counter.FIFO_STALLED] == stalled


# --- the queue in the network ----------------------------------------------------------------------------------------


def flood(programs: dict[str, str], counts: list[int]) -> tuple[list[PeProgram], list[tuple[int, int, list[int]]]]:
    """Sources that send so many packets per tick each, all to the target."""
    pes = [
        PeProgram(9 + i, programs["source"], {"count": count}, {}, {"out": (i << 16, 0xFFFF0000)})
        for i, count in enumerate(counts)
    ]
    target = PeProgram(TARGET, programs["sink"], {}, {"in": (0, 0)})
    return [*pes, target], [(0, 0, [TARGET])]


def test_more_packets_than_a_queue_holds_stop_the_chip(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy(*flood(programs, [8000] * 8 + [1537]))
    with pytest.raises(ChipStuck, match=r"the network stopped at PE 1\.1\.0.*: more than 65536 packets wait") as caught:
        chip.run(3)
    assert (caught.value.pe, caught.value.limit) == (TARGET, FRAME_PACKETS.value)
    with pytest.raises(ChipStuck):
        chip.run(1)
    chip.deploy(*flood(programs, [5]))
    chip.run(3)
    assert chip.read(TARGET, "n").tolist() == [10]


def test_as_many_packets_as_a_queue_holds_pass(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips()
    chip.deploy(*flood(programs, [8000] * 8 + [1536]))
    for _ in range(3):
        chip.run(1)
    assert chip.read(TARGET, "n").tolist() == [2 * FRAME_PACKETS.value]
