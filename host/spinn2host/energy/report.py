"""Power and energy as JSON has them: the `chip` of `train --json` and `run --json`, from which they can be worked out
again for other configurations, because the usage is in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from spinn2emu import geometry, spec
from spinn2emu.cost import Interval
from spinn2emu.errors import ConfigError
from spinn2host.energy.configurations import AS_RUN, CONFIGURATIONS, Configuration, of_levels
from spinn2host.energy.model import UNKNOWN, Estimate, Part, Row, Usage, estimate
from spinn2host.energy.power import ABSENT, LEVELS

MOST_TICKS = 1 << 20
"""Of a batch that is read from a file: the figure has as many points."""
DIGITS = 6
"""Significant ones, of figures in JSON."""


def figure(value: float) -> float | None:
    """A number for JSON; None if it is not known."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def interval(value: Interval) -> dict[str, float | None]:
    """An interval for JSON; `central` is None where the cost of a program is not known."""
    return {name: figure(each) for name, each in value._asdict().items()}


def exactly(value: float) -> dict[str, float | None]:
    """What has no uncertainty, as an interval for JSON."""
    return interval(Interval(value, value, value))


def usual(usage: Usage) -> Configuration:
    """The configuration that stands for a run: PEs at the level at which they ran, unused PEs off, asleep between
    ticks."""
    return of_levels(row.level for row in usage.rows)


def worth_reporting(usage: Usage) -> list[Configuration]:
    """All configurations; that of mixed levels only if the run had them."""
    mixed = usual(usage).name == AS_RUN
    return [each for each in CONFIGURATIONS.values() if mixed or each.name != AS_RUN]


def chip(usage: Usage, evaluation: Usage | None = None) -> dict[str, Any]:
    """The `chip` of a report: `configuration` and its figures (see `figures`), `configurations`, `unknown_costs`
    (programs, whose cycles only have bounds), `absent` (what is not in the figures), `usage`. Of training also
    `evaluation`: the same figures of a batch that is evaluated, in `configuration`.
    """
    estimates = {each.name: figures(estimate(usage, each), usage) for each in worth_reporting(usage)}
    of = usual(usage)
    more = {} if evaluation is None else {"evaluation": figures(estimate(evaluation, of), evaluation)}
    return {
        "configuration": of.name, **estimates[of.name], **more, "configurations": estimates,
        "unknown_costs": usage.unknown, "absent": list(ABSENT), "usage": usage_to_json(usage),
    }  # fmt: skip


def in_a_line(of: Mapping[str, Any]) -> str:
    """A `chip` in words: `0.8V-off: 61 ms, 363 mW, 22.2 mJ per batch, 1.01 mJ per sample`."""
    per = " per batch" if "mj_per_batch" in of else ""
    ms, mj = ("ms_per_batch", "mj_per_batch") if per else ("ms", "mj")
    parts = [f"{of[ms]['central']:g} ms", f"{_digits(of['power_w'], 1000)} mW", f"{_digits(of[mj])} mJ{per}"]
    if per:
        parts.append(f"{_digits(of['mj_per_sample'])} mJ per sample")
    return f"{of['configuration']}: {', '.join(parts)}"


def _digits(of: Mapping[str, float | None], factor: float = 1) -> str:
    """Three digits of the central figure, or both bounds if it is not known."""
    low, central, high = (value if value is None else _three(value * factor) for value in of.values())
    return f"{low} – {high}" if central is None else central


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def figures(result: Estimate, usage: Usage) -> dict[str, Any]:
    """Of a batch `ms_per_batch`, `power_w`, `mj_per_batch`, `mj_per_sample`; of a run without batches `ms`, `power_w`,
    `mj`. Each is {low, central, high}, as are `static_share` (of the energy, drawn if no PE is ever busy) and the
    energy `by_role` and `by_phase`, with `busy`, the share of the PEs' time. `longest_tick_ms`: by role, central.
    """
    per = "_per_batch" if usage.batches else ""
    sample = {"mj_per_sample": interval(result.mj * (1 / usage.samples))} if usage.batches else {}
    return {
        f"ms{per}": exactly(result.ms), "power_w": interval(result.power_w), f"mj{per}": interval(result.mj), **sample,
        "static_share": interval(result.static_share),
        "longest_tick_ms": {role: figure(ms) for role, ms in result.longest_ms.items()},
        "by_role": {name: _part(part, result.ms, per) for name, part in result.by_role.items()},
        "by_phase": {name: _part(part, result.ms, per) for name, part in result.by_phase.items()},
    }  # fmt: skip


def _part(part: Part, ms: float, per: str) -> dict[str, Any]:
    count = len(part.pes)
    busy = {"busy": interval(part.busy_ms * (1 / (count * ms)))} if count else {}
    return {"pes": count, f"mj{per}": interval(part.mj), "power_w": interval(part.mj * (1 / ms)), **busy}


def poster() -> dict[str, float]:
    """The published figures, to compare with."""
    return {
        "ms_per_batch": float(spec.POSTER_MS.value), "power_w": spec.POSTER_POWER.value / 1e6,
        "mj_per_batch": spec.POSTER_BATCH_ENERGY.value / 1e3, "mj_per_sample": spec.POSTER_SAMPLE_ENERGY.value / 1e3,
    }  # fmt: skip


def to_poster(of: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """By how many percent the figures of a batch lie above (below: negative) the poster's."""
    return {
        name: {
            bound: None if value is None else figure(100 * (value / published - 1))
            for bound, value in of[name].items()
        }
        for name, published in poster().items()
    }  # fmt: skip


# --- usage in files -----------------------------------------------------------------------------------------------

COLUMNS = ("pe", "role", "program", "phase", "level", "ticks", "low", "central", "high", "longest")
"""Of the rows of `usage`: names, ticks, cycles (None: no cost is known), central cycles of the longest tick (None: not
known)."""


def usage_to_json(usage: Usage) -> dict[str, Any]:
    """As `usage_from_json` takes it."""
    rows = [
        [geometry.name(row.pe), *row[1:6], *(_finite(value) for value in row.cycles), _finite(row.longest)]
        for row in usage.rows
    ]  # fmt: skip
    return {
        "ticks": usage.ticks, "batches": usage.batches, "samples": usage.samples, "ticks_at": dict(usage.ticks_at),
        "columns": list(COLUMNS), "rows": rows,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def usage_from_json(data: Any, where: str) -> Usage:
    """What `usage_to_json` made. Raises ConfigError, naming `where`, for anything else."""
    try:
        if data["columns"] != list(COLUMNS):
            raise ValueError(f"columns are {data['columns']}, not {list(COLUMNS)}")
        rows = [_row(row) for row in data["rows"]]
        ticks_at = {str(level): _count(ticks) for level, ticks in data["ticks_at"].items()}
        ticks, batches, samples = (_count(data[name]) for name in ("ticks", "batches", "samples"))
        if batches and max(ticks, *ticks_at.values(), 0) > MOST_TICKS:
            raise ValueError(f"a batch of {ticks} ticks")
        if ticks < 1 or any(value < 1 for value in ticks_at.values()) or (batches and samples < 1):
            raise ValueError(f"{ticks} ticks of {batches} batches of {samples} samples")
        return Usage(rows, ticks, batches, samples, ticks_at)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ConfigError) as error:
        raise ConfigError(
            f"{where}: its usage of PEs cannot be read ({type(error).__name__}: {error}): the file was changed or is "
            "of another version; run `train` or `run` again", path=where,
        ) from error  # fmt: skip


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is no count")
    return value


def _row(row: Sequence[Any]) -> Row:
    name, role, program, phase, level, ticks, *numbers = row
    if not all(isinstance(text, str) for text in (role, program, phase)) or level not in LEVELS:
        raise ValueError(f"{name}: role {role!r}, program {program!r}, phase {phase!r}, level {level!r}")
    low, central, high, longest = (None if value is None else float(value) for value in numbers)
    cycles = UNKNOWN._replace(low=low or 0.0)
    if central is not None and high is not None:
        cycles = Interval(low or 0.0, central, high)
    known = [value for value in (ticks, low, central, high, longest) if value is not None]
    if not all(math.isfinite(value) and value >= 0 for value in known) or not cycles.low <= cycles.high:
        raise ValueError(f"{name}: {row[5:]} are no ticks and cycles")
    longest = math.nan if longest is None else longest
    return Row(geometry.pe_id(name), role, program, phase, level, float(ticks), cycles, longest)
