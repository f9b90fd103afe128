"""Help texts are compared with kept ones, so that nobody changes one unseen: a line that went wrong is a failure here.

After a change that was meant: `SPINN2EMU_KEEP_HELP=1 pytest tests/test_help.py`, and read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from spinn2host.cli.main import cli, run

KEPT = Path(__file__).parent / "help"
ROOT = Path(__file__).parent.parent


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = list(commands(cli))


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "spinn2emu")
def test_help_is_as_it_was_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    kept = KEPT / f"{'-'.join(('spinn2emu', *path))}.txt"
    if os.environ.get("SPINN2EMU_KEEP_HELP"):
        kept.write_text(text, encoding="utf-8")
    assert kept.exists(), f"no help is kept for {' '.join(path)}: see the top of this file"
    words, kept_words = text.split(), kept.read_text(encoding="utf-8").split()  # versions of click wrap differently
    assert words == kept_words, "the help has changed: see the top of this file"


def test_no_help_is_kept_of_a_command_that_is_gone() -> None:
    assert len(ALL) > 25
    assert {path.stem for path in KEPT.glob("*.txt")} == {"-".join(("spinn2emu", *path)) for path in ALL}


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "spinn2emu")
def test_help_has_the_form_of_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    assert run([*path, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Usage: ")
    assert re.fullmatch(r"  [A-Z].*[.:]", lines[2]) or lines[3].strip(), lines[2]
    for line in lines:
        assert len(line) <= 118
        assert "XX" not in line and "TODO" not in line
        if line.strip() in ("Example:", "Examples:"):
            assert line.startswith("  E")  # not lost in a paragraph
    leaf = path and path[-1] not in ("train", "router", "trace", "plot")
    assert not leaf or any("  spinn2emu " in line or "  tshark " in line for line in lines), "no example"


def test_every_environment_variable_is_on_its_page() -> None:
    files = [*ROOT.glob("spinn2emu/**/*.py"), *ROOT.glob("host/**/*.py"), *ROOT.glob("firmware/**/*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r"environ(?:\.get\(|\[| \| \{)\"([A-Z0-9_]+)\"", text)) | set(
        re.findall(r"envvar=\"([A-Z0-9_]+)\"", text)
    )
    assert {"SPINN2EMU_CHIP", "SPINN2EMU_CACHE", "XDG_RUNTIME_DIR"} <= used
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    assert used <= set(re.findall(r"`([A-Z0-9_]+)`", page))
