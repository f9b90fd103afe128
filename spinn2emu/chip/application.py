"""What is deployed on a chip: the PEs' programs and ports, the routing entries, and which PEs sleep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from spinn2emu import geometry
from spinn2emu.chip.loading import Assignment, connect
from spinn2emu.errors import ConfigError
from spinn2emu.router.table import Entry

Sleep = Literal["paused", "stopped"]
SIGNALS = ("pause", "resume", "stop", "reset")


class Application(NamedTuple):
    """`asleep`: PEs whose kernels do not run; they have no process, their SRAM stays."""

    pes: Mapping[int, Assignment] = {}
    entries: Sequence[Entry] = ()
    asleep: Mapping[int, Sleep] = {}

    @property
    def awake(self) -> list[Assignment]:
        """The PEs that run."""
        return [assignment for pe, assignment in self.pes.items() if pe not in self.asleep]

    def add(self, assignments: Iterable[Assignment]) -> Application:
        """With further programs. Raises ConfigError for a PE whose program has not been stopped."""
        pes, asleep = dict(self.pes), dict(self.asleep)
        for assignment in assignments:
            pe = assignment.pe
            if pe in pes and asleep.get(pe) != "stopped":
                raise ConfigError(
                    f"PE {geometry.name(pe)} has a program, {pes[pe].program.name}: stop it first "
                    f"(`spinn2emu signal stop {geometry.name(pe)}`), or replace it (`load --replace`)",
                    pe=pe, program=pes[pe].program.name,
                )  # fmt: skip
            asleep.pop(pe, None)
            pes[pe] = assignment
        return self._replace(pes=pes, asleep=asleep)

    def without(self, pes: Collection[int]) -> Application:
        """Without the programs of these PEs."""
        return self._replace(
            pes={pe: a for pe, a in self.pes.items() if pe not in pes},
            asleep={pe: sleep for pe, sleep in self.asleep.items() if pe not in pes},
        )

    def route(self, entries: Sequence[Entry]) -> Application:
        """With another routing table, and no PE connected to it yet."""
        pes = {pe: a._replace(inputs={}, outputs={}) for pe, a in self.pes.items()}
        return self._replace(pes=pes, entries=entries)

    def connect(self, ports: Mapping[Any, Mapping[str, Any]]) -> Application:
        """With other ports (see `loading.connect`) of PEs that have programs."""
        changed = {int(pe): connect(self._program(int(pe)), dict(value)) for pe, value in ports.items()}
        return self._replace(pes={**self.pes, **changed})

    def signal(self, signal: str, pes: Sequence[int]) -> Application:
        """After a signal. Raises ConfigError if a PE is in no state for it."""
        asleep = dict(self.asleep)
        for pe in pes:
            self._program(pe)
            state = asleep.get(pe, "running")
            if (signal in ("pause", "stop") and state == "stopped") or (signal == "resume" and state != "paused"):
                raise ConfigError(f"PE {geometry.name(pe)} is {state}: it cannot {signal}", pe=pe, state=state)
            if signal in ("resume", "reset"):
                asleep.pop(pe, None)
            else:
                asleep[pe] = "paused" if signal == "pause" else "stopped"
        return self._replace(asleep=asleep)

    def check(self) -> None:
        """Raises ConfigError for keys that two ports send, and for routes to PEs without a program."""
        running = [(pe, a) for pe, a in self.pes.items() if self.asleep.get(pe) != "stopped"]
        senders = [(pe, port, *keys) for pe, a in running for port, keys in a.outputs.items()]
        key, mask = (np.array([sender[column] for sender in senders], np.uint32) for column in (2, 3))
        for i, (pe, port, own_key, own_mask) in enumerate(senders):
            same = (key[i + 1 :] ^ np.uint32(own_key)) & mask[i + 1 :] & np.uint32(own_mask) == 0
            if same.any():
                other, other_port, *keys = senders[i + 1 + int(np.argmax(same))]
                raise ConfigError(
                    f"overlapping keys: port {port!r} of PE {geometry.name(pe)} sends {own_key:#x} (mask "
                    f"{own_mask:#x}), port {other_port!r} of PE {geometry.name(other)} sends {keys[0]:#x} (mask "
                    f"{keys[1]:#x}): give each port keys of its own", pe=pe, other=other,
                )  # fmt: skip
        for number, entry in enumerate(self.entries):
            for pe in entry.pes:
                if pe in geometry.PE_IDS and pe not in self.pes:
                    raise ConfigError(
                        f"routing entry {number} (key {entry.key:#x}, mask {entry.mask:#x}) leads to PE "
                        f"{geometry.name(pe)}, which has no program: load one first", pe=pe, entry=number,
                    )  # fmt: skip

    def _program(self, pe: int) -> Assignment:
        if pe not in self.pes:
            who = geometry.name(pe) if pe in geometry.PE_IDS else repr(pe)
            raise ConfigError(f"no program is loaded on PE {who}", pe=pe)
        return self.pes[pe]
