"""Importing programs from where the user has them: always the source as it is now, never Python's bytecode cache, which
takes an edit within the same second for the old file.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from spinn2emu.errors import ProgramError

OWN = ("spinn2emu", "spinn2fw", "spinn2host")


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source at every import."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _UserFinder:
    """Finds modules in the user's folders, before those of the installation but after Python's own: a user's random.py
    is found by nobody who imports random."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = list(dict.fromkeys(folders))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of the import machinery."""
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in OWN:
            return None
        namespace = None
        for folder in self.folders if path is None else [own for own in path if self._is_user(own)]:
            finder = importlib.machinery.FileFinder(
                folder,
                (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
                (_FreshLoader, importlib.machinery.SOURCE_SUFFIXES),
            )
            spec = finder.find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            namespace = namespace or spec
        return namespace if namespace and not importlib.machinery.PathFinder.find_spec(name, path) else None

    def _is_user(self, folder: str) -> bool:
        """Whether a package's folder is the user's: not what is installed, in an environment that lies in theirs."""
        return "site-packages" not in folder and any(Path(folder).is_relative_to(own) for own in self.folders)


def look_in(folders: Sequence[str]) -> None:
    """From now on modules are looked for in these folders, too, in this order."""
    outside = [folder for folder in folders if "site-packages" not in folder and Path(folder).is_dir()]
    sys.meta_path.insert(0, _UserFinder(outside))


def hidden(name: str) -> str:
    """A sentence, if a user's file is not found as the module `name`, because another one has that name."""
    module = sys.modules.get(name)
    for finder in sys.meta_path:
        for folder in finder.folders if isinstance(finder, _UserFinder) else ():
            path = Path(folder).absolute() / f"{name}.py"
            if path.is_file() and getattr(module, "__file__", None) != str(path):
                return f". {path} is not found under that name, an installed module has it: give the file another name"
    return ""


def _hidden_by(error: BaseException) -> str:
    """As `hidden`, for the module that an import has not found as it should be."""
    module = getattr(error, "obj", None)
    name = module.__name__ if isinstance(module, ModuleType) else getattr(error, "name", None)
    return hidden(name) if isinstance(error, ImportError | AttributeError) and name else ""


def load_module(name: str) -> ModuleType:
    """The module `name`, or that of the file `name` if it ends in .py. Raises ProgramError."""
    path = Path(name) if name.endswith(".py") else None
    if path is not None:
        if not path.is_file():
            raise ProgramError(f"program file {path} does not exist", program=name)
        look_in([str(path.absolute().parent)])
    try:
        if path is None:
            return importlib.import_module(name)
        module_name = f"spinn2_program_{path.stem}"
        spec = importlib.util.spec_from_loader(module_name, _FreshLoader(module_name, str(path)))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        what = "loaded" if path else "imported"
        text = f"program {name} cannot be {what}: {type(error).__name__}: {error}{_hidden_by(error)}"
        raise ProgramError(text, program=name) from error
