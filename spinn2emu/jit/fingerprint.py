"""What compiled code depends on, as one number: a function's code, that of all that it refers to, and who compiles it.

Code is taken as Python's compiler makes it, so that comments, types and docstrings change nothing.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import importlib.metadata
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np


@functools.cache
def _makers() -> bytes:
    """Who compiles: versions, this folder, and the processor that it is for."""
    versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    names = ("intrinsics", "compiler", "build", "kernel", "objects")
    own = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in names]
    features = llvm.get_host_cpu_features().flatten()
    about = repr((sys.version_info[:2], versions, llvm.get_host_cpu_name(), features)).encode()
    return hashlib.sha256(about + b"".join(own)).digest()


def fingerprint(function: Any, extra: Any = ()) -> str:
    """20 hex digits that differ if the compiled function could differ; `extra`: what it depends on beside its code."""
    digest = hashlib.sha256(_makers())
    _Walk(digest).take(function)
    digest.update(repr(extra).encode())
    return digest.hexdigest()[:20]


class _Walk:
    def __init__(self, digest: Any) -> None:
        self.digest, self.seen = digest, dict[types.FunctionType, int]()

    def take(self, value: Any) -> None:
        function = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
        if isinstance(function, types.FunctionType):
            new, number = function not in self.seen, self.seen.setdefault(function, len(self.seen))
            self.digest.update(repr((sorted(getattr(value, "options", {}).items()), number)).encode())
            if new:
                self._function(function)
        elif isinstance(value, np.ndarray):
            self.digest.update(f"{value.dtype!r}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, tuple | list):
            self.digest.update(f"{type(value).__name__}{len(value)}".encode())
            for item in value:
                self.take(item)
        elif isinstance(value, type):
            members = [(m.name, m.value) for m in value] if issubclass(value, enum.Enum) else ""
            self.digest.update(f"{value.__qualname__}{getattr(value, '_fields', '')}{members}".encode())
        elif isinstance(value, int | float | complex | str | bytes | np.dtype | np.generic | enum.Enum | None):
            self.digest.update(f"{type(value).__name__}:{value!r}".encode())
        elif not isinstance(value, types.ModuleType):  # an intrinsic, a C function: what tells it from others
            content = sorted(vars(value).items(), key=str) if hasattr(value, "__dict__") else ""
            self.digest.update(repr((type(value).__name__, getattr(value, "__name__", ""), content)).encode())

    def _function(self, function: types.FunctionType) -> None:
        self.take(function.__defaults__)
        for code in _codes(function.__code__):
            documented = code.co_consts[:1] == (function.__doc__,)
            consts = [_text(const) for const in code.co_consts[documented:] if not isinstance(const, types.CodeType)]
            self.digest.update(code.co_code + repr((consts, code.co_names, code.co_varnames)).encode())
        for name, referred in sorted(references(function).items()):
            self.digest.update(name.encode())
            self.take(referred)


def _text(const: Any) -> str:
    """A constant; the order of a set is not the same in every process."""
    return repr(sorted(map(repr, const)) if isinstance(const, frozenset) else const)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def references(function: types.FunctionType) -> dict[str, Any]:
    """What a function refers to outside itself, by name: globals, what its closure holds, and what it could refer to
    in modules: `module.attribute`, `package.module.attribute`.
    """
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    found = closure(function) | {name: function.__globals__[name] for name in names & function.__globals__.keys()}
    paths: list[tuple[str, tuple[Any, ...]]] = [(name, (value,)) for name, value in found.items()]
    for path, (*owners, value) in paths:
        if _is_looked_into(value) and value not in owners:
            for name in sorted(names):
                if hasattr(value, name):
                    found[f"{path}.{name}"] = getattr(value, name)
                    paths.append((f"{path}.{name}", (*owners, value, found[f"{path}.{name}"])))
    return found


def closure(function: types.FunctionType) -> dict[str, Any]:
    """What a function has from the functions around it, by name, as far as it has been assigned."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _is_looked_into(value: Any) -> bool:
    return isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] not in ("numpy", "math")
