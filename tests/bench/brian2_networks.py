"""`python brian2_networks.py ROUNDS`: the networks of `networks.py` in Brian2, in one process; prints JSON.

It runs in an environment of its own (`scripts/bench` makes it), because Brian2 2.9 and the numpy that this project is
tested with do not go together.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import brian2 as b2
import numpy as np
from networks import NETWORKS, Description, Group, Rows

EQUATIONS = {
    "lif": "dv/dt = (i_offset * tau / dt - v) / tau : 1",
    "lif_curr_exp": """dv/dt = ((ge - gi + i_offset) * tau / dt - v) / tau : 1
                       dge/dt = -ge / tau_e : 1
                       dgi/dt = -gi / tau_i : 1
                       tau_e : second
                       tau_i : second""",
}
CONSTANTS = "\ntau : second\ni_offset : 1\nthreshold : 1"


def build(net: Description, target: str) -> tuple[Any, list[Any]]:
    """The network with code for `target`, "numpy" or "cython", and its spike monitors.

    A tick is a step of 1 ms by forward Euler, which is how a leak of alpha per tick is written there. As it is fastest
    in Brian2, all neurons of a model are one group, and all synapses between two groups one object.
    """
    b2.prefs.codegen.target = target
    b2.defaultclock.dt = step = 1 * b2.ms
    made, monitors, first, sizes = {}, [], dict[str, int](), dict[str, int]()
    for group in net.groups.values():
        first[group.name] = sizes.get(group.model, 0)
        sizes[group.model] = first[group.name] + group.size
    for model, size in sizes.items():
        groups = [group for group in net.groups.values() if group.model == model]
        if model == "spike_list":
            made[model] = _sources(groups, first, size, step)
        else:
            made[model] = _neurons(groups, model, size, step)
            monitors.append(b2.SpikeMonitor(made[model]))
    joined: dict[tuple[str, str], list[Rows]] = {}
    for a, b, rows in net.connections:
        moved = rows + np.array([first[a], first[b], 0, 0])
        joined.setdefault((net.groups[a].model, net.groups[b].model), []).append(moved)
    synapses = [_synapses(made[a], made[b], b, np.concatenate(rows), step) for (a, b), rows in joined.items()]
    return b2.Network(*made.values(), *synapses, *monitors), monitors


def _sources(groups: list[Group], first: dict[str, int], size: int, step: Any) -> Any:
    lists = [(first[group.name] + i, ticks) for group in groups for i, ticks in group.params.items()]
    ids = np.repeat([i for i, _ in lists], [len(ticks) for _, ticks in lists])
    return b2.SpikeGeneratorGroup(size, ids, np.concatenate([ticks for _, ticks in lists]) * step)


def _neurons(groups: list[Group], model: str, size: int, step: Any) -> Any:
    def values(name: str, default: float = 0.0) -> Any:
        return np.concatenate([np.broadcast_to(group.params.get(name, default), group.size) for group in groups])

    subtract = groups[0].params["reset"] == "reset_by_subtraction"
    neurons = b2.NeuronGroup(
        size, EQUATIONS[model] + CONSTANTS, threshold="v >= threshold",
        reset="v -= threshold" if subtract else "v = 0", method="euler",
    )  # fmt: skip
    neurons.threshold, neurons.i_offset, neurons.v = values("threshold"), values("i_offset"), values("v_init")
    neurons.tau = step / np.maximum(1e-9, 1 - values("alpha_decay"))
    if model == "lif_curr_exp":
        neurons.tau_e, neurons.tau_i = step / (1 - values("exc_decay")), step / (1 - values("inh_decay"))
    return neurons


def _synapses(pre: Any, post: Any, model: str, rows: Rows, step: Any) -> Any:
    on_pre = "v_post += w" if model == "lif" else "ge_post += w * int(w > 0)\ngi_post -= w * int(w < 0)"
    synapses = b2.Synapses(pre, post, "w : 1", on_pre=on_pre)
    synapses.connect(i=rows[:, 0].astype(int), j=rows[:, 1].astype(int))
    synapses.w, synapses.delay = rows[:, 2], (rows[:, 3] + 1) * step
    return synapses


def main(rounds: int) -> None:
    """Milliseconds per step of each round, and spikes per step."""
    found = {}
    for name, (description, ticks) in NETWORKS.items():
        for target in ("numpy", "cython"):
            net, monitors = build(description, target)
            net.store()
            net.run(10 * b2.ms)  # generates and compiles its code
            times = []
            for _ in range(rounds):
                net.restore()
                begin = time.perf_counter()
                net.run(ticks * b2.ms)
                times.append(1e3 * (time.perf_counter() - begin) / ticks)
            found[f"{name}_{target}"] = [times, sum(int(monitor.num_spikes) for monitor in monitors) / ticks]
    print(json.dumps(found))


if __name__ == "__main__":
    b2.BrianLogger.log_level_error()
    main(int(sys.argv[1]))
