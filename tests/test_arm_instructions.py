"""Cycles of instructions, each by hand from ARM's Cortex-M4 Technical Reference Manual (DDI 0439)."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from spinn2emu.arm import cycles
from spinn2emu.arm.instructions import CycleTable, Instruction, decode
from spinn2emu.cost import Interval
from spinn2emu.errors import ConfigError, ProgramError

BASE = 0x1000


# what an assembler makes of them; offsets of branches are relative to themselves
CODE = {
    "add r0, r1, r2": "01eb0200", "subs r0, #1": "0138", "movw r0, #4660": "41f23420", "lsl r0, r1, #3": "4feac100",
    "mul r0, r1, r2": "01fb02f0", "mla r0, r1, r2, r3": "01fb0230", "mls r0, r1, r2, r3": "01fb1230",
    "umull r0, r1, r2, r3": "a2fb0301", "smlal r0, r1, r2, r3": "c2fb0301", "smlabb r0, r1, r2, r3": "11fb0230",
    "sxtah r0, r1, r2": "01fa82f0", "ubfx r0, r1, #3, #5": "c1f3c400", "clz r0, r1": "b1fa81f0",
    "udiv r0, r1, r2": "b1fbf2f0", "sdiv r0, r1, r2": "91fbf2f0", "nop": "00bf", "wfi": "30bf",
    "mrs r0, primask": "eff31080", "cpsid i": "72b6", "dmb": "bff35f8f", "isb": "bff36f8f", "ldr r0, [r1]": "0868",
    "ldrb r0, [r1, r2]": "885c", "ldrsh r0, [r1], #2": "31f9020b", "ldr r0, [pc, #8]": "0248",
    "vldr s0, [pc, #8]": "9fed020a", "str r0, [r1, #4]": "4860", "strb r0, [r1, #1]!": "01f8010f",
    "str r0, [r1, r2]": "8850", "ldrex r0, [r1]": "51e8000f", "strex r0, r1, [r2]": "42e80010",
    "ldrd r0, r1, [r2]": "d2e90001", "strd r0, r1, [r2, #8]": "c2e90201", "ldm r0!, {r1, r2, r3}": "0ec8",
    "stm r0!, {r1, r2, r3}": "0ec0", "push {r4, r5, r6, lr}": "70b5", "pop {r4, r5}": "30bc",
    "pop {r4, r5, pc}": "30bd", "ldr pc, [r0]": "d0f800f0", "mov pc, r0": "8746", "bx lr": "7047", "bx r3": "1847",
    "mov pc, lr": "f746", "blx r3": "9847", "bl . + 64": "00f01ef8", "b . + 64": "1ee0", "b.w . + 6400": "01f07ebc",
    "beq . + 64": "1ed0", "cbz r0, . + 64": "f0b1", "tbb [pc, r0]": "dfe800f0", "tbh [pc, r0, lsl #1]": "dfe810f0",
    "vadd.f32 s0, s1, s2": "30ee810a", "vmul.f32 s0, s1, s2": "20ee810a", "vneg.f32 s0, s1": "b1ee600a",
    "vabs.f32 s0, s1": "b0eee00a", "vcvt.f32.s32 s0, s1": "b8eee00a", "vcmp.f32 s0, #0": "b5ee400a",
    "vmrs APSR_nzcv, fpscr": "f1ee10fa", "vmov.f32 s0, #1.0": "b7ee000a", "vmov.f32 s0, s1": "b0ee600a",
    "vmov s0, r0": "00ee100a", "vmov r0, s0": "10ee100a", "vmov r9, s0": "10ee109a", "vmov r0, r1, d0": "51ec100b",
    "vmov d0, r0, r1": "41ec100b", "vmla.f32 s0, s1, s2": "00ee810a", "vfma.f32 s0, s1, s2": "a0ee810a",
    "vldr s0, [r0]": "90ed000a", "vldr d0, [r0]": "90ed000b", "vstr s0, [r0]": "80ed000a",
    "vstr d0, [r0]": "80ed000b", "vldmia r0!, {s0, s1, s2}": "b0ec030a", "vstmia r0, {d0, d1}": "80ec040b",
    "vpush {d8, d9}": "2ded048b", "vpop {s16, s17}": "bdec028a", "ldr r1, [r2]": "1168", "ldr r0, [r1, r5]": "4859",
    "ldr r2, [r3, #4]": "5a68", "ldr r0, [r1, r2]": "8858", "str r1, [r3, r2]": "9950", "str r0, [r3, #20]": "5861",
    "vldr s1, [r1]": "d1ed000a", "ldr r3, [r1]": "0b68", "ldr r4, [r5]": "2c68", "vstr s0, [r1]": "81ed000a",
    "ldr r2, [r0]": "0268", "ldr r0, [r1], #4": "51f8040b", "ldr r2, [r1]": "0a68", "ldr r2, [r3]": "1a68",
    "ldr r4, [r3]": "1c68", "vldr d1, [r1]": "91ed001b", "vstr d1, [r1]": "81ed001b", "add r0, r0, r0": "0044",
    "ldr r3, [r0]": "0368", "str r3, [r1, r0]": "0b50", "add r3, r1, r2": "01eb0203", "str r3, [r1, #4]": "4b60",
    "sub sp, #8": "82b0", "push {r0, r1}": "03b4", "add sp, #8": "02b0", "ldm r0, {r1, r2}": "90e80600",
    "vmul.f32 s3, s0, s0": "60ee001a", "vmul.f32 s3, s4, s4": "62ee021a", "vcvt.s32.f32 s0, s0": "bdeec00a",
    "vadd.f32 s1, s2, s3": "71ee210a", "vadd.f32 s3, s2, s3": "71ee211a", "vmov r0, r1, d1": "51ec110b",
    "vstmia r0, {s0, s1}": "80ec020a", "vadd.f32 s2, s0, s0": "30ee001a", "vmla.f32 s0, s3, s4": "01ee820a",
    "vmla.f32 s3, s0, s4": "40ee021a", "vmla.f32 s0, s0, s4": "00ee020a", "vdiv.f32 s0, s1, s2": "80ee810a",
    "vmul.f32 s3, s4, s5": "62ee221a", "vmul.f32 s3, s0, s5": "60ee221a", "vsqrt.f32 s0, s1": "b1eee00a",
    "vadd.f32 s3, s4, s5": "72ee221a", "adds r0, r0, #1": "0130", "it eq": "08bf", "moveq r1, #2": "0221",
    "add.w r8, r8, #1": "08f10108", "ldreq r0, [r1]": "0868", "popeq {r4, pc}": "10bd", "pop {r4, pc}": "10bd",
    "bne . - 4": "fcd1", "b . + 6": "01e0", "bne . - 2": "fdd1", "ldr r0, [pc, #4]": "0148", "b . + 8": "02e0",
    "cbz r0, . + 16": "30b1", "pld [r0]": "90f800f0",
}  # fmt: skip


def assemble(text: str) -> bytes:
    return b"".join(bytes.fromhex(CODE[line]) for line in text.split("; "))


def instructions(text: str) -> list[Instruction]:
    code = assemble(text)
    return decode(code, BASE, [(BASE, BASE + len(code))])


def total(text: str) -> Interval:
    """Cycles of all, each once and no branch taken. Code behind it would not matter: a NOP ends it."""
    found = instructions(text + "; nop")
    return sum((i.cycles for i in found), start=Interval(-1, -1, -1))


# instruction: low, central, high as executed (a conditional branch: not taken); more if taken
ALONE = {
    "add r0, r1, r2": (1, 1, 1),
    "subs r0, #1": (1, 1, 1),
    "movw r0, #4660": (1, 1, 1),
    "lsl r0, r1, #3": (1, 1, 1),
    "mul r0, r1, r2": (1, 1, 1),
    "mla r0, r1, r2, r3": (1, 1, 1),
    "mls r0, r1, r2, r3": (1, 1, 1),
    "umull r0, r1, r2, r3": (1, 1, 1),
    "smlal r0, r1, r2, r3": (1, 1, 1),
    "smlabb r0, r1, r2, r3": (1, 1, 1),
    "sxtah r0, r1, r2": (1, 1, 1),
    "ubfx r0, r1, #3, #5": (1, 1, 1),
    "clz r0, r1": (1, 1, 1),
    "udiv r0, r1, r2": (2, 7, 12),
    "sdiv r0, r1, r2": (2, 7, 12),
    "nop": (1, 1, 1),
    "wfi": (1, 1, 1),
    "mrs r0, primask": (1, 1.5, 2),
    "cpsid i": (1, 1.5, 2),
    "dmb": (1, 1, 4),
    "isb": (2, 3, 4),
    "ldr r0, [r1]": (2, 2, 2),
    "ldrb r0, [r1, r2]": (2, 2, 2),
    "ldrsh r0, [r1], #2": (2, 2, 2),
    "ldr r0, [pc, #8]": (2, 2, 3),
    "vldr s0, [pc, #8]": (2, 2, 3),
    "str r0, [r1, #4]": (1, 1, 2),
    "strb r0, [r1, #1]!": (1, 1, 2),
    "str r0, [r1, r2]": (2, 2, 2),
    "ldrex r0, [r1]": (2, 2, 2),
    "strex r0, r1, [r2]": (2, 2, 2),
    "ldrd r0, r1, [r2]": (3, 3, 3),
    "strd r0, r1, [r2, #8]": (3, 3, 3),
    "ldm r0!, {r1, r2, r3}": (4, 4, 4),
    "stm r0!, {r1, r2, r3}": (4, 4, 4),
    "push {r4, r5, r6, lr}": (5, 5, 5),
    "pop {r4, r5}": (3, 3, 3),
    "pop {r4, r5, pc}": (5, 7, 7),
    "ldr pc, [r0]": (3, 5, 5),
    "mov pc, r0": (2, 3, 4),
    "bx lr": (2, 2, 4),
    "bx r3": (2, 3, 4),
    "mov pc, lr": (2, 2, 4),
    "blx r3": (2, 3, 4),
    "bl . + 64": (2, 2, 4),
    "b . + 64": (2, 2, 4),
    "b.w . + 6400": (2, 2, 4),
    "beq . + 64": (1, 1, 1, 1, 1, 3),
    "cbz r0, . + 64": (1, 1, 1, 1, 2, 3),
    "tbb [pc, r0]": (3, 6, 6),
    "tbh [pc, r0, lsl #1]": (3, 6, 6),
    "vadd.f32 s0, s1, s2": (1, 1, 1),
    "vmul.f32 s0, s1, s2": (1, 1, 1),
    "vneg.f32 s0, s1": (1, 1, 1),
    "vabs.f32 s0, s1": (1, 1, 1),
    "vcvt.f32.s32 s0, s1": (1, 1, 1),
    "vcmp.f32 s0, #0": (1, 1, 1),
    "vmrs APSR_nzcv, fpscr": (1, 1, 1),
    "vmov.f32 s0, #1.0": (1, 1, 1),
    "vmov.f32 s0, s1": (1, 1, 1),
    "vmov s0, r0": (2, 2, 2),
    "vmov r0, s0": (2, 2, 2),
    "vmov r9, s0": (2, 2, 2),
    "vmov r0, r1, d0": (2, 2, 2),
    "vmov d0, r0, r1": (2, 2, 2),
    "vmla.f32 s0, s1, s2": (3, 3, 3),
    "vfma.f32 s0, s1, s2": (3, 3, 3),
    "vldr s0, [r0]": (2, 2, 2),
    "vldr d0, [r0]": (3, 3, 3),
    "vstr s0, [r0]": (1, 1, 2),
    "vstr d0, [r0]": (3, 3, 3),
    "vldmia r0!, {s0, s1, s2}": (4, 4, 4),
    "vstmia r0, {d0, d1}": (5, 5, 5),
    "vpush {d8, d9}": (5, 5, 5),
    "vpop {s16, s17}": (3, 3, 3),
}


@pytest.mark.parametrize("text", ALONE)
def test_an_instruction_alone(text: str) -> None:
    (found,) = instructions(text)
    expected = ALONE[text]
    assert found.cycles == expected[:3]
    assert found.taken == (expected[3:] or (0, 0, 0))


# sequence: low, central, high of all of it
TOGETHER = {
    # "Load/store timings": LDR; LDR normally three cycles, three loads four; high pipelines nothing
    "ldr r0, [r1]; ldr r1, [r2]": (3, 3, 4),
    "ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]": (4, 4, 6),
    "ldr r0, [r1, r2]; str r1, [r3, r2]": (3, 3, 4),
    # the manual's example: three; footnote of table 3-1: each may take one
    "ldr r0, [r1, r2]; str r0, [r3, #20]": (2, 3, 4),
    "vldr s0, [r0]; vldr s1, [r1]": (3, 3, 4),
    "ldr r3, [r1]; strex r0, r1, [r2]; ldr r4, [r5]": (4, 4, 6),
    "vldr s0, [r0]; vstr s0, [r1]": (2, 3, 4),
    # not if the first one's result is the next one's address, nor behind a store, nor with two words
    "ldr r0, [r1]; ldr r2, [r0]": (4, 4, 4),
    "ldr r0, [r1], #4; ldr r2, [r1]": (4, 4, 4),
    "str r0, [r1, #4]; ldr r2, [r3]": (3, 3, 4),
    "str r0, [r1, r2]; ldr r2, [r3]": (4, 4, 4),
    "ldrd r0, r1, [r2]; ldr r4, [r3]": (5, 5, 5),
    "ldr r4, [r3]; ldrd r0, r1, [r2]": (5, 5, 5),
    "vldr d0, [r0]; vldr d1, [r1]": (6, 6, 6),
    "vldr s0, [r0]; vstr d1, [r1]": (5, 5, 5),
    "ldr r0, [r1]; add r0, r0, r0": (3, 3, 3),
    # an address that data processing has just made
    "add r0, r1, r2; ldr r3, [r0]": (3, 4, 4),
    "add r0, r1, r2; str r3, [r1, r0]": (3, 4, 4),
    "add r3, r1, r2; str r3, [r1, #4]": (2, 2, 3),
    "sub sp, #8; push {r0, r1}": (4, 5, 5),
    "add sp, #8; vpop {s16, s17}": (4, 5, 5),
    "add r0, r1, r2; ldm r0, {r1, r2}": (4, 5, 5),
    "add r0, r1, r2; nop; ldr r3, [r0]": (4, 4, 4),
    # FPU arithmetic takes a cycle longer if the next instruction needs its result
    "vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s0": (3, 3, 3),
    "vadd.f32 s0, s1, s2; vmul.f32 s3, s4, s4": (2, 2, 2),
    "vadd.f32 s0, s1, s2; nop; vmul.f32 s3, s0, s0": (3, 3, 3),
    "vadd.f32 s0, s1, s2; vstr s0, [r0]": (3, 3, 4),
    "vcvt.s32.f32 s0, s0; vmov r0, s0": (4, 4, 4),
    "vadd.f32 s1, s2, s3; vmov r0, r1, d0": (4, 4, 4),
    "vadd.f32 s3, s2, s3; vmov r0, r1, d1": (4, 4, 4),
    "vadd.f32 s1, s2, s3; vstmia r0, {s0, s1}": (5, 5, 5),
    "vneg.f32 s0, s1; vadd.f32 s2, s0, s0": (2, 2, 2),
    # a multiply-add takes its addend a cycle later
    "vmul.f32 s0, s1, s2; vmla.f32 s0, s3, s4": (4, 4, 4),
    "vmul.f32 s0, s1, s2; vmla.f32 s3, s0, s4": (5, 5, 5),
    "vmul.f32 s0, s1, s2; vmla.f32 s0, s0, s4": (5, 5, 5),
    # a division goes on beside integer instructions, until the FPU is needed
    "vdiv.f32 s0, s1, s2; vmul.f32 s3, s4, s5": (15, 15, 15),
    "vdiv.f32 s0, s1, s2; vmul.f32 s3, s0, s5": (16, 16, 16),
    "vdiv.f32 s0, s1, s2; nop; nop; nop; vmul.f32 s3, s4, s5": (15, 15, 18),
    "vsqrt.f32 s0, s1; nop; nop; nop; vmul.f32 s3, s0, s5": (16, 16, 19),
    "vdiv.f32 s0, s1, s2; udiv r0, r1, r2; udiv r0, r1, r2; vadd.f32 s3, s4, s5": (15, 16, 39),
    # … or until a branch, behind which it is not known
    "vdiv.f32 s0, s1, s2; nop; nop; beq . + 64": (4, 15, 17),
    # IT is folded onto an instruction of 16 bits before it; what is skipped takes one cycle
    "adds r0, r0, #1; it eq; moveq r1, #2": (2, 2, 3),
    "add.w r8, r8, #1; it eq; moveq r1, #2": (3, 3, 3),
    "it eq; ldreq r0, [r1]": (2, 3, 3),
    "beq . + 64; it eq; moveq r1, #2": (3, 3, 3),
    "it eq; popeq {r4, pc}": (2, 2, 2),
}


@pytest.mark.parametrize("text", TOGETHER)
def test_instructions_together(text: str) -> None:
    assert total(text) == TOGETHER[text]


@pytest.mark.parametrize("text", [text for text in CODE if "eq" not in text and "pld" not in text])
def test_the_table_of_codes_says_what_it_has(text: str) -> None:
    (found,) = instructions(text)
    mnemonic = text.split()[0].split(".")[0]
    assert found.text.startswith(mnemonic)
    assert set(re.findall(r"\b[rsd]\d+\b", found.text.replace("sb", "r9"))) == set(re.findall(r"\b[rsd]\d+\b", text))


def test_a_skipped_return_costs_little_and_a_taken_one_all() -> None:
    _, found = instructions("it eq; popeq {r4, pc}")
    assert (found.cycles, found.taken) == ((1, 1, 1), (3, 5, 5))
    assert found.cycles + found.taken == instructions("pop {r4, pc}")[0].cycles


def test_a_wide_target_off_a_word_boundary_takes_two_fetches() -> None:
    *_, back = instructions("nop; add.w r8, r8, #1; bne . - 4")
    assert back.taken == (1, 2, 3)
    *_, back = instructions("add.w r8, r8, #1; bne . - 4")
    assert back.taken == (1, 1, 3)
    forth, *_ = instructions("b . + 6; nop; nop; add.w r8, r8, #1")
    assert forth.cycles == (2, 3, 4)


def test_it_is_not_folded_where_a_branch_arrives() -> None:
    assert total("adds r0, r0, #1; it eq; moveq r1, #2; bne . - 4") == (4, 4, 4)


def test_every_interval_is_in_order() -> None:
    intervals = {name: value for name, value in vars(cycles).items() if isinstance(value, Interval)}
    assert len(intervals) >= 10
    for text in [*ALONE, *TOGETHER]:
        for instruction in instructions(text):
            intervals[text] = instruction.cycles
    assert [name for name, value in intervals.items() if not value.low <= value.central <= value.high] == []


def test_a_loop_is_counted_by_halfwords() -> None:
    """Ten rounds: SUBS 1, BNE 1 + P nine times taken; then BX LR 1 + P."""
    code = assemble("subs r0, #1; bne . - 2; bx lr")
    table = CycleTable.of(decode(code, BASE, [(BASE, BASE + len(code))]), BASE, len(code))
    executed, taken = np.array([10, 10, 1, 0]), np.array([0, 0, 9, 1])
    assert table.count(executed, taken) == (10 + 10 + 9 + 2, 10 + 10 + 9 + 2, 10 + 10 + 27 + 4)
    assert table.cycles.shape == table.taken.shape == (4, 3)


def test_a_wide_instruction_is_counted_once_though_it_has_two_halfwords() -> None:
    code = assemble("add.w r8, r8, #1; movw r0, #4660")
    table = CycleTable.of(decode(code, BASE, [(BASE, BASE + len(code))]), BASE, len(code))
    assert table.count(np.array([7, 7, 7, 7, 0]), np.zeros(5, np.int64)) == (14, 14, 14)


def test_constants_between_spans_are_no_instructions() -> None:
    code = assemble("ldr r0, [pc, #4]; bx lr") + b"\xff\xff\xff\xff" + assemble("bx lr")
    found = decode(code, BASE, [(BASE + 8, BASE + 10), (BASE, BASE + 4)])
    assert [(i.address, i.size, i.text) for i in found] == [
        (BASE, 2, "ldr r0, [pc, #4]"), (BASE + 2, 2, "bx lr"), (BASE + 8, 2, "bx lr")
    ]  # fmt: skip


def test_direct_branches_have_their_target() -> None:
    assert [i.target for i in instructions("b . + 8; bl . + 64; cbz r0, . + 16; bx lr")] == [
        BASE + 8, BASE + 2 + 64, BASE + 6 + 16, None
    ]  # fmt: skip


@pytest.mark.parametrize("code", ["ff ff ff ff", "70 47 ff ff", "00 f0"])
def test_bytes_that_are_no_instruction_are_refused(code: str) -> None:
    data = bytes.fromhex(code)
    with pytest.raises(ProgramError, match=r"no instruction of a Cortex-M4 at 0x100[02]: "):
        decode(data, BASE, [(BASE, BASE + len(data))])


def test_an_instruction_of_unknown_cost_is_refused_by_name() -> None:
    with pytest.raises(ProgramError, match=r"no cycles are known for the instruction at 0x1002: pld \[r0\]") as caught:
        instructions("nop; pld [r0]")
    assert (caught.value.address, caught.value.instruction) == (BASE + 2, "pld")


def test_without_capstone_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(ConfigError, match=r"pip install 'spinn2emu\[arm\]'"):
        decode(b"\x70\x47", BASE, [(BASE, BASE + 2)])


def test_peripherals_and_interrupts() -> None:
    assert cycles.PERIPHERAL_WAIT == (0, 2, 8)
    assert cycles.EXP_LOG_WAIT == (7, 14.5, 22)
    assert cycles.INTERRUPT_ENTRY == (12, 12, 12 + 6 + 17)
    assert cycles.INTERRUPT_RETURN == (10, 10, 10 + 17)
