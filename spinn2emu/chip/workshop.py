"""Where programs become code: child processes import, link and compile them, several at a time, and are forgotten then.

The supervisor never runs a user's code: what ends or blocks a process must not do so to the chip. And what was edited
is read anew, with all that it imports from its folder: every load begins with a process that knows none of it. Of the
project's own programs, what was made before is taken again as long as their files stay as they are (`chip.known`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgpack

from spinn2emu import geometry
from spinn2emu.chip import processes
from spinn2emu.chip.costs import with_costs
from spinn2emu.chip.declare import Declaration, declare
from spinn2emu.chip.known import Known, Stamps, files_of
from spinn2emu.descriptors import readable
from spinn2emu.errors import ProgramError, Spinn2Error, from_wire
from spinn2emu.jit import objects, store
from spinn2emu.jit.build import compiler_environment
from spinn2emu.pe.check import Entry
from spinn2emu.pe.compiled import compiled_entry
from spinn2emu.program import load_program
from spinn2emu.program_files import look_in
from spinn2emu.progress import tell
from spinn2emu.registers import own_symbols

DEADLINE_S = 120.0
"""For importing, linking and compiling a program, cold."""

Report = Callable[[str], None]
_SIZE, _NUMBER = struct.Struct("<I"), struct.Struct("<H")


class Order(NamedTuple):
    """A program with one set of parameters, wanted by `pe`, perhaps among others."""

    pe: int
    program: str
    parameters: dict[str, Any]


class Loaded(NamedTuple):
    """A program with one set of parameters, linked and compiled; where its code is in this process: that of `tick`,
    and that of `drain`, 0 if it has none."""

    program: Declaration
    tick_address: int
    drain_address: int = 0
    host_bytes: int = 0
    """Of the compiled code."""


class _Task(NamedTuple):
    """A program, and the orders of it by number."""

    program: str
    orders: dict[int, Order]


def make_all(orders: Sequence[Order], path: Sequence[str], strict: bool, report: Report = tell) -> list[Loaded]:
    """Fulfils the orders, several programs at a time. `report` gets lines about what takes long.

    Raises the error of the first order that has one, whatever came to light first, with the PE; ProgramError if a
    program ends its process, or takes longer than DEADLINE_S.
    """
    tasks: dict[str, _Task] = {}
    made: dict[int, Loaded] = {}
    stamps: Stamps = {}
    for number, order in enumerate(orders):
        if (loaded := _known.find(order.program, order.parameters, strict, stamps)) is not None:
            made[number] = loaded
        else:
            tasks.setdefault(order.program, _Task(order.program, {})).orders[number] = order
    if not tasks:
        return [made[number] for number in range(len(orders))]
    said = set[str]()

    def report_once(text: str) -> None:
        if text not in said:
            said.add(text)
            report(text)

    todo, benches, failed = _share_out(list(tasks.values())), list[_Bench](), dict[int, Spinn2Error]()
    with processes.no_strays():
        try:
            while (todo or benches) and not _is_certain(failed, made):
                while todo and len(benches) < len(os.sched_getaffinity(0)):
                    benches.append(_Bench(todo.pop(0), path, strict))
                _hear_any(benches, report_once, made, failed)
                for bench in [bench for bench in benches if bench.done]:
                    bench.close()
                    benches.remove(bench)
        finally:
            for bench in benches:
                bench.close()
    if failed:
        raise failed[min(failed)]
    return [made[number] for number in range(len(orders))]


def _is_certain(failed: Collection[int], made: Collection[int]) -> bool:
    """Whether an order has failed, and it is known of all before it that they have not."""
    return bool(failed) and all(number in made for number in range(min(failed)))


def _hear_any(
    benches: Sequence[_Bench], report: Report, made: dict[int, Loaded], failed: dict[int, Spinn2Error]
) -> None:
    """Waits for messages and takes them in, also that a program has ended its process, or takes long."""
    wait = max(0.0, min(bench.deadline for bench in benches) - time.monotonic())
    ready = readable([number for bench in benches for number in (bench.reading, bench.child.pidfd)], wait)
    for bench in benches:
        if bench.reading in ready:
            bench.hear(report, made, failed)
        elif bench.child.pidfd in ready:  # but something that it has started holds the pipe
            bench.end(failed)
        elif bench.deadline <= time.monotonic():
            text = f"is not loaded and compiled after {DEADLINE_S:.0f} s: does it block when it is imported?"
            bench.give_up(failed, text)


def _share_out(tasks: Sequence[_Task]) -> list[_Tasks]:
    """A process of its own for each file, which may import what others call by the same name; modules share one per
    core, which takes the next task when it is done with one.
    """
    files = [_Tasks([task]) for task in tasks if task.program.endswith(".py")]
    modules = [task for task in tasks if not task.program.endswith(".py")]
    if not modules:
        return files
    return [*[_Tasks(modules)] * min(len(modules), len(os.sched_getaffinity(0))), *files]


class _Tasks:
    """Tasks that one process does, or several: each takes the number of the next one out of a pipe."""

    def __init__(self, tasks: Sequence[_Task]) -> None:
        self.tasks = tasks
        self.reading, writing = os.pipe()
        os.write(writing, b"".join(_NUMBER.pack(number) for number in range(len(tasks))))
        os.close(writing)

    def __iter__(self) -> Iterator[tuple[int, _Task]]:
        while number := os.read(self.reading, _NUMBER.size):
            index = _NUMBER.unpack(number)[0]
            yield index, self.tasks[index]

    def __del__(self) -> None:
        os.close(self.reading)


class _Bench:
    """A child process at work."""

    def __init__(self, tasks: _Tasks, path: Sequence[str], strict: bool) -> None:
        self.tasks, self.task, self.done = tasks, tasks.tasks[0], False
        self.gone, self.strict, self.since_ns = False, strict, time.time_ns()
        self.deadline = time.monotonic() + DEADLINE_S
        self.reading, writing = os.pipe()
        try:
            self.child = processes.fork(
                "workshop", 0, lambda: _work(writing, tasks, path, strict), keep=[writing, tasks.reading]
            )
        except Spinn2Error:
            os.close(self.reading)
            raise
        finally:
            os.close(writing)

    def hear(self, report: Report, made: dict[int, Loaded], failed: dict[int, Spinn2Error]) -> None:
        """Takes in a message of the child."""
        head = _read(self.reading, _SIZE.size)
        message = _read(self.reading, _SIZE.unpack(head)[0]) if len(head) == _SIZE.size else b""
        if not message:
            self.end(failed)
            return
        kind, number, content = msgpack.unpackb(message, strict_map_key=False, unicode_errors="surrogateescape")
        if kind == "begin":
            self.task, self.deadline = self.tasks.tasks[number], time.monotonic() + DEADLINE_S
        elif kind == "compiling":
            report(f"compiling {self.task.program}")
            if why := store.why_not_kept():
                report(why)
        elif kind == "error":
            error, pe = from_wire(content), self.task.orders[number].pe
            failed[number] = type(error)(f"PE {geometry.name(pe)}: {error.message}", **({"pe": pe} | error.fields))
        elif kind == "made":
            declaration, files, entries = content
            addresses = [_address(key, data) for key, data in entries]
            size = sum(objects.code_bytes(data) for _, data in entries)
            made[number] = Loaded(Declaration.from_wire(declaration), addresses[0], sum(addresses[1:]), size)
            order = self.task.orders[number]
            _known.keep(order.program, order.parameters, self.strict, files, self.since_ns, made[number])
        else:
            self.done = True

    def end(self, failed: dict[int, Spinn2Error]) -> None:
        """The child has ended by itself."""
        self.gone = True
        self.give_up(failed, "ends its process when it is loaded: " + processes.end(self.child))

    def give_up(self, failed: dict[int, Spinn2Error], text: str) -> None:
        """The program as a whole has failed."""
        number, order = next(iter(self.task.orders.items()))
        name, self.done = self.task.program, True
        failed[number] = ProgramError(f"PE {geometry.name(order.pe)}: program {name} {text}", program=name, pe=order.pe)

    def close(self) -> None:
        """Ends the child."""
        os.close(self.reading)
        if not self.gone:
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


_known = Known[Loaded]()
_addresses: dict[str, int] = {}


def _address(key: str, data: bytes) -> int:
    """Where the code is, loaded once."""
    if key not in _addresses:
        _addresses[key] = objects.load(data)
    return _addresses[key]


def _work(writing: int, tasks: _Tasks, path: Sequence[str], strict: bool) -> None:
    """The child: does tasks until there are none."""

    def say(kind: str, number: int = 0, content: Any = None) -> None:
        if os.getpid() != here:  # a program that forks
            os._exit(0)
        data = msgpack.packb([kind, number, content], unicode_errors="surrogateescape")
        data = memoryview(_SIZE.pack(len(data)) + data)
        while data:
            data = data[os.write(writing, data) :]

    gc.disable()  # this process ends soon
    here, environment, before = os.getpid(), compiler_environment(), set(sys.modules)
    os.environ.clear()
    os.environ.update(environment)
    if path:
        with contextlib.suppress(OSError):
            os.chdir(path[0])
    look_in(path)
    for index, task in tasks:
        say("begin", index)
        number = next(iter(task.orders))
        try:
            program = load_program(task.program)
            done: dict[Any, list[tuple[str, bytes]]] = {}
            entries: list[Entry] = ["tick"] if program.drain is None else ["tick", "drain"]
            for number, order in task.orders.items():
                declaration = declare(program, order.parameters)
                files = with_costs(files_of(task.program, before), task.program)
                symbols = own_symbols(declaration.memory)
                phases = [phase.name for phase in declaration.phases]
                shapes = [(symbol.name, symbol.dtype, symbol.shape) for symbol in symbols]
                layout = str((shapes, phases, declaration.outputs))
                if layout not in done:
                    with_ports = replace(program, outputs=declaration.outputs)
                    given = (with_ports, symbols, phases, strict, lambda: say("compiling"))
                    done[layout] = [compiled_entry(*given, entry) for entry in entries]
                say("made", number, [declaration.to_wire(), files, done[layout]])
        except Spinn2Error as error:
            say("error", number, error.to_wire())
        except BaseException as error:
            traceback.print_exc()
            text = f"program {task.program} cannot be loaded: {type(error).__name__}: {error}"
            say("error", number, ProgramError(text, program=task.program).to_wire())
    say("end")
