"""Traces name packets by the populations of their senders; the names are the users'."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from helpers import SPACE
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from trace_helpers import STRANGE, example_trace, population_trace

from spinn2emu.errors import ConfigError
from spinn2emu.trace import pcapng
from spinn2emu.trace.file import read_trace, write_trace
from spinn2emu.trace.schema import Meta, Part
from spinn2emu.trace.table import columns
from spinn2host.chip import Chip, PeProgram
from spinn2host.cli.main import run
from spinn2host.traces import plot
from spinn2host.traces.expression import select
from spinn2host.traces.nir import sent_events

TRACE = population_trace()
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    write_trace(tmp_path / "populations.pcapng", TRACE)
    return str(tmp_path / "populations.pcapng")


def shown(capsys: Capture, *arguments: str) -> str:
    """What `trace …` prints."""
    capsys.readouterr()
    assert run(["trace", *arguments]) == 0
    return capsys.readouterr().out


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_head_has_the_populations_and_is_as_before_without_them(file: str) -> None:
    assert read_trace(file).meta == TRACE.meta
    without = Meta(TRACE.meta.pes, types=TRACE.meta.types)
    assert "population" not in without.to_json() and b"population" not in pcapng.head(without)
    content = json.loads(TRACE.meta.to_json())
    assert content.pop("populations") == {"1.1.0": ["exc", 0, [255]], "1.1.1": ["exc", 50, [255]],
                                          "1.1.2": [STRANGE, 0, [255]]}  # fmt: skip
    assert content == json.loads(without.to_json())


def test_interfaces_say_which_pes_are_of_which_population() -> None:
    about = "populations: 77-78 exc, 79 [red]a%2c $x$%3b é%25%3a 5; types: 4 spike"
    assert pcapng.describe(TRACE.meta, 77).startswith(f"a.program; {about}, 5 error")
    assert pcapng.describe(TRACE.meta, 1).startswith(about)
    several = {f"1.1.{p}": Part("a") for p in (0, 1, 3)} | {"7.6.0": Part("a"), "7.6.3": Part("b")}
    assert pcapng.describe(Meta(parts=several), 0) == "populations: 1+77-78+80 a, 4 b"


@pytest.mark.parametrize("name", ["types: 4 x", "; types: 4 x"])
def test_no_name_is_taken_for_types(name: str) -> None:
    head = pcapng.head(Meta(parts={"1.1.0": Part(name)}))
    assert all(pcapng.types_of(head[at:]) is None for at in range(0, 4000, 4) if head[at - 8 : at - 4] == b"\x01\0\0\0")


@pytest.mark.parametrize(
    "parts", [[], {"9.9.9": ["a", 0, []]}, {"1.1.0": [7, 0, []]}, {"1.1.0": ["a", -1, []]}, {"1.1.0": ["a", True, []]},
              {"1.1.0": ["a", 0, [1 << 32]]}, {"1.1.0": ["a", 0, ["x"]]}, {"1.1.0": ["a", 0]}, {"1.1.0": "abc"}, None],
)  # fmt: skip
def test_what_no_population_can_be_is_no_head_of_ours(parts: Any) -> None:
    content = json.loads(TRACE.meta.to_json()) | {"populations": parts}
    assert Meta.from_json(json.dumps(content)) == Meta()


def test_names_of_a_file_are_on_one_line() -> None:
    content = json.loads(TRACE.meta.to_json()) | {"populations": {"1.1.0": ["\x1b[31m\n" + "x" * 99, 0, []]}}
    (part,) = Meta.from_json(json.dumps(content)).parts.values()
    assert part.population == "�[31m " + "x" * 57 + "…" and len(part.population) == 64


# --- looking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "ticks"), [
    ("population == exc", [0, 0, 1, 1]), ("population != exc", [2, 2]), (f"population == '{STRANGE}'", [2, 2]),
    ("population in (exc) and neuron >= 50", [1, 1]), ("neuron == 57", [1, 1]), ("neuron >= 0", [0, 0, 1, 1, 2, 2]),
    ("not population == exc", [2, 2, 3]), ("src == exc", [0, 0, 1, 1]), (f"src in (1.1.3, '{STRANGE}')", [2, 2, 3]),
    ("dst == exc", []),
])  # fmt: skip
def test_expressions_choose_by_population_and_neuron(text: str, ticks: list[int]) -> None:
    assert select(TRACE, text).events["tick"].tolist() == ticks


def test_a_population_that_the_trace_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        select(TRACE, "population == exk")
    assert "there is no 'exk'; did you mean 'exc'?" in str(caught.value) and f"possible: exc, {STRANGE}" in str(
        caught.value
    )
    with pytest.raises(ConfigError, match=r"(?s)'exk' is no place and no population .*mean 'exc'.*possible: a PE 1"):
        select(TRACE, "dst == exk")
    with pytest.raises(ConfigError, match="no PE of the trace has a population"):
        select(example_trace(), "population == exc")


def test_lines_and_objects_name_neurons(file: str, capsys: Capture) -> None:
    lines = shown(capsys, "show", file).splitlines()
    width = len(f"{STRANGE}[200]")
    assert [line[: line.index("→")].rstrip().split("  ", 3)[-1] for line in lines] == [
        *[f"{'exc[3]':{width}}  1.1.0"] * 2, *[f"{'exc[57]':{width}}  1.1.1"] * 2,
        *[f"{STRANGE}[200]  1.1.2"] * 2, f"{'':{width}}  1.1.3",
    ]  # fmt: skip
    assert len({line.index("→") for line in lines}) == 1
    objects = json.loads(shown(capsys, "show", file, "event == sent", "--json"))["shown"]
    assert [(event["population"], event["neuron"]) for event in objects] == [
        ("exc", 3), ("exc", 57), (STRANGE, 200), (None, None),
    ]  # fmt: skip
    table = columns(TRACE)
    assert table["population"].tolist() == ["exc"] * 4 + [STRANGE] * 2 + [""]
    assert table["neuron"].tolist() == [3, 3, 57, 57, 200, 200, -1]
    assert "exc" not in "".join(shown(capsys, "show", file, "src == 1.1.3"))


def test_counts_by_population(file: str, capsys: Capture) -> None:
    found = json.loads(shown(capsys, "stats", file, "--json"))["population"]
    what = ("sent", "received", "dropped", "sent_per_ms")
    assert {name: [row[column] for column in what] for name, row in found.items()} == {
        "exc": [2, 2, 0, 0.5], STRANGE: [1, 0, 1, 0.25],
    }  # fmt: skip
    text = shown(capsys, "stats", file, "--by", "population")
    assert [line.split("  ")[0] for line in text.splitlines()[-3:]] == ["population", "exc", STRANGE]


@pytest.fixture
def figure() -> Figure:
    return plot.raster(TRACE)


def test_a_raster_is_labelled_by_population_and_neuron(figure: Figure, tmp_path: Path) -> None:
    assert figure.contents["populations"] == ["exc", STRANGE]  # type: ignore[attr-defined]
    assert figure.contents["pes"] == ["1.1.0", "1.1.1", "1.1.2", "1.1.3"]  # type: ignore[attr-defined]
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["exc", STRANGE.replace("$", r"\$"), "1.1.3 program"]
    points = next(line for line in axes.get_lines() if line.get_gid() == "spike")
    rows = np.round(np.array(points.get_ydata()), 3)
    assert rows[0] < rows[1] < axes.get_yticks()[1] and len(rows) == 3  # two of exc in one row
    (right,) = axes.child_axes
    numbers = [label.get_text() for label in right.get_yticklabels()]
    assert {"0", "57", "200"} <= set(numbers)
    FigureCanvasAgg(figure).draw()
    boxes = sorted((label.get_window_extent() for label in right.get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 < above.y0 for below, above in itertools.pairwise(boxes))  # each within its row


def test_a_raster_of_many_populations_shows_the_first_and_says_so() -> None:
    trace = population_trace()
    assert plot.raster(trace, pes=[78]).contents["populations"] == ["exc"]
    same = population_trace()
    same.meta.parts.update({name: Part("ring", 0, [255]) for name in ("1.1.0", "1.1.1")})
    figure = plot.raster(same)  # which neuron of the ring a packet is of, its PE must say
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[1:3] == ["1.1.0 ring", "1.1.1 ring"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinn2host.traces.plot.choose.ROWS", 1)
        figure = plot.raster(trace)
    assert figure.contents["populations"] == ["exc"]
    assert any("the first 1 of 3 populations and PEs" in text.get_text() for text in figure.findobj(Text))


def test_any_name_can_be_drawn(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for name in (r"$\frac$", r"\$a$", "神経\N{BRAIN}", "a_{b}^c"):
        trace = population_trace()
        trace.meta.parts["1.1.2"] = Part(name, 0, [255])
        chosen = select(trace, f"population == '{name}' or population == exc")
        for some in (trace, chosen):
            plot.save(plot.raster(some), tmp_path / "f.svg")
        plot.save(plot.sequence(chosen), tmp_path / "f.png")
    assert [str(warning.message) for warning in recwarn] == []


def test_events_of_nir_count_the_neurons_of_a_population() -> None:
    assert [(events.pe, events.idx.tolist()) for events in sent_events(TRACE)] == [
        ("1.1.0", [[3]]), ("1.1.1", [[57]]), ("1.1.2", [[200]]), ("1.1.3", [[0xFFFF]]),
    ]  # fmt: skip


# --- the chip --------------------------------------------------------------------------------------------------------


def test_a_traced_chip_names_the_populations_of_its_pes(chips: Chips, programs: dict[str, str], tmp_path: Path) -> None:
    chip: Chip = chips()
    source = {"count": 3}
    chip.deploy(
        [PeProgram(5, programs["source"], source, {}, {"out": (0x40, SPACE)}, population="exc", first=50),
         PeProgram(9, programs["sink"], {}, {"in": (0x40, SPACE)}),
         PeProgram(10, programs["sink"], {}, {}, population="inh")],
        [(0x40, SPACE, [9])],
    )  # fmt: skip
    path = tmp_path / "t.pcapng"
    chip.start_trace(path)
    chip.run(4)
    with pytest.raises(ConfigError, match=r"says that PE 6.6.1 is of population inh, not of no population"):
        chip.load(programs["sink"], [10], replace=True)
    with pytest.raises(ConfigError, match=r"PE 6.6.0 is of no population, not of population a\[3:\]"):
        chip.load_programs([PeProgram(9, programs["sink"], {}, {}, population="a", first=3)], replace=True)
    chip.stop_trace()
    trace = read_trace(path)
    assert trace.meta.parts == {"7.5.0": ("exc", 50, [~SPACE & 0xFFFFFFFF]), "6.6.1": ("inh", 0, [])}
    keys = trace.events["key"]
    assert len(keys) and np.array_equal(columns(trace)["neuron"], 50 + (keys & (~SPACE & 0xFFFFFFFF)))
    of = {name: len(select(trace, f"population == {name}").events) for name in ("exc", "inh")}
    assert of == {"exc": len(keys), "inh": 0}
