"""A program's Cortex-M4 code, instruction by instruction, with its lines of Python between."""

from __future__ import annotations

import io
import linecache
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spinn2emu.arm.build import Described
from spinn2emu.arm.elf import ObjectFile
from spinn2emu.arm.instructions import Instruction, decode
from spinn2emu.arm.link import Function
from spinn2emu.errors import ConfigError

_GENERATED = "<string>"
"""The file of the function around an entry, which makes views of the regions."""


class Place(NamedTuple):
    """A line of a source file."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line, without its indentation; "" if there is no such file."""
        return linecache.getline(self.file, self.line).strip()


class Row(NamedTuple):
    """An instruction, the function that begins with it, if one does, and the line it belongs to, if that is known."""

    instruction: Instruction
    function: Function | None
    place: Place | None


def listing(program: Described) -> Iterator[Row]:
    """All instructions by address. Raises ConfigError without capstone or pyelftools."""
    image = program.image
    functions = {function.address: function for function in image.functions}
    table = _places(program)
    starts = [start for start, _ in table]
    for instruction in decode(image.memory, 0, image.spans):
        number = bisect_right(starts, instruction.address) - 1
        place = table[number][1] if number >= 0 else None
        yield Row(instruction, functions.get(instruction.address), place)


def _places(program: Described) -> list[tuple[int, Place | None]]:
    """Addresses from which on code is of another line, in order; None: of nobody's."""
    found: list[tuple[int, Place | None]] = []
    for data in program.lines:
        file = ObjectFile.parse(data)
        entry = next(symbol for symbol in file.symbols if symbol.name in ("tick", "drain") and symbol.section)
        base = program.image.entry(entry.name) - (entry.value & ~1)
        found += [(base + offset, place) for offset, place in _table(data)]
    return sorted(found, key=lambda row: row[0])


def _table(data: bytes) -> Iterator[tuple[int, Place | None]]:
    """The line table of an object file: offsets in its code. LLVM puts all code into one section, so nothing in the
    table depends on where that will lie. Code of no line belongs to the line before."""
    for header, entries in _line_programs(data):
        names, folders = header["file_entry"], [b"", *header["include_directory"]]
        for state in (entry.state for entry in entries if entry.state is not None):
            if state.end_sequence:
                yield state.address, None
            elif state.line:
                name = names[state.file - 1]
                path = Path(folders[name.dir_index].decode()) / name.name.decode()
                yield state.address, None if path.name == _GENERATED else Place(str(path), state.line)


def _line_programs(data: bytes) -> Iterator[tuple[Any, Sequence[Any]]]:
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ConfigError("lines beside Cortex-M4 code need pyelftools: pip install 'spinn2emu[arm]'") from error
    tables = ELFFile(io.BytesIO(data)).get_dwarf_info(relocate_dwarf_sections=False)
    for unit in tables.iter_CUs():
        program = tables.line_program_for_CU(unit)
        if program is not None:
            yield program.header, program.get_entries()
