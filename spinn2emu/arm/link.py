"""The linker: a program's object file and the helpers that it calls become one image of the instruction memory."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgpack
import numpy as np

from spinn2emu import spec
from spinn2emu.arm import elf
from spinn2emu.arm.memory import TABLE, TABLE_WORDS, VECTORS_BYTES
from spinn2emu.errors import ProgramError, SramOverflow
from spinn2emu.memory_map import MemoryMap
from spinn2emu.registers import own_symbols

_ABS32, _REL32, _THM_CALL, _NONE, _THM_JUMP24, _MOVW, _MOVT = 2, 3, 10, 0, 30, 47, 48
_LIMIT = spec.ITCM_BYTES.value
_STACK_TOP = spec.SRAM_BYTES.value


class Function(NamedTuple):
    """Code with a name, `size` bytes from `address` on; `helper`: called by the program, not its own."""

    name: str
    address: int
    size: int
    helper: bool


@dataclass(frozen=True)
class Image:
    """A program's instruction memory from address 0: vector table, table of regions (filled by `table`), code.

    `spans`: [begin, end) of what is code, without the constants between; `regions`: names of the program's own.
    """

    program: str
    fingerprint: str
    regions: tuple[str, ...]
    memory: bytes
    functions: tuple[Function, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def nbytes(self) -> int:
        """Of the 32 kB of instruction memory."""
        return len(self.memory)

    def entry(self, name: str) -> int:
        """The address of a function."""
        return next(function.address for function in self.functions if function.name == name)

    def table(self, memory: MemoryMap) -> bytes:
        """The table of regions for one layout."""
        rows = np.zeros((len(self.regions) + 1, TABLE_WORDS), "<u4")
        for row, symbol in zip(rows, [*own_symbols(memory), memory["log"]], strict=True):
            row[0], row[1 : 1 + len(symbol.shape)] = symbol.address, symbol.shape
        return rows.tobytes()

    def filled(self, memory: MemoryMap) -> bytes:
        """The instruction memory for one layout."""
        table = self.table(memory)
        return self.memory[:TABLE] + table + self.memory[TABLE + len(table) :]

    def to_bytes(self) -> bytes:
        """For the store."""
        return bytes(
            msgpack.packb([self.program, self.fingerprint, self.regions, self.memory, self.functions, self.spans])
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Image:
        """What `to_bytes` made."""
        program, fingerprint, regions, memory, functions, spans = msgpack.unpackb(data)
        return cls(
            program, fingerprint, tuple(regions), memory, tuple(Function(*f) for f in functions),
            tuple(map(tuple, spans)),
        )  # fmt: skip

    def to_elf(self, memory: MemoryMap | None = None) -> bytes:
        """As a file for objdump, gdb and such; with the table of regions for a layout, or an empty one."""
        content = self.memory if memory is None else self.filled(memory)
        functions = [(function.name, function.address, function.size) for function in self.functions]
        return elf.executable(content, min(begin for begin, _ in self.spans), self.entry("tick"), functions)


class _Placed(NamedTuple):
    file: elf.ObjectFile
    base: dict[int, int]
    helper: bool


def link(
    program: str,
    fingerprint: str,
    regions: tuple[str, ...],
    objects: Sequence[bytes],
    helper: Callable[[str], bytes | None],
) -> Image:  # fmt: skip
    """Places a program's object files, `tick` first, and the helpers that it calls: `helper(symbol)` is the object file
    of one, None if there is none of that name.

    Raises ProgramError for a function that does not exist on the PE, SramOverflow for more code than fits.
    """
    linker = _Linker(program, VECTORS_BYTES + 4 * TABLE_WORDS * (len(regions) + 1))
    for data in objects:
        linker.place(elf.ObjectFile.parse(data), helper=False)
    while missing := linker.missing():
        found = helper(missing)
        if found is None:
            raise ProgramError(
                f"program {program} cannot be compiled for the PE: it calls {missing}, which does not exist there",
                program=program, symbol=missing,
            )  # fmt: skip
        linker.place(elf.ObjectFile.parse(found), helper=True)
        if missing not in linker.addresses:
            raise ProgramError(f"the helper for {missing} does not define it", symbol=missing)
    functions, spans = linker.functions(), linker.spans()
    if len(linker.memory) > _LIMIT:
        rows = "\n".join(f"{f.address:#07x} {f.size:>7} B  {f.name}{' (helper)' * f.helper}" for f in functions)
        raise SramOverflow(
            f"{program} needs {len(linker.memory)} bytes of instruction memory, a PE has {_LIMIT}: "
            f"{len(linker.memory) - _LIMIT} too many. Split the program, or call less. Its code:\n{rows}",
            program=program, needed=len(linker.memory), limit=_LIMIT,
        )  # fmt: skip
    linker.relocate()
    entry = next(function.address for function in functions if function.name == "tick")
    linker.memory[:8] = struct.pack("<II", _STACK_TOP, entry | 1)
    return Image(program, fingerprint, regions, bytes(linker.memory), tuple(functions), tuple(spans))


class _Linker:
    def __init__(self, program: str, start: int) -> None:
        self.program, self.memory = program, bytearray(start)
        self.placed: list[_Placed] = []
        self.addresses: dict[str, int] = {}

    def place(self, file: elf.ObjectFile, helper: bool) -> None:
        """Puts the sections of an object file behind what is there."""
        base = {}
        for number, section in file.sections.items():
            if section.writable and section.data:
                text = f"program {self.program} keeps data outside its regions ({section.name})"
                raise ProgramError(text, program=self.program)
            self.memory += bytes(-len(self.memory) % max(4, section.alignment))
            base[number] = len(self.memory)
            self.memory += section.data
        self.placed.append(_Placed(file, base, helper))
        for symbol in file.symbols:
            if symbol.section in base and symbol.name and not symbol.name.startswith("$"):
                self.addresses.setdefault(symbol.name, base[symbol.section] + symbol.value)

    def missing(self) -> str | None:
        """A symbol that some relocation needs and nobody has."""
        for file, base, _ in self.placed:
            for number in base:
                for _, kind, symbol in file.sections[number].relocations:
                    found = file.symbols[symbol]
                    if kind != _NONE and found.section is None and found.name not in self.addresses:
                        return found.name
        return None

    def functions(self) -> list[Function]:
        """All that have a size, the program's first."""
        found = []
        for file, base, helper in self.placed:
            for symbol in file.symbols:
                if symbol.section in base and symbol.size and not symbol.name.startswith("$"):
                    address = base[symbol.section] + symbol.value & ~1
                    found.append(Function(plain(symbol.name), address, symbol.size, helper))
        return found

    def spans(self) -> list[tuple[int, int]]:
        """Where code lies: between a mapping symbol $t and the next one, or the section's end."""
        found = []
        for file, base, _ in self.placed:
            for number, address in base.items():
                own = [symbol for symbol in file.symbols if symbol.section == number]
                marks = sorted((symbol.value, symbol.name[:2]) for symbol in own if symbol.name[:2] in ("$t", "$d"))
                ends = [value for value, _ in [*marks, (len(file.sections[number].data), "")][1:]]
                for (value, name), end in zip(marks, ends, strict=True):
                    if name == "$t" and end > value:
                        found.append((address + value, address + end))
        return found

    def relocate(self) -> None:
        """Puts addresses where they belong."""
        for file, base, _ in self.placed:
            for number, address in base.items():
                for offset, kind, index in file.sections[number].relocations:
                    if kind == _NONE:
                        continue
                    symbol = file.symbols[index]
                    known = self.addresses.get(symbol.name) if symbol.section is None else None
                    target = base[symbol.section] + symbol.value if known is None else known  # type: ignore[index]
                    self._apply(kind, address + offset, target)

    def _apply(self, kind: int, place: int, target: int) -> None:
        """One relocation; the addend stands in the code (IHI 0044, table 4-9)."""
        low, high = struct.unpack_from("<HH", self.memory, place)
        word = low | high << 16
        if kind == _ABS32:
            struct.pack_into("<I", self.memory, place, word + target & 0xFFFFFFFF)
        elif kind == _REL32:
            struct.pack_into("<I", self.memory, place, word + target - place & 0xFFFFFFFF)
        elif kind in (_THM_CALL, _THM_JUMP24):
            struct.pack_into("<HH", self.memory, place, *_branch(low, high, target - place))
        elif kind in (_MOVW, _MOVT):
            value = (target + _move_value(low, high) if kind == _MOVW else target) >> (16 if kind == _MOVT else 0)
            struct.pack_into("<HH", self.memory, place, *_move(low, high, value & 0xFFFF))
        else:
            raise ProgramError(f"program {self.program}: relocation {kind} of its object file is not known")


def _branch(low: int, high: int, distance: int) -> tuple[int, int]:
    """BL or B.W with another distance; the one that stands there (-4, usually) is added (ARMv7-M, encoding T1, T4).
    Bit 0 says Thumb, and is none of the distance."""
    sign = low >> 10 & 1
    i1, i2 = 1 - (high >> 13 & 1 ^ sign), 1 - (high >> 11 & 1 ^ sign)
    addend = (i1 << 23 | i2 << 22 | (low & 0x3FF) << 12 | (high & 0x7FF) << 1) - (sign << 24)
    offset = distance + addend
    sign = offset >> 24 & 1
    j1, j2 = 1 - (offset >> 23 & 1) ^ sign, 1 - (offset >> 22 & 1) ^ sign
    low = 0xF000 | sign << 10 | offset >> 12 & 0x3FF
    return low, high & 0xD000 | j1 << 13 | j2 << 11 | offset >> 1 & 0x7FF


def _move_value(low: int, high: int) -> int:
    """The number in a MOVW or MOVT (encoding T3, T1)."""
    return (low & 0xF) << 12 | (low >> 10 & 1) << 11 | (high >> 12 & 7) << 8 | high & 0xFF


def _move(low: int, high: int, value: int) -> tuple[int, int]:
    """A MOVW or MOVT with another number."""
    low = low & 0xFBF0 | value >> 12 | (value >> 11 & 1) << 10
    return low, high & 0x8F00 | (value >> 8 & 7) << 12 | value & 0xFF


_PART = re.compile(r"(\d+)")


def plain(name: str) -> str:
    """A function's name as people write it: numba's mangling taken away.

    >>> plain("_ZN20spinn2_program_blink5countB2v1B4abcdEx")
    'count'
    """
    if not name.startswith("_ZN"):
        return name
    rest, parts = name[3:], list[str]()
    while found := _PART.match(rest):
        begin = found.end()
        parts.append(rest[begin : begin + int(found[1])])
        rest = rest[begin + int(found[1]) :]
    return re.sub(r"_([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), parts[-1]) if parts else name
