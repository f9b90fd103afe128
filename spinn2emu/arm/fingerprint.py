"""What a program's Cortex-M4 code, and so its cycles, depend on, as one number: its sources, and ours.

Other than `jit.fingerprint` it is the same with every version of Python, numba and LLVM: cycles that were counted once
are everybody's. Sources are taken as Python writes them down again, without comments, docstrings and annotations.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinn2emu.jit import Kernel
from spinn2emu.jit.fingerprint import references
from spinn2emu.memory_map import Symbol, dtype_to_wire

_OWN = ("compile", "memory", "runtime", "integers", "softfloat", "softconvert", "softmath")


def fingerprint(functions: Sequence[Any], symbols: Sequence[Symbol], instead: Mapping[Kernel, Kernel]) -> str:
    """20 hex digits for the functions of a program (`tick`, …) with these regions; `instead`: see `jit.compiler`."""
    digest, seen = hashlib.sha256(), set[types.FunctionType]()
    for name in _OWN:
        path = Path(__file__).with_name(f"{name}.py")
        digest.update(path.read_bytes() if path.exists() else b"")
    for symbol in symbols:
        digest.update(repr((symbol.name, dtype_to_wire(symbol.dtype), len(symbol.shape))).encode())
    todo = list(functions)
    while todo:
        value = todo.pop(0)
        value = instead.get(value, value) if isinstance(value, Kernel) else value
        function = getattr(value, "py_func", None) or value
        if isinstance(function, types.FunctionType):
            if function not in seen:
                seen.add(function)
                digest.update(_source(function).encode())
                todo += [referred for _, referred in sorted(references(function).items())]
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype!r}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, tuple):
            todo += value
        elif isinstance(value, int | float | complex | str | bytes | np.dtype | np.generic):
            digest.update(f"{type(value).__name__}:{value!s}".encode())
    return digest.hexdigest()[:20]


def _source(function: types.FunctionType) -> str:
    """The function, as Python writes its syntax tree. A function without a source file: its code."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return repr((function.__code__.co_code, function.__code__.co_consts, function.__code__.co_names))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list, node.returns = [], None
            for argument in [*node.args.args, *node.args.posonlyargs, *node.args.kwonlyargs]:
                argument.annotation = None
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
