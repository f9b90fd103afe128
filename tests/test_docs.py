"""The examples of README and docs run as they stand."""

import contextlib
import glob
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from spinn2host.cli.main import cli, run
from spinn2host.spinnaker2 import hardware

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


WITH_PYTHON = [document for document in DOCUMENTS if blocks(document, "python")]
WITH_COMMANDS = [document for document in DOCUMENTS if blocks(document, "bash")]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With the repository's docs and tests, a place for chips, where none is left, and the command."""
    for name in ("docs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    yield
    hardware.halt()
    assert run(["discover"]) == 0 and list(runtime.glob("*/chip-*")) == []


def test_there_are_examples() -> None:
    assert len(WITH_PYTHON) >= 2
    assert len(WITH_COMMANDS) >= 2


@pytest.mark.parametrize("document", WITH_PYTHON, ids=lambda document: document.name)
def test_python_examples_run_in_order(document: Path) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(document, "python"):
        exec(compile(block, str(document), "exec"), namespace)


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda document: document.name)
def test_commands_succeed_in_order(document: Path) -> None:
    for block in blocks(document, "bash"):
        for line in block.splitlines():
            (program, *arguments), *files = (shlex.split(part) for part in line.split(" > "))
            assert program == "spinn2emu"
            expanded = [path for a in arguments for path in (sorted(glob.glob(a)) if "*" in a else [a])]
            in_another = arguments[0] == "script" or arguments[:1] + arguments[2:3] == ["--chip", "script"]
            with contextlib.ExitStack() as stack:
                for (file,) in files:
                    stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(file, "w"))))
                assert (subprocess.run([program, *expanded]).returncode if in_another else run(expanded)) == 0, line


def options(command: click.Command) -> set[str]:
    """Of a command, and of those in it."""
    context = click.Context(command)
    names = command.list_commands(context) if isinstance(command, click.Group) else []
    inner = [found for name in names if (found := command.get_command(context, name))]  # type: ignore[attr-defined]
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*map(options, inner))


OTHER_OPTIONS = {"--help", "--quick", "--trace-"}
"""Of every command, of scripts/bench, and how some begin."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_options_exist(document: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", document.read_text(encoding="utf-8")))
    assert named - options(cli) - OTHER_OPTIONS == set()


def test_links_between_documents_exist() -> None:
    for document in DOCUMENTS:
        for target, place in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", document.read_text()):
            if not target.startswith("http"):
                file = document.parent / target if target else document
                assert file.exists(), f"{document.name} links to {target}"
                assert not place or place in anchors(file), f"{document.name} links to {target}#{place}"


def anchors(document: Path) -> set[str]:
    """What links may name in a document: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_toml_examples_are_recipes_or_networks(tmp_path: Path) -> None:
    from spinn2host.network import read_network
    from spinn2host.recipe import make_recipe

    found = [block for document in DOCUMENTS for block in blocks(document, "toml")]
    assert len(found) >= 2
    for block in found:
        (tmp_path / "example.toml").write_text(block)
        if "[population." in block:
            assert read_network(tmp_path / "example.toml").entries
        else:
            make_recipe("full", tmp_path / "example.toml")


def test_no_document_says_a_thing_twice() -> None:
    """Residues of merges: headings, paragraphs and rows of tables that stand twice in a document."""
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        pieces = re.findall(r"^#+ .*$", text, re.MULTILINE)
        pieces += [piece for piece in re.split(r"\n(?:\n|(?=\|))", text) if len(piece) > 60]
        twice = {piece.strip() for piece in pieces if pieces.count(piece) > 1}
        assert not twice - {"| what | median | min – max (rounds) | at most | times the floor | share of the peer |"}, (
            document
        )
