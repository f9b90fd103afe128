"""The start of a chip: its options, and its supervisor."""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spinn2emu import geometry
from spinn2emu.descriptors import readable
from spinn2emu.errors import ConfigError, DeadlineExceeded, PeDied, Spinn2Error
from spinn2emu.levels import DEFAULT_LEVEL, level_number
from spinn2emu.refused import explain
from spinn2host.directories import log_tail
from spinn2host.recording import PeName, pe_ids

STUCK_AFTER_S = 10.0
"""Seconds without progress after which a run counts as stuck, unless a chip is booted with another number."""
START_DEADLINE_S = 60.0
"""For the supervisor to say that it is ready."""


def _choose_pes(pes: Sequence[PeName] | int | None, what: str = "pes") -> list[int] | None:
    most = len(geometry.PE_IDS)
    if pes is None:
        return None
    if not isinstance(pes, int):
        chosen = sorted(set(pe_ids(pes)))
        wrong = [pe for pe in chosen if pe not in geometry.PE_IDS]
        if wrong or not chosen:
            raise ConfigError(f"{what}: PEs have ids 1 to {most}, not {wrong or 'none at all'}", pes=wrong)
        return chosen
    if not 1 <= pes <= most:
        raise ConfigError(f"a chip has 1 to {most} PEs, not {pes}", pes=pes)
    return sorted([*geometry.APPLICATION_IDS, *geometry.RESERVED_IDS][:pes])


def _choose_arm(arm: Any, pes: list[int] | None) -> list[int]:
    """The PEs that execute Cortex-M4 code, of those that the chip has. Raises ConfigError, also without unicorn."""
    if isinstance(arm, str | int):
        raise ConfigError(f"arm is a list of PEs, not {arm!r}")
    if not len(arm):
        return []
    from spinn2emu.arm.machine import engine

    engine()
    chosen = _choose_pes(arm, "arm") or []
    if pes is not None and (missing := sorted(set(chosen) - set(pes))):
        raise ConfigError(f"arm: PE {geometry.name(missing[0])} is not part of the chip, which has {len(pes)} PEs")
    return chosen


def check_options(
    *,
    cores: Any = None,
    loop: Any = "compiled",
    strict: bool = False,
    pes: Any = None,
    seed: Any = 0,
    deadline: Any = STUCK_AFTER_S,
    arm: Any = (),
    record: tuple[Path, Sequence[PeName], int] | None = None,
    level: Any = DEFAULT_LEVEL,
    timing: bool = True,
) -> dict[str, Any]:
    """The options of `Chip.boot` as JSON has them. Raises ConfigError for what they cannot be."""
    if loop not in ("compiled", "python"):
        raise ConfigError(f"loop must be 'compiled' or 'python', not {loop!r}", loop=loop)
    try:
        cores = None if cores is None else [operator.index(core) for core in cores]
    except TypeError:
        raise ConfigError(f"cores must be numbers of processor cores such as [0, 1], not {cores!r}") from None
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise ConfigError(f"seed must be a whole number from 0 to 2^32 - 1, not {seed!r}")
    if not isinstance(deadline, int | float) or not 0 < deadline < math.inf:
        raise ConfigError(f"deadline must be seconds, more than 0, not {deadline!r}")
    level_number(level)
    chosen = _choose_pes(pes)
    return {
        "cores": cores, "loop": loop, "strict": bool(strict), "pes": chosen, "seed": number,
        "deadline": float(deadline), "level": level, "timing": bool(timing), "arm": _choose_arm(arm, chosen),
        "record": [str(record[0].absolute()), pe_ids(record[1]), record[2]] if record else [],
    }  # fmt: skip


def start_supervisor(directory: Path, owner: int, options: dict[str, Any], lock: int) -> subprocess.Popen[str]:
    """The supervisor's process; `owner`: the process that the chip ends with, 0 for none. It inherits the lock.

    Raises Spinn2Error for what the system refuses.
    """
    # -P: it imports nothing from the folder that it is started in
    command = [sys.executable, "-P", "-m", "spinn2emu.chip.supervisor", str(directory), str(owner), json.dumps(options)]
    try:
        with open(directory / "log", "wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                text=True, encoding="utf-8", errors="replace", pass_fds=(lock,),
            )  # fmt: skip
    except OSError as error:
        raise Spinn2Error(f"the chip's supervisor cannot be started in {directory}: {explain(error)}") from error


def await_supervisor(process: subprocess.Popen[str], directory: Path) -> None:
    """Waits until the supervisor is ready. Raises PeDied or DeadlineExceeded, with the end of its log."""
    assert process.stdout is not None
    end, said = time.monotonic() + START_DEADLINE_S, b""
    while readable([process.stdout], max(0.0, end - time.monotonic())):
        part = os.read(process.stdout.fileno(), 4096)
        said += part
        if b"ready\n" in said.splitlines(keepends=True):  # a user's sitecustomize may print what it likes
            return
        if not part:
            break
    else:
        raise DeadlineExceeded(
            f"the chip's supervisor was not ready within {START_DEADLINE_S:.0f} s. {log_tail(directory)}".rstrip(),
            op="boot", deadline=START_DEADLINE_S,
        )  # fmt: skip
    status = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # `discard` reaps it, with its process group
    assert status is not None
    exited = status.si_code == os.CLD_EXITED
    how = f"exit code {status.si_status}" if exited else f"killed by {signal.Signals(status.si_status).name}"
    raise PeDied(
        f"the chip's supervisor did not start ({how}): {log_tail(directory) or 'it said nothing'}", pe=0,
        name="supervisor", program="", tick=-1, cause=how,
    )  # fmt: skip


def discard(process: subprocess.Popen[str]) -> None:
    """Kills a supervisor that is not ready, and what it has started: they have a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
