"""Whole chips with small user programs: time, packets, counters, and how what goes wrong is reported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, CORE, SPACE, raw_request, request, ring, sram, write_program
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spinn2emu import hostlink
from spinn2emu.errors import ConfigError, PeFailed, ProgramError, ProtocolError, SramOverflow
from spinn2emu.geometry import pe_id
from spinn2emu.router.state import Counter, PeCounter
from spinn2host.chip import Chip, PeProgram

ANY = (0, 0)
"""Key and mask of a port that hears everything."""

MALFORMED = [
    b"",
    b"garbage",
    b"\xff" * 1000,
    msgpack.packb({"version": hostlink.PROTOCOL, "op": "halt"}),  # without an id
    msgpack.packb({"version": hostlink.PROTOCOL + 1, "id": 1, "op": "halt"}),
    *(
        hostlink.encode({"id": 1, **content})
        for content in (
            {},
            {"op": "explode"},
            {"op": ["halt"]},
            {"op": "read"},
            {"op": "read", "ranges": [[5, 0]]},
            {"op": "read", "ranges": [[5, 0, 4.5]]},
            {"op": "write", "ranges": [[5, 0, "text"]]},
            {"op": "run", "ticks": "many"},
            {"op": "load", "pes": [{"pe": 9}], "entries": []},
            {"op": "load", "pes": 5, "entries": []},
        )
    ),
]


@pytest.fixture(params=BOOTS.values(), ids=BOOTS)
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """A chip whose options must not matter."""
    return chips(**request.param)


def counted(chip: Chip) -> dict[str, int]:
    """The router's counters that are not 0."""
    values = chip.counters()["router"].tolist()
    return {Counter(i).name: value for i, value in enumerate(values) if value}


# --- time ------------------------------------------------------------------------------------------------------------


def test_time_advances_by_the_ticks_asked_for(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"]), PeProgram(152, programs["counter"])], [])
    assert chip.info()["tick"] == 0
    for ticks, total in [(10, 10), (0, 10), (1, 11), (1000, 1011)]:
        chip.run(ticks)
        assert chip.info()["tick"] == total
        assert [chip.read(pe, "ticks").tolist() for pe in (5, 152)] == [[total]] * 2


def test_what_is_sent_in_a_tick_is_processed_in_the_next(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 2}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": ANY}),
    ]
    chip.deploy(pes, [(0x40, SPACE, [9])])
    chip.run(4)
    assert chip.read(9, "heard")[:8].tolist() == [0x40, 0x41] * 3 + [0, 0]
    assert chip.read(9, "ticks")[:8].tolist() == [1, 1, 2, 2, 3, 3, 0, 0]
    assert chip.read(9, "n").tolist() == [6]


@pytest.mark.parametrize("pes", [(5, 6), (5, 77, 152, 9)])
def test_a_token_goes_round_a_ring_tick_by_tick(chip: Chip, programs: dict[str, str], pes: tuple[int, ...]) -> None:
    chip.deploy(*ring(programs["ring"], pes))
    chip.run(41)
    for i, pe in enumerate(pes):
        expected = [tick for tick in range(1, 41) if tick % len(pes) == i]
        assert chip.read(pe, "n").tolist() == [len(expected)]
        assert chip.read(pe, "ticks")[: len(expected)].tolist() == expected


def test_several_runs_leave_the_same_sram_and_counters_as_one(chip: Chip, programs: dict[str, str]) -> None:
    pes, entries = ring(programs["ring"], [5, 77, 30])
    pes += [
        PeProgram(9, programs["source"], {"count": 3}, {}, {"out": (0x100, SPACE)}),
        PeProgram(10, programs["dozing"], {}, {"in": (0x100, SPACE)}),
        PeProgram(11, programs["sink"], {"depth": 2, "policy": "drop"}, {"in": ANY}),
    ]
    entries.append((0x100, SPACE, [10, 11]))
    states = []
    for runs in ([60], [1, 2, 17, 0, 40], [1] * 60):
        chip.deploy(pes, entries)
        for ticks in runs:
            chip.run(ticks)
        counters = chip.counters()
        tables = [counters[name].tobytes() for name in ("router", "hits", "pes", "quads")]
        states.append([tables, *(sram(chip, pe.pe).tobytes() for pe in pes)])
    assert states[0] == states[1] == states[2]
    assert chip.read(11, "n").tolist() == [2 * 59]


def test_time_does_not_go_backwards(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    with pytest.raises(ConfigError, match="ticks is a whole number from 0 on, not -1"):
        chip.run(-1)
    with pytest.raises(ConfigError, match="window is a whole number from 1 on, not 0"):
        chip.run(1, window=0)
    with pytest.raises(ConfigError, match="time goes forward"):
        chip.run(0xFFFFFFFF)
    chip.run(np.uint8(3))  # type: ignore[arg-type]
    assert chip.info()["tick"] == 3


def test_an_empty_chip_cannot_run(chips: Chips) -> None:
    with pytest.raises(ConfigError, match="no program is loaded"):
        chips().run(1)


@pytest.mark.parametrize("cores", [[4095], [CORE] * 9, [-1]])
def test_cores_that_cannot_be_used_are_refused(programs: dict[str, str], cores: list[int]) -> None:
    with Chip.boot(cores) as chip:
        with pytest.raises(ConfigError, match="can be used"):
            chip.deploy([PeProgram(9, programs["counter"])], [])
        assert chip.info()["programs"] == {}


# --- memory ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_and_used(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    chip.write(5, "ticks", [2**40])
    chip.run(3)
    assert chip.read(5, "ticks").tolist() == [2**40 + 3]


def test_a_symbol_is_at_its_address(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"], {"key": 0x1234})], [])
    symbol = chip.maps[5]["plan"]
    assert symbol.view(sram(chip, 5)).tolist() == chip.read(5, "plan").tolist() == [-1, 0, 0x1234]


@pytest.mark.parametrize(
    ("pe", "address", "size"), [(5, 0x1FFFC, 5), (5, -1, 1), (5, 0, -1), (5, 2**40, 1), (0, 0, 1), (153, 0, 1)]
)
def test_beyond_the_sram_nothing_is_read_or_written(
    chip: Chip, programs: dict[str, str], pe: int, address: int, size: int
) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    with pytest.raises(ConfigError, match=r"exceed its SRAM|no PE with id"):
        request(chip, "read", ranges=[[5, 0, 4], [pe, address, size]])
    before, ones = sram(chip, 5), np.full(8, 255, np.uint8)
    if size > 0:
        with pytest.raises(ConfigError, match=r"exceed its SRAM|no PE with id"):
            chip.write_many([(5, 0, ones[:4]), (pe, address, ones[:size])])
    assert (sram(chip, 5) == before).all()
    chip.run(2)
    assert chip.read(5, "ticks").tolist() == [2]


def test_the_last_bytes_of_the_sram_can_be_read(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    assert chip.read(5, 0x1FFFC, 4).tolist() == [0, 0, 0, 0]


def test_more_than_a_region_holds_is_refused(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    with pytest.raises(ConfigError, match=r"PE 7\.5\.0: region plan has shape \(3,\)") as caught:
        chip.write(5, "plan", [1, 2, 3, 4])
    assert (caught.value.pe, caught.value.region, caught.value.limit) == (5, "plan", [3])
    assert chip.read(5, "plan").tolist() == [-1, 0, 0]


def test_unknown_regions_and_pes_are_refused(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(5, programs["counter"])], [])
    with pytest.raises(ConfigError, match="no region 'nope'; it has sys"):
        chip.read(5, "nope")
    with pytest.raises(ConfigError, match=r"no program is loaded on PE 7\.5\.1"):
        chip.read(6, "ticks")


# --- packets and counters --------------------------------------------------------------------------------------------


def test_packets_that_match_no_entry_are_counted(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 5}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": ANY}),
    ]
    chip.deploy(pes, [(0x40, 0xFFFFFFFE, [9])])  # keys 0x40 and 0x41
    chip.run(10)
    assert counted(chip) == {"PACKETS": 50, "COPIES": 20, "UNROUTED": 30, "WITHOUT_PAYLOAD": 50}
    assert chip.counters()["hits"].tolist() == [20]
    assert set(chip.read(9, "heard")[:18].tolist()) == {0x40, 0x41}


def test_copies_that_no_port_wants_are_counted(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": (0x41, 0xFFFFFFFF)}),
        PeProgram(100, programs["sink"]),
    ]
    chip.deploy(pes, [(0x40, SPACE, [9, 100])])  # PE 100 listens to nobody
    chip.run(10)
    assert counted(chip) == {"PACKETS": 30, "COPIES": 60, "UNCLAIMED": 50, "WITHOUT_PAYLOAD": 30}
    assert chip.read(9, "n").tolist() == [9]


def test_a_quad_gets_one_copy_for_all_its_pes(chip: Chip, programs: dict[str, str]) -> None:
    sinks = [9, 10, 12, 101]
    pes = [
        PeProgram(5, programs["source"], {}, {}, {"out": (0, SPACE)}),
        *(PeProgram(pe, programs["sink"], {}, {"in": ANY}) for pe in sinks),
    ]
    chip.deploy(pes, [(0, SPACE, sinks)])
    chip.run(10)
    quads = chip.counters()["quads"]
    assert {int(quad): int(quads[quad]) for quad in np.nonzero(quads)[0]} == {8 // 4: 10, 100 // 4: 10}
    assert counted(chip)["COPIES"] == 40


def test_packets_for_a_port_that_is_not_live_are_discarded_and_counted(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 2}, {}, {"out": (0, SPACE)}),
        PeProgram(9, programs["dozing"], {}, {"in": ANY}),
    ]
    chip.deploy(pes, [(0, SPACE, [9])])
    chip.run(20)
    heard = chip.read(9, "heard")
    assert np.nonzero(heard)[0].tolist() == [1, 5, 6, 10, 11, 15, 16]
    assert heard.sum() == 14
    # Due in ticks 1 … 19; what is sent in tick 19 still waits.
    assert counted(chip) == {"PACKETS": 40, "COPIES": 40, "NOT_LIVE": 38 - 14, "WITHOUT_PAYLOAD": 40}
    assert chip.counters()["pes"][9].tolist() == [0, 14, 24, 0]


NEAR, FAR, SINK = pe_id("3.3.0"), pe_id("7.5.0"), pe_id("3.3.1")


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        # Arrival: NEAR after 43 ns, FAR after 93 ns; a source's packets 3.3 ns apart. The program sees FAR, the lower
        # id, first. Depth 4 of 6.
        ("stall", [0x20, 0x21, 0x22, 0x10, 0x11, 0x12]),
        ("drop", [0x20, 0x10, 0x11, 0x12]),  # the first four to arrive
        ("overwrite", [0x20, 0x21, 0x22, 0x12]),  # the last four
    ],
)
def test_a_full_fifo_does_what_its_policy_says(
    chip: Chip, programs: dict[str, str], policy: str, kept: list[int]
) -> None:
    assert FAR < NEAR
    pes = [
        PeProgram(NEAR, programs["source"], {"count": 3}, {}, {"out": (0x10, SPACE)}),
        PeProgram(FAR, programs["source"], {"count": 3}, {}, {"out": (0x20, SPACE)}),
        PeProgram(SINK, programs["sink"], {"depth": 4, "policy": policy}, {"in": ANY}),
    ]
    chip.deploy(pes, [(0, 0, [SINK])])
    chip.run(6)
    assert chip.read(SINK, "heard")[: 5 * len(kept)].tolist() == kept * 5
    assert chip.read(SINK, "n").tolist() == [5 * len(kept)]
    expected = {"FIFO_STALLED": 2 * 5} if policy == "stall" else {"FIFO_DROPPED": 2 * 5}
    assert {name: n for name, n in counted(chip).items() if name.startswith("FIFO")} == expected
    pe_counts = chip.counters()["pes"][SINK]
    assert pe_counts[PeCounter.FIFO_LOST] == (0 if policy == "stall" else 10)
    assert pe_counts[PeCounter.DELIVERED] == 5 * len(kept)


def test_a_fifo_that_is_deep_enough_loses_nothing(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(NEAR, programs["source"], {"count": 4}, {}, {"out": (0x10, SPACE)}),
        PeProgram(SINK, programs["sink"], {"depth": 4, "policy": "drop"}, {"in": ANY}),
    ]
    chip.deploy(pes, [(0, 0, [SINK])])
    chip.run(11)
    assert counted(chip) == {"PACKETS": 44, "COPIES": 44, "WITHOUT_PAYLOAD": 44}
    assert chip.read(SINK, "n").tolist() == [40]


def mixed(ticks: int, mixers: list[dict[str, int]], entries: list[tuple[int, int, list[int]]]) -> tuple[list[int], int]:
    """The `mixer` program without a chip, tick by tick. Number i sends keys 32 i … on port x and 32 i + 16 … on y.

    Returns every PE's number and how many packets came to ports that were not live.
    """
    state = {m["pe"]: m["seed"] for m in mixers}
    now: list[int] = []
    dead = 0
    for tick in range(ticks):
        sent = []
        for number, m in enumerate(mixers):
            pe, h = m["pe"], state[m["pe"]]
            for key in now:
                targets = next((pes for k, mask, pes in entries if key & mask == k), [])
                if pe in targets and key & 16 == 0 and m["deaf"] and tick % (m["hear"] + m["deaf"]) >= m["hear"]:
                    dead += 1
                elif pe in targets:
                    h = (h * 31 + key + tick) % 1000003
            sent += [32 * number + 16 * (h // 4 % 2) + (h + i) % 16 for i in range(h % 4)]
            state[pe] = (h * 7 + 1) % 1000003
        now = sent
    return list(state.values()), dead


def as_programs(program: str, mixers: list[dict[str, int]]) -> list[PeProgram]:
    """The PEs of such a network: they hear all keys, odd 16s on port b."""
    return [
        PeProgram(
            mixer["pe"], program, {name: mixer[name] for name in ("seed", "hear", "deaf")},
            {"a": (0, 16), "b": (16, 16)}, {"x": (32 * number, SPACE), "y": (32 * number + 16, SPACE)},
        )
        for number, mixer in enumerate(mixers)
    ]  # fmt: skip


@settings(
    max_examples=16,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example begins with a deployment
)
@given(data=st.data())
def test_any_network_behaves_as_a_naive_walk_through_its_ticks(
    chip: Chip, programs: dict[str, str], data: st.DataObject
) -> None:
    """Any connections, loops too; PEs with one endless phase among others with two finite ones."""
    pes = sorted(data.draw(st.sets(st.integers(1, 152), min_size=2, max_size=8)))
    seeds, lengths = st.integers(0, 10**6), st.integers(1, 5)
    masks = st.lists(st.sampled_from([0xFFFFFFF0, 0xFFFFFFE0, 0xFFFFFFE1, 0xFFFFFFF8]), max_size=3)
    mixers, entries = [], []
    for number, pe in enumerate(pes):
        hear, deaf = data.draw(lengths), data.draw(st.just(0) | lengths)
        mixers.append({"pe": pe, "seed": data.draw(seeds), "hear": hear, "deaf": deaf})
        for mask in data.draw(masks):
            key = 32 * number + data.draw(st.integers(0, 31)) & mask
            entries.append((key, mask, [target for target in pes if data.draw(st.booleans())]))
    runs = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    chip.deploy(as_programs(programs["mixer"], mixers), entries)
    for ticks in runs:
        chip.run(ticks)
    expected, dead = mixed(sum(runs), mixers, entries)
    assert [int(h[0]) for h in chip.read_many([(pe, "h") for pe in pes])] == expected
    assert chip.counters()["router"][Counter.NOT_LIVE] == dead


@pytest.mark.parametrize("options", [*BOOTS.values(), {"cores": [CORE] * 2}], ids=[*BOOTS, "two routers"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_networks_in_which_many_talk_to_many_do_not_depend_on_the_routers(
    chips: Chips, programs: dict[str, str], options: dict[str, Any], seed: int
) -> None:
    """Most routers pass on the packets and promises of several PEs in one message; a part of the PEs is deaf for some
    ticks, or has phases of several, so that routers hear from them in any order."""
    draw = np.random.default_rng(seed)
    pes = sorted(draw.choice(np.arange(1, 153), 24, replace=False).tolist())
    mixers = [
        {
            "pe": pe,
            "seed": int(draw.integers(10**6)),
            "hear": int(draw.integers(1, 4)),
            "deaf": int(draw.integers(-2, 3)),
        }
        for pe in pes
    ]
    mixers = [mixer | {"deaf": max(0, mixer["deaf"])} for mixer in mixers]
    everybody = seed == 1
    entries = [(32 * i, 0xFFFFFFE0, [pe for pe in pes if everybody or draw.random() < 0.8]) for i in range(len(pes))]
    chip = chips(**options)
    chip.deploy(as_programs(programs["mixer"], mixers), entries)
    for ticks in (1, 40, 19):
        chip.run(ticks)
    expected, dead = mixed(60, mixers, entries)
    assert [int(h[0]) for h in chip.read_many([(pe, "h") for pe in pes])] == expected
    assert chip.counters()["router"][Counter.NOT_LIVE] == dead


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_who_is_deaf_to_a_port_does_not_wait_for_its_sources(
    chips: Chips, programs: dict[str, str], options: dict[str, Any]
) -> None:
    """The two PEs talk to each other; one hears for a tick and is deaf for nine, which it runs in one go."""
    chip = chips(**options)
    both = [
        PeProgram(
            pe, programs["mixer"], {"seed": pe, "hear": 1, "deaf": deaf}, {"a": (0, 16), "b": (16, 16)}, {"x": out}
        )
        for pe, deaf, out in ((9, 9, (0, SPACE)), (152, 0, (32, SPACE)))
    ]
    chip.deploy(both, [(0, SPACE, [152]), (32, SPACE, [9])])
    chip.run(100)
    assert chip.counters()["activations"][9] == 20


# --- kernels that fail -----------------------------------------------------------------------------------------------


def test_an_error_code_of_a_kernel_names_pe_program_tick_code_and_log(chip: Chip, programs: dict[str, str]) -> None:
    bad = PeProgram(77, programs["counter"], {"fail_at": 6, "code": 7}, {}, {"out": (0, SPACE)})
    chip.deploy([PeProgram(5, programs["counter"]), bad], [])
    with pytest.raises(PeFailed, match="failed in tick 6 with code 7: the seventh error") as caught:
        chip.run(20)
    error = caught.value
    assert (error.pe, error.name, error.program, error.tick, error.code) == (77, "1.1.0", programs["counter"], 6, 7)
    assert error.log == ["tick 6: code 40, 6.5", "tick 6: code 41, -1"]
    for text in ("1.1.0", programs["counter"], *error.log):
        assert text in str(error)
    assert chip.read(77, "ticks").tolist() == [6]  # its memory can still be read
    with pytest.raises(PeFailed):
        chip.run(1)
    chip.deploy([PeProgram(5, programs["counter"])], [])
    chip.run(3)
    assert chip.read(5, "ticks").tolist() == [3]


@pytest.mark.parametrize("key", [16, -1, 2**31])
def test_a_key_outside_the_space_of_the_port_fails_the_pe(chip: Chip, programs: dict[str, str], key: int) -> None:
    chip.deploy(
        [PeProgram(9, programs["counter"], {"fail_at": 2, "key": key}, {}, {"out": (0x50, SPACE)})], [(0, 0, [9])]
    )
    with pytest.raises(PeFailed, match="key outside the key space of its output port") as caught:
        chip.run(5)
    assert (caught.value.pe, caught.value.tick, caught.value.code) == (9, 2, -2)


def test_the_last_key_of_the_space_is_fine(chip: Chip, programs: dict[str, str]) -> None:
    sender = PeProgram(9, programs["counter"], {"fail_at": 2, "key": 15}, {}, {"out": (0x50, SPACE)})
    chip.deploy([sender, PeProgram(10, programs["sink"], {}, {"in": ANY})], [(0x50, SPACE, [10])])
    chip.run(5)
    assert (chip.read(10, "heard")[0], chip.read(10, "n")[0]) == (0x5F, 1)


def test_more_packets_than_the_transmit_queue_holds_fail_the_pe(chip: Chip, programs: dict[str, str]) -> None:
    chip.deploy([PeProgram(9, programs["source"], {"count": 8193}, {}, {"out": (0, 0xFFFF0000)})], [])
    with pytest.raises(PeFailed, match="transmit queue") as caught:
        chip.run(2)
    assert (caught.value.tick, caught.value.code) == (0, -1)


BURSTS = """
def regions(p, available):
    return [Region("n", np.int64, (1,))]

def tick(pe, ram, rx, t):
    for i in range(4000 if t % 2 == 0 else 8192):
        send(pe, 0, i)
    ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, outputs=("out",), phases=lambda p: [
    Phase("a", 1, (), ("out",), ("b",)), Phase("b", 1, (), ("out",), ("a",)),
])
"""


@pytest.mark.parametrize("runs", [[4], [1, 1, 1, 1]], ids=["at once", "tick by tick"])
def test_what_is_left_of_a_tick_takes_no_room_from_the_next(chip: Chip, tmp_path: Path, runs: list[int]) -> None:
    """As many packets as a PE can send in a tick, on top of some that have not been reported, and a phase's note."""
    program = write_program(tmp_path, "bursts", BURSTS)
    chip.deploy([PeProgram(9, program, {}, {}, {"out": (0, 0xFFFF0000)})], [])
    for ticks in runs:
        chip.run(ticks)
    assert (chip.read(9, "n")[0], chip.counters()["router"][Counter.PACKETS]) == (4, 2 * (4000 + 8192))


# --- loads that are refused ------------------------------------------------------------------------------------------


@pytest.fixture
def survivor(chip: Chip, programs: dict[str, str]) -> Iterator[Chip]:
    """A chip in the middle of a run: what is refused must leave it as it was."""
    chip.deploy([PeProgram(5, programs["counter"])], [])
    chip.run(4)
    yield chip
    chip.run(3)
    assert chip.read(5, "ticks").tolist() == [7]


BROKEN = """
def regions(p, available):
    return [Region("x", np.int64, (1,))]

def tick(pe, ram, rx, t):
    ram.x[0] = {expression}
    return 0

program = Program(tick=tick, regions=regions)
"""


@pytest.mark.parametrize("expression", ["ram.nothing[0]", "'text'", "no_such_function(t)"])
def test_a_program_that_does_not_compile_is_shown_with_its_line(survivor: Chip, tmp_path: Any, expression: str) -> None:
    path = write_program(tmp_path, "broken", BROKEN.format(expression=expression))
    with open(path) as file:
        line = next(number for number, text in enumerate(file, 1) if expression in text)
    with pytest.raises(ProgramError, match=r"does not compile|is not defined|no region 'nothing'") as caught:
        survivor.deploy([PeProgram(9, path)], [])
    assert caught.value.pe == 9 and caught.value.program == path
    assert "broken.py" in str(caught.value) and f"line {line}" in str(caught.value)
    assert expression.split("(")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def tick(:\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("", "has no variable `program`"),
        ("program = 5\n", "has no variable `program`"),
        ("program = Program(tick=None, regions=None, inputs=('a', 'a'))\n", "different names"),
        ("program = Program(tick=None, regions=None, outputs=tuple('abcdefghi'))\n", "at most 8"),
    ],
)
def test_a_file_that_is_no_program_is_refused(survivor: Chip, tmp_path: Any, text: str, problem: str) -> None:
    path = write_program(tmp_path, "bad", text)
    with pytest.raises(ProgramError) as caught:
        survivor.deploy([PeProgram(9, path)], [])
    assert problem in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize("name", ["no.such.module", "/no/such/file.py", "spinn2emu.packets"])
def test_a_program_that_is_not_there_is_refused(survivor: Chip, name: str) -> None:
    with pytest.raises(ProgramError, match=name.replace(".", r"\.")):
        survivor.deploy([PeProgram(9, name)], [])


def test_two_programs_on_a_pe_are_refused(survivor: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"PE id 9 .* has two programs"):
        survivor.deploy([PeProgram(9, programs["counter"]), PeProgram(9, programs["sink"])], [])


@pytest.mark.parametrize("pe", [0, 153, -1])
def test_a_pe_that_the_chip_lacks_is_refused(survivor: Chip, programs: dict[str, str], pe: int) -> None:
    with pytest.raises(ConfigError, match=f"PE id {pe} is not on the chip"):
        survivor.deploy([PeProgram(pe, programs["counter"])], [])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"inputs": {"nope": ANY}}, "no port 'nope' among its inputs"),
        ({"outputs": {"in": ANY}}, "no port 'in' among its outputs"),
        ({"inputs": {"in": (3, 2)}}, "bits outside mask"),
        ({"inputs": {"in": (0, 2**32)}}, "mask"),
        ({"inputs": {"in": (-1, 2**32 - 1)}}, "mask"),
        ({"parameters": {"depht": 5}}, "depht"),
        ({"parameters": {"depth": "many"}}, "depth"),
    ],
)
def test_bad_ports_and_parameters_are_refused(
    survivor: Chip, programs: dict[str, str], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        survivor.deploy([PeProgram(9, programs["sink"], **changes)], [])


def test_bad_routing_entries_are_refused(survivor: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="entry 0 can never match"):
        survivor.deploy([PeProgram(9, programs["sink"])], [(1, 0, [9])])


def test_a_program_that_does_not_fit_is_refused_with_its_map(survivor: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(SramOverflow) as caught:
        survivor.deploy([PeProgram(9, programs["sink"], {"depth": 10_000})], [])
    error = caught.value
    assert (error.pe, error.program, error.limit) == (9, programs["sink"], 0x1F000 - 0x8000)
    assert error.needed > error.limit
    for text in (programs["sink"], str(error.needed), "fifo", "heard", "free"):
        assert text in str(error)


# --- the host's socket -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_request_is_answered_and_the_chip_goes_on(survivor: Chip, data: bytes) -> None:
    reply = raw_request(survivor, data)
    assert not reply["ok"]
    with pytest.raises(ProtocolError):
        hostlink.unwrap(reply)


def test_a_message_beyond_the_limit_is_refused_at_the_socket(survivor: Chip) -> None:
    message = hostlink.encode({"id": 1, "op": "write", "ranges": [[5, 0, bytes(hostlink.MAX_MESSAGE_BYTES)]]})
    with pytest.raises(AssertionError, match="no answer"):
        raw_request(survivor, message, deadline_s=1)


def test_routers_that_end_a_run_leave_each_others_queues_alone(programs: dict[str, str]) -> None:
    """One router has reached the end while the other one still takes in what it was sent: nothing gets lost."""
    own, other, ticks = 6000, 2000, 600
    cores = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    with Chip.boot(cores=cores) as chip:
        pes = [
            PeProgram(5, programs["source"], {"count": other}, {}, {"out": (0, 0xFFFF0000)}),
            PeProgram(6, programs["counter"]),
            PeProgram(77, programs["dozing"], {}, {"in": (0, 0xFFFE0000)}),
            PeProgram(78, programs["source"], {"count": own}, {}, {"out": (0x10000, 0xFFFF0000)}),
        ]
        chip.deploy(pes, [(0, 0xFFFE0000, [77])])
        for _ in range(ticks):
            chip.run(1)
        counters = chip.counters()
    ends = counters["pes"][77, [PeCounter.DELIVERED, PeCounter.DISCARDED]].sum()
    assert counters["router"][Counter.COPIES] == (own + other) * ticks
    assert ends == (own + other) * (ticks - 1)  # those of the last tick still wait
