"""Turns raw measurements into docs/benchmarks.json, the tables of docs/benchmarks.md and the growth figure.

`python -m bench.report [--write | --add] RAW.json [GROWTH.json]`, with RAW.json from pytest-benchmark. Without an
option the tables go to stdout only. With --add they are those of a part that was measured again: the other rows stay.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import itertools
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.measure import Json

ROOT = Path(__file__).resolve().parents[2]
PAGE, DATA, FIGURE = (ROOT / "docs" / name for name in ("benchmarks.md", "benchmarks.json", "figures/growth.svg"))
BEGIN, END = "<!-- measured: begin (scripts/bench writes what is between these lines) -->", "<!-- measured: end -->"
TOLERANCE = 0.1
"""A slope of up to 1.1 counts as linear: medians of the same thing differ by a tenth."""


class Row(NamedTuple):
    """A line of the table. `floor`, `peer`: names of other measurements."""

    name: str
    what: str
    target: str = ""
    floor: str = ""
    peer: str = ""


ROWS = [
    Row(
        "chip_full", "full preset on the chip, 22 quads, 5-120-3, per batch", "9 ms, stretch 5", "offchip_full",
        "torch_full",
    ),
    Row("torch_full", "the same in PyTorch, as the authors' simulator, one thread", "", "offchip_full"),
    Row("torch_lean_full", "the same in PyTorch, the least it needs, one thread", "", "offchip_full"),
    Row("offchip_full", "the same off the chip, one core", "0.5 ms, stretch 0.25", "", "torch_full"),
    Row("chip_online", "online preset on the chip, per sample", "1.5 ms, stretch 0.8", "offchip_online"),
    Row("offchip_online", "the same off the chip, one core"),
    Row("command_chip", "`spinn2emu train yinyang --epochs 1`, start to end", "8 s, stretch 4", "command_offchip"),
    Row("command_offchip", "the same with `--on offchip`", "", "imports"),
    Row("imports", "an interpreter that imports the libraries"),
    Row("first_chip", "`spinn2emu train yinyang --samples 44 --epochs 1`, nothing compiled yet", "20 s"),
    Row("first_offchip", "the same with `--on offchip`", "8 s"),
    Row("edit", "an edited kernel: `spinn2emu load --replace`", "1.5 s"),
    Row("layouts", "boot and deployment of 44 PEs with 44 layouts of one program", "3 s"),
    Row("small_boot", "boot of a chip and a program on one PE, ready to run", "0.5 s", "imports"),
    Row("boot", "boot of 152 PEs, to the tenth tick", "1.5 s, stretch 0.7", "imports"),
    Row("memory", "proportional set size per PE, 152 PEs", "6 MB, stretch 4"),
    Row("router_16384", "router: looked up and replicated, 16,384 entries, one core", "5 M/s, stretch 20", "router_1"),
    Row("router_1", "the same with one entry"),
    Row("ring", "ring of 4 PEs, tick by tick", "2,000 ticks/s at least"),
    Row("resident_boot", "`spinn2emu boot` and `load` of a program on 152 PEs, two commands", "3 s", "imports"),
    Row("ps", "`spinn2emu ps` of 152 PEs", "0.3 s"),
    Row("read_sram", "the host reads a whole SRAM, 128 kB, of a PE that runs", "5 ms"),
    Row("chips_64", "64 chips of one PE each, from boot to halt"),
    Row("trace_all", "an epoch of the full preset with the full trace, times the same without", "1.3"),
    Row("trace_spikes", "the same without gradients and weights in the trace"),
    Row("command_trace", "`spinn2emu train yinyang --epochs 1 --trace`, start to end", "", "command_chip"),
    Row("trace_write", "events of an epoch, from memory to a file, one core", "1 M/s at least"),
    Row("trace_read", "the same, from the file to memory", "5 M/s at least"),
    Row("snn_field", "a field of 401 spiking neurons on 19 PEs, per tick", "0.7 ms, stretch 0.35", "",
        "brian2_field_numpy"),
    Row("brian2_field_numpy", "the same in Brian2, numpy"),
    Row("brian2_field_cython", "the same in Brian2, Cython"),
    Row("snn_field_start", "the field: placed, booted and deployed", "4 s", "imports"),
    Row("snn_command", "`spinn2emu script` with the field, 1,000 ticks, start to end", "4 s", "imports"),
    Row("snn_large", "7,000 neurons on 144 PEs, all to all, per tick", "12 ms", "", "brian2_large_numpy"),
    Row("brian2_large_numpy", "the same in Brian2, numpy"),
    Row("brian2_large_cython", "the same in Brian2, Cython"),
    Row("snn_large_start", "the large network: placed, booted and deployed", "6 s", "imports"),
]  # fmt: skip


def merge(raw: Json) -> Json:
    """The recorded numbers of a pytest-benchmark file, by name."""
    return {name: value for run in raw["benchmarks"] for name, value in run["extra_info"].items()}


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, digits):,.{max(0, digits)}f}"


def table(results: Json, newer: Collection[str] = ()) -> list[str]:
    """The table of all rows that were measured, without the `newer` ones, which another table has: median, spread,
    target, and how often the floor and the peer of the same run fit in."""
    lines = [
        "| what | median | min – max (rounds) | at most | times the floor | share of the peer |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in ROWS:
        if row.name not in results or row.name in newer:
            continue
        found = results[row.name]
        unit = found["unit"].removesuffix(" per batch").removesuffix(" per sample").removesuffix(" per PE")
        unit = (
            unit.removesuffix(" per tick")
            .replace("million packets per second", "M/s")
            .replace("ticks per second", "ticks/s")
        )
        times = [
            found["median"] / results[other]["median"] if other in results else 0 for other in (row.floor, row.peer)
        ]
        lines.append(
            f"| {row.what} | **{number(found['median'])} {unit}** | {number(found['min'])} – {number(found['max'])} "
            f"({found['rounds']}) | {row.target} | {number(times[0]) if times[0] else ''} "
            f"| {number(times[1]) if times[1] else ''} |"
        )
    return lines


def slopes(points: Sequence[Json], place: str) -> list[float | None]:
    """Log-log slope of the cost from each point to the next; None for the first."""
    found: list[float | None] = [None]
    for one, two in itertools.pairwise(points):
        growth = math.log(two[place]["median"] / one[place]["median"])
        found.append(growth / math.log(two["value"] / one["value"]))
    return found


def growth_table(growth: Json) -> list[str]:
    """All points of all curves with their slopes; what grows faster than its parameter is marked."""
    lines = [
        "| parameter | value | chip, ms per batch | slope | off the chip | slope | spikes per sample |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for curve in growth.values():
        points = curve["points"]
        for point, *steps in zip(points, slopes(points, "chip"), slopes(points, "offchip"), strict=True):
            chip, off = ("" if s is None else f"{s:.2f}{' (!)' if s > 1 + TOLERANCE else ''}" for s in steps)
            lines.append(
                f"| {curve['parameter']} | {point['value']} | {number(point['chip']['median'])} | {chip} "
                f"| {number(point['offchip']['median'])} | {off} | {point['chip']['spikes']:.0f} |"
            )
        if limit := curve["limit"]:
            reason = limit["message"].split(". ")[0]
            lines.append(f"| {curve['parameter']} | {limit['value']} | refused: {reason} | | | | |")
    return lines


def machine() -> Json:
    """What the numbers were measured on."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("numpy", "numba", "pyzmq", "torch")},
        "commit": git("rev-parse", "--short", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.date.today().isoformat(),
    }


def provenance(m: Json) -> str:
    """When, where and of which commit."""
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    commit = f"commit {m['commit']}{' with changes' if m['changed'] else ''}"
    return f"{m['date']}, {commit}; {m['cores']} cores of {m['cpu']}, {m['system']}; {versions}."


def section(data: Json) -> str:
    """The measured part of the page: a table for each run, in which a row is that later ones do not have."""
    runs, lines = [data, *data["later"]], []
    for number, run in enumerate(runs):
        newer = measured(runs[number + 1 :])
        if set(run["results"]) - newer:
            lines += [provenance(run["machine"]), "", *table(run["results"], newer), ""]
    if data["growth"]:
        lines += [
            f"Growth, measured at commit {data['machine']['commit']}:", "",
            "![How the cost of a batch grows](figures/growth.svg)", "", *growth_table(data["growth"]),
        ]  # fmt: skip
    return "\n".join(lines).strip()


def measured(runs: Sequence[Json]) -> set[str]:
    """The names of all that was measured in these runs."""
    return {name for run in runs for name in run["results"]}


def add(data: Json, run: Json) -> Json:
    """`data` with a later run; earlier ones of which the later ones leave no row are forgotten."""
    later = [*data["later"], run]
    kept = [old for i, old in enumerate(later) if set(old["results"]) - measured(later[i + 1 :])]
    return {**data, "later": kept}


def insert(page: str, text: str) -> str:
    """The page with `text` between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def draw(growth: Json, file: Path) -> None:
    """One panel per curve, both axes logarithmic, with a line of slope 1 to compare with."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "spinn2emu"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10.5, 6.2), layout="constrained", sharey=True)
    for panel, curve in zip(axes.flat, growth.values(), strict=False):
        x = [point["value"] for point in curve["points"]]
        for place, label, colour, marker in (("chip", "chip", "#0072B2", "o"), ("offchip", "off chip", "#D55E00", "s")):
            values = [point[place] for point in curve["points"]]
            y = [v["median"] for v in values]
            spread = [[v["median"] - v["min"] for v in values], [v["max"] - v["median"] for v in values]]
            panel.errorbar(x, y, spread, label=label, color=colour, marker=marker, markersize=4, capsize=2)
            panel.plot(x, [y[0] * value / x[0] for value in x], color=colour, linestyle=":", linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel=curve["parameter"], xticks=x, xticklabels=x)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    for panel in axes[:, 0]:
        panel.set_ylabel("ms per batch")
    axes.flat[0].plot([], [], color="grey", linestyle=":", label="linear")
    axes.flat[0].legend()
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    files = [Path(argument) for argument in arguments if not argument.startswith("--")]
    raw, *growth = (json.loads(file.read_text()) for file in files)
    run = {"machine": machine(), "results": merge(raw)}
    data = {**run, "growth": growth[0] if growth else None, "later": []}
    print(section(data))
    if "--add" in arguments:
        data = add(json.loads(DATA.read_text()), run)
    if {"--write", "--add"} & set(arguments):
        DATA.write_text(json.dumps(data, indent=1) + "\n")
        PAGE.write_text(insert(PAGE.read_text(), section(data)))
    if "--write" in arguments and data["growth"]:
        draw(data["growth"], FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])
