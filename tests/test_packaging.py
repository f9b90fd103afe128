"""The list of packages is complete, and the built wheel works without the source tree."""

import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = {"spinn2emu": "spinn2emu", "spinn2fw": "firmware/spinn2fw", "spinn2host": "host/spinn2host"}


def test_the_list_of_packages_matches_the_disk() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = set()
    for package, folder in ROOTS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *parts)))
    assert listed == found
    mapping = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines())
    assert mapping == ROOTS


@pytest.fixture(scope="module")
def wheel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel installed; third-party packages come from here, the project does not."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    for name in ("spinn2emu", "firmware", "host"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base), str(source)]
    subprocess.run(command, check=True)
    venv.create(base / "venv", with_pip=False)
    python = base / "venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    wheel = next(base.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", where, str(wheel)], check=True)
    # A line of a .pth file extends the path, but does not run the .pth files there: the editable install stays unseen.
    (Path(where) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def call(python: Path, *arguments: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd=cwd, env=env, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_what_runs(wheel_python: Path, tmp_path: Path) -> None:
    code = "import spinn2emu, spinn2fw, spinn2host; print(spinn2emu.__file__, spinn2fw.__file__, spinn2host.__file__)"
    files = call(wheel_python, "-c", code, cwd=tmp_path).split()
    assert all(file.startswith(str(wheel_python.parent.parent)) for file in files)


def test_the_wheel_trains_and_verifies(wheel_python: Path, tmp_path: Path) -> None:
    command = ["-m", "spinn2host.cli.main", "train", "yinyang", "--preset", "online", "--samples", "20", "--json"]
    runs = [json.loads(call(wheel_python, *command, "--on", on, cwd=tmp_path)) for on in ("chip", "offchip")]
    assert runs[0]["weights_sha256"] == runs[1]["weights_sha256"]
    vectors = [str(ROOT / "tests/vectors" / name) for name in ("tiny_0.npz", "yinyang_samples.npz")]
    report = json.loads(call(wheel_python, "-m", "spinn2host.cli.main", "verify", *vectors, "--json", cwd=tmp_path))
    assert report["ok"]
    assert len(report["results"]) == 3
