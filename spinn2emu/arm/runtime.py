"""What Cortex-M4F code calls and nobody else gives it: LLVM's names, and the functions of integers behind them.

A helper is a function of numbers (integers.py, softfloat.py and so on), compiled as programs are. Sines,
exponentials and the like are not here: a program that calls them cannot be compiled for the PE.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from numba.core import config, types
from numba.core.config import _OptLevel

from spinn2emu.arm import integers, softconvert, softfloat, softmath
from spinn2emu.jit import compiler


class Helper(NamedTuple):
    """A C function.

    `result` and `parameters` are LLVM's types, and `u32` for an unsigned i32. The function takes and gives int64:
    floats as their bits, pointers as addresses. With the result `{ i64, i64 }` it gives two; with a parameter
    `result:i32` its second result goes to that address.

    float and double travel in registers of the floating-point unit, except to and from `__aeabi_` functions, which
    take their bits in integer registers (ARM's run-time ABI): in their signatures they are i32 and i64.
    """

    function: Any
    result: str
    parameters: tuple[str, ...]


def _signature(text: str) -> tuple[str, tuple[str, ...]]:
    result, _, parameters = text.partition(" of ")
    return result, tuple(parameters.split())


_TABLE: dict[str, dict[str, Any]] = {
    "void of ptr u32": {
        "__aeabi_memclr": integers.clear, "__aeabi_memclr4": integers.clear_words,
        "__aeabi_memclr8": integers.clear_words,
    },
    "void of ptr u32 u32": {
        "__aeabi_memset": integers.fill, "__aeabi_memset4": integers.fill_words,
        "__aeabi_memset8": integers.fill_words,
    },
    "void of ptr ptr u32": {
        "__aeabi_memcpy": integers.copy, "__aeabi_memcpy4": integers.copy_words,
        "__aeabi_memcpy8": integers.copy_words, "__aeabi_memmove": integers.move,
        "__aeabi_memmove4": integers.move, "__aeabi_memmove8": integers.move,
    },
    "ptr of ptr ptr u32": {"memcpy": integers.copy, "memmove": integers.move},
    # C has the byte before the number of bytes
    "ptr of ptr u32 u32": {"memset": integers.fill_c},
    "i32 of i64 ptr ptr i64 ptr ptr i64 i32": {"numba_attempt_nocopy_reshape": integers.reshape},
    "{ i64, i64 } of i64 i64": {
        "__aeabi_uldivmod": integers.divided, "__aeabi_ldivmod": integers.divided_signed,
    },
    "i64 of i64 i64": {
        "__aeabi_dadd": softfloat.add, "__aeabi_dsub": softfloat.subtract, "__aeabi_dmul": softfloat.multiply,
        "__aeabi_ddiv": softfloat.divide,
    },
    "i32 of i64 i64": {
        "__aeabi_dcmpeq": softfloat.equal, "__aeabi_dcmplt": softfloat.less, "__aeabi_dcmple": softfloat.less_equal,
        "__aeabi_dcmpgt": softfloat.greater, "__aeabi_dcmpge": softfloat.greater_equal,
        "__aeabi_dcmpun": softfloat.unordered,
    },
    "i32 of i64": {
        "__aeabi_d2iz": softconvert.signed_word_of, "__aeabi_d2uiz": softconvert.unsigned_word_of,
        "__aeabi_d2f": softconvert.single_of, "__aeabi_l2f": softconvert.single_of_signed,
        "__aeabi_ul2f": softconvert.single_of_unsigned,
    },
    "i64 of i64": {
        "__aeabi_d2lz": softconvert.signed_of, "__aeabi_d2ulz": softconvert.unsigned_of,
        "__aeabi_l2d": softconvert.double_of_signed, "__aeabi_ul2d": softconvert.double_of_unsigned,
    },
    "i64 of i32": {"__aeabi_i2d": softconvert.double_of_word},
    "i64 of u32": {
        "__aeabi_ui2d": softconvert.double_of_word, "__aeabi_f2d": softconvert.double_of,
        "__aeabi_f2lz": softconvert.signed_of_single, "__aeabi_f2ulz": softconvert.unsigned_of_single,
    },
    "double of double": {
        "sqrt": softfloat.square_root, "floor": softmath.floor, "ceil": softmath.ceil,
        "trunc": softmath.trunc, "rint": softmath.rint,
    },
    "float of float": {
        "floorf": softmath.floor32, "ceilf": softmath.ceil32, "truncf": softmath.trunc32,
        "rintf": softmath.rint32,
    },
    "double of double double": {"fmod": softfloat.modulo, "numba_nextafter": softmath.nextafter},
    "float of float float": {"fmodf": softfloat.modulo32, "numba_nextafterf": softmath.nextafter32},
    "double of double i32": {"numba_ldexp": softmath.ldexp, "ldexp": softmath.ldexp},
    "float of float i32": {"numba_ldexpf": softmath.ldexp32, "ldexpf": softmath.ldexp32},
    "double of double result:i32": {"numba_frexp": softmath.frexp},
    "float of float result:i32": {"numba_frexpf": softmath.frexp32},
}  # fmt: skip

HELPERS = {
    symbol: Helper(function, *_signature(signature))
    for signature, functions in _TABLE.items()
    for symbol, function in functions.items()
}
"""Every helper by the name that LLVM or numba calls it."""


def module_of(symbol: str) -> str:
    """LLVM code that defines `symbol`, one of HELPERS, and calls nothing beyond: of no target, not optimized."""
    helper = HELPERS[symbol]
    words = sum(not parameter.startswith("result:") for parameter in helper.parameters)
    with compiler.compiling(compiler.Mode(instead={})), _unoptimized():
        dispatcher = compiler.dispatcher_of(helper.function)
        dispatcher.compile((types.int64,) * words)
        compiled = dispatcher.overloads[(types.int64,) * words]
        text = compiled.library.get_llvm_str()
    text = re.sub(r"^define .*$", _with_attributes, text, flags=re.M)
    text = re.sub(r"@_ZN(?!08NumbaEnv)\w*?\d+([a-z_]+_apart)B\w+", r"@\1", text)
    return text + _shim(symbol, helper, compiled.fndesc.llvm_func_name) + _ATTRIBUTES


_ATTRIBUTES = '\nattributes #9999 = { optsize "no-builtins" }\n'
"""Small, as there are 32 kB; and a loop that clears memory is no call of memset, least of all in memset."""


def _with_attributes(line: re.Match[str]) -> str:
    """numba's functions become parts of the one around them, but those whose name ends in `_apart`, which keep it."""
    text = line.group()
    return text[:-1] + ("noinline" if "_apart" in text else "alwaysinline") + " #9999 {"


@contextlib.contextmanager
def _unoptimized() -> Iterator[None]:
    """numba leaves its LLVM code as it comes, without what it would do for the host's processor."""
    before, config.OPT = config.OPT, _OptLevel(0)
    try:
        yield
    finally:
        config.OPT = before


def _shim(symbol: str, helper: Helper, inner: str) -> str:
    """The C function `symbol` around `inner`, which is in numba's calling convention."""
    lines, words, parameters = [], [], []
    for i, kind in enumerate(helper.parameters):
        plain = {"u32": "i32", "result:i32": "ptr"}.get(kind, kind)
        parameters.append(f"{plain} %p{i}")
        if kind != "result:i32":
            words.append(f"%w{i}" if kind != "i64" else f"%p{i}")
        if kind in ("float", "double"):
            lines.append(f"%b{i} = bitcast {kind} %p{i} to {'i32' if kind == 'float' else 'i64'}")
        lines += {
            "i32": [f"%w{i} = sext i32 %p{i} to i64"],
            "u32": [f"%w{i} = zext i32 %p{i} to i64"],
            "ptr": [f"%w{i} = ptrtoint ptr %p{i} to i64"],
            "float": [f"%w{i} = zext i32 %b{i} to i64"],
            "double": [f"%w{i} = add i64 %b{i}, 0"],
        }.get(kind, [])
    outs = [i for i, kind in enumerate(helper.parameters) if kind == "result:i32"]
    pair = "{ i64, i64 }"
    kind = pair if outs or helper.result == pair else "i64"
    lines.append(f'%status = call i32 @"{inner}"(ptr %result, ptr %exception, {", ".join(f"i64 {w}" for w in words)})')
    lines.append(f"%whole = load {kind}, ptr %result")
    value = "%whole"
    if outs:
        lines += [
            f"%value = extractvalue {pair} %whole, 0", f"%second = extractvalue {pair} %whole, 1",
            "%number = trunc i64 %second to i32", f"store i32 %number, ptr %p{outs[0]}",
        ]  # fmt: skip
        value = "%value"
    lines += {
        "i32": [f"%r = trunc i64 {value} to i32", "ret i32 %r"],
        "float": [f"%t = trunc i64 {value} to i32", "%r = bitcast i32 %t to float", "ret float %r"],
        "double": [f"%r = bitcast i64 {value} to double", "ret double %r"],
        "ptr": [f"%r = inttoptr i64 {value} to ptr", "ret ptr %r"],
        "void": ["ret void"],
    }.get(helper.result, [f"ret {helper.result} {value}"])
    body = "\n    ".join(["%result = alloca { i64, i64 }", "%exception = alloca ptr", *lines])
    return f"\ndefine {helper.result} @{symbol}({', '.join(parameters)}) #9999 {{\n    {body}\n}}\n"
