"""A router's process. Several of them share the work of the chip's one router; each serves its own PEs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import zmq
from numpy.typing import NDArray

from spinn2emu.frames import VERSION, FrameKind, header, identity, new_buffer
from spinn2emu.router import loop
from spinn2emu.router.state import MAX_IDS, Share, build_work
from spinn2emu.trace.capture import Capture


def main(
    number: int, share: Share, ports: NDArray[np.void], queues: NDArray[np.void], registers: NDArray[np.void],
    capture: Capture, tap: NDArray[np.void], endpoints: Sequence[str],
) -> None:  # fmt: skip
    """Body of the process of router `number`, which serves endpoints[number]; returns only if the network is gone."""
    work = build_work()
    with bound(number, endpoints) as socket:
        records = (share.table, ports, share.gate, queues, work, registers, *capture, tap)
        while loop.run(socket.underlying, *records) == loop.INTERRUPTED:
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
    head["kind"], head["version"], head["router"], head["limit"] = FrameKind.DONE, VERSION, number, -1
    while True:
        try:
            socket.send_multipart([router, greeting.tobytes()])
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            time.sleep(0.001)
