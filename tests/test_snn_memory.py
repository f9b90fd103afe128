"""How much of a PE's memory networks take, as the chip's linker has it; as many neurons share one as fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Chips
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from snn_networks import network, run, small

from spinn2emu import geometry
from spinn2emu.errors import SramOverflow
from spinn2emu.sram import lay_out
from spinn2fw.snn import neurons, spikes
from spinn2host.spinnaker2 import memory, snn
from spinn2host.spinnaker2.layout import Layout, map_network

PROGRAMS = {memory.NEURONS: neurons.program, memory.SPIKES: spikes.program}
counts = st.integers(0, 3000)
recorded = {
    "n": st.integers(1, 256), "ticks": st.integers(0, 300),
    **{f"record_{name}": st.booleans() for name in ("spikes", "v", "time_done", "n_packets")},
}  # fmt: skip
parameters = {
    memory.NEURONS: st.fixed_dictionaries(
        {
            **recorded, "currents": st.booleans(), "delays": st.booleans(), "entries": st.integers(0, 150),
            "rows": counts, "words": counts, "convolutions": st.integers(0, 3), "kernels": counts,
        }
    ),
    memory.SPIKES: st.fixed_dictionaries({**recorded, "events": counts}),
}  # fmt: skip


def linked(program: str, p: dict[str, Any]) -> int:
    """Bytes that the chip's linker needs."""
    loaded = PROGRAMS[program]
    assert loaded.parameters is not None
    try:
        return lay_out(loaded, loaded.parameters(**p))[0].used
    except SramOverflow as error:
        return int(error.fields["needed"])


@pytest.mark.parametrize("program", PROGRAMS)
@given(data=st.data())
@settings(max_examples=80)
def test_the_linker_needs_as_many_bytes(program: str, data: st.DataObject) -> None:
    p = data.draw(parameters[program])
    assert memory.used_bytes(program, p) == linked(program, p)


@given(parameters[memory.NEURONS])
def test_the_table_has_every_byte_but_padding(p: dict[str, Any]) -> None:
    sizes = memory.region_bytes(memory.NEURONS, p)
    assume(memory.used_bytes(memory.NEURONS, p) <= memory.DATA_BYTES)
    placed = lay_out(neurons.program, neurons.Parameters(**p))[0]
    own = {symbol.name: symbol.nbytes for symbol in placed.symbols if symbol.name in sizes}
    assert own == {name: size for name, size in sizes.items() if name != "system"}


def test_the_chip_uses_as_many_bytes(chips: Chips) -> None:
    stim = snn.Population(300, "spike_list", {i: [i] for i in range(300)}, record=["spikes", "time_done"])
    pop = small(100, "lif_curr_exp", record=["spikes", "v", "n_packets"])
    net = network(stim, pop, snn.Projection(stim, pop, [[i, i % 100, 1, 0] for i in range(300)]))
    layout = map_network(net, 77, geometry.APPLICATION_IDS)
    chip = chips()
    chip.deploy(layout.programs, layout.entries)
    for program in layout.programs:
        assert chip.memory(program.pe).used == memory.used_bytes(program.program, dict(program.parameters))


# --- as many neurons as fit -------------------------------------------------------------------------------------------


def limits(net: snn.Network, ticks: int) -> Layout:
    """The layout, of which every part fits a PE as the linker sees it."""
    layout = map_network(net, ticks, geometry.APPLICATION_IDS)
    for program in layout.programs:
        assert linked(program.program, dict(program.parameters)) <= memory.DATA_BYTES
    return layout


def one_more(layout: Layout, population: snn.Population) -> int:
    """Bytes, as the linker sees it, of the largest part of a population with another neuron that records as the others
    do, and has no synapses."""
    part = max(layout.of(population), key=lambda part: part.neurons)
    p = dict(next(program for program in layout.programs if program.pe == part.pe).parameters)
    return linked(memory.NEURONS, p | {"n": p["n"] + 1})


@pytest.mark.parametrize(
    "record, ticks",
    [(["v"], 500), (["spikes", "v"], 1000), (["v"], 5000), (["spikes"], 3000), (["v", "time_done"], 90)],
)
@pytest.mark.parametrize("model", ["lif", "lif_curr_exp", "lif_no_delay"])
def test_as_many_neurons_share_a_pe_as_fit(model: str, record: list[str], ticks: int) -> None:
    pop = small(300, model, record=record)
    pop.set_max_atoms_per_core(256)
    layout = limits(network(pop), ticks)
    sizes = [part.neurons for part in layout.of(pop)]
    assert sum(sizes) == 300 and len(set(sizes[:-1])) <= 1 and 0 < sizes[-1] <= sizes[0]
    assert sizes[0] == 256 or one_more(layout, pop) > memory.DATA_BYTES


@pytest.mark.parametrize("delayed", [True, False])
@pytest.mark.parametrize("sources", [100, 400, 1200])
def test_synapses_count(sources: int, delayed: bool) -> None:
    stim = snn.Population(sources, "spike_list", {}, record=[])
    pop = small(200, "lif" if delayed else "lif_no_delay", record=["spikes"])
    rows = np.zeros((sources * 200, 4), int)
    rows[:, :3] = np.column_stack([*np.divmod(np.arange(sources * 200), 200), np.ones(sources * 200, int)])
    layout = limits(network(stim, pop, snn.Projection(stim, pop, rows)), 100)
    largest = max(part.neurons for part in layout.of(pop))
    for n, fits in ((largest, True), (largest + 1, False)):
        p = {
            "n": n, "currents": False, "delays": delayed, "entries": -(-sources // 250), "rows": sources,
            "words": n * sources, "ticks": 100, "record_spikes": True,
        }  # fmt: skip
        assert (linked(memory.NEURONS, p) <= memory.DATA_BYTES) is fits or (n == 201 and not fits)


def test_spike_lists_are_split_by_what_fits() -> None:
    stim = snn.Population(30, "spike_list", {i: range(1500) for i in range(30)}, record=["spikes"])
    layout = limits(network(stim), 1500)
    largest = max(part.neurons for part in layout.of(stim))
    assert linked(memory.SPIKES, {"n": largest + 1, "events": (largest + 1) * 1500}) > memory.DATA_BYTES
    assert len(layout.of(stim)) == -(-30 // largest)


def most(fits: Callable[[int], bool]) -> int:
    """The largest number that fits."""
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@pytest.mark.parametrize("projections", [1, 2])
@pytest.mark.parametrize("convolved", [False, True])
def test_a_run_may_be_as_long_as_the_linker_allows(projections: int, convolved: bool) -> None:
    stim, pop = snn.Population(130, "spike_list", {}, record=[]), small(3, "lif_conv2d", record=["v"])
    stim.set_max_atoms_per_core(100)
    net = network(stim, pop)
    p: dict[str, Any] = {"n": 3, "currents": False, "delays": False, "entries": 2, "record_v": True}
    if convolved:
        kernels = np.ones((1, 3, 13, 10))
        for source in [stim, snn.Population(130, "spike_list", {}, record=[])][:projections]:
            net.add(source, snn.Conv2DProjection(source, pop, kernels, {"in_height": 13, "in_width": 10}))
        p |= {"convolutions": projections, "kernels": 390 * projections, "entries": 1 + projections}
    else:
        for _ in range(projections):
            net.add(snn.Projection(stim, pop, [[i, j, 1, 0] for i in range(130) for j in range(3)]))
        p |= {"rows": 130, "words": 390 * projections}

    def in_one_part(ticks: int) -> bool:
        try:
            return len(limits(net, ticks).of(pop)) == 1
        except SramOverflow:
            return False

    assert most(in_one_part) == most(lambda ticks: linked(memory.NEURONS, p | {"ticks": ticks}) <= memory.DATA_BYTES)


@pytest.mark.parametrize("target_first", [True, False])
def test_more_parts_of_a_source_take_longer_tables_in_its_targets(target_first: bool) -> None:
    source, target = small(100, record=["v"]), small(1, record=["v"])
    populations = [target, source] if target_first else [source, target]
    net = network(*populations, snn.Projection(source, target, [[i, 0, 1, 0] for i in range(100)]))
    layout = limits(net, 11200)
    assert len(layout.of(source)) == 100  # each is an entry in the target's table, which fits just so
    with pytest.raises(SramOverflow, match=r"1,600 B  table") as caught:
        map_network(net, 11300, geometry.APPLICATION_IDS)
    assert caught.value.fields["population"] == target.name
    target.record = []
    assert len(limits(net, 11300).of(source)) == 100


def test_networks_that_are_split_by_memory_run(chips: Chips, board: None) -> None:
    pop = small(40, alpha_decay=1.0, i_offset=0.001, threshold=1e6, record=["v"])
    net = network(pop, snn.Projection(pop, pop, [[i, (i + 1) % 40, 1, 0] for i in range(40)]))
    run(net, 1500)
    assert len(map_network(net, 1500, geometry.APPLICATION_IDS).of(pop)) > 2
    columns = np.array(list(pop.get_voltages().values()))
    assert columns.shape == (40, 1500) and (columns == columns[0]).all()
