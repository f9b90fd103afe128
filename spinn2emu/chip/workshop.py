"""Where programs become code: child processes import, link and compile them, several at a time, and are forgotten then.

The supervisor never runs a user's code: what ends or blocks a process must not do so to the chip. And what was edited
is read anew, with all that it imports from its folder: every load begins with a process that knows none of it.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack

from spinn2emu import geometry
from spinn2emu.chip import processes
from spinn2emu.chip.declare import Declaration, declare
from spinn2emu.errors import ProgramError, Spinn2Error, from_wire
from spinn2emu.jit import objects, store
from spinn2emu.jit.build import compiler_environment
from spinn2emu.pe.entry import entry_of
from spinn2emu.program import load_program
from spinn2emu.program_files import look_in
from spinn2emu.progress import tell
from spinn2emu.registers import own_symbols

DEADLINE_S = 120.0
"""For importing, linking and compiling a program, cold."""

Report = Callable[[str], None]
_SIZE = struct.Struct("<I")


class Order(NamedTuple):
    """A program with one set of parameters, wanted by `pe`, perhaps among others."""

    pe: int
    program: str
    parameters: dict[str, Any]


class Loaded(NamedTuple):
    """A program with one set of parameters, linked and compiled; `entry`: address of its code in this process."""

    program: Declaration
    entry: int


def make_all(
    orders: Sequence[Order], path: Sequence[str], one_tick: bool, strict: bool, report: Report = tell
) -> list[Loaded]:
    """Fulfils the orders, one program after the other on each core. `report` gets lines about what takes long.

    Raises the first error, with the PE; ProgramError if a program ends its process, or takes longer than DEADLINE_S.
    """
    groups: dict[str, list[int]] = {}
    for number, order in enumerate(orders):
        groups.setdefault(order.program, []).append(number)
    todo = sorted(groups.items(), key=lambda group: -len(group[1]))
    made: dict[int, Loaded] = {}
    benches: list[_Bench] = []
    cores = len(os.sched_getaffinity(0))
    try:
        while todo or benches:
            while todo and len(benches) < cores:
                name, numbers = todo.pop(0)
                benches.append(_Bench(name, numbers, [orders[n] for n in numbers], path, one_tick, strict))
            deadline = min(bench.deadline for bench in benches)
            ready = select.select([bench.reading for bench in benches], [], [], max(0.0, deadline - time.monotonic()))[
                0
            ]
            for bench in list(benches):
                if bench.reading in ready:
                    bench.hear(report, made)
                elif bench.deadline <= time.monotonic():
                    raise bench.error(
                        f"is not loaded and compiled after {DEADLINE_S:.0f} s: does it block when it is imported?"
                    )
                if bench.done:
                    bench.close()
                    benches.remove(bench)
    finally:
        for bench in benches:
            bench.close()
    return [made[number] for number in range(len(orders))]


class _Bench:
    """A child process at work on all orders of one program."""

    def __init__(
        self,
        name: str,
        numbers: Sequence[int],
        orders: Sequence[Order],
        path: Sequence[str],
        one_tick: bool,
        strict: bool,
    ) -> None:
        self.name, self.numbers, self.orders, self.done = name, numbers, orders, False
        self.deadline = time.monotonic() + DEADLINE_S
        self.reading, writing = os.pipe()
        try:
            # `processes.fork` closes what is inherited from 3 on: the pipe must be among what it keeps.
            self.child = processes.fork(
                f"load {os.path.basename(name)}",
                0,
                lambda: _work(writing, orders, path, one_tick, strict),
                keep=[writing],
            )
        except Spinn2Error:
            os.close(self.reading)
            raise
        finally:
            os.close(writing)

    def hear(self, report: Report, made: dict[int, Loaded]) -> None:
        """Takes in a message of the child."""
        head = _read(self.reading, _SIZE.size)
        message = _read(self.reading, _SIZE.unpack(head)[0]) if len(head) == _SIZE.size else b""
        if not message:
            raise self.error("ends its process when it is loaded: " + processes.end(self.child), reaped=True)
        kind, number, content = msgpack.unpackb(message, strict_map_key=False, unicode_errors="surrogateescape")
        if kind == "compiling":
            report(f"compiling {self.name}")
            if why := store.why_not_kept():
                report(why)
        elif kind == "error":
            error, pe = from_wire(content), self.orders[number].pe
            raise type(error)(f"PE {geometry.name(pe)}: {error.message}", **({"pe": pe} | error.fields)) from error
        else:
            declaration, key, data = content
            made[self.numbers[number]] = Loaded(Declaration.from_wire(declaration), _address(key, data))
            self.done = number == len(self.orders) - 1

    def error(self, text: str, reaped: bool = False) -> ProgramError:
        """About the program as a whole."""
        if reaped:
            self.child = None  # type: ignore[assignment]
        pe = self.orders[0].pe
        return ProgramError(f"PE {geometry.name(pe)}: program {self.name} {text}", program=self.name, pe=pe)

    def close(self) -> None:
        """Ends the child."""
        os.close(self.reading)
        if self.child is not None:
            processes.kill([self.child])


def _read(number: int, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    parts = []
    while size:
        part = os.read(number, min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


_addresses: dict[str, int] = {}


def _address(key: str, data: bytes) -> int:
    """Where the code is, loaded once."""
    if key not in _addresses:
        _addresses[key] = objects.load(data)
    return _addresses[key]


def _work(writing: int, orders: Sequence[Order], path: Sequence[str], one_tick: bool, strict: bool) -> None:
    """The child: fulfils the orders of one program, one after the other."""

    def say(kind: str, number: int, content: Any) -> None:
        data = msgpack.packb([kind, number, content], unicode_errors="surrogateescape")
        data = memoryview(_SIZE.pack(len(data)) + data)
        while data:
            data = data[os.write(writing, data) :]

    environment = compiler_environment()
    os.environ.clear()
    os.environ.update(environment)
    done: dict[Any, tuple[str, bytes]] = {}
    number = 0
    try:
        if path:
            with contextlib.suppress(OSError):
                os.chdir(path[0])
        look_in(path)
        program = load_program(orders[0].program)
        for number, order in enumerate(orders):
            declaration = declare(program, order.parameters)
            symbols = own_symbols(declaration.memory)
            layout = str([(symbol.name, symbol.dtype, symbol.shape) for symbol in symbols])
            if layout not in done:
                done[layout] = entry_of(program, symbols, one_tick, strict, lambda: say("compiling", 0, None))
            say("made", number, [declaration.to_wire(), *done[layout]])
    except Spinn2Error as error:
        say("error", number, error.to_wire())
