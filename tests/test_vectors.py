"""The reference vectors in both places; and that a verification notices what it is there for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from host_helpers import VECTORS

from spinn2emu.errors import ConfigError
from spinn2host.training import Place
from spinn2host.verify import TOLERANCE, Report, Vectors, kind, load, verify

FILES = sorted(VECTORS.glob("*.npz"))
RUNS = [path for path in FILES if path.stem != "yinyang_samples"]


def family(path: Path) -> str:
    return path.stem.rpartition("_")[0]


@cache
def reports(name: str, place: Place) -> dict[str, Report]:
    """The reports of a family of files: they share a chip."""
    files = [path for path in RUNS if family(path) == name]
    return {Path(report.file).stem: report for report in verify(files, [place])}


def test_the_vectors_are_there() -> None:
    assert len(RUNS) == 27
    kinds = [kind(load(path)) for path in FILES]
    assert {name: kinds.count(name) for name in kinds} == {"vectors": 24, "trajectory": 3, "samples": 1}


@pytest.mark.parametrize("place", ["offchip", "chip"])
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_vectors(path: Path, place: Place) -> None:
    report = reports(family(path), place)[path.stem]
    assert report.on == place
    assert report.ok, report.problems
    assert 0 < report.worst < TOLERANCE


def test_generator_samples() -> None:
    (report,) = verify([VECTORS / "yinyang_samples.npz"], ["offchip", "chip"])
    assert report.ok, report.problems


# --- tampered files --------------------------------------------------------------------------------------------------


def write(folder: Path, vectors: Vectors) -> Path:
    path = folder / "tampered.npz"
    np.savez(path, **vectors)  # type: ignore[arg-type]
    return path


def problems(folder: Path, vectors: Vectors, place: Place = "offchip") -> list[str]:
    """What differs, by the name in front of the colon."""
    (report,) = verify([write(folder, vectors)], [place])
    assert report.ok == (not report.problems)
    return [problem.split(":")[0] for problem in report.problems]


@pytest.mark.parametrize("place", ["offchip", "chip"])
def test_tampering_is_noticed_in_both_places(tmp_path: Path, place: Place) -> None:
    vectors = load(VECTORS / "yy_online_0.npz")
    vectors["spikes1"][9, 0, 3] ^= 1
    vectors["grad2"].flat[np.abs(vectors["grad2"]).argmax()] *= 1 + 3 * TOLERANCE
    assert problems(tmp_path, vectors, place) == ["spikes1", "grad2"]


@pytest.mark.parametrize("name", ["grad1", "grad2", "grad1_per_sample", "grad2_per_sample", "W1_after", "W2_after"])
def test_one_wrong_entry_is_noticed(tmp_path: Path, name: str) -> None:
    vectors = load(VECTORS / "tiny_0.npz")
    scale = np.abs(vectors[name]).max()
    assert scale > 0
    vectors[name].flat[-1] += 0.5 * TOLERANCE * scale
    assert problems(tmp_path, vectors) == []
    vectors[name].flat[-1] += TOLERANCE * scale
    assert problems(tmp_path, vectors) == [name]


@pytest.mark.parametrize("name", ["spikes1", "spikes2"])
@pytest.mark.parametrize("place", [0, 60, -1])
def test_one_flipped_spike_is_noticed(tmp_path: Path, name: str, place: int) -> None:
    vectors = load(VECTORS / "tiny_0.npz")
    vectors[name].flat[place] ^= 1
    assert problems(tmp_path, vectors) == [name]


@pytest.mark.parametrize("name", ["first", "loss_ce", "loss_total"])
def test_wrong_results_are_noticed(tmp_path: Path, name: str) -> None:
    vectors = load(VECTORS / "tiny_0.npz")
    vectors[name] = vectors[name] + (1 if name == "first" else 2e-4)
    assert problems(tmp_path, vectors) == [name]


@pytest.mark.parametrize("name", ["W1", "W2"])
def test_another_initial_weight_is_noticed(tmp_path: Path, name: str) -> None:
    vectors = load(VECTORS / "late_0.npz")
    vectors[name].flat[0] += 0.1
    assert f"{name}_after" in problems(tmp_path, vectors)


@pytest.mark.parametrize("step", [0, 4, -1])
def test_a_trajectory_is_compared_after_each_step(tmp_path: Path, step: int) -> None:
    vectors = load(VECTORS / "trajectory_2.npz")
    vectors["W2_after"][step].flat[0] += 2 * TOLERANCE * np.abs(vectors["W2_after"][step]).max()
    vectors["first"][step, 0, 0] += 1
    number = step % len(vectors["first"])
    assert problems(tmp_path, vectors) == [f"first[{number}]", f"W2_after[{number}]"]


def test_what_must_be_zero_is_compared_exactly(tmp_path: Path) -> None:
    vectors = load(VECTORS / "silent_0.npz")
    zero = next(name for name in ("grad1", "grad2") if not vectors[name].any())
    vectors[zero].flat[0] = 1e-30
    assert problems(tmp_path, vectors) == [zero]
    report = Report("", "offchip")
    report.close(zero, np.full(3, 1e-30, np.float32), np.zeros(3))
    assert not report.ok and report.worst == np.inf
    report = Report("", "offchip")
    report.close(zero, np.zeros(3, np.float32), np.zeros(3))
    assert report.ok and report.worst == 0


def test_nan_is_never_equal() -> None:
    report = Report("", "offchip")
    report.close("W1_after", np.array([1, np.nan]), np.array([1.0, 2.0]))
    assert not report.ok


def test_the_first_bad_file_stops_everything_before_it_runs(tmp_path: Path) -> None:
    vectors = load(VECTORS / "tiny_0.npz")
    del vectors["grad1"]
    seen: list[Report] = []
    with pytest.raises(ConfigError, match=r"tampered\.npz: .*grad1"):
        verify([VECTORS / "tiny_0.npz", write(tmp_path, vectors)], ["offchip"], seen.append)
    assert not seen
