"""From Python: what may be given in which form, what is exported, and what errors say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, write_program

import spinn2host
from spinn2emu.errors import ConfigError
from spinn2emu.router.state import Counter, PeCounter
from spinn2host.chip import Chip, PeProgram
from spinn2host.counters import PE_COLUMNS


def test_everything_that_is_exported_is_there_and_comes_when_it_is_used() -> None:
    for name in spinn2host.__all__:
        assert getattr(spinn2host, name).__doc__, name
        assert name in dir(spinn2host)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spinn2host.nothing
    code = "import sys, spinn2host; spinn2host.Chip; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("pes", ["1.1.2", 79, ["1.1.2"], (79,), np.array([79])], ids=repr)
def test_one_pe_needs_no_list(chip: Chip, programs: dict[str, str], pes: Any) -> None:
    chip.load(programs["counter"], pes)
    assert chip.info()["programs"] == {"79": programs["counter"]}
    chip.signal("pause", pes)
    assert [row["state"] for row in chip.ps() if row["program"]] == ["paused"]


@pytest.mark.parametrize("pe", [1.5, None, b"1.1.0", "1", [77]], ids=repr)
def test_what_is_not_a_pe_is_refused(chip: Chip, pe: Any) -> None:
    for use in (lambda: chip.read(pe, "x"), lambda: PeProgram(pe, "p.py"), lambda: chip.load("p.py", [pe])):
        with pytest.raises(ConfigError, match=r"is (not a|no) PE"):
            use()


def test_programs_name_their_pe(chip: Chip, programs: dict[str, str]) -> None:
    chip.load_programs([PeProgram("1.1.0", programs["counter"]), PeProgram(78, programs["counter"])])  # type: ignore[arg-type]
    assert set(chip.info()["programs"]) == {"77", "78"}


def test_what_to_record_may_be_one_word(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    chip.load(programs["source"], "1.1.0")
    with chip.trace(tmp_path / "t.pcapng", events="sent", without="global", pes="1.1.0"):
        chip.run(3)
    assert (tmp_path / "t.pcapng").stat().st_size > 0


def test_programs_and_networks_are_given_by_path(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    chip.load(Path(programs["counter"]), "1.1.0")
    assert chip.info()["programs"] == {"77": programs["counter"]}
    text = f'[population.a]\nprogram = "{programs["counter"]}"\npes = ["1.1.1", "1.1.2"]\n'
    (tmp_path / "net.toml").write_text(text, encoding="utf-8")
    for path in (str(tmp_path / "net.toml"), tmp_path / "net.toml"):
        assert chip.load_network(path, replace=True).populations == {"a": [78, 79]}
    with pytest.raises(ConfigError, match="load_network wants the path of a TOML file, or a Network, not dict"):
        chip.load_network({})  # type: ignore[arg-type]


def test_parameters_may_be_numpys(chip: Chip, programs: dict[str, str]) -> None:
    chip.load(programs["source"], 5, {"count": np.int32(3)})
    assert chip.read(5, "count").tolist() == [3]
    with pytest.raises(ConfigError, match="count: "):
        chip.load(programs["source"], 6, {"count": np.arange(3)})


def test_counters_name_what_they_count(chip: Chip, programs: dict[str, str]) -> None:
    assert [column.name.lower() for column in PeCounter] == list(PE_COLUMNS)
    assert repr(chip.counters()) == "nothing has been counted"
    chip.deploy(
        [PeProgram(5, programs["source"], {"count": 3}, {}, {"out": (0x40, SPACE)}),
         PeProgram(9, programs["sink"], {}, {"in": (0x40, SPACE)})],
        [(0x40, SPACE, [9])],
    )  # fmt: skip
    chip.run(4)
    counters = chip.counters()
    assert counters.registers["packets"] == counters["router"][Counter.PACKETS] == 12
    assert list(counters.registers) == [counter.name.lower() for counter in Counter]
    assert (
        counters.of("7.5.0")
        == {"sent": 12, "delivered": 0, "discarded": 0, "fifo_lost": 0, "overruns": 0}
        == (counters.of(5))
    )
    assert counters.of("6.6.0")["delivered"] == counters["pes"][9, PeCounter.DELIVERED] == 9
    assert "packets: 12\n" in repr(counters) and "PE 7.5.0: sent 12" in repr(counters)


def test_a_program_of_a_pe_is_described_by_path_too(chip: Chip, tmp_path: Path) -> None:
    path = Path(write_program(tmp_path, "quiet", "def tick(pe, ram, rx, t):\n    return 0\n\n"
                              "program = Program(tick=tick, regions=lambda p, available: [])\n"))  # fmt: skip
    chip.load_programs([PeProgram(pe, path) for pe in (5, 77)])
    assert set(chip.info()["programs"].values()) == {str(path)}
