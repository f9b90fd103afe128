"""Programs' instruction memory: known, asked for, too much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import PROGRAMS, write_program

from spinn2emu import spec
from spinn2emu.chip.code_size import SUSPECT_BYTES
from spinn2emu.chip.declare import declare
from spinn2emu.errors import ProgramError, SramOverflow
from spinn2emu.jit import objects
from spinn2emu.pe.compiled import compiled_entry
from spinn2emu.program import load_program
from spinn2emu.progress import listen
from spinn2emu.registers import own_symbols
from spinn2host.chip import Chip
from spinn2host.cli.main import run

TABLE = """
TABLE = np.arange({count}, dtype=np.float32)

def regions(p, available):
    return [Region("x", np.float32, (1,))]

def tick(pe, ram, rx, t):
    ram.x[0] += TABLE[t % {count}]{more}
    return 0

program = Program(tick=tick, regions=regions)
"""
"""A program with a table of constants, which lie beside its code."""


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was said about what takes long."""
    lines: list[str] = []
    listen(lines.append)
    yield lines
    listen(None)


def table(folder: Path, name: str, count: int, more: str = "") -> str:
    """A program with so many constants of 4 bytes, which nobody has compiled before."""
    return write_program(folder, name, TABLE.format(count=count, more=f" + {hash(str(folder)) % 9973}" + more))


def test_a_load_does_not_compile_for_the_pe_unless_it_is_asked_to(
    chip: Chip, tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path, "small", 10)
    chip.load(path, ["1.1.0"])
    assert said == [f"compiling {path}"]
    assert chip.maps[77].code_bytes is None and chip.info()["code_bytes"] == {"77": None}
    chip.load(path, ["1.1.1"], check_code=True)
    assert said[1:] == [f"compiling {path} for the PE, to see how much of its instruction memory it takes"]
    size = chip.maps[78].code_bytes
    assert size is not None and 100 < size < 4000
    assert chip.memory("1.1.0").code_bytes == size and chip.info()["code_bytes"] == {"77": size, "78": size}
    assert f"{size} B  of 32768 B of instruction memory" in str(chip.memory("1.1.0"))
    chip.load(path, ["1.1.2"], check_code=True)
    assert len(said) == 2


def test_too_much_code_is_refused_as_too_much_data_is(chip: Chip, tmp_path: Path, said: list[str]) -> None:
    path = table(tmp_path, "large", 9000)
    assert SUSPECT_BYTES < 4 * 9000
    for tries in (2, 2):  # the second time it is known
        with pytest.raises(SramOverflow, match=r"PE 1\.1\.0: .*large\.py needs 3\d{4} bytes of instruction") as caught:
            chip.load(path, ["1.1.0"])
        assert caught.value.needed > caught.value.limit == 32768 and caught.value.pe == 77
        assert "36000 B  .const.array.data\n" in caught.value.message and " tick\n" in caught.value.message
        assert len(said) == tries
    assert chip.info()["programs"] == {}


def test_much_code_that_fits_is_loaded(chip: Chip, tmp_path: Path, said: list[str]) -> None:
    path = table(tmp_path, "middle", 5000)
    chip.load(path, ["1.1.0"])
    assert len(said) == 2 and 20000 < (chip.info()["code_bytes"]["77"] or 0) < 24000


def test_what_cannot_be_compiled_for_the_pe_is_loaded_unless_that_is_asked_for(
    chip: Chip, tmp_path: Path, said: list[str]
) -> None:
    path = table(tmp_path, "wave", 5000, " + np.sin(ram.x[0])")
    for _ in range(2):
        chip.load(path, ["1.1.0"], replace=True)
        assert len(said) == 2 and chip.info()["code_bytes"] == {"77": None}
    with pytest.raises(ProgramError, match=r"PE 1\.1\.0: .*it calls sinf, which does not exist there: line \d+ of"):
        chip.load(path, ["1.1.0"], replace=True, check_code=True)
    assert len(said) == 3


def test_commands_show_how_much_code_there_is(desk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PROGRAMS["counter"].replace("+= 1", f"+= {hash(str(tmp_path)) % 9973}")
    path = write_program(tmp_path, "counting", text)
    assert run(["load", path, "1.1.0"]) == 0
    assert "of code" not in capsys.readouterr().out
    assert run(["memory", "1.1.0"]) == 0
    assert "code ? of 32,768 bytes of instruction memory" in capsys.readouterr().out
    assert run(["load", path, "1.1.1", "--check-code"]) == 0
    assert "of 32,768 bytes of code" in capsys.readouterr().out
    assert run(["memory", "1.1.0", "--json"]) == 0
    size = json.loads(capsys.readouterr().out)["code_bytes"]
    assert run(["memory", "1.1.0"]) == 0 and run(["info"]) == 0
    out = capsys.readouterr().out
    assert f"code {size:,} of 32,768 bytes of instruction memory" in out
    assert f"counting.py: 2 PEs, code {size:,} of 32,768 bytes" in out


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("examples.lif", {}), ("examples.ping", {}), ("examples.echo", {}), ("examples.poisson", {}),
        ("examples.synfire", {}), ("snn.neurons", {"n": 4}), ("snn.receiver", {"n": 4}),
        ("snn.spikes", {"n": 4, "events": 4}),
    ],
)  # fmt: skip
def test_code_of_the_pe_is_at_most_twice_as_long_as_the_hosts(name: str, parameters: dict[str, int]) -> None:
    program = load_program(f"spinn2fw.{name}")
    declaration = declare(program, parameters)
    symbols, phases = own_symbols(declaration.memory), [phase.name for phase in declaration.phases]
    _, data = compiled_entry(program, symbols, phases)
    assert declaration.cost is not None
    assert 0 < declaration.cost.code_bytes <= 2 * objects.code_bytes(data) + SYSTEM_BYTES


SYSTEM_BYTES = 256
"""Vectors and the table of regions."""


def test_what_is_not_suspected_fits() -> None:
    assert spec.ITCM_BYTES.value >= 2 * SUSPECT_BYTES
