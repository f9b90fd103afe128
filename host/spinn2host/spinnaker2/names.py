"""Clear words for names that a module of py-spinnaker2 does not have, or that have no meaning on an emulated chip."""

from __future__ import annotations

import difflib
import dis
import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

from spinn2emu.errors import ConfigError

_IMPORT_FROM = dis.opmap["IMPORT_FROM"]


class UnknownName(ConfigError, AttributeError):
    """A module has no such name. Fields: module, name, exists."""


class UnknownImport(ConfigError, ImportError):
    """As `UnknownName`, for `from MODULE import NAME`. Fields: module, name, exists."""


def refuse_unknown(module: str, remarks: Mapping[str, str] | None = None, on_demand: Collection[str] = ()) -> None:
    """Gives `module` a `__getattr__` that raises an error which lists what exists.

    `remarks`: of names that people look for, what to use instead. `on_demand`: modules of a package that are imported
    when they are first asked for.
    The error is `UnknownName` (an AttributeError), or `UnknownImport` (an ImportError) where a `from … import` asks.
    """

    def __getattr__(name: str) -> Any:
        if name in on_demand:
            return import_module(f"{module}.{name}")
        if name.startswith("__"):
            raise AttributeError(name)
        exists = public_names(sys.modules[module])
        remark = (remarks or {}).get(name) or _nearest(name, exists)
        text = f"{shown(module)} has no '{name}'{remark}; it has {', '.join(exists)}"
        kind = UnknownImport if _imports(sys._getframe(1)) else UnknownName
        raise kind(text, module=shown(module), name=name, exists=exists)

    # Set from here, so that type checkers do not take it as leave to use any name.
    vars(sys.modules[module])["__getattr__"] = __getattr__


def refuse_module(name: str, package: ModuleType) -> None:
    """Raises for the module `name` what `package` says of that name, as an ImportError."""
    try:
        getattr(package, name)
    except UnknownName as error:
        raise UnknownImport(error.message, **error.fields) from None


def public_names(module: ModuleType) -> list[str]:
    """What a script may use of `module`: its `__all__`, or the classes and functions that it defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted(name for name in names if not name.startswith("_"))


def shown(module: str) -> str:
    """The name under which scripts know `module`."""
    return module.removeprefix("spinn2host.")


def no_meaning(what: str, why: str, instead: str) -> ConfigError:
    """The error for a thing of the original that an emulated chip cannot have. Fields: name."""
    return ConfigError(f"{what} has no meaning on an emulated chip: {why}; {instead}", name=what)


def no_programs_in_c(what: str) -> ConfigError:
    """The error for what belongs to chip programs of a user's own. Fields: name."""
    return no_meaning(
        what,
        "it belongs to programs in C, and their ARM code cannot run here",
        "choose a model by its name in Population, or write a PE program in Python (docs/programs.md)",
    )


def no_module(module: str, why: str, instead: str) -> UnknownImport:
    """The error for a module of the original that is not here. Fields: name."""
    return UnknownImport(f"{shown(module)} does not exist on an emulated chip: {why}; {instead}", name=shown(module))


def _nearest(name: str, exists: list[str]) -> str:
    near = difflib.get_close_matches(name, exists, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _imports(frame: FrameType) -> bool:
    # `from m import n` drops every AttributeError's text, hasattr passes on every other error: each gets its own.
    return frame.f_code.co_code[frame.f_lasti] == _IMPORT_FROM
