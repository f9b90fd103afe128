"""What the SDK tells a kernel about its PE and its packets, and what it logs, compiled and in plain Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, write_program

from spinn2emu.chip.logs import fill_in, line, values_in
from spinn2emu.errors import PeFailed, ProgramError, SramOverflow
from spinn2emu.packets import varying_bits
from spinn2host.chip import Chip, PeProgram
from spinn2host.network import read_network

WHO = """
from spinn2emu.sdk import packet_index, pe_id, population_index, population_size

def tick(pe, ram, rx, t):
    ram.who[0], ram.who[1], ram.who[2] = pe_id(pe), population_index(pe), population_size(pe)
    for packet in rx:
        ram.heard[ram.n[0]] = packet_index(pe, packet)
        ram.n[0] += 1
    send(pe, 0, 3)
    return 0

program = Program(tick=tick, inputs=("in",), outputs=("out",), regions=lambda p, available: [
    Region("who", np.int64, (3,)), Region("n", np.int64, (1,)), Region("heard", np.int64, (64,))])
"""


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_a_kernel_knows_its_pe_and_its_place_in_its_population(
    chips: Chips, tmp_path: Path, options: dict[str, Any]
) -> None:
    write_program(tmp_path, "who", WHO)
    (tmp_path / "net.toml").write_text("""
[population.a]
program = "who.py"
pes = ["7.6.0", "1.1.2", "3.3.1"]
keys = { out = { count = 8 } }
[population.b]
program = "who.py"
pes = 1
[[connect]]
from = "a.out"
to = "a.in"
how = "pairs"
pairs = [[1, 0], [2, 0], [2, 1]]
[[connect]]
from = "a.out"
to = "b.in"
""")
    chip = chips(**options)
    network = chip.load_network(read_network(tmp_path / "net.toml"))
    chip.run(2)
    a = network.populations["a"]
    assert [chip.read(pe, "who").tolist() for pe in a] == [[pe, i, 3] for i, pe in enumerate(a)]
    only = network.populations["b"][0]
    assert chip.read(only, "who").tolist() == [only, 0, 1]
    # number i of a population of PEs with 8 keys each sends 8 i + 3, whoever else is heard
    heard = [chip.read(pe, "heard")[: chip.read(pe, "n")[0]].tolist() for pe in (*a, only)]
    assert [sorted(one) for one in heard] == [[11, 19], [19], [], [3, 11, 19]]


def test_a_pe_that_is_loaded_alone_is_a_population_of_one(chip: Chip, tmp_path: Path) -> None:
    chip.deploy([PeProgram(77, write_program(tmp_path, "who", WHO))], [])
    chip.run(1)
    assert chip.read(77, "who").tolist() == [77, 0, 1]


@pytest.mark.parametrize(
    ("ranges", "bits"),
    [
        ([], 0),
        ([(0x100, 0xFFFFFF00)], 0xFF),
        ([(0x0, 0xFFFFFF00), (0x200, 0xFFFFFF00)], 0x2FF),
        ([(0x1000, 0xFFFFF000), (0x300, 0xFFFFFF00)], 0x1FFF),
    ],
)
def test_the_index_of_a_packet_is_where_keys_of_its_port_differ(ranges: list[tuple[int, int]], bits: int) -> None:
    assert varying_bits(ranges) == bits


SENDER = """
from spinn2emu.sdk import send_array

def regions(p, available):
    return [Region("x", np.float32, (11,), "", np.arange(11) + 0.5)]

def tick(pe, ram, rx, t):
    send_array(pe, 0, 5, ram.x)
    return 0

program = Program(tick=tick, regions=regions, outputs=("out",))
"""
RECEIVER = """
from spinn2emu.sdk import packet_index, receive_array

def tick(pe, ram, rx, t):
    for packet in rx:
        ram.words[ram.n[0]] = receive_array(packet, packet_index(pe, packet) - 5, ram.x[:9])
        ram.beyond[0] += receive_array(packet, 100, ram.x) + receive_array(packet, -1, ram.x)
        ram.n[0] += 1
    return 0

program = Program(tick=tick, inputs=("in",), regions=lambda p, available: [
    Region("x", np.float32, (11,)), Region("words", np.int64, (8,)), Region("n", np.int64, (1,)),
    Region("beyond", np.int64, (1,))])
"""


@pytest.mark.parametrize("strict", [False, True])
def test_what_send_array_sends_receive_array_takes(chips: Chips, tmp_path: Path, strict: bool) -> None:
    chip = chips(strict=strict)
    keys = (0x70, 0xFFFFFFF0)
    sender = PeProgram(9, write_program(tmp_path, "sender", SENDER), outputs={"out": keys})
    receiver = PeProgram(10, write_program(tmp_path, "receiver", RECEIVER), inputs={"in": keys})
    chip.deploy([sender, receiver], [(*keys, [10])])
    chip.run(2)
    assert chip.read(10, "x").tolist() == [i + 0.5 for i in range(9)] + [0, 0]  # as long as the receiving array
    assert chip.read(10, "words")[:3].tolist() == [4, 4, 1]
    assert chip.read(10, "beyond").tolist() == [0]


LOGGING = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    length: int = 32

def tick(pe, ram, rx, t):
    log(pe, 1, t, 2 * t)
    log(pe, 2)
    log(pe, 3, ram.x[0])
    log(pe, 4, 1, 2.5, ram.x[0], t)
    return 0

program = Program(tick=tick, regions=lambda p, available: [Region("x", np.float32, (1,), "", 0.25)],
                  parameters=Parameters, log=lambda p: p.length,
                  logs={1: "sent {} of {:d}", 2: "nothing to add", 3: "x = {:.1f}", 4: "four"})
"""


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_a_log_entry_has_several_values_and_its_text(chips: Chips, tmp_path: Path, options: dict[str, Any]) -> None:
    chip = chips(**options)
    chip.deploy([PeProgram(9, write_program(tmp_path, "logging", LOGGING))], [])
    chip.run(4)
    assert chip.log(9).entries[-4:] == [
        (3, 1, (3.0, 6.0), "sent 3 of 6"),
        (3, 2, (), "nothing to add"),
        (3, 3, (0.25,), "x = 0.2"),
        (3, 4, (1.0, 2.5, 0.25, 3.0), "four: 1 2.5 0.25 3"),
    ]


def test_a_program_chooses_how_long_its_log_is_and_the_linker_counts_it(chip: Chip, tmp_path: Path) -> None:
    path = write_program(tmp_path, "logging", LOGGING)
    chip.deploy([PeProgram(9, path, {"length": 6}), PeProgram(10, path, {"length": 100})], [])
    chip.run(10)
    assert [(len(tail.entries), tail.count, tail.lost) for tail in (chip.log(9), chip.log(10))] == [
        (6, 40, 34),
        (40, 40, 0),
    ]
    assert [chip.memory(pe)["log"].nbytes for pe in (9, 10)] == [6 * 48, 100 * 48]
    with pytest.raises(SramOverflow, match="log"):
        chip.deploy([PeProgram(9, path, {"length": 2000})], [])
    for length in (0, -3):
        with pytest.raises(ProgramError, match="`log` is a number of entries"):
            chip.deploy([PeProgram(9, path, {"length": length})], [])


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        ("plain", [], "plain"),
        ("plain", [1, 2.5], "plain: 1 2.5"),
        ("", [1.0], "1"),
        ("{} and {}", [1.0, 0.1], "1 and 0.1"),
        ("{1} before {0}", [1, 2], "2 before 1"),
        ("{:d} {:04x} {:.2f}", [3.0, 255, 1 / 3], "3 00ff 0.33"),
        ("{:d}", [float("nan")], "nan"),
        ("{} and {:d}", [1.0], "1 and ?"),
        ("{{}} {}", [2], "{} 2"),
    ],
)
def test_a_text_is_filled_in(text: str, values: list[float], filled: str) -> None:
    assert fill_in(text, values) == filled


@pytest.mark.parametrize(
    "text", ["{name}", "{} {1}", "{", "{:zz}", "{0.real}", "{!r}", "{} {} {} {} {}", "{4}", "{:{}}"]
)
def test_a_text_that_cannot_be_filled_in_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        values_in(text)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("logs={1: '{name}'}", "`logs`, code 1: '{name}': values have no names"),
        ("logs={'a': 'x'}", "`logs`, code 'a': a code is an integer"),
        ("logs={1: 5}", "`logs`, code 1: its text is 5"),
        ("errors={0: 'x'}", "`errors`, code 0: a code is an integer from 1 on"),
        ("errors={-3: 'x'}", "`errors`, code -3: a code is an integer from 1 on"),
        ("errors={2**31: 'x'}", "below 2^31"),
        ("log=2.5", "`log` is a number of entries"),
    ],
)
def test_wrong_codes_and_texts_are_refused_at_load(chip: Chip, tmp_path: Path, given: str, problem: str) -> None:
    text = f"""
def tick(pe, ram, rx, t):
    return 0

program = Program(tick=tick, regions=lambda p, available: [], {given})
"""
    with pytest.raises(ProgramError) as caught:
        chip.deploy([PeProgram(9, write_program(tmp_path, "wrong", text))], [])
    assert problem in str(caught.value)


def test_an_entry_in_words() -> None:
    assert line([3, 40, [3.5], ""]) == "tick 3: code 40, 3.5"
    assert line([3, 40, [], ""]) == "tick 3: code 40"
    assert line([3, 1, [2.0], "sent 2"]) == "tick 3: code 1, sent 2"


CODES = """
def tick(pe, ram, rx, t):
    if t == 1:
        log(pe, 1, 5)
        return ram.code[0]
    return 0

program = Program(tick=tick, regions=lambda p, available: [Region("code", np.int64, (1,))],
                  errors={7: "the seventh"}, logs={1: "see {}"})
"""


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_a_programs_codes_are_its_own_whatever_they_are(chips: Chips, tmp_path: Path, options: dict[str, Any]) -> None:
    chip = chips(**options)
    path = write_program(tmp_path, "codes", CODES)
    for code, words in ((7, "code 7: the seventh"), (-2, "a code of its own, -2: the program declares no text"),
                        (2**40, f"code {2**40}: the program declares no text"), (-(2**63), "of its own")):  # fmt: skip
        chip.deploy([PeProgram(9, path, data={"code": np.array([code])})], [])
        with pytest.raises(PeFailed) as caught:
            chip.run(3)
        assert words in str(caught.value) and str(caught.value).endswith("log: tick 1: code 1, see 5")
        assert (caught.value.code, caught.value.fault, caught.value.tick) == (code, None, 1)


def test_what_the_system_finds_wrong_has_a_name(chip: Chip, programs: dict[str, str]) -> None:
    program = PeProgram(9, programs["counter"], {"fail_at": 2, "key": 99}, outputs={"out": (0x100, 0xFFFFFFF0)})
    chip.deploy([program], [])
    with pytest.raises(PeFailed, match="with code -2: sent a key outside") as caught:
        chip.run(5)
    assert (caught.value.code, caught.value.fault) == (-2, "KEY_RANGE")
