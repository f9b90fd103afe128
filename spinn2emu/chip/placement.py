"""Which router process serves a PE, and the core that both run on: PEs that talk to each other share them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2emu.router.state import MAX_IDS, MAX_ROUTERS, Connection, Endpoint

PES_PER_ROUTER = 8
"""A router process for fewer PEs costs more than it gains."""

_TOPOLOGY = Path("/sys/devices/system/cpu")


def choose_cores(pes: int, wanted: Sequence[int] | None) -> tuple[list[int], bool]:
    """A core for each router process, and whether processes are pinned to them.

    `wanted` as in `Chip.boot`: None for the machine's cores, as many as pay for `pes` PEs; empty for one router and no
    pinning. Chips that need one core only are spread over them. Raises ConfigError for cores that this process may not
    use.
    """
    allowed = sorted(os.sched_getaffinity(0), key=_rank)
    if wanted is None:
        physical = [core for core in allowed if _rank(core)[0] == 0] or allowed
        chosen = physical[: max(1, min(MAX_ROUTERS, pes // PES_PER_ROUTER))]
        if len(chosen) == 1:
            chosen = [physical[os.getpid() % len(physical)]]
        return chosen, _may_pin()
    bad = [core for core in wanted if core not in allowed]
    if bad or len(wanted) > MAX_ROUTERS:
        raise ConfigError(f"cores {list(wanted)}: at most {MAX_ROUTERS} of {sorted(allowed)} can be used", cores=bad)
    return list(wanted) or allowed[:1], bool(wanted)


def _may_pin() -> bool:
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except OSError:
        return False
    return True


def _rank(core: int) -> tuple[int, int, int, int, int]:
    """Sorts first threads of physical cores before second ones, and neighbours (package, cache) side by side."""
    folder = _TOPOLOGY / f"cpu{core}"
    siblings = _read(folder / "topology/thread_siblings_list", str(core)).replace("-", ",").split(",")
    package, cache, physical = (
        int(_read(folder / name, "0"))
        for name in ("topology/physical_package_id", "cache/index3/id", "topology/core_id")
    )
    return int(str(core) != siblings[0]), package, cache, physical, core


def _read(path: Path, default: str) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return default


def assign_routers(endpoints: Sequence[Endpoint], connections: Sequence[Connection], routers: int) -> NDArray[np.int64]:
    """The router that serves each PE id, (153,).

    PEs that are joined by a connection of their own (one speaks on a port, one listens) stay together as far as the
    share of a router reaches; beyond that neighbours on the die do, in shares of equal size.
    """
    heard_by = Counter((connection.source, connection.port) for connection in connections)
    hears = Counter((connection.target, connection.target_port) for connection in connections)
    group_of = {endpoint.pe: [endpoint.pe] for endpoint in endpoints}
    share = -(-len(endpoints) // routers)
    for connection in connections:
        one, other = group_of[connection.source], group_of[connection.target]
        own = heard_by[connection.source, connection.port] == hears[connection.target, connection.target_port] == 1
        if own and one is not other and len(one) + len(other) <= share:
            one += other
            group_of.update(dict.fromkeys(other, one))
    home, placed = np.zeros(MAX_IDS, np.int64), 0
    for group in sorted({id(group): group for group in group_of.values()}.values(), key=min):
        home[group] = (placed + len(group) // 2) * routers // max(1, len(endpoints))
        placed += len(group)
    return home
