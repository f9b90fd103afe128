"""What the instructions of a Cortex-M4F take, and what happens between two of them: every number, with its source.

Sources, by short name:

- `trm`: ARM, Cortex-M4 Technical Reference Manual (DDI 0439, r0p1), "Instruction set summary" (table 3-1, its
  footnotes, and "Load/store timings") and "FPU instruction set" (table 7-1 and the notes above it).
- `trm3`: ARM, Cortex-M3 Technical Reference Manual (DDI 0337G), table 15-3: in which stage the address of a branch is
  known. The Cortex-M4 has the same pipeline; its own manual says that P depends on that, and not for which branch.
- `arm`: ARM, What is the true interrupt latency of Cortex-M3 and Cortex-M4 for interrupt entry and exit?, article
  103489845, which quotes the manual and says on what it depends.
- `chip`: Scholze, Partzsch, Höppner et al., The SpiNNaker2 chip, IEEE OJCAS 2026, DOI 10.1109/OJCAS.2026.3714974.
- `spinn2emu`: no source gives it; it is the emulator's own choice, and its note says why.

Where a source gives a range and nothing more, `low` and `high` are its ends and `central` its middle.
"""

from __future__ import annotations

from spinn2emu.cost import Interval
from spinn2emu.spec import Constant


def _exactly(constant: Constant) -> Interval:
    return Interval(constant.value, constant.value, constant.value)


def _between(low: Constant, high: Constant) -> Interval:
    middle = (low.value + high.value) / 2
    return Interval(low.value, middle, high.value)


ONE = Constant(1, "cycle", "trm", "specified", "data processing, MUL, MLA, UMULL, DSP, hints; IT; FPU: VADD, VMUL, …")
REFILL_MIN = Constant(1, "cycle", "trm", "specified", "P, the pipeline's refill after a taken branch: 1 to 3")
REFILL_MAX = Constant(3, "cycle", "trm", "specified", "P by table 3-1; the reload after LDR PC by Load/store timings")
REFILL_LATE = Constant(1, "cycle", "trm3", "derived", "CBZ, BX Rm: address in execute; B, BL, BX LR: in decode")
REFILL_WIDE = Constant(1, "cycle", "trm", "derived", "a wide target off a word boundary: two fetches of 32 bits")
DIVIDE_MIN = Constant(2, "cycle", "trm", "specified", "UDIV, SDIV: 2 to 12, by leading zeros and ones (early end)")
DIVIDE_MAX = Constant(12, "cycle", "trm", "specified", "UDIV, SDIV: see DIVIDE_MIN")
STATE_MIN = Constant(1, "cycle", "trm", "specified", "MRS, MSR, CPS: 1 or 2")
STATE_MAX = Constant(2, "cycle", "trm", "specified", "MRS, MSR, CPS: 1 or 2")

BARRIER_MAX = Constant(3, "cycle", "spinn2emu", "own choice", "DMB, DSB: B is 0 or more by trm; here at most P's 3")

LOAD = Constant(2, "cycle", "trm", "specified", "LDR and its kind, VLDR.32, LDREX, STREX; 1 if it is pipelined")
STORE = Constant(2, "cycle", "trm", "specified", "STR [Rn, Rm] and the table's figure for all; nothing pipelines after")
STORE_IMMEDIATE = Constant(1, "cycle", "trm", "specified", "STR [Rn, #imm]: its data phase overlaps what follows")
MULTIPLE = Constant(1, "cycle", "trm", "specified", "LDM, STM, PUSH, POP, LDRD, STRD, VLDM, …: 1 + N words")
PIPELINED = Constant(1, "cycle", "trm", "specified", "saved when a load precedes a load or store single")
ADDRESS = Constant(1, "cycle", "trm", "specified", "stall: an address needs the result of the instruction before")
LITERAL = Constant(1, "cycle", "trm", "specified", "LDR Rd, [PC, #imm] might add one: contention with the fetch")
TABLE_ADD = Constant(1, "cycle", "trm", "specified", "TBB, TBH: two for the load, one to add, P: 6 at P = 3")

FP_MOVE = Constant(2, "cycle", "trm", "specified", "VMOV between core registers and floats, one or two")
FP_MULTIPLY_ADD = Constant(3, "cycle", "trm", "specified", "VMLA, VMLS, VFMA, …")
FP_DIVIDE = Constant(14, "cycle", "trm", "specified", "VDIV, VSQRT; integer instructions after it go on meanwhile")
FP_RESULT = Constant(1, "cycle", "trm", "specified", "stall: the next instruction needs the result of FPU arithmetic")

ENTRY = Constant(12, "cycle", "arm", "specified", "interrupt entry, 8 words pushed while the vector is fetched")
ENTRY_SERIAL = Constant(6, "cycle", "arm", "specified", "more, if vector and stack share one memory port")
EXIT = Constant(10, "cycle", "arm", "specified", "interrupt return")
FP_CONTEXT = Constant(17, "cycle", "arm", "specified", "more at entry, and at return: 17 words of the FPU's registers")

WAIT_CENTRAL = Constant(2, "cycle", "spinn2emu", "own choice", "bus to a peripheral: bridge and register, a cycle each")
WAIT_HIGH = Constant(8, "cycle", "spinn2emu", "own choice", "a bridge to a slower clock; the sources are silent")
EXP_LOG_MIN = Constant(7, "cycle", "chip", "specified", "exponential/logarithm unit, from operand to result")
EXP_LOG_MAX = Constant(22, "cycle", "chip", "specified", "exponential/logarithm unit, from operand to result")

SINGLE = _exactly(ONE)
REFILL = Interval(REFILL_MIN.value, REFILL_MIN.value, REFILL_MAX.value)
"""P, what a taken branch costs more, where the address is known in decode; central has REFILL_WIDE in addition."""
REFILL_EXECUTE = Interval(REFILL_MIN.value, REFILL_MIN.value + REFILL_LATE.value, REFILL_MAX.value)
"""P where the address is known in execute."""
REFILL_LOADED = Interval(REFILL_MIN.value, REFILL_MAX.value, REFILL_MAX.value)
"""P where the address is loaded."""
TABLE_BRANCH = Interval(LOAD.value, LOAD.value + TABLE_ADD.value, LOAD.value + TABLE_ADD.value) + REFILL_LOADED
DIVIDE = _between(DIVIDE_MIN, DIVIDE_MAX)
STATE = _between(STATE_MIN, STATE_MAX)
BARRIER = SINGLE + Interval(0, 0, BARRIER_MAX.value)
LOADED = _exactly(LOAD)
STORED = _exactly(STORE)
STORED_IMMEDIATE = Interval(STORE_IMMEDIATE.value, STORE_IMMEDIATE.value, STORE.value)
MOVED = _exactly(FP_MOVE)
MULTIPLIED_ADDED = _exactly(FP_MULTIPLY_ADD)
DIVIDED = _exactly(FP_DIVIDE)

PERIPHERAL_WAIT = Interval(0, WAIT_CENTRAL.value, WAIT_HIGH.value)
"""More, per access of a peripheral; which loads and stores go there is known when they are executed."""
EXP_LOG_WAIT = _between(EXP_LOG_MIN, EXP_LOG_MAX)
"""From the operand's store to the result."""
INTERRUPT_ENTRY = Interval(ENTRY.value, ENTRY.value, ENTRY.value + ENTRY_SERIAL.value + FP_CONTEXT.value)
"""From the interrupt to the handler's first instruction. low, central: stacking of the FPU's registers is put off
(lazy), and not done in the end; high: it is done, and vector and stack are in one memory."""
INTERRUPT_RETURN = Interval(EXIT.value, EXIT.value, EXIT.value + FP_CONTEXT.value)
"""From the handler's return to the next instruction of what it had interrupted."""
