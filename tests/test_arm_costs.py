"""Formulas of cycles: counted, fitted, kept, found by the sources that they are of, and how far they may be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import write_program

from spinn2emu.arm import machine
from spinn2emu.arm.counting import Counted, fit
from spinn2emu.chip.costs import KEPT
from spinn2emu.cost import SENT, TICK, Cost, Interval, cost_file, read_cost
from spinn2emu.errors import ConfigError
from spinn2emu.jit.store import store_root
from spinn2host.arm import costs, recordings
from spinn2host.chip import Chip
from spinn2host.cli.main import run

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
pytestmark = pytest.mark.usefixtures("runtime")
Capture = pytest.CaptureFixture[str]

PROGRAMS = {
    "eventprop": ("input", "layer", "loss", "adam"), "snn": ("spikes", "neurons", "receiver"),
    "examples": ("ping", "echo", "lif", "poisson", "synfire"),
}  # fmt: skip

SCALE = """
def regions(p, available):
    return [Region("x", np.float32, (64,))]

def tick(pe, ram, rx, t):
    count(pe, 0, rx.shape[0])
    for packet in rx:
        for i in range(16):
            ram.x[i] += np.float32(packet.payload[0])
    if t % 3 == 0:
        send(pe, 0, 1)
    return 0

program = Program(tick=tick, regions=regions, inputs=("in",), outputs=("out",), counts=("packets",))
"""


@pytest.mark.parametrize("kind", list(PROGRAMS))
def test_shipped_formulas_agree_with_other_activations(kind: str, tmp_path: Path) -> None:
    """Recordings that no formula was fitted to: cycles of every phase within 2%, low, central and high; and the same
    bytes and packets as of the host's code, or `tally` refuses them."""
    known: dict[str, Cost | None] = {}
    files = recordings.shipped(kind, tmp_path, 70, lambda chip: known.update(chip.costs()))
    for program, counted in costs.tally(files).items():
        cost = known[program]
        assert cost is not None, f"the formulas of {program} are not of its present sources: scripts/count-cycles"
        assert len(counted.activations) >= 70 * (1 + (kind == "eventprop"))
        assert cost.code_bytes == counted.image.nbytes and cost.fingerprint == counted.image.fingerprint
        totals: dict[str, list[Interval]] = {}
        for activation in counted.activations:
            own = totals.setdefault(activation.phase, [Interval(0, 0, 0), Interval(0, 0, 0)])
            own[0] += cost.phases[activation.phase].cycles(activation.counts)
            own[1] += activation.cycles
        for phase, (formula, cycles) in totals.items():
            ratio = np.array(formula) / np.array(cycles)
            assert np.abs(ratio - 1).max() < 0.02, (program, phase, ratio)
    assert {program.rpartition(".")[2] for program in known} == set(PROGRAMS[kind])


def test_every_shipped_program_has_formulas() -> None:
    for kind, names in PROGRAMS.items():
        for name in names:
            file = cost_file(f"spinn2fw.{kind}.{name}")
            assert file is not None and read_cost(file).provenance["versions"], name
    assert read_cost(Path(str(cost_file("spinn2fw.replay")))).program == "spinn2fw.replay"


def test_a_linear_cost_is_found_exactly() -> None:
    rng = np.random.default_rng(1)
    truth: Mapping[str, Interval] = {
        TICK: Interval(80, 90, 130),
        "in.a": Interval(7, 8, 9.5),
        SENT: Interval(20, 30, 60),
    }
    activations = []
    for _ in range(40):
        counts = {TICK: 1, SENT: int(rng.integers(5)), "in.a": int(rng.integers(9)), "nothing": 0}
        total = Interval(0, 0, 0)
        for name, cycles in truth.items():
            total += cycles * counts[name]
        activations.append(Counted("run", counts, total))
    formula = fit(activations)["run"]
    assert formula.terms.keys() == truth.keys() and formula.activations == 20
    for name, cycles in truth.items():
        assert formula.terms[name] == pytest.approx(cycles)
    assert max(formula.rms, formula.worst, abs(formula.others)) < 1e-9


def test_a_term_that_would_take_time_back_is_left_out() -> None:
    counts = [{TICK: 1, "a": a, "b": b} for a in range(6) for b in range(6)]
    cycles = [Interval(100 + 10 * c["a"] - c["b"], 100 + 10 * c["a"] - c["b"], 200) for c in counts]
    formula = fit([Counted("run", c, i) for c, i in zip(counts, cycles, strict=True)])["run"]
    assert set(formula.terms) == {TICK, "a"} and formula.worst > 0
    assert all(low >= 0 for low, _, _ in formula.terms.values())
    cycles = [Interval(100 - c["b"], 100 + c["b"], 100 + 2 * c["b"]) for c in counts]
    assert set(fit([Counted("run", c, i) for c, i in zip(counts, cycles, strict=True)])["run"].terms) == {TICK}


def test_half_of_the_activations_says_what_a_formula_is_worth() -> None:
    formula = fit([Counted("run", {TICK: 1}, Interval(n, n, n)) for n in (100, 300)])["run"]
    fitted = round(formula.terms[TICK].central)
    assert formula.activations == 1 and fitted in (100, 300)
    assert formula.others == pytest.approx(fitted / (400 - fitted) - 1)


def shown(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    assert run(["cost", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["costs"]
    return found


def test_a_users_program_is_counted_once_and_again_when_it_changes(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_program(tmp_path, "scale", SCALE)
    (cost,) = shown(capsys, path, "--ticks", "120", "--out", str(tmp_path / "kept.json"))
    assert read_cost(tmp_path / "kept.json") == Cost.from_json(cost, "")
    terms = cost["phases"]["run"]["terms"]
    assert {TICK, SENT, "in.in"} <= set(terms) and abs(cost["phases"]["run"]["others"]) < 0.02
    low, central, high = terms["in.in"]
    assert 16 * 3 < low <= central <= high < 16 * 60  # sixteen loads, additions and stores

    def no_engine() -> None:
        raise ConfigError("executing Cortex-M4 code needs unicorn: pip install 'spinn2emu[arm]'")

    monkeypatch.setattr(machine, "engine", no_engine)
    monkeypatch.setattr(costs, "engine", no_engine)
    assert shown(capsys, path) == [cost]
    with Chip.boot(cores=[], pes=["1.1.0"]) as chip:  # which finds it, too
        chip.load(path, "1.1.0")
        chip.run(10)
        (usage,) = chip.usage()
        assert usage.cycles is not None and usage.cycles.central > 10 * 50
    write_program(tmp_path, "scale", SCALE.replace("range(16)", "range(17)"))
    with Chip.boot(cores=[], pes=["1.1.0"]) as chip:
        chip.load(path, "1.1.0")
        chip.run(10)
        assert [usage.cycles for usage in chip.usage()] == [None]
    assert run(["cost", path]) == 2
    assert "pip install 'spinn2emu[arm]'" in capsys.readouterr().err
    write_program(tmp_path, "scale", SCALE + "\n# a comment changes nothing\n")
    assert shown(capsys, path) == [cost]
    root = store_root()
    assert root is not None
    for kept in ("", "{", json.dumps(cost | {"format": 0})):
        (root / (KEPT + cost["fingerprint"])).write_text(kept)
        capsys.readouterr()
        assert run(["cost", path]) == 2  # counted again, which it cannot be here
        assert "pip install 'spinn2emu[arm]'" in capsys.readouterr().err
    (root / (KEPT + cost["fingerprint"])).unlink()
    assert run(["cost", path]) == 2
    file = (tmp_path / "kept.json").rename(tmp_path / "scale.cost.json")
    capsys.readouterr()
    assert run(["cost", path]) == 0  # a file beside the program is found
    printed = capsys.readouterr().out
    assert "in.in" in printed and f"{cost['code_bytes']:,} bytes of code" in printed
    content = file.read_text()
    for wrong, words in (
        ("{}", "is no file of costs"),
        ("{", "cannot be read as a file of costs"),
        ("[" * 100_000, "cannot be read as a file of costs"),
        (content.replace('"format": 1', '"format": 99'), "has format 99 of cost files, this version reads 1"),
        (re.sub(r'("tick": \[\s*)[0-9.]+', r"\1NaN", content), "cycles of tick are [nan, "),
        (re.sub(r'("tick": \[\s*)[0-9.]+', r"\g<1>-5", content), "cycles of tick are [-5, "),
        (re.sub(r'("tick": \[\s*)[0-9.]+', r"\g<1>1e999", content), "not low, central and high from 0 on"),
    ):
        file.write_text(wrong)
        assert run(["cost", path]) == 2, wrong[:40]
        error = capsys.readouterr().err
        assert words in error and "Remove it; `spinn2emu cost` counts anew" in error, wrong[:40]


def test_what_cannot_be_counted(tmp_path: Path, capsys: Capture) -> None:
    for arguments, words in (
        (["missing.py"], "does not exist"),
        ([write_program(tmp_path, "scale", SCALE), "--set", "n=3"], "n"),
        (["spinn2fw.eventprop.layer", "--count"], "n_in"),
        (["net.toml", "--set", "n=3"], "a network sets them itself"),
    ):
        assert run(["cost", *arguments]) in (1, 2)
        assert words in capsys.readouterr().err
    assert run(["cost", "spinn2fw.eventprop.layer"]) == 0  # without parameters: as it comes
    captured = capsys.readouterr()
    assert "synapses" in captured.out and "not compared with the program's sources" in captured.err


def test_what_did_not_occur_is_named(tmp_path: Path, capsys: Capture) -> None:
    text = SCALE.replace("range(16)", "range(19)").replace('("packets",)', '("packets", "rare")')
    (cost,) = shown(capsys, write_program(tmp_path, "scale", text), "--ticks", "40")
    assert cost["provenance"]["did not occur"] == "rare"
