"""The part of the ELF format that object files of LLVM for ARM need (ELF for the Arm Architecture, IHI 0044)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

PROGBITS, SYMTAB, NOBITS, REL = 1, 2, 8, 9
ALLOC, WRITE = 2, 1
_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SYMBOL = struct.Struct("<IIIBBH")
_RELOCATION = struct.Struct("<II")
_EXEC, _ARM, _EABI5_HARD = 2, 40, 0x0500_0400
_UNDEFINED = 0


class Relocation(NamedTuple):
    """Bytes at `offset` of a section that depend on where `symbol` (its number) lies."""

    offset: int
    kind: int
    symbol: int


@dataclass
class Section:
    """A section that takes memory."""

    name: str
    data: bytes
    alignment: int
    writable: bool
    relocations: list[Relocation] = field(default_factory=list)


class ElfSymbol(NamedTuple):
    """`section` None: undefined, somebody else's."""

    name: str
    section: int | None
    value: int
    size: int


@dataclass
class ObjectFile:
    """What an object file brings: sections by number, and symbols."""

    sections: dict[int, Section]
    symbols: list[ElfSymbol]

    @classmethod
    def parse(cls, data: bytes) -> ObjectFile:
        """Takes apart what LLVM has made."""
        head = _HEADER.unpack_from(data)
        headers = [_SECTION.unpack_from(data, head[6] + i * _SECTION.size) for i in range(head[12])]
        contents = [bytes(h[5]) if h[1] == NOBITS else data[h[4] : h[4] + h[5]] for h in headers]
        names = contents[head[13]]
        sections, symbols = {}, list[ElfSymbol]()
        for number, (name, kind, flags, *_, alignment, _) in enumerate(headers):
            if kind in (PROGBITS, NOBITS) and flags & ALLOC and not _text(names, name).startswith(".ARM.ex"):
                writable = bool(flags & WRITE)
                sections[number] = Section(_text(names, name), contents[number], max(1, alignment), writable)
        for number, header in enumerate(headers):
            if header[1] == SYMTAB:
                texts = contents[header[6]]
                for name, value, size, _, _, section in _SYMBOL.iter_unpack(contents[number]):
                    own = None if section == _UNDEFINED else section
                    symbols.append(ElfSymbol(_text(texts, name), own, value, size))
            elif header[1] == REL and header[7] in sections:
                for offset, info in _RELOCATION.iter_unpack(contents[number]):
                    sections[header[7]].relocations.append(Relocation(offset, info & 0xFF, info >> 8))
        return cls(sections, symbols)


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()


def executable(memory: bytes, code: int, entry: int, functions: list[tuple[str, int, int]]) -> bytes:
    """An ELF file with one segment: `memory` from address 0, code from `code` on; `functions`: name, address, size.

    For objdump, gdb and such: symbols have the Thumb bit, and section .text covers the code.
    """
    texts, symbols = b"\0", _SYMBOL.pack(0, 0, 0, 0, 0, 0)
    locals_ = 1
    for name, value, size, info in [
        ("$d", 0, 0, 0), ("$t", code, 0, 0), *((name, address | 1, size, 0x12) for name, address, size in functions)
    ]:  # fmt: skip
        symbols += _SYMBOL.pack(len(texts), value, size, info, 0, 1)
        texts += name.encode() + b"\0"
        locals_ += info == 0
    names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    start = _HEADER.size + 32
    offsets = [start, start + len(memory)]
    for part in (symbols, texts, names):
        offsets.append(offsets[-1] + len(part))
    identity = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = _HEADER.pack(
        identity, _EXEC, _ARM, 1, entry | 1, _HEADER.size, offsets[4], _EABI5_HARD, _HEADER.size, 32, 1,
        _SECTION.size, 5, 4,
    )  # fmt: skip
    segment = struct.pack("<8I", 1, start, 0, 0, len(memory), len(memory), 5, 4)
    table = bytes(_SECTION.size)
    for text, kind, flags, offset, size, link, info, unit, entry_size in [
        (1, PROGBITS, ALLOC | 4, offsets[0], len(memory), 0, 0, 4, 0),
        (7, SYMTAB, 0, offsets[1], len(symbols), 3, locals_, 4, _SYMBOL.size),
        (15, 3, 0, offsets[2], len(texts), 0, 0, 1, 0),
        (23, 3, 0, offsets[3], len(names), 0, 0, 1, 0),
    ]:
        table += _SECTION.pack(text, kind, flags, 0, offset, size, link, info, unit, entry_size)
    return header + segment + memory + symbols + texts + names + table
