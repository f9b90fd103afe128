"""What an instruction of a Cortex-M4F is to the timing model: its own cycles, and what its neighbours must know."""

from __future__ import annotations

from typing import Any, NamedTuple

from spinn2emu.arm import cycles
from spinn2emu.cost import ZERO, Interval
from spinn2emu.errors import ProgramError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BASIC = _names(
    "adc add addw adr and asr bfc bfi bic clrex clz cmn cmp eor lsl lsr mla mls mov movs movt movw mul mvn neg nop orn "
    "orr rbit rev rev16 revsh ror rrx rsb sbc sbfx sev smlal smull ssat sub subw sxtb sxth teq tst ubfx umlal umull "
    "usat uxtb uxth wfe wfi yield"
)
"""Table 3-1 with 1 cycle. WFI and WFE wait besides: that is sleep, not work."""
_DSP = _names(
    "pkhbt pkhtb qadd qadd16 qadd8 qasx qdadd qdsub qsax qsub qsub16 qsub8 sadd16 sadd8 sasx sel shadd16 shadd8 shasx "
    "shsax shsub16 shsub8 smlabb smlabt smlad smladx smlalbb smlalbt smlald smlaldx smlaltb smlaltt smlatb smlatt "
    "smlawb smlawt smlsd smlsdx smlsld smlsldx smmla smmlar smmls smmlsr smmul smmulr smuad smuadx smulbb smulbt "
    "smultb smultt smulwb smulwt smusd smusdx ssat16 ssax ssub16 ssub8 sxtab sxtab16 sxtah sxtb16 uadd16 uadd8 uasx "
    "uhadd16 uhadd8 uhasx uhsax uhsub16 uhsub8 umaal uqadd16 uqadd8 uqasx uqsax uqsub16 uqsub8 usad8 usada8 usat16 "
    "usax usub16 usub8 uxtab uxtab16 uxtah uxtb16"
)
"""Table 3-2, all with 1 cycle."""
_COMPUTES = _BASIC | _DSP | {"udiv", "sdiv"}
_LOADS = _names("ldr ldrb ldrbt ldrex ldrexb ldrexh ldrh ldrht ldrsb ldrsbt ldrsh ldrsht ldrt strex strexb strexh")
"""STREX is "treated more like an LDR" by the manual."""
_STORES = _names("str strb strbt strh strht strt")
_MULTIPLE_LOADS = _names("ldm ldmdb ldrd pop vldmia vldmdb vpop")
_MULTIPLE_STORES = _names("push stm stmdb strd vpush vstmia vstmdb")
_FP_ARITHMETIC = _names("vadd vsub vmul vnmul vcvt vcvtb vcvtt vcvtr")
_FP_MULTIPLY_ADD = _names("vmla vmls vnmla vnmls vfma vfms vfnma vfnms")
_FP_DIVIDE = _names("vdiv vsqrt")
_FP_BASIC = _FP_ARITHMETIC | _names("fconsts fmstat vabs vcmp vcmpe vmrs vmsr vneg")
_STATE = {"cps", "mrs", "msr"}
_BRANCHES, _CONDITIONAL, _TABLES = {"b", "bl", "bx", "blx"}, {"cbz", "cbnz"}, {"tbb", "tbh"}
_EXCEPTIONS = {"bkpt", "svc", "udf"}


class Form(NamedTuple):
    """An instruction by itself. Registers by name, those of the FPU as s0 … s31.

    `writes`: its results; `needs`: what it reads at once (a multiply-add takes its addend a cycle later); `addresses`:
    of what it makes an address; `ends`: what follows may be elsewhere; `loads`, `stores`: one word or less, which may
    pipeline; `immediate`: a store whose offset is a number.
    """

    address: int
    size: int
    text: str
    name: str
    cycles: Interval
    taken: Interval
    target: int | None
    writes: frozenset[str]
    needs: frozenset[str]
    addresses: frozenset[str]
    ends: bool
    loads: bool
    stores: bool
    immediate: bool

    @property
    def narrow(self) -> bool:
        """16 bits wide."""
        return self.size == 2

    @property
    def fpu(self) -> bool:
        """It needs the FPU."""
        return self.name[0] == "v" or self.name in _FP_BASIC

    @property
    def computes(self) -> bool:
        """An integer result of its own."""
        return self.name in _COMPUTES

    @property
    def arithmetic(self) -> bool:
        """FPU arithmetic, whose result comes a cycle late."""
        return self.name in _FP_ARITHMETIC | _FP_MULTIPLY_ADD

    @property
    def divides(self) -> bool:
        """It occupies the FPU while the core goes on."""
        return self.name in _FP_DIVIDE


def form_of(instruction: Any) -> Form:
    """Of an instruction as capstone has taken it apart. Raises ProgramError if its cost is not known."""
    name = _name(instruction)
    operands = [_Operand.of(instruction, operand) for operand in instruction.operands]
    reads, writes = ({r for register in some for r in _registers(instruction.reg_name(register))}
                     for some in instruction.regs_access())  # fmt: skip
    memory = next((operand for operand in operands if operand.memory), None)
    listed = [register for operand in operands for register in operand.registers if not operand.memory]
    if name in _MULTIPLE_STORES:
        reads |= set(listed)
    addresses = set(memory.registers) if memory else {"sp"} if name in ("push", "pop", "vpush", "vpop") else set()
    if name in _MULTIPLE_LOADS | _MULTIPLE_STORES and not addresses:
        addresses = {listed[0]}
    immediate = memory is not None and not memory.indexed
    loads = name in _LOADS or (name == "vldr" and len(listed) == 1)
    stores = name in _STORES or (name == "vstr" and len(listed) == 1)
    full, jumps = _cycles(instruction, name, operands, "pc" in writes, immediate)
    first, taken = _split(instruction, name, full, jumps)
    needs = reads - ({listed[0]} if name in _FP_MULTIPLY_ADD and listed[0] not in listed[1:] else set())
    target = next((operand.number for operand in operands if operand.number is not None), None) if jumps else None
    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    return Form(
        instruction.address, instruction.size, text, name, first, taken, target, frozenset(writes), frozenset(needs),
        frozenset(addresses), jumps, loads, stores, stores and immediate,
    )  # fmt: skip


def _cycles(
    instruction: Any, name: str, operands: list[_Operand], to_pc: bool, immediate: bool
) -> tuple[Interval, bool]:
    """By itself, if it does what it is for; and whether it is a branch."""
    words = sum(len(operand.registers) for operand in operands if not operand.memory)
    if name in _BASIC | _DSP:
        return (cycles.SINGLE + _refill(name, operands), True) if to_pc else (cycles.SINGLE, False)
    if name in _LOADS or (name == "vldr" and words == 1):
        if to_pc:
            return cycles.LOADED + cycles.REFILL_LOADED, True
        literal = Interval(0, 0, cycles.LITERAL.value if "[pc" in instruction.op_str else 0)
        return cycles.LOADED + literal, False
    if name in _STORES or (name == "vstr" and words == 1):
        return cycles.STORED_IMMEDIATE if immediate else cycles.STORED, False
    if name in _MULTIPLE_LOADS | _MULTIPLE_STORES | {"vldr", "vstr"}:
        base = name.startswith(("ldm", "stm", "vldm", "vstm"))
        moved = cycles.SINGLE * (cycles.MULTIPLE.value + words - base)
        return (moved + cycles.REFILL_LOADED, True) if to_pc else (moved, False)
    if name in _BRANCHES | _CONDITIONAL:
        return cycles.SINGLE + _refill(name, operands), True
    if name in _TABLES:
        return cycles.TABLE_BRANCH, True
    if name == "isb":
        return cycles.SINGLE + cycles.REFILL_EXECUTE, False
    if name == "vmov":
        floats = all(_is_float(register) for operand in operands for register in operand.registers)
        return (cycles.SINGLE if floats else cycles.MOVED), False
    cost = _OTHERS.get(name)
    if cost is None:
        raise ProgramError(
            f"no cycles are known for the instruction at {instruction.address:#x}: {instruction.mnemonic} "
            f"{instruction.op_str}. If a Cortex-M4F has it, spinn2emu/arm/kinds.py needs it",
            address=instruction.address, instruction=instruction.mnemonic,
        )  # fmt: skip
    return cost, name in _EXCEPTIONS


def _refill(name: str, operands: list[_Operand]) -> Interval:
    """P of a branch whose address is not loaded."""
    registers = {register for operand in operands for register in operand.registers} - {"pc"}
    known = name in ("b", "bl") or (name in ("bx", "blx", "mov") and registers == {"lr"})
    return cycles.REFILL if known else cycles.REFILL_EXECUTE


def _split(instruction: Any, name: str, full: Interval, jumps: bool) -> tuple[Interval, Interval]:
    """Cycles as not taken, and what is more when it branches. What an IT block skips takes one cycle, too."""
    from capstone.arm import ARM_CC_AL, ARM_CC_INVALID

    conditional = instruction.cc not in (ARM_CC_AL, ARM_CC_INVALID) and name != "it"
    if jumps:
        if conditional or name in _CONDITIONAL:
            return cycles.SINGLE, full + cycles.SINGLE * -1
        return full, ZERO
    if conditional:
        return Interval(min(full.low, cycles.ONE.value), full.central, full.high), ZERO
    return full, ZERO


_OTHERS = {
    **dict.fromkeys(_FP_BASIC | {"it"}, cycles.SINGLE),
    **dict.fromkeys(_FP_MULTIPLY_ADD, cycles.MULTIPLIED_ADDED),
    **dict.fromkeys(_FP_DIVIDE, cycles.DIVIDED),
    **dict.fromkeys(("udiv", "sdiv"), cycles.DIVIDE),
    **dict.fromkeys(_STATE, cycles.STATE),
    **dict.fromkeys(("dmb", "dsb"), cycles.BARRIER),
    **dict.fromkeys(_EXCEPTIONS, cycles.INTERRUPT_ENTRY),
}


class _Operand(NamedTuple):
    """`registers`: of a memory operand base and index; `indexed`: it has an index; `number`: an immediate."""

    memory: bool
    registers: tuple[str, ...]
    indexed: bool
    number: int | None

    @classmethod
    def of(cls, instruction: Any, operand: Any) -> _Operand:
        from capstone.arm import ARM_OP_IMM, ARM_OP_MEM, ARM_OP_REG

        if operand.type == ARM_OP_REG:
            return cls(False, _registers(instruction.reg_name(operand.reg)), False, None)
        if operand.type == ARM_OP_MEM:
            names = [instruction.reg_name(number) for number in (operand.mem.base, operand.mem.index) if number]
            return cls(True, tuple(names), operand.mem.index != 0, None)
        return cls(False, (), False, operand.imm if operand.type == ARM_OP_IMM else None)


def _is_float(register: str) -> bool:
    """Core registers have names such as sb, sl and sp, too."""
    return register[0] == "s" and register[1:].isdigit()


def _registers(name: str) -> tuple[str, ...]:
    """A register of two floats is both of them."""
    if name[0] == "d" and name[1:].isdigit():
        number = 2 * int(name[1:])
        return f"s{number}", f"s{number + 1}"
    return (name,)


def _name(instruction: Any) -> str:
    """The mnemonic without condition, width and type; hints by what they hint."""
    name: str = instruction.insn_name()
    return instruction.mnemonic.split(".")[0] if name == "hint" else name
