"""The guard of a PE's SRAM: its kernel and the host are never in there together, whoever comes first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import wait_until

from spinn2emu.chip.memory import ChipMemory
from spinn2emu.errors import DeadlineExceeded
from spinn2emu.pe.guard import ENTER, GUARD, HOLD, LEAVE, RELEASE, guarded

ROW = 4096
SHARED = np.dtype([("guard", GUARD), ("end", "<i8"), ("total", "<i8"), ("pair", "<i8", (2, ROW))])
"""What the process of a PE and the host have in common: the rows of `pair` are equal outside activations, and both
sides add to `total`."""

PE = """
import sys
from spinn2emu.pe.guard import ENTER, LEAVE, guarded
from test_guard import opened

shared, rounds = opened(sys.argv[1]), 0
guard = shared["guard"]
while not shared["end"]:
    rounds += 1
    guarded(guard, ENTER)
    total = shared["total"]
    shared["pair"][0] = rounds
    shared["pair"][1] = rounds
    shared["total"] = total + 1
    guarded(guard, LEAVE)
print(rounds)
"""


def opened(path: str) -> np.ndarray:
    """The record in the file that both processes map."""
    return np.memmap(path, SHARED, "r+", shape=(1,)).view(np.ndarray).reshape(())


def test_a_pe_gives_way_until_the_host_is_out() -> None:
    guard = np.zeros((), GUARD)
    assert not guarded(guard, HOLD)
    pe = threading.Thread(target=guarded, args=(guard, ENTER))
    pe.start()
    pe.join(0.1)
    assert pe.is_alive() and guard["activations"] == 0
    wait_until("the host sees that the PE is out", lambda: not guarded(guard, HOLD))
    guarded(guard, RELEASE)
    pe.join(60)
    assert not pe.is_alive() and (guard["busy"], guard["hold"], guard["activations"]) == (1, 0, 1)


def test_the_host_waits_until_the_pe_is_out() -> None:
    memory = ChipMemory()
    guard = memory.guard(9)
    guarded(guard, ENTER)
    with pytest.raises(DeadlineExceeded, match=r"PE 6\.6\.0 has not left its kernel"), memory.held([5, 9]):
        pass
    assert not memory.guards["hold"].any()  # whoever gave up holds nobody
    guarded(guard, LEAVE)
    with memory.held([5, 9]):
        assert np.nonzero(memory.guards["hold"])[0].tolist() == [5, 9]
    assert not memory.guards["hold"].any() and guard["busy"] == 0


def test_two_processes_never_see_each_others_half_work(tmp_path: Path) -> None:
    path, reads = tmp_path / "shared", 500
    path.write_bytes(bytes(SHARED.itemsize))
    shared = opened(str(path))
    guard, environment = shared["guard"], {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", PE, str(path)], env=environment, stdout=subprocess.PIPE) as pe:
        try:
            for _ in range(reads):
                before = int(guard["activations"])
                while guard["activations"] == before and pe.poll() is None:
                    os.sched_yield()
                while guarded(guard, HOLD):
                    os.sched_yield()
                total, pair = int(shared["total"]), shared["pair"].copy()
                shared["total"] = total + 1
                guarded(guard, RELEASE)
                assert (pair == pair[0, 0]).all()
            shared["end"] = 1
            rounds = int(pe.communicate()[0])
        finally:
            pe.kill()
    assert rounds >= reads
    assert shared["total"] == rounds + reads
