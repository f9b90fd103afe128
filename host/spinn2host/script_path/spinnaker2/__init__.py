"""`import spinnaker2` under `spinn2emu script`: every module is the one of `spinn2host.spinnaker2`."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

from spinn2emu.progress import listen
from spinn2host import spinnaker2
from spinn2host.spinnaker2.messages import say, warn
from spinn2host.spinnaker2.names import refuse_module
from spinn2host.spinnaker2.uncaught import show_uncaught, show_uncaught_in_thread

REAL = spinnaker2.__name__


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `spinnaker2.x` as `spinn2host.spinnaker2.x`, which may be there already."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(f"{__name__}."):
            return None
        real = REAL + name.removeprefix(__name__)
        try:
            found = importlib.util.find_spec(real)
        except ModuleNotFoundError:
            return None
        if found is None:
            refuse_module(name.removeprefix(f"{__name__}."), spinnaker2)
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=found.origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(REAL + spec.name.removeprefix(__name__))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        alias = module.__spec__
        assert alias is not None
        module.__spec__ = alias.loader_state  # the importer has put its own there


def _look_for_another() -> None:
    own = Path(__file__).resolve()
    elsewhere = [folder for folder in sys.path if Path(folder).resolve() != own.parent.parent]
    for finder in sys.meta_path:  # those of packages that are edited where they lie have one each
        other = finder.find_spec(__name__, elsewhere if finder is importlib.machinery.PathFinder else None)
        if other is not None and other.origin is not None and Path(other.origin).resolve() != own:
            warn(f"this is the emulator's spinnaker2, not that of {Path(other.origin).parent}")
            return


_look_for_another()
sys.meta_path.insert(0, _Alias())
sys.modules[__name__] = spinnaker2
sys.excepthook, threading.excepthook = show_uncaught, show_uncaught_in_thread
listen(say)  # what compiles the first time takes long
