"""A router's process. Several of them share the work of the chip's one router; each serves its own PEs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numba
import zmq

from spinn2emu.frames import VERSION, Kind, header, identity, new_buffer
from spinn2emu.router import loop
from spinn2emu.router.state import MAX_IDS, Ports, Queues, Registers, Share


def prepare(share: Share, ports: Ports, queues: Queues, registers: Registers) -> None:
    """Compiles the loop, or loads it from the cache."""
    arguments = (0, share.table, ports, share.gate, queues, registers)
    loop.run.compile(tuple(map(numba.typeof, arguments)))  # type: ignore[attr-defined]


def main(
    number: int, share: Share, ports: Ports, queues: Queues, registers: Registers, endpoints: Sequence[str]
) -> None:
    """Body of the process of router `number`, which serves endpoints[number]; returns only if the network is gone."""
    with bound(number, endpoints) as socket:
        handle = socket.underlying
        while loop.run(handle, share.table, ports, share.gate, queues, registers) == loop.INTERRUPTED:
            pass


@contextmanager
def bound(number: int, endpoints: Sequence[str]) -> Iterator[zmq.Socket[bytes]]:
    """The socket of router `number`, which can already reach the other routers."""
    with zmq.Context() as network, network.socket(zmq.ROUTER) as socket:
        socket.set(zmq.ROUTING_ID, identity(MAX_IDS + number))
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.RECONNECT_IVL, 5)  # the others may not be there yet
        for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
            socket.set(option, 0)
        socket.bind(endpoints[number])
        for lower in endpoints[:number]:
            socket.connect(lower)
        for other in range(len(endpoints)):
            if other != number:
                _greet(socket, number, identity(MAX_IDS + other))
        yield socket


def _greet(socket: zmq.Socket[bytes], number: int, router: bytes) -> None:
    """Waits until another router can be reached, so that nothing that is sent to it later is lost."""
    greeting = new_buffer(0)
    head = header(greeting)[0]
    head["kind"], head["version"], head["status"], head["end"] = Kind.DONE, VERSION, number, -1
    while True:
        try:
            socket.send_multipart([router, greeting.tobytes()])
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            time.sleep(0.001)
