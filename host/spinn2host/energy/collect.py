"""From what PEs have counted (`Chip.usage`) to the usage that the model takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from spinn2emu.cost import DRAIN, Interval
from spinn2host.energy.model import CHIP, UNKNOWN, UNUSED, Row, Usage
from spinn2host.pe_program import short_program
from spinn2host.usage import PeUsage

Key = tuple[int, str, str, str]


class Tally:
    """Adds up what PEs did in several stretches of time. `roles`: of PEs, by id; others have their population as role,
    or else their program's name. `phases`: what phases of programs are called in reports, in the order in which they
    come; others keep their names.
    """

    def __init__(self, roles: Mapping[int, str] | None = None, phases: Mapping[str, str] | None = None) -> None:
        self.roles, self.phases = roles or {}, phases or {}
        self._rows: dict[Key, Row] = {}

    def add(self, before: Iterable[PeUsage], after: Iterable[PeUsage]) -> None:
        """What was counted between two looks. A program that was loaded in between has counted since then."""
        earlier = {_key(each): each for each in before}
        for now in after:
            key, then = _key(now), earlier.get(_key(now))
            if then is not None and then.ticks > now.ticks:
                then = None
            row, known = self._row(now, then), self._rows.get(key)
            if known is not None:
                row = row._replace(ticks=row.ticks + known.ticks, cycles=row.cycles + known.cycles)
            self._rows[key] = row

    @contextmanager
    def during(self, look: Callable[[], Iterable[PeUsage]]) -> Iterator[None]:
        """Adds what is counted in the block; `look` is `Chip.usage`."""
        before = list(look())
        yield
        self.add(before, look())

    def _row(self, now: PeUsage, then: PeUsage | None) -> Row:
        ticks, cycles = now.ticks, UNKNOWN if now.cycles is None else now.cycles
        if then is not None:
            ticks -= then.ticks
            if now.cycles is not None and then.cycles is not None:
                cycles += then.cycles * -1
        if not ticks:
            cycles = Interval(0.0, 0.0, 0.0)
        role = self.roles.get(now.pe) or role_of(now.population, now.program)
        time = 0 if now.phase == DRAIN else ticks
        longest = math.nan if now.worst is None else now.worst
        phase = self.phases.get(now.phase, now.phase)
        return Row(now.pe, role, now.program, phase, now.level, time, cycles, longest)

    def usage(
        self, ticks: int, batches: int = 0, samples: int = 0, ticks_at: Mapping[str, int] | None = None
    ) -> Usage | None:
        """Of a batch of `ticks` and `samples` if there are batches, or of a run of `ticks`; None if nothing was
        counted: no time passed, or the chip has no timing model.
        """
        if not self._rows or not ticks:
            return None
        order = {phase: place for place, phase in enumerate(self.phases)}
        rows = [self._rows[key] for key in sorted(self._rows, key=lambda key: (key[0], order.get(key[2], len(order))))]
        used = [row for row in rows if row.ticks or row.cycles.high]
        others = {row.pe: row for row in rows}  # a PE that was paused is not off
        for row in used:
            others.pop(row.pe, None)
        return Usage([*used, *others.values()], ticks, batches, samples, ticks_at or {})


def role_of(population: str, program: str) -> str:
    """What a PE is called: its population, or its program's last name; never as what is no PE with a program."""
    name = population or short_program(program)
    return f"{name} (program)" if name in (CHIP, UNUSED) else name


def _key(usage: PeUsage) -> Key:
    return usage.pe, usage.program, usage.phase, usage.level
