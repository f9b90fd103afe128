"""Runs when a Python begins that has this folder on its path: `spinnaker2` is then the package beside this file,
whatever comes before it on the path, such as a clone of the original that the script lies in.

Of the standard library alone, and for any Python 3: a script may start others than this one.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))


class _Spinnaker2:
    """Finds the package; what is in it, the package finds itself."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        return PathFinder.find_spec(name, [HERE]) if name == "spinnaker2" else None


def _go_on():  # type: ignore[no-untyped-def]
    """The `sitecustomize` that would have been run without this folder on the path."""
    elsewhere = [folder for folder in sys.path if os.path.abspath(folder) != HERE]
    spec = PathFinder.find_spec(__name__, elsewhere)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[__name__] = module
        spec.loader.exec_module(module)


sys.meta_path.insert(0, _Spinnaker2)
_go_on()
