"""CoreMark per MHz by the instruction model: an ELF file of EEMBC's CoreMark executed in unicorn, its cycles counted.

    scripts/coremark FILE.elf [--iterations N]

The file is a bare-metal build of CoreMark 1.0 (github.com/eembc/coremark) for a Cortex-M4, for instance with gcc:

    arm-none-eabi-gcc -O3 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -nostartfiles \\
        --specs=nosys.specs -Wl,-Ttext=0,-Tdata=0x20000000,-e,main -I. core_*.c -o coremark.elf

with a port of your own (core_portme.h, core_portme.c): SEED_METHOD SEED_VOLATILE, MEM_METHOD MEM_STATIC, MULTITHREAD 1,
MAIN_HAS_NOARGC 1, HAS_FLOAT 0, HAS_PRINTF 0; seeds 0, 0, 0x66; get_time and time_in_secs return 0; an ee_printf that
calls uart_send_char(char) for each letter of its format. These symbols are used, so functions among them must not be
inlined: main, start_time, stop_time (between the two is counted), seed4_volatile (set to the iterations), and
uart_send_char (what it gets is searched for ERROR, CoreMark's word for a wrong checksum).
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spinn2emu.arm.instructions import CycleTable, decode
from spinn2emu.arm.machine import engine
from spinn2emu.cost import Interval
from spinn2emu.errors import ConfigError, Spinn2Error

STACK, STACK_BYTES, RETURN, PAGE = 0x6000_0000, 0x10000, 0x7000_0000, 0x1000
SYMBOLS = ("main", "start_time", "stop_time", "seed4_volatile", "uart_send_char")
Span = tuple[int, int]


class Program:
    """An executable: its segments (address, bytes with zeros where the file has none), symbols, spans of code."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data[:6] != b"\x7fELF\x01\x01" or struct.unpack_from("<H", data, 18) != (40,):
            raise ConfigError(f"{path} is no ELF file for ARM, 32 bits, little-endian")
        programs, sections, _, _, size, count, section_size, section_count, _ = struct.unpack_from(
            "<IIIHHHHHH", data, 28
        )
        self.segments = []
        for i in range(count):
            kind, offset, address, _, in_file, in_memory = struct.unpack_from("<6I", data, programs + i * size)
            if kind == 1:
                self.segments.append((address, data[offset : offset + in_file].ljust(in_memory, b"\0")))
        headers = [struct.unpack_from("<10I", data, sections + i * section_size) for i in range(section_count)]
        code = [(h[3], h[3] + h[5]) for h in headers if h[1] == 1 and h[2] & 4]
        self.symbols: dict[str, int] = {}
        marks: list[tuple[int, str]] = []
        for header in headers:
            if header[1] == 2:
                texts = headers[header[6]][4]
                for i in range(header[5] // 16):
                    name, value = struct.unpack_from("<II", data, header[4] + 16 * i)
                    text = data[texts + name : data.index(b"\0", texts + name)].decode()
                    self.symbols[text] = value
                    if text[:2] in ("$t", "$d"):
                        marks.append((value, text[:2]))
        missing = [name for name in SYMBOLS if name not in self.symbols]
        if missing:
            raise ConfigError(f"{path} has no symbol {', '.join(missing)}: see --help for what it needs")
        self.spans = [span for section in code for span in _spans(section, sorted(marks))]


def _spans(section: Span, marks: list[tuple[int, str]]) -> list[Span]:
    """What is code of a section."""
    own = [(value, kind) for value, kind in marks if section[0] <= value < section[1]]
    ends = [value for value, _ in own[1:]] + [section[1]]
    return [(value, end) for (value, kind), end in zip(own, ends, strict=True) if kind == "$t" and end > value]


class Run:
    """Counts of instructions between start_time and stop_time, and what CoreMark prints."""

    def __init__(self, program: Program, iterations: int) -> None:
        unicorn = engine()
        from unicorn import arm_const as arm

        self.program, self.arm, self.on, self.end, self.text = program, arm, False, -1, ""
        self.blocks: Counter[Span] = Counter()
        self.taken: Counter[int] = Counter()
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self.uc.mem_map(STACK, STACK_BYTES)
        self.uc.mem_map(RETURN, PAGE)
        for address, data in program.segments:
            start, end = address & -PAGE, address + len(data) + PAGE - 1 & -PAGE
            self.uc.mem_map(start, end - start)
            self.uc.mem_write(address, data)
        self.uc.mem_write(program.symbols["seed4_volatile"], struct.pack("<i", iterations))
        self.uc.hook_add(unicorn.UC_HOOK_BLOCK, self._block)
        self.uc.reg_write(arm.UC_ARM_REG_SP, STACK + STACK_BYTES)
        self.uc.reg_write(arm.UC_ARM_REG_LR, RETURN | 1)
        try:
            self.uc.emu_start(program.symbols["main"] | 1, RETURN)
        except unicorn.UcError as error:
            place = self.uc.reg_read(arm.UC_ARM_REG_PC)
            raise ConfigError(f"CoreMark's code fails at {place:#x}: {error}") from error

    def _block(self, uc: Any, address: int, size: int, _: Any) -> None:
        symbols = self.program.symbols
        if address | 1 in (symbols["start_time"], symbols["stop_time"]):
            self.on, self.end = address | 1 == symbols["start_time"], -1
        elif address | 1 == symbols["uart_send_char"]:
            self.text += chr(uc.reg_read(self.arm.UC_ARM_REG_R0) & 0x7F)
        if self.on:
            self.blocks[address, size] += 1
            if self.end not in (-1, address):
                self.taken[self.end] += 1
            self.end = address + size

    def cycles(self) -> Interval:
        """Of what was counted."""
        total = [0.0, 0.0, 0.0]
        for address, data in self.program.segments:
            spans = [span for span in self.program.spans if address <= span[0] < address + len(data)]
            table = CycleTable.of(decode(data, address, spans), address, len(data))
            executed, taken = np.zeros((2, len(table.cycles)), np.int64)
            for (begin, size), count in self.blocks.items():
                if address <= begin < address + len(data):
                    executed[begin - address >> 1 : begin - address + size >> 1] += count
            for end, count in self.taken.items():
                if address <= end <= address + len(data):
                    taken[end - address >> 1] += count
            total = [a + b for a, b in zip(total, table.count(executed, taken), strict=True)]
        return Interval(*total)


def main(arguments: list[str]) -> int:
    """Prints CoreMark/MHz: low, central and high cycles give the highest, the central and the lowest figure."""
    parser = argparse.ArgumentParser(
        "scripts/coremark", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--iterations", type=int, default=2, help="of the benchmark; all take the same (default: 2)")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    options = parser.parse_args(arguments)
    try:
        run = Run(Program(options.file), options.iterations)
    except (Spinn2Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if "ERROR" in run.text or not run.blocks:
        print(f"error: CoreMark did not validate itself:\n{run.text}", file=sys.stderr)
        return 1
    cycles = run.cycles() * (1 / options.iterations)
    per_mhz = {name: 1e6 / value for name, value in cycles.to_json().items()}
    if options.json:
        print(json.dumps({"cycles_per_iteration": cycles.to_json(), "coremark_per_mhz": per_mhz}))
    else:
        for name, value in per_mhz.items():
            print(f"{name + ' cycles':<15} {getattr(cycles, name):>9,.0f} per iteration   {value:.2f} CoreMark/MHz")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
