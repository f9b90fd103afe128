"""Programs and requests that are wrong are refused with a typed error, and the chip goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spinn2emu.errors import PeFailed, ProgramError, ProtocolError, Spinn2Error
from spinn2host.chip import Chip, PeProgram

HEAD = """
import numpy as np
from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import send, set_phase
"""


def write(folder: Path, body: str, name: str = "made") -> str:
    path = folder / f"{name}.py"
    path.write_text(HEAD + body)
    return str(path)


def simple(line: str = "pass", regions: str = '[Region("x", np.int64, (4,))]', more: str = "") -> str:
    return f"""
def tick(pe, ram, rx, t):
    {line}
    return 0

program = Program(tick=tick, regions=lambda p, available: {regions}, outputs=("out",), {more})
"""


@pytest.fixture
def survivor(chip: Chip, tmp_path: Path) -> Iterator[Chip]:
    """A chip whose program must not notice what is refused."""
    chip.deploy([PeProgram(5, write(tmp_path, simple("ram.x[0] += 1"), "counter"))], [])
    chip.run(2)
    yield chip
    chip.run(3)
    assert chip.read(5, "x")[0] == 5


@pytest.mark.parametrize(
    "body",
    [
        simple(regions="[Region('x', np.int64, (2, 2, 2, 2))]"),
        simple(regions="[Region('x', np.int64, ())]"),
        simple(regions="[Region('x', np.int64, (-1,))]"),
        simple(regions="[Region('my x', np.int64, (1,))]"),
        simple(regions="[Region('x', 'zzz', (1,))]"),
        simple(regions="[Region('x', np.int64, (2,), '', np.zeros(3))]"),
        simple(regions="[Region(f'x{i}', np.uint8, (1,)) for i in range(130)]"),
        simple(regions="undefined_name"),
        simple(more="fifo=Fifo(-100)"),
        simple(more="fifo=Fifo(5, policy='lossy')"),
        simple(more="phases=lambda p: [Phase('a', -3)]"),
        simple(more="phases=lambda p: [Phase('a', 1, ('zz',))]"),
        simple("return"),
    ],
)
def test_a_wrong_declaration_is_refused_before_anything_stops(survivor: Chip, tmp_path: Path, body: str) -> None:
    with pytest.raises(Spinn2Error) as caught:
        survivor.deploy([PeProgram(9, write(tmp_path, body))], [])
    assert caught.value.exit_code == 2
    assert "made.py" in str(caught.value)


@pytest.mark.parametrize(
    ("op", "content"),
    [
        ("wait", {"timeout": "x"}),
        ("wait", {"timeout": None}),
        ("run", {"ticks": float("inf")}),
        ("run", {"ticks": 2**63}),
        ("read", {"ranges": [[5.0, 0, 4]]}),
        ("read", {"ranges": 5}),
        ("load", {"pes": [{"pe": 5, "program": 5, "parameters": {}}], "entries": []}),
        ("load", {"pes": [], "entries": [[1]]}),
        ("dance", {}),
    ],
)
def test_a_malformed_request_is_answered_with_an_error(survivor: Chip, op: str, content: dict[str, object]) -> None:
    with pytest.raises(Spinn2Error):
        survivor.request(op, **content)


def test_an_unknown_operation_is_a_protocol_error(survivor: Chip) -> None:
    with pytest.raises(ProtocolError, match="dance"):
        survivor.request("dance")


@pytest.mark.parametrize("line", ["set_phase(pe, t + 5000000)", "set_phase(pe, t + 1)", "set_phase(pe, t - 7)"])
def test_a_phase_that_is_not_declared_fails_the_pe(chip: Chip, tmp_path: Path, line: str) -> None:
    chip.deploy([PeProgram(9, write(tmp_path, simple(line)))], [])
    with pytest.raises(PeFailed, match="tick 0 with code -4"):
        chip.run(3)


@pytest.mark.parametrize("index", ["2**32 + 3", "-1", "16"])
def test_a_key_outside_the_port_fails_the_pe(chip: Chip, tmp_path: Path, index: str) -> None:
    program = PeProgram(9, write(tmp_path, simple(f"send(pe, 0, {index})")), outputs={"out": (0x100, 0xFFFFFFF0)})
    chip.deploy([program], [])
    with pytest.raises(PeFailed, match="code -2"):
        chip.run(3)


def test_a_source_does_not_run_far_ahead(chip: Chip, tmp_path: Path) -> None:
    """A PE that listens to nobody waits for the others at the end of each window; nothing overflows."""
    source = write(tmp_path, simple("send(pe, 0, 0)"), "source")
    relay = write(
        tmp_path,
        """
def tick(pe, ram, rx, t):
    ram.x[0] += rx.shape[0]
    return 0

program = Program(tick=tick, regions=lambda p, a: [Region("x", np.int64, (1,))], inputs=("in",))
""",
        "relay",
    )
    MASK = 0xFFFFFFF0
    pes = [PeProgram(5, source, outputs={"out": (0x100, MASK)}), PeProgram(9, relay, inputs={"in": (0x100, MASK)})]
    chip.deploy(pes, [(0x100, MASK, [9])])
    chip.run(100_000)
    assert chip.read(9, "x")[0] == 99_999


@pytest.mark.parametrize(
    "template",
    [
        "K = {k}\n" + simple("ram.x[0] = K"),
        "TABLE = np.array([{k}, 2])\n" + simple("ram.x[0] = TABLE[0]"),
        """
def make(k):
    def tick(pe, ram, rx, t):
        ram.x[0] = k
        return 0
    return tick

program = Program(tick=make({k}), regions=lambda p, a: [Region("x", np.int64, (1,))])
""",
    ],
    ids=["constant", "array", "closure"],
)
def test_an_edited_program_is_compiled_anew(chip: Chip, tmp_path: Path, template: str) -> None:
    seen = []
    for k in (3, 5, 8):
        chip.deploy([PeProgram(9, write(tmp_path, template.replace("{k}", str(k))))], [])
        chip.run(1)
        seen.append(int(chip.read(9, "x")[0]))
    assert seen == [3, 5, 8]


def test_the_program_error_has_fields(chip: Chip, tmp_path: Path) -> None:
    with pytest.raises(ProgramError) as caught:
        chip.deploy([PeProgram(9, write(tmp_path, simple("ram.x[0] = no_such_name")))], [])
    assert caught.value.pe == 9
    assert "no_such_name" in str(caught.value)
