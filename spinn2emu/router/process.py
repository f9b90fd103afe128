"""The router's process."""

from __future__ import annotations

import numba
import zmq

from spinn2emu.router import loop
from spinn2emu.router.state import Gate, Ports, Registers, build_queues
from spinn2emu.router.table import Table


def prepare(table: Table, ports: Ports, gate: Gate, registers: Registers) -> None:
    """Compiles the loop, or loads it from the cache."""
    arguments = (0, table, ports, gate, build_queues(), registers)
    loop.run.compile(tuple(map(numba.typeof, arguments)))  # type: ignore[attr-defined]


def main(table: Table, ports: Ports, gate: Gate, registers: Registers, endpoint: str) -> None:
    """Body of the router's process; returns only if the network is gone."""
    queues = build_queues()
    with zmq.Context() as network, network.socket(zmq.ROUTER) as socket:
        socket.set(zmq.ROUTER_MANDATORY, 1)
        for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
            socket.set(option, 0)
        socket.bind(endpoint)
        handle = socket.underlying
        while loop.run(handle, table, ports, gate, queues, registers) == loop.INTERRUPTED:
            pass
