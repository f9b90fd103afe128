"""`verify --arm`: recorded activations of programs, executed as Cortex-M4 code."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import write_program

from spinn2emu.arm.activations import read_recording
from spinn2emu.arm.build import Made, Order, make
from spinn2emu.arm.machine import Machine
from spinn2emu.errors import ConfigError
from spinn2emu.memory_map import DATA_BASE
from spinn2host.arm import recordings, verify
from spinn2host.cli.main import run

pytest.importorskip("unicorn")
pytestmark = pytest.mark.usefixtures("runtime")

FILTER = """
class Parameters(pydantic.BaseModel, extra="forbid"):
    n: int = 64
    gain: float = 0.75

def regions(p, available):
    return [Region("x", np.float32, (p.n,)), Region("gain", np.float32, (1,), "", p.gain)]

def tick(pe, ram, rx, t):
    for packet in rx:
        place = np.int64(packet.key & 0xFFFF)
        if place >= ram.x.shape[0]:
            return 3
        ram.x[place] += packet.payload[:].view(np.float32)[0]
    for i in range(ram.x.shape[0]):
        ram.x[i] *= ram.gain[0]
        if ram.x[i] > 1:
            send_float(pe, 0, i, ram.x[i])
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",), outputs=("out",))
"""
ADDER = """
def regions(p, available):
    return [Region("sum", np.int64, (1,)), Region("heard", np.int64, (1,))]

def drain(pe, ram, rx):
    for packet in rx:
        ram.sum[0] += packet.payload[0] // 7
    return 0

def tick(pe, ram, rx, t):
    ram.heard[0] += rx.shape[0]
    return 0

program = Program(tick=tick, drain=drain, regions=regions, inputs=("a", "b"),
                  fifo=(Fifo(16, 16, drain="interrupt", ports=("a",), level=2), Fifo(16, 16)))
"""


@pytest.fixture
def smooth(tmp_path: Path) -> str:
    """A user's program in float32."""
    return write_program(tmp_path, "smooth", FILTER)


def test_a_shipped_program_leaves_the_same_bytes() -> None:
    """The others: `test_arm_costs`, which counts them on the way."""
    (result,) = verify.verify_shipped(["replay"])
    assert (result.ok, result.problems, result.program) == (True, [], "spinn2fw.replay")
    assert result.activations >= recordings.ACTIVATIONS and 100 < result.code_bytes < 32768


def test_recordings_are_the_same_each_time(tmp_path: Path, smooth: str) -> None:
    files = [recordings.of_program(smooth, {}, 40, seed, tmp_path / str(i))[0] for i, seed in enumerate((1, 1, 2))]
    one, same, other = (file.read_bytes() for file in files)
    assert one == same != other
    recording = read_recording(files[0])
    counts = [len(activation.packets) for activation in recording.activations]
    assert len(counts) == 40 and len(set(counts)) > 5 and recording.inputs == ("in",)
    assert any(len(activation.sent) for activation in recording.activations)


def test_indices_that_a_program_refuses_are_left_out(smooth: str) -> None:
    (result,) = verify.verify_program(smooth, {"n": 4}, 50)
    assert (result.ok, result.activations, result.remarks) == (True, 50, [])
    (result,) = verify.verify_program(smooth, {"n": 0}, 50)
    assert result.ok and result.activations < 50
    assert "it returned error code 3 in tick" in result.remarks[0]


def test_a_drain_is_checked_too(tmp_path: Path) -> None:
    path = write_program(tmp_path, "adder", ADDER)
    (file,) = recordings.of_program(path, {}, 30, 0, tmp_path)
    entries = [activation.entry for activation in read_recording(file).activations]
    assert entries.count("tick") == 30 and entries.count("drain") > 30
    (result,) = verify.verify_program(path, {}, 30)
    assert result.ok and result.activations == len(entries)


def test_a_machine_that_computes_wrongly_is_found(
    smooth: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Machine.run

    def wrong(machine: Machine, entry: str, packets: Any) -> int:
        code = own(machine, entry, packets)
        if len(packets) > 3:
            machine.data[place] ^= 1
        return code

    (file,) = recordings.of_program(smooth, {}, 1, 0, Path(smooth).parent)
    place = read_recording(file).memory["x"].address - DATA_BASE + 5
    monkeypatch.setattr(Machine, "run", wrong)
    assert run(["verify", "--arm", smooth, "--ticks", "30", "--json"]) == 6
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"] and not answer["results"][0]["ok"]
    assert "1 bytes of region x differ, the first is 5" in answer["results"][0]["problems"][0]


def test_an_image_with_another_instruction_is_found(
    smooth: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(orders: Sequence[Order]) -> list[Made]:
        (made,) = make(orders)
        words = np.frombuffer(made.image.memory[: len(made.image.memory) // 2 * 2], "<u2").copy()
        (multiply,) = np.flatnonzero(words & 0xFFB0 == 0xEE20)  # VMUL.F32 becomes VADD.F32
        words[multiply] |= 0x10
        return [made._replace(image=replace(made.image, memory=words.tobytes()))]

    monkeypatch.setattr(verify, "make", damaged)
    assert run(["verify", "--arm", smooth, "--ticks", "30"]) == 6
    out = capsys.readouterr().out
    assert "DIFFERENT" in out and "of 30 activations differ; tick" in out and "region x" in out


def test_networks_are_checked_with_their_own_packets(tmp_path: Path, smooth: str) -> None:
    (tmp_path / "net.toml").write_text(f"""
[population.a]
program = "{smooth}"
pes = 2
set = {{ n = 64 }}

[[connect]]
from = "host.noise"
to = "a.in"
""")
    (result,) = verify.verify_program(str(tmp_path / "net.toml"), {}, 25)
    assert result.ok and result.activations == 50


def test_what_cannot_be_checked_is_said(
    tmp_path: Path, smooth: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, text in [
        (["--set", "n=3"], "are those of one program"),
        ([smooth, "--set", "m=3"], "Extra inputs are not permitted"),
        ([str(tmp_path / "nothing.py")], "does not exist"),
        ([str(tmp_path / "nothing.toml")], "No such file"),
        ([smooth, "--on", "chip"], "--on is not for --arm"),
        ([smooth, "--ticks", "0"], "0 is not in the range"),
    ]:
        assert run(["verify", "--arm", *arguments]) == 2, arguments
        assert text in capsys.readouterr().err
    assert run(["verify", "--seed", "3", "x.npz"]) == 2 and run(["verify"]) == 2
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'spinn2emu\[arm\]'"):
        verify.verify_shipped()
