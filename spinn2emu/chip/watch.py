"""Who is late, who hangs, who failed: what the supervisor reads from the PEs' registers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from spinn2emu.chip.loading import Assignment
from spinn2emu.chip.memory import ChipMemory
from spinn2emu.chip.processes import Child, is_stopped
from spinn2emu.errors import ChipStuck
from spinn2emu.router.state import MAX_IDS

STUCK_AFTER_S = 10.0
"""Wall-clock time without any progress of any PE after which a running chip counts as stuck, unless it was booted with
another."""

UNRESPONSIVE_AFTER_S = 2.0
"""Wall-clock time in one activation after which `ps` says so."""


class Watch:
    """Notices that virtual time stands still."""

    def __init__(self, memory: ChipMemory, deadline: float = STUCK_AFTER_S) -> None:
        self.memory, self.deadline = memory, deadline
        self._kernel = np.zeros((MAX_IDS, 2))  # the activation that a PE was last seen in, and since when
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._seen, self._since = -1, time.monotonic()

    def look(self) -> None:
        """Notes who is in a kernel, and since when; to be called about once a second."""
        guards = self.memory.guards
        inside = np.where(guards["busy"] == 1, guards["activations"], 0)
        other = inside != self._kernel[:, 0]
        self._kernel[other, 0], self._kernel[other, 1] = inside[other], time.monotonic()

    def unresponsive(self, pe: int) -> bool:
        """Whether the PE has been in one and the same kernel call for long."""
        inside, since = self._kernel[pe]
        return bool(inside) and time.monotonic() - since > UNRESPONSIVE_AFTER_S

    def slowest(self, assignments: Mapping[int, Assignment]) -> int:
        """The lowest tick of any PE."""
        return int(min(self.memory.ticks[list(assignments)], default=0))

    def stuck(self, assignments: Mapping[int, Assignment], children: Sequence[Child]) -> ChipStuck | None:
        """The error, if nothing has moved for so long that the chip counts as stuck. It names who is to blame:
        processes that somebody has stopped, else PEs that do not return from their kernel, else those that wait.
        """
        moved = self.memory.activity() + int(self.memory.ticks[list(assignments)].sum())
        now = time.monotonic()
        if moved != self._seen:
            self._seen, self._since = moved, now
        if now - self._since < self.deadline:
            return None
        tick = self.slowest(assignments)
        stopped = [child for child in children if is_stopped(child.pid)]
        late = [a for a in assignments.values() if self.memory.guards["busy"][a.pe]]
        if stopped:
            names = [child.label for child in stopped]
            pids = " ".join(str(child.pid) for child in stopped)
            what = f"stopped (SIGSTOP, or a debugger): `kill -CONT {pids}` would have let it go on"
        elif late:
            what = "does not return from its kernel; one that computes for longer needs `boot --deadline SECONDS`"
        else:
            late = [a for a in assignments.values() if self.memory.ticks[a.pe] == tick]
            what = "waits for packets or promises that do not come: check the ports that its phase listens to"
        if not stopped:
            names = [a.who for a in late]
        who = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return ChipStuck(
            f"no progress for {self.deadline:g} s: {who} {'is ' if stopped else ''}{what} in tick {tick}", tick=tick,
            pes=names, deadline=self.deadline,
        )  # fmt: skip
