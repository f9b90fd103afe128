"""Starts: with nothing compiled yet, after an edit, and with many layouts of one program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench.measure import record, rounds, seconds
from helpers import write_program

from spinn2emu import geometry
from spinn2host.chip import Chip, PeProgram

COMMAND = str(Path(sys.executable).with_name("spinn2emu"))
LAYOUTS = 44

QUIET = """
def regions(p, available):
    return [Region("n", np.int64, (1,), "tick")]

def tick(pe, ram, rx, t):
    ram.n[0] += STEP
    return 0

program = Program(tick=tick, regions=regions)
"""

LAYOUT = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    n: int

def regions(p, available):
    return [Region("x", np.float32, (p.n,)), Region("y", np.float32, (p.n, 3))]

def tick(pe, ram, rx, t):
    for i in range(ram.x.shape[0]):
        ram.x[i] += ram.y[i, t % 3]
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters)
"""


@pytest.mark.parametrize("place", ["chip", "offchip"])
def bench_first_start(benchmark: Any, place: str, tmp_path: Path) -> None:
    """`spinn2emu train yinyang --samples 44 --epochs 1` from start to end, with an empty cache each time."""
    command = [COMMAND, "train", "yinyang", "--samples", "44", "--epochs", "1", "--on", place]
    number = 0

    def run() -> None:
        nonlocal number
        number += 1
        environment = os.environ | {"SPINN2EMU_CACHE": str(tmp_path / f"cache{number}")}
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)

    benchmark.pedantic(run, rounds=rounds(3))
    record(benchmark, f"first_{place}", "s", seconds(benchmark))


def bench_edit(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited kernel of three lines: `spinn2emu load --replace`, as a command; all else has been compiled before."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    step = 0

    def edit() -> None:
        nonlocal step
        step = time.time_ns() % 2**60  # never seen before
        write_program(tmp_path, "quiet", f"STEP = {step}\n{QUIET}")

    def load(*options: str) -> None:
        command = [COMMAND, "load", str(tmp_path / "quiet.py"), "1.1.0", *options]
        subprocess.run(command, check=True, capture_output=True)

    edit()
    subprocess.run([COMMAND, "boot"], check=True, capture_output=True)
    load()
    benchmark.pedantic(lambda: load("--replace"), setup=edit, rounds=rounds(9))
    subprocess.run([COMMAND, "halt"], check=True, capture_output=True)
    record(benchmark, "edit", "s", seconds(benchmark))


def bench_layouts(benchmark: Any, tmp_path: Path) -> None:
    """Boot and deployment of 44 PEs with 44 layouts of one program, which has been compiled before."""
    program = write_program(tmp_path, "layout", LAYOUT)
    pes = [PeProgram(pe, program, {"n": 10 + pe}) for pe in geometry.APPLICATION_IDS[:LAYOUTS]]

    def run() -> None:
        with Chip.boot() as chip:
            chip.deploy(pes, [])

    run()
    benchmark.pedantic(run, rounds=rounds(5))
    record(benchmark, "layouts", "s", seconds(benchmark))


def bench_small_boot(benchmark: Any, tmp_path: Path) -> None:
    """`Chip.boot` and the load of a program on one PE, until it can run."""
    program = write_program(tmp_path, "quiet", f"STEP = 1\n{QUIET}")
    chips = []

    def run() -> None:
        chips.append(Chip.boot())
        chips[-1].load(program, ["1.1.0"])

    def halt() -> None:
        while chips:
            chips.pop().halt()

    run()
    benchmark.pedantic(run, setup=halt, rounds=rounds(9))
    halt()
    record(benchmark, "small_boot", "s", seconds(benchmark))
