"""Packets of the host and for the host, as a user has them on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, wait_until

from spinn2host.chip import Chip, PeProgram
from spinn2host.cli.main import run

COMMAND = [sys.executable, "-c", "from spinn2host.cli.main import main; main()"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def chip(desk: str, programs: dict[str, str]) -> Any:
    """A resident chip: a source on 7.5.0, with a sink for keys 0x100 … on 1.1.0."""
    with Chip.attach(desk) as handle:
        handle.deploy(
            [
                PeProgram(5, programs["source"], {"count": 2}, {}, {"out": (0x40, SPACE)}),
                PeProgram(77, programs["sink"], {}, {"in": (0x100, SPACE)}),
            ],
            [(0x100, SPACE, [77])],
        )
        yield handle


def lines(capsys: Capture, *arguments: str, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert run(arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def test_packets_are_injected(chip: Chip, capsys: Capture) -> None:
    assert lines(capsys, "inject", "0x101", "258", "--tick", "4") == [
        "2 packets are sent in tick 4, PEs process them in tick 5"
    ]
    assert lines(capsys, "run", "--ticks", "3")
    told = json.loads(lines(capsys, "inject", "0x103", "--word", "7", "--word", "0xffffffff", "--json")[0])
    assert told == {"schema_version": 1, "chip": "desk", "packets": 1, "tick": 2}
    chip.run(5)
    assert chip.read(77, "heard")[:3].tolist() == [0x103, 0x101, 258]
    assert chip.read(77, "ticks")[:3].tolist() == [3, 5, 5]
    assert chip.counters().registers["payload_8"] == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("inject",), "Missing argument 'KEY…'"),
        (("inject", "x"), "'x' is not a number of 32 bits"),
        (("inject", "0x100000000"), "is not a number of 32 bits"),
        (("inject", "1", "--tick", "-1"), "--tick"),
        (("inject", "1", "--tick", "3"), "too late for tick 3"),
        (("inject", "1", *("--word", "1") * 3), "0, 1, 2 or 4 payload words, not 3"),
        (("events", "2.2.2", "--ticks", "1"), "no program is loaded on PE 2.2.2"),
        (("events", "1.1", "--port", "votes", "--ticks", "1"), "no program has an output port 'votes'"),
        (("events", "--window", "3"), "name both"),
        (("events", "--key", "0x3/0x1", "--ticks", "1"), "it can never match"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(chip: Chip, capsys: Capture, arguments: tuple[str, ...], reason: str) -> None:
    chip.run(5)
    capsys.readouterr()
    assert run(arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert reason in said and "Traceback" not in said
    assert chip.info()["idle"] and chip.info()["tick"] == 5


def test_packets_of_pes_are_shown(chip: Chip, capsys: Capture) -> None:
    assert lines(capsys, "events", "--ticks", "2") == [
        "     0  7.5.0  out 0  key 0x00000040", "     0  7.5.0  out 1  key 0x00000041",
        "     1  7.5.0  out 0  key 0x00000040", "     1  7.5.0  out 1  key 0x00000041",
    ]  # fmt: skip
    shown = [json.loads(line) for line in lines(capsys, "events", "7.5", "--key", "0x41", "--ticks", "2", "--json")]
    assert shown == [
        {
            "schema_version": 1,
            "tick": t,
            "pe": "7.5.0",
            "port": "out",
            "index": 1,
            "key": 0x41,
            "payload": [],
            "population": "",
            "first": 0,
        }
        for t in (2, 3)
    ]
    assert lines(capsys, "events", "1.1.0", "--ticks", "2") == []
    assert len(lines(capsys, "events", "--ticks", "1000000", "--window", "5", "-n", "7")) == 7
    assert chip.info()["idle"] and chip.info()["tick"] == 10  # the run has ended with its window


def test_packets_of_a_run_elsewhere_are_shown_until_ctrl_c(chip: Chip, tmp_path: Path) -> None:
    process = subprocess.Popen([*COMMAND, "events", "7.5.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and process.stdout is not None
    assert "listening" in process.stderr.readline()
    for first in (0, 3):
        chip.run(3)
        ticks = [int(process.stdout.readline().split()[0]) for _ in range(6)]
        assert ticks == [first + i // 2 for i in range(6)]
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted")
    wait_until("nobody to listen", lambda: _can_listen(chip))
    chip.run(2)


def _can_listen(chip: Chip) -> bool:
    chip.events().close()
    return True


def test_a_reader_that_goes_away_ends_the_command(chip: Chip) -> None:
    command = " ".join(f"'{word}'" for word in COMMAND)
    done = subprocess.run(
        ["bash", "-c", f"{command} events --ticks 100000 | head -3"], capture_output=True, text=True, check=False
    )
    assert len(done.stdout.splitlines()) == 3 and "Traceback" not in done.stderr
    wait_until("the run to end", lambda: chip.info()["idle"])
    assert chip.info()["tick"] < 100_000
