"""What networks of py-spinnaker2 are refused for, in whose name; what is only said; what is left after it."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from snn_networks import BASIC, network, run

from spinn2emu.errors import ConfigError, NoSuchChip, PeFailed, Spinn2Error, SramOverflow
from spinn2host.spinnaker2 import hardware, snn
from spinn2host.spinnaker2.models import MODELS, UNPUBLISHED
from spinn2host.spinnaker2.settings import settings

pytestmark = pytest.mark.usefixtures("board")


def shown(value: object) -> str:
    """As a test's name, which must be the same in every process."""
    return type(value).__name__ if " at 0x" in repr(value) else repr(value)


def stim(params: Any = None, size: int = 2, **more: Any) -> snn.Population:
    return snn.Population(size, "spike_list", {} if params is None else params, name="stim", **more)


def lif(size: Any = 2, model: str = "lif", name: str = "pop", record: Any = None, **params: Any) -> snn.Population:
    decays = {"exc_decay": 0.5, "inh_decay": 0.5} if "curr_exp" in model else {}
    return snn.Population(size, model, BASIC | decays | params, name=name, record=record)


def connected(rows: Any, model: str = "lif") -> snn.Network:
    source, pop = stim(), lif(model=model)
    return network(source, pop, snn.Projection(source, pop, rows, name="proj"))


def refused(do: Callable[[], object], *texts: str, **fields: Any) -> ConfigError:
    """The error of what is not done: it has these texts, and these fields."""
    with pytest.raises(ConfigError) as caught:
        do()
    for text in texts:
        assert text in str(caught.value)
    assert {name: caught.value.fields.get(name) for name in fields} == fields
    return caught.value


# --- populations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LIF", "neurofem_2048", "", None, 3, ["lif"]])
def test_unknown_models(name: Any) -> None:
    refused(lambda: snn.Population(1, name, {}), repr(name), *MODELS, model=str(name))


def test_a_model_with_a_misspelt_name_gets_a_hint() -> None:
    refused(lambda: snn.Population(1, "lif_cur_exp", {}), "did you mean 'lif_curr_exp'?")


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_models_that_nobody_has_published(name: str) -> None:
    refused(lambda: snn.Population(1, name, {}), repr(name), "refused", "nobody has published", UNPUBLISHED[name],
            model=name)  # fmt: skip


@pytest.mark.parametrize("name, hint", [("thresold", " (did you mean 'threshold'?)"), ("tau_m", "'tau_m':")])
def test_unknown_parameters(name: str, hint: str) -> None:
    refused(lambda: lif(**{name: 1.0}), f"has no parameter {name!r}", hint, "alpha_decay, i_offset, reset, threshold",
            population="pop", parameter=name)  # fmt: skip


@pytest.mark.parametrize("name", ["t_refrac", "t_refract", "v_rest", "exc_decay"])
def test_parameters_of_other_models_are_left_out_and_named_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run(network(lif(**{name: 1})), 1)
    assert (
        capsys.readouterr().err == f"spinn2emu: population pop: model lif has no parameter {name!r}: it is not used\n"
    )


@pytest.mark.parametrize("model, name", [("lif", "alpha_decay"), ("lif_curr_exp", "exc_decay")])
def test_missing_parameters(model: str, name: str) -> None:
    pop = lif(model=model)
    del pop.params[name]
    refused(lambda: run(network(pop), 1), f"model {model} needs {name!r}", population="pop", parameter=name)


def test_a_threshold_that_is_left_out_is_1_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    pop = snn.Population(1, "lif", {"alpha_decay": 1.0, "i_offset": 0.5}, name="pop")
    run(network(pop), 4)
    assert pop.get_spikes() == {0: [1, 3]}
    assert "population pop: threshold is left out, 1 is taken" in capsys.readouterr().err


NO_NUMBERS = [float("nan"), float("inf"), -np.inf, 1e39, [1, 2, 3], "a", [None, 1], 1j, {}, [], [[1], [2, 3]], object,
              "3", b"3", None]  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS, ids=shown)
@pytest.mark.parametrize("name", ["threshold", "v_init"])
def test_parameters_that_are_no_numbers_or_too_few(name: str, value: Any) -> None:
    pop = lif(**{name: value})
    refused(lambda: run(network(pop), 1), name, population="pop", parameter=name)


@pytest.mark.parametrize("value", [[2, 1], (2, 1), np.array([2, 1], np.int8), np.array([[2], [1]]), range(2, 0, -1)])
def test_parameters_may_be_sequences_of_any_shape(value: Any) -> None:
    pop = lif(threshold=value, i_offset=np.array([1], np.float32), alpha_decay=True)
    run(network(pop), 4)
    assert pop.get_spikes() == {0: [1, 3], 1: [0, 1, 2, 3]}


@pytest.mark.parametrize("value", [-1, 1.5, 65536, [0, -1]], ids=shown)
def test_refractory_times_are_whole_ticks(value: Any) -> None:
    pop = lif(model="lif_curr_exp", t_refrac=value)
    refused(lambda: run(network(pop), 1), "0 to 65535", repr(value), population="pop", parameter="t_refrac")
    pop.params["t_refrac"] = [65535, 0.0]
    run(network(pop), 1)


def test_resets_have_two_names() -> None:
    refused(lambda: run(network(lif(reset="subtract")), 1), "'reset_by_subtraction' or 'reset_to_v_reset'",
            "'subtract'", population="pop", parameter="reset")  # fmt: skip
    refused(lambda: run(network(lif(reset=np.arange(3))), 1), "not array([0, 1, 2])", parameter="reset")


@pytest.mark.parametrize("record", ["V", ["spikes", "u"], 3, [None]], ids=shown)
def test_unknown_records(record: Any) -> None:
    names = "only spikes, v, v_last, time_done, n_packets"
    wrong = record[-1] if isinstance(record, list) else record
    refused(lambda: lif(record=record), f"cannot record {wrong!r}", names, population="pop", record=str(wrong))


def test_spike_lists_have_no_voltages() -> None:
    refused(lambda: stim(record=["v"]), "spike_list cannot record 'v', only spikes, time_done, n_packets")


@pytest.mark.parametrize("params", [[1], 3, "x"])
@pytest.mark.parametrize("model", ["lif", "spike_list"])
def test_params_are_a_dictionary(model: str, params: Any) -> None:
    refused(lambda: snn.Population(1, model, params, name="pop"), f"not {type(params).__name__}", population="pop")


@pytest.mark.parametrize("neuron", [2, -1, "a", 1.5, None], ids=shown)
def test_spike_lists_of_neurons_that_do_not_exist(neuron: Any) -> None:
    refused(lambda: run(network(stim({neuron: [1]})), 1), f"there is no neuron {neuron!r}, only 0 to 1",
            population="stim", neuron=repr(neuron))  # fmt: skip


@pytest.mark.parametrize("ticks", [[1.5], [-1], 3, "ab", None, [[1, 2]], [1 << 32], [float("nan")], [1j],
                                   "12", iter([1]), map(int, "12")], ids=shown)  # fmt: skip
def test_spike_lists_of_ticks_that_do_not_exist(ticks: Any) -> None:
    refused(lambda: run(network(stim({1: ticks})), 1), "the spikes of neuron 1", repr(ticks), population="stim",
            neuron=1)  # fmt: skip


def test_a_tick_that_is_listed_twice_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    source = stim({0: [3, 1, 3.0], np.int8(1): np.array([2.0, 2.0]), True: ()} | {1: [2, 2]})
    run(network(source), 5)
    assert source.get_spikes() == {0: [1, 3], 1: [2]}
    assert "population stim: 2 spikes are in the list twice" in capsys.readouterr().err


@pytest.mark.parametrize("size", [0, -1, 1.5, "a", None, 2.0], ids=shown)
def test_sizes_are_whole_numbers(size: Any) -> None:
    refused(lambda: run(network(lif(size)), 1), "its size", repr(size), population="pop", size=repr(size))


@pytest.mark.parametrize("most", [0, 257, -1, 1.5, "a", None, float("nan")], ids=shown)
def test_a_pe_holds_1_to_256_neurons(most: Any) -> None:
    refused(lambda: lif().set_max_atoms_per_core(most), "1 to 256", f"not {most!r}", population="pop", limit=256)


# --- projections ------------------------------------------------------------------------------------------------------

NO_ROWS = [
    None, 3, "abc", {0: 1}, [[0, 0, 1]], [[0, 0, 1, 0, 0]], [0, 0, 1, 0], [[0, 0, 1, 0], [0, 0]], [["a", 0, 1, 0]],
    ([0, 1], [0, 1]), np.zeros(3), np.zeros((2, 3)), np.zeros((2, 2, 2)), iter([[0, 0, 1, 0]]), [[0, 0, 1j, 0]],
    [[0, 0, [1], 0]], np.array(3),
]  # fmt: skip


@pytest.mark.parametrize("rows", NO_ROWS, ids=shown)
def test_connections_are_rows_of_four_numbers(rows: Any) -> None:
    refused(lambda: run(connected(rows), 1), "projection proj: connections are rows of four numbers", projection="proj")


@pytest.mark.parametrize(
    "model, row, texts",
    [
        ("lif", [0, 1, 16, 0], "weights into lif are -15 to 15, as its synapses have 4 bits"),
        ("lif_curr_exp", [0, 1, -16, 0], "-15 to 15"),
        ("lif", [0, 1, 15.6, 0], "-15 to 15"),
        ("lif_no_delay", [0, 1, 128, 0], "-127 to 127, as its synapses have 7 bits"),
        ("lif_curr_exp_no_delay", [0, 1, -1e300, 0], "-127 to 127"),
        ("lif", [0, 1, float("nan"), 0], "finite"),
        ("lif", [0, 1, -np.inf, 0], "finite"),
        ("lif", [0, 1, 1, 8], "delays are whole numbers, 0 to 7"),
        ("lif", [0, 1, 1, -1], "0 to 7"),
        ("lif", [0, 1, 1, 0.5], "0 to 7"),
        ("lif", [0, 1, 1, float("nan")], "0 to 7"),
        ("lif_no_delay", [0, 1, 1, 8], "0 to 7"),
        ("lif", [2, 1, 1, 0], "pre is a neuron, 0 to 1"),
        ("lif", [-1, 1, 1, 0], "pre is a neuron, 0 to 1"),
        ("lif", [0.5, 1, 1, 0], "pre is a neuron, 0 to 1"),
        ("lif", [0, 2, 1, 0], "post is a neuron, 0 to 1"),
        ("lif", [0, np.nan, 1, 0], "post is a neuron, 0 to 1"),
    ],
)
def test_rows_that_cannot_be(model: str, row: list[float], texts: str) -> None:
    rows = [[0, 0, 1, 0], row, [0, 0, 2, 0], row]
    shown = f"connection 1, [{', '.join(f'{value:g}' for value in row)}], and 1 others cannot be"
    wrong = next(value for value, good in zip(row, (0, 1, None, 0), strict=True) if good is None or value != good)
    error = refused(lambda: run(connected(rows, model), 1), "projection proj", texts, shown, projection="proj",
                    connection=1, count=2)  # fmt: skip
    assert np.array_equal(error.fields["value"], row[3] if "delays" in str(error) else wrong, equal_nan=True)


def test_weights_with_fractions_are_rounded_to_the_nearest_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    net = connected([[0, 0, 2.25, 0], [0, 1, -14.6, 0], [1, 0, 3, 0], [1, 1, 0.5, 0]])
    for _ in range(2):
        run(net, 1)
    assert capsys.readouterr().err == (
        "spinn2emu: projection proj: 3 of 4 weights are no whole numbers: they are rounded to the nearest, which "
        "changes one by 0.5\n"
    )
    assert net.projections[0].synapses().words.tolist() == [2 << 12, 15 << 12 | 1 << 8, 3 << 12, 0]  # type: ignore[union-attr]


def test_strict_weights_are_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "strict_weights", True)
    run(connected([[0, 0, 2.0, 0]]), 1)
    refused(lambda: run(connected([[0, 0, 2.25, 0], [0, 1, 3, 0]]), 1), "projection proj: 1 of 2 weights",
            "--strict-weights", projection="proj", count=1)  # fmt: skip


def test_delays_into_models_without_any_are_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    net = connected([[0, 0, 1, 3]], "lif_no_delay")
    net.populations[0].params = {0: [0]}
    run(net, 3)
    assert net.populations[1].get_spikes()[0] == [1]
    assert "projection proj: the delays are not used" in capsys.readouterr().err


def test_what_projections_connect() -> None:
    refused(lambda: snn.Projection(lif(), stim(), [], "proj"), "population stim", "takes no input", projection="proj")
    refused(lambda: snn.Projection(lif(), "pop", [], "proj"), "post is a Population, not str")  # type: ignore[arg-type]
    refused(lambda: snn.Projection([[0, 0, 1, 0]], lif(), lif()), "pre is a Population, not list")  # type: ignore[arg-type]
    refused(lambda: snn.Network().add([lif()]), "not list: add(one, another, ...)")  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [0, 1])
def test_populations_that_are_not_in_the_network(missing: int) -> None:
    net = connected([])
    left_out = net.populations.pop(missing).name
    refused(lambda: run(net, 1), f"projection proj: population {left_out} is not in network 'net': add it",
            population=left_out, projection="proj")  # fmt: skip
    refused(net.validate, "is not in network")


SIZE = {"in_height": 4, "in_width": 4}
ONES = np.ones((1, 1, 2, 2))


@pytest.mark.parametrize(
    "weights, params, text",
    [
        (ONES[0], SIZE, "kernels are numbers (input channels, output channels, height, width), not of shape (1, 2, 2)"),
        ("a", SIZE, "kernels are numbers"),
        (ONES * 1j, SIZE, "kernels are numbers"),
        (ONES * 1.5, SIZE, "int8, whole numbers from -128 to 127; 4 are not, such as 1.5"),
        (ONES * 128, SIZE, "such as 128"),
        (ONES * np.nan, SIZE, "such as nan"),
        (np.ones((1, 2, 2, 2)), SIZE, "post population has 9 neurons, the convolution 18: 2 x 3 x 3 (channels"),
        (np.ones((2, 1, 2, 2)), SIZE, "pre population has 16 neurons, the convolution 32: 2 x 4 x 4 (channels"),
        (ONES, {}, "in_height is a whole number from 1 on, not None"),
        (ONES, None, "params is a dictionary, not NoneType"),
        (ONES, SIZE | {"stride": 2}, "there is no parameter 'stride' of a convolution, only in_height"),
        (ONES, SIZE | {"stride_x": 0}, "stride_x is a whole number from 1 on, not 0"),
        (ONES, SIZE | {"pad_top": 1.5}, "pad_top is a whole number from 0 on, not 1.5"),
        (np.ones((1, 1, 9, 9)), SIZE, "kernels of 9 x 9 are larger than the input"),
        (ONES, SIZE | {"pool_x": 5}, "kernels of 2 x 2 are larger than the input"),
    ],
)
def test_convolutions_that_cannot_be(weights: Any, params: Any, text: str) -> None:
    source, pop = stim(size=16), lif(9, "lif_conv2d")
    net = network(source, pop, snn.Conv2DProjection(source, pop, weights, params, "conv"))
    refused(lambda: run(net, 1), "projection conv", text, projection="conv")


def test_a_pair_has_synapses_or_one_convolution() -> None:
    source, pop = stim(size=16), lif(9, "lif_conv2d")
    synapses, other = snn.Projection(source, pop, [[0, 0, 1, 0]], "proj"), snn.Projection(pop, pop, [])
    convolutions = [snn.Conv2DProjection(source, pop, ONES, SIZE, f"conv{i}") for i in range(2)]
    run(network(source, pop, convolutions[0], other), 1)
    for one, two in itertools.permutations([synapses, *convolutions], 2):
        net = network(source, pop, one, two)
        refused(partial(run, net, 1), "population stim is connected to population pop", projection=two.name)
    refused(lambda: snn.Conv2DProjection(source, lif(9), ONES, SIZE, "conv"), "convolutions lead to lif_conv2d")


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timesteps", [-1, 1.5, "a", None, float("nan"), float("inf"), 1j], ids=shown)
def test_timesteps_are_whole_numbers(timesteps: Any) -> None:
    refused(lambda: run(network(lif()), timesteps), "timesteps", repr(timesteps), timesteps=repr(timesteps))


def test_timesteps_are_words_of_32_bits() -> None:
    refused(
        lambda: run(network(lif(record=[])), 1 << 32), "timesteps is at most 4,294,967,295, not", limit=(1 << 32) - 1
    )


@pytest.mark.parametrize("timesteps", [3.0, np.int16(3), np.float32(3)], ids=shown)
def test_timesteps_may_be_of_any_kind_of_number(timesteps: Any) -> None:
    pop = lif(i_offset=1.0)
    run(network(pop), timesteps)
    assert pop.get_spikes()[1] == [0, 1, 2]


@pytest.mark.parametrize("tick", [0, -1e-3, "a", None, float("nan")], ids=shown)
def test_a_tick_takes_time(tick: Any) -> None:
    refused(lambda: run(network(lif()), 1, sys_tick_in_s=tick), "sys_tick_in_s is a time above 0", repr(tick))


def test_what_runs_is_a_network() -> None:
    refused(lambda: run(lif(), 1), "run wants a Network, not Population")  # type: ignore[arg-type]


def test_what_got_into_a_network_by_its_lists_is_looked_at() -> None:
    net = network(lif())
    net.populations.append("pop")  # type: ignore[arg-type]
    refused(lambda: run(net, 1), "a network holds populations and projections, not str")


@pytest.mark.parametrize("name, text", [
    ("", "''"), ("a\nb", "'a\\nb'"), ("\x1b[31m", "'\\x1b[31m'"), ("x" * 1000, "x" * 63 + "…"), (3, "3"),
])  # fmt: skip
def test_names_are_shown_on_one_line(name: Any, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows: Any = [[0, 5, 1, 0]]
    net = network(source := stim(), pop := lif(), snn.Projection(source, pop, rows, name=name))
    refused(lambda: run(net, 1), f"projection {text}: post is a neuron")
    run(network(lif(name=name or "''")), 1, mapping_only=True, debug=True)
    assert f"\n{text}[0:2] on PE 1.1.0" in capsys.readouterr().err


@pytest.mark.parametrize("address", [3, b"emu://desk", ["desk"], "emu://"], ids=shown)
def test_addresses_that_are_none(address: Any) -> None:
    refused(lambda: hardware.SpiNNaker2Chip(eth_ip=address).run(network(lif()), 1), "eth_ip", repr(address))


def test_boards_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match=r"it has FPGA_Rev2, SpiNNaker2Chip, SpiNNcloud48NodeBoard, halt$"):
        hardware.SpiNNaker3Chip  # type: ignore[attr-defined]  # noqa: B018


def test_chips_that_do_not_run() -> None:
    with pytest.raises(NoSuchChip, match="nope"):
        hardware.SpiNNaker2Chip(eth_ip="emu://nope").run(network(lif()), 1)


@pytest.mark.parametrize("board", [hardware.SpiNNaker2Chip, hardware.SpiNNcloud48NodeBoard])
def test_a_chip_has_148_pes(board: Any) -> None:
    net = network(lif(147 * 250 + 1, record=[]), stim())
    error = refused(lambda: board().run(net, 1), "network 'net' needs 149 PEs, 148 are there. pop: 148 (36751 neurons, "
                    "250 per PE), stim: 1 (2 neurons, 2 per PE)", needed=149, limit=148,
                    populations={"pop": 148, "stim": 1})  # fmt: skip
    assert ("several chips are not emulated" in str(error)) is (board is hardware.SpiNNcloud48NodeBoard)
    net.populations[0].size -= 1
    board().run(net, 1, mapping_only=True)


def test_populations_of_the_same_name_are_counted_together() -> None:
    net = network(lif(100 * 250), lif(60 * 250))
    refused(lambda: run(net, 1), "pop: 100 (25000", "pop: 60 (15000", needed=160, populations={"pop": 160})
    net.populations[0].size = 1 << 60
    refused(lambda: run(net, 1), "148 are there")


@pytest.mark.parametrize(
    "net, ticks, row",
    [
        (lambda: network(lif(record=["v"])), 20000, "160,000 B  voltages"),
        (lambda: network(lif(record=["spikes"])), 100000, "1,200,000 B  spikes"),
        (lambda: connected([[0, 0, 1, 0]] * 47000), 1, "94,000 B  words"),
        (lambda: network(stim({0: range(20000)}), lif()), 1, "80,000 B  tick"),
    ],
)
def test_a_neuron_that_does_not_fit_a_pe(net: Callable[[], snn.Network], ticks: int, row: str) -> None:
    with pytest.raises(SramOverflow) as caught:
        run(net(), ticks)
    assert row in str(caught.value) and "of 94,208 B" in str(caught.value)
    assert "record less, run fewer ticks, or connect less" in str(caught.value)
    assert caught.value.fields["needed"] > caught.value.fields["limit"] == 94208
    assert caught.value.fields["population"] in ("pop", "stim")


def test_populations_that_are_split_by_memory_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    run(network(lif(200, record=["v"])), 1000, mapping_only=True)
    said = "spinn2emu: population pop: 21 neurons fit a PE, not 200: of its 94,208 bytes, voltages take 88,000\n"
    assert capsys.readouterr().err == said


# --- what is left -----------------------------------------------------------------------------------------------------


def too_much() -> snn.Network:
    """A network whose weights add up to 65550 in tick 4."""
    net = connected([[0, 1, 15, 2]] * 4370)
    net.populations[0].params = {0: [1]}
    return net


def test_the_weights_of_a_tick_add_up_to_65535_at_most_and_the_next_run_is_as_ever() -> None:
    net = too_much()
    run(net, 2)
    with pytest.raises(PeFailed, match=r"add up to more than 65535 for a neuron") as caught:
        run(net, 10)
    assert "population pop" in str(caught.value)
    assert caught.value.fields["population"] == "pop" and caught.value.fields["tick"] == 2
    refused(net.populations[1].get_spikes, "no 'spikes' yet")
    net.projections[0].connections.pop()  # type: ignore[union-attr]
    run(net, 10)
    assert net.populations[1].get_spikes()[1][0] == 4


def test_a_chip_that_has_died_is_replaced() -> None:
    pop = lif(i_offset=1.0)
    net = network(pop)
    run(net, 1)
    (chip,) = hardware._chips.values()
    os.kill(chip.pid, signal.SIGKILL)
    with pytest.raises(Spinn2Error):
        run(net, 1)
    refused(pop.get_spikes, "run its network first")
    run(net, 1)
    assert pop.get_spikes() == {0: [0], 1: [0]}


def test_results_are_there_after_a_run_if_they_are_recorded() -> None:
    pop = lif(i_offset=1.0, record=["v"])
    refused(pop.get_voltages, "population pop has no 'v' yet: run its network first", population="pop", record="v")
    refused(pop.get_spikes, "population pop records v, not 'spikes': name it in `record`", record="spikes")
    refused(lambda: pop.get_variable("u"), "records v, not 'u'")
    for get in (pop.get_n_packets, pop.get_time_done_times):
        refused(get, "records v, not")
    refused(lif(record=[]).get_spikes, "population pop records nothing, not 'spikes'")
    net = network(pop)
    run(net, 2, mapping_only=True)
    refused(pop.get_voltages, "run its network first")
    run(net, 2)
    assert pop.get_variable("v")[0].tolist() == pop.get_voltages()[0].tolist() == [0, 0]
    net.reset()
    refused(pop.get_voltages, "run its network first")


def test_a_run_that_is_refused_leaves_the_results_of_the_one_before() -> None:
    pop = lif(i_offset=1.0)
    run(network(pop), 2)
    pop.params["threshold"] = "high"
    refused(lambda: run(network(pop), 2), "'high'")
    assert pop.get_spikes() == {0: [0, 1], 1: [0, 1]}


def test_sizes_values_and_records_may_change_between_runs() -> None:
    source, pop = stim({0: [0]}, record=["spikes"]), lif(0, record=[], threshold=2.0)
    net = network(source, pop)
    source.params[1] = [1, 2]
    pop.size += 3
    pop.record.append("v")
    pop.params["v_init"] = 0.5
    projection = snn.Projection(source, pop, [[0, 2, 1, 0]])
    net.add(projection)
    run(net, 3)
    assert source.get_spikes() == {0: [0], 1: [1, 2]}
    first = {0: [0.25, 0.125, 0.0625], 1: [0.25, 0.125, 0.0625], 2: [0.25, 1.125, 0.5625]}
    assert {i: v.tolist() for i, v in pop.get_voltages().items()} == first
    for board in (hardware.SpiNNaker2Chip(), hardware.FPGA_Rev2(), hardware.SpiNNcloud48NodeBoard(stm_ip="x")):
        net.reset()
        board.run(net, 3)
        assert {i: v.tolist() for i, v in pop.get_voltages().items()} == first
    projection.connections[0][1] = 0
    pop.record, pop.size, pop.params = ["spikes", "v_last"], 1, BASIC | {"v_init": 0.5}
    run(net, 3)
    assert pop.get_spikes() == {0: [1]}
    assert {i: v.tolist() for i, v in pop.get_voltages().items()} == {0: [0.0625]}
    pop.record = ["v_last", "v"]
    run(net, 3)
    assert pop.get_voltages()[0].tolist() == [0.25, 0.125, 0.0625]
    refused(pop.get_spikes, "records v_last, v, not 'spikes'")


def test_what_changes_is_checked_when_it_runs() -> None:
    changes = {"record": ["w"], "params": {"alpha": 1}, "neuron_model": "LIF"}
    for (name, value), text in zip(changes.items(), ("'w'", "'alpha' (did you mean", "'LIF'"), strict=True):
        pop = lif()
        setattr(pop, name, value)
        refused(partial(run, network(pop), 1), text)
    source, pop = stim(record=["spikes"]), lif()
    source.record.append("v")
    refused(lambda: run(network(source, pop), 1), "population stim", "cannot record 'v'")


def test_the_last_voltages_are_those_of_the_last_tick() -> None:
    pop = lif(5, i_offset=np.arange(5) / 8, record=["v_last", "v"])
    pop.set_max_atoms_per_core(2)
    run(network(pop), 7)
    last = {i: v[-1:].tolist() for i, v in pop.get_voltages().items()}
    assert {i: v.tolist() for i, v in pop.get_variable("v_last").items()} == last
    assert len({v[0] for v in last.values()}) == 5


def test_records_are_the_populations_own() -> None:
    record, params = ["spikes"], dict(BASIC)
    pops = [snn.Population(1, "lif", params, record=record) for _ in range(2)]
    pops[0].record.append("v")
    assert pops[1].record == record == ["spikes"]
    assert pops[0].params is pops[1].params is params
    run(network(*pops), 1)
    assert params == BASIC
    spikes = pops[0].get_spikes()
    spikes.clear()
    assert pops[0].get_spikes() == {0: []}
