"""Placement and routes: who runs where, and that every packet reaches exactly whom it is for."""

from __future__ import annotations

from itertools import combinations

import pytest

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.router.table import Entry
from spinn2fw.kernels.keys import TO_INPUTS
from spinn2host.mapping import Buffers, Deployment, deploy, place
from spinn2host.recipe import make_recipe

WIDTHS = (5, 40, 30, 20, 15, 12, 9, 3)
MOST = {1: 36, 2: 36, 3: 28, 4: 24, 5: 20, 6: 18, 7: 16}
"""Samples on a chip, by neuron layers: 144 PEs beside the optimizer's quad, in groups of max(4, layers + 2)."""

INDICES = (0, 1, 119, 0xFFFF)


def deployment(layers: int, batch: int) -> Deployment:
    widths = (*WIDTHS[:layers], WIDTHS[-1])
    return deploy(make_recipe("full", layers=widths, batch=batch), Buffers(10, 50, 10))


def receivers(entries: list[Entry], key: int) -> tuple[int, ...]:
    """The PEs of the first entry that matches: what the router does."""
    return next((tuple(sorted(entry.pes)) for entry in entries if key & entry.mask == entry.key), ())


@pytest.mark.parametrize("layers", MOST)
def test_places(layers: int) -> None:
    placement = place(layers, MOST[layers])
    used = [pe for chain in placement.chains for pe in chain] + [placement.optimizer]
    assert len(used) == len(set(used)) == placement.processes == MOST[layers] * (layers + 2) + 1
    assert set(used) <= set(geometry.APPLICATION_IDS) and not set(used) & set(geometry.RESERVED_IDS)
    quad_of_the_optimizer = geometry.position(placement.optimizer)[:2]
    for chain in placement.chains:
        assert chain == list(range(chain[0], chain[0] + layers + 2))  # one behind the other
        assert quad_of_the_optimizer not in {geometry.position(pe)[:2] for pe in chain}
        if layers <= 2:
            assert {geometry.position(pe)[:2] for pe in chain} == {geometry.position(chain[0])[:2]}
    if layers <= 2:
        assert len({geometry.position(chain[0])[:2] for chain in placement.chains}) == MOST[layers]  # a quad each


@pytest.mark.parametrize("layers", MOST)
def test_a_batch_that_is_too_large_is_refused_with_the_limit(layers: int) -> None:
    with pytest.raises(ConfigError, match=rf"--batch {MOST[layers]} or less") as caught:
        deployment(layers, MOST[layers] + 1)
    assert caught.value.limit == MOST[layers]


def test_too_many_layers_are_refused() -> None:
    recipe = make_recipe("full", layers=(5, *[4] * 7, 3), batch=1)
    assert len(recipe.shapes) == spec.MAX_PORTS.value
    with pytest.raises(ConfigError, match="8 neuron layers"):
        deploy(recipe, Buffers(1, 5, 1))


@pytest.mark.parametrize(("layers", "batch"), [*MOST.items(), (1, 1), (2, 1), (2, 22), (4, 7)])
def test_every_packet_reaches_exactly_whom_it_is_for(layers: int, batch: int) -> None:
    d = deployment(layers, batch)
    chains, optimizer = d.placement.chains, d.placement.optimizer
    programs = {pe.pe: pe for pe in d.pes}
    assert len(programs) == len(d.pes) == d.placement.processes

    expected: dict[tuple[int, str], tuple[tuple[int, ...], str]] = {}  # (sender, port) -> receivers, their port
    for chain in chains:
        for place_in_chain, pe in enumerate(chain[:-1]):
            expected[pe, "spikes"] = (chain[place_in_chain + 1],), "spikes"
        for place_in_chain, pe in enumerate(chain[2:], 2):
            expected[pe, "errors"] = (chain[place_in_chain - 1],), "errors"
        for pe in chain[1:-1]:
            expected[pe, "gradients"] = (optimizer,), "gradients"
            expected[pe, "silent"] = (optimizer,), "silent"
    expected[optimizer, "control"] = tuple(sorted(pe for chain in chains for pe in chain[1:])), "control"
    expected[optimizer, "to inputs"] = tuple(sorted(chain[0] for chain in chains)), "control"
    for layer in range(1, layers + 1):
        expected[optimizer, f"weights{layer}"] = tuple(sorted(chain[layer] for chain in chains)), "weights"

    sent = {(pe.pe, port): route for pe in d.pes for port, route in pe.outputs.items()}
    first, mask = sent[optimizer, "control"]  # one port, two groups of receivers
    assert mask & TO_INPUTS == 0
    sent[optimizer, "control"] = first, mask | 0x0F000000
    sent[optimizer, "to inputs"] = first | TO_INPUTS, mask | 0x0F000000
    assert set(sent) == set(expected)
    for sender, (first, mask) in sent.items():
        targets, port = expected[sender]
        for index in INDICES:
            key = first | (index & ~mask & 0xFFFFFFFF)
            assert receivers(d.entries, key) == targets, (sender, hex(key))
            for target in targets:
                ports = [name for name, (k, m) in programs[target].inputs.items() if key & m == k]
                assert ports == [port], (sender, hex(key), target)


@pytest.mark.parametrize(("layers", "batch"), [(1, 36), (2, 36), (4, 24), (7, 16)])
def test_no_two_routes_share_a_key(layers: int, batch: int) -> None:
    d = deployment(layers, batch)
    routes = [(entry.key, entry.mask) for entry in d.entries]
    sent = [route for pe in d.pes for route in pe.outputs.values()]
    assert len(sent) > len(routes) > batch  # gradients of all senders share a route
    for table in (routes, sent):
        for (key, mask), (other, other_mask) in combinations(table, 2):
            assert (key ^ other) & mask & other_mask, (hex(key), hex(other))
    assert len(routes) <= spec.ROUTER_ENTRIES.value
