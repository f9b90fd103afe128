"""What is known of the cycles of a program's code: what it declares, checked, or what was counted before."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spinn2emu import spec
from spinn2emu.arm.fingerprint import fingerprint
from spinn2emu.cost import DRAIN, IN, SENT, TICK, Cost, Interval, PhaseCost, cost_file, read_cost, short_name
from spinn2emu.errors import ConfigError, ProgramError
from spinn2emu.jit import store
from spinn2emu.memory_map import Symbol
from spinn2emu.program import Program

DECLARED = "declared"
"""As the fingerprint of a cost that the program declares itself."""


def check_counts(program: Program) -> None:
    """Raises ProgramError for `counts` that are no names, too many, or hide another term of a formula."""
    names = program.counts
    fits = isinstance(names, tuple | list) and all(isinstance(name, str) and name.isidentifier() for name in names)
    if not fits or len(set(names)) < len(names) or len(names) > spec.MAX_COUNTS.value or {TICK, SENT} & set(names):
        raise ProgramError(
            f"{program.name}: `counts` must be at most {spec.MAX_COUNTS.value} different identifiers, none of them "
            f"{TICK} or {SENT}, not {names!r}", program=program.name,
        )  # fmt: skip


def declared_cost(program: Program, parameters: Any, phases: Sequence[str]) -> Cost | None:
    """The formulas that a program declares for these parameters, with its ports; `phases` by name.

    Raises ProgramError for phases and terms that there are not, cycles that are none, and phases that are left out.
    """
    costs = program.costs(parameters) if callable(program.costs) else program.costs
    if costs is None:
        return None
    if not isinstance(costs, Mapping) or not all(isinstance(terms, Mapping) for terms in costs.values()):
        raise ProgramError(
            f"{program.name}: `costs` must map phases to terms to cycles, not be {costs!r:.80}", program=program.name
        )
    _check_names(program, "phase", list(costs), [*phases, DRAIN])
    if missing := [phase for phase in phases if phase not in costs]:
        raise ProgramError(f"{program.name}: `costs` says nothing of phase {missing[0]!r}", program=program.name)
    heard = [IN + port for port in program.inputs]
    formulas = {}
    for phase, terms in costs.items():
        known = [TICK, *heard, *([] if phase == DRAIN else [SENT]), *program.counts]
        _check_names(program, "term", list(terms), known, phase)
        formulas[phase] = PhaseCost({term: _interval(program, phase, term, value) for term, value in terms.items()})
    return Cost(program.name, DECLARED, 0, formulas, {"source": "declared by the program"})


def _check_names(program: Program, what: str, names: Sequence[Any], known: Collection[str], phase: str = "") -> None:
    for name in names:
        if name not in known:
            where = f", phase {phase!r}" if phase else ""
            raise ProgramError(
                f"{program.name}: `costs`{where}: there is no {what} {name!r}: {', '.join(known)}",
                program=program.name, **{what: name},
            )  # fmt: skip


def _interval(program: Program, phase: str, term: str, value: Any) -> Interval:
    several = value if isinstance(value, tuple | list) and len(value) == 3 else (value,) * 3
    numbers = [float(n) for n in several if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(numbers) < 3 or not all(0 <= n < math.inf for n in numbers) or sorted(numbers) != numbers:
        raise ProgramError(
            f"{program.name}: `costs`, phase {phase!r}, term {term!r}: cycles are a number from 0 on, or three, (low, "
            f"central, high), not {value!r}", program=program.name, phase=phase, term=term,
        )  # fmt: skip
    return Interval(*numbers)


def with_costs(files: list[str], program: str) -> list[str]:
    """The files that a program was made of, with that of its formulas; none if it has none."""
    file = cost_file(program)
    return [*files, str(file)] if files and file is not None and file.is_file() else files


def find_cost(program: Program, declared: Cost | None, symbols: Sequence[Symbol]) -> Cost | None:
    """What is known of a program's cycles: what it declares itself before what was counted, if that was the same code.

    `symbols`: the program's own regions. Raises ConfigError for a file that is none of costs.
    """
    if declared is not None:
        return declared
    own = fingerprint(program, symbols)
    file = cost_file(program.name)
    counted = read_cost(file) if file is not None and file.is_file() else None
    if counted is None or counted.fingerprint != own:
        counted = _kept(own)
    return replace(counted, program=short_name(program.name)) if counted else None


def _kept(own: str) -> Cost | None:
    """Counted formulas in the store, by fingerprint. What cannot be read, or is of another version, is as if it were
    not there: nobody owes anything to a cache."""
    data = store.read(KEPT + own)
    try:
        return None if data is None else Cost.from_json(json.loads(data), "the cache")
    except (ValueError, ConfigError):
        return None


KEPT = "cost-"
"""Before the fingerprint, what counted formulas are called in the store."""


def keep_cost(cost: Cost) -> None:
    """Puts counted formulas into the store, where `find_cost` finds them."""
    store.write(KEPT + cost.fingerprint, json.dumps(cost.to_json()).encode())
