"""docs/timing-model.md has the figures of the model, as they are now: a difference is to be written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from spinn2emu import spec
from spinn2emu.arm import cycles
from spinn2emu.cost import Interval, cost_file, read_cost
from spinn2emu.levels import LEVELS
from spinn2host import Chip, load_yinyang, make_recipe
from spinn2host.energy import configurations, model, report
from spinn2host.energy.collect import Tally
from spinn2host.onchip import OnChip
from spinn2host.recipe import Rates
from spinn2host.schedule import planned
from spinn2host.training import PHASES

PAGE = (Path(__file__).parent.parent / "docs/timing-model.md").read_text(encoding="utf-8")
INSTRUCTIONS = {
    "data processing": cycles.SINGLE, "UDIV": cycles.DIVIDE, "LDR,": cycles.LOADED, "STR,": cycles.STORED_IMMEDIATE,
    "STR with a register": cycles.STORED, "a branch that is not taken": cycles.SINGLE, "… P of B,": cycles.REFILL,
    "… P of CBZ": cycles.REFILL_EXECUTE, "… P of LDR PC": cycles.REFILL_LOADED, "VADD": cycles.SINGLE,
    "VMLA": cycles.MULTIPLIED_ADDED, "VMOV": cycles.MOVED, "MRS": cycles.STATE, "DMB": cycles.BARRIER,
    "interrupt entry": cycles.INTERRUPT_ENTRY, "interrupt return": cycles.INTERRUPT_RETURN,
    "each access of a peripheral": cycles.PERIPHERAL_WAIT, "exponential": cycles.EXP_LOG_WAIT,
    "… of the first five": Interval(*3 * [cycles.FP_RESULT.value]),
    "an address that": Interval(0, cycles.ADDRESS.value, cycles.ADDRESS.value),
}  # fmt: skip


def row(label: str) -> list[str]:
    """The cells of the one row that begins so."""
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


@pytest.mark.parametrize("label", INSTRUCTIONS)
def test_the_table_of_instructions_has_what_the_model_has(label: str) -> None:
    assert [float(cell) for cell in row(label)[1:4]] == [*INSTRUCTIONS[label]]


@pytest.mark.parametrize("label", ["-O3", "-O2"])
def test_coremark_per_mhz_is_a_million_by_the_cycles(label: str) -> None:
    figures = [float(re.sub("[,*]", "", cell)) for cell in row(label)[1:]]
    assert [round(1e6 / taken, 2) for taken in figures[:3]] == figures[3:]


def test_cycles_per_synapse_are_those_of_the_formulas() -> None:
    rows = re.findall(r"^\| `(spinn2fw[\w.]+)` \| (\w+) \| `([\w.]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    for program, phase, term, cells in rows:
        file = cost_file(program)
        assert file is not None
        assert cells == " | ".join(f"{n:.1f}" for n in read_cost(file).phases[phase].terms[term]), (program, term)
    assert {(program.rpartition(".")[2], term) for program, _, term, _ in rows} >= {
        ("lif", "synapses"), ("layer", "synapses"), ("layer", "rows"), ("neurons", "synapses"),
    }  # fmt: skip


class Step(NamedTuple):
    """What the page says of the poster's network. `longest`: cycles of the longest tick by role, handlers included;
    `update`: of the optimizer's longest tick, without handlers."""

    usage: model.Usage
    longest: dict[str, float]
    update: float


@pytest.fixture(scope="module")
def step() -> Step:
    """30 batches, as `spinn2emu train yinyang --T 30 --samples 660 --epochs 1` trains them."""
    recipe = make_recipe("full", T=30, samples=660, epochs=1)
    samples = load_yinyang(recipe).train
    rates = Rates(recipe.lr, recipe.gamma ** (1 / 30), recipe.beta1, recipe.beta2).take(30)
    with Chip.boot() as chip:
        network = OnChip(chip, recipe, recipe.initial_weights(0), samples)
        roles, tally = network.roles, Tally(network.roles, PHASES)
        with tally.during(network.usage):
            network.train(samples.take(np.random.default_rng([0, 1]).permutation(len(samples))), rates)
        longest: dict[str, float] = {}
        for row in (row for row in chip.ps() if row["program"]):
            busy_ns = spec.TICK_NS.value - row["slack_ns"]
            role = roles[row["id"]]
            longest[role] = max(longest.get(role, 0.0), busy_ns * spec.PE_CLOCK_HZ.value / 1e9)
        update = max(each.worst for each in network.usage() if each.phase == "update" and each.worst)
        usage = tally.usage(network.step_ticks, 30, recipe.batch)
        assert usage is not None and chip.overruns() == []
    return Step(usage, longest, update)


def test_a_training_step_takes_what_was_measured(step: Step) -> None:
    """T = 30 is the poster's; U follows from formulas, and every PE meets its ticks at 300 MHz."""
    assert step.usage.ticks == spec.POSTER_MS.value == 61
    assert max(step.longest.values()) < 300_000


def test_at_150_mhz_one_tick_is_an_overrun_and_u_is_1_all_the_same(step: Step) -> None:
    assert 150_000 < max(step.longest.values()) < 2 * 150_000 - step.update
    assert planned(make_recipe("full", T=30), "0.5V")[0] == 1
    assert planned(make_recipe("full", layers=(5, 200, 3)), "0.5V")[0] == 3  # as docs/architecture.md says


def test_the_page_has_the_longest_ticks(step: Step) -> None:
    rows = re.findall(r"^\| ([\w ]+) \| (?:tick|the) [^|]*\| ([\d,]+) \| ([^|]*ms \| [^|]*ms) \|$", PAGE, re.MULTILINE)
    found = [(role, int(taken.replace(",", "")), ms) for role, taken, ms in rows]
    assert {role for role, *_ in found} == {*step.longest}
    (_, update, _) = found.pop(1)
    assert update == pytest.approx(step.update, abs=1)
    for role, taken, ms in found:
        assert taken == pytest.approx(step.longest[role], abs=1), role
        assert ms == " | ".join(f"{1000 * taken / clock:.3f} ms" for clock in sorted(LEVELS.values(), reverse=True))


@pytest.mark.parametrize("name", [*configurations.CONFIGURATIONS])
def test_the_page_has_power_and_energy_of_every_configuration(step: Step, name: str) -> None:
    cells = row(f"`{name}` |")
    if name == configurations.AS_RUN:
        return
    result = model.estimate(step.usage, configurations.configuration(name))
    ahead = report.to_poster(report.figures(result, step.usage))
    power, energy = (f"{ahead[figure]['central']:+.0f}%" for figure in ("power_w", "mj_per_batch"))
    per_sample = result.mj * (1 / step.usage.samples)
    assert cells[4:] == [
        in_words(result.power_w * 1000, 0), power, in_words(result.mj, 1), energy, in_words(per_sample, 2),
    ]  # fmt: skip


def in_words(of: Interval, digits: int) -> str:
    low, central, high = (f"{value:.{digits}f}" for value in of)
    return f"{central} ({low} – {high})"
