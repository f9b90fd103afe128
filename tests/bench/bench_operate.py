"""A resident chip: how fast it is up, answers, and gives its memory; and 64 chips side by side."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from bench.measure import record, rounds, seconds
from helpers import PROGRAMS, ring, write_program

from spinn2emu import geometry, spec
from spinn2host.chip import Chip

COMMAND = str(Path(sys.executable).with_name("spinn2emu"))
CHIPS = 64


@pytest.fixture(autouse=True)
def _a_place_for_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="s2"))


def command(*arguments: str) -> None:
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)


def bench_resident_boot(benchmark: Any, tmp_path: Path) -> None:
    """`spinn2emu boot`, then a program on all 152 PEs, as two commands."""
    program = write_program(tmp_path, "counter", PROGRAMS["counter"])
    pes = [geometry.name(pe) for pe in geometry.PE_IDS]

    def boot() -> None:
        command("boot")
        command("load", program, *pes)

    boot()
    benchmark.pedantic(boot, setup=lambda: command("halt"), rounds=rounds(7))
    record(benchmark, "resident_boot", "s", seconds(benchmark))
    benchmark_ps = []
    for _ in range(rounds(15)):
        begin = time.perf_counter()
        command("ps")
        benchmark_ps.append(time.perf_counter() - begin)
    record(benchmark, "ps", "s", benchmark_ps)
    command("halt")


def bench_read(benchmark: Any, tmp_path: Path) -> None:
    """A whole SRAM, of a chip that runs."""
    pes, entries = ring(write_program(tmp_path, "ring", PROGRAMS["ring"]), [5, 6, 7, 8])
    with Chip.boot() as chip:
        chip.deploy(pes, entries)
        chip.start(10**9)
        benchmark.pedantic(lambda: chip.read(5, 0, spec.SRAM_BYTES.value), rounds=rounds(200))
        record(benchmark, "read_sram", "ms", [1000 * s for s in seconds(benchmark)])


def bench_many_chips(benchmark: Any, tmp_path: Path) -> None:
    """64 chips of one PE each: boots all, runs 1,000 ticks on all at once, reads what they counted, halts all."""
    program = write_program(tmp_path, "counter", PROGRAMS["counter"])

    def run() -> None:
        chips = [Chip.boot(pes=1) for _ in range(CHIPS)]
        for chip in chips:
            chip.load(program, ["7.5.0"])
        for chip in chips:
            chip.start(1000)
        for chip in chips:
            assert chip.wait() == 1000 and chip.read("7.5.0", "ticks")[0] == 1000
        for chip in chips:
            chip.halt()

    benchmark.pedantic(run, rounds=1)
    record(benchmark, "chips_64", "s", seconds(benchmark))
