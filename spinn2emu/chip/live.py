"""The operations of live input and output: packets of the host, and the host that listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spinn2emu import memory_map
from spinn2emu.chip.injections import packets_of
from spinn2emu.chip.listener import Listener
from spinn2emu.chip.network import Network
from spinn2emu.errors import ConfigError

Request = dict[str, Any]
Answer = dict[str, Any]


class Live:
    """One method per operation, and what the supervisor has to look after. state: the operation of that name."""

    def __init__(self, network: Network, state: Callable[[Request], Answer]) -> None:
        self.network = network
        self.known: dict[str, Callable[[Request], Answer]] = {
            "inject": self.inject, "listen": self.listen, "hush": self.hush,
        }  # fmt: skip
        self._state, self._count = state, 0

    def inject(self, request: Request) -> Answer:
        """Takes in packets of the host; without `ticks`, for the first tick that is still open. `tick`: the first."""
        network = self.network
        if network.failure is not None:
            raise network.failure
        if not network.assignments:
            raise ConfigError("no program is loaded, nobody would get the packets: load one first")
        keys, ticks, payloads = (
            None if request.get(name) is None else memory_map.from_wire(request[name])
            for name in ("keys", "ticks", "payloads")
        )
        assert keys is not None
        packets = packets_of(keys, np.full(keys.shape, network.open_tick) if ticks is None else ticks, payloads)
        network.inject(packets)
        first = int(packets["tick"].min()) if len(packets) else network.open_tick
        return {"tick": first, "waiting": len(network.exchange.injections)}

    def state(self) -> Answer:
        """`waiting`: packets of the host that wait for their tick; `listener`: the process that listens, or None."""
        exchange = self.network.exchange
        listener = None if exchange.listener is None else exchange.listener.pid
        return {"waiting": len(exchange.injections), "listener": listener}

    # --- the listener -----------------------------------------------------------------------------------------------

    def listen(self, request: Request) -> Answer:
        """Somebody listens, from the next window of time on; `listener` is the number that it asks with."""
        network = self.network
        if network.exchange.listener is not None:
            pid = network.exchange.listener.pid
            raise ConfigError(
                f"process {pid} listens to this chip already, and one can at a time: close its `events`, or end it",
                pid=pid,
            )  # fmt: skip
        self._count += 1
        keys = request.get("key", 0), request.get("mask", 0)
        listener = Listener(
            self._count, request.get("pes", []), request.get("ports", []), keys, request.get("pid", 0),
            request["patience"],
        )  # fmt: skip
        try:
            listener.check(network.assignments)
        except ConfigError:
            listener.close()
            raise
        network.exchange.listener = listener
        return {"listener": self._count, "tick": network.open_tick}

    def hush(self, request: Request) -> Answer:
        """The listener goes."""
        exchange = self.network.exchange
        if exchange.listener is not None and exchange.listener.number == request["listener"]:
            self.network.end_listening()
        return {}

    def ask(self, request: Request) -> None:
        """The listener wants more, so time may go on; `fetch` answers later. Raises why it is none any more."""
        self._listener(request["listener"])
        self.network.ask(request["batches"])

    def is_due(self, request: Request) -> bool:
        """Whether `fetch` has something to say."""
        network, listener = self.network, self.network.exchange.listener
        if listener is None or listener.number != request["listener"]:
            return True
        return bool(listener.waiting or network.failure or (network.idle and not request.get("follow")))

    def fetch(self, request: Request) -> Answer:
        """`packets` (bytes of `packets.SENT`), whether there are `more` now, and the state of the run. batches: answers
        with packets that have arrived.

        programs: names of the PEs' output ports, name of the population and number in it of the PE's first neuron, if
        the programs are others than in the answer with number `loads`. Raises what made the chip fail or ended the run,
        once all that was complete has been handed over.
        """
        network, listener = self.network, self._listener(request["listener"])
        rows = listener.take()
        answer = {"idle": False, "tick": network.open_tick, "run": request.get("run") or network.runs}
        if not len(rows) or (network.failure is None and answer["run"] == network.runs):
            answer = self._state(request)
        if request.get("loads") != network.loads:
            pes = network.assignments.items()
            answer["programs"] = {str(pe): [list(a.program.outputs), a.population, a.first] for pe, a in pes}
        return {**answer, "packets": rows.tobytes(), "more": bool(listener.waiting), "loads": network.loads}

    def look(self) -> None:
        """To be called now and then: time does not wait for ever."""
        listener = self.network.exchange.listener
        if self.network.held and listener is not None and listener.late:
            self.network.end_listening(f"process {listener.pid} has not asked for more for {listener.patience:g} s")

    def note_death(self, pidfd: int) -> bool:
        """Whether it is the listener that has ended."""
        listener = self.network.exchange.listener
        if listener is None or listener.pidfd != pidfd:
            return False
        self.network.end_listening(f"process {listener.pid} has ended")
        return True

    def _listener(self, number: int) -> Listener:
        listener = self.network.exchange.listener
        if listener is not None and listener.number == number:
            return listener
        raise self.network.exchange.ended.get(number) or ConfigError("nobody listens any more: this has been closed")
