"""Programs of the project's own that the workshop has made before, for loads that want the same again.

A user's program is never kept: what it is may depend on anything. One of the project's own depends on its modules
alone, and is made anew as soon as one of their files is not what it was. Results are the same with and without this.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from spinn2emu.program_files import OWN

MOST = 512
"""Sets of parameters that are kept, those of some networks on all PEs."""
SETTLED_NS = 1_000_000_000
"""A file that was changed so shortly before it was read, or since, may have been another one then."""

Stamps = dict[str, tuple[int, ...]]
T = TypeVar("T")


class Known(Generic[T]):
    """What was made, by program and parameters; what has not been used for longest is forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Stamps, T]] = OrderedDict()

    def find(self, program: str, parameters: Mapping[str, Any], strict: bool, now: Stamps) -> T | None:
        """What was made of this program, if its files have not been touched since. `now`: stamps that were taken
        before in this load; gets more.
        """
        key = _key(program, parameters, strict)
        if key not in self._kept:
            return None
        stamps, made = self._kept[key]
        now.update(_stamps(stamps.keys() - now.keys()))
        if any(now.get(file) != stamp for file, stamp in stamps.items()):
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return made

    def keep(
        self, program: str, parameters: Mapping[str, Any], strict: bool, files: Collection[str], since_ns: int, made: T
    ) -> None:
        """Keeps what was made from `files`, which were read after `since_ns`, in ns since 1970."""
        stamps = _stamps(files)
        if not files or len(stamps) < len(files) or any(max(s[:2]) > since_ns - SETTLED_NS for s in stamps.values()):
            return
        self._kept[_key(program, parameters, strict)] = stamps, made
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)


def _key(program: str, parameters: Mapping[str, Any], strict: bool) -> str:
    return json.dumps([program, parameters, strict], sort_keys=True)


def _stamps(files: Collection[str]) -> Stamps:
    """When each was changed last (its content, its entry in the folder), its size and number, of those that exist."""
    found: Stamps = {}
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            continue
        found[file] = status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
    return found


def files_of(program: str, before: Collection[str]) -> list[str]:
    """The files of the modules that this process has imported beside `before` to declare a program; none if that is
    a user's, or has modules that a user's might hide.
    """
    tops = {name.partition(".")[0] for name in before} | set(OWN) | sys.stdlib_module_names
    new = {name: module for name, module in list(sys.modules.items()) if name not in before}
    if program.endswith(".py") or program.partition(".")[0] not in OWN:
        return []
    if any(name.partition(".")[0] not in tops for name in new):
        return []
    return sorted({file for module in new.values() if (file := getattr(module, "__file__", None))})
