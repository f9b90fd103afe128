"""The linker of Cortex-M4 code."""

from __future__ import annotations

import struct

import llvmlite.binding as llvm

from spinn2emu.arm.compile import target
from spinn2emu.arm.link import link


def test_constants_are_placed_and_are_no_code() -> None:
    """A program's constant array lies in a section that no symbol marks as code."""
    machine = target()
    module = llvm.parse_assembly("""
        @table = internal constant [4 x i32] [i32 11, i32 22, i32 33, i32 44]
        define i32 @tick(i32 %i) {
            %p = getelementptr [4 x i32], ptr @table, i32 0, i32 %i
            %v = load i32, ptr %p
            ret i32 %v
        }""")
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    image = link("constants", "", (), [machine.emit_object(module)], lambda symbol: None)
    place = image.memory.index(struct.pack("<4I", 11, 22, 33, 44))
    assert image.spans and not any(begin <= place < end for begin, end in image.spans)
    assert any(begin <= image.entry("tick") < end for begin, end in image.spans)
