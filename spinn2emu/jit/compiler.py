"""From Python functions to object files: numba makes LLVM's code of them, LLVM makes the machine's.

Imported only where something is compiled: numba takes a third of a second, and 60 MB.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import lowering, types
from numba.core.types import unliteral  # type: ignore[attr-defined, unused-ignore]

from spinn2emu.jit import intrinsics, objects
from spinn2emu.jit.kernel import UNHANDLED, Array, External, Kernel, Native, Parameter

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "_nrt": False}
"""No fast-math and no fused multiply-add: the chip's arithmetic is IEEE and the same on every machine. Without `_nrt`
nothing can be allocated, and numba counts no references to arrays, which costs more than most helpers do."""


class Mode(NamedTuple):
    """How kernels are compiled. `checked`: every index; `lines`: the code knows its lines; `instead`: kernels that
    stand for others, in this process always the same.
    """

    checked: bool = False
    lines: bool = False
    instead: Mapping[Kernel, Kernel] | None = None


_mode = Mode()
_dispatchers: dict[Any, Any] = {}


@contextlib.contextmanager
def compiling(mode: Mode) -> Iterator[None]:
    """Kernels that are compiled meanwhile are so in this mode."""
    global _mode
    before, _mode = _mode, mode
    try:
        yield
    finally:
        _mode = before


def _first_line(function: Any) -> int:
    """As numba's own, which fails for a function of nothing but a docstring, and warns for one without a file."""
    with contextlib.suppress(IndexError):
        found = _numbas_first_line(function)
        if found is not None:
            return int(found)
    return int(function.__code__.co_firstlineno) + 1


_numbas_first_line, lowering.get_func_body_first_lineno = lowering.get_func_body_first_lineno, _first_line


class _Lines(numba.core.compiler.Compiler):
    """Names lines to LLVM and nothing else, so that the code is the same."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.dbg_directives_only = True


def dispatcher_of(kernel: Kernel, from_python: bool = False) -> Any:
    """numba's form of a kernel, for the present options; `from_python`: Python can call it, too."""
    if _mode.instead is not None:
        kernel = _mode.instead.get(kernel, kernel)
    key = (kernel, _mode.checked, _mode.lines, _mode.instead is None, from_python)
    if key not in _dispatchers:
        options = OPTIONS | {"boundscheck": _mode.checked} | kernel.options
        if _mode.lines:
            options |= {"debug": True, "pipeline_class": _Lines}
        if not from_python:
            options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        _dispatchers[key] = _once_per_type(numba.njit(**options)(kernel.py_func))
    return _dispatchers[key]


def _once_per_type(dispatcher: Any) -> Any:
    """Compiled for the types of arguments alone: numba would do it anew for every constant that is passed."""
    template = dispatcher.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        plain = {name: unliteral(value) for name, value in keywords.items()}
        return template(tuple(map(unliteral, arguments)), plain)

    dispatcher.get_call_template = get_call_template
    return dispatcher


def type_of(kernel: Kernel) -> Any:
    """numba's type of a kernel that compiled code refers to."""
    return types.Dispatcher(dispatcher_of(kernel))


@functools.cache
def type_of_intrinsic(name: str) -> Any:
    """numba's type of an intrinsic."""
    return numba.core.registry.cpu_target.typing_context.resolve_value_type(getattr(intrinsics, name))


@functools.cache
def type_of_external(function: External) -> Any:
    """numba's type of a C function."""
    result, *parameters = (getattr(types, name) for name in (function.result, *function.parameters))
    return types.ExternalFunction(function.symbol, result(*parameters))


def compile_native(native: Native) -> bytes:
    """The packed object file of a native function."""
    names, words = [], 0
    scope: dict[str, Any] = {"function": native, "int64": np.int64, "record_at": intrinsics.record_at,
                             "array_at": intrinsics.array_at}  # fmt: skip
    for number, parameter in enumerate(native.parameters):
        own = [f"a{words + i}" for i in range(1 + parameter.ndim if isinstance(parameter, Array) else 1)]
        words += len(own)
        names.append(_argument(number, parameter, own, scope))
    arguments = ", ".join(f"a{i}" for i in range(words))
    call = f"function({', '.join(names)})"
    body = f"return int64({call})" if native.returns else f"{call}; return int64(0)"
    exec(f"def wrapper({arguments}): {body}", scope)
    return compile_function(scope["wrapper"], words, native.key)


def _argument(number: int, parameter: Parameter, words: Sequence[str], scope: dict[str, Any]) -> str:
    """The Python expression of a parameter that is given in `words`."""
    if parameter is int:
        return words[0]
    scope[f"D{number}"] = parameter.dtype if isinstance(parameter, Array) else parameter
    if isinstance(parameter, Array):
        return f"array_at({words[0]}, ({', '.join(words[1:])},), D{number})"
    return f"record_at({words[0]}, D{number})"


def compile_function(function: Callable[..., int], words: int, key: str) -> bytes:
    """The packed object file of a Python function of int64 that returns one."""
    symbol = "spinn2_" + "".join(c if c.isalnum() else "_" for c in key)
    module = module_of(function, words, symbol)
    optimize(module, [symbol], objects.machine(), vectorize=True)
    functions = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    variables = [v.name for v in module.global_variables if v.is_declaration]
    return objects.pack(symbol, functions + variables, objects.machine().emit_object(module))


def module_of(function: Callable[..., int], words: int, symbol: str, word: str = "int64") -> Any:
    """LLVM's module of a C function `symbol` that takes so many integers, of numba's type `word`, and returns an int64;
    with all that it calls, not optimized.
    """
    dispatcher = dispatcher_of(Kernel(function))
    signature = (getattr(types, word),) * words
    dispatcher.compile(signature)
    library = dispatcher.overloads[signature].library
    name = dispatcher.overloads[signature].fndesc.llvm_func_name
    module = llvm.parse_assembly(library.get_llvm_str().replace("DebugDirectivesOnly", "LineTablesOnly"))
    text = _c_function(symbol, name, words, f"i{signature[0].bitwidth}", _mode.lines)
    module.link_in(llvm.parse_assembly(text))
    return module


_PLACE = """
    !0 = distinct !DISubprogram(name: "entry", scope: !3, file: !3, type: !4, spFlags: DISPFlagDefinition, unit: !2)
    !1 = !DILocation(line: 0, scope: !0)
    !2 = distinct !DICompileUnit(language: DW_LANG_C, file: !3, producer: "spinn2emu", emissionKind: LineTablesOnly)
    !3 = !DIFile(filename: "<string>", directory: "")
    !4 = !DISubroutineType(types: !5)
    !5 = !{null}
    !6 = !{i32 2, !"Debug Info Version", i32 3}
    !llvm.dbg.cu = !{!2}
    !llvm.module.flags = !{!6}
"""


def _c_function(symbol: str, inner: str, words: int, word: str, lines: bool) -> str:
    """LLVM code of a C function around one in numba's calling convention, which returns a status: 0 and -2 (None)
    are well, anything else is an exception. lines: it has a place of its own, or what is inlined into it has none."""
    parameters = "".join(f", {word} %a{i}" for i in range(words))
    return f"""
    declare i32 @"{inner}"(ptr, ptr{f", {word}" * words})
    define i64 @{symbol}({parameters.removeprefix(", ")}) {"!dbg !0" * lines} {{
        %result = alloca i64
        %exception = alloca ptr
        store i64 0, ptr %result
        store ptr null, ptr %exception
        %status = call i32 @"{inner}"(ptr %result, ptr %exception{parameters}){", !dbg !1" * lines}
        %ok = icmp eq i32 %status, 0
        %none = icmp eq i32 %status, -2
        %well = or i1 %ok, %none
        %value = load i64, ptr %result
        %returned = select i1 %well, i64 %value, i64 {UNHANDLED}
        ret i64 %returned
    }}
    {_PLACE * lines}"""


def optimize(module: Any, symbols: Sequence[str], target: Any, vectorize: bool) -> None:
    """Optimizes a module as a whole for a machine; only `symbols` are seen from outside."""
    for item in [*module.functions, *module.global_variables]:
        if not item.is_declaration and item.name not in symbols:
            item.linkage = "internal"
    module.triple, module.data_layout = target.triple, str(target.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = vectorize
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
