"""The chip itself: boot and memory of 152 PEs, and PEs that wait for each other in every tick."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.measure import record, rounds, seconds
from helpers import PROGRAMS, ring, write_program

from spinn2emu import geometry, spec
from spinn2host.chip import Chip, PeProgram

IDLE = """
def tick(pe, ram, rx, t):
    return 0

program = Program(tick=tick, regions=lambda parameters, available: [Region("unused", np.int64, (1,))])
"""
RING = [5, 6, 7, 8]
TICKS = 5000


def proportional_mb(pids: list[int]) -> float:
    """Proportional set size of the processes, MB: a page that n processes share counts 1/n for each."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(re.findall(r"^Pss: +(\d+) kB$", text, re.MULTILINE)[0]) for text in rollups) * 1024 / 1e6


def bench_boot(benchmark: Any, tmp_path: Path) -> None:
    """Boots, loads a trivial program on all 152 PEs, and runs ten ticks; then measures their memory."""
    program = write_program(tmp_path, "idle", IDLE)
    current = ExitStack()
    megabytes: list[float] = []

    def boot() -> Chip:
        chip = current.enter_context(Chip.boot())
        chip.deploy([PeProgram(pe, program) for pe in geometry.PE_IDS], entries=[])
        chip.run(10)
        return chip

    def measured() -> None:
        pids = boot().info()["pids"]
        megabytes.append(proportional_mb([pid for label, pid in pids.items() if label.startswith("pe ")]))

    with current:
        boot()
        benchmark.pedantic(boot, setup=current.close, rounds=rounds(7))
        record(benchmark, "boot", "s", seconds(benchmark))
        for _ in range(rounds(3)):
            current.close()
            measured()
        record(benchmark, "memory", "MB per PE", [total / spec.PES.value for total in megabytes])


def bench_ring(benchmark: Any, tmp_path: Path) -> None:
    """Four PEs pass a token on in every tick: the worst case for conservative simulation."""
    pes, entries = ring(write_program(tmp_path, "ring", PROGRAMS["ring"]), RING)
    with Chip.boot() as chip:
        chip.deploy(pes, entries)
        chip.run(TICKS)
        benchmark.pedantic(lambda: chip.run(TICKS), rounds=rounds(9))
    record(benchmark, "ring", "ticks per second", [TICKS / s for s in seconds(benchmark)])
