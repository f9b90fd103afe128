"""scripts/coremark: what it counts of an ELF file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.coremark import main

from spinn2emu.arm import elf

# main: push {r4, lr}; bl start_time; nop * 9; adds r1, #1; bl stop_time; pop {r4, pc}
MAIN = "10b5" + "00f00df8" + "00bf" * 9 + "0131" + "00f002f8" + "10bd"
FUNCTIONS = MAIN + "7047" * 3 + "0000" + "00000000"  # start_time, stop_time, uart_send_char: bx lr; seed4_volatile


def program(path: Path, code: str = FUNCTIONS, names: tuple[str, ...] = ("main", "start_time", "stop_time")) -> Path:
    start = len(bytes.fromhex(MAIN))
    places = {"main": 0, "start_time": start, "stop_time": start + 2, "uart_send_char": start + 4}
    functions = [(name, places[name], 2) for name in (*names, "uart_send_char")]
    seed = ("seed4_volatile", start + 8, 4)
    path.write_bytes(elf.executable(bytes.fromhex(code), 0, 0, [*functions, seed]))
    return path


def test_what_lies_between_start_and_stop_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BX LR 1 + P, ten instructions, BL 1 + P."""
    assert main([str(program(tmp_path / "c.elf")), "--iterations", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cycles_per_iteration"] == {"low": 14, "central": 14, "high": 18}
    assert result["coremark_per_mhz"]["high"] == pytest.approx(1e6 / 18)
    assert main([str(program(tmp_path / "c.elf"))]) == 0
    assert "central cycles          7 per iteration" in capsys.readouterr().out


def test_what_is_no_coremark_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("CoreMark")
    for path, message in [
        (tmp_path / "text", "is no ELF file for ARM"),
        (tmp_path / "none", "No such file"),
        (program(tmp_path / "a.elf", names=("main", "start_time")), "has no symbol stop_time"),
        (program(tmp_path / "b.elf", code="ffff" * 30), "CoreMark's code fails at"),
    ]:
        assert main([str(path)]) == 2
        assert message in capsys.readouterr().err


def test_a_run_that_counts_nothing_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(program(tmp_path / "c.elf", code="7047" + FUNCTIONS[4:]))]) == 1
    assert "did not validate itself" in capsys.readouterr().err
