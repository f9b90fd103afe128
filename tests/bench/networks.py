"""Two spiking networks for benchmarks, as arrays: for the chip (`bench_snn`) and for Brian2 (`brian2_networks`).

`field`: 400 neurons in a sheet and one that paces them, with 400 spike sources, on 19 PEs, 15 of which hear each
other; `large`: 36 populations of 7,000 neurons in all on 144 PEs, 140,000 synapses, all populations talk to all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""Connections [pre, post, weight, delay]."""


@dataclass
class Group:
    """A population: a model with its parameters, or spike sources."""

    name: str
    size: int
    per_pe: int
    model: str
    params: dict[Any, Any]


@dataclass
class Description:
    """Groups by name, and connections between them."""

    groups: dict[str, Group] = field(default_factory=dict)
    connections: list[tuple[str, str, Rows]] = field(default_factory=list)

    def add(self, group: Group) -> None:
        """One more group."""
        self.groups[group.name] = group


def make_field(ticks: int) -> Description:
    """A sheet of 20 x 20 with excitation nearby and inhibition around, driven by a bump that moves."""
    side, net, rng = 20, Description(), np.random.default_rng(0)
    y, x = np.divmod(np.arange(side**2), side)
    dy, dx = (np.abs(a[:, None] - a) for a in (y, x))
    distance = np.hypot(np.minimum(dy, side - dy), np.minimum(dx, side - dx))
    weight = np.where(distance <= 1.5, 3, np.where(distance <= 4, -1, 0))
    pre, post = np.nonzero(weight)
    centre = (np.arange(ticks) // 10 * 21) % side**2
    stimulus = {i: np.flatnonzero((distance[centre, i] < 3) & (rng.random(ticks) < 0.3)) for i in range(side**2)}
    net.add(Group("stimulus", side**2, 100, "spike_list", stimulus))
    reset = {"reset": "reset_to_v_reset", "v_reset": 0.0, "i_offset": 0.0}
    currents = {"threshold": 10.0, "alpha_decay": 0.8, "exc_decay": 0.5, "inh_decay": 0.2, **reset}
    net.add(Group("sheet", side**2, 30, "lif_curr_exp", currents))
    net.add(Group("pace", 1, 1, "lif", {"threshold": 5.0, "alpha_decay": 1.0, **reset, "i_offset": 3.0}))
    everyone = np.arange(side**2)
    net.connections = [
        ("stimulus", "sheet", _rows(everyone, everyone, 5, 0)),
        ("sheet", "sheet", _rows(pre, post, weight[pre, post], 0)),
        ("pace", "sheet", _rows(0 * everyone, everyone, -6, 0)),
    ]
    return net


def make_large() -> Description:
    """Neurons that fire by themselves now and then, with 20 synapses each to others anywhere."""
    count, synapses, net, rng = 36, 140_000, Description(), np.random.default_rng(0)
    sizes = [7000 // count + (i < 7000 % count) for i in range(count)]
    for i, size in enumerate(sizes):
        params = {
            "threshold": 20.0, "alpha_decay": 0.9, "v_reset": 0.0, "reset": "reset_by_subtraction",
            "i_offset": rng.uniform(1.5, 2.5, size), "v_init": rng.uniform(0, 20, size),
        }  # fmt: skip
        net.add(Group(f"p{i}", size, 49, "lif", params))
    each = [synapses // count**2 + (i < synapses % count**2) for i in range(count**2)]
    for i, n in enumerate(each):
        a, b = divmod(i, count)
        weights, delays = rng.integers(-3, 3, n), rng.integers(0, 8, n)
        rows = _rows(rng.integers(0, sizes[a], n), rng.integers(0, sizes[b], n), weights, delays)
        net.connections.append((f"p{a}", f"p{b}", rows))
    return net


def _rows(*columns: Any) -> Rows:
    return np.column_stack([column.astype(float) for column in np.broadcast_arrays(*columns)])


NETWORKS = {"field": (make_field(1000), 1000), "large": (make_large(), 200)}
"""With the ticks of a round."""
