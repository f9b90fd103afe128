"""A chip that stays, as a user has it: from `boot` to `halt` on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import PROGRAMS, alive, wait_until, write_program

from spinn2emu import hostlink
from spinn2host.chip import Chip
from spinn2host.cli.main import COMMANDS, run

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
COMMAND = [sys.executable, "-c", "from spinn2host.cli.main import main; main()"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def blink() -> str:
    """The program that `new-program` writes."""
    assert run(["new-program", "blink"]) == 0
    return "blink.py"


def answer(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code, capsys.readouterr().err
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    content: dict[str, Any] = json.loads(out)
    return content


def refusal(capsys: Capture, *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return " ".join(captured.err.split())


def shown(capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    assert run(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@contextlib.contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, which ends with the block at the latest."""
    with subprocess.Popen([*COMMAND, *arguments], text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


# --- a session -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runtime")
def test_a_users_program_is_deployed_run_and_read_back(capsys: Capture, blink: str) -> None:
    booted = answer(capsys, "boot", "--pes", "8", "--name", "desk")
    assert booted["name"] == "desk" and booted["pes"] == 8 and alive(booted["pid"])
    answer(capsys, "load", blink, "7.5.0", "--set", "period=3", "--set", "keys=4")
    rows = answer(capsys, "ps")["pes"]
    assert [row["pe"] for row in rows] == ["7.5.0", "7.5.1", "7.5.2", "7.5.3", "6.6.0", "6.6.1", "6.6.2", "6.6.3"]
    assert [row["state"] for row in rows] == ["waiting"] + ["idle"] * 7
    assert answer(capsys, "run", "--ticks", "10")["tick"] == 10
    assert answer(capsys, "read", "7.5.0", "sent")["values"] == [4]
    row = answer(capsys, "ps", "7.5.0")["pes"][0]
    assert (row["tick"], row["packets_out"], row["phase"]) == (10, 4, "run")
    assert row["program"] == str(Path(blink).absolute())
    assert row["sram_used"] + row["sram_free"] == 0x1F000 - 0x8000
    logged = answer(capsys, "log", "7.5.0")
    assert [(e["tick"], e["values"], e["text"]) for e in logged["entries"]] == [
        (3 * i, [i + 1.0], f"{i + 1} packets sent so far") for i in range(4)
    ]
    for text in ("7.5.0", "waiting", "blink.py", "7 PEs have no program; tick 10"):
        assert text in shown(capsys, "ps")
    info = answer(capsys, "info")
    assert (info["chip"]["name"], info["chip"]["tick"]) == ("desk", 10)
    assert answer(capsys, "halt") == {"schema_version": 1, "halted": ["desk"]}
    assert not alive(booted["pid"])
    assert "no chip runs" in refusal(capsys, "ps", code=3)


@pytest.mark.usefixtures("desk")
def test_memory_is_written_and_read(capsys: Capture, blink: str, tmp_path: Path) -> None:
    np.save("counts.npy", np.arange(16, dtype=np.uint32))
    run(["load", blink, "1.1.0", "--data", "counts=counts.npy"])
    assert answer(capsys, "read", "1.1.0", "counts")["values"] == list(range(16))
    run(["write", "1.1.0", "counts", "7", "8"])
    assert shown(capsys, "read", "1.1.0", "counts", "--count", "3").strip() == "[7 8 2]"
    run(["read", "1.1.0", "counts", "--out", "back.npy"])
    assert np.load("back.npy").tolist() == [7, 8, *range(2, 16)]
    memory = answer(capsys, "memory", "1.1.0")
    assert memory["used"] + memory["free"] == 0x1F000 - 0x8000
    counts = next(region for region in memory["regions"] if region["name"] == "counts")
    assert (counts["dtype"], counts["shape"], counts["bytes"], counts["unit"]) == ("uint32", [16], 64, "packet by key")
    address = hex(counts["address"])
    assert answer(capsys, "read", "1.1.0", address, "--as", "uint32", "--count", "2")["values"] == [7, 8]
    assert len(answer(capsys, "read", "1.1.0", address)["values"]) == 16
    run(["write", "1.1.0", address, "--as", "float32", "1.5"])
    assert answer(capsys, "read", "1.1.0", "counts", "--as", "float32", "--count", "1")["values"] == [1.5]
    run(["write", "1.1.0", "counts", "counts.npy"])
    assert answer(capsys, "read", "1.1.0", "counts")["values"] == list(range(16))
    assert "counts" in shown(capsys, "memory", "1.1.0")


@pytest.mark.usefixtures("desk")
def test_a_network_counters_and_routes(capsys: Capture) -> None:
    run(["load", str(EXAMPLES / "synfire.toml")])
    run(["write", "1.1.0", "kick", "20"])
    command = [*COMMAND, "run", "--ticks", "12"]
    changed = answer(capsys, "counters", "--json", "--", *command[:1], *command[1:])
    assert (changed["router"]["packets"], changed["router"]["copies"], changed["exit_code"]) == (240, 240, 0)
    assert changed["pes"]["1.1.0"] == {"sent": 60, "delivered": 40, "discarded": 0, "fifo_lost": 0, "overruns": 0}
    entries = answer(capsys, "router", "table")["entries"]
    assert [(e["key"], e["pes"], e["packets"]) for e in entries][:2] == [(0, ["3.5.2"], 60), (0x10000, ["6.6.1"], 60)]
    found = answer(capsys, "router", "lookup", "0x10003")
    assert found["entry"]["entry"] == 1 and found["senders"] == [{"pe": "3.5.2", "port": "spikes"}]
    assert found["arrives"] == [{"pe": "6.6.1", "port": "spikes"}]
    assert answer(capsys, "router", "lookup", "0x90000000", code=1)["entry"] is None
    for text in ("packets", "240", "1.1.0"):
        assert text in shown(capsys, "counters", "--pes")
    assert "0xffff0000" in shown(capsys, "router", "table")
    assert "port spikes" in shown(capsys, "router", "lookup", "3")


@pytest.mark.usefixtures("desk")
def test_pes_loaded_one_by_one_are_connected_by_a_network_without_programs(capsys: Capture, blink: str) -> None:
    run(["load", blink, "1.1", "--set", "period=1"])
    Path("net.toml").write_text(
        '[population.ring]\npes = ["1.1.0", "1.1.1", "1.1.2", "1.1.3"]\n'
        '[[connect]]\nfrom = "ring.output"\nto = "ring.input"\nhow = "next"\n'
    )
    run(["run", "--ticks", "5"])
    run(["load", "net.toml"])
    run(["run", "--ticks", "5"])
    assert answer(capsys, "read", "1.1.2", "counts")["values"][:10] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]


@pytest.mark.usefixtures("desk")
def test_signals(capsys: Capture, blink: str) -> None:
    run(["load", blink, "1.1.0", "1.1.1"])
    assert answer(capsys, "signal", "pause", "1.1.0")["states"] == {"1.1.0": "paused"}
    run(["run", "--ticks", "8"])
    assert answer(capsys, "signal", "resume", "1.1.0")["states"] == {"1.1.0": "waiting"}
    assert answer(capsys, "signal", "stop", "1.1.0")["states"] == {"1.1.0": "stopped"}
    assert [row["pe"] for row in answer(capsys, "ps", "--state", "stopped")["pes"]] == ["1.1.0"]
    assert answer(capsys, "signal", "reset", "--all")["states"] == {"1.1.0": "waiting", "1.1.1": "waiting"}
    assert answer(capsys, "ps")["tick"] == 0


@pytest.mark.usefixtures("desk")
def test_a_detached_run_is_looked_into_and_ended(capsys: Capture, blink: str) -> None:
    run(["load", blink, "1.1.0"])
    answer(capsys, "run", "--ticks", "1000000000", "--detach")
    wait_until("time passes", lambda: answer(capsys, "ps", "1.1.0")["pes"][0]["tick"] > 1000)
    before = answer(capsys, "read", "1.1.0", "sent")["values"][0]
    wait_until("it sends more", lambda: answer(capsys, "read", "1.1.0", "sent")["values"][0] > before)
    assert "already runs to tick" in refusal(capsys, "signal", "pause", "1.1.0")
    tick = answer(capsys, "run", "--stop")["tick"]
    assert tick < 1_000_000_000
    assert answer(capsys, "run", "--ticks", "0")["tick"] == tick


@pytest.mark.usefixtures("desk")
def test_ctrl_c_ends_a_run_and_the_chip_stays(capsys: Capture, blink: str) -> None:
    run(["load", blink, "1.1.0"])
    with started("run", "--ticks", "1000000000", stderr=subprocess.PIPE) as process:
        wait_until("time passes", lambda: answer(capsys, "ps", "1.1.0")["pes"][0]["tick"] > 1000)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False)
    chip = answer(capsys, "info")["chip"]
    assert chip["idle"] and f"the run has ended in tick {chip['tick']}" in err
    assert run(["run", "--ticks", "5"]) == 0


# --- several chips ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runtime")
def test_several_chips_run_side_by_side(capsys: Capture, blink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [answer(capsys, "boot", "--pes", "1")["name"] for _ in range(3)]
    assert names == ["chip1", "chip2", "chip3"]
    for ticks, name in enumerate(names, 3):
        run(["--chip", name, "load", blink, "7.5.0"])
        run(["--chip", name, "run", "--ticks", str(ticks)])
    found = answer(capsys, "discover")["chips"]
    assert [(chip["name"], chip["tick"], chip["responds"]) for chip in found] == [
        ("chip1", 3, True), ("chip2", 4, True), ("chip3", 5, True)
    ]  # fmt: skip
    assert "several chips run: chip1, chip2, chip3" in refusal(capsys, "ps")
    monkeypatch.setenv("SPINN2EMU_CHIP", "chip2")
    assert answer(capsys, "ps")["tick"] == 4
    assert "chip2" in shown(capsys, "discover")
    assert answer(capsys, "halt", "--all")["halted"] == names


@pytest.mark.usefixtures("runtime")
def test_many_chips_of_one_pe_do_not_interfere(blink: str) -> None:
    """`tests/bench/bench_operate.py` does it with 64."""
    chips: list[Chip] = []
    try:
        with ThreadPoolExecutor(4) as pool:
            chips += pool.map(lambda _: Chip.boot(pes=1), range(12))
        for i, chip in enumerate(chips):
            chip.load(blink, ["7.5.0"], {"period": 1 + i % 7})
            chip.start(20 + i)
        for i, chip in enumerate(chips):
            assert chip.wait() == 20 + i
            assert chip.read("7.5.0", "sent")[0] == -(-(20 + i) // (1 + i % 7))
    finally:
        for chip in chips:
            chip.halt()


def test_what_a_killed_chip_leaves_is_reclaimed(capsys: Capture, runtime: Path) -> None:
    pid = answer(capsys, "boot", "--name", "desk")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until("it is dead", lambda: not alive(pid))
    assert len(list(runtime.glob("*/chip-desk"))) == 1

    def nothing_left() -> bool:
        return answer(capsys, "discover")["chips"] == [] and list(runtime.glob("*/chip-*")) == []

    # A process counts as dead when its main thread is; its lock goes with its last thread, a moment later.
    wait_until("discover cleans up", nothing_left)
    assert "no chip named desk" in refusal(capsys, "--chip", "desk", "ps", code=3)
    assert answer(capsys, "boot", "--name", "desk")["name"] == "desk"


@pytest.mark.usefixtures("runtime")
def test_a_killed_pe_is_shown_and_named(capsys: Capture, blink: str) -> None:
    run(["boot"])
    run(["load", blink, "1.1.0", "1.1.1"])
    pid = next(row["pid"] for row in answer(capsys, "ps")["pes"] if row["pe"] == "1.1.1")
    os.kill(pid, signal.SIGKILL)
    wait_until("ps says so", lambda: answer(capsys, "ps", "1.1.1")["pes"][0]["state"] == "dead")
    assert re.search(r"PE 1\.1\.1 .* died in tick 0: killed by SIGKILL", refusal(capsys, "run", code=5))
    assert run(["signal", "reset", "--all"]) == 0
    assert answer(capsys, "run", "--ticks", "4")["tick"] == 4


@pytest.mark.usefixtures("runtime")
def test_a_chip_that_does_not_answer_is_shown_and_halted(capsys: Capture) -> None:
    pid = answer(capsys, "boot", "--name", "deaf")["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert answer(capsys, "discover")["chips"] == [{"name": "deaf", "responds": False}]
    run(["--chip", "deaf", "halt"])
    wait_until("it is gone", lambda: not alive(pid))


@pytest.mark.usefixtures("runtime")
def test_a_private_chip_can_be_looked_into(capsys: Capture, blink: str) -> None:
    with Chip.boot() as chip:
        chip.load(blink, ["1.1.0"])
        assert [found["name"] for found in answer(capsys, "discover")["chips"]] == [chip.name]
        assert "no chip runs" in refusal(capsys, "ps", code=3)  # it is meant only if it is named
        assert answer(capsys, "--chip", chip.name, "ps", "1.1.0")["pes"][0]["state"] == "waiting"


@pytest.mark.usefixtures("runtime")
def test_a_chip_from_a_file(capsys: Capture) -> None:
    Path("chip.toml").write_text('name = "lab"\npes = ["1.1.0", "1.1.1"]\ncores = []\nstrict = true\n')
    assert answer(capsys, "boot", "chip.toml")["pes"] == 2
    info = answer(capsys, "info")["chip"]
    assert (info["name"], info["strict"], info["cores"]) == ("lab", True, [])
    for text, problem in (("nmae = 'x'", "nmae"), ("pes = 'two'", "pes"), ("x = = 1", "chip.toml"), ("pes = 0", "0"),
                          ("pes = -1", "chip.toml: a chip has 1 to 152 PEs, not -1"),
                          ("loop = 'fast'", "chip.toml: loop must be"),
                          ("cores = ['a']", "chip.toml: cores must be"), ("seed = -1", "chip.toml: seed must be"),
                          ("seed = true", "wrong type")):  # fmt: skip
        Path("chip.toml").write_text(text)
        assert problem in refusal(capsys, "boot", "chip.toml")
    assert "none.toml" in refusal(capsys, "boot", "none.toml")


@pytest.mark.usefixtures("runtime")
def test_options_win_over_the_file_with_their_default_values_too(capsys: Capture) -> None:
    Path("chip.toml").write_text(
        'name = "lab"\npes = 3\ncores = []\nstrict = true\nloop = "python"\n', encoding="utf-8"
    )
    options = ["--name", "desk", "--pes", "152", "--cores", "auto", "--no-strict", "--loop", "compiled"]
    for arguments, expected in (
        ([], ("lab", 3, [], True, "python")),
        (options, ("desk", 152, None, False, "compiled")),
    ):
        name = answer(capsys, "boot", "chip.toml", *arguments)["name"]
        info = answer(capsys, "--chip", name, "info")["chip"]
        assert (name, len(info["pes"]), info["cores"], info["strict"], info["loop"]) == expected


@pytest.mark.usefixtures("desk")
def test_the_command_of_counters_finds_its_chip(capsys: Capture, blink: str) -> None:
    run(["load", blink, "1.1.0"])
    assert run(["boot", "--name", "other", "--pes", "1"]) == 0  # so that the only one is not meant
    command = ["--chip", "desk", "counters"]
    assert run([*command, "--json", "--", "spinn2emu", "run", "--ticks", "8"]) == 0
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (content["exit_code"], content["pes"]["1.1.0"]["sent"]) == (0, 2)
    code = 'import os, sys; sys.exit(os.environ["SPINN2EMU_CHIP"] != "desk")'
    assert run([*command, "--", sys.executable, "-c", code]) == 0
    assert run([*command, "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"]) == 128 + 15


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["load", "none.py", "1.1.0"], "none.py does not exist"),
        (["load", "blink.py", "9.9.9"], "9.9.9"),
        (["load", "blink.py"], "name the PEs"),
        (["load", "blink.py", "1.1.0", "--set", "perod=3"], "perod"),
        (["load", "blink.py", "1.1.0", "--set", "period=often"], "period"),
        (["load", "blink.py", "1.1.0", "--set", "keys=100000"], "too many"),
        (["load", "blink.py", "1.1.0", "--set", "keys"], "name=value"),
        (["load", "blink.py", "1.1.0", "--data", "counts=none.npy"], "none.npy"),
        (["load", "blink.py", "1.1.0", "--data", "counts=long.npy"], "shape"),
        (["load", "blink.py", "1.1.0", "--data", "counts=float.npy"], "do not fit in without loss"),
        (["load", "blink.py", "1.1.0", "--data", "count=long.npy"], "no region 'count'"),
        (["load", "blink.py", "7.5.0"], "PE 7.5.0 has a program"),
        (["load", "none.toml"], "none.toml"),
        (["load", "net.toml", "1.1.0"], "names its PEs"),
        (["run", "--ticks", "-1"], "--ticks"),
        (["signal", "pause"], "--all"),
        (["signal", "pause", "1.1.0"], "no program is loaded on PE 1.1.0"),
        (["signal", "poke", "1.1.0"], "poke"),
        (["read", "7.5.0", "nothing"], "no region 'nothing'"),
        (["read", "1.1.0", "counts"], "no program is loaded on PE 1.1.0"),
        (["read", "7.5.0", "0x1FFFF", "--as", "int64"], "exceed its SRAM"),
        (["read", "7.5.0", "counts", "--as", "nonsense"], "not a dtype"),
        (["read", "7.5.0", "counts", "--as", "O"], "dtype that SRAM cannot hold"),
        (["read", "7.5.0", "counts", "--out", "/no/such/folder/x.npy"], "/no/such/folder"),
        (["read", "7.5", "counts"], "name one PE"),
        (["write", "7.5.0", "counts", "1.5"], "do not fit in without loss"),
        (["write", "7.5.0", "counts", "-1"], "do not fit in without loss"),
        (["write", "7.5.0", "counts", "many"], "'many' is not a number"),
        (["write", "7.5.0", "0x8000", "1"], "--as"),
        (["write", "7.5.0", "counts", "99999999999999999999999"], "numbers beyond 64 bits"),
        (["read", "7.5.0", "99999999999999999999999"], "numbers have 64 bits"),
        (["run", "--ticks", "99999999999999999999999"], "ticks is at most 4,294,967,295, not 1e+23"),
        (["run", "--ticks", "4294967295"], "time goes forward"),
        (["memory", "1.1.0"], "no program"),
        (["log", "1.1.0"], "no program"),
        (["router", "lookup", "0x100000000"], "not a key"),
        (["counters", "--", "/no/such/command"], "/no/such/command"),
        (["new-program", "blink"], "exists already"),
        (["new-program", "1x"], "not a name for a program"),
        (["boot", "--name", "desk"], "runs already"),
        (["boot", "--pes", "153"], "1 to 152"),
    ],
)
def test_it_is_refused_and_the_chip_goes_on(capsys: Capture, blink: str, command: list[str], problem: str) -> None:
    np.save("long.npy", np.zeros(17, np.uint32))
    np.save("float.npy", np.zeros(16))
    run(["load", blink, "7.5.0"])
    run(["run", "--ticks", "3"])
    assert problem in refusal(capsys, *command)
    run(["run", "--ticks", "6"])
    assert answer(capsys, "read", "7.5.0", "sent")["values"] == [3]


@pytest.mark.usefixtures("desk")
def test_a_program_that_fails_names_itself(capsys: Capture, tmp_path: Path) -> None:
    path = write_program(tmp_path, "counter", PROGRAMS["counter"])
    run(["load", path, "1.1.0", "--set", "fail_at=4", "--set", "code=7"])
    text = refusal(capsys, "run", "--ticks", "9", code=5)
    assert "failed in tick 4 with code 7: the seventh error" in text and "log: tick 4: code 40" in text
    assert answer(capsys, "ps", "1.1.0")["pes"][0]["state"] == "runtime_error"


@pytest.mark.usefixtures("runtime")
def test_a_strict_chip_says_where(capsys: Capture, tmp_path: Path) -> None:
    path = write_program(tmp_path, "far", """
def regions(p, available):
    return [Region("x", np.int64, (4,))]

def tick(pe, ram, rx, t):
    ram.x[t] = 1
    return 0

program = Program(tick=tick, regions=regions)
""")  # fmt: skip
    run(["boot", "--strict"])
    run(["load", path, "1.1.0"])
    assert "index 4 is out of bounds for axis 0 with size 4" in refusal(capsys, "run", "--ticks", "9", code=5)


@pytest.mark.usefixtures("desk")
def test_another_protocol_version_is_refused_politely(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hostlink, "PROTOCOL", hostlink.PROTOCOL + 1)
        assert "use one spinn2emu for both" in refusal(capsys, "ps", code=1)
    assert run(["ps"]) == 0


# --- help and the live view ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys: Capture, command: str) -> None:
    text = shown(capsys, command, "--help")
    assert f"spinn2emu {command}" in text or "COMMAND [ARGS]" in text
    assert command in shown(capsys, "--help")


@pytest.mark.usefixtures("desk")
def test_the_die_is_drawn_once(capsys: Capture) -> None:
    run(["load", str(EXAMPLES / "synfire.toml")])
    run(["write", "1.1.0", "kick", "20"])
    run(["run", "--ticks", "100000000", "--detach"])
    text = shown(capsys, "top", "--once", "--interval", "0.3")
    assert text.count("●") == 4 + 1  # and the legend
    assert re.search(r"tick [\d,]+   [\d,]+ ticks/s   [\d,]+ packets/s   4 of 152 PEs", text)
    assert "spinn2fw.examples.synfire" in text
    run(["run", "--stop"])


@pytest.mark.usefixtures("desk")
def test_the_live_view_shows_the_die_and_ends(blink: str) -> None:
    pytest.importorskip("textual")
    from spinn2host.cli.top import live_view

    run(["load", blink, "1.1.0"])

    async def look() -> None:
        with Chip.attach() as chip:
            app = live_view(chip, 0.05)
            async with app.run_test(size=(120, 40)) as pilot:
                await pilot.pause(0.3)
                text = app.export_screenshot()
                assert "y=6" in text and "blink.py" in text
                await pilot.press("q")

    asyncio.run(look())


def test_the_command_starts_fast_enough_to_be_used() -> None:
    """`ps` must not import the compiler."""
    code = "import sys; from spinn2host.cli import chip, look, deploy, router, top; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.usefixtures("desk")
def test_log_follows(blink: str) -> None:
    run(["load", blink, "1.1.0", "--set", "period=1"])
    lines: list[str] = []
    with started("log", "1.1.0", "-f", stdout=subprocess.PIPE, bufsize=1) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or []))
        reader.start()
        for printed in (5, 10, 15):
            run(["run", "--ticks", "5"])
            wait_until("all is printed", lambda printed=printed: len(lines) > printed)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        reader.join(60)
    assert lines[0].split() == ["tick", "code", "values", "text"]
    assert [line.split() for line in lines[1:]] == [
        [str(t), "1", str(t + 1), str(t + 1), "packets", "sent", "so", "far"] for t in range(15)
    ]
