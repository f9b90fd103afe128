"""Formulas of cycles: recorded activations of a program are counted, and a formula is fitted for each of its phases."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spinn2emu import geometry
from spinn2emu.arm.activations import read_recording
from spinn2emu.arm.build import Order, make
from spinn2emu.arm.counting import Counted, count, fit
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import engine
from spinn2emu.chip.costs import keep_cost
from spinn2emu.cost import Cost, Interval, PhaseCost, short_name
from spinn2emu.progress import tell
from spinn2host.arm import calibration, recordings
from spinn2host.chip import Chip
from spinn2host.network import read_network

SHIPPED = "shipped programs, as scripts/count-cycles records them"


class Tally(NamedTuple):
    """What was counted of a program."""

    image: Image
    activations: list[Counted]


def tally(files: Sequence[Path]) -> dict[str, Tally]:
    """Counts recorded activations, by program. Raises ConfigError without unicorn or capstone, ProgramError for code
    that does not do what the host's does."""
    engine()
    recorded = [read_recording(file) for file in files]
    orders = {recording.program: Order(recording.program, recording.memory, tuple(sys.path)) for recording in recorded}
    tell(f"compiling {', '.join(orders)} for the PE")
    images = dict(zip(orders, (made.image for made in make(list(orders.values()))), strict=True))
    found: dict[str, Tally] = {}
    for number, recording in enumerate(recorded, 1):
        tell(f"counting {recording.program} ({number} of {len(recorded)} recordings)")
        own = found.setdefault(recording.program, Tally(images[recording.program], []))
        own.activations.extend(count(recording, own.image))
    return found


def cost_of(program: str, counted: Tally, activations: str) -> Cost:
    """The formulas of a program; `activations`: which these were, in words."""
    phases = {phase: _rounded(cost) for phase, cost in fit(counted.activations).items()}
    versions = {name: importlib.metadata.version(name) for name in ("numba", "llvmlite", "unicorn", "capstone")}
    never = [name for name in counted.activations[0].counts if not any(a.counts[name] for a in counted.activations)]
    if never:
        tell(f"{short_name(program)}: {', '.join(never)} did not occur in what was counted, and will cost nothing")
    provenance = {
        "activations": activations,
        "cycles": "ARM DDI 0439 (Cortex-M4) by spinn2emu.arm.cycles, instruction by instruction; wake-up and sleep too",
        **({"did not occur": ", ".join(never)} if never else {}),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return Cost(short_name(program), counted.image.fingerprint, counted.image.nbytes, phases, provenance)


def _rounded(cost: PhaseCost) -> PhaseCost:
    """Without digits that mean nothing, so that files are the same wherever they are made."""
    terms = {name: Interval(*(round(cycles, 3) for cycles in interval)) for name, interval in cost.terms.items()}
    return PhaseCost(terms, cost.activations, *(round(n, 4) for n in (cost.worst, cost.rms, cost.others)))


def count_shipped(kinds: Sequence[str] = tuple(calibration.KINDS)) -> list[Cost]:
    """The formulas of the programs that the project ships, fitted to the recordings of `calibration`."""

    def record(folder: Path) -> list[Path]:
        files: list[Path] = []
        for kind in kinds:
            tell(f"recording activations of the programs of {kind}")
            files += calibration.KINDS[kind](folder / kind, lambda chip: None)
        return files

    return [cost_of(program, counted, SHIPPED) for program, counted in _recorded(record).items()]


def count_program(program: str, parameters: Mapping[str, Any], ticks: int, seed: int = 0) -> list[Cost]:
    """The formulas of a user's program with pseudo-random packets, or of those of a network (a .toml file).

    Raises what loading, running and compiling it does.
    """

    def record(folder: Path) -> list[Path]:
        tell(f"recording {ticks} ticks of {program}")
        if program.endswith(".toml"):
            return recordings.of_network(program, ticks, seed, folder)
        return recordings.of_program(program, parameters, ticks, seed, folder)

    what = f"{ticks} ticks with pseudo-random packets"
    if parameters:
        what += ", " + ", ".join(f"{name}={value}" for name, value in parameters.items())
    return [cost_of(name, counted, what) for name, counted in _recorded(record).items()]


def _recorded(record: Callable[[Path], list[Path]]) -> dict[str, Tally]:
    engine()  # before anything is recorded
    with tempfile.TemporaryDirectory(prefix="spinn2-cost-") as folder:
        return tally(record(Path(folder)))


def known_costs(program: str, parameters: Mapping[str, Any]) -> list[Cost | None]:
    """What is known of the cycles of a program, or of each of a network's, as a chip finds it: declared, or counted
    from the sources as they are. Raises what loading does.
    """
    network = read_network(program) if program.endswith(".toml") else None
    pes = [item.pe for item in network.pes] if network else [geometry.pe_id("1.1.0")]
    with Chip.boot(cores=[], pes=pes) as chip:
        if network is not None:
            chip.load_network(network)
        else:
            chip.load(program, pes, parameters)
        return list(chip.costs().values())


def keep(costs: Sequence[Cost]) -> None:
    """From now on chips know these formulas, as long as the programs' sources stay as they are."""
    for cost in costs:
        keep_cost(cost)
