"""The linker of Cortex-M4 code."""

from __future__ import annotations

import struct

import llvmlite.binding as llvm
import pytest

from spinn2emu.arm import link as linker
from spinn2emu.arm.compile import target
from spinn2emu.arm.link import Image, link
from spinn2emu.errors import ProgramError, SramOverflow

TICK = "define i32 @tick(i32 %x) { ret i32 %x }\n"


def assembled(text: str) -> bytes:
    """The object file of LLVM's intermediate code."""
    machine, module = target(), llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    return bytes(machine.emit_object(module))


def linked(text: str, **helpers: str) -> Image:
    return link("mine", "", (), [assembled(text)], lambda name: assembled(helpers[name]) if name in helpers else None)


def test_constants_are_placed_and_are_no_code() -> None:
    """A program's constant array lies in a section that no symbol marks as code."""
    image = linked("""
        @table = internal constant [4 x i32] [i32 11, i32 22, i32 33, i32 44]
        define i32 @tick(i32 %i) {
            %p = getelementptr [4 x i32], ptr @table, i32 0, i32 %i
            %v = load i32, ptr %p
            ret i32 %v
        }""")
    place = image.memory.index(struct.pack("<4I", 11, 22, 33, 44))
    assert image.spans and not any(begin <= place < end for begin, end in image.spans)
    assert any(begin <= image.entry("tick") < end for begin, end in image.spans)
    assert struct.unpack_from("<II", image.memory) == (0x20000, image.entry("tick") | 1)


def test_addresses_are_where_the_code_looks_for_them() -> None:
    """Every relocation that LLVM makes of a program: calls there and back, jumps, halves and whole addresses."""
    unicorn = pytest.importorskip("unicorn")
    from unicorn import arm_const

    image = linked(
        f"""
        @pad = internal constant [{3 << 9} x i32] zeroinitializer
        @table = internal constant [4 x i32] [i32 11, i32 22, i32 33, i32 44], align 16
        @between = constant i32 add (i32 6,
            i32 sub (i32 ptrtoint (ptr @tick to i32), i32 ptrtoint (ptr @between to i32)))
        @beyond = constant ptr getelementptr (i8, ptr @table, i32 8)
        declare i32 @given(i32)
        define i32 @halves() {{ ret i32 ptrtoint (ptr getelementptr (i8, ptr @table, i32 9) to i32) }}
        define i32 @whole() minsize {{ ret i32 ptrtoint (ptr getelementptr (i8, ptr @table, i32 7) to i32) }}
        define i32 @code() {{ ret i32 ptrtoint (ptr @tick to i32) }}
        define i32 @padding(i32 %i) {{
            %p = getelementptr i32, ptr @pad, i32 %i
            %v = load i32, ptr %p
            ret i32 %v
        }}
        define i32 @tick(i32 %x) {{
            %y = call i32 @given(i32 %x)
            %z = tail call i32 @given(i32 %y)
            ret i32 %z
        }}""",
        given="declare i32 @again(i32)\ndefine i32 @given(i32 %x) { %y = call i32 @again(i32 %x)\n"
        "%z = add i32 %y, 1\n ret i32 %z }",
        again="declare i32 @code()\ndefine i32 @again(i32 %x) { %c = call i32 @code()\n"
        "%z = xor i32 %c, %x\n%w = mul i32 %z, 3\n ret i32 %w }",
    )
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.mem_map(0, 0x8000)
    uc.mem_map(0x1F000, 0x1000)
    uc.mem_write(0, image.memory)

    def call(name: str, x: int = 0) -> int:
        uc.reg_write(arm_const.UC_ARM_REG_SP, 0x20000)
        uc.reg_write(arm_const.UC_ARM_REG_LR, 0x3D)
        uc.reg_write(arm_const.UC_ARM_REG_R0, x)
        uc.emu_start(image.entry(name) | 1, 0x3C, count=1000)
        assert uc.reg_read(arm_const.UC_ARM_REG_PC) == 0x3C
        return int(uc.reg_read(arm_const.UC_ARM_REG_R0))

    assert all(function.address % 2 == 0 for function in image.functions)
    table, tick = image.memory.index(struct.pack("<4I", 11, 22, 33, 44)), image.entry("tick")
    assert table % 16 == 0 and table > 3 << 11
    assert (call("halves"), call("whole"), call("code")) == (table + 9, table + 7, tick | 1)
    once = ((tick | 1) ^ 5) * 3 + 1
    assert call("tick", 5) == ((tick | 1) ^ once) * 3 + 1
    words = struct.unpack(f"<{len(image.memory) // 4}I", image.memory[: len(image.memory) // 4 * 4])
    assert table + 8 in words
    assert any(word == ((tick | 1) + 6 - 4 * i) % (1 << 32) for i, word in enumerate(words))
    helpers = {function.name: function.helper for function in image.functions}
    assert helpers["given"] and helpers["again"] and not helpers["tick"]


def test_what_stands_in_a_half_is_added() -> None:
    code = assembled("@table = constant [4 x i32] zeroinitializer\ndefine ptr @tick() uwtable { ret ptr @table }")
    images = [link("mine", "", (), [code.replace(zero, nine)], lambda name: None)
              for zero, nine in [(b"", b""), (bytes.fromhex("40f20000"), bytes.fromhex("40f20900"))]]  # fmt: skip
    (one, other), places = (image.memory[image.entry("tick") :] for image in images), range(4)
    assert [other[i] - one[i] for i in places] == [0, 0, 9, 0]


def test_branches_and_halves_are_encoded_as_the_processor_decodes_them() -> None:
    """Also distances that no program of 32 kB has: a wrong bit would be one in a program that nobody has tested."""
    capstone = pytest.importorskip("capstone")
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)

    def operand(low: int, high: int) -> tuple[str, str, int]:
        (found,) = decoder.disasm(struct.pack("<HH", low, high), 1 << 25)
        register, _, number = found.op_str.rpartition("#")
        return found.mnemonic, register, int(number, 0)

    for low, high, name in ((0xF7FF, 0xFFFE, "bl"), (0xF7FF, 0xBFFE, "b.w")):  # -4 stands there
        for bit in range(1, 24):
            for distance in (1 << bit, -(1 << bit), (1 << bit) + 0x5554, -(1 << bit) - 0x2AAA):
                once = linker._branch(low, high, distance)
                assert operand(*once) == (name, "", (1 << 25) + distance)
                assert operand(*linker._branch(*once, 0x1234)) == (name, "", (1 << 25) + distance + 0x1234)
    for low, high, start in ((0xF240, 0x0B00, "movw"), (0xF2C0, 0x0B00, "movt")):
        for value in (0, 0xFFFF, 0x1234, 0xA5C3, *(1 << bit for bit in range(16))):
            code = linker._move(low, high, value)
            assert operand(*code) == (start, "fp, ", value) and linker._move_value(*code) == value
            assert operand(*linker._move(*code, 0x5A3C)) == (start, "fp, ", 0x5A3C)


def test_what_cannot_be_linked_is_said() -> None:
    with pytest.raises(ProgramError, match=r"program mine keeps data outside its regions \(\.data\)"):
        linked("@state = global i32 5\n" + TICK)
    calls = "declare i32 @far(i32)\ndefine i32 @tick(i32 %x) { %y = call i32 @far(i32 %x)\nret i32 %y }"
    with pytest.raises(ProgramError, match="it calls far, which does not exist there") as caught:
        linked(calls)
    assert caught.value.symbol == "far"
    with pytest.raises(ProgramError, match="the helper for far does not define it"):
        linked(calls, far=TICK)


def test_the_last_byte_of_instruction_memory_may_be_used() -> None:
    def text(words: int) -> str:
        return f"@table = constant [{words} x i32] zeroinitializer\n" + TICK

    rest = 32768 - linked(text(1000)).nbytes + 4000
    assert linked(text(rest // 4)).nbytes == 32768
    with pytest.raises(SramOverflow, match="needs 32772 bytes of instruction memory, a PE has 32768: 4 too many"):
        linked(text(rest // 4 + 1))
