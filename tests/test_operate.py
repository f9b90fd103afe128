"""A chip in use: programs come and go while time passes, and nothing that is read is half done."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, SPACE, request, ring, sram, wait_until, write_program

from spinn2emu import geometry, hostlink, spec
from spinn2emu.errors import ConfigError, DeadlineExceeded, NoSuchChip, PeFailed, ProtocolError
from spinn2emu.registers import kiss_seed
from spinn2host.chip import Chip, PeProgram, discover
from spinn2host.cli.main import run

SLOW = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    rounds: int = 1000

def regions(p, available):
    return [Region("rounds", np.int64, (1,), "", p.rounds), Region("pair", np.int64, (2, 5000))]

def tick(pe, ram, rx, t):
    # the two rows are equal between activations, and only then
    for k in range(ram.rounds[0]):
        for row in range(2):
            for i in range(ram.pair.shape[1]):
                ram.pair[row, i] = t * ram.rounds[0] + k
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters)
"""
PHASED = """
def regions(p, available):
    return [Region("seen", np.int64, (40, 2), "tick, phase tick"), Region("n", np.int64, (1,))]

def tick(pe, ram, rx, t):
    ram.seen[ram.n[0], 0] = t
    ram.seen[ram.n[0], 1] = phase_tick(pe, t)
    ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, phases=lambda p: [
    Phase("a", 3, next=("b",)), Phase("b", 4, next=("a",)),
])
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("slow"), "slow", SLOW)


@pytest.fixture(scope="module")
def phased(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_program(tmp_path_factory.mktemp("phased"), "phased", "from spinn2emu.sdk import phase_tick\n" + PHASED)


@pytest.fixture(params=BOOTS.values(), ids=BOOTS)
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    """A chip whose options must not matter."""
    return chips(**request.param)


@pytest.fixture
def one(chips: Chips) -> Chip:
    """A chip for what does not depend on how it was booted."""
    return chips()


def states(chip: Chip) -> dict[str, str]:
    return {row["pe"]: row["state"] for row in chip.ps() if row["program"]}


# --- programs come and go --------------------------------------------------------------------------------------------


def test_a_program_that_comes_later_disturbs_nobody(chip: Chip, programs: dict[str, str]) -> None:
    pes = (5, 77, 30)
    chip.deploy(*ring(programs["ring"], pes))
    chip.run(60)
    undisturbed = [sram(chip, pe).tobytes() for pe in pes]
    counters = chip.counters()
    chip.deploy(*ring(programs["ring"], pes))
    chip.run(17)
    chip.load(programs["counter"], ["1.1.1", 152])
    chip.run(20)
    chip.load(programs["counter"], [100])
    chip.run(23)
    assert [sram(chip, pe).tobytes() for pe in pes] == undisturbed
    assert [chip.read(pe, "ticks")[0] for pe in (78, 152, 100)] == [43, 43, 23]
    for name in ("router", "hits", "pes", "quads"):
        assert chip.counters()[name].tolist() == counters[name].tolist(), name


def test_counters_go_on_after_a_load_and_hits_begin_again_with_other_entries(
    chip: Chip, programs: dict[str, str]
) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": (0x40, SPACE)}),
    ]
    first, second = (0x40, SPACE, [9]), (0x40, SPACE, [9, 77])

    def counted() -> tuple[int, int, list[int], dict[int, int], list[int], list[int]]:
        """Packets, copies, hits, copies by quad, packets that PE 5 sent, and what was delivered to PE 9."""
        counters, quads = chip.counters(), chip.counters()["quads"]
        router, pes = counters["router"], counters["pes"]
        by_quad = {int(quad): int(quads[quad]) for quad in np.nonzero(quads)[0]}
        return int(router[0]), int(router[1]), counters["hits"].tolist(), by_quad, pes[5].tolist(), pes[9].tolist()

    chip.deploy(pes, [first])
    chip.run(4)
    expected = (12, 12, [12], {2: 12}, [12, 0, 0, 0], [0, 9, 0, 0])
    assert counted() == expected
    chip.load(programs["counter"], [77])  # the same entries
    assert counted() == expected
    ports = {"5": {"outputs": {"out": [0x40, SPACE]}}, "9": {"inputs": {"in": [[0x40, SPACE]]}}}
    request(chip, "load", pes=[], entries=[list(second)], ports=ports)
    assert counted() == (12, 12, [0], {2: 12}, [12, 0, 0, 0], [0, 9, 0, 0])
    chip.run(2)
    assert counted() == (18, 24, [6], {2: 18, 19: 6}, [18, 0, 0, 0], [0, 15, 0, 0])
    chip.load(programs["counter"], [10])
    assert counted()[2:4] == ([6], {2: 18, 19: 6})
    chip.deploy(pes, [first])
    assert counted() == (0, 0, [0], {}, [0] * 4, [0] * 4)


def test_packets_in_flight_survive_a_load(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": (0x40, SPACE)}),
    ]
    chip.deploy(pes, [(0x40, SPACE, [9])])
    chip.run(4)
    chip.load(programs["counter"], [77])
    chip.run(1)
    assert chip.read(9, "ticks")[:12].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_a_paused_pe_sleeps_and_goes_on_where_it_was(chip: Chip, programs: dict[str, str], phased: str) -> None:
    chip.deploy([PeProgram(9, phased), PeProgram(5, programs["counter"])], [])
    chip.run(5)
    chip.signal("pause", ["6.6.0"])
    assert states(chip) == {"6.6.0": "paused", "7.5.0": "waiting"}
    chip.run(10)
    chip.signal("resume", [9])
    chip.run(4)
    assert states(chip) == {"6.6.0": "waiting", "7.5.0": "waiting"}
    phase_ticks = [0, 1, 2, 0, 1, 2, 3, 0, 1]
    expected = list(zip([0, 1, 2, 3, 4, 15, 16, 17, 18], phase_ticks, strict=True))
    assert [tuple(row) for row in chip.read(9, "seen")[:9].tolist()] == expected
    assert (chip.read(9, "n")[0], chip.read(5, "ticks")[0]) == (9, 19)


def test_what_arrives_for_a_sleeping_pe_is_discarded_and_counted(chip: Chip, programs: dict[str, str]) -> None:
    pes = [
        PeProgram(5, programs["source"], {"count": 2}, {}, {"out": (0x40, SPACE)}),
        PeProgram(9, programs["sink"], {}, {"in": (0x40, SPACE)}),
    ]
    chip.deploy(pes, [(0x40, SPACE, [9])])
    chip.run(3)
    chip.signal("pause", [9])
    chip.run(4)
    chip.signal("resume", [9])
    chip.run(3)
    assert chip.read(9, "ticks")[:8].tolist() == [1, 1, 2, 2, 8, 8, 9, 9]
    counters = request(chip, "counters")
    counted = dict(zip(counters["names"], counters["router"], strict=True))
    assert (counted["packets"], counted["not_live"], counted["unclaimed"]) == (20, 2, 8)


def test_a_stopped_pe_can_be_read_and_loaded_anew(chip: Chip, programs: dict[str, str], phased: str) -> None:
    chip.load(programs["counter"], [9, 5])
    chip.run(3)
    chip.signal("stop", [9])
    chip.run(2)
    assert (chip.read(9, "ticks")[0], chip.read(5, "ticks")[0]) == (3, 5)
    with pytest.raises(ConfigError, match="is stopped: it cannot resume"):
        chip.signal("resume", [9])
    chip.load(phased, [9])
    chip.run(2)
    assert chip.read(9, "seen")[:2, 0].tolist() == [5, 6]


def test_a_reset_pe_begins_again_with_its_data(chip: Chip, programs: dict[str, str]) -> None:
    chip.load(programs["counter"], [9], data={"plan": [-1, 3, 4]})
    chip.load(programs["counter"], [5])
    chip.run(3)
    chip.write(9, "plan", [-1, 9, 9])
    chip.signal("reset", [9])
    assert chip.read(9, "plan").tolist() == [-1, 3, 4]
    chip.run(4)
    assert (chip.read(9, "ticks")[0], chip.read(5, "ticks")[0], chip.info()["tick"]) == (4, 7, 7)
    chip.signal("reset", [5, 9])
    assert chip.info()["tick"] == 7


def test_a_reset_of_all_begins_at_tick_0_and_heals_a_failure(chip: Chip, programs: dict[str, str]) -> None:
    chip.load(programs["counter"], [9], {"fail_at": 3, "code": 7})
    chip.load(programs["counter"], [5])
    with pytest.raises(PeFailed):
        chip.run(10)
    assert states(chip)["6.6.0"] == "runtime_error"
    for refused in (lambda: chip.load(programs["counter"], [6]), lambda: chip.signal("reset", [9])):
        with pytest.raises(ConfigError, match="the seventh error"):
            refused()
    chip.signal("reset")
    assert (chip.info()["tick"], chip.counters()["router"].sum()) == (0, 0)
    chip.run(3)
    assert [chip.read(pe, "ticks")[0] for pe in (5, 9)] == [3, 3]


def test_two_programs_on_a_pe_are_refused(one: Chip, programs: dict[str, str]) -> None:
    one.deploy([PeProgram(9, programs["counter"])], [])
    with pytest.raises(ConfigError, match=r"PE 6\.6\.0 has a program.*signal stop 6\.6\.0") as caught:
        one.load(programs["sink"], ["6.6.0"])
    assert (caught.value.pe, caught.value.program) == (9, programs["counter"])
    one.load(programs["sink"], ["6.6.0"], replace=True)
    assert {row["program"] for row in one.ps()} == {None, programs["sink"]}


@pytest.mark.parametrize(
    ("one_keys", "other_keys"),
    [
        ((0x40, 0xFFFFFFF0), (0x40, 0xFFFFFFF0)),
        ((0x40, 0xFFFFFFF0), (0x48, 0xFFFFFFFF)),  # one key of the other's sixteen
        ((0x48, 0xFFFFFFFF), (0x40, 0xFFFFFFF0)),
        ((0x40, 0xFFFFFFC0), (0x50, 0xFFFFFFF0)),
        ((0x01, 0x0000000F), (0x40, 0xFFFFFFF0)),  # masks of which none holds the other: they share 0x41
        ((0, 0), (0xFFFFFFFF, 0xFFFFFFFF)),
    ],
)
def test_overlapping_keys_are_refused(
    one: Chip, programs: dict[str, str], one_keys: tuple[int, int], other_keys: tuple[int, int]
) -> None:
    ports = ((5, one_keys), (7, (0x80000002, 0xFFFFFFFF)), (9, other_keys))
    pes = [PeProgram(pe, programs["source"], {}, {}, {"out": keys}) for pe, keys in ports if pe != 7 or one_keys[1]]
    with pytest.raises(ConfigError, match=r"overlapping keys: port 'out' of PE 7\.5\.0 .* 6\.6\.0") as caught:
        one.deploy(pes, [])
    assert (caught.value.pe, caught.value.other) == (5, 9)


def test_neighbouring_keys_are_no_overlap(one: Chip, programs: dict[str, str]) -> None:
    keys = [(0x40, 0xFFFFFFF0), (0x50, 0xFFFFFFFF), (0x3F, 0xFFFFFFFF), (0x51, 0xFFFFFFFD), (0x100, 0xFFFFFF00)]
    pes = [PeProgram(pe, programs["source"], {}, {}, {"out": own}) for pe, own in enumerate(keys, 5)]
    one.deploy(pes, [])
    assert len(one.info()["programs"]) == len(keys)


def test_a_route_to_a_pe_without_a_program_is_refused(one: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"leads to PE 1\.1\.0, which has no program"):
        one.deploy([PeProgram(5, programs["counter"])], [(0x40, SPACE, [77])])


def test_pes_that_the_chip_was_not_booted_with_are_refused(programs: dict[str, str]) -> None:
    with Chip.boot(pes=["1.1.0", 5]) as chip:
        assert [row["pe"] for row in chip.ps()] == ["7.5.0", "1.1.0"]
        chip.load(programs["counter"], ["1.1.0"])
        with pytest.raises(ConfigError, match=r"PE 1\.1\.1 is not part of chip"):
            chip.load(programs["counter"], ["1.1.1"])
        chip.run(2)
    with pytest.raises(ConfigError, match="1 to 152 PEs"):
        Chip.boot(pes=153)


def test_nothing_changes_while_the_chip_runs(one: Chip, programs: dict[str, str]) -> None:
    one.deploy(*ring(programs["ring"], (5, 77)))
    one.start(10**9)
    for refused in (lambda: one.run(1), lambda: one.load(programs["ring"], [9]), lambda: one.signal("pause", [5])):
        with pytest.raises(ConfigError, match="already runs to tick 1000000000"):
            refused()
    one.end_run()
    tick = one.wait()
    assert tick % spec.WINDOW_TICKS.value == 0 and one.info()["idle"]
    one.run(3)
    assert one.info()["tick"] == tick + 3


# --- memory ----------------------------------------------------------------------------------------------------------


def test_reads_and_writes_of_a_running_chip_are_never_torn(chip: Chip, slow: str) -> None:
    chip.deploy([PeProgram(9, slow, {"rounds": 2})], [])
    chip.start(10**9)
    seen: list[int] = []

    def read_once_more() -> bool:
        pair = chip.read(9, "pair")
        assert (pair == pair[0, 0]).all()
        seen.append(int(pair[0, 0]))
        return len(seen) >= 60 and len(set(seen)) > 1

    wait_until("60 reads, and the chip is running", read_once_more)
    chip.end_run()
    chip.wait()


def test_a_pe_that_does_not_return_is_named_and_can_be_read_torn(programs: dict[str, str], slow: str) -> None:
    with Chip.boot() as chip:
        chip.deploy([PeProgram(9, slow, {"rounds": 10**9}), PeProgram(5, programs["counter"])], [])
        chip.start(5)
        wait_until("it is in its kernel", lambda: chip.read(9, "pair", torn=True)[0, 0] > 0)
        with pytest.raises(DeadlineExceeded, match=r"PE 6\.6\.0 has not left its kernel") as caught:
            chip.read(9, "pair")
        assert caught.value.pe == 9
        assert chip.read(9, "pair", torn=True)[0, 0] > 0
        assert chip.read(5, "ticks")[0] == 5
        wait_until("ps says so", lambda: states(chip)["6.6.0"] == "unresponsive")
        assert states(chip)["7.5.0"] == "waiting"


def test_a_suspended_pe_is_shown_as_unresponsive(programs: dict[str, str]) -> None:
    with Chip.boot() as chip:
        chip.deploy(*ring(programs["ring"], (5, 77)))
        pid = chip.info()["pids"]["pe 1.1.0"]
        os.kill(pid, signal.SIGSTOP)
        wait_until("ps says so", lambda: states(chip)["1.1.0"] == "unresponsive")
        assert [row["pid"] for row in chip.ps() if row["id"] == 77] == [pid]
        os.kill(pid, signal.SIGCONT)
        chip.run(10)
        assert states(chip) == {"7.5.0": "waiting", "1.1.0": "waiting"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1.5, 2.0], "do not fit in without loss"),
        (np.zeros(2, np.float32), "float32"),
        ([2**70], "Python objects"),
        (np.zeros(4, np.int64), r"shape \(3,\)"),
        (np.zeros((3, 1), np.int64), r"shape \(3, 1\)"),
        ("text", "do not fit in without loss"),
        (np.zeros(2, "M8[s]"), "do not fit in without loss"),
    ],
)
def test_data_of_the_wrong_dtype_or_shape_are_refused(
    one: Chip, programs: dict[str, str], values: Any, problem: str
) -> None:
    one.deploy([PeProgram(9, programs["counter"])], [])
    with pytest.raises(ConfigError, match=problem):
        one.write(9, "plan", values)
    if np.asarray(values).ndim == 1 and np.size(values) < 3:
        with pytest.raises(ConfigError):
            one.load(programs["counter"], [5], data={"plan": values})
    assert one.read(9, "plan").tolist() == [-1, 0, 0]
    assert one.info()["programs"] == {"9": programs["counter"]}


def test_initial_data_fill_the_whole_region(one: Chip, programs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"PE 6\.6\.0: region plan has shape"):
        one.deploy([PeProgram(9, programs["counter"], data={"plan": [-1, 0]})], [])
    with pytest.raises(ConfigError, match="no region 'plans'"):
        one.deploy([PeProgram(9, programs["counter"], data={"plans": [1]})], [])


def test_fields_of_a_record_are_read_and_written_by_name(one: Chip, tmp_path: Path) -> None:
    text = """
def tick(pe, ram, rx, t):
    ram.state[0].pair[1] += ram.state[0].step
    return 0

program = Program(tick=tick, regions=lambda p, available: [
    Region("state", np.dtype([("step", "<i4"), ("pair", "<f8", (2,))]), (1,))])
"""
    one.deploy([PeProgram(9, write_program(tmp_path, "record", text))], [])
    one.write(9, "state.step", 3)
    one.run(4)
    assert one.read(9, "state.pair").tolist() == [0.0, 12.0]
    with pytest.raises(ConfigError, match="is no record with that field"):
        one.read(9, "state.nothing")


def test_objects_never_cross_the_link(one: Chip, programs: dict[str, str]) -> None:
    one.deploy([PeProgram(9, programs["counter"])], [])
    with pytest.raises(ConfigError, match="Python objects"):
        request(one, "write", ranges=[[9, "plan", ["|O", [1], b"12345678"]]])


def test_any_address_can_be_written_and_read(one: Chip, programs: dict[str, str]) -> None:
    one.deploy([PeProgram(9, programs["counter"])], [])
    address = one.memory("6.6.0")["plan"].address
    one.write(9, address + 8, np.array([5], np.int64))
    assert one.read(9, "plan").tolist() == [-1, 5, 0]
    assert one.read(9, address + 8, 8).view(np.int64).tolist() == [5]


# --- log and random numbers ------------------------------------------------------------------------------------------


def test_the_log_is_read_from_where_it_was_left(one: Chip, tmp_path: Path) -> None:
    text = """
def tick(pe, ram, rx, t):
    log(pe, 5, t)
    return 0

program = Program(tick=tick, regions=lambda p, available: [], logs={5: "the tick: {}"})
"""
    one.deploy([PeProgram(9, write_program(tmp_path, "logging", text))], [])
    one.run(3)
    tail = one.log("6.6.0")
    assert (tail.count, tail.lost, tail.entries) == (3, 0, [(t, 5, (float(t),), f"the tick: {t}") for t in range(3)])
    one.run(40)
    tail = one.log("6.6.0", since=tail.count)
    assert (tail.count, tail.lost) == (43, 40 - spec.LOG_ENTRIES.value)
    assert [entry[0] for entry in tail.entries] == list(range(43 - spec.LOG_ENTRIES.value, 43))


def kiss64(state: list[int]) -> int:
    """The generator in plain Python (Marsaglia 2009)."""
    bits = (1 << 64) - 1
    x, c, y, z = state
    t = (x << 58 & bits) + c & bits
    c, x = x >> 6, x + t & bits
    c += x < t
    y ^= y << 13 & bits
    y ^= y >> 17
    y ^= y << 43 & bits
    z = 6906969069 * z + 1234567 & bits
    state[:] = [x, c, y, z]
    return x + y + z & bits


def test_random_numbers_are_kiss64_and_differ_between_pes(one: Chip, tmp_path: Path) -> None:
    text = """
from spinn2emu.sdk import random_uniform, random_word

def tick(pe, ram, rx, t):
    ram.words[t] = random_word(pe)
    ram.floats[t] = random_uniform(pe)
    return 0

program = Program(tick=tick, regions=lambda p, available: [
    Region("words", np.uint64, (50,)), Region("floats", np.float32, (50,))])
"""
    one.deploy([PeProgram(pe, write_program(tmp_path, "dice", text)) for pe in (9, 10)], [])
    one.write(10, "random", np.array([1234567890987654321, 123456123456123456, 362436362436362436, 1066149217761810],
                                     np.uint64))  # fmt: skip
    one.run(50)
    for pe, state in ((9, kiss_seed(9)), (10, [1234567890987654321, 123456123456123456, 362436362436362436,
                                               1066149217761810])):  # fmt: skip
        words, floats = one.read(pe, "words"), one.read(pe, "floats")
        for word, number in zip(words, floats, strict=True):
            assert int(word) == kiss64(state)
            assert float(number) == (kiss64(state) >> 40) / 2**24
    assert len({tuple(kiss_seed(pe)) for pe in geometry.PE_IDS}) == 152


# --- names and versions ----------------------------------------------------------------------------------------------


def test_a_chip_is_found_by_its_name_and_used_by_two(programs: dict[str, str]) -> None:
    with Chip.boot(name="test-two") as chip:
        chip.deploy([PeProgram(9, programs["counter"])], [])
        with Chip.attach("test-two") as other:
            other.run(5)
            assert other.read("6.6.0", "ticks")[0] == chip.read(9, "ticks")[0] == 5
        assert chip.info()["tick"] == 5  # the other has let go, the chip goes on
        assert "test-two" in [found["name"] for found in discover()]
        with pytest.raises(ConfigError, match="a chip named test-two runs already"):
            Chip.boot(name="test-two")
    with pytest.raises(NoSuchChip, match="no chip named test-two"):
        Chip.attach("test-two")


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 33, "-x", ".x"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name for a chip"):
        Chip.boot(name=name)


def test_host_and_chip_of_different_versions_refuse_each_other(one: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    with Chip.attach(one.name) as other:
        monkeypatch.setattr(hostlink, "PROTOCOL", hostlink.PROTOCOL + 1)
        with pytest.raises(ProtocolError, match=re.escape("use one spinn2emu for both")) as caught:
            other.info()
        assert {caught.value.version, caught.value.expected} == {hostlink.PROTOCOL - 1, hostlink.PROTOCOL}
        monkeypatch.undo()
    assert one.info()["tick"] >= 0


def test_a_reader_and_a_runner_do_not_disturb_each_other(one: Chip, programs: dict[str, str]) -> None:
    one.deploy(*ring(programs["ring"], (5, 77)))
    problems: list[Exception] = []

    def read() -> None:
        try:
            with Chip.attach(one.name) as other:
                for _ in range(50):
                    assert other.read(5, 0, spec.SRAM_BYTES.value).shape == (spec.SRAM_BYTES.value,)
        except Exception as error:
            problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    one.run(2000)
    reader.join(60)
    assert not problems and not reader.is_alive()
    assert [one.read(pe, "n")[0] for pe in (5, 77)] == [999, 1000]


def test_an_interrupted_run_has_ended_when_it_returns(chip: Chip, programs: dict[str, str]) -> None:
    def interrupt(tick: int) -> None:
        if tick > 1000:
            raise KeyboardInterrupt

    chip.load(programs["counter"], ["1.1.0"])
    with pytest.raises(KeyboardInterrupt):
        chip.run(1_000_000_000, interrupt)
    info = chip.info()
    assert info["idle"] and 1000 < info["tick"] < 1_000_000_000
    chip.run(5)
    assert chip.read("1.1.0", "ticks")[0] == info["tick"] + 5


def test_the_chips_seed_changes_the_random_numbers_of_all_pes(chips: Any, programs: dict[str, str]) -> None:
    states = []
    for seed in (0, 7):
        chip = chips(seed=seed)
        chip.load(programs["counter"], [9, 10])
        assert chip.info()["seed"] == seed
        states.append([chip.read(pe, "random").tolist() for pe in (9, 10)])
    assert states[0] == [kiss_seed(9), kiss_seed(10)]
    assert len({tuple(state) for pair in states for state in pair}) == 4


# --- populations -----------------------------------------------------------------------------------------------------

NASTY = "[red]a [b]\x1b[31m\t\N{LATIN SMALL LETTER E WITH ACUTE}\ud800" + "x" * 80


def populations(chip: Chip) -> dict[str, tuple[str | None, int]]:
    return {row["pe"]: (row["population"], row["first"]) for row in chip.ps() if row["program"]}


def test_pes_have_the_names_of_their_populations_until_they_get_other_programs(
    one: Chip, programs: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["exc", "exc", NASTY, ""]
    items = [
        PeProgram(pe, programs["counter"], population=name) for pe, name in zip((1, 2, 77, 78), names, strict=True)
    ]
    items[1].first = np.int64(50)  # type: ignore[assignment]
    one.deploy(items, [])
    kept = "[red]a [b]�[31m é�" + "x" * 45 + "…"
    assert populations(one) == {"7.6.0": ("exc", 0), "7.6.1": ("exc", 50), "1.1.0": (kept, 0), "1.1.1": (None, 0)}
    lines = printed(one, "ps", monkeypatch, capsys)
    assert lines[0].split()[:5] == ["PE", "id", "state", "program", "population"]
    assert [line[lines[0].index("population") :][:24].strip() for line in lines[1:5]] == [
        "exc", "exc[50:]", "[red]a [b]�[31m é�xxxxx…", "",
    ]  # fmt: skip
    top = printed(one, "top", monkeypatch, capsys, "--once", "--interval", "0.05")
    shown = [line.split()[3] for line in top if line.startswith("7.6.")]
    assert shown == ["exc", "exc[50:]"] and any("[red]a [b]�[31m é�xxxxx…" in line for line in top)

    one.run(3)
    one.load(programs["counter"], [1], replace=True)
    assert populations(one)["7.6.0"] == (None, 0) and populations(one)["7.6.1"] == ("exc", 50)
    one.signal("reset", [2])
    assert populations(one)["7.6.1"] == ("exc", 50)
    one.deploy([PeProgram(1, programs["counter"])], [])
    assert "population" not in printed(one, "ps", monkeypatch, capsys)[0]


def printed(
    chip: Chip, command: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> list[str]:
    """What a command of the command line prints about the chip."""
    patch.setenv("XDG_RUNTIME_DIR", str(chip.directory.parents[1]))
    assert run(["--chip", chip.name, command, *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_an_error_names_the_population_of_the_pe(one: Chip, programs: dict[str, str]) -> None:
    one.deploy([PeProgram(9, programs["counter"], {"fail_at": 2, "code": 7}, population="exc", first=50)], [])
    with pytest.raises(PeFailed, match=re.escape(f"PE 6.6.0 ({programs['counter']}, population exc[50:]) failed in")):
        one.run(5)


@pytest.mark.parametrize(("what", "value"), [("population", "x" * 65), ("population", "a\nb"), ("population", 7),
                                             ("first", -1), ("first", 1 << 32), ("first", "0")])  # fmt: skip
def test_names_that_a_chip_cannot_keep_are_refused(one: Chip, programs: dict[str, str], what: str, value: Any) -> None:
    with pytest.raises(ProtocolError, match=rf"malformed 'load' request: .*{what}"):
        request(one, "load", pes=[PeProgram(9, programs["counter"]).to_wire() | {what: value}])
    assert populations(one) == {}
