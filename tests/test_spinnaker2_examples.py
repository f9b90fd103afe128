"""The scripts of `docs/examples` that describe networks: what they print, and their figures."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from snn_networks import assert_as_modelled

from spinn2host import spinnaker2
from spinn2host.spinnaker2 import hardware

DOCS = Path(__file__).parent.parent / "docs"
Run = Callable[..., str]


@pytest.fixture(autouse=True, scope="module")
def _no_chip_is_left() -> Iterator[None]:
    yield
    hardware.halt()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example as a script with these arguments; returns what it prints on standard output."""
    pytest.importorskip("matplotlib").use("svg")
    monkeypatch.setitem(sys.modules, "spinnaker2", spinnaker2)

    def example(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(DOCS / "examples" / name), run_name="__main__")
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return example


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Gets each network that is run."""
    found, run_it = list[Any](), hardware.SpiNNaker2Chip.run

    def kept(board: Any, net: Any, *arguments: Any) -> None:
        found.append(net)
        run_it(board, net, *arguments)

    monkeypatch.setattr(hardware.SpiNNaker2Chip, "run", kept)
    return found


def labels(path: Path) -> set[str]:
    """The texts of a figure, which are texts in the file, too; it is small."""
    assert path.stat().st_size < 150_000
    return {"".join(node.itertext()) for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("atoms", [50, 100, 7])
def test_the_ring_chooses_the_stronger_stimulus_and_remembers_it(
    run: Run, networks: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atoms: int
) -> None:
    """However it is split."""
    split = spinnaker2.snn.Population.set_max_atoms_per_core
    monkeypatch.setattr(spinnaker2.snn.Population, "set_max_atoms_per_core", lambda self, _: split(self, atoms))
    arguments = [str(tmp_path / "figure.svg")] if atoms == 50 else []
    assert run("snn_winner_take_all.py", *arguments).splitlines() == [
        "two stimuli  ticks 200 to  300: bump at 107 degrees, 1.84 spikes per tick, mean vector 0.98",
        "no stimulus  ticks 400 to  600: bump at 106 degrees, 0.98 spikes per tick, mean vector 0.99",
        "one stimulus ticks 640 to  700: bump at 252 degrees, 1.87 spikes per tick, mean vector 0.98",
        "none again   ticks 800 to 1000: bump at 253 degrees, 0.98 spikes per tick, mean vector 0.99",
    ]
    if arguments:
        assert_as_modelled(networks[0], 1000)
        drawn = labels(tmp_path / "figure.svg")
        assert {"Stimuli", "Spikes of the ring", "stimulus at 252°", "direction (°)"} <= drawn
        assert labels(DOCS / "figures" / "snn_winner_take_all.svg") == drawn


def test_the_classifier_decides_as_the_network_that_it_was_made_from(
    run: Run, networks: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "figure.svg"
    ann, snn = run("snn_classifier.py", str(file), "20").splitlines()
    right = [float(re.match(r"...: ([\d.]+) % ", line)[1]) for line in (ann, snn)]  # type: ignore[index]
    # 4,000 further digits: 96 %; fewer than 16 of 20 would have a probability of 0.2 %
    assert min(right) >= 80 and abs(right[0] - right[1]) <= 10
    assert " after 50 ticks, 9." in snn
    assert len(networks) == 20
    assert_as_modelled(networks[-1], 50)  # with the last sample
    assert {"Accuracy over time", "Decisions of the SNN", "right of 20 samples (%)"} <= labels(file)
    assert "right of 100 samples (%)" in labels(DOCS / "figures" / "snn_classifier.svg")
