"""Helpers of Cortex-M4 code, bit by bit against numpy and Python's integers, on this machine and on an emulated PE."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import llvmlite.binding as llvm
import numpy as np
import pytest
from numpy.typing import NDArray

from spinn2emu.arm import runtime
from spinn2emu.arm.compile import helper_object, target
from spinn2emu.arm.elf import ObjectFile
from spinn2emu.arm.link import link
from spinn2emu.arm.runtime import HELPERS
from spinn2emu.jit import compiler, objects

BITS = NDArray[np.uint64]
NAN, NAN32 = 0x7FF8000000000000, 0x7FC00000

# 0, smallest, largest subnormal, smallest normal, halves, ones and their neighbours, 2**31, 2**32, 2**52, 2**53, 2**63,
# 2**64, largest, infinity, quiet and signalling NaN
SPECIAL = [
    0, 1, 2, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, 0x3FDFFFFFFFFFFFFF, 0x3FE0000000000000, 0x3FE0000000000001,
    0x3FEFFFFFFFFFFFFF, 0x3FF0000000000000, 0x3FF0000000000001, 0x3FF8000000000000, 0x4000000000000000,
    0x4004000000000000, 0x400C000000000000, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0x41EFFFFFFFE00000,
    0x41F0000000000000, 0x4320000000000001, 0x432FFFFFFFFFFFFF, 0x4330000000000001, 0x4340000000000001,
    0x43DFFFFFFFFFFFFF, 0x43E0000000000000, 0x43EFFFFFFFFFFFFF, 0x43F0000000000000, 0x36A0000000000000,
    0x36A0000000000001, 0x3690000000000000, 0x3690000000000001, 0x380FFFFFE0000000, 0x380FFFFFF0000000,
    0x47EFFFFFE0000000, 0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000,
    0x7FF8000000000000, 0x7FF8000000000123, 0x7FF0000000000001,
]  # fmt: skip
SPECIAL32 = [
    0, 1, 2, (1 << 23) - 1, 1 << 23, 0x3EFFFFFF, 0x3F000000, 0x3F000001, 0x3F7FFFFF, 0x3F800000, 0x3F800001,
    0x3FC00000, 0x40000000, 0x40200000, 0x40600000, 0x4AFFFFFF, 0x4B000001, 0x4B800001, 0x4EFFFFFF, 0x4F000000,
    0x5EFFFFFF, 0x5F000000, 0x5F7FFFFF, 0x5F800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7FC00123, 0x7F800001,
]  # fmt: skip
INTEGERS = [
    0, 1, 2, 3, 7, 10, 255, 65535, 65536, 65537, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
    (1 << 32) + 1, (1 << 53) - 1, (1 << 53) + 1, (1 << 54) + 3, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1,
    (1 << 64) - 1025, (1 << 64) - 1024, (1 << 64) - 65536, (1 << 64) - 2, (1 << 64) - 1,
]  # fmt: skip


def floats(random: np.random.Generator, n: int) -> BITS:
    """Bits of n float64: any, near each other, of few digits (ties), and subnormal."""
    kind = random.integers(4, size=n)
    any_ = random.integers(1 << 64, size=n, dtype=np.uint64)
    near = any_ & np.uint64(0x800FFFFFFFFFFFFF) | random.integers(1020, 1028, size=n, dtype=np.uint64) << np.uint64(52)
    few = (random.integers(-(1 << 27), 1 << 27, size=n) * 2.0 ** random.integers(-6, 70, size=n)).view(np.uint64)
    small = any_ & np.uint64(0x801FFFFFFFFFFFFF)
    return np.choose(kind, [any_, near, few, small])


def floats32(random: np.random.Generator, n: int) -> BITS:
    """The same of float32."""
    kind = random.integers(4, size=n)
    any_ = random.integers(1 << 32, size=n, dtype=np.uint64)
    near = any_ & np.uint64(0x807FFFFF) | random.integers(124, 132, size=n, dtype=np.uint64) << np.uint64(23)
    few = random.integers(-(1 << 10), 1 << 10, size=n) * 2.0 ** random.integers(-6, 60, size=n)
    few = few.astype(np.float32).view(np.uint32).astype(np.uint64)
    return np.choose(kind, [any_, near, few, any_ & np.uint64(0x80FFFFFF)])


def integers(random: np.random.Generator, n: int) -> BITS:
    """Bits of n integers of all lengths and both signs."""
    lengths = random.integers(64, size=n, dtype=np.uint64)
    values = random.integers(1 << 64, size=n, dtype=np.uint64) >> lengths
    return np.where(random.integers(2, size=n) == 1, values, -values)


def operands(kind: str, random: np.random.Generator, n: int) -> BITS:
    """Special ones of a kind, with both signs, and n others."""
    make, special, sign = {
        "double": (floats, SPECIAL, 1 << 63), "float": (floats32, SPECIAL32, 1 << 31), "i64": (integers, INTEGERS, 0),
        "i32": (integers, INTEGERS, 0),
    }[kind]  # fmt: skip
    values = np.array([value | s for value in special for s in {0, sign}], np.uint64)
    values = np.concatenate([values, make(random, n)])
    return values & np.uint64(0xFFFFFFFF) if kind in ("float", "i32") else values


def double(bits: BITS) -> Any:
    return bits.view(np.float64)


def single(bits: BITS) -> Any:
    return bits.astype(np.uint32).view(np.float32)


def saturated(low: int, high: int) -> Callable[[Any], Any]:
    """Conversion to an integer towards 0, as ARM's VCVT does it."""

    def convert(x: Any) -> BITS:
        whole = [
            0 if math.isnan(v) else high if v == math.inf else low if v == -math.inf else int(v) for v in x.tolist()
        ]
        return np.array([min(max(w, low), high) % (1 << 64) for w in whole], np.uint64)

    return convert


def frexp(x: Any) -> tuple[Any, Any]:
    mantissas, exponents = np.frexp(x)
    return np.where(np.isfinite(x), mantissas, x), np.where(np.isfinite(x), exponents, 0)


def divide(n: int, d: int) -> tuple[int, int]:
    return divmod(n, d) if d else (0, n)


def divide_signed(n: int, d: int) -> tuple[int, int]:
    quotient, rest = divide(abs(n), abs(d))
    return (-quotient if n * d < 0 else quotient), (-rest if n < 0 else rest)


def signed(bits: BITS) -> Any:
    return bits.view(np.int64)


def signed32(bits: BITS) -> Any:
    return bits.astype(np.uint32).view(np.int32)


def as_is(x: Any) -> Any:
    return x


# symbol: the kinds of its operands, what numpy makes of their bits, and what it computes
F8, F4, I8, I4 = ("double", double), ("float", single), ("i64", signed), ("i32", signed32)
U8, U4 = ("i64", as_is), ("i32", as_is)
EXPECTED: dict[str, tuple[tuple[Any, ...], Callable[..., Any]]] = {
    "__aeabi_dadd": ((F8, F8), np.add), "__aeabi_dsub": ((F8, F8), np.subtract),
    "__aeabi_dmul": ((F8, F8), np.multiply), "__aeabi_ddiv": ((F8, F8), np.divide),
    "__aeabi_dcmpeq": ((F8, F8), np.equal), "__aeabi_dcmplt": ((F8, F8), np.less),
    "__aeabi_dcmple": ((F8, F8), np.less_equal), "__aeabi_dcmpgt": ((F8, F8), np.greater),
    "__aeabi_dcmpge": ((F8, F8), np.greater_equal),
    "__aeabi_dcmpun": ((F8, F8), lambda a, b: np.isnan(a) | np.isnan(b)),
    "__aeabi_d2iz": ((F8,), saturated(-(1 << 31), (1 << 31) - 1)),
    "__aeabi_d2uiz": ((F8,), saturated(0, (1 << 32) - 1)),
    "__aeabi_d2lz": ((F8,), saturated(-(1 << 63), (1 << 63) - 1)),
    "__aeabi_d2ulz": ((F8,), saturated(0, (1 << 64) - 1)),
    "__aeabi_f2lz": ((F4,), saturated(-(1 << 63), (1 << 63) - 1)),
    "__aeabi_f2ulz": ((F4,), saturated(0, (1 << 64) - 1)),
    "__aeabi_d2f": ((F8,), lambda a: a.astype(np.float32)), "__aeabi_f2d": ((F4,), lambda a: a.astype(np.float64)),
    "__aeabi_i2d": ((I4,), lambda a: a.astype(np.float64)), "__aeabi_ui2d": ((U4,), lambda a: a.astype(np.float64)),
    "__aeabi_l2d": ((I8,), lambda a: a.astype(np.float64)), "__aeabi_ul2d": ((U8,), lambda a: a.astype(np.float64)),
    "__aeabi_l2f": ((I8,), lambda a: a.astype(np.float32)), "__aeabi_ul2f": ((U8,), lambda a: a.astype(np.float32)),
    "sqrt": ((F8,), np.sqrt), "fmod": ((F8, F8), np.fmod), "fmodf": ((F4, F4), np.fmod),
    "floor": ((F8,), np.floor), "ceil": ((F8,), np.ceil), "trunc": ((F8,), np.trunc), "rint": ((F8,), np.rint),
    "floorf": ((F4,), np.floor), "ceilf": ((F4,), np.ceil), "truncf": ((F4,), np.trunc), "rintf": ((F4,), np.rint),
    "numba_nextafter": ((F8, F8), np.nextafter), "numba_nextafterf": ((F4, F4), np.nextafter),
    "numba_ldexp": ((F8, I4), np.ldexp), "numba_ldexpf": ((F4, I4), np.ldexp),
    "ldexp": ((F8, I4), np.ldexp), "ldexpf": ((F4, I4), np.ldexp),
    "numba_frexp": ((F8,), frexp), "numba_frexpf": ((F4,), frexp),
    "__aeabi_uldivmod": ((U8, U8), np.frompyfunc(divide, 2, 2)),
    "__aeabi_ldivmod": ((I8, I8), np.frompyfunc(divide_signed, 2, 2)),
}  # fmt: skip


class Host:
    """Calls of the helpers' code compiled for this machine: words in, words out."""

    TYPES: ClassVar[dict[str, Any]] = {"float": ctypes.c_float, "double": ctypes.c_double, "i64": ctypes.c_uint64,
                             "i32": ctypes.c_uint32, "u32": ctypes.c_uint32, "result:i32": ctypes.c_void_p}  # fmt: skip

    class Pair(ctypes.Structure):
        _fields_ = [("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]

    def __init__(self) -> None:
        machine, self.functions = objects.machine(), {}
        for symbol in EXPECTED:
            module = llvm.parse_assembly(runtime.module_of(symbol).replace(f"@{symbol}(", f"@spinn2_test_{symbol}("))
            compiler.optimize(module, [f"spinn2_test_{symbol}"], machine, vectorize=False)
            address = objects.load(objects.pack(f"spinn2_test_{symbol}", [], machine.emit_object(module)))
            helper = HELPERS[symbol]
            result = self.Pair if helper.result == "{ i64, i64 }" else self.TYPES[helper.result]
            self.functions[symbol] = ctypes.CFUNCTYPE(result, *(self.TYPES[p] for p in helper.parameters))(address)

    def __call__(self, symbol: str, words: list[int]) -> list[int]:
        """Of `{ i64, i64 }` and of a second result, two."""
        helper, second = HELPERS[symbol], ctypes.c_uint32()
        arguments: list[Any] = [self._value(kind, w) for kind, w in zip(helper.parameters, words, strict=False)]
        if "result:i32" in helper.parameters:
            arguments.append(ctypes.addressof(second))
        result = self.functions[symbol](*arguments)
        if isinstance(result, self.Pair):
            return [result.first, result.second]
        if helper.result in ("float", "double"):
            code = "<fI" if helper.result == "float" else "<dQ"
            (result,) = struct.unpack("<" + code[2], struct.pack(code[:2], result))
        return [result, second.value] if "result:i32" in helper.parameters else [result]

    def _value(self, kind: str, word: int) -> Any:
        if kind in ("float", "double"):
            code = "<fI" if kind == "float" else "<dQ"
            return struct.unpack(code[:2], struct.pack("<" + code[2], word))[0]
        return word


class Arm:
    """The same on an emulated Cortex-M4, all helpers in one image. DATA is memory for blocks, 4096 bytes of it."""

    DATA, STACK, RETURN = 0x8000, 0x1F000, 0x3C

    def __init__(self) -> None:
        unicorn = pytest.importorskip("unicorn")
        self.arm = pytest.importorskip("unicorn.arm_const")
        declared = "\n".join(f"declare void @{symbol}()" for symbol in HELPERS)
        calls = "\n".join(f"call void @{symbol}()" for symbol in HELPERS)
        module = llvm.parse_assembly(f"{declared}\ndefine void @tick() {{\n{calls}\nret void\n}}")
        machine = target()
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        self.image = link("helpers", "", (), [machine.emit_object(module)], helper_object)
        self.entries = {function.name: function.address for function in self.image.functions}
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(self.arm.UC_CPU_ARM_CORTEX_M4)
        self.uc.mem_map(0, self.DATA, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.uc.mem_write(0, self.image.memory)
        self.uc.mem_map(self.DATA, 0x1000)
        self.uc.mem_map(self.STACK - 0x1000, 0x1000)

    def __call__(self, symbol: str, words: list[int]) -> list[int]:
        """By the Procedure Call Standard: integers in r0 to r3 and on the stack, pairs even; floats in s0, d0, …"""
        helper, arm, uc = HELPERS[symbol], self.arm, self.uc
        core: list[int] = []
        words = words + [self.DATA] * ("result:i32" in helper.parameters)
        for i, (kind, word) in enumerate(zip(helper.parameters, words, strict=True)):
            if kind in ("float", "double"):
                uc.reg_write((arm.UC_ARM_REG_S0 if kind == "float" else arm.UC_ARM_REG_D0) + i, word)
            elif kind == "i64":
                core += [0] * (len(core) % 2) + [word & 0xFFFFFFFF, word >> 32]
            else:
                core.append(word & 0xFFFFFFFF)
        for i, word in enumerate(core[:4]):
            uc.reg_write(arm.UC_ARM_REG_R0 + i, word)
        stack = self.STACK - 4 * len(core[4:]) & ~7
        uc.mem_write(stack, struct.pack(f"<{len(core[4:])}I", *core[4:]))
        uc.reg_write(arm.UC_ARM_REG_SP, stack)
        uc.reg_write(arm.UC_ARM_REG_LR, self.RETURN | 1)
        uc.emu_start(self.entries[symbol] | 1, self.RETURN, timeout=20_000_000)
        assert uc.reg_read(arm.UC_ARM_REG_PC) == self.RETURN, f"{symbol}({', '.join(map(hex, words))}) does not end"
        assert uc.reg_read(arm.UC_ARM_REG_SP) == stack
        if helper.result in ("float", "double"):
            result = [uc.reg_read(arm.UC_ARM_REG_S0 if helper.result == "float" else arm.UC_ARM_REG_D0)]
        else:
            r = [uc.reg_read(arm.UC_ARM_REG_R0 + i) for i in range(4)]
            result = {"i64": [r[0] | r[1] << 32], "i32": r[:1], "ptr": r[:1], "void": []}.get(
                helper.result, [r[0] | r[1] << 32, r[2] | r[3] << 32]
            )
        if "result:i32" in helper.parameters:
            result += struct.unpack("<I", uc.mem_read(self.DATA, 4))
        return result


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture(scope="module")
def arm() -> Arm:
    return Arm()


def bits_of(result: Any) -> list[Any]:
    """numpy's results as bits; of NaN, None."""
    result = np.asarray(result)
    if result.dtype.kind == "f":
        bits = result.view(np.uint32 if result.dtype.itemsize == 4 else np.uint64)
        return [None if nan else b for nan, b in zip(np.isnan(result), bits.tolist(), strict=True)]
    return [int(value) for value in result]


def compare(call: Any, symbol: str, special: int, others: int) -> None:
    """A helper, with `special` pairs of special operands and `others`, against numpy."""
    random = np.random.default_rng(sum(symbol.encode()))
    kinds, expected = EXPECTED[symbol]
    given = [operands(kind, random, others) for kind, _ in kinds]
    if len(given) == 2:
        first, second = given
        pairs = np.indices((len(first) - others, len(second) - others)).reshape(2, -1)
        pairs = random.permutation(pairs.T)[:special].T
        n = min(len(first), len(second))
        given = [np.concatenate([first[pairs[0]], first[-n:]]), np.concatenate([second[pairs[1]], second[-n:]])]
        if kinds[1][0] == "i32":  # an exponent
            given[1][::2] = (random.integers(-2200, 2200, len(given[1]), np.int64)[::2] & 0xFFFFFFFF).astype(np.uint64)
    with np.errstate(all="ignore"):
        arguments = [view(bits) for (_, view), bits in zip(kinds, given, strict=True)]
        if expected in (EXPECTED["__aeabi_uldivmod"][1], EXPECTED["__aeabi_ldivmod"][1]):
            arguments = [argument.astype(object) for argument in arguments]
        results = expected(*arguments)
    wanted = list(zip(*map(bits_of, results if isinstance(results, tuple) else (results,)), strict=True))
    assert len(wanted) > others
    nan = NAN32 if HELPERS[symbol].result in ("float", "i32") else NAN
    mask = 0xFFFFFFFF if HELPERS[symbol].result in ("i32", "float") else (1 << 64) - 1
    for words, want in zip(np.array(given).T.tolist(), wanted, strict=True):
        got = call(symbol, words)
        masks = [mask, 0xFFFFFFFF if "frexp" in symbol else mask]
        same = [g & nan == nan if w is None else g == w & m for g, w, m in zip(got, want, masks, strict=False)]
        assert all(same), f"{symbol}({', '.join(map(hex, words))}) is {[hex(g) for g in got]}, not {want}"


def test_every_helper_is_tested() -> None:
    memory = {symbol for symbol in HELPERS if "mem" in symbol}
    assert EXPECTED.keys() | memory | {"numba_attempt_nocopy_reshape"} == HELPERS.keys()


@pytest.mark.parametrize("symbol", EXPECTED)
def test_helper_on_this_machine(symbol: str, host: Host) -> None:
    compare(host, symbol, 2000, 3000)


@pytest.mark.parametrize("symbol", EXPECTED)
def test_helper_on_the_pe(symbol: str, arm: Arm) -> None:
    compare(arm, symbol, 200, 200)


def test_nans_are_handed_on_quiet(host: Host) -> None:
    first, second, number = 0xFFF0000000000123, 0x7FF8000000000456, 0x3FF0000000000000
    for symbol in ("__aeabi_dadd", "__aeabi_dsub", "__aeabi_dmul", "__aeabi_ddiv", "fmod", "numba_nextafter"):
        assert host(symbol, [first, second]) == [0xFFF8000000000123]
        assert host(symbol, [second, first]) == [second]
        assert host(symbol, [number, first]) == [0xFFF8000000000123]
    infinity, minus = 0x7FF0000000000000, 1 << 63
    assert host("__aeabi_dsub", [infinity, infinity]) == host("__aeabi_dmul", [0, infinity]) == [NAN]
    assert host("__aeabi_ddiv", [0, minus]) == host("sqrt", [number | minus]) == host("fmod", [number, 0]) == [NAN]
    assert host("__aeabi_f2d", [0xFF800001]) == [0xFFF8000020000000]
    assert host("__aeabi_d2f", [0xFFF0000020000000]) == [0xFFC00001]


def test_division_by_zero_ends(arm: Arm) -> None:
    for n in (0, 5, 1 << 40, (1 << 64) - 1):
        assert arm("__aeabi_uldivmod", [n, 0]) == [0, n]
        assert arm("__aeabi_ldivmod", [n, 0]) == [0, n]


def blocks(random: np.random.Generator, aligned: bool) -> list[tuple[int, int, int]]:
    """(to, from, size) within Arm.DATA; some overlap."""
    found = []
    for _ in range(60):
        to, source = (int(x) for x in random.integers(64, 400, 2))
        if random.integers(2):
            source = to + 4 * int(random.integers(-8, 9))
        found.append((to & ~3 if aligned else to, source & ~3 if aligned else source, int(random.integers(0, 90))))
    return [*found, (64, 200, 0), (64, 200, 1), (64, 200, 16), (64, 64, 33)]


@pytest.mark.parametrize("symbol", [symbol for symbol in HELPERS if "mem" in symbol])
def test_blocks_of_memory(symbol: str, arm: Arm) -> None:
    random, data = np.random.default_rng(7), Arm.DATA
    for to, source, n in blocks(random, symbol[-1] in "48"):
        before = random.integers(256, size=512, dtype=np.uint8)
        after, byte = before.copy(), int(random.integers(1 << 32))
        arm.uc.mem_write(data, before.tobytes())
        if "cpy" in symbol or "move" in symbol:
            if "cpy" in symbol and abs(to - source) < n and to != source:
                continue
            after[to : to + n] = before[source : source + n]
            words = [data + to, data + source, n]
        else:
            after[to : to + n] = 0 if "clr" in symbol else byte & 0xFF
            words = [data + to, n] if "clr" in symbol else [data + to, n, byte]
            if symbol == "memset":
                words = [data + to, byte, n]
        result = arm(symbol, words)
        assert arm.uc.mem_read(data, 512) == after.tobytes(), f"{symbol} of {n} bytes from {source} to {to}"
        if not symbol.startswith("__aeabi"):
            assert result == [data + to]


SHAPES = [
    ((6,), (2, 3)), ((2, 3), (6,)), ((4, 6), (2, 2, 3, 2)), ((2, 3, 4), (6, 4)), ((2, 3, 4), (2, 12)), ((1, 6), (6, 1)),
    ((2, 1, 3), (3, 2)), ((2, 3), (3, 2)), ((0, 5), (5, 0)), ((0, 5), (0,)), ((1, 1), (1,)), ((4, 3), (2, 2, 3, 1)),
    ((12,), (12,)), ((3, 4), (1, 3, 2, 2)),
]  # fmt: skip


@pytest.mark.parametrize("old, new", SHAPES)
def test_reshape(old: tuple[int, ...], new: tuple[int, ...], arm: Arm) -> None:
    whole = np.zeros([2 * n + 1 for n in old], np.float32)
    views = [np.zeros(old, np.float32), whole[tuple(slice(n) for n in old)], np.zeros(old[::-1], np.float32).T]
    for view in [*views, np.zeros((*old[:-1], 2 * old[-1]), np.float32)[..., ::2]]:
        reshaped = view.reshape(new)
        data = Arm.DATA
        arm.uc.mem_write(data, struct.pack(f"<{len(old)}q", *view.shape))
        arm.uc.mem_write(data + 64, struct.pack(f"<{len(old)}q", *view.strides))
        arm.uc.mem_write(data + 128, struct.pack(f"<{len(new)}q", *new))
        words = [len(old), data, data + 64, len(new), data + 128, data + 192, 4, 0]
        possible = np.shares_memory(view, reshaped) or view.size == 0
        assert arm("numba_attempt_nocopy_reshape", words) == [possible]
        if possible:
            strides = struct.unpack(f"<{len(new)}q", arm.uc.mem_read(data + 192, 8 * len(new)))
            axes = [axis for axis, n in enumerate(new) if n > 1]
            assert view.size == 0 or [strides[a] for a in axes] == [reshaped.strides[a] for a in axes]


def test_helpers_call_no_others() -> None:
    """So that none calls itself in a circle: a division is no call of the division."""
    for symbol in HELPERS:
        data = helper_object(symbol)
        assert data is not None
        undefined = {s.name for s in ObjectFile.parse(data).symbols if s.section is None and s.name}
        assert not undefined, f"{symbol} calls {undefined}"
    assert helper_object("sin") is None
