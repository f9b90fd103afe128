"""`spinn2emu energy`, and what `train` and `run` say of power and energy."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinn2emu import geometry, spec
from spinn2emu.cost import DRAIN, Cost, Interval, PhaseCost
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import EVENT, PHASE, Event, Meta, PeInfo
from spinn2host import Chip, training
from spinn2host.cli.main import run
from spinn2host.energy import configurations, model, report
from spinn2host.energy import trace as from_trace
from spinn2host.energy.collect import Tally
from spinn2host.energy.read import read_run
from spinn2host.recipe import make_recipe
from spinn2host.schedule import planned
from spinn2host.usage import PeUsage
from tests.test_energy import usage_of_timing

Capture = pytest.CaptureFixture[str]


def summary(**more: Any) -> dict[str, Any]:
    return {"preset": "full", "on": "chip", "test_accuracy": 0.9, "chip": report.chip(usage_of_timing()), **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.json").write_text(json.dumps(summary()))
    return tmp_path / "mine"


def answer(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def refused(capsys: Capture, *arguments: str) -> str:
    assert run(["energy", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "Traceback" not in output.err
    return output.err


def test_a_run_is_tabulated_beside_what_was_measured(capsys: Capture, folder: Path) -> None:
    assert run(["energy", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert "170 (169 – 172)" in rows["0.5V-off"] and "-62%" in rows["0.5V-off"]
    assert "364 (362 – 367)" in rows["0.8V-off"] and "22.2 (22.1 – 22.4)" in rows["0.8V-off"]
    assert rows["measured"].split()[2:] == ["61", "450", "27", "1.22"] or "450" in "".join(lines)
    assert any("optimizer: its longest tick takes 1.67 ms of 1 ms" in line for line in lines)
    assert sum("not in these figures" in line for line in lines) == len(report.ABSENT) >= 3


def test_json_has_all_configurations_and_the_difference_to_the_poster(capsys: Capture, folder: Path) -> None:
    said = answer(capsys, "energy", str(folder))
    assert said["configuration"] == "0.8V-off" and said["samples"] == 22
    assert set(said["configurations"]) == set(configurations.CONFIGURATIONS) - {configurations.AS_RUN}
    assert said["poster"] == {"ms_per_batch": 61, "power_w": 0.45, "mj_per_batch": 27, "mj_per_sample": 1.22}
    for name, mw in (("0.5V-off", 170), ("0.8V-asleep-0.5V", 430)):
        of = said["configurations"][name]
        assert 1000 * of["power_w"]["central"] == pytest.approx(mw, abs=0.6)
        assert of["to_poster_percent"]["power_w"]["central"] == pytest.approx(100 * (mw / 450 - 1), abs=0.2)
        assert of["to_poster_percent"]["ms_per_batch"] == {"low": 0, "central": 0, "high": 0}
        for parts in (of["by_role"], of["by_phase"]):
            assert sum(part["mj_per_batch"]["central"] for part in parts.values()) == pytest.approx(
                of["mj_per_batch"]["central"], rel=1e-5
            )


def test_configurations_can_be_chosen(capsys: Capture, folder: Path) -> None:
    said = answer(capsys, "energy", str(folder), "--configuration", "0.5V-all-busy", "--configuration", "0.5V-off")
    assert list(said["configurations"]) == ["0.5V-all-busy", "0.5V-off"] and said["configuration"] == "0.5V-all-busy"


def test_a_file_of_json_says_the_same_as_the_folder(capsys: Capture, folder: Path) -> None:
    a, b = (answer(capsys, "energy", str(path)) for path in (folder, folder / "summary.json"))
    assert {**a, "run": ""} == {**b, "run": ""}


def test_usage_in_json_is_the_usage(folder: Path) -> None:
    usage = usage_of_timing()
    read = read_run(folder).usage
    assert (read.ticks, read.batches, read.samples) == (61, 1, 22) and len(read.rows) == len(usage.rows)
    for a, b in zip(read.rows, usage.rows, strict=True):
        assert a[:5] == b[:5] and a.cycles == pytest.approx(b.cycles, abs=0.001)


def test_of_unknown_costs_there_are_bounds(capsys: Capture, tmp_path: Path) -> None:
    rows = [model.Row(5, "mine [x]", "mine.py", "run", "0.8V", 10, model.UNKNOWN, float("nan"))]
    usage = model.Usage(rows, 10)
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"chip": {"name": "desk", **report.chip(usage)}, "tick": 10, "wall_s": 1}))
    said = answer(capsys, "energy", str(file))
    of = said["configurations"]["0.8V-off"]
    assert said["unknown_costs"] == ["mine.py"] and said["poster"] is None
    assert of["mj"]["central"] is None and of["mj"]["low"] < of["mj"]["high"] and of["ms"]["central"] == 10
    assert report.in_a_line(report.chip(usage)) == "0.8V-off: 10 ms, 78.4 – 87.5 mW, 0.784 – 0.875 mJ"
    assert run(["energy", str(file), "--plot", str(tmp_path / "a.svg")]) == 0
    output = capsys.readouterr()
    assert "the cycles are not known of mine.py" in output.out and "mine [x]" in output.out and "mW" in output.out


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_the_profile_is_drawn_and_equal_runs_give_equal_files(capsys: Capture, folder: Path, suffix: str) -> None:
    files = [folder / f"{name}{suffix}" for name in "ab"]
    for file in files:
        assert answer(capsys, "energy", str(folder), "--plot", str(file))["plot"] == str(file)
    assert files[0].read_bytes() == files[1].read_bytes() and files[0].stat().st_size > 10_000


def test_the_figure_shows_all_parts(folder: Path) -> None:
    from spinn2host.energy.plot import profile

    figure = profile(read_run(folder), configurations.configuration("0.8V-asleep-0.5V"))
    axes = [axes for part in figure.subfigs for axes in part.axes]
    titles = [each.get_title(loc="left") for each in axes]
    wanted = {"Configurations", "Power of the quads", "Energy by phase", "Energy by role", "Power over a batch"}
    assert wanted <= set(titles)
    die = axes[titles.index("Power of the quads")]
    assert sum(text.get_text().replace(".", "").isdigit() for text in die.texts) >= 2 * spec.QUADS.value
    assert figure.contents["mj_per_batch"]["central"] == pytest.approx(26.2, abs=0.05)


def test_power_over_a_batch_is_its_energy(folder: Path) -> None:
    from spinn2host.energy.timeline import power_over_batch

    usage = read_run(folder).usage
    for each in configurations.CONFIGURATIONS.values():
        line, result = power_over_batch(usage, each), model.estimate(usage, each)
        tick_s = spec.TICK_NS.value / 1e9
        for role, part in result.by_role.items():
            assert line.all[role].sum() * tick_s == pytest.approx(part.mj.central), (each.name, role)
        busy = sum(float(mw.sum()) for mw in line.busy.values()) * tick_s
        assert busy == pytest.approx(result.mj.central - result.static_mj.central), each.name
        assert all(len(mw) == 61 for mw in line.all.values())


def test_handlers_run_evenly_over_a_batch() -> None:
    from spinn2host.energy.timeline import power_over_batch

    rows = [model.Row(5, "a", "a", "run", "0.8V", 4, Interval(0, 0, 0), 0.0)]
    for cycles in (Interval(3e5, 3e5, 3e5), Interval(3e5, math.nan, math.inf)):  # the lower bound, where that is known
        handler = model.Row(5, "a", "a", DRAIN, "0.8V", 0, cycles, math.nan)
        line = power_over_batch(model.Usage([*rows, handler], 10), configurations.configuration("0.8V-off"))
        assert line.busy["a"].tolist() == pytest.approx([0.1 * 683.2 / 152] * 10)


# --- bad input -----------------------------------------------------------------------------------------------------


def test_what_is_no_run_is_refused(capsys: Capture, tmp_path: Path) -> None:
    assert "nowhere: No such file or directory" in refused(capsys, str(tmp_path / "nowhere"))
    assert "has no summary.json" in refused(capsys, str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert "did not come to its end" in refused(capsys, str(tmp_path))
    broken = tmp_path / "broken.json"
    for text, words in (
        ("{", "is no JSON"),
        ("", "is no JSON"),
        ("[1]", "not what `train --json`"),
        ("\xff", "no JSON"),
    ):
        broken.write_bytes(text.encode("latin-1"))
        assert words in refused(capsys, str(broken))


def test_a_run_without_usage_is_refused_with_the_reason(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    for content, words in (
        ({"test_accuracy": 0.9, "on": "chip"}, "older version"),
        (summary(on="offchip", chip=None), "train with `--on chip`"),
        ({"on": "chip", "failure": {"message": "x"}}, "run that failed"),
        ({"chip": {"name": "desk"}, "wall_s": 1}, "without timing model"),
    ):
        file.write_text(json.dumps(content))
        assert words in refused(capsys, str(file))


def change(**of: Any) -> dict[str, Any]:
    return {**report.usage_to_json(usage_of_timing()), **of}


ROW = ["1.1.0", "a", "a", "run", "0.8V", 1, 1, 1, 1, 1]
BROKEN = {
    "a list": [], "no rows": {"columns": list(report.COLUMNS)}, "other columns": change(columns=["pe"]),
    "no ticks": change(ticks=0), "long batches": change(ticks=1 << 21), "many ticks": change(ticks=10**400),
    "half a tick": change(ticks=1.5), "no samples": change(samples=0),
    "a short row": change(rows=[ROW[:-1]]), "no PE": change(rows=[["9.9.9", *ROW[1:]]]),
    "no level": change(rows=[[*ROW[:4], "0.6V", *ROW[5:]]]), "negative": change(rows=[[*ROW[:5], -1, *ROW[6:]]]),
    "text": change(rows=[[*ROW[:5], "x", *ROW[6:]]]), "not a number": change(rows=[[*ROW[:6], 2e308, *ROW[7:]]]),
    "a role that is none": change(rows=[["1.1.0", 1, *ROW[2:]]]), "ticks at": change(ticks_at={"0.5V": 0}),
    "true": change(batches=True), "no row": change(rows=[3]), "upside down": change(rows=[[*ROW[:6], 9, 9, 1, 1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_usage_that_was_changed_is_refused(capsys: Capture, tmp_path: Path, name: str) -> None:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps({"on": "chip", "chip": {"usage": BROKEN[name]}}))
    words = refused(capsys, str(file))
    assert "its usage of PEs cannot be read" in words and "again" in words


def test_unknown_configuration_and_suffix_are_refused(capsys: Capture, folder: Path) -> None:
    assert "take one of 0.5V-off" in refused(capsys, str(folder), "--configuration", "turbo")
    assert ".gif" in refused(capsys, str(folder), "--plot", "energy.gif")


# --- from a trace ---------------------------------------------------------------------------------------------------


def trace_of_two(**more: Any) -> Trace:
    """PE 5 is in phase a for 2 ticks and b for 4, and sends PE 6 a packet in each of ticks 0 to 4."""
    one, two = PeInfo("one", [], ["out"], ["a", "b"]), PeInfo("two", ["x", "y"], [], ["run"])
    meta = Meta({"6.5.0": one, "6.5.1": two}, began={"6.5.0": (0, 0), "6.5.1": (0, 0)}, **more)
    events = np.zeros(10, EVENT)
    for tick in range(5):
        for kind in (Event.SENT, Event.RECEIVED):
            event = events[2 * tick + kind]
            event["tick"], event["source"], event["event"], event["phase"] = tick, 13, kind, tick >= 2
            event["target"], event["port"], event["time"] = 14 * kind, 1, tick * 1_000_000
    phases = np.array([(13, 2, 1)], PHASE)
    return Trace(events, meta, phases=phases, name="two.pcapng")


def known(monkeypatch: pytest.MonkeyPatch, **terms: dict[str, dict[str, float]]) -> None:
    def cost(program: str) -> Cost | None:
        if program not in terms:
            return None
        phases = {phase: {term: Interval(n, n, n) for term, n in of.items()} for phase, of in terms[program].items()}
        return Cost(program, "", 0, {phase: PhaseCost(of) for phase, of in phases.items()})

    monkeypatch.setattr(from_trace, "known_cost", cost)


def test_packets_and_phases_of_a_trace_are_what_formulas_take(monkeypatch: pytest.MonkeyPatch) -> None:
    known(
        monkeypatch,
        one={"a": {"tick": 10, "sent": 1}, "b": {"tick": 20, "sent": 2}},
        two={"run": {"tick": 1, "in.y": 5}},
    )
    usage = from_trace.usage_of(trace_of_two())
    assert geometry.name(13) == "6.5.0" and usage.ticks == 5 and usage.unknown == []
    assert [(row.pe, row.phase, row.ticks, row.cycles.central) for row in usage.rows] == [
        (13, "a", 2, 2 * 10 + 2 * 1), (13, "b", 3, 3 * 20 + 3 * 2), (14, "run", 5, 5 * 1 + 4 * 5),
    ]  # fmt: skip


def test_a_packet_belongs_to_the_phase_that_takes_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tick after it is sent: PE 6.5.1 rests from tick 3 on."""
    known(monkeypatch, one={"a": {}, "b": {}, DRAIN: {}}, two={"run": {"tick": 1, "in.y": 5}, "rest": {"in.y": 7}})
    trace = trace_of_two()
    trace.meta.pes["6.5.1"].phases.append("rest")
    trace = dataclasses.replace(trace, phases=np.array([(13, 2, 1), (13, 7, 0), (14, 3, 1)], PHASE))
    rows = from_trace.usage_of(trace).rows
    two = [(row.phase, row.ticks, row.cycles.central) for row in rows if row.pe == 14]
    assert two == [("run", 3, 3 + 2 * 5), ("rest", 2, 2 * 7)]
    one = [(row.phase, row.ticks) for row in rows if row.pe == 13]  # handlers: no trace tells; tick 7 is none of it
    assert one == [("a", 2), (DRAIN, 0), ("b", 3)]


def test_what_no_trace_tells_leaves_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, one={"a": {"tick": 10, "rows": 3}, "b": {"tick": 20}})
    usage = from_trace.usage_of(trace_of_two())
    assert usage.unknown == ["one", "two"]
    a, b, two = (row.cycles for row in usage.rows)
    assert (a.low, a.high) == (20, math.inf) and math.isnan(a.central) and b == (60, 60, 60) and two.low == 0
    result = model.estimate(usage, configurations.configuration("0.8V-off"))
    assert result.by_phase["a"].busy_ms.low == pytest.approx(20 / 3e5)
    assert result.by_phase["a"].busy_ms.high == pytest.approx(2)
    known(monkeypatch, one={"a": {"tick": 10}, "b": {"tick": 20}}, two={"run": {"tick": 1}})
    assert from_trace.usage_of(trace_of_two(filter={"ticks": [0, 4]})).unknown == []
    assert from_trace.usage_of(trace_of_two(filter={"types": ["spike"]})).unknown == ["one", "two"]


def test_energy_of_a_recorded_trace(chip: Chip, capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "ring.pcapng"
    chip.load_network(Path(__file__).parent.parent / "docs" / "examples" / "synfire.toml")
    chip.write("1.1.0", "kick", 20)
    with chip.trace(file):
        chip.run(50)
    said = answer(capsys, "energy", str(file))
    of = said["configurations"]["0.8V-off"]
    assert of["by_role"]["group"]["pes"] == 4 and of["by_phase"]["run"]["pes"] == 4 and said["batches"] == 0
    assert of["ms"]["central"] == 50 and "a trace tells packets and phases" in said["notes"][0]
    assert run(["energy", str(file), "--plot", str(tmp_path / "ring.png")]) == 0
    assert "ring.png" in capsys.readouterr().out
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 3 // 4])
    assert "only what comes before it is counted" in answer(capsys, "energy", str(file))["notes"][1]
    file.write_bytes(data[:100])
    assert "pcapng: " in refused(capsys, str(file))


# --- train and run --------------------------------------------------------------------------------------------------

SMALL = ["--layers", "5,20,3", "--batch", "3", "--T", "30", "--samples", "9", "--epochs", "1"]


def test_train_reports_the_chip_and_keeps_what_energy_needs(capsys: Capture, tmp_path: Path) -> None:
    said = answer(capsys, "train", "yinyang", *SMALL, "--out", str(tmp_path / "mine"))
    chip = said["chip"]
    assert chip["configuration"] == "0.8V-off" and chip["ms_per_batch"] == {"low": 61, "central": 61, "high": 61}
    for name in ("power_w", "mj_per_batch", "mj_per_sample"):
        assert set(chip[name]) == {"low", "central", "high"} and 0 < chip[name]["low"] <= chip[name]["high"]
    assert chip["mj_per_batch"]["low"] == pytest.approx(61 * chip["power_w"]["low"], rel=1e-4)
    assert chip["mj_per_sample"]["high"] == pytest.approx(chip["mj_per_batch"]["high"] / 3, rel=1e-4)
    pes = {role: part["pes"] for role, part in chip["by_role"].items()}
    assert pes == {"chip": 0, "input": 3, "layer 1": 3, "layer 2": 3, "loss": 3, "optimizer": 1}
    assert {"chip", "forward", "backward", "update", "waiting"} <= set(chip["by_phase"])
    assert chip["evaluation"]["ms_per_batch"]["central"] == 31
    assert chip["usage"]["batches"] == 3 and chip["usage"]["samples"] == 3
    assert chip["configurations"]["0.8V-off"] == {name: chip[name] for name in chip["configurations"]["0.8V-off"]}
    # each of 12 PEs is 61 ticks a batch in forward and backward, the optimizer waits and updates
    ticks: dict[str, float] = {}
    for row in chip["usage"]["rows"]:
        ticks[row[0]] = ticks.get(row[0], 0) + row[5]
    assert len(ticks) == 13 and all(each == pytest.approx(3 * 61 + 1, abs=1) for each in ticks.values())
    table = answer(capsys, "energy", str(tmp_path / "mine"))
    assert table["configurations"]["0.8V-off"]["mj_per_batch"] == chip["mj_per_batch"]


def test_ticks_of_a_step_at_another_clock() -> None:
    """At 150 MHz a tick has half the cycles: large updates take more ticks."""
    row = model.Row(149, "optimizer", "adam", "update", "0.8V", 5, Interval(1, 2, 3), 0.0)
    usage = model.Usage([row], 61, 5, 22)
    assert training._ticks_at(make_recipe("full", None, T=30), usage) == {"0.5V": 61}
    large = make_recipe("full", None, T=30, layers=(5, 300, 10), batch=10)
    assert training._ticks_at(large, usage)["0.5V"] == 60 + planned(large, "0.5V")[0] > 60 + planned(large, "0.8V")[0]


def test_without_timing_model_there_is_no_energy(capsys: Capture, tmp_path: Path) -> None:
    assert answer(capsys, "train", "yinyang", *SMALL, "--no-timing", "--out", str(tmp_path / "mine"))["chip"] is None
    assert "without timing model" in refused(capsys, str(tmp_path / "mine"))


def test_off_the_chip_there_is_no_energy(capsys: Capture, tmp_path: Path) -> None:
    said = answer(capsys, "train", "yinyang", *SMALL, "--on", "offchip", "--out", str(tmp_path / "mine"))
    assert said["chip"] is None
    assert "train with `--on chip`" in refused(capsys, str(tmp_path / "mine"))


PROGRAM = """
import numpy as np
import pydantic
from spinn2emu.program import Program, Region

class Parameters(pydantic.BaseModel):
    pass

def regions(p, available):
    return [Region("x", np.int64, (1,), "")]

def tick(pe, ram, rx, t):
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, costs={"run": {"tick": (15000, 30000, 60000)}})
"""


@pytest.mark.usefixtures("runtime")
def test_run_reports_its_own_ticks(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PROGRAM)
    with Chip.boot(name="desk", pes=8, resident=True) as chip:
        try:
            chip.load(str(tmp_path / "mine.py"), ["7.5.0", "7.5.1"])
            run(["run", "--ticks", "7"])
            assert "on the chip 0.8V-off: 7 ms, 82.5 mW, 0.578 mJ" in capsys.readouterr().out
            of = answer(capsys, "run", "--ticks", "50")["chip"]
            assert (of["name"], of["ms"]["central"], of["unknown_costs"]) == ("desk", 50, [])
            # 30,000 cycles at 300 MHz are 0.1 ms of each of 50
            assert of["by_role"]["mine"]["busy"] == {"low": 0.05, "central": 0.1, "high": 0.2}
            assert of["mj"]["central"] == pytest.approx(0.05 * (75.2 + 2 * (489.5 + 68.32) / 152), rel=1e-5)
            assert of["longest_tick_ms"] == {"mine": 0.1} and "evaluation" not in of
            (tmp_path / "run.json").write_text(json.dumps({"chip": of}))
            assert answer(capsys, "energy", str(tmp_path / "run.json"))["configurations"]["0.8V-off"]["mj"] == of["mj"]
            chip.signal("pause", "7.5.1")
            of = answer(capsys, "run", "--ticks", "10")["chip"]
            assert of["by_role"]["mine"]["pes"] == 2 and of["by_role"]["mine"]["busy"]["central"] == 0.05
            assert set(answer(capsys, "run", "--ticks", "0")["chip"]) == {"name"}
            chip.load(str(tmp_path / "mine.py"), ["7.5.2"], level="0.5V")
            of = answer(capsys, "run", "--ticks", "10")["chip"]
            assert of["configuration"] == configurations.AS_RUN and configurations.AS_RUN in of["configurations"]
            assert of["by_role"]["mine"]["busy"]["central"] == pytest.approx((0.1 + 0 + 0.2) / 3)  # one is paused
            chip.load(str(tmp_path / "mine.py"), ["7.5.0", "7.5.1"], level="0.5V", replace=True)
            assert answer(capsys, "run", "--ticks", "10")["chip"]["configuration"] == "0.5V-off"
        finally:
            chip.halt()


# --- from what PEs count ---------------------------------------------------------------------------------------------


def counted(ticks: int, cycles: float | None, phase: str = "run", program: str = "my/mine.py", **more: Any) -> PeUsage:
    each = None if cycles is None else Interval(cycles, cycles, cycles)
    row = PeUsage(5, program, "", phase, "0.8V", ticks, {"tick": ticks}, each, cycles and 9.0, None, 0)
    return row._replace(**more)


def test_a_tally_adds_differences() -> None:
    tally = Tally()
    tally.add([], [counted(10, 100.0)])
    tally.add([counted(10, 100.0)], [counted(15, 150.0)])
    tally.add([counted(20, 150.0)], [counted(3, 30.0)])  # loaded anew in between
    usage = tally.usage(18)
    assert usage is not None
    (row,) = usage.rows
    assert (row.role, row.ticks, row.cycles, row.longest) == ("mine", 18, (180, 180, 180), 9)


def test_phases_are_named_and_in_the_order_of_their_names() -> None:
    tally = Tally(phases={"idle": "update", "forward": "forward"})
    tally.add([], [counted(1, 1.0, phase) for phase in ("more", "forward", "idle")])
    usage = tally.usage(3)
    assert usage is not None and [row.phase for row in usage.rows] == ["update", "forward", "more"]


def test_roles_are_given_or_populations_or_programs() -> None:
    tally = Tally({5: "layer 1"})
    tally.add([], [counted(1, 1.0), counted(1, 1.0, pe=6, population="exc"), counted(1, 1.0, pe=7)])
    usage = tally.usage(1)
    assert usage is not None and [row.role for row in usage.rows] == ["layer 1", "exc", "mine"]
    tally = Tally()
    tally.add([], [counted(1, 1.0, population="chip")])
    usage = tally.usage(1)
    assert usage is not None and usage.rows[0].role == "chip (program)"


def test_drains_take_no_time_and_pes_that_paused_are_not_off() -> None:
    tally = Tally()
    before = [counted(10, 100.0), counted(4, 8.0, phase=DRAIN), counted(7, None, pe=6)]
    tally.add(before, [counted(12, 120.0), counted(8, 16.0, phase=DRAIN), counted(7, None, pe=6)])
    usage = tally.usage(2)
    assert usage is not None and usage.unknown == []
    assert [(row.pe, row.phase, row.ticks) for row in usage.rows] == [(5, "run", 2), (5, DRAIN, 0), (6, "run", 0)]
    result = model.estimate(usage, configurations.configuration("0.8V-off"))
    assert result.pe_mw[6] == pytest.approx(489.5 / 152) and result.pe_mw[7] == 0


def test_without_usage_or_time_there_is_none() -> None:
    tally = Tally()
    assert tally.usage(10) is None
    tally.add([], [counted(1, 1.0)])
    assert tally.usage(0) is None
