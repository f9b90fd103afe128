"""Before the chip's processes are started: who runs where, whether the system allows it, and the way back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.chip import loading, placement
from spinn2emu.chip.application import Application
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.errors import Spinn2Error
from spinn2emu.memory_map import DATA_BASE
from spinn2emu.refused import raise_descriptor_limit
from spinn2emu.registers import SYSTEM
from spinn2emu.router.state import Connection, Endpoint, Share, build, find_connections


class Plan(NamedTuple):
    """Who runs where. `home`: the router of each PE id; `cores` of the routers, None: nothing is pinned."""

    application: Application
    endpoints: Sequence[Endpoint]
    connections: Sequence[Connection]
    home: NDArray[np.int64]
    cores: list[int] | None
    ports: NDArray[np.void]
    shares: Sequence[Share]

    def core(self, router: int) -> int | None:
        """That a router and its PEs are pinned to, if they are."""
        return None if self.cores is None else self.cores[router]


def make_plan(application: Application, cores: Sequence[int] | None) -> Plan:
    """The plan; `cores` as in `placement.choose_cores`. Raises ConfigError for a wrong routing table, or cores."""
    endpoints = [loading.endpoint(assignment) for assignment in application.awake]
    chosen, pin = placement.choose_cores(len(endpoints), cores)
    connections = find_connections(endpoints, application.entries)
    home = placement.assign_routers(endpoints, connections, len(chosen))
    ports, shares = build(endpoints, application.entries, connections, home)
    return Plan(application, endpoints, connections, home, chosen if pin else None, ports, shares)


SPARE_DESCRIPTORS = 64
"""Of a process of the chip, beside one for each other process that it talks to."""


def check_descriptors(plan: Plan) -> None:
    """Raises Spinn2Error unless a process may have as many file descriptors as the chip's need at most."""
    needed = SPARE_DESCRIPTORS + len(plan.endpoints) + 2 * len(plan.shares)
    allowed = raise_descriptor_limit(needed)
    if allowed < needed:
        raise Spinn2Error(
            f"{len(plan.endpoints)} PEs need {needed} file descriptors, {allowed} are allowed: raise the limit before "
            f"the chip is booted (`ulimit -n {needed}`), or load fewer PEs", needed=needed, limit=allowed,
        )  # fmt: skip


SYSTEM_BYTES = slice(DATA_BASE, DATA_BASE + SYSTEM.itemsize)


class Before:
    """What a load changes, as it was before."""

    def __init__(
        self, application: Application, quads: NDArray[np.int64], memory: ChipMemory, fresh: Collection[int]
    ) -> None:
        self.application, self.quads = application, quads
        self.system = {pe: memory.sram[pe, SYSTEM_BYTES].copy() for pe in application.pes}
        self.sram = {pe: memory.sram[pe].copy() for pe in fresh}
        self.meters = {pe: memory.meter(pe).copy() for pe in application.pes}
        self.length, self.registers = memory.queues["length"].copy(), memory.registers.copy()

    def restore(self, memory: ChipMemory) -> None:
        """To be called when no process runs."""
        for pe, system in self.system.items():
            memory.sram[pe, SYSTEM_BYTES] = system
        for pe, sram in self.sram.items():
            memory.sram[pe] = sram
        for pe, meter in self.meters.items():
            memory.meter(pe)[...] = meter
        memory.queues["length"], memory.registers[:] = self.length, self.registers
