"""How many cycles a program's code takes: per phase a linear formula over counts, always as an interval.

    cycles of an activation = sum over terms of (cycles of the term) * (its count)

Terms: `tick`, once per activation; `in.PORT`, the packets that came in on input port PORT; `sent`, the packets that
were sent; and the counts that the program declares. The pseudo-phase DRAIN is the interrupt handler of a FIFO: there
`tick` is once per call. Formulas are fitted to counted activations (`spinn2emu.arm`) or declared by the program.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spinn2emu.errors import ConfigError

FORMAT = 1
DRAIN = "drain"
TICK, SENT, IN = "tick", "sent", "in."


class Interval(NamedTuple):
    """A figure as far as its sources allow: `low` and `high` bound it, `central` is the best estimate."""

    low: float
    central: float
    high: float

    def __add__(self, other: object) -> Interval:
        if not isinstance(other, Interval):
            return NotImplemented
        return Interval(self.low + other.low, self.central + other.central, self.high + other.high)

    def __mul__(self, factor: object) -> Interval:
        if not isinstance(factor, int | float):
            return NotImplemented
        return Interval(self.low * factor, self.central * factor, self.high * factor)

    def to_json(self) -> dict[str, float]:
        """As `{"low": …, "central": …, "high": …}`."""
        return self._asdict()


ZERO = Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PhaseCost:
    """Cycles of one phase. `terms`: cycles of each, by name.

    `activations`: how many were counted for the fit; `worst`: the largest difference between the formula and a counted
    activation, relative to the mean of the phase (central); `rms`: the same, root of the mean square. A declared
    formula has 0 of each. `others`: by how much the formula's sum differs, relative to it, from that of as many
    activations that it was not fitted to.
    """

    terms: Mapping[str, Interval]
    activations: int = 0
    worst: float = 0.0
    rms: float = 0.0
    others: float = 0.0

    def cycles(self, counts: Mapping[str, float]) -> Interval:
        """Of activations with these counts in all. Counts without a term cost nothing."""
        total = ZERO
        for name, cycles in self.terms.items():
            total += cycles * counts.get(name, 0)
        return total


@dataclass(frozen=True)
class Cost:
    """A program's formulas by phase (and DRAIN), and where they come from.

    `fingerprint`: of the sources that were compiled; `code_bytes`: of the code with the helpers that it calls, 0 if
    declared; `provenance`: who counted what, with which versions.
    """

    program: str
    fingerprint: str
    code_bytes: int
    phases: Mapping[str, PhaseCost]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        phases = {
            name: {
                "terms": {term: list(cycles) for term, cycles in phase.terms.items()},
                "activations": phase.activations, "worst": phase.worst, "rms": phase.rms,
                "others": phase.others,
            }
            for name, phase in self.phases.items()
        }  # fmt: skip
        return {
            "format": FORMAT, "program": self.program, "fingerprint": self.fingerprint, "code_bytes": self.code_bytes,
            "phases": phases, "provenance": dict(self.provenance),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> Cost:
        """What `to_json` made; `where` is named in the ConfigError for anything else."""
        try:
            if data["format"] != FORMAT:
                raise ConfigError(f"{where} has format {data['format']} of cost files, this version reads {FORMAT}")
            phases = {
                name: PhaseCost(
                    {term: _cycles(term, cycles) for term, cycles in phase["terms"].items()},
                    int(phase["activations"]), float(phase["worst"]), float(phase["rms"]),
                    float(phase["others"]),
                )
                for name, phase in data["phases"].items()
            }  # fmt: skip
            return cls(data["program"], data["fingerprint"], int(data["code_bytes"]), phases, dict(data["provenance"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{where} is no file of costs: {type(error).__name__}: {error}") from error


def _cycles(term: str, cycles: Any) -> Interval:
    """Each is fitted on its own, so that of a term that is hardly there low may exceed central."""
    found = Interval(*map(float, cycles))
    if not all(0 <= n < math.inf for n in found):
        raise ValueError(f"cycles of {term} are {cycles}, not low, central and high from 0 on")
    return found


def cost_file(program: str) -> Path | None:
    """Where counted formulas of a program (a file, or a module) lie: NAME.cost.json beside NAME.py; None: nowhere."""
    if program.endswith(".py"):
        return Path(program).with_suffix(".cost.json")
    try:
        spec = importlib.util.find_spec(program)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).with_suffix(".cost.json") if spec and spec.has_location and spec.origin else None


def short_name(program: str) -> str:
    """A module's name, or a file's without its folder: the same costs are found wherever the file lies."""
    return Path(program).name if program.endswith(".py") else program


def read_cost(path: Path) -> Cost:
    """The costs in a file. Raises ConfigError, with what to do."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Cost.from_json(data, str(path))
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{path} cannot be read as a file of costs: {error}"
    except ConfigError as error:
        problem = error.message
    raise ConfigError(f"{problem}. Remove it; `spinn2emu cost` counts anew", path=str(path))


def write_cost(path: Path, cost: Cost) -> None:
    """Writes a file of costs, the same bytes for the same costs."""
    path.write_text(json.dumps(cost.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
