"""Traces: what recording costs a training, and how fast events are written and read."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.bench_training import open_training
from bench.measure import Training, record, restricted_to, rounds, seconds

from spinn2emu.trace.file import Trace, read_trace, write_trace
from spinn2host.chip import Chip
from spinn2host.onchip import OnChip
from spinn2host.recipe import make_recipe

FILTERS: dict[str, list[str]] = {"trace_all": [], "trace_spikes": ["gradient", "weight"]}
"""Types that are left out."""


def chip_of(training: Training) -> Chip:
    network = training.network
    assert isinstance(network, OnChip)
    return network.chip


@pytest.mark.parametrize("name", FILTERS)
def bench_trace(benchmark: Any, tmp_path: Path, name: str) -> None:
    """An epoch with the trace, after one without it, a round; the file is on the disk of the temporary folder."""
    ratios: list[float] = []
    with ExitStack() as stack:
        training = open_training("chip", make_recipe("full"), stack)

        def measure() -> None:
            begin = time.perf_counter()
            training()
            middle = time.perf_counter()
            chip_of(training).start_trace(tmp_path / "t.pcapng", without=FILTERS[name])
            started = time.perf_counter()
            training()
            end = time.perf_counter()
            chip_of(training).stop_trace()
            ratios.append((end - started) / (middle - begin))

        measure()
        ratios.clear()
        benchmark.pedantic(measure, rounds=rounds(11))
    record(benchmark, name, "times", ratios)


def bench_command(benchmark: Any, tmp_path: Path) -> None:
    """`spinn2emu train yinyang --epochs 1 --trace` from start to end, kernels cached."""
    command = [Path(sys.executable).with_name("spinn2emu"), "train", "yinyang", "--epochs", "1", "--trace", "t.pcapng"]

    def run() -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    run()
    benchmark.pedantic(run, rounds=rounds(5))
    record(benchmark, "command_trace", "s", seconds(benchmark))


def bench_file(benchmark: Any, tmp_path: Path) -> None:
    """The events of an epoch of the full preset, from memory to the file and back, on one core."""
    with ExitStack() as stack:
        training = open_training("chip", make_recipe("full"), stack)
        with chip_of(training).trace(tmp_path / "t.pcapng"):
            training()
    trace = read_trace(tmp_path / "t.pcapng")
    events = Trace(np.array(trace.events), trace.meta)
    written: list[float] = []
    read: list[float] = []

    def measure() -> None:
        begin = time.perf_counter()
        write_trace(tmp_path / "u.pcapng", events)
        middle = time.perf_counter()
        assert len(read_trace(tmp_path / "u.pcapng").events) == len(events.events)
        written.append(len(events.events) / (middle - begin) / 1e6)
        read.append(len(events.events) / (time.perf_counter() - middle) / 1e6)

    with restricted_to(1):
        measure()
        written.clear(), read.clear()
        benchmark.pedantic(measure, rounds=rounds(7))
    record(benchmark, "trace_write", "M events/s", written)
    record(benchmark, "trace_read", "M events/s", read)
