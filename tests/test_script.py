"""`spinn2emu script`: scripts of py-spinnaker2 as a user starts them, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinn2emu.trace.file import read_trace
from spinn2emu.trace.schema import Event
from spinn2emu.trace.table import columns
from spinn2host.chip import Chip
from spinn2host.progress_bar import progress_bar
from spinn2host.traces.expression import select

NETWORK = """
from spinnaker2 import hardware, snn

stimulus = snn.Population(2, "spike_list", {0: [1, 4], 1: [2]}, "stimulus")
neurons = snn.Population(3, "lif", {"threshold": 5.0, "alpha_decay": 0.5}, "neurons")
network = snn.Network("small")
network.add(stimulus, neurons, snn.Projection(stimulus, neurons, [[0, 0, 6, 0], [1, 2, 7, 1]]))
"""
RUN = NETWORK + "hardware.SpiNNaker2Chip().run(network, 10)\nprint(neurons.get_spikes())\n"
SPIKES = "{0: [2, 5], 1: [], 2: [4]}\n"


SCRIPTS = Path(__file__).parent / "scripts"


def run_script(
    script: Path | str, *arguments: str, options: Sequence[str] = (), chip: str = "", **run: Any
) -> subprocess.CompletedProcess[str]:
    """`spinn2emu [--chip CHIP] script OPTIONS SCRIPT ARGUMENTS`, without the lines about what is compiled: that depends
    on what was run before."""
    words = [*(["--chip", chip] if chip else []), "script", *options, str(script), *arguments]
    command = [sys.executable, "-m", "spinn2host.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, **{"input": "", **run})
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(line for line in lines if not line.startswith("spinn2emu: compiling "))
    return done


def voltages(result: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], list[float]]]:
    """All lists in a result, by path."""
    if isinstance(result, dict):
        return [leaf for key, value in result.items() for leaf in voltages(value, (*path, key))]
    assert isinstance(result, list)
    return [(path, result)]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_to_nowhere(tmp_path: Path, closed: str) -> None:
    """And what is not closed gets what belongs there, and nothing else."""
    (tmp_path / "run.py").write_text(RUN.replace("[1, 2, 7, 1]", "[1, 2, 7.1, 1]"))
    command = f"{sys.executable} -m spinn2host.cli.main script run.py {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, "" if closed.startswith((">", "<&- >")) else SPIKES)
    assert ("rounded" in done.stderr) == ("2>&-" not in closed)


@pytest.mark.parametrize("name", ["ex1_two_sources", "ex4_currents"])
def test_scripts_print_what_a_board_gives(name: str) -> None:
    done = run_script(SCRIPTS / f"{name}.py")
    assert (done.returncode, done.stderr) == (0, "")
    found, expected = (
        voltages(json.loads(done.stdout)),
        voltages(json.loads((SCRIPTS / f"{name}.expected.json").read_text())),
    )
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (path, ours), (_, theirs) in zip(found, expected, strict=True):
        if "v" in path:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(map(abs, theirs)))
        else:
            assert ours == theirs


def test_a_script_is_run_as_python_does(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("HERE = 5\n")
    script = tmp_path / "main.py"
    script.write_text("""
import sys, subprocess
import beside, spinnaker2.helpers, spinn2host.spinnaker2.snn
import spinnaker2
from spinnaker2 import snn
from spinnaker2.neuron_models import lif_neuron
assert snn is spinn2host.spinnaker2.snn is spinnaker2.snn and spinnaker2.helpers
assert spinnaker2.neuron_models.lif_neuron is lif_neuron
if __name__ == "__main__":
    print(sys.argv[1:], beside.HERE, input())
    print("that was ours", file=sys.stderr)
    code = "from spinnaker2 import snn; print(snn.Population.__module__)"
    sys.exit(7 if subprocess.run([sys.executable, "-c", code]).returncode == 0 else 1)
""")
    done = run_script(script, "--json", "-n", "3", input="a line\n")
    assert (done.returncode, done.stderr) == (7, "that was ours\n")
    assert done.stdout == "['--json', '-n', '3'] 5 a line\nspinn2host.spinnaker2.snn\n"
    with pytest.raises(ModuleNotFoundError):
        import spinnaker2  # noqa: F401


def test_another_spinnaker2_is_not_used_wherever_it_lies(tmp_path: Path) -> None:
    for place in ("beside", "inserted", "on the path"):
        package = tmp_path / place / "spinnaker2"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('that of the path')\n")
    (tmp_path / "on the path" / "sitecustomize.py").write_text("print('a site of its own')\n")
    script = tmp_path / "beside" / "main.py"
    script.write_text("import sys\nsys.path.insert(0, sys.argv[1])\n" + RUN)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "on the path")}
    done = run_script(script, str(tmp_path / "inserted"), env=environment)
    assert done.stdout == "a site of its own\n" * 2 + SPIKES  # of the command, and of the script
    package = tmp_path / "inserted" / "spinnaker2"
    assert done.stderr == f"spinn2emu: this is the emulator's spinnaker2, not that of {package}\n"


def test_a_script_may_have_processes_and_threads_and_end_as_it_likes(tmp_path: Path) -> None:
    script = tmp_path / "-many.py"
    script.write_text(
        NETWORK
        + """
import os, signal, threading
from multiprocessing import get_context
from concurrent.futures import ThreadPoolExecutor

def work(ticks):
    hardware.SpiNNaker2Chip().run(network, ticks)
    return neurons.get_spikes()[0]

if __name__ == "__main__":
    print(work(10))
    for way in ("fork", "spawn"):
        with get_context(way).Pool(1) as pool:
            print(pool.map(work, [3, 10]))
    with ThreadPoolExecutor(2) as threads:
        print(list(threads.map(work, [10, 10])))
    thread = threading.Thread(target=work, args=(-1,))
    thread.start()
    thread.join()
    print("done", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    done = run_script("-many.py", options=["--"], cwd=tmp_path)
    assert done.stdout == "[2, 5]\n[[2], [2, 5]]\n[[2], [2, 5]]\n[[2, 5], [2, 5]]\ndone\n", done.stderr
    assert done.returncode == -signal.SIGKILL
    assert "ConfigError: timesteps is a whole number from 0 on, not -1\n" in done.stderr
    assert "in work" in done.stderr and "spinn2host" not in done.stderr and "Traceback" not in done.stderr
    # that no chip is left, the fixture of all tests says at their end


def test_errors_show_the_scripts_lines_and_end_it_with_their_code(tmp_path: Path) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        'from spinnaker2 import snn\n\n\ndef make():\n    return snn.Population(3, "alif", {})\n\n\nmake()\n'
    )
    done = run_script(script)
    assert done.returncode == 2 and done.stdout == ""
    assert f'File "{script}", line 8' in done.stderr and "in make" in done.stderr
    assert "ConfigError: neuron model 'alif' is refused" in done.stderr
    assert "spinn2host" not in done.stderr and "Traceback" not in done.stderr
    script.write_text("from spinnaker2 import snn\n1 / 0\n")
    done = run_script(script)
    assert done.returncode == 1 and done.stderr.startswith("Traceback") and "ZeroDivisionError" in done.stderr
    script.write_text(
        "import signal\n" + NETWORK + "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "stimulus.record = neurons.record = []\nsignal.setitimer(signal.ITIMER_REAL, 3)\n"
        "hardware.SpiNNaker2Chip().run(network, 1 << 31)\n"
    )
    done = run_script(script)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n") and "run(network, 1 << 31)" in done.stderr
    assert "spinn2host" not in done.stderr and "zmq" not in done.stderr
    script.write_text(RUN)
    assert run_script(script, chip="nobody").returncode == 3
    assert run_script(tmp_path / "absent.py").returncode == 2
    done = run_script(script, chip="nobody", options=["--loop", "python"])
    assert done.returncode == 2 and "--loop is for a chip of the script's own: chip nobody was" in done.stderr


def test_weights_with_fractions_are_rounded_or_refused(tmp_path: Path) -> None:
    script = tmp_path / "rounding.py"
    script.write_text(RUN.replace("6, 0]", "5.6, 0]"))
    done = run_script(script)
    assert done.returncode == 0 and done.stdout == SPIKES
    assert done.stderr.count("\n") == 1 and "1 of 2 weights" in done.stderr and "0.4" in done.stderr
    done = run_script(script, options=["--strict-weights"])
    assert done.returncode == 2 and "--strict-weights refuses" in done.stderr


def test_a_resident_chip_keeps_the_network(tmp_path: Path, desk: str) -> None:
    script = tmp_path / "resident.py"
    script.write_text(RUN.replace("SpiNNaker2Chip()", 'SpiNNaker2Chip(eth_ip="emu://desk")'))
    assert run_script(script).stdout == SPIKES
    with Chip.attach(desk) as chip:
        assert chip.info()["tick"] == 10
        rows = [(row["program"], row["population"]) for row in chip.ps() if row["program"]]
        assert rows == [("spinn2fw.snn.spikes", "stimulus"), ("spinn2fw.snn.neurons", "neurons")]
        script.write_text(RUN)
        chip.deploy([], [])
        assert run_script(script, chip="desk").stdout == SPIKES
        assert chip.info()["tick"] == 10


def test_every_run_has_a_trace_of_its_own(tmp_path: Path, desk: str) -> None:
    script = tmp_path / "twice.py"
    script.write_text(RUN + "hardware.SpiNNaker2Chip().run(network, 3)\n")
    done = run_script(script, options=["--trace", str(tmp_path / "packets.pcapng")], chip="desk")
    assert done.returncode == 0 and done.stdout == SPIKES
    files = [tmp_path / "packets.pcapng", tmp_path / "packets-2.pcapng"]
    assert sorted(tmp_path.glob("*.pcapng")) == sorted(files)
    assert [str(file) in done.stderr for file in files] == [True, True]
    for file, sent in zip(files, (6, 3), strict=True):
        assert np.count_nonzero(read_trace(file).events["event"] == Event.SENT) == sent
    packets = columns(select(read_trace(files[0]), "event == sent"))
    found = sorted(zip(*(packets[name].tolist() for name in ("population", "neuron", "tick")), strict=True))
    assert found == [("neurons", 0, 2), ("neurons", 0, 5), ("neurons", 2, 4),
                     ("stimulus", 0, 1), ("stimulus", 0, 4), ("stimulus", 1, 2)]  # fmt: skip


def test_a_bar_is_shown_on_terminals_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []

    class Bar:
        def update(self, task: object, description: str, completed: int) -> None:
            shown.append(completed)

        def stop(self) -> None:
            shown.append(-1)

    monkeypatch.setattr("spinn2host.progress_bar._show", lambda ticks: (Bar(), None))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bar(100) as progress:
        progress(5)
    assert shown == []
    monkeypatch.setattr("spinn2host.progress_bar.PATIENCE_S", -1.0)
    with progress_bar(100) as progress:
        progress(5)
        progress(30)
    assert shown == [0, 25, -1]
