"""What the system refuses, and terminals and locales that are not ours: one sentence, never a traceback."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_helpers import small

from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2emu.refused import explain
from spinn2host.chip import Chip
from spinn2host.cli import main as entry
from spinn2host.cli.main import run
from spinn2host.connection import DESCRIPTORS, check_descriptors
from spinn2host.files import read_toml
from spinn2host.network import read_network
from spinn2host.recipe import make_recipe
from spinn2host.rundir import RunDirectory
from spinn2host.training import Epoch

COMMAND = [sys.executable, "-c", "from spinn2host.cli.main import main; main()"]
TINY = ["train", "yinyang", "--layers", "5,8,3", "--batch", "4", "--samples", "21", "--epochs", "1", "--on", "offchip"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale in which Python reads and writes ASCII."""
Capture = pytest.CaptureFixture[str]


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | options.pop("environment", {})
    return subprocess.run([*COMMAND, *arguments], capture_output=True, env=environment, check=False, **options)


# --- locales ---------------------------------------------------------------------------------------------------------


def test_files_are_utf8_in_any_locale(tmp_path: Path) -> None:
    (tmp_path / "größe.toml").write_text("epochs = 1  # größe\nsamples = 30\nbatch = 1\n", encoding="utf-8")
    (tmp_path / "net.toml").write_text("[population.größe]\npes = 149\n", encoding="utf-8")
    (tmp_path / "chip.toml").write_text('name = "größe"\n', encoding="utf-8")
    done = command(*TINY, "--recipe", "größe.toml", "--out", "läuft", cwd=tmp_path, environment=ASCII)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert b"test accuracy" in done.stdout and (tmp_path / "läuft" / "summary.json").exists()
    for arguments in (["boot", "chip.toml"], ["new-program", "grö-ße"]):
        done = command(*arguments, cwd=tmp_path, environment=ASCII)
        assert (done.returncode, b"ConfigError" in done.stderr) == (2, True), done.stderr
    done = command("new-program", "blink", cwd=tmp_path, environment=ASCII)
    assert done.returncode == 0, done.stderr
    (tmp_path / "blink.py").read_text(encoding="utf-8")


@pytest.mark.usefixtures("runtime")
def test_chips_and_programs_live_in_folders_with_any_name(tmp_path: Path, runtime: Path) -> None:
    folder, place = tmp_path / "größe", runtime / "läuft"
    folder.mkdir()
    place.mkdir()
    for environment in (ASCII, {}):
        surroundings = {"cwd": folder, "environment": {**environment, "XDG_RUNTIME_DIR": str(place)}}
        for arguments in (
            ["new-program", "blink"], ["boot", "--pes", "1"], ["load", str(folder / "blink.py"), "7.5.0"],
            ["run", "--ticks", "5"], ["ps"], ["halt"],
        ):  # fmt: skip
            done = command(*arguments, **surroundings)
            assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        (folder / "blink.py").unlink()


@pytest.mark.parametrize("read", [read_toml, read_network, lambda path: make_recipe("full", path)])
def test_what_is_not_utf8_is_said(tmp_path: Path, read: Any) -> None:
    (tmp_path / "x.toml").write_bytes("epochs = 1 # größe".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"x\.toml: TOML is UTF-8, byte 15 is not"):
        read(tmp_path / "x.toml")


# --- what the system refuses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device; free some space"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; .*ulimit -n"),
        (OSError("odd"), "odd"),
        (MemoryError(), "the memory is used up"),
    ],
)
def test_what_nobody_expected_is_one_sentence(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(entry.cli, "main", fail)
    assert run(["info"]) == 1
    captured = capsys.readouterr().err
    assert "Traceback" not in captured
    assert re.search(message, " ".join(captured.split())), captured


def test_a_reader_that_has_seen_enough_ends_a_command_quietly() -> None:
    script = f"{sys.executable} -c 'from spinn2host.cli.main import main; main()' info --json | true"
    done = subprocess.run(["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False)
    assert done.returncode in (0, 1) and done.stderr == b""  # 0: it was faster than `true`


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_stdout_is_said() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "info"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1 and "No space left on device" in done.stderr.decode()


def test_a_run_directory_that_cannot_be_written_any_more_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(layers=(5, 8, 3))
    weights = recipe.initial_weights(1)
    run_directory = RunDirectory(tmp_path / "run", {}, weights)
    epoch = Epoch(1, 0.5, 0.5, 0.5, 1.0)
    run_directory.add_epoch(epoch, weights)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(Spinn2Error, match=r"final\.npz: No space left on device; free some space") as caught:
        run_directory.add_epoch(epoch, weights)
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.json", "final.npz", "initial.npz", "metrics.jsonl",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"initial\.npz: No space left.*choose another --out"):
        RunDirectory(tmp_path / "other", {}, weights)
    assert not (tmp_path / "other").exists()


def test_results_that_are_too_large_for_the_limit_end_a_training_with_a_sentence(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    command(*TINY, "--out", "warm", cwd=tmp_path)  # kernels are compiled, and kept, without the limit
    done = command(*TINY, "--layers", "5,100,3", "--out", "run", cwd=tmp_path, preexec_fn=limit)
    text = " ".join(done.stderr.decode().split())
    assert done.returncode == 2 and "Traceback" not in text
    assert "initial.npz: File too large" in text and "choose another --out" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc/self")
    for arguments, words in ((TINY, "choose another --out"), (["new-program", "blink"], "blink.py: ")):
        assert run(arguments) == 2
        text = " ".join(capsys.readouterr().err.split())
        assert text.startswith("ConfigError") and words in text


def test_without_file_descriptors_a_connection_says_how_many_it_needs() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)  # the lowest number that is free
    os.close(free)
    check_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 5, hard))
    try:
        with pytest.raises(Spinn2Error, match=rf"needs {DESCRIPTORS} file descriptors, \d are left of {free + 5}"):
            Chip.boot()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_refusals_have_remedies() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert explain(errno.EMFILE).endswith(f"raise the limit, see `ulimit -n`, it is {limit}")
    assert explain(OSError(errno.EROFS, "Read-only file system", "/x")) == (
        "/x: Read-only file system; choose a place that can be written"
    )
