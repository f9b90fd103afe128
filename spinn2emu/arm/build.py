"""Images of programs: out of the store, or made in processes of their own, several at a time.

Such a process (`main`) imports the program, as the chip's workshop does, and compiles it with LLVM's optimization of
single functions switched off: what numba makes is then the same on every machine.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from spinn2emu.arm.link import Image
from spinn2emu.errors import ConfigError, ProgramError, Spinn2Error, from_wire
from spinn2emu.jit.build import compiler_environment
from spinn2emu.memory_map import MemoryMap, Symbol
from spinn2emu.parent import die_with_parent

if TYPE_CHECKING:
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


def make(orders: Sequence[Order]) -> list[Made]:
    """Fulfils the orders. Raises the error of the first that has one: ProgramError, SramOverflow."""
    with ThreadPoolExecutor(max(1, min(len(orders), len(os.sched_getaffinity(0))))) as pool:
        answers = list(pool.map(_ask, orders))
    for answer in answers:
        if isinstance(answer, Spinn2Error):
            raise answer
    return [answer for answer in answers if isinstance(answer, Made)]


def _ask(order: Order) -> Made | Spinn2Error:
    command = [sys.executable, "-P", "-c", "from spinn2emu.arm.build import main; main()", str(os.getpid())]
    question = msgpack.packb(
        [order.program, order.memory.to_wire(), [*order.path], sys.path, order.lines, order.on_chip]
    )
    done = subprocess.run(
        command, input=question, stdout=subprocess.PIPE, env=compiler_environment() | {"NUMBA_OPT": "0"}, check=False
    )
    try:
        kind, *content = msgpack.unpackb(done.stdout)
    except ValueError:
        text = f"program {order.program} was not compiled for the PE: its compiler ended with code {done.returncode}"
        return ProgramError(text, program=order.program)
    return from_wire(content[0]) if kind == "error" else Made(Image.from_bytes(content[0]), tuple(content[1]))


def main() -> None:
    """The body of a compiling process, see above."""
    die_with_parent(int(sys.argv[1]))
    gc.disable()  # it ends soon
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program prints is no answer
    warnings.filterwarnings("ignore", "Could not find source for function")  # of the generated one around an entry
    name, memory, path, folders, lines, on_chip = msgpack.unpackb(sys.stdin.buffer.read())
    sys.path += [folder for folder in folders if folder not in sys.path]
    try:
        from spinn2emu.program_files import look_in

        look_in(path)
        image, table = _make(name, MemoryMap.from_wire(memory), lines, on_chip)
        packed: list[Any] = ["made", image.to_bytes(), table]
    except Spinn2Error as error:
        packed = ["error", error.to_wire()]
    except Exception as error:
        traceback.print_exc()
        text = f"program {name} was not compiled for the PE: {type(error).__name__}: {error}"
        packed = ["error", ProgramError(text, program=name).to_wire()]
    answer.write(msgpack.packb(packed))
    answer.flush()


def _make(name: str, memory: MemoryMap, lines: bool, on_chip: bool) -> tuple[Image, list[bytes]]:
    from spinn2emu.arm.fingerprint import fingerprint
    from spinn2emu.arm.sizes import find_size, keep_size
    from spinn2emu.jit import fingerprint as jit_fingerprint
    from spinn2emu.jit import store
    from spinn2emu.program import load_program
    from spinn2emu.registers import own_symbols

    program, symbols = load_program(name), own_symbols(memory)
    names: list[Entry] = ["tick"] if program.drain is None else ["tick", "drain"]
    entries: list[Any] = [getattr(program, entry) for entry in names]
    functions = [getattr(entry, "py_func", entry) for entry in entries]
    sources = fingerprint(program, symbols)
    key = "arm-" + jit_fingerprint.fingerprint(functions, (sources, lines, on_chip))
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
    from spinn2emu.arm.link import link
    from spinn2emu.arm.missing import explain_missing
    from spinn2emu.arm.stand_ins import ON_CHIP, STAND_INS

    instead = ON_CHIP if on_chip else STAND_INS
    objects = [compile_entry(program, entry, symbols, instead, lines) for entry in names]
    regions = tuple(symbol.name for symbol in symbols)
    try:
        return link(program.name, sources, regions, objects, helper_object), objects
    except ProgramError as error:
        raise explain_missing(error, program, names, symbols, instead) if "symbol" in error.fields else error from None
