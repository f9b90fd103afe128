"""The examples of README and docs run as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from spinn2host.cli.main import run

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


WITH_PYTHON = [document for document in DOCUMENTS if blocks(document, "python")]
COMMANDS = [line for document in DOCUMENTS for block in blocks(document, "bash") for line in block.splitlines()]


def test_there_are_examples() -> None:
    assert len(WITH_PYTHON) >= 2
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("document", WITH_PYTHON, ids=lambda document: document.name)
def test_python_examples_run_in_order(document: Path) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(document, "python"):
        exec(compile(block, str(document), "exec"), namespace)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_succeed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(command)
    assert program == "spinn2emu"
    expanded = [str(path) for a in arguments for path in (sorted(ROOT.glob(a)) if "*" in a else [ROOT / a])]
    files = {a for a in arguments if a.startswith("tests/")}
    literal = [a for a in arguments if a not in files]
    monkeypatch.chdir(tmp_path)
    assert run([*literal, *(path for path in expanded if "/tests/vectors/" in path)]) == 0


def test_links_between_documents_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_toml_examples_are_recipes(tmp_path: Path) -> None:
    from spinn2host.recipe import make_recipe

    found = [block for document in DOCUMENTS for block in blocks(document, "toml")]
    assert found
    for block in found:
        (tmp_path / "recipe.toml").write_text(block)
        make_recipe("full", tmp_path / "recipe.toml")
