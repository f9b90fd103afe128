"""Recorded activations executed as Cortex-M4 code: is every byte and every packet the same as of the host's code?"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spinn2emu import geometry
from spinn2emu.arm import check
from spinn2emu.arm.activations import Recording, read_recording
from spinn2emu.arm.build import Made, Order, make
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import engine
from spinn2emu.memory_map import MemoryMap
from spinn2emu.progress import tell
from spinn2host.arm import recordings
from spinn2host.chip import Chip


@dataclass
class Result:
    """Of one program. `activations` that were executed; `code_bytes` of instruction memory, with helpers; `problems`:
    what differs, where; `remarks`: what else there is to know."""

    program: str
    code_bytes: int
    activations: int = 0
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


class Images:
    """Programs are compiled for the PE as soon as a chip has them, several at a time."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.made: dict[str, Future[list[Made]]] = {}

    def add(self, chip: Chip) -> None:
        """Begins with what a chip has loaded last."""
        for memory in chip.maps.values():
            order = Order(memory.program, memory, tuple(sys.path))
            if order.key not in self.made:
                self.made[order.key] = self.pool.submit(make, [order])

    def of(self, memory: MemoryMap) -> Image:
        """The image of a program. Raises ProgramError or SramOverflow."""
        return self.made[Order(memory.program, memory).key].result()[0].image


Source = Callable[[Path, recordings.Loaded], list[Path]]
"""Records into a folder."""


def verify_shipped(kinds: Sequence[str] = tuple(recordings.KINDS)) -> list[Result]:
    """Checks the programs that the project ships, by KINDS. Raises ConfigError without unicorn."""

    def record(folder: Path, loaded: recordings.Loaded) -> Iterator[Path]:
        for number, kind in enumerate(kinds, 1):
            tell(f"recording activations of the programs of {kind} ({number} of {len(kinds)})")
            yield from recordings.shipped(kind, folder / kind, loaded=loaded)

    return verify_recordings(lambda folder, loaded: list(record(folder, loaded)))


def verify_program(program: str, parameters: Mapping[str, Any], ticks: int, seed: int = 0) -> list[Result]:
    """Checks a program (a module or a .py file) with pseudo-random packets, or those of a network (a .toml file).

    Raises what loading, running and compiling it does.
    """
    tell(f"recording {ticks} ticks of {program}")

    def record(folder: Path, loaded: recordings.Loaded) -> list[Path]:
        if program.endswith(".toml"):
            return recordings.of_network(program, ticks, seed, folder, loaded)
        return recordings.of_program(program, parameters, ticks, seed, folder, loaded)

    return verify_recordings(record)


def verify_recordings(record: Source) -> list[Result]:
    """Checks what a source records, by program. Raises ConfigError without unicorn."""
    engine()
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="spinn2-arm-") as folder, _pool() as pool:
        images = Images(pool)
        files = record(Path(folder), images.add)
        for number, file in enumerate(files, 1):
            recording = read_recording(file)
            image = images.of(recording.memory)
            tell(f"executing {recording.program} ({number} of {len(files)} recordings)")
            result = results.setdefault(recording.program, Result(recording.program, image.nbytes))
            where = str(file.relative_to(folder).parent / geometry.name(recording.pe))
            _execute(recording, image, where, result)
    return list(results.values())


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _execute(recording: Recording, image: Image, where: str, result: Result) -> None:
    outcomes = list(check.run(recording, image))
    result.activations += len(outcomes)
    wrong = [outcome.difference for outcome in outcomes if outcome.difference]
    if wrong:
        result.problems.append(f"{where}: {len(wrong)} of {len(outcomes)} activations differ; {wrong[0]}")
    if outcomes and outcomes[-1].activation.code:
        last = outcomes[-1].activation
        result.remarks.append(f"{where}: it returned error code {last.code} in tick {last.tick}, and was run no longer")
