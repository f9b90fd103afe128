"""Native functions that are missing in the store are compiled in processes of their own, one per core.

Such a process (`main`) reads names of functions (module:name) from stdin, a line each, and answers each with the
packed object file on stdout. So nobody who only needs the result imports numba.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING

from spinn2emu.descriptors import readable
from spinn2emu.errors import ProgramError
from spinn2emu.jit import store
from spinn2emu.parent import die_with_parent
from spinn2emu.progress import tell

if TYPE_CHECKING:
    from spinn2emu.jit.kernel import Native

Report = Callable[[str], None]
_SIZE = struct.Struct("<I")


def compiler_environment() -> dict[str, str]:
    """Of processes that only compile: without the user's settings of numba. Helpers are optimized once, in whoever
    calls them, by `compiler.py`.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return plain | {"NUMBA_OPT": "1"}


def prepare(natives: Iterable[Native], report: Report = tell) -> None:
    """Loads native functions; those that are not in the store are compiled first, several at a time. `report` gets
    lines about what is being done.
    """
    Build(natives).wait(report)


class Build:
    """A build that goes on in the background until somebody waits for it."""

    def __init__(self, natives: Iterable[Native]) -> None:
        self.missing: list[Native] = []
        for native in natives:
            data = None if native.loaded else store.read(native.key)
            if data is not None:
                native.load(data)
            elif not native.loaded:
                self.missing.append(native)
        self.todo = list(self.missing)
        count = min(len(self.todo), len(os.sched_getaffinity(0)))
        self.workers = [_Worker(self.todo.pop(0)) for _ in range(count)]

    def wait(self, report: Report = tell) -> None:
        """Until all are loaded. Raises ProgramError if one cannot be compiled, which is a fault of the emulator."""
        total = len(self.missing)
        if total and (why := store.why_not_kept()):
            report(why)
        try:
            while self.workers:
                done = total - len(self.todo) - len(self.workers)
                names = ", ".join(worker.native.path.replace(":", ".") for worker in self.workers)
                report(f"compiling {names} ({done} of {total} done)")
                ready = readable([worker.output for worker in self.workers])
                for worker in [worker for worker in self.workers if worker.output in ready]:
                    worker.native.load(worker.result())
                    if self.todo:
                        worker.begin(self.todo.pop(0))
                    else:
                        worker.end()
                        self.workers.remove(worker)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ends what is still being compiled."""
        for worker in self.workers:
            worker.end(kill=True)
        self.workers = []


class _Worker:
    """A process that compiles one native function after the other."""

    def __init__(self, native: Native) -> None:
        command = [sys.executable, "-P", "-c", "from spinn2emu.jit.build import main; main()", str(os.getpid())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=compiler_environment(), start_new_session=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input: IO[bytes] = self.process.stdin
        self.output: IO[bytes] = self.process.stdout
        self.begin(native)

    def begin(self, native: Native) -> None:
        """Sends off the next one, with the folders where its module and what that imports are found."""
        self.native = native
        self.input.write(json.dumps([native.path, sys.path]).encode() + b"\n")
        self.input.flush()

    def result(self) -> bytes:
        """The packed object file. Raises ProgramError."""
        head = self.output.read(_SIZE.size)
        data = self.output.read(_SIZE.unpack(head)[0]) if len(head) == _SIZE.size else b""
        if not data:
            code = self.process.wait()
            raise ProgramError(
                f"{self.native.path} was not compiled: its compiler ended with exit code {code}", code=code
            )
        return data

    def end(self, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.input.close()
        self.process.wait()
        self.output.close()


def compiled(native: Native) -> bytes:
    """The packed object file of a native function: from the store, or made here and now, and kept."""
    with store.alone(native.key):
        data = store.read(native.key)
        if data is None:
            from spinn2emu.jit.compiler import compile_native

            data = compile_native(native)
            store.write(native.key, data)
    return data


def main() -> None:
    """The body of a compiling process, see above."""
    die_with_parent(int(sys.argv[1]))
    gc.disable()  # it ends soon
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin:
        path, folders = json.loads(line)
        sys.path += [folder for folder in folders if folder not in sys.path]  # behind Python's own
        module, _, name = path.partition(":")
        data = compiled(getattr(importlib.import_module(module), name))
        answer.write(_SIZE.pack(len(data)) + data)
        answer.flush()
