"""PEs that execute their program as Cortex-M4 code: the same SRAM, packets and trace as the host's code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS, PROGRAMS, SPACE, sram, write_program
from host_helpers import open_network, rates, small, yinyang_samples

from spinn2emu.errors import ConfigError, PeFailed, ProgramError
from spinn2emu.progress import listen
from spinn2host import onchip
from spinn2host.chip import Chip, PeProgram
from spinn2host.cli.main import run
from spinn2host.network import read_network
from spinn2host.training import weights_sha256

pytest.importorskip("unicorn")

WILD = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    what: int = 0

def regions(p, available):
    return [Region("plan", np.int64, (2,), "", np.array([p.what, 1 << 20])), Region("values", np.int64, (4,))]

@kernel
def deep(n):
    return n if n < 2 else deep(n - 1) * deep(n - 2) + n

def tick(pe, ram, rx, t):
    if t == 3 and ram.plan[0] == 1:
        ram.values[ram.plan[1]] = 1
    if t == 3 and ram.plan[0] == 2:
        ram.values[0] = deep(ram.plan[1])
    ram.values[1] += 1
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters)
"""
"""Reaches beyond its memory, or its stack, in tick 3."""


PES = (77, 78, 90, 120)


def mixers(program: str, arm: bool) -> list[PeProgram]:
    """Four PEs that stir into numbers what they hear from each other; two of them may be Cortex-M4 code."""
    return [
        PeProgram(
            pe, program, {"seed": 11 * i + 1, "hear": 3 + i, "deaf": i % 3},
            {"a": (32 * ((i + 1) % 4), SPACE), "b": (32 * ((i + 2) % 4) + 16, SPACE)},
            {"x": (32 * i, SPACE), "y": (32 * i + 16, SPACE)}, arm=arm and i % 2 == 0,
        )
        for i, pe in enumerate(PES)
    ]  # fmt: skip


ENTRIES = [
    *((32 * i, SPACE, [PES[(i - 1) % 4]]) for i in range(4)),
    *((32 * i + 16, SPACE, [PES[(i - 2) % 4]]) for i in range(4)),
]


@pytest.mark.parametrize("options", BOOTS.values(), ids=BOOTS)
def test_a_pe_that_executes_cortex_m4_code_leaves_the_same_bytes(
    chips: Chips, programs: dict[str, str], tmp_path: Path, options: dict[str, Any]
) -> None:
    chip, found = chips(**options), []
    for arm in (False, True):
        chip.deploy(mixers(programs["mixer"], arm), ENTRIES)
        assert chip.info()["arm"] == ([77, 90] if arm else [])
        with chip.trace(tmp_path / "t.pcapng"):
            chip.run(60)
        counters = chip.counters()
        memory = b"".join(sram(chip, pe).tobytes() for pe in PES)
        counted = [counters.registers, *(counters.of(pe) for pe in PES)]
        found.append((memory, counted, (tmp_path / "t.pcapng").read_bytes()))
        assert counters.registers["packets"] > 100
    assert found[0] == found[1]


def test_training_with_a_layer_and_the_optimizer_as_cortex_m4_code_gives_the_same_weights(
    chip: Chip, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(layers=(5, 20, 3), batch=2)
    samples = yinyang_samples(recipe)
    found = []
    for programs in ((), ("layer", "adam")):
        deploy = onchip.deploy

        def arm(*given: Any, wanted: tuple[str, ...] = programs, deploy: Any = deploy) -> Any:
            deployment = deploy(*given)
            for name in wanted:
                next(pe for pe in deployment.pes if str(pe.program).endswith(name)).arm = True
            return deployment

        with monkeypatch.context() as patch:
            patch.setattr(onchip, "deploy", arm)
            network = open_network(chip, recipe, samples)
        assert len(chip.info()["arm"]) == len(programs)
        outcome = network.train(samples, rates(recipe).take(3))
        found.append((weights_sha256(network.weights()), outcome.loss.tobytes(), outcome.first.tobytes()))
    assert found[0] == found[1]
    assert found[0][0] != weights_sha256(recipe.initial_weights(1))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("what", [1, 2], ids=["memory", "stack"])
def test_code_that_leaves_its_memory_fails_with_the_reason(
    chips: Chips, tmp_path: Path, strict: bool, what: int
) -> None:
    chip = chips(strict=strict)
    chip.load(write_program(tmp_path, "wild", WILD), ["1.1.0"], {"what": what}, arm=True)
    with pytest.raises(PeFailed, match=r"its Cortex-M4 code fails at 0x.*an access outside the PE's memory") as caught:
        chip.run(10)
    assert (caught.value.tick, caught.value.fault, caught.value.name) == (3, "EXCEPTION", "1.1.0")
    row = next(row for row in chip.ps() if row["pe"] == "1.1.0")
    assert (row["state"], row["arm"], row["tick"]) == ("runtime_error", True, 3)
    assert chip.read("1.1.0", "values")[1] == 3


def test_what_the_pe_has_no_function_for_is_refused(chip: Chip, tmp_path: Path) -> None:
    text = """
def regions(p, available):
    return [Region("x", np.float64, (1,), "", 0.5)]

def tick(pe, ram, rx, t):
    ram.x[0] = np.sin(ram.x[0])
    return 0

program = Program(tick=tick, regions=regions)
"""
    path = write_program(tmp_path, "wave", text)
    chip.load(path, ["1.1.0"])
    with pytest.raises(ProgramError, match=r"wave\.py cannot be compiled for the PE: it calls sin"):
        chip.load(path, ["1.1.1"], arm=True)
    assert [row["pe"] for row in chip.ps() if row["program"]] == ["1.1.0"]


def test_without_unicorn_nobody_executes_cortex_m4_code(monkeypatch: pytest.MonkeyPatch, runtime: Path) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'spinn2emu\[arm\]'"):
        Chip.boot(arm=["1.1.0"])


def test_pes_that_are_not_there_execute_nothing() -> None:
    for arm in (["9.9.9"], [0], ["4.4.0"]):
        with pytest.raises(ConfigError):
            Chip.boot(arm=arm)
    with pytest.raises(ConfigError, match=r"arm: PE .* is not part of the chip, which has 1 PEs"):
        Chip.boot(arm=["1.1.1"], pes=["1.1.0"])


def test_commands_say_who_executes_cortex_m4_code(
    desk: str, programs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["load", programs["counter"], "1.1.0", "--arm"]) == 0
    assert run(["load", programs["counter"], "1.1.1"]) == 0
    capsys.readouterr()
    assert run(["ps"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "counter.py" in line]
    assert ["(arm)" in line for line in lines] == [True, False]
    assert run(["run", "--ticks", "5"]) == 0
    with Chip.attach(desk) as chip:
        assert chip.read("1.1.0", "ticks") == chip.read("1.1.1", "ticks") == 5


def test_a_network_says_which_population_executes_cortex_m4_code(
    chip: Chip, programs: dict[str, str], tmp_path: Path
) -> None:
    text = f'[population.a]\nprogram = "{programs["counter"]}"\npes = 2\narm = true\n'
    text += f'[population.b]\nprogram = "{programs["counter"]}"\npes = 1\n'
    (tmp_path / "net.toml").write_text(text)
    network = chip.load_network(tmp_path / "net.toml")
    assert chip.info()["arm"] == sorted(network.populations["a"])
    chip.run(3)
    assert [int(chip.read(pe, "ticks")[0]) for pes in network.populations.values() for pe in pes] == [3, 3, 3]
    (tmp_path / "net.toml").write_text("[population.a]\npes = 1\narm = true\n")
    with pytest.raises(ConfigError, match="arm do nothing without a program"):
        read_network(tmp_path / "net.toml")


def test_a_chip_may_execute_whatever_is_loaded_as_cortex_m4_code(chips: Chips, programs: dict[str, str]) -> None:
    chip = chips(arm=["1.1.0", "1.1.1"])
    chip.load(programs["counter"], ["1.1.0", "1.1.2"])
    assert chip.info()["arm"] == [77]
    chip.run(4)
    assert np.array_equal(chip.read("1.1.0", "ticks"), chip.read("1.1.2", "ticks"))


def test_signals_do_not_compile_again_and_edits_do(chip: Chip, tmp_path: Path) -> None:
    said: list[str] = []
    listen(said.append)
    try:
        text = PROGRAMS["counter"].replace("ticks[0] += 1", "ticks[0] += 3")
        chip.load(write_program(tmp_path, "edited", text), ["1.1.0"], arm=True)
        chip.run(2)
        chip.signal("pause", ["1.1.0"])
        chip.signal("resume", ["1.1.0"])
        chip.run(2)
        assert chip.read("1.1.0", "ticks") == 12 and chip.info()["arm"] == [77]
        assert len([line for line in said if line.endswith("for the PE")]) == 1
        chip.load(write_program(tmp_path, "edited", text.replace("+= 3", "+= 5")), ["1.1.0"], replace=True, arm=True)
        chip.run(2)
        assert chip.read("1.1.0", "ticks") == 10
        assert len([line for line in said if line.endswith("for the PE")]) == 2
    finally:
        listen(None)
