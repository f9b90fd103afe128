"""Recording and replaying as a user does it: `--trace`, `trace record`, `trace stop`, `trace replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import PROGRAMS, write_program
from host_helpers import open_network, rates, small, yinyang_samples

from spinn2emu.errors import ConfigError
from spinn2emu.geometry import name as name_of
from spinn2emu.trace.file import Trace, read_trace
from spinn2emu.trace.schema import Event
from spinn2host.chip import Chip, PeProgram
from spinn2host.cli.main import run
from spinn2host.onchip import OnChip
from spinn2host.traces.expression import select
from spinn2host.traces.replay import replay

RING = str(Path(__file__).parent.parent / "docs" / "examples" / "synfire.toml")
FIRST, VOLLEY = "1.1.0", 20
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ring(desk: str) -> None:
    """A resident chip with a ring of four groups, of which the first has been kicked."""
    assert run(["load", RING]) == 0
    assert run(["write", FIRST, "kick", str(VOLLEY)]) == 0


def answer(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code, capsys.readouterr().err
    content: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return content


def refusal(capsys: Capture, *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return " ".join(captured.err.split())


def sent_per_tick(trace: Trace) -> list[int]:
    """Packets sent, by tick."""
    return np.bincount(trace.events["tick"][trace.events["event"] == Event.SENT]).tolist()


def test_train_records_what_it_counts(capsys: Capture) -> None:
    arguments = ("train", "yinyang", "--preset", "online", "--samples", "4", "--trace", "t.pcapng.zst")
    summary = answer(capsys, *arguments)
    assert summary["trace"] == "t.pcapng.zst"
    trace = read_trace("t.pcapng.zst")
    sent = np.bincount(trace.events["type"][trace.events["event"] == Event.SENT], minlength=16)
    assert {kind: sent[trace.meta.types.index(kind)] for kind in summary["packets"]} == summary["packets"]
    assert Path("t.pcapng.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    without = answer(capsys, *arguments[:-2])
    assert "trace" not in without and without["weights_sha256"] == summary["weights_sha256"]


def test_train_leaves_out_what_is_not_wanted(capsys: Capture) -> None:
    answer(
        capsys, "train", "yinyang", "--preset", "online", "--samples", "4", "--trace", "t.pcapng",
        "--trace-without", "weight", "--trace-without", "gradient", "--trace-ticks", ":99", "--trace-events", "sent",
    )  # fmt: skip
    trace = read_trace("t.pcapng")
    events = trace.events
    assert {trace.meta.types[kind] for kind in np.unique(events["type"])} == {"spike", "error", "control", "silent"}
    assert 90 < events["tick"].max() <= 99 and set(events["event"].tolist()) == {Event.SENT}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--trace", "t.pcapng", "--on", "offchip"], "no packets"), (["--trace-pe", "1.1.0"], "--trace FILE"),
     (["--trace", "no/such/t.pcapng"], "No such file"), (["--trace", "t.pcapng", "--trace-limit", "many"], "size"),
     (["--trace", "t.pcapng", "--trace-limit", "5k"], "too small"),
     (["--trace", "t.pcapng", "--trace-key", "x"], "key"),
     (["--trace", "t.pcapng", "--trace-ticks", "9:3"], "no tick"), (["--trace", "t.pcapng", "--trace-type", "x"], "x")],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_refused_and_nothing_is_left(capsys: Capture, arguments: list[str], words: str) -> None:
    assert words in refusal(capsys, "train", "yinyang", "--preset", "online", "--samples", "4", *arguments)
    assert not Path("t.pcapng").exists() and not list(Path().glob("runs/*"))


@pytest.mark.usefixtures("ring")
def test_a_run_is_recorded(capsys: Capture) -> None:
    answer(capsys, "run", "--ticks", "10", "--trace", "a.pcapng")
    answer(capsys, "run", "--ticks", "5", "--trace", "b.pcapng", "--trace-pe", "3.5.2", "--trace-events", "received")
    assert sent_per_tick(read_trace("a.pcapng")) == [VOLLEY] * 10
    events = read_trace("b.pcapng").events
    assert (events["event"] == Event.RECEIVED).all() and np.unique(events["tick"]).tolist() == [9, 12, 13]
    for words in (["--detach"], ["--stop"]):
        assert "ends with the run" in refusal(capsys, "run", "--trace", "c.pcapng", *words)


@pytest.mark.usefixtures("ring")
def test_what_happens_while_a_command_runs_is_recorded(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "record", "t.pcapng", "--", "spinn2emu", "run", "--ticks", "12"]) == 0
    assert "tick 12" in capfd.readouterr().out
    assert sent_per_tick(read_trace("t.pcapng")) == [VOLLEY] * 12
    assert run(["trace", "record", "u.pcapng", "--json", "--", "sh", "-c", "exit 7"]) == 7
    out, err = capfd.readouterr()
    assert json.loads(out)["events"] == 0 == len(read_trace("u.pcapng").events) and "Traceback" not in err
    assert run(["trace", "record", "u.pcapng", "--", "sh", "-c", "kill -9 $$"]) == 137
    assert run(["trace", "record", "u.pcapng", "--", "no-such-command"]) == 2
    assert "no-such-command: No such file" in " ".join(capfd.readouterr().err.split())
    assert run(["trace", "record", "t.pcapng"]) == 2
    assert run(["trace", "stop"]) == 2
    assert "not traced" in capfd.readouterr().err


@pytest.mark.usefixtures("ring")
def test_a_trace_that_was_left_open_is_ended(capsys: Capture) -> None:
    with Chip.attach("desk") as chip:
        chip.start_trace("t.pcapng")
        chip.run(7)
    assert "already" in refusal(capsys, "run", "--trace", "u.pcapng")
    summary = answer(capsys, "trace", "stop")
    trace = read_trace("t.pcapng")
    assert summary["events"] == len(trace.events) and sent_per_tick(trace) == [VOLLEY] * 7


# --- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ring")
def test_the_rest_of_a_ring_cannot_tell_a_replay(capsys: Capture) -> None:
    others = ("3.5.2", "6.6.1", "5.3.3")
    answer(capsys, "run", "--ticks", "40", "--trace", "t.pcapng")
    with Chip.attach("desk") as chip:
        original = {pe: chip.read(pe, "volley") for pe in others}
        assert original["3.5.2"].sum() == 10 * VOLLEY
        chip.signal("reset")
        chip.run(3)
    reply = answer(capsys, "trace", "replay", "t.pcapng", f"src == {FIRST}", "--begin", "3", "--ticks", "37")
    assert reply["packets"] == {FIRST: 9 * VOLLEY}
    with Chip.attach("desk") as chip:
        for pe in others:
            late = chip.read(pe, "volley")
            assert late[4:40].tolist() == original[pe][4:40].tolist() and late.sum() == 9 * VOLLEY


def test_layers_cannot_tell_a_recorded_optimizer(chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights (16 bytes) and releases of a training, sent again: every other packet is the same, bit for bit."""
    recipe = small(layers=(5, 12, 3), batch=2)
    samples = yinyang_samples(recipe)
    for name in ("a", "b"):
        network = open_network(chip, recipe, samples)
        assert isinstance(network, OnChip)
        if name == "b":
            recorded = select(read_trace(tmp_path / "a.pcapng"), f"src == {network.optimizer}")
            sent = replay(chip, recorded)
            assert sent == {network.optimizer: int((recorded.events["event"] == Event.SENT).sum())}
            original, optimizer = chip.write_many, network.optimizer

            def write_others(what: Any, optimizer: int = optimizer, original: Any = original) -> None:
                original([item for item in what if item[0] != optimizer])

            monkeypatch.setattr(chip, "write_many", write_others)
        with chip.trace(tmp_path / f"{name}.pcapng"):
            network.train(samples, rates(recipe).take(3))
    rest = f"src != {network.optimizer}"
    traces = [select(read_trace(tmp_path / f"{name}.pcapng"), rest) for name in "ab"]
    (a, b), types = (trace.events for trace in traces), traces[0].meta.types
    assert {types[kind] for kind in np.unique(a["type"])} >= {"spike", "error", "gradient"}
    assert traces[1].meta.types == types and traces[1].meta.pes[name_of(network.optimizer)].outputs[1] == "weights1"
    assert a[a["event"] == Event.SENT].tobytes() == b[b["event"] == Event.SENT].tobytes()


VOTER = """
def regions(p, available):
    return [Region("n", np.int64, (1,))]

def tick(pe, ram, rx, t):
    send_float(pe, 2, t % 4, t * 0.5)
    return 0

program = Program(tick=tick, regions=regions, outputs=("calls", "unused", "votes2"))
"""


def test_a_users_own_ports_name_types_for_recording_and_replay(chip: Chip, tmp_path: Path) -> None:
    program = write_program(tmp_path, "voter", VOTER)
    chip.deploy([PeProgram(5, program, {}, {}, {"votes2": (0x40, 0xFFFFFFF0)})], [])
    with chip.trace(tmp_path / "a.pcapng", types=["vote"]):
        chip.run(6)
    a = read_trace(tmp_path / "a.pcapng")
    assert list(a.meta.types)[4:] == ["call", "unused", "vote"] and sent_per_tick(select(a, "type == vote")) == [1] * 6
    with pytest.raises(ConfigError, match=r"'spike': there are multicast, core_to_core, .*, call, unused, vote"):
        chip.start_trace(tmp_path / "b.pcapng", types=["spike"])
    chip.signal("reset")
    replay(chip, a)
    with chip.trace(tmp_path / "b.pcapng", without=["call"]):
        chip.run(6)
    b = read_trace(tmp_path / "b.pcapng")
    assert list(b.meta.pes["7.5.0"].outputs) == ["calls", "unused", "votes2"]
    for trace in (a, b):  # replay takes a time of its own
        trace.events["time"] = trace.events["sent"] = 0
    assert b.events.tobytes() == a.events.tobytes() and len(b.events) == 12


@pytest.mark.usefixtures("ring")
def test_what_cannot_be_sent_again_is_refused(capsys: Capture, tmp_path: Path) -> None:
    answer(capsys, "run", "--ticks", "4", "--trace", "t.pcapng")
    assert "no packet was sent" in refusal(capsys, "trace", "replay", "t.pcapng", "event == received")
    assert "no packet was sent in tick 50" in refusal(capsys, "trace", "replay", "t.pcapng", "--begin", "50")
    assert "no-such" in refusal(capsys, "trace", "replay", "no-such.pcapng")
    program = write_program(tmp_path, "source", PROGRAMS["source"])
    with Chip.attach("desk") as chip:
        chip.load(program, ["7.5.0"], {"count": 400})
        chip.request(
            "load", pes=[], entries=[], ports={"5": {"inputs": {}, "outputs": {"out": [0x80000000, 0xFFFF0000]}}}
        )
        with chip.trace("many.pcapng"):
            chip.run(40)
        with pytest.raises(ConfigError, match="choose fewer packets"):
            replay(chip, read_trace("many.pcapng"))
        assert [row["program"] for row in chip.ps() if row["id"] == 5] == [program]
