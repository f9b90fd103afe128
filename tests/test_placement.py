"""Which router serves a PE, and which cores are used."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from spinn2emu.chip import placement
from spinn2emu.errors import ConfigError
from spinn2emu.program import Fifo
from spinn2emu.router.state import MAX_ROUTERS, Connection, Endpoint, find_connections
from spinn2emu.router.table import Entry
from spinn2host.mapping import Buffers, deploy
from spinn2host.recipe import make_recipe


@pytest.mark.parametrize("layers", [(5, 30, 3), (5, 20, 10, 3), (5, 3)])
@pytest.mark.parametrize("batch", [1, 7, 22])
@pytest.mark.parametrize("routers", [1, 2, 3, 5, 8])
def test_a_sample_stays_together_and_shares_are_even(layers: tuple[int, ...], batch: int, routers: int) -> None:
    deployment = deploy(make_recipe("full", layers=layers, batch=batch), Buffers(1, 5, 1))
    endpoints = [
        Endpoint(
            pe.pe, tuple((port, *keys) for port, keys in enumerate(pe.inputs.values())), tuple(pe.outputs.values()),
            (Fifo(8, 0),),
        ) for pe in deployment.pes
    ]  # fmt: skip
    connections = find_connections(endpoints, [Entry(*entry) for entry in deployment.entries])
    home = placement.assign_routers(endpoints, connections, routers)
    served = [home[pe.pe] for pe in deployment.pes]
    if batch >= routers:
        assert all(len(set(home[chain])) == 1 for chain in deployment.placement.chains)
        sizes = [served.count(router) for router in range(routers)]
        assert max(sizes) - min(sizes) <= 2 * len(deployment.placement.chains[0])
    assert 0 <= min(served) <= max(served) < routers


def test_a_ring_that_is_larger_than_a_share_is_cut_into_neighbours() -> None:
    endpoints = [Endpoint(pe, (), (), (Fifo(8, 0),)) for pe in range(1, 41)]
    connections = [Connection(pe, 0, pe % 40 + 1, 0) for pe in range(1, 41)]
    home = placement.assign_routers(endpoints, connections, 4)[1:41].tolist()
    assert [home.count(router) for router in range(4)] == [10] * 4
    assert sum(a != b for a, b in itertools.pairwise(home)) == 3


def fake_topology(folder: Path, cores: dict[int, tuple[str, int, int]]) -> None:
    """`cores`: (thread siblings, package, last-level cache) of each."""
    for core, (siblings, package, cache) in cores.items():
        for name, text in (
            ("topology/thread_siblings_list", siblings),
            ("topology/physical_package_id", package),
            ("topology/core_id", core),
            ("cache/index3/id", cache),
        ):
            path = folder / f"cpu{core}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")


def test_physical_cores_of_one_cache_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_topology(tmp_path, {
        0: ("0,4", 0, 0), 1: ("1,5", 1, 1), 2: ("2,6", 0, 0), 3: ("3-7", 1, 1),
        4: ("0,4", 0, 0), 5: ("1,5", 1, 1), 6: ("2,6", 0, 0), 7: ("3-7", 1, 1),
    })  # fmt: skip
    monkeypatch.setattr(placement, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: None)
    assert placement.choose_cores(152, None) == ([0, 2, 1, 3], True)
    assert placement.choose_cores(16, None) == ([0, 2], True)
    monkeypatch.setattr(os, "getpid", lambda: 4 * 77 + 2)
    assert placement.choose_cores(4, None) == ([1], True)  # chips side by side take different cores
    assert placement.choose_cores(152, [6, 6, 1]) == ([6, 6, 1], True)
    assert placement.choose_cores(152, []) == ([0], False)


def test_a_machine_without_topology_and_with_many_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_TOPOLOGY", tmp_path / "nothing")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: None)
    assert placement.choose_cores(152, None) == (list(range(MAX_ROUTERS)), True)


def test_where_pinning_is_forbidden_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, cores: set[int]) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    cores, pin = placement.choose_cores(152, None)
    assert len(cores) == 2 and not pin


@pytest.mark.parametrize("cores", [[99999], [0] * (MAX_ROUTERS + 1)])
def test_cores_that_cannot_be_used_are_refused(cores: list[int]) -> None:
    with pytest.raises(ConfigError, match="can be used"):
        placement.choose_cores(152, cores)
