"""Networks of py-spinnaker2, tick by tick, beside Brian2, which is what users fall back on without a board."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench.measure import record, rounds, seconds
from bench.networks import NETWORKS, Description

from spinn2emu import geometry
from spinn2host.chip import Chip
from spinn2host.spinnaker2 import snn
from spinn2host.spinnaker2.layout import map_network
from spinn2host.spinnaker2.settings import settings

BRIAN2 = Path(__file__).parents[2] / ".venv-brian2" / "bin" / "python"


SCRIPT = Path(__file__).with_name("field_script.py")


def for_chip(net: Description) -> snn.Network:
    """The network for the emulated chip."""
    made = snn.Network("benchmark")
    populations = {}
    for group in net.groups.values():
        wanted = ["spikes"] if group.model != "spike_list" else []
        populations[group.name] = snn.Population(group.size, group.model, group.params, group.name, wanted)
        populations[group.name].set_max_atoms_per_core(group.per_pe)
    made.add(*populations.values())
    made.add(*(snn.Projection(populations[a], populations[b], rows) for a, b, rows in net.connections))
    return made


@pytest.mark.parametrize("name", NETWORKS)
def bench_chip(benchmark: Any, name: str) -> None:
    """Ticks on the chip, spikes recorded; and how long it takes to place, boot and deploy the network."""
    description, ticks = NETWORKS[name]
    net = for_chip(description)
    started = []
    for _ in range(rounds(3)):
        begin = time.perf_counter()
        layout = map_network(net, ticks, geometry.APPLICATION_IDS)
        with Chip.boot(cores=settings.cores) as chip:
            chip.deploy(layout.programs, layout.entries)
            started.append(time.perf_counter() - begin)
    with Chip.boot(cores=settings.cores) as chip:

        def deploy() -> None:
            chip.deploy(layout.programs, layout.entries)

        benchmark.pedantic(lambda: chip.run(ticks, window=layout.window), setup=deploy, rounds=rounds(9))
        spikes = sum(int(chip.read(part.pe, "spikes")[:, 1].sum()) for part in layout.parts if part.population.record)
    record(benchmark, f"snn_{name}", "ms per tick", [1e3 * s / ticks for s in seconds(benchmark)])
    print(f"{name}: {spikes / ticks:.0f} spikes per tick")
    record(benchmark, f"snn_{name}_start", "s", started)


def bench_brian2(benchmark: Any) -> None:
    """The same number of steps in Brian2."""
    if not BRIAN2.exists():
        pytest.skip("scripts/bench makes the environment")
    script = Path(__file__).with_name("brian2_networks.py")

    def run() -> str:
        return subprocess.run([BRIAN2, script, str(rounds(9))], capture_output=True, text=True, check=True).stdout

    found = json.loads(benchmark.pedantic(run, rounds=1))
    for name, (times, spikes) in found.items():
        record(benchmark, f"brian2_{name}", "ms per tick", times)
        print(f"Brian2, {name}: {spikes:.0f} spikes per tick")


def bench_command(benchmark: Any) -> None:
    """A script as a user starts it, from the command to its printed result."""
    command = [sys.executable, "-m", "spinn2host.cli.main", "script", str(SCRIPT)]
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True), warmup_rounds=1, rounds=rounds(7)
    )
    record(benchmark, "snn_command", "s", seconds(benchmark))
