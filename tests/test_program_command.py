"""`spinn2emu program`: regions, Cortex-M4 code with its lines, ELF files, and what cannot be compiled for the PE."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import write_program

from spinn2emu.arm.build import describe
from spinn2emu.arm.link import plain
from spinn2emu.errors import ProgramError
from spinn2host.arm.listing import listing
from spinn2host.cli.main import run

pytest.importorskip("capstone")
pytest.importorskip("elftools")

COUNTER = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    n: int = 8

def regions(p, available):
    return [Region("heard", np.int64, (p.n,), "packet"), Region("level", np.float32, (1,))]

@kernel
def place(key, n):
    return np.int64(key) // 3 % n

def tick(pe, ram, rx, t):
    for packet in rx:
        ram.heard[place(packet.key, ram.heard.shape[0])] += 1
    ram.level[0] = ram.level[0] * np.float32(0.5) + np.float32(t)
    if ram.level[0] > 3:
        send(pe, 0, 1)
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",), outputs=("out",))
"""


@pytest.fixture
def counter(tmp_path: Path) -> str:
    return write_program(tmp_path, "counter", COUNTER)


def test_regions_code_and_helpers_are_shown(counter: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["program", counter, "--set", "n=5"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"0x08c\d0 +40  heard +int64 +5 +packet", out)
    assert re.search(r"0x000\w0 +\d+  tick +\n", out)
    assert re.search(r"__aeabi_l2f \(helper\)", out)
    assert re.search(r"code (\d,)?\d{3} of 32,768 bytes of instruction memory", out)
    assert "cycles are not known: `spinn2emu cost` counts them" in out


def test_cycles_of_a_shipped_program_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["program", "spinn2fw.examples.echo"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"run +sent +[\d.]+ +[\d.]+ +[\d.]+\n", out)
    assert run(["program", "spinn2fw.examples.echo", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (
        answer["cost"]["code_bytes"] == answer["code_bytes"] == sum(f["bytes"] for f in answer["functions"]) + 64 + 16
    )


def test_the_listing_has_all_code_with_its_cycles_and_lines(counter: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = describe(counter, {}, lines=True)
    rows = list(listing(found))
    assert sum(row.instruction.size for row in rows) == sum(end - begin for begin, end in found.image.spans)
    assert [row.function for row in rows if row.function] == sorted(found.image.functions, key=lambda f: f.address)
    lines = Path(counter).read_text().splitlines()
    of_line: dict[str, list[str]] = {}
    for row in rows:
        if row.place is not None and row.place.file == counter:
            assert row.place.text == lines[row.place.line - 1].strip()
            of_line.setdefault(row.place.text, []).append(row.instruction.text)
    assert any(
        text.startswith("vmul.f32") for text in of_line["ram.level[0] = ram.level[0] * np.float32(0.5) + np.float32(t)"]
    )
    assert any(text.startswith(("vcmp", "vcmpe")) for text in of_line["if ram.level[0] > 3:"])
    assert "return np.int64(key) // 3 % n" in of_line
    helpers = {f.address: f.address + f.size for f in found.image.functions if f.helper}
    for row in rows:
        if any(begin <= row.instruction.address < end for begin, end in helpers.items()):
            assert row.place is None
    assert run(["program", counter, "--asm"]) == 0
    out = capsys.readouterr().out
    number = 1 + lines.index("    for packet in rx:")
    assert f"counter.py:{number}  for packet in rx:\n" in out and "\n__aeabi_l2f (helper):\n" in out
    assert re.search(r"\n  0x0\w{3}  vmul\.f32 \w+, \w+, \w+ +[12]\b", out)
    assert re.search(r"\n  0x0\w{3}  b\w\w\S* #0x\w+ +1, taken \+\d \(1-3\)\n", out)


def test_code_is_the_same_with_and_without_lines(counter: str) -> None:
    with_lines, without = (describe(counter, {}, lines=lines) for lines in (True, False))
    assert with_lines.lines and not without.lines
    assert with_lines.image == without.image


@pytest.mark.skipif(shutil.which("arm-none-eabi-objdump") is None, reason="no objdump for ARM")
def test_objdump_reads_the_elf_file(counter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["program", counter, "--elf", str(tmp_path / "c.elf"), "--asm", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    command = ["arm-none-eabi-objdump", "-d", "-M", "force-thumb", str(tmp_path / "c.elf")]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    for function in answer["functions"]:
        assert re.search(rf"^{function['address']:08x} <{re.escape(function['name'])}>:$", text, re.MULTILINE)
    rows = re.findall(r"^ +(\w+):\t((?:[0-9a-f]{4} ?){1,2}) *\t", text, re.MULTILINE)
    sizes = {int(address, 16): 2 * len(halfwords.split()) for address, halfwords in rows}
    assert all(sizes[i["address"]] == i["bytes"] for i in answer["instructions"])
    symbols = subprocess.run(
        ["arm-none-eabi-objdump", "-t", str(tmp_path / "c.elf")], stdout=subprocess.PIPE, text=True
    )
    assert len(re.findall(r" F \.text", symbols.stdout)) == len(answer["functions"])


@pytest.mark.parametrize(
    ("expression", "symbol"),
    [
        ("np.sin(ram.level[0])", "sinf"),
        ("np.cbrt(ram.level[0])", "cbrt"),  # made of a power, within numba's own functions
        ("np.random.random()", "numba_get_np_random_state"),
    ],
)
def test_what_the_pe_has_no_function_for_is_named_with_its_line(tmp_path: Path, expression: str, symbol: str) -> None:
    text = COUNTER.replace("ram.level[0] * np.float32(0.5) + np.float32(t)", expression)
    path = write_program(tmp_path, "wave", text)
    with pytest.raises(ProgramError) as caught:
        describe(path, {})
    error = caught.value
    source = Path(path).read_text().splitlines()
    assert (error.symbol, error.file, error.line) == (
        symbol,
        path,
        1 + source.index(f"    ram.level[0] = {expression}"),
    )
    assert error.message.endswith(
        f"it calls {symbol}, which does not exist there: line {error.line} of {path}\n    ram.level[0] = {expression}"
    )


def test_a_line_in_a_kernel_that_tick_calls_is_found(tmp_path: Path) -> None:
    path = write_program(tmp_path, "wave", COUNTER.replace("np.int64(key) // 3 % n", "np.int64(np.tan(key) * n)"))
    with pytest.raises(ProgramError, match=r"it calls tan, .* line 15 of .*\n    return np\.int64\(np\.tan"):
        describe(path, {})


def test_what_cannot_be_shown_is_said(
    counter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.py").write_text("x = 1\n")
    (tmp_path / "ends.py").write_text("import os\nos._exit(3)\n")
    for arguments, text in [
        ([str(tmp_path / "nothing.py")], "does not exist"),
        (["no.such.module"], "No module named 'no'"),
        ([str(tmp_path / "none.py")], "has no variable `program`"),
        ([str(tmp_path / "ends.py")], "its compiler ended with code 3"),
        ([counter, "--set", "m=3"], "m: Extra inputs are not permitted"),
        ([counter, "--set", "n=100000"], "bytes of data space, a PE has 94208"),
        ([counter, "--elf", str(tmp_path / "no" / "c.elf")], "No such file or directory"),
    ]:
        assert run(["program", *arguments]) == 2, arguments
        captured = capsys.readouterr()
        assert text in captured.err and captured.out == "", captured
    for module in ("capstone", "elftools.elf.elffile"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            assert run(["program", counter, "--asm"]) == 2
            assert "pip install 'spinn2emu[arm]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "capstone", None)
    assert run(["program", counter]) == 0


def test_names_of_functions_are_those_of_the_program() -> None:
    assert plain("tick") == "tick" and plain("__aeabi_ldivmod") == "__aeabi_ldivmod"
    assert plain("_ZN20spinn2_program_blink5countB2v1B4abcdEx") == "count"
    assert plain("_ZN4some8_3clocalB2v1E") == "<local"
