"""What a program does to the memory of its process stays there: not another PE, a router or the host is hit by it."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from conftest import Chips
from helpers import BOOTS, SPACE, alive, ring, sram, wait_until, write_program

from spinn2emu import geometry, hostlink, spec
from spinn2emu.chip.memory import GUARD_BYTES, METER_BYTES
from spinn2emu.errors import ChipStuck, PeDied, PeFailed, Spinn2Error
from spinn2emu.frames import HEADER_PACKETS, VERSION, FrameKind, header, identity, new_buffer
from spinn2emu.router.state import Counter
from spinn2host.chip import Chip, PeProgram

SIZE = spec.SRAM_BYTES.value
OTHERS = (5, 77)
DEADLINE_S = 2.0
"""Of runs that end in a PE or router that waits for ever."""
ROUTERS = {name: BOOTS[name] for name in ("one router", "three routers")}

WILD = """
def regions(p, available):
    return [Region("plan", np.int64, (3,)), Region("bytes", np.uint8, (64,)), Region("n", np.int64, (1,))]

def tick(pe, ram, rx, t):
    if t == 3:
        for i in range(ram.plan[1]):
            ram.bytes[ram.plan[0] + i] = 255
    ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions)
"""

DAMAGE = {
    # what the kernel does to its process in tick 3: the error, and what it says
    "pe.context.pe = 77": (ChipStuck, "a frame that it has sent is damaged"),
    "pe.context.pe = 2": (ChipStuck, "a frame that it has sent is damaged"),
    "pe.context.pe = 40000": (ChipStuck, "a frame that it has sent is damaged"),
    # more than the transmit buffer: what lies behind it may be readable or not
    "pe.context.tx_count = 70000": ((ChipStuck, PeDied), ""),
    "pe.context.tx_count = -5": (PeDied, "it cannot exchange frames"),
    "pe.context.tx_count = np.int64(1) << 40": (PeDied, "it cannot exchange frames"),
    "pe.tx[0].source = 77": (ChipStuck, "a frame that it has sent is damaged"),
    "pe.tx[0].source = 255": (ChipStuck, "a frame that it has sent is damaged"),
    "pe.context.sram = 0": (PeDied, "reached beyond its SRAM"),
    "pe.context.tx_frame = 0": (PeDied, "its memory is damaged"),
    "pe.sram.sys.fault = -77": (PeFailed, "its system registers were overwritten"),
    "pe.sram.sys.phase = np.int64(1) << 40": (PeDied, "reached beyond its SRAM"),
    "pe.sram.sys.next_phase = 99": (PeFailed, "a phase that is not declared"),
    "pe.sram.sys.phase = 99": (None, ""),
    "pe.sram.sys.status = 77": (None, ""),
    "pe.sram.sys.log_count = np.int64(-1) << 63": (None, ""),
    "pe.context.rx_count = np.int64(1) << 40": (None, ""),
    "pe.tx[0].control = 255": (None, ""),
    "pe.tx[0].tick = np.uint32(0xFFFFFFFF)": (None, ""),
    "pe.tx[0].time = np.uint32(0xFFFFFFFF)": (None, ""),
}
DAMAGED = """
def regions(p, available):
    return [Region("plan", np.int64, (1,)), Region("n", np.int64, (1,))]

@kernel
def damage(pe, number):
{cases}

def tick(pe, ram, rx, t):
    if t == 3:
        send(pe, 0, 0)
        damage(pe, ram.plan[0])
    ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, inputs=("in",), outputs=("out",))
"""


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("wild"), "wild", WILD)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> str:
    cases = "\n".join(f"    if number == {number}:\n        {line}" for number, line in enumerate(DAMAGE, 1))
    return write_program(tmp_path_factory.mktemp("damaged"), "damaged", DAMAGED.format(cases=cases))


# --- indices ---------------------------------------------------------------------------------------------------------


def beyond(address: int) -> dict[str, tuple[int, int]]:
    """First index and count of writes to `bytes`, which lies at `address`, that leave the SRAM."""
    first, last = -address, SIZE - address  # indices of the SRAM's first byte and of the one behind its last
    wrap = -64  # Python's negative indices count from the end: an index as low as this one is what it says
    return {
        "one byte behind": (last, 1), "one byte before": (first - 1 + wrap, 1), "across the end": (last - 4, 8),
        "last byte of the guard pages": (last + GUARD_BYTES - 1, 1),
        "first byte of the guard pages": (first - GUARD_BYTES + wrap, 1),
        "the next PE": (last + address, 1), "the PE before": (first - SIZE + address + wrap, 1),
        "far behind": (1 << 40, 1), "far before": (-(1 << 40), 1), "no address": (1 << 62, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("pe", "options"), list(zip([1, 152], ROUTERS.values(), strict=True)), ids=ROUTERS)
def test_a_wild_index_ends_its_own_pe_alone(chips: Chips, wild: str, pe: int, options: dict[str, Any]) -> None:
    chip = chips(**options)
    others = (2, 77) if pe == 1 else (77, 151)
    chip.deploy([PeProgram(number, wild) for number in (pe, *others)], [])
    name, memory = geometry.name(pe), chip.memory(pe)
    may_change = np.zeros(SIZE, bool)
    for region in ("sys", "n"):
        may_change[memory[region].address :][: memory[region].nbytes] = True
    for first, count in beyond(memory["bytes"].address).values():
        chip.signal("reset")
        chip.write(pe, "plan", [first, count])
        before = [sram(chip, other) for other in others]
        with pytest.raises(PeDied, match=r"boot --strict") as caught:
            chip.run(10)
        error = caught.value
        assert (error.pe, error.name, error.program, error.tick) == (pe, f"pe {name}", wild, 3)
        assert str(error).startswith(f"PE {name} ({wild}) died in tick 3: killed by SIGSEGV: it has reached beyond")
        pids = chip.info()["pids"]
        assert f"pe {name}" not in pids and all(alive(pid) for pid in pids.values())  # nobody else died
        for other, expected in zip(others, before, strict=True):
            assert (may_change | (sram(chip, other) == expected)).all()
        assert not chip.counters()["router"].any() and not chip.counters()["pes"].any()
    chip.signal("reset")
    chip.run(10)
    assert [int(chip.read(number, "n")[0]) for number in (pe, *others)] == [10] * 3


def test_all_of_its_own_sram_is_a_programs_to_damage(chip: Chip, wild: str) -> None:
    chip.deploy([PeProgram(9, wild), PeProgram(77, wild)], [])
    address = chip.memory(9)["bytes"].address
    for first, count in ((SIZE - address - 8, 8), (-address - 64, 8)):
        chip.signal("reset")
        chip.write(9, "plan", [first, count])
        chip.run(10)
        assert (chip.read(9, first + address + (64 if first < 0 else 0), 8) == 255).all()
        assert int(chip.read(77, "n")[0]) == 10


def test_a_pes_process_shares_nothing_but_its_sram_and_three_pages_with_others(chip: Chip, wild: str) -> None:
    chip.deploy([PeProgram(pe, wild) for pe in (1, 77, 152)], [])
    seen = set()
    for label, pid in chip.info()["pids"].items():
        lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
        shared = [line for line in lines if "w" in line[1] and line[1].endswith("s")]
        sizes = sorted(int(end, 16) - int(begin, 16) for begin, end in (line[0].split("-") for line in shared))
        if label == "router":
            assert max(sizes) > SIZE
            continue
        assert sizes == [mmap.PAGESIZE, METER_BYTES, SIZE]
        seen |= {tuple(line[2:5]) for line in shared}  # offset in which mapping
        own = next(
            line[0] for line in shared if int(line[0].split("-")[1], 16) - int(line[0].split("-")[0], 16) == SIZE
        )
        begin, end = (int(address, 16) for address in own.split("-"))
        for line in lines:
            low, high = (int(address, 16) for address in line[0].split("-"))
            near = low < end + GUARD_BYTES and high > begin - GUARD_BYTES
            assert not near or line[0] == own or line[1] == "---p", line
    assert len(seen) == 9


# --- damage outside the SRAM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ROUTERS.values(), ids=ROUTERS)
def test_what_a_damaged_process_sends_damages_nobody(
    chips: Chips, programs: dict[str, str], damaged: str, options: dict[str, Any]
) -> None:
    chip = chips(deadline=DEADLINE_S, **options)
    items, entries = ring(programs["ring"], OTHERS)
    for _, _, pes in entries:
        pes.append(9)
    chip.deploy([*items, PeProgram(9, damaged, {}, {"in": (0, 0)}, {"out": (0x1000, SPACE)})], entries)
    for number, (line, (kind, text)) in enumerate(DAMAGE.items(), 1):
        chip.signal("reset")
        chip.write(9, "plan", [number])
        found = None
        try:
            chip.run(10)
        except Spinn2Error as error:
            found = type(error)
            assert error.pe == 9 and damaged in str(error) and text in str(error), line
        assert found in (kind if isinstance(kind, tuple) else (kind,)), line
        pids = chip.info()["pids"]
        assert all(alive(pid) for pid in pids.values()), line
        assert len(pids) - sum("router" in label for label in pids) == (2 if found is PeDied else 3), line
        chip.ps(), chip.log(9), chip.counters(), chip.routes()
        chip.signal("reset")
        chip.run(7)
        assert [int(chip.read(pe, "n")[0]) for pe in OTHERS] == [3, 3], line


def frame(sender: int, kind: int, packets: int = 1, **changes: int) -> bytes:
    """A frame from a PE, with packets that match no entry."""
    buffer = new_buffer(packets)
    head = header(buffer)[0]
    head["kind"], head["version"], head["pe"], head["count"] = kind, VERSION, sender, packets
    buffer["source"][HEADER_PACKETS:], buffer["key"][HEADER_PACKETS:] = sender & 0xFF, 0xFFFF0000
    for name, value in changes.items():
        head[name] = value
    return buffer.tobytes()


STRANGE = {
    "empty": b"", "short": bytes(127), "zeros": bytes(160),
    "longer than it says": frame(12, FrameKind.PART) + bytes(32),
    "shorter than it says": frame(12, FrameKind.PART, count=2),
    "another version": frame(12, FrameKind.PART, version=99),
    "in the name of another": frame(5, FrameKind.PART), "in the name of nobody": frame(65535, FrameKind.PART),
    "of a router": frame(12, FrameKind.DONE, router=0xFFFFFFFF), "passed on by a router": frame(12, FrameKind.PASSED),
    "of the supervisor": frame(12, FrameKind.RUN, limit=1 << 40), "of no kind": frame(12, 0),
    "larger than any": frame(12, FrameKind.PART, spec.FRAME_PACKETS.value + 1),
}  # fmt: skip


def test_a_frame_that_its_sender_may_not_send_is_refused(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy(*ring(programs["ring"], OTHERS))
    for what, data in STRANGE.items():
        (address,) = chip.directory.glob(f"{hostlink.NETWORK_NAME}*")
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.ROUTING_ID, identity(12))
            socket.connect(hostlink.endpoint(address))
            socket.send(data)
            wait_until(f"the router has looked at what is {what}", lambda: chip.info()["failure"] is not None)
            assert chip.info()["failure"].startswith("the network stopped: a frame that it has sent is damaged")
        assert not chip.counters()["router"][[Counter.UNROUTED, Counter.OTHER_TYPE]].any()
        with pytest.raises(ChipStuck):
            chip.run(10)
        chip.signal("reset")
        chip.run(7)
        assert [int(chip.read(pe, "n")[0]) for pe in OTHERS] == [3, 3], what


def test_any_bytes_in_the_sram_can_be_looked_at(chip: Chip, programs: dict[str, str]) -> None:
    rng = np.random.default_rng(1)
    chip.deploy([PeProgram(9, programs["counter"])], [])
    for fill in (np.zeros(SIZE), np.full(SIZE, 255), rng.integers(0, 256, SIZE), rng.integers(0, 256, SIZE)):
        chip.write(9, 0, fill.astype(np.uint8))
        assert next(row["state"] for row in chip.ps() if row["id"] == 9) in ("loaded", "unknown")
        chip.log(9), chip.info(), chip.counters(), chip.routes(), chip.memory(9), chip.read(9, "log")
        assert (sram(chip, 9) == fill).all()
