"""Figures of traces: what is drawn where, that equal figures are equal files, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from trace_helpers import OPTIMIZER, STEP_TICKS, Recording, T, Type, chain, example_trace, repeated, words_of

from spinn2emu import mesh as noc
from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace, read_trace, write_trace
from spinn2emu.trace.schema import EVENT, Event, Meta, PeInfo, interface_name
from spinn2host.cli.main import run
from spinn2host.traces import plot
from spinn2host.traces.expression import select
from spinn2host.traces.plot.mesh import traffic
from spinn2host.traces.plot.style import BLUE, GREEN, MANY, ORANGE, PURPLE, VERMILLION, colour_of_type, short, to_bytes
from spinn2host.traces.stats import link_loads

TRACE = example_trace()
INPUT, LAYER_1, LAYER_2, LOSS = chain(0)
FIGURES: dict[str, Callable[..., plot.TraceFigure]] = {
    "raster": plot.raster, "mesh": plot.mesh, "sequence": plot.sequence, "timeline": plot.timeline,
}  # fmt: skip
Capture = pytest.CaptureFixture[str]


def artists(figure: Figure, name: str) -> list[Any]:
    """Those whose id begins with `name`."""
    return [a for axes in figure.axes for a in axes.get_children() if (a.get_gid() or "").startswith(name)]


def points(figure: Figure, name: str) -> np.ndarray[Any, Any]:
    """Coordinates of the points of all artists of that name, (n, 2)."""
    found = artists(figure, name)
    return np.concatenate([a.get_offsets() if hasattr(a, "get_offsets") else a.get_xydata() for a in found])


def texts(figure: Figure) -> list[str]:
    """All texts that are not empty."""
    FigureCanvasAgg(figure).draw()
    found = figure.findobj(matplotlib.text.Text)
    return [t.get_text() for t in found if t.get_text()]


def count(trace: Trace, kind: Type, event: Event, pes: Iterable[int], field: str = "source") -> int:
    """Events of a type from these PEs, or to them."""
    e = trace.events
    return int(((e["type"] == kind) & (e["event"] == event) & np.isin(e[field], list(pes))).sum())


# --- raster -----------------------------------------------------------------------------------------------------------


def test_raster_has_a_point_for_every_spike_and_error() -> None:
    figure = plot.raster(TRACE, pes=[pe for sample in range(3) for pe in chain(sample)])
    spikes = count(TRACE, Type.SPIKE, Event.SENT, range(153))
    errors = count(TRACE, Type.ERROR, Event.RECEIVED, range(153))
    assert figure.contents["points"] == {"spike": 72, "error": 40, "dropped": 4} == {
        "spike": spikes, "error": errors, "dropped": 4,
    }  # fmt: skip
    assert (len(points(figure, "spike")), len(points(figure, "error")), len(points(figure, "dropped"))) == (72, 40, 4)
    assert not figure.notes


def test_raster_puts_a_point_at_its_tick_and_neuron() -> None:
    recording = Recording()
    for tick, neuron in ((1, 0), (2, 3), (5, 1)):
        recording.send(tick, LAYER_1, Type.SPIKE, 0x11000000 + neuron, {LAYER_2: 2})
    recording.send(7, LAYER_2, Type.ERROR, 0x22000001, {LAYER_1: 3}, words_of([-0.5]))
    recording.send(8, LAYER_2, Type.ERROR, 0x22000003, {LAYER_1: 3}, words_of([2.0]))
    recording.send(9, LAYER_2, Type.ERROR, 0x22000002, {LAYER_1: Event.NOT_LIVE}, words_of([1.0]))
    figure = plot.raster(recording.trace())
    assert figure.contents["pes"] == ["7.5.1"]  # an error is drawn at the neuron that it is for
    spikes = points(figure, "spike")
    assert spikes[:, 0].tolist() == [1, 2, 5]
    zero, three, one = spikes[:, 1]
    assert (three - zero) / (one - zero) == pytest.approx(3)
    assert points(figure, "error negative").tolist() == [[7, one]]
    assert points(figure, "error positive").tolist() == [[8, three]]
    (size_of_small,), (size_of_large,) = (
        artists(figure, f"error {s}")[0].get_sizes() for s in ("negative", "positive")
    )
    assert size_of_small < size_of_large
    assert points(figure, "dropped") == pytest.approx(np.array([[9, zero + 2 * (one - zero)]]))


def test_raster_names_axes_pes_and_neurons() -> None:
    figure = plot.raster(TRACE, pes=chain(1))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "virtual time (ms; a tick is 1 ms)"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["6.6.0\ninput", "6.6.1\nlayer 1", "6.6.2\nlayer 2"]
    assert {"neuron", "4", "3", "2", "24 spikes", "forward phase", "backward phase"} <= set(texts(figure))


def shading(figure: Figure) -> list[tuple[str, float, float]]:
    return [(a.get_gid().split()[1], a.get_x(), a.get_x() + a.get_width()) for a in artists(figure, "phase")]


SHADES = [("forward", -0.5, T - 0.5), ("backward", T - 0.5, STEP_TICKS + 0.5),
          ("forward", STEP_TICKS + 0.5, STEP_TICKS + T - 0.5), ("backward", STEP_TICKS + T - 0.5, 24.5)]  # fmt: skip


@pytest.mark.parametrize("expression", ["", "type == spike", "type == error and src == 7.5.3", "event == received"])
@pytest.mark.parametrize("pes", [None, chain(0), [chain(0)[2]]])
def test_shading_is_the_schedule_whatever_is_shown(expression: str, pes: list[int] | None) -> None:
    trace = select(TRACE, expression)
    assert shading(plot.raster(trace, pes=pes)) == SHADES
    assert shading(plot.raster(trace, pes=pes, ticks=(3, 9))) == [("forward", 2.5, T - 0.5), ("backward", T - 0.5, 8.5)]


def test_shading_begins_where_the_pes_were_when_the_trace_began() -> None:
    later = TRACE.phases[TRACE.phases["tick"] > T]
    began = {interface_name(pe): (1, 4) for sample in range(3) for pe in chain(sample)[1:]}
    meta = replace(TRACE.meta, began=began)
    figure = plot.raster(Trace(TRACE.events, meta, phases=later))
    assert shading(figure)[0] == ("backward", 3.5, STEP_TICKS + 0.5)
    limited = replace(meta, filter={"limit": 10**6})  # what came between may have been forgotten
    assert shading(plot.raster(Trace(TRACE.events, limited, phases=later)))[0][:2] == ("forward", STEP_TICKS + 0.5)
    figure = plot.raster(Trace(TRACE.events, TRACE.meta))  # as of a file of version 1
    assert shading(figure) == [] and "without phases: the file does not say when they began" in figure.notes


def test_too_many_phases_are_not_shaded_and_the_figure_says_so() -> None:
    figure = plot.raster(repeated(TRACE, 60), ticks=(0, 1500))
    assert shading(figure) == [] and "without its 240 phases (no more than 200 are shaded)" in figure.notes


def test_raster_of_a_large_trace_shows_a_part_and_says_which() -> None:
    figure = plot.raster(repeated(TRACE, 5))  # 10 steps, 3 quads
    assert figure.contents["pes"] == ["7.5.0", "7.5.1", "7.5.2"]
    begin_of_fifth = 2 * 25 - 1  # `repeated` begins again after the last tick that has an event
    assert figure.contents["ticks"] == [0, begin_of_fifth - 1]
    assert figure.contents["points"]["spike"] == 2 * count(TRACE, Type.SPIKE, Event.SENT, chain(0))
    shown = ["the first 4 of 10 steps, ticks 0 to 48 of 0 to 124 (see --ticks)", "quad 7.5, one of 3 (see --pes)"]
    assert figure.notes == shown
    assert "Shown: " + "; ".join(shown) in "\n".join(texts(figure))


def test_raster_of_a_trace_without_phases_and_releases_shows_the_first_ticks() -> None:
    long = repeated(TRACE, 20)
    assert plot.raster(select(long, "type == spike")).contents["ticks"] == [0, 48]
    trace = select(Trace(long.events, long.meta), "type == spike")
    assert plot.raster(trace).contents["ticks"] == [0, 199]


@pytest.mark.parametrize("event", ["sent", "received"])
def test_raster_of_half_a_trace(event: str) -> None:
    figure = plot.raster(select(TRACE, f"event == {event} and pe == 7.5"), ticks=(0, STEP_TICKS))
    errors = [LAYER_2, LOSS] if event == "sent" else [LAYER_1, LAYER_2]
    field = "source" if event == "sent" else "target"
    first = Trace(TRACE.events[TRACE.events["tick"] < STEP_TICKS], TRACE.meta)
    expected = count(first, Type.ERROR, Event[event.upper()], [*errors, LAYER_1], field)
    assert figure.contents["points"]["spike"] == 12
    assert figure.contents["points"]["error"] == expected == {"sent": 8, "received": 6}[event]


def test_many_points_are_one_picture_in_a_vector_file() -> None:
    few, many = plot.raster(TRACE), plot.raster(repeated(TRACE, 100), ticks=(0, 2500))
    assert len(points(many, "spike")) == 2400 > MANY
    assert [bool(artists(f, "spike")[0].get_rasterized()) for f in (few, many)] == [False, True]
    assert [b"<image" in to_bytes(f, "svg") for f in (few, many)] == [False, True]


# --- mesh -------------------------------------------------------------------------------------------------------------


def test_mesh_has_quads_where_they_are() -> None:
    figure = plot.mesh(TRACE)
    quads = {
        a.get_gid(): (a.get_x() + a.get_width() / 2, a.get_y() + a.get_height() / 2) for a in artists(figure, "quad")
    }
    assert len(quads) == 38
    assert all(quads[f"quad {x:.0f}.{y:.0f}"] == pytest.approx((x, y)) for x, y in quads.values())
    (router,) = artists(figure, "router")
    assert router.get_x() < 4 < router.get_x() + router.get_width()
    assert router.get_y() < 3 < 4 < router.get_y() + router.get_height()
    assert {a.get_gid() for a in artists(figure, "empty")} == {"empty 7.3", "empty 7.4"}


def test_mesh_counts_a_packet_once_for_a_quad() -> None:
    recording = Recording()
    for _ in range(3):
        recording.send(
            1, LAYER_1, Type.SPIKE, 0x11000000, {LAYER_2: 2, LOSS: 1, chain(1)[0]: 0, chain(1)[1]: Event.NOT_LIVE}
        )
    recording.send(1, OPTIMIZER, Type.SPIKE, 7, {0: Event.UNROUTED})
    injected, delivered = traffic(recording.trace().events)
    assert {interface_name(pe): n for pe, n in enumerate(injected.tolist()) if n} == {"7.5.1": 3, "5.3.0": 1}
    figure = plot.mesh(recording.trace())
    assert figure.contents["packets"] == 4
    assert figure.contents["quads"] == {
        "7.5": {"sent": 3, "received": 3}, "6.6": {"sent": 0, "received": 3}, "5.3": {"sent": 1, "received": 0},
    }  # fmt: skip
    loads = {(tuple(link["from"]), tuple(link["to"])): link["packets"] for link in figure.contents["links"]}
    assert loads[(7, 5), (6, 5)] == 3  # to the router
    assert loads[(4, 4), (5, 4)] == 6  # from it, for both quads
    assert loads[(5, 3), (4, 3)] == 1
    assert delivered.sum() == 6


def test_mesh_agrees_with_the_statistics() -> None:
    links = plot.mesh(TRACE).contents["links"]
    assert {(tuple(a["from"]), tuple(a["to"])): a["packets"] for a in links} == link_loads(TRACE.events)


def test_mesh_shows_both_directions_and_colours_the_loaded_ones() -> None:
    figure = plot.mesh(TRACE)
    arrows = {a.get_gid().removeprefix("link "): a for a in artists(figure, "link")}
    assert len(arrows) == 2 * (6 * 6 + 7 * 5 - 1)  # the router's own link is not drawn
    there, back = (arrows[gid].get_path().get_extents() for gid in ("6.5 5.5", "5.5 6.5"))
    assert there.y0 > back.y1  # beside each other
    loads = noc.link_loads(*(a.tolist() for a in traffic(TRACE.events)))
    strongest = max(loads, key=lambda link: loads[link])
    (x, y), (to_x, to_y) = strongest
    idle, loaded = arrows["5.5 6.5"].get_facecolor(), arrows[f"{x}.{y} {to_x}.{to_y}"].get_facecolor()
    assert idle[:3] == pytest.approx(to_rgb("#d9d9d9"))
    assert loaded == pytest.approx(matplotlib.colormaps["cividis_r"](1.0))
    labels = texts(figure)
    assert "packets over a link (arrows)" in labels
    assert "packets sent and received by a quad (squares)" in labels


# --- sequence ---------------------------------------------------------------------------------------------------------


def test_sequence_is_of_one_step_of_one_quad_and_the_optimizer() -> None:
    figure = plot.sequence(TRACE)
    assert figure.contents["pes"] == ["7.5.0", "7.5.1", "7.5.2", "7.5.3", "5.3.0"]
    assert figure.contents["ticks"] == [0, STEP_TICKS]
    arrows = figure.contents["arrows"]
    step = TRACE.events[TRACE.events["tick"] <= STEP_TICKS]
    for kind in (Type.SPIKE, Type.ERROR, Type.GRADIENT, Type.WEIGHT, Type.CONTROL):
        copies = (step["type"] == kind) & (step["event"] == Event.RECEIVED)
        mine = np.isin(step["target"], chain(0)) | (np.isin(step["source"], chain(0)) & (step["target"] == OPTIMIZER))
        drawn = sum(
            a["count"] * len(a["to"]) for a in arrows if a["type"] == kind.name.lower() and a["event"] == "received"
        )
        assert drawn == (copies & mine).sum() > 0
    assert len(artists(figure, "arrow")) == sum(max(1, len(a["to"])) for a in arrows)
    assert len(artists(figure, "dropped")) == 2
    labels = texts(figure)
    assert {"5 gradient packets", "3 weight packets", "1 control packet", "7.5.1\nlayer 1", "5.3.0\nadam"} <= set(
        labels
    )
    assert {"1 error dropped (not live)", "1 error dropped (unrouted)"} <= set(labels)


def test_sequence_draws_arrows_between_life_lines_downwards_and_leaves_out_idle_ticks() -> None:
    recording = Recording()
    for _ in range(12):
        recording.send(3, INPUT, Type.SPIKE, 0x10000000, {LAYER_1: 2})
    recording.send(4, LAYER_1, Type.SPIKE, 0x11000000, {LAYER_2: 2})
    recording.send(190, LOSS, Type.ERROR, 0x23000000, {LAYER_2: 3}, words_of([1]))
    figure = plot.sequence(recording.trace(), pes=chain(0))
    ends = [a.get_path().vertices for a in artists(figure, "arrow")]
    ends = [(e[0, 0], e[-1, 0], e[0, 1]) for a in artists(figure, "arrow") for e in [np.array(a._posA_posB)]]
    assert [(a, b) for a, b, _ in ends] == [(0, 1), (1, 2), (3, 2)]
    down = [y for _, _, y in ends]
    assert down == sorted(down)
    assert down[2] - down[1] < 3 * (down[1] - down[0])  # 185 ticks take little more room than one
    assert {"12 spikes", "1 spike", "1 error", "3", "4", "190"} <= set(texts(figure))


def test_sequence_puts_arrows_that_would_cover_each_other_on_lines_of_their_own() -> None:
    recording = Recording()
    for source, target in ((INPUT, LOSS), (LAYER_1, LAYER_2), (LAYER_2, LOSS)):
        recording.send(0, source, Type.SPIKE, 0x10000000 * source, {target: 0})
    arrows = {(a._posA_posB[0][0], a._posA_posB[1][0]): a._posA_posB[0][1]
              for a in artists(plot.sequence(recording.trace(), pes=chain(0)), "arrow")}  # fmt: skip
    assert arrows[0, 3] != arrows[1, 2] == arrows[2, 3]


def test_sequence_puts_ticks_together_if_it_would_be_too_long() -> None:
    figure = plot.sequence(repeated(TRACE, 8), ticks=(0, 200))
    assert figure.contents["ticks_per_row"] > 1
    assert any(f"{figure.contents['ticks_per_row']} ticks in a row" in note for note in figure.notes)
    spikes = sum(a["count"] for a in figure.contents["arrows"] if a["type"] == "spike")
    assert spikes == 8 * count(TRACE, Type.SPIKE, Event.RECEIVED, chain(0))
    assert figure.get_size_inches()[1] < 12


def test_sequence_of_another_quad() -> None:
    assert plot.sequence(TRACE, quad=2).contents["pes"] == ["6.6.0", "6.6.1", "6.6.2", "6.6.3", "5.3.0"]


# --- timeline ---------------------------------------------------------------------------------------------------------


def test_timeline_counts_packets_by_tick_and_type() -> None:
    figure = plot.timeline(TRACE)
    sent = TRACE.events[TRACE.events["event"] == Event.SENT]
    for kind in (Type.SPIKE, Type.ERROR, Type.GRADIENT, Type.WEIGHT, Type.CONTROL):
        (area,) = artists(figure, kind.name.lower())
        values, edges, base = area.get_data()
        assert (values - base).tolist() == np.bincount(sent["tick"][sent["type"] == kind], minlength=25).tolist()
        assert edges.tolist() == (np.arange(26) - 0.5).tolist()
    assert figure.contents["packets"] == {"spike": 72, "error": 44, "gradient": 48, "weight": 16, "control": 4}
    assert figure.axes[0].get_ylabel() == "packets sent per tick"
    assert figure.axes[1].get_xlabel() == "virtual time (ms; a tick is 1 ms)"
    assert "packets per tick" in texts(figure)


def test_timeline_marks_drops() -> None:
    figure = plot.timeline(TRACE)
    dropped = TRACE.events["tick"][TRACE.events["event"] >= Event.UNROUTED]
    assert points(figure, "dropped")[:, 0].tolist() == sorted(set(dropped.tolist()))
    assert figure.contents["dropped"] == len(dropped) == 4


def test_timeline_has_a_row_for_each_pe() -> None:
    figure = plot.timeline(TRACE)
    (image,) = artists(figure, "pes")
    activity = image.get_array().filled(0)
    assert figure.contents["pes"] == [interface_name(pe) for sample in range(3) for pe in chain(sample)] + ["5.3.0"]
    events = TRACE.events
    mine = ((events["source"] == LAYER_1) & (events["event"] == Event.SENT)) | (
        (events["target"] == LAYER_1) & (events["event"] == Event.RECEIVED)
    )
    assert activity[1].tolist() == np.bincount(events["tick"][mine], minlength=25).tolist()


def test_timeline_bins_hold_whole_steps() -> None:
    figure = plot.timeline(repeated(TRACE, 80))  # 2,000 ticks: more than 500 bins
    assert figure.contents["ticks_per_bin"] == STEP_TICKS
    assert figure.contents["bins"] == -(-2000 // STEP_TICKS)
    assert f"mean of {STEP_TICKS} ticks each" in figure.notes
    rates, edges = artists(figure, "spike")[0].get_data()[:2]
    assert (rates * np.diff(edges)).sum() == pytest.approx(80 * 72)


def test_timeline_with_a_tick_far_above_the_others_is_logarithmic() -> None:
    recording = Recording()
    for tick in range(5):
        recording.send(tick, INPUT, Type.SPIKE, 0x10000000, {LAYER_1: 2})
    for _ in range(40):
        recording.send(5, LAYER_1, Type.GRADIENT, 0x31000000, {OPTIMIZER: 0})
    figure = plot.timeline(recording.trace())
    assert (figure.contents["logarithmic"], figure.axes[0].get_yscale()) == (True, "log")
    assert plot.timeline(TRACE).axes[0].get_yscale() == "linear"


def test_timeline_of_drops_alone() -> None:
    figure = plot.timeline(select(TRACE, "dropped"))
    assert figure.contents["dropped"] == 4
    assert figure.contents["pes"] == ["7.5.1", "7.5.2"]


# --- all figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FIGURES)
def test_equal_figures_are_equal_files(kind: str) -> None:
    """As PDF; `test_command` and `test_json_of_every_figure` compare PNG and SVG."""
    one, other = (to_bytes(FIGURES[kind](TRACE), "pdf") for _ in range(2))
    assert one == other
    assert len(one) > 5000
    assert b"CreationDate" not in one


def test_files_have_no_date() -> None:
    figure = plot.raster(TRACE)
    assert b"date" not in to_bytes(figure, "svg")
    assert b"Software" not in to_bytes(figure, "png")


@pytest.mark.parametrize(
    ("kind", "colours"),
    [("raster", (BLUE, "#dcebf5", "#fbe6d9")), ("mesh", ("#d9d9d9", "#00224e")),
     ("sequence", (BLUE, VERMILLION, GREEN, ORANGE, PURPLE)), ("timeline", (BLUE, VERMILLION, GREEN, ORANGE, PURPLE))],
)  # fmt: skip
def test_pixels(kind: str, colours: tuple[str, ...], tmp_path: Path) -> None:
    plot.save(FIGURES[kind](TRACE), tmp_path / "f.png")
    image = imread(tmp_path / "f.png")[..., :3]
    for colour in colours:
        near = np.abs(image - np.array(to_rgb(colour))).max(-1) < 0.02
        assert near.sum() > 30, colour
    white = (image == 1).all(-1)
    assert 0.2 < white.mean() < 0.97
    assert white[:2].all() and white[-2:].all() and white[:, :2].all() and white[:, -2:].all()  # nothing is cut off


@pytest.mark.parametrize("kind", FIGURES)
def test_no_text_covers_another_or_is_cut_off(kind: str) -> None:
    for trace in (TRACE, repeated(TRACE, 5)):
        figure = FIGURES[kind](trace)
        FigureCanvasAgg(figure).draw()
        page = figure.bbox
        shown = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text() and t.get_visible()]
        outside = _outside(figure)
        boxes = [(t.get_text(), t.get_window_extent()) for t in shown if id(t) not in outside]
        for i, (text, box) in enumerate(boxes):
            assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
            for other, box_of_other in boxes[i + 1 :]:
                overlap = (
                    min(box.x1, box_of_other.x1) - max(box.x0, box_of_other.x0),
                    (min(box.y1, box_of_other.y1) - max(box.y0, box_of_other.y0)),
                )
                assert min(overlap) < 1.5, f"{text} covers {other}"


def _outside(figure: Figure) -> set[int]:
    """Ids of the labels of ticks beyond the ends of their axes, which matplotlib keeps but does not draw."""
    found = set()
    for axis in (axis for axes in figure.findobj(Axes) for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.majorTicks + axis.minorTicks:
            if not low <= tick.get_loc() <= high:
                found |= {id(tick.label1), id(tick.label2)}
    return found


@pytest.mark.parametrize("kind", FIGURES)
def test_settings_of_the_user_are_neither_used_nor_changed(kind: str) -> None:
    plain = to_bytes(FIGURES[kind](TRACE), "svg")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert to_bytes(FIGURES[kind](TRACE), "svg") == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("kind", FIGURES)
def test_nothing_to_draw(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"nothing to draw: no .* among 0 events"):
        FIGURES[kind](Trace(np.empty(0, EVENT)))
    with pytest.raises(ConfigError, match=r"nothing to draw: .* among 420 events \(144 spike, 88 error, .*--ticks"):
        FIGURES[kind](TRACE, ticks=(1000, 2000))


def test_raster_without_spikes_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no spikes or errors among 96 events \(96 gradient\)"):
        plot.raster(select(TRACE, "type == gradient"))
    with pytest.raises(ConfigError, match="no spikes or errors of these PEs"):
        plot.raster(TRACE, pes=[OPTIMIZER])


def ring(members: int, quads: bool = False) -> Trace:
    """A volley that goes round a ring of PEs, each in a quad of its own, or two in each."""
    recording = Recording()
    pes = [5 + (4 * i if not quads else 4 * (i // 2) + i % 2) for i in range(members)]
    for tick in range(3 * members):
        source, target = pes[tick % members], pes[(tick + 1) % members]
        recording.send(tick, source, Type.SPIKE, 0x100 * source, {target: 0})
    return recording.trace()


@pytest.mark.parametrize("quads", [False, True])
@pytest.mark.parametrize("members", [2, 4, 12])
def test_sequence_finds_all_members_of_a_ring(members: int, quads: bool) -> None:
    figure = plot.sequence(ring(members, quads))
    assert len(figure.contents["pes"]) == members
    assert sum(arrow["count"] for arrow in figure.contents["arrows"]) == 3 * members


def test_sequence_of_a_large_ring_says_that_there_are_more() -> None:
    figure = plot.sequence(ring(20))
    assert len(figure.contents["pes"]) == 12
    assert "12 PEs, of more that exchange packets (see --pes)" in figure.notes


def test_sequence_refuses_too_many_pes() -> None:
    with pytest.raises(ConfigError, match="at most 12 different PEs, not of 13"):
        plot.sequence(TRACE, pes=range(1, 14))


def test_notebooks_show_a_figure() -> None:
    assert plot.mesh(TRACE)._repr_png_()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (9988, "10k"), (999_700, "1.0M"), (12_345_678, "12M")]
)
def test_short(number: int, text: str) -> None:
    assert short(number) == text


def test_no_figure_needs_a_window() -> None:
    script = "import sys, spinn2host.traces.plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_name_file_filter_and_what_was_recorded(kind: str, tmp_path: Path) -> None:
    meta = replace(TRACE.meta, filter={"without": ["silent", "weight"], "last": 20})
    write_trace(tmp_path / "some.pcapng", replace(TRACE, meta=meta))
    trace = select(select(read_trace(tmp_path / "some.pcapng"), "type in (spike, error)"), "pe == 7.5")
    figure = FIGURES[kind](trace, ticks=(0, 10))
    caption = " ".join(" ".join(texts(figure)).split())
    assert (
        "some.pcapng; recorded: last 20, without silent weight; only: (type in (spike, error)) and (pe == 7.5)"
        in caption
    )
    assert "ticks 0 to 9 of 0 to 24" in caption and "ticks 0 to 9 of 0 to 24" in "; ".join(figure.notes)


@pytest.mark.parametrize("kind", ["raster", "timeline"])
def test_axes_stay_when_few_events_are_left(kind: str) -> None:
    """Of a filter the axis of the trace; of --ticks these ticks, as far as the trace goes."""
    few = select(TRACE, "type == error and tick == 7")
    for ticks, first, last in ((None, 0, 24), ((2, 12), 2, 11), ((2, 1 << 32), 2, 24)):
        figure = FIGURES[kind](few, ticks=ticks)
        low, high = figure.axes[0].get_xlim()
        assert first - 1 < low <= first - 0.5 and last + 0.5 <= high < last + 1
        assert figure.contents["ticks"] == [first, last]


@pytest.mark.parametrize("kind", ["raster", "timeline"])
def test_an_axis_of_one_tick_has_no_fractions(kind: str) -> None:
    figure = FIGURES[kind](TRACE, ticks=(3, 4))
    assert "tick 3 of 0 to 24" in figure.notes
    FigureCanvasAgg(figure).draw()
    low, high = figure.axes[0].get_xlim()
    assert [t for t in figure.axes[0].get_xticks() if low <= t <= high] == [3]


def test_scales_say_that_they_are_logarithmic() -> None:
    recording = Recording()
    for tick in range(40):
        for _ in range(1 if tick else 2000):
            recording.send(tick, INPUT, Type.SPIKE, 0x10000000, {LAYER_1: 2, chain(1)[0]: 0} if tick else {LAYER_1: 2})
    trace = recording.trace()
    labels = "\n".join(texts(plot.timeline(trace)))
    assert "packets sent per tick (logarithmic)" in labels and "packets per tick (logarithmic)" in labels
    assert "packets over a link (arrows)" in "\n".join(texts(plot.mesh(trace)))
    assert "logarithmic" not in "\n".join(texts(plot.timeline(TRACE)) + texts(plot.mesh(TRACE)))
    links = [texts(plot.mesh(t)) for t in (trace, TRACE)]
    assert ["packets over a link (arrows) (logarithmic)" in link for link in links] == [True, False]


def test_one_error_is_no_errors() -> None:
    recording = Recording()
    recording.send(7, LAYER_2, Type.ERROR, 0x22000001, {LAYER_1: 3}, words_of([-0.5]))
    recording.send(7, LAYER_2, Type.SPIKE, 0x22000001, {LAYER_1: 3})
    assert {"1 negative error", "1 spike"} <= set(texts(plot.raster(recording.trace())))


def test_a_users_types_have_colours_of_their_own() -> None:
    meta = Meta({"7.5.0": PeInfo("p", [], [f"{letter}-s" for letter in "abcdefghijkl"])})
    colours = [colour_of_type(meta, number) for number in range(16)]
    assert len(set(colours)) == 16
    assert [colour_of_type(TRACE.meta, kind) for kind in (Type.SPIKE, Type.ERROR, Type.GRADIENT)] == [
        BLUE,
        VERMILLION,
        GREEN,
    ]


# --- command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example as a file in the current directory."""
    monkeypatch.chdir(tmp_path)
    write_trace("example.pcapng", TRACE)
    return "example.pcapng"


@pytest.mark.parametrize("kind", FIGURES)
def test_command(kind: str, file: str, capsys: Capture) -> None:
    assert run(["trace", "plot", kind, file]) == 0
    assert capsys.readouterr().out == f"example-{kind}.png\n"
    assert Path(f"example-{kind}.png").read_bytes() == to_bytes(FIGURES[kind](read_trace("example.pcapng")), "png")


def test_command_says_what_it_left_out(file: str, capsys: Capture) -> None:
    assert run(["trace", "plot", "raster", file, "--json"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert err == "Shown: quad 7.5, one of 3 (see --pes)\n"
    assert content["notes"] == ["quad 7.5, one of 3 (see --pes)"]
    assert content["points"] == {"spike": 24, "error": 12, "dropped": 4}
    assert (content["file"], content["figure"], content["events"]) == ("example-raster.png", "raster", 420)
    assert content["problem"] is None


@pytest.mark.parametrize("kind", FIGURES)
def test_json_of_every_figure(kind: str, file: str, capsys: Capture) -> None:
    assert run(["trace", "plot", kind, file, "--json", "-o", "f.svg"]) == 0
    content = json.loads(capsys.readouterr().out)
    figure = FIGURES[kind](read_trace(file))
    assert {name: content[name] for name in figure.contents} == json.loads(json.dumps(figure.contents))
    assert Path("f.svg").read_bytes() == to_bytes(figure, "svg")


def test_options(file: str, capsys: Capture) -> None:
    def answer(*arguments: str) -> dict[str, Any]:
        assert run(["trace", "plot", *arguments, "--json"]) == 0
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        return content

    content = answer("raster", file, "type == spike", "--pes", "6.6", "--pes", "6.5.1", "--ticks", ":13")
    assert content["pes"] == ["6.6.0", "6.6.1", "6.6.2", "6.5.1"]
    assert content["points"]["error"] == 0
    assert content["ticks"] == [0, 13]
    assert answer("sequence", file, "--quad", "6.5")["pes"][:4] == ["6.5.0", "6.5.1", "6.5.2", "6.5.3"]
    assert answer("sequence", file, "--pes", "5.3.0", "--pes", "7.5.1")["pes"] == ["5.3.0", "7.5.1"]
    assert answer("mesh", file, "type == gradient")["packets"] == 48
    assert answer("timeline", file, "--ticks", "13:")["ticks"] == [13, 24]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mesh", "example.pcapng", "type == silent"], "none of 420 events is left by 'type == silent'"),
        (["mesh", "example.pcapng", "-o", "f.bmp"], "f.bmp: figures are written as .png, .svg, .pdf"),
        (["mesh", "example.pcapng", "-o", "no/such/f.png"], "no/such/f.png: No such file or directory"),
        (["mesh", "missing.pcapng"], "missing.pcapng"),
        (["mesh", "example.pcapng", "--ticks", "5-9"], "'5-9' is not a range of ticks"),
        (["mesh", "example.pcapng", "--ticks", "5:4"], "'5:4' contains no tick"),
        (["raster", "example.pcapng", "--pes", "9.9.9"], "'9.9.9' is no PE"),
        (["sequence", "example.pcapng", "--quad", "7.5.1"], "'7.5.1' is no quad"),
        (["sequence", "example.pcapng", "--quad", "7.5", "--pes", "1.1"], "give one of them"),
        (["sequence", "example.pcapng", "--pes", "7.5.0"], "no packets between 7.5.0"),
    ],
)
def test_refused(arguments: list[str], message: str, file: str, capsys: Capture) -> None:
    assert run(["trace", "plot", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in " ".join(err.split())
    assert not out
    assert not list(Path().glob("*.bmp")) + list(Path().glob("*.png"))


def test_an_empty_trace_is_refused(file: str, capsys: Capture) -> None:
    write_trace("empty.pcapng", Trace(np.empty(0, EVENT), TRACE.meta))
    assert run(["trace", "plot", "timeline", "empty.pcapng"]) == 2
    assert "empty.pcapng holds no events" in capsys.readouterr().err


def test_without_matplotlib(file: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for name in [name for name in sys.modules if name.startswith("spinn2host.traces.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("spinn2host.traces.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["trace", "plot", "mesh", file]) == 2
    assert "figures need matplotlib: pip install 'spinn2emu[trace]'" in " ".join(capsys.readouterr().err.split())
