"""The decorators of compiled functions, and what may stand in them. None of it imports numba before it must."""

from __future__ import annotations

import ctypes
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from spinn2emu.jit import objects
from spinn2emu.jit.fingerprint import fingerprint

F = TypeVar("F", bound=Callable[..., Any])

NOT_A_CODE = "spinn2emu: not a code:"
"""What `as_code` says of a value that is no integer; its type follows."""

UNHANDLED = -(1 << 63)
"""What a native function returns when an exception was raised in it."""


class Kernel:
    """A function that compiled code calls; it is compiled with whatever calls it.

    Called from Python it is compiled for the types of its arguments, in this process: for tests, and for what is not
    called often. `options`: of numba's `njit`, beyond those of all kernels.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.__name__, self.__qualname__ = function.__name__, function.__qualname__
        functools.update_wrapper(self, function)
        self.py_func, self.options = function, options

    def __call__(self, *arguments: Any) -> Any:
        from spinn2emu.jit import compiler

        return compiler.dispatcher_of(self, from_python=True)(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """How numba sees a kernel that compiled code refers to."""
        from spinn2emu.jit import compiler

        return compiler.type_of(self)


def inlined(function: F) -> F:
    """Decorator for helpers that are only ever called from compiled functions. They allocate nothing."""
    return Kernel(function)  # type: ignore[return-value]


def allocating(function: F) -> F:
    """As `inlined`, for helpers that make or return arrays."""
    return Kernel(function, _nrt=True)  # type: ignore[return-value]


class Late:
    """Stands in compiled code for the intrinsic of that name in `intrinsics.py`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self.name} can be called from compiled functions only")

    @property
    def _numba_type_(self) -> Any:
        from spinn2emu.jit import compiler

        return compiler.type_of_intrinsic(self.name)


class External:
    """A C function of a loaded library; types as numba names them, `result` first."""

    def __init__(self, symbol: str, result: str, *parameters: str) -> None:
        self.symbol, self.result, self.parameters = symbol, result, parameters

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self.symbol} can be called from compiled functions only")

    @property
    def _numba_type_(self) -> Any:
        from spinn2emu.jit import compiler

        return compiler.type_of_external(self)


class Array(NamedTuple):
    """An array as a parameter of a native function."""

    dtype: np.dtype[Any]
    ndim: int = 1


Parameter = np.dtype[Any] | Array | type[int]
"""Of a native function: `int` (64 bits), a record (its dtype; passed as an array of no or one axis), or an Array."""


class Native(Kernel):
    """A compiled C function, called from Python with numbers, records and arrays; it returns an integer, 0 if
    it has nothing to say.

    It lies in the store as an object file, is loaded at its first call, and lets other Python threads run.
    """

    def __init__(
        self, function: Callable[..., Any], parameters: tuple[Parameter, ...], returns: bool, **options: Any
    ) -> None:
        super().__init__(function, **options)
        self.parameters, self.returns = parameters, returns
        self._call: Any = None
        self.address = 0

    @functools.cached_property
    def key(self) -> str:
        """Under which the store has it."""
        return f"{self.__name__}-" + fingerprint(self, (self.parameters, self.returns))

    @property
    def path(self) -> str:
        """Where another process finds it: module:name."""
        return f"{self.__module__}:{self.__qualname__}"

    @property
    def loaded(self) -> bool:
        """Whether it can be called without further ado."""
        return self._call is not None

    def load(self, data: bytes) -> None:
        """Takes over the object file of it."""
        self.address = objects.load(data)
        words = sum(1 + p.ndim if isinstance(p, Array) else 1 for p in self.parameters)
        self._call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * words)(self.address)

    def __call__(self, *arguments: Any) -> int:
        if self._call is None:
            from spinn2emu.jit.build import prepare

            prepare([self])
        words: list[int] = []
        for parameter, argument in zip(self.parameters, arguments, strict=True):
            if parameter is int:
                words.append(operator.index(argument))
                continue
            dtype = parameter.dtype if isinstance(parameter, Array) else parameter
            if not isinstance(argument, np.ndarray) or argument.dtype != dtype or not argument.flags.c_contiguous:
                given = getattr(argument, "dtype", type(argument).__name__)
                raise TypeError(f"{self.__name__} takes an array of {dtype} in C order, not {given}")
            words.append(argument.ctypes.data)
            if isinstance(parameter, Array):
                if argument.ndim != parameter.ndim:
                    raise TypeError(f"{self.__name__} takes {parameter.ndim} axes, not {argument.ndim}")
                words.extend(argument.shape)
        result: int = self._call(*words)
        if result == UNHANDLED:
            raise RuntimeError(f"{self.__name__} failed: arrays of different shapes meet in it")
        return result


def native(*parameters: Any, returns: bool = True, allocates: bool = False) -> Callable[[F], Native]:
    """Decorator of native functions; `parameters`: see Parameter. `allocates`: it makes arrays."""
    kinds = tuple(p if p is int or isinstance(p, Array) else np.dtype(p) for p in parameters)
    return lambda function: Native(function, kinds, returns, **({"_nrt": True} if allocates else {}))
