"""The run directory: configuration, metrics, weights; usable at any time, also after an interruption.

config.json     preset, place, seed, version, every recipe number
metrics.jsonl   a line per epoch
initial.npz     W1, W2, … before training, float32 (n_out, n_in)
final.npz       the same after the last finished epoch
summary.json    what `--json` prints; `failure` says why training failed (null: it did not); missing if interrupted
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2host.files import writing
from spinn2host.training import Epoch, finite

Weights = Sequence[NDArray[np.float32]]


class RunDirectory:
    """Writes a run. Raises ConfigError if `path` cannot be a new or empty directory."""

    def __init__(self, path: Path, config: dict[str, Any], initial: Weights) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
            taken = any(path.iterdir())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; choose another --out", path=str(path)) from error
        if taken:
            raise ConfigError(
                f"{path} is not empty: a run never overwrites another; choose another --out", path=str(path)
            )
        self.path = path
        try:
            self._write_json("config.json", config)
            self._write_weights("initial.npz", initial)
        except Spinn2Error as error:
            self.discard()
            raise ConfigError(f"{error.message}; choose another --out", **error.fields) from error

    def add_epoch(self, epoch: Epoch, weights: Weights) -> None:
        """Appends the metrics of an epoch and replaces the final weights. Raises Spinn2Error, as `finish` does."""
        line = json.dumps({**epoch._asdict(), "train_loss": finite(epoch.train_loss)}) + "\n"
        path = self.path / "metrics.jsonl"
        with self._writing(path.name), open(path, "a", encoding="utf-8") as file:
            file.write(line)
        self._write_weights("final.npz", weights)

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary."""
        self._write_json("summary.json", summary)

    def discard(self) -> None:
        """Removes what was written so far, if the run never began."""
        if (self.path / "metrics.jsonl").exists():
            return
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        with self._writing(name):
            (self.path / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _write_weights(self, name: str, weights: Weights) -> None:
        temporary = self.path / f".{name}"
        arrays: dict[str, Any] = {f"W{layer}": w for layer, w in enumerate(weights, 1)}
        with self._writing(name):
            try:
                with open(temporary, "wb") as file:
                    np.savez(file, **arrays)
                os.replace(temporary, self.path / name)
            finally:
                temporary.unlink(missing_ok=True)

    def _writing(self, name: str) -> AbstractContextManager[None]:
        return writing(self.path / name, Spinn2Error)


def free_name(base: Path) -> Path:
    """`base`, or `base-2`, `base-3`, … : the first that does not exist."""
    number, path = 1, base
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path
