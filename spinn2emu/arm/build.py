"""Images of programs: out of the store, or made in processes of their own, several at a time.

Such a process (`main`) imports the program, as the chip's workshop does, and compiles it with LLVM's optimization of
single functions switched off: what numba makes is then the same on every machine.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from spinn2emu.arm import link
from spinn2emu.arm.link import Image
from spinn2emu.cost import Cost
from spinn2emu.errors import ConfigError, ProgramError, Spinn2Error, from_wire
from spinn2emu.jit.build import compiler_environment
from spinn2emu.memory_map import MemoryMap, Symbol
from spinn2emu.parent import die_with_parent

if TYPE_CHECKING:
    from spinn2emu.chip.declare import Declaration
    from spinn2emu.pe.check import Entry
    from spinn2emu.program import Program


class Order(NamedTuple):
    """A program (module or file), and a layout of its regions; only their names and dtypes matter. `path`: folders
    where modules are looked for; `lines`: object files with the lines of the code are wanted, too;
    `on_chip`: to be executed in place of the host's code."""

    program: str
    memory: MemoryMap
    path: tuple[str, ...] = ()
    lines: bool = False
    on_chip: bool = False

    @property
    def key(self) -> str:
        """The same for orders of the same code, as long as nobody edits it."""
        layout = [(symbol.name, symbol.dtype, len(symbol.shape)) for symbol in self.memory.symbols]
        return str((self.program, layout, self.lines, self.on_chip))


class Made(NamedTuple):
    """`lines`: the object files of the program's entries, with their line tables, if they were wanted."""

    image: Image
    lines: tuple[bytes, ...]


class Described(NamedTuple):
    """A program with one set of parameters: where its regions lie, its code, and what is known of its cycles."""

    memory: MemoryMap
    image: Image
    cost: Cost | None
    lines: tuple[bytes, ...]


def make(orders: Sequence[Order]) -> list[Made]:
    """Fulfils the orders. Raises the error of the first that has one: ProgramError, SramOverflow."""
    with ThreadPoolExecutor(max(1, min(len(orders), len(os.sched_getaffinity(0))))) as pool:
        answers = list(pool.map(_fulfil, orders))
    for answer in answers:
        if isinstance(answer, Spinn2Error):
            raise answer
    return [answer for answer in answers if isinstance(answer, Made)]


def describe(program: str, parameters: Mapping[str, Any], path: Sequence[str] = (), lines: bool = False) -> Described:
    """Compiles a program (module or file) with these parameters; `path`, `lines`: as in Order.

    Raises ConfigError, ProgramError or SramOverflow.
    """
    answer = _ask([program, None, [*path], sys.path, lines, False, dict(parameters)])
    if isinstance(answer, Spinn2Error):
        raise answer
    image, objects, memory, cost = answer
    where = MemoryMap.from_wire(memory)
    known = None if cost is None else Cost.from_json(cost, program)
    return Described(replace(where, code_bytes=len(Image.from_bytes(image).memory)), Image.from_bytes(image), known,
                     tuple(objects))  # fmt: skip


def _fulfil(order: Order) -> Made | Spinn2Error:
    answer = _ask([order.program, order.memory.to_wire(), [*order.path], sys.path, order.lines, order.on_chip, None])
    return answer if isinstance(answer, Spinn2Error) else Made(Image.from_bytes(answer[0]), tuple(answer[1]))


def _ask(question: list[Any]) -> list[Any] | Spinn2Error:
    """What a compiling process says: image, object files, memory map and cost."""
    command = [sys.executable, "-P", "-c", "from spinn2emu.arm.build import main; main()", str(os.getpid())]
    done = subprocess.run(
        command,
        input=msgpack.packb(question),
        stdout=subprocess.PIPE,
        env=compiler_environment() | {"NUMBA_OPT": "0"},
        check=False,
    )
    try:
        kind, *content = msgpack.unpackb(done.stdout)
    except ValueError:
        text = f"program {question[0]} was not compiled for the PE: its compiler ended with code {done.returncode}"
        return ProgramError(text, program=question[0])
    return from_wire(content[0]) if kind == "error" else content


def main() -> None:
    """The body of a compiling process, see above."""
    die_with_parent(int(sys.argv[1]))
    gc.disable()  # it ends soon
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program prints is no answer
    name, memory, path, folders, lines, on_chip, parameters = msgpack.unpackb(sys.stdin.buffer.read())
    sys.path += [folder for folder in folders if folder not in sys.path]
    try:
        from spinn2emu.program_files import look_in

        look_in(path)
        cost = None
        if parameters is not None:
            declaration = _declare(name, parameters)
            memory, cost = declaration.memory.to_wire(), declaration.cost and declaration.cost.to_json()
        image, table = _make(name, MemoryMap.from_wire(memory), lines, on_chip)
        packed: list[Any] = ["made", image.to_bytes(), table, memory, cost]
    except Spinn2Error as error:
        packed = ["error", error.to_wire()]
    except Exception as error:
        traceback.print_exc()
        text = f"program {name} was not compiled for the PE: {type(error).__name__}: {error}"
        packed = ["error", ProgramError(text, program=name).to_wire()]
    answer.write(msgpack.packb(packed))
    answer.flush()


def _declare(name: str, parameters: Mapping[str, Any]) -> Declaration:
    from spinn2emu.chip.declare import declare
    from spinn2emu.program import load_program

    return declare(load_program(name), parameters)


def _place(function: FunctionType) -> tuple[Any, ...]:
    """What the lines of a function's code depend on."""
    code = function.__code__
    return code.co_filename, code.co_firstlineno, code.co_linetable


@functools.cache
def _linker() -> str:
    """Who links, which is in no fingerprint of sources."""
    return hashlib.sha256(
        b"".join(Path(__file__).with_name(name).read_bytes() for name in ("elf.py", "link.py"))
    ).hexdigest()


def _make(name: str, memory: MemoryMap, lines: bool, on_chip: bool) -> tuple[Image, list[bytes]]:
    from spinn2emu.arm.fingerprint import fingerprint
    from spinn2emu.arm.sizes import find_size, keep_size
    from spinn2emu.jit import fingerprint as jit_fingerprint
    from spinn2emu.jit import store
    from spinn2emu.pe.check import reachable
    from spinn2emu.program import load_program
    from spinn2emu.registers import own_symbols

    program, symbols = load_program(name), own_symbols(memory)
    names: list[Entry] = ["tick"] if program.drain is None else ["tick", "drain"]
    entries: list[Any] = [getattr(program, entry) for entry in names]
    functions = [getattr(entry, "py_func", entry) for entry in entries]
    sources = fingerprint(program, symbols)
    places = [_place(function) for entry in functions for function in reachable(entry)] if lines else []
    key = "arm-" + jit_fingerprint.fingerprint(functions, (sources, places, on_chip, _linker()))
    with store.alone(key):
        data = store.read(key)
        if data is None:
            try:
                image, objects = _compile(program, names, symbols, sources, lines, on_chip)
            except ConfigError as error:
                keep_size(sources, error.fields.get("needed", 0), error)
                raise
            data = msgpack.packb([image.to_bytes(), objects if lines else []])
            store.write(key, data)
    made = msgpack.unpackb(data)
    image = replace(Image.from_bytes(made[0]), program=name)  # the same code may have had another name
    if not on_chip and find_size(sources) is None:
        keep_size(sources, image.nbytes)
    return image, made[1]


def _compile(
    program: Program, names: Sequence[Entry], symbols: Sequence[Symbol], sources: str, lines: bool, on_chip: bool
) -> tuple[Image, list[bytes]]:
    from spinn2emu.arm.compile import compile_entry, helper_object
    from spinn2emu.arm.missing import explain_missing
    from spinn2emu.arm.stand_ins import ON_CHIP, STAND_INS

    instead = ON_CHIP if on_chip else STAND_INS
    objects = [compile_entry(program, entry, symbols, instead, lines) for entry in names]
    regions = tuple(symbol.name for symbol in symbols)
    try:
        return link.link(program.name, sources, regions, objects, helper_object), objects
    except ProgramError as error:
        raise explain_missing(error, program, names, symbols, instead) if "symbol" in error.fields else error from None
