"""What a program's Cortex-M4 code, and so its cycles, depend on, as one number: its sources, and ours.

Other than `jit.fingerprint` it is the same with every version of Python, numba and LLVM: cycles that were counted once
are everybody's. Sources are taken as Python writes them down again, without comments, docstrings and annotations.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import linecache
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinn2emu.arm.stand_ins import STAND_INS
from spinn2emu.jit import Kernel
from spinn2emu.jit.fingerprint import references
from spinn2emu.memory_map import Symbol, dtype_to_wire
from spinn2emu.program import Program

_OWN = ("compile", "integers", "memory", "runtime", "softconvert", "softfloat", "softmath", "stand_ins")
"""Modules of this room that make the code."""


def fingerprint(program: Program, symbols: Sequence[Symbol]) -> str:
    """20 hex digits for a program's entries; `symbols`: its own regions."""
    regions = [(symbol.name, dtype_to_wire(symbol.dtype), len(symbol.shape)) for symbol in symbols]
    return _fingerprint(program.tick, program.drain, repr(regions))


@functools.cache
def _fingerprint(tick: Any, drain: Any, regions: str) -> str:
    digest, seen = hashlib.sha256(), set[types.FunctionType]()
    for name in _OWN:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    digest.update(regions.encode())
    todo: list[Any] = [tick, drain]
    while todo:
        value = todo.pop(0)
        value = STAND_INS.get(value, value) if isinstance(value, Kernel) else value
        function = getattr(value, "py_func", None) or value
        if isinstance(function, types.FunctionType):
            if function not in seen:
                seen.add(function)
                digest.update(_source(function).encode())
                todo += [referred for _, referred in sorted(references(function).items())]
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype!r}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, tuple):
            digest.update(f"tuple{len(value)}".encode())
            todo += value
        elif isinstance(value, int | float | complex | str | bytes | np.dtype | np.generic):
            digest.update(f"{type(value).__name__}:{value!s}".encode())
    return digest.hexdigest()[:20]


def _source(function: types.FunctionType) -> str:
    """The function, as Python writes its syntax tree. A function without a source file: its code."""
    code = function.__code__
    node = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
    return _unparsed(node) if node is not None else repr((code.co_code, code.co_consts, code.co_names))


@functools.cache
def _tree(file: str) -> ast.AST:
    """A file's syntax tree, without docstrings, annotations of functions, and decorators."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in [*node.args.args, *node.args.posonlyargs, *node.args.kwonlyargs]:
                argument.annotation = None
    return tree


@functools.cache
def _functions(file: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """The functions of a file by name and first line, decorators included, as code objects count."""
    found = {}
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name, first] = node
    return found


def _unparsed(node: ast.AST) -> str:
    """As Python writes it; of a function, without decorators."""
    if isinstance(node, ast.FunctionDef):
        node = ast.FunctionDef(node.name, node.args, node.body, [], None, lineno=1)
    return ast.unparse(node)
