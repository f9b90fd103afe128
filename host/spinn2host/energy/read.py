"""What `spinn2emu energy` is asked about: the folder of a run, a file of `--json`, or a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from spinn2emu.errors import ConfigError
from spinn2emu.trace import pcapng
from spinn2emu.trace.file import ZSTD_MAGIC, read_trace
from spinn2host.energy.model import Usage
from spinn2host.energy.report import usage_from_json

SUMMARY = "summary.json"


FROM_TRACE = (
    "a trace tells packets and phases, but not what programs count besides: where a formula of cycles needs that, only "
    "bounds are known. `train --out` and `run --json` keep all"
)


class Run(NamedTuple):
    """A run's name, what its PEs did, and what to say of where that is from."""

    name: str
    usage: Usage
    notes: list[str]


def read_run(path: Path) -> Run:
    """The usage of PEs that a run has left. Raises ConfigError, with what to do, if there is none."""
    if path.is_file() and _is_trace(path):
        return _of_trace(path)
    file = path
    if path.is_dir():
        file = path / SUMMARY
        if not file.exists():
            raise ConfigError(_why_no_summary(path), path=str(path))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", path=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} is no JSON: {error}; `spinn2emu energy` takes a folder of `train --out`, a file of `--json`, or a "
            "trace", path=str(file),
        ) from error  # fmt: skip
    about = content if isinstance(content, dict) else {}
    chip = about.get("chip")
    usage = chip.get("usage") if isinstance(chip, dict) else None
    if usage is None:
        raise ConfigError(f"{file} {_why_no_usage(about)}", path=str(file))
    return Run(str(path), usage_from_json(usage, str(file)), [])


def _is_trace(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) in (pcapng.SECTION.to_bytes(4, "little"), ZSTD_MAGIC)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", path=str(path)) from error


def _of_trace(path: Path) -> Run:
    from spinn2host.energy.trace import usage_of

    trace = read_trace(path)
    notes = [FROM_TRACE]
    if trace.problem is not None:
        notes.append(f"{trace.problem.text}, at byte {trace.problem.position:,}: only what comes before it is counted")
    return Run(str(path), usage_of(trace), notes)


def _why_no_summary(path: Path) -> str:
    if (path / "config.json").exists():
        return f"{path}: training did not come to its end, so there is no {SUMMARY}: train again"
    return f"{path} is no folder of `train --out`: it has no {SUMMARY}"


def _why_no_usage(about: dict[str, Any]) -> str:
    if about.get("on") == "offchip":
        return "is of a run off the chip, where no PE was used: train with `--on chip`"
    if about.get("failure"):
        return "is of a run that failed: train again"
    if "test_accuracy" in about or "wall_s" in about:
        return "says nothing of PEs: it is of an older version, or without timing model (--no-timing): run it again"
    return "is not what `train --json` or `run --json` print"
