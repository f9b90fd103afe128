"""Networks of py-spinnaker2 on the chip, against a model in numpy: spikes exactly, voltages to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import snn_model
from conftest import Chips
from helpers import BOOTS
from hypothesis import HealthCheck, Phase, given, settings
from snn_networks import Recipe, assert_as_modelled, network, recipes, results, run, small

from spinn2emu import geometry
from spinn2fw.kernels.synapses import ENTRY, PART, SPIKES, find
from spinn2host.chip import Chip
from spinn2host.spinnaker2 import hardware, snn
from spinn2host.spinnaker2.layout import map_network, part_key

pytestmark = pytest.mark.usefixtures("board")


SHAPES = [
    {"in_height": 6, "in_width": 5},
    {"in_height": 6, "in_width": 5, "pad_top": 1, "pad_left": 2},
    {"in_height": 6, "in_width": 5, "pad_bottom": 2, "pad_right": 1, "stride_y": 2},
    {"in_height": 7, "in_width": 9, "stride_x": 3, "stride_y": 2, "pad_top": 1, "pad_right": 1},
    {"in_height": 9, "in_width": 11, "pool_x": 2, "pool_y": 3, "pad_left": 1, "pad_right": 2},
    {"in_height": 11, "in_width": 13, "pool_x": 3, "pool_y": 2, "stride_x": 2, "pad_top": 2, "pad_bottom": 1},
]


def convolution(rng: np.random.Generator, params: dict[str, int], kernel: tuple[int, int], most: int) -> list[Any]:
    """Two channels of spikes, three of neurons, and the convolution between them."""
    pool_y, pool_x = params.get("pool_y", 1), params.get("pool_x", 1)
    height = params["in_height"] // pool_y + params.get("pad_top", 0) + params.get("pad_bottom", 0) - kernel[0]
    width = params["in_width"] // pool_x + params.get("pad_left", 0) + params.get("pad_right", 0) - kernel[1]
    size = 3 * (height // params.get("stride_y", 1) + 1) * (width // params.get("stride_x", 1) + 1)
    n = 2 * params["in_height"] * params["in_width"]
    stim = snn.Population(n, "spike_list", {i: np.flatnonzero(rng.random(8) < 0.5).tolist() for i in range(n)})
    pop = small(size, "lif_conv2d", threshold=150.0, alpha_decay=0.75, i_offset=rng.uniform(0, 300, size))
    pop.set_max_atoms_per_core(most)
    stim.set_max_atoms_per_core(3 * most if most < 80 else most)
    weights = rng.integers(-128, 128, (2, 3, *kernel)).astype(np.int8)
    weights.flat[0] = -128
    return [stim, pop, snn.Conv2DProjection(stim, pop, weights, params)]


# --- random networks --------------------------------------------------------------------------------------------------


@given(recipes())
@settings(
    max_examples=20, derandomize=True, phases=[Phase.generate],  # to shrink would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_random_networks_do_what_the_model_does(recipe: Recipe) -> None:
    net = recipe.build()
    run(net, recipe.ticks)
    assert_as_modelled(net, recipe.ticks)
    per_pe = dict(zip(net.populations, recipe.per_pe, strict=True))
    spikes = {population: population.get_spikes() for population in net.populations}
    for population, parts in snn_model.packets(net, recipe.ticks, spikes, per_pe).items():
        assert [heard.tolist() for heard in population.get_n_packets().values()] == parts


# all models, all talk to all, themselves included
DENSE = Recipe(11, 30, (11, 5), ((23, "lif", True), (17, "lif_curr_exp", False), (31, "lif_no_delay", False),
               (9, "lif_curr_exp_no_delay", True)), tuple((i, j, 150) for i in range(6) for j in range(2, 6)),
               (4, 2, 5, 17, 10, 4))  # fmt: skip


def test_the_dense_network_does_what_the_model_does() -> None:
    net = DENSE.build()
    run(net, DENSE.ticks)
    assert_as_modelled(net, DENSE.ticks)
    for population in net.populations[1:]:
        assert 2 < sum(map(len, population.get_spikes().values())) / population.size < 25  # it is worth comparing


@pytest.mark.parametrize("most", [1, 3, 16, 256])
def test_splits_do_not_matter(most: int) -> None:
    net = DENSE.split(most).build()
    run(net, DENSE.ticks)
    assert_as_modelled(net, DENSE.ticks)


@pytest.mark.parametrize("options", [*BOOTS.values(), {"strict": True}], ids=[*BOOTS, "strict"])
def test_the_way_a_chip_was_booted_does_not_matter(
    options: dict[str, Any], chips: Chips, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, other = DENSE.build(), DENSE.build()
    for net in (usual, other):
        net.add(*convolution(np.random.default_rng(3), SHAPES[5], (2, 3), 17))
    run(usual, DENSE.ticks)
    monkeypatch.setattr(hardware, "_private_chip", lambda: chips(**options))
    run(other, DENSE.ticks)
    assert results(usual) == results(other)
    assert_as_modelled(other, DENSE.ticks)


# --- sizes and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "most, parts",
    [(None, {1: 1, 249: 1, 250: 1, 251: 2, 256: 2, 257: 2, 501: 3}), (256, {1: 1, 255: 1, 256: 1, 257: 2})],
)
def test_how_many_neurons_are_on_a_pe(most: int | None, parts: dict[int, int]) -> None:
    net = network()
    for size in parts:
        stim = snn.Population(size, "spike_list", {i: [i % 7] for i in range(size)}, record=["spikes", "n_packets"])
        pop = small(size)
        for population in (stim, pop):
            population.set_max_atoms_per_core(most or population.get_max_atoms_per_core())
        net.add(stim, pop, snn.Projection(stim, pop, [[i, size - 1 - i, 1 + i % 15, i % 8] for i in range(size)]))
    run(net, 20)
    assert_as_modelled(net, 20)
    found = {population.size: len(population.get_n_packets()) for population in net.populations}
    assert found == parts


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_short_runs(ticks: int) -> None:
    stim = snn.Population(2, "spike_list", {1: [0, 1, 2]}, record=["spikes", "time_done", "n_packets"])
    pop = small(3, i_offset=[0.0, 0.5, 1.0], record=["spikes", "v", "time_done", "n_packets"])
    net = network(stim, pop, snn.Projection(stim, pop, [[1, 0, 1, 0]]))
    run(net, ticks)
    assert_as_modelled(net, ticks)
    assert stim.get_spikes() == {0: [], 1: list(range(ticks))}
    for population in (stim, pop):
        assert [len(times) for times in population.get_time_done_times().values()] == [ticks]
        assert [len(counts) for counts in population.get_n_packets().values()] == [ticks]


def test_spikes_of_the_last_tick_count_and_later_ones_do_not() -> None:
    stim = snn.Population(1, "spike_list", {0: [9, 10, 4000000000]})
    pop = small(1, threshold=9.0, v_init=0.5, i_offset=1.0, alpha_decay=1.0)
    net = network(stim, pop)
    run(net, 10)
    assert stim.get_spikes() == {0: [9]}
    assert pop.get_spikes() == {0: [8]}
    run(net, 9)
    assert stim.get_spikes() == {0: []} and pop.get_spikes() == {0: [8]}
    run(net, 8)
    assert pop.get_spikes() == {0: []}


@pytest.mark.parametrize("delay", range(8))
def test_a_spike_of_tick_t_with_delay_d_acts_in_tick_t_plus_1_plus_d(delay: int) -> None:
    stim = snn.Population(1, "spike_list", {0: [2, 13, 14]})
    pops = [small(1, model) for model in ("lif", "lif_curr_exp")]
    net = network(stim, *pops, *(snn.Projection(stim, pop, [[0, 0, 1, delay]]) for pop in pops))
    run(net, 25)
    assert [pop.get_spikes() for pop in pops] == [{0: [3 + delay, 14 + delay, 15 + delay]}] * 2


@pytest.mark.parametrize("model", ["lif_no_delay", "lif_curr_exp_no_delay"])
def test_models_without_delays_act_in_the_next_tick(model: str) -> None:
    stim = snn.Population(1, "spike_list", {0: range(3, 12, 4)})
    pop = small(1, model)
    net = network(stim, pop, snn.Projection(stim, pop, [[0, 0, 1, 0]]))
    run(net, 15)
    assert pop.get_spikes() == {0: [4, 8, 12]}


# --- neurons ----------------------------------------------------------------------------------------------------------


def test_a_neuron_fires_at_the_threshold_and_not_below() -> None:
    just_below = float(np.nextafter(np.float32(5), np.float32(0)))
    pop = small(3, threshold=5.0, v_init=[5.0, just_below, 6.0], alpha_decay=1.0)
    run(network(pop), 1)
    assert pop.get_spikes() == {0: [0], 1: [], 2: [0]}
    assert [float(v[0]) for v in pop.get_voltages().values()] == [0.0, just_below, 1.0]


def test_the_clock_neuron_spikes_in_ticks_1_3_5() -> None:
    pop = small(1, threshold=5.0, i_offset=3.0, alpha_decay=1.0, reset="reset_to_v_reset")
    run(network(pop), 6)
    assert pop.get_spikes() == {0: [1, 3, 5]}
    assert pop.get_voltages()[0].tolist() == [3, 0, 3, 0, 3, 0]


def test_resets() -> None:
    values: dict[str, Any] = {"threshold": 4.0, "v_init": 11.0, "alpha_decay": 1.0, "v_reset": -2.5}
    pops = [small(1, reset=reset, **values) for reset in ("reset_by_subtraction", "reset_to_v_reset")]
    run(network(*pops), 3)
    assert [pop.get_voltages()[0].tolist() for pop in pops] == [[7, 3, 3], [-2.5, -2.5, -2.5]]
    left_out = small(1, **values)
    run(network(left_out), 3)
    assert left_out.get_voltages()[0].tolist() == [7, 3, 3]


def test_refractory_neurons_keep_their_voltage_while_currents_go_on() -> None:
    stim = snn.Population(1, "spike_list", {0: [0]})
    values: dict[str, Any] = {
        "exc_decay": 0.5,
        "alpha_decay": 1.0,
        "threshold": 8.0,
        "reset": "reset_to_v_reset",
        "v_reset": 1.0,
    }
    pop = small(4, "lif_curr_exp", t_refrac=[0, 1, 2, 3], **values)
    net = network(stim, pop, snn.Projection(stim, pop, [[0, i, 8, 0] for i in range(4)]))
    run(net, 6)
    assert_as_modelled(net, 6)
    assert [v.tolist() for v in pop.get_voltages().values()] == [
        [0, 1, 5, 7, 1, 1.5],
        [0, 1, 1, 3, 4, 4.5],
        [0, 1, 1, 1, 2, 2.5],
        [0, 1, 1, 1, 1, 1.5],
    ]


def test_excitation_and_inhibition_decay_apart() -> None:
    stim = snn.Population(2, "spike_list", {0: [0], 1: [0]})
    pop = small(1, "lif_curr_exp", threshold=1e6, alpha_decay=0.0, exc_decay=0.5, inh_decay=0.25)
    net = network(stim, pop, snn.Projection(stim, pop, [[0, 0, 8, 0], [1, 0, -12, 1]]))
    run(net, 5)
    assert pop.get_voltages()[0].tolist() == [0, 8, 4 - 12, 2 - 3, 1 - 0.75]


# --- projections ------------------------------------------------------------------------------------------------------


def test_projections_between_the_same_two_populations_add_up() -> None:
    stim = snn.Population(2, "spike_list", {0: [1], 1: [1]})
    pop = small(1, threshold=1e6, alpha_decay=0.0)
    both = [snn.Projection(stim, pop, [[0, 0, 3, 0], [0, 0, 4, 0], [1, 0, -15, 1]]) for _ in range(2)]
    run(network(stim, pop, *both), 5)
    assert pop.get_voltages()[0].tolist() == [0, 0, 14, -30, 0]


def test_projections_may_be_added_before_their_populations_and_populations_twice() -> None:
    stim, pop = snn.Population(1, "spike_list", {0: [0]}), small(1)
    net = network(snn.Projection(stim, pop, [[0, 0, 1, 0]]), pop, stim, pop)
    run(net, 3)
    assert net.populations == [pop, stim]
    assert pop.get_spikes() == {0: [1]}


@pytest.mark.parametrize("connections", [[], np.empty((0, 4)), np.empty(0), ()], ids=repr)
def test_projections_may_be_empty(connections: Any) -> None:
    stim, pop = snn.Population(1, "spike_list", {0: [0]}), small(1)
    run(network(stim, pop, snn.Projection(stim, pop, connections)), 3)
    assert pop.get_spikes() == {0: []}
    assert [heard.tolist() for heard in pop.get_n_packets().values()] == [[0, 0, 0]]


def test_networks_may_be_empty() -> None:
    run(network(), 5)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int32, np.int64, np.float32, np.float64], ids=lambda dtype: dtype.__name__
)
def test_connections_may_be_of_any_numbers(dtype: Any) -> None:
    stim = snn.Population(2, "spike_list", {0: [0], 1: [0]})
    pop = small(2, "lif_no_delay", threshold=1e6, alpha_decay=0.0)
    table = np.array([[0, 0, 127, 0], [1, 1, -127, 0]], dtype)
    nets = [network(stim, pop, snn.Projection(stim, pop, rows)) for rows in (table, list(table), [[*r] for r in table])]
    for net in nets:
        run(net, 2)
        assert [v.tolist() for v in pop.get_voltages().values()] == [[0, 127], [0, -127]]


def test_a_neuron_can_get_65535_in_a_tick() -> None:
    stim, pop = snn.Population(1, "spike_list", {0: [0]}), small(2, threshold=1e6, alpha_decay=0.0)
    rows = [[0, 0, 15, 0]] * 4369 + [[0, 0, -15, 0]] * 4369 + [[0, 1, -15, 3]] * 4369
    run(network(stim, pop, snn.Projection(stim, pop, rows)), 6)
    assert [v.tolist() for v in pop.get_voltages().values()] == [[0] * 6, [0, 0, 0, 0, -65535, 0]]


# --- convolutions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [17, 256])
def test_convolutions(most: int) -> None:
    rng = np.random.default_rng(3)
    net = network(*(part for params in SHAPES for part in convolution(rng, params, (2, 3), most)))
    net.add(*convolution(rng, SHAPES[3], (1, 1), most), *convolution(rng, SHAPES[0], (6, 5), most))
    run(net, 10)
    assert_as_modelled(net, 10)
    spiking = [sum(map(len, pop.get_spikes().values())) for pop in net.populations[1::2]]
    assert min(spiking) > 2 and len(net.populations[-1].get_spikes()) == 3


def test_a_population_may_get_convolutions_and_synapses() -> None:
    rng = np.random.default_rng(4)
    parts = convolution(rng, SHAPES[1], (2, 2), 9)
    pop, other = parts[1], snn.Population(30, "spike_list", {i: [i % 8] for i in range(30)})
    rows = [[i, int(rng.integers(pop.size)), int(rng.integers(-127, 128)), 0] for i in range(30)]
    net = network(*parts, other, snn.Projection(other, pop, rows), snn.Projection(pop, pop, rows))
    run(net, 12)
    assert_as_modelled(net, 12)


# --- what is on the chip ----------------------------------------------------------------------------------------------


def test_spikes_of_a_tick_leave_in_the_order_of_neurons(chip: Chip) -> None:
    stim = snn.Population(300, "spike_list", {i: [1] for i in reversed(range(300))})
    pop = small(70, v_init=3.0, reset="reset_to_v_reset")
    net = network(stim, pop, snn.Projection(stim, pop, [[0, 0, 0, 0]]), snn.Projection(pop, pop, [[69, 0, 0, 0]]))
    layout = map_network(net, 3, geometry.APPLICATION_IDS)
    chip.deploy(layout.programs, layout.entries)
    sent: dict[int, list[int]] = {}
    chip.run(3, on_events=lambda events: [sent.setdefault(int(e["pe"]), []).append(int(e["key"])) for e in events])
    for part in layout.parts:
        keys = [part_key(part) + i for i in range(part.neurons)]
        assert sent[part.pe] == keys, part
    named = {row["id"]: (row["population"], row["first"]) for row in chip.ps() if row["program"]}
    assert (
        named == {part.pe: (part.population.name, part.first) for part in layout.parts} and named[layout.parts[1].pe][1]
    )


def test_spikes_of_ticks_that_have_passed_are_left_out(chip: Chip) -> None:
    stim, pop = snn.Population(1, "spike_list", {0: [7, 9]}), small(1)
    layout = map_network(network(stim, pop, snn.Projection(stim, pop, [[0, 0, 1, 0]])), 12, geometry.APPLICATION_IDS)
    chip.deploy(layout.programs, layout.entries)
    chip.run(5)
    chip.write(layout.parts[0].pe, "tick", np.array([2, 9], np.uint32))
    chip.run(7)
    assert np.flatnonzero(chip.read(layout.parts[1].pe, "spikes")[:, 1]).tolist() == [10]


def test_records_have_the_chips_words(chip: Chip) -> None:
    pop = small(33, v_init=[2.0] + [0.0] * 31 + [6.0], i_offset=0.25)
    layout = map_network(network(pop), 3, geometry.APPLICATION_IDS)
    chip.deploy(layout.programs, layout.entries)
    chip.run(5)
    pe = layout.parts[0].pe
    assert chip.read(pe, "spikes").tolist() == [[0, 2, 1, 1], [1, 1, 0, 1], [2, 0, 0, 0]]  # tick, count, bits
    voltages = chip.read(pe, "voltages")[:, [0, 1, 33]]  # tick, neurons
    assert voltages.tolist() == [[0, 0.25, 2.25], [1, 0.375, 0.375], [2, 0.4375, 0.4375]]
    texts = [(tick, text) for tick, _, _, text in chip.log(pe).entries]
    assert texts == [(3, "the records hold 3 ticks: later ones are not recorded")]


def test_keys_that_a_pe_does_not_know_are_not_heard() -> None:
    keys = [SPIKES | part << 8 for part in (1, 3, 4)]
    table = np.array([(key, PART, 0, -1) for key in keys], ENTRY).view(np.recarray)
    for place, key in enumerate(keys):
        assert find(table, np.uint32(key)) == find(table, np.uint32(key + 255)) == place
    for key in (0, SPIKES, keys[0] - 1, keys[0] + 256, keys[2] + 256, 0xFFFFFFFF):
        assert find(table, np.uint32(key)) == -1
    assert find(table[:0], np.uint32(keys[0])) == -1


def test_time_done_is_when_the_last_packet_came_in() -> None:
    stim = snn.Population(200, "spike_list", {i: [1] for i in range(200)}, record=["time_done"])
    pop = small(1, record=["time_done", "n_packets"])
    run(network(stim, pop, snn.Projection(stim, pop, [[i, 0, 1, 0] for i in range(200)])), 4)
    (times,), (counts,) = pop.get_time_done_times().values(), pop.get_n_packets().values()
    assert counts.tolist() == [0, 0, 200, 0]
    assert times.dtype == np.float64 and times[[0, 1, 3]].tolist() == [0, 0, 0] and 0 < times[2] < 1
    assert [name for pop in (stim, pop) for name in pop.get_time_done_times()] == ["PE(1, 1, 0)", "PE(1, 1, 1)"]


def test_the_last_packet_may_come_from_any_source() -> None:
    stims, between = [snn.Population(1, "spike_list", {0: [1]}) for _ in range(4)], snn.Population(20, "spike_list", {})
    between.set_max_atoms_per_core(1)  # so that the sources' distances differ
    pop = small(1, record=["time_done"])
    net = network(*stims[:2], between, pop, *stims[2:], *(snn.Projection(s, pop, [[0, 0, 1, 0]]) for s in stims))
    done = []
    for active in [[stim] for stim in stims] + [stims]:
        for stim in stims:
            stim.params = {0: [1] if stim in active else []}
        run(net, 3)
        done += [times[2] for times in pop.get_time_done_times().values()]
    assert max(done[:-1]) == done[-1] > min(done[:-1]) > 0
