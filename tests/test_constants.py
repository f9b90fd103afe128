"""What is certainly wrong in a kernel is found before it is compiled; what may be right is left alone."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spinn2emu.chip.declare import declare
from spinn2emu.errors import ProgramError
from spinn2emu.pe.check import check_kernels
from spinn2emu.pe.constants import check_constants
from spinn2emu.program import load_program
from spinn2emu.registers import own_symbols

TEXT = """
import enum
import numpy as np
from spinn2emu.program import Phase, Program, Region
from spinn2emu.sdk import *
import sizes
from time import time as clock

K, N, NEGATIVE, REAL, WHERE = 9, 2 * 4, -9, 2.5, (1, 9)
TABLE = np.arange(3)

class Place(enum.IntEnum):
    NEAR = 1
    FAR = 9

STATE = np.dtype([("n", "i4"), ("list", "f4", (3,)), ("x", "f4")])

@kernel
def store(where, i):
    where[i] = 1

@kernel
def careful(ram, i):
    if i >= ram.n[0]:
        return 0
    ram.x[i] = 1
    return 0

@kernel
def last(where):
    return where.shape[0]

@kernel
def nine():
    return 9

@kernel
def inner(ram, k=9):
    store(ram.x, k)

def regions(p, available):
    return [Region("x", np.int64, (8,)), Region("y", np.float32, (2, 3)), Region("n", np.int64, (1,)),
            Region("state", STATE, (1,)), Region("on", np.uint8, (10,))]

def tick(pe, ram, rx, t):
    BODY
    return 0

program = Program(tick=tick, regions=regions, inputs=("in",), outputs=("out", "more"),
                  phases=lambda p: [Phase("a", 2, ("in",), ("out", "more")), Phase("b", 2, ("in",))],
                  logs={1: "{} of {}"}, errors={5: "five"})
"""
SIZES = """
from spinn2emu.sdk import kernel
TOO_FAR, LAST = 8, 7

@kernel
def put(where, i):
    where[i] = 1
"""


def check(name: str, parameters: dict[str, Any] | None = None) -> None:
    """As at load, without compiling."""
    program = load_program(name)
    declaration = declare(program, parameters or {})
    function: Any = getattr(program.tick, "py_func", program.tick)
    check_kernels(program, function)
    phases = [phase.name for phase in declaration.phases]
    check_constants(replace(program, outputs=declaration.outputs), function, own_symbols(declaration.memory), phases)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sizes.py").write_text(SIZES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "sizes", raising=False)
    return tmp_path / "made.py"


def body(*lines: str) -> str:
    return TEXT.replace("    BODY", "\n".join(f"    {line}" for line in lines))


WRONG = {
    "a literal": ("ram.x[8] = 1", "index 8 exceeds region x, whose axis 0 has 8 elements"),
    "a negative one": ("ram.x[-9] += 1", "index -9 exceeds region x"),
    "a second axis": ("ram.y[1, 3] = 1", "index 3 exceeds region y, whose axis 1 has 3 elements"),
    "one axis after the other": ("ram.y[0][3] = 1", "index 3 exceeds region y"),
    "an expression": ("ram.x[2 * 8] = 1", "index 16 exceeds region x"),
    "a module's constant": ("ram.x[K] = 1", "index 9"),
    "a negative constant": ("ram.x[NEGATIVE] = 1", "index -9"),
    "a constant expression": ("ram.x[N + 0] = 1", "index 8"),
    "a constant's part": ("ram.x[WHERE[1]] = 1", "index 9"),
    "another module's constant": ("ram.x[sizes.TOO_FAR] = 1", "index 8"),
    "an enum": ("ram.x[Place.FAR] = 1", "index 9"),
    "another module's helper": ("sizes.put(ram.x, 10)", "index 10 exceeds region x"),
    "a loop over a tuple": ("for i in (1, 9):\n    ram.x[i] = 1", "index 9"),
    "a loop over a module's tuple": ("for i in WHERE:\n    ram.x[i] = 1", "index 9"),
    "a variable": ("i = 3\ni = i * 3\nram.x[i] = 1", "index 9"),
    "two variables": ("i, j = 3, 9\nram.x[j] = i", "index 9"),
    "a cast": ("ram.x[np.int64(9)] = 1", "index 9"),
    "a minimum": ("ram.x[min(12, 10)] = 1", "index 10"),
    "a parameter": ("store(ram.x, 9)", "index 9"),
    "a parameter of a parameter": ("inner(ram)", "index 9"),
    "a keyword": ("inner(ram, k=11)", "index 11"),
    "a result": ("ram.x[nine()] = 1", "index 9"),
    "a length": ("ram.x[last(ram.x)] = 1", "index 8"),
    "len": ("ram.x[len(ram.x)] = 1", "index 8"),
    "shape": ("ram.x[ram.x.shape[0]] = 1", "index 8"),
    "an alias": ("x = ram.x\nx[9] = 1", "index 9 exceeds region x"),
    "an alias of a row": ("row = ram.y[1]\nrow[3] = 1", "index 3 exceeds region y"),
    "a slice": ("x = ram.x[2:6]\nx[4] = 1", "index 4 exceeds region x"),
    "a record's field": ("ram.state[0].list[3] = 1", "index 3 exceeds field list of region state"),
    "a record's alias": ("s = ram.state[0]\ns.list[-4] = 1", "index -4 exceeds field list of region state"),
    "a record": ("ram.state[1].n = 1", "index 1 exceeds region state"),
    "a record's field in a slice": ("ram.x[ram.state[0].list[5]] = 1", "index 5"),
    "a payload": ("for packet in rx:\n    ram.x[0] += packet.payload[4]", "index 4 exceeds field payload of rx"),
    "a module's array": ("ram.x[0] = TABLE[3]", "index 3 exceeds array TABLE"),
    "a loop": ("for i in range(10):\n    ram.x[i] = 1", "index 8 exceeds region x"),
    "a loop's lower end": ("for i in range(-9, 0):\n    ram.x[i] = 1", "index -9"),
    "a loop backwards": ("for i in range(8, -1, -1):\n    ram.x[i] = 1", "index 8"),
    "a loop over a length": ("for i in range(len(ram.x)):\n    ram.x[i + 1] = 1", "index 8"),
    "a loop over a constant": ("for i in range(K):\n    ram.x[i] = 1", "index 8"),
    "a counter": ("i = 0\nwhile i < 10:\n    ram.x[i] = 1\n    i += 1", "index 8"),
    "a counter in a loop": ("i = 0\nfor k in range(10):\n    ram.x[i] = k\n    i += 2", "index 8"),
    "a counter after a loop": ("i = 0\nfor k in range(9):\n    i += 1\nram.x[i] = 1", "index 9"),
    "a long loop": ("for i in range(100000):\n    ram.x[i] = 1", "index 99999"),
    "a loop in a loop": ("for i in range(2):\n    for j in range(4):\n        ram.y[i, j] = 1", "index 3"),
    "a loop under another condition": ("if t > 3:\n    for i in range(10):\n        ram.x[i] = 1", "index 8"),
    "a condition in a loop": ("for i in range(10):\n    if t > 3:\n        ram.x[i] = 1", "index 8"),
    "a loop over regions": ("for part in (ram.x, ram.n):\n    part[7] = 1", "index 7 exceeds region n"),
    "under a condition": ("if t == 5:\n    ram.x[8] = 1", "index 8"),
    "in a condition": ("if t == 5 and ram.x[8] > 0:\n    ram.x[0] = 1", "index 8"),
    "in an expression": ("ram.x[0] = 1 if t else ram.x[8]", "index 8"),
    "in an argument": ("send(pe, 0, ram.x[8])", "index 8"),
    "an assigned expression": ("ram.x[(k := 9)] = 1", "index 9"),
    "a fraction": ("ram.x[REAL] = 1", "an index of region x is an integer, not 2.5"),
    "a quotient": ("ram.x[N / 2] = 1", "an index of region x is an integer, not 4.0"),
    "too many": ("ram.x[0, 1] = 1", "2 indices are too many for region x, of shape (8)"),
    "an unknown region": ("ram.nothing[0] = 1", "there is no region 'nothing' among those of the program: x, y, n, st"),
    "an unknown field": ("ram.state[0].m = 1", "region state has no field 'm': it has n, list, x"),
    "a packet's field": ("for packet in rx:\n    ram.x[0] = packet.index", "rx has no field 'index': it has control"),
    "regions by index": ("ram[5][0] = 1", "regions have names, not indices: ram.x, ram.y"),
    "a region by index": ("ram[0][8] = 1", "index 8 exceeds region x"),
    "regions by variable": ("ram[t][0] = 1", "regions have names, not indices"),
    "a port": ("send(pe, 2, 0)", "there is no output port 2 among those that the program declares: 0 (out), 1 (more)"),
    "a port's constant": ("send_word(pe, K, 0, 0)", "there is no output port 9"),
    "a port's name": ("send_float(pe, 'out', 0, 0.5)", "there is no output port 'out'"),
    "a negative port": ("send_array(pe, -1, 0, ram.y[0])", "there is no output port -1"),
    "a phase": ("set_phase(pe, 2)", "there is no phase 2 among those that the program declares: 0 (a), 1 (b)"),
    "a phase under a condition": ("if t == 3:\n    set_phase(pe, K)", "there is no phase 9"),
    "too many values": ("log(pe, 2, 1, 2, 3, 4, 5)", "a log entry has 4 values at most, not 5"),
    "too few values": ("log(pe, 1, t)", "the text of log code 1 has places for 2 values, 1 are given"),
    "a code that is none": ("log(pe, 'x', t)", "a log entry's code is an integer, not 'x'"),
    "a fraction returned": ("if t > 5:\n    return 0.5", "tick must return an integer in every case"),
    "a truth returned": ("if t > 5:\n    return True", "it returns True"),
    "nothing returned": ("if t > 5:\n    return", "it returns None"),
    "a text returned": ("return 'bad'", "it returns 'bad'"),
    "a comparison returned": ("return t > 5", "it returns a bool"),
    "a float returned": ("return ram.y[0, 0]", "it returns a float"),
    "a float computed": ("return t / 2", "it returns a float"),
    "a negative code": ("if t > 5:\n    return -1", "error codes are 0 (all is well) to 2147483647; it returns -1"),
    "a negative constant returned": ("return NEGATIVE", "it returns -9"),
    "a huge code": ("return 2**31", "it returns 2147483648"),
    "a tuple returned": ("return 1, 2", "it returns a tuple"),
    "an array returned": ("return ram.x", "it returns a part of an array"),
    "numbers by chance": (
        "x = np.random.rand()",
        "a kernel cannot use `numpy.random`: `sdk.random_uniform` is the same",
    ),
    "the time": ("import_time = clock()", "a kernel cannot use `time`"),
    "a region replaced": ("ram.x = ram.n", "`ram.x` cannot be replaced: write its elements"),
    "a function that is not there": ("x = np.no_such(3)", "there is no numpy.no_such"),
    "yield": ("yield 3", "it cannot wait or yield"),
    "global": ("global K\nK = 3", "a kernel cannot change K of its module: keep it in a region"),
    "import": ("import os", "a kernel cannot import"),
    "try": ("try:\n    t = 1\nexcept ValueError:\n    t = 2", "a kernel cannot catch exceptions"),
    "with": ("with ram:\n    pass", "a kernel has no `with`"),
    "an end without return": ("if t > 5:\n    return 0\nelse:\n    pass\nt = 1\nif t == 1:\n    pass\nreturn", "None"),
}


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_certainly_wrong_is_refused_with_its_line(path: Path, text: str, problem: str) -> None:
    path.write_text(body(*text.split("\n")))
    with pytest.raises(ProgramError) as caught:
        check(str(path))
    assert problem in str(caught.value)
    line = caught.value.line
    where = Path(caught.value.file)
    assert where in (path, path.with_name("sizes.py")) and f"line {line} of {where}" in str(caught.value)
    assert str(caught.value).endswith(where.read_text().splitlines()[line - 1].strip())


def test_a_tick_that_can_end_without_a_return_is_refused(path: Path) -> None:
    for end in ("    if t > 3:\n        return 0\n", "    while t > 3:\n        return 0\n", "    pass\n"):
        path.write_text(TEXT.replace("    BODY\n    return 0\n", end))
        with pytest.raises(ProgramError, match="it can end here without a `return`"):
            check(str(path))
    for end in (
        "    if t > 3:\n        return 0\n    else:\n        return 5\n",
        "    while True:\n        return 0\n",
    ):
        path.write_text(TEXT.replace("    BODY\n    return 0\n", end))
        check(str(path))


RIGHT = {
    "what there is": "ram.x[7] = ram.x[-8] + ram.y[1, 2] + ram.y[-2, -3] + ram.state[0].list[2] + ram.state[-1].n",
    "a slice beyond": "ram.x[2:99] = 0\nram.x[:K] = 1\nx = ram.x[-99:]\nx[7] = 1",
    "a guard": "i = K\nif i < ram.n[0]:\n    ram.x[i] = 1",
    "a guard that is known": "if ram.x.shape[0] > 8:\n    ram.x[8] = 1",
    "a known guard of a constant": "if N > 8:\n    ram.x[N] = 1",
    "a guarded loop": "for i in range(10):\n    if ram.on[i]:\n        ram.x[i] = 1",
    "a known guard in a loop": "for i in range(10):\n    if i < 8:\n        ram.x[i] = 1",
    "a guard by a variable": "for i in range(10):\n    ok = i < ram.n[0]\n    if ok:\n        ram.x[i] = 1",
    "a loop that is left": "for i in range(10):\n    if ram.on[i] > 0:\n        break\n    ram.x[i] = 1",
    "a loop that is left by a count": "n = 1\nfor i in range(10):\n    if n == t:\n        break\n    ram.x[i] = n",
    "a counting guard": "n = 0\nfor i in range(10):\n    if n < ram.n[0]:\n        ram.x[i] = 1\n        n += 1",
    "a loop that goes on": "for i in range(10):\n    if i >= ram.n[0]:\n        continue\n    ram.x[i] = 1",
    "an empty loop": "for i in range(0):\n    ram.x[8] = 1",
    "an early return": "i = K\nif i > ram.n[0]:\n    return 5\nram.x[i] = 1",
    "a guard in a helper": "careful(ram, 9)",
    "a counting guard in while": "i, n = 0, 0\nwhile i < 9:\n    if n < t:\n        ram.x[i] = n\n        n += 1\n"
    "    i += 1",
    "a counter": "i = 0\nwhile i < 8:\n    ram.x[i] = 1\n    i += 1",
    "a counter that ends elsewhere": "i = 9\nwhile ram.n[0] > 0 and i > 7:\n    i -= 1\nram.x[i % 8] = 1",
    "a conditional variable": "i = 9\nif t > 3:\n    i = 1\nif i < 8:\n    ram.x[i] = 1",
    "and": "i = K\nif i < ram.n[0] and ram.x[i] > 0:\n    ram.n[0] = 1",
    "or": "i = K\nif i >= ram.n[0] or ram.x[i] > 0:\n    ram.n[0] = 1",
    "a choice": "i = K\nram.n[0] = ram.x[i] if i < ram.n[0] else 0",
    "shapes": "for i in range(ram.y.shape[0]):\n    for j in range(ram.y.shape[1]):\n        ram.y[i, j] = 1",
    "a reshaped region": "flat = ram.y.reshape(ram.y.size)\nflat[5] = 1",
    "other words": "words = ram.x.view(np.uint32)\nwords[15] = 1",
    "packets": "for p in range(rx.shape[0]):\n    ram.x[rx[p].key % 8] = rx[p].payload[3]",
    "another region of its name": "x = ram.on\nx[9] = 1",
    "a changed alias": "x = ram.on\nif t > 3:\n    x = ram.x\nx[t % 8] = 1",
    "a region by index": "ram[0][7] = 1",
    "ports and phases": "send(pe, 0, 0)\nsend(pe, 1, 0)\nset_phase(pe, 1)\nset_phase(pe, 0)",
    "a computed port": "send(pe, t % 2, 0)\nport = K\nif port < ram.n[0]:\n    send(pe, port, 0)",
    "logs": "log(pe, 1, t, 2)\nlog(pe, 7)\nlog(pe, 8, 1.5, t, ram.x[0], ram.y[0, 0])",
    "codes": "if t > 99:\n    return 5\nif t > 98:\n    return 2**31 - 1\nif t > 97:\n    return ram.x[0]",
    "a code of a helper": "return careful(ram, t)",
    "other things": "a = (ram.x, ram.y)\nb = np.sqrt(np.float32(t))\nx = -t\nno = not t\nram.x[~0] = int(b) // 3",
    "a record's scalar": "s = ram.state[0]\ns.n += 1\ns.x = s.list[0] * 2\ns.list[1] = s.x",
    "a table": "ram.x[TABLE[2]] = TABLE[-3]",
    "another module's constant": "ram.x[sizes.LAST] = 1\nsizes.put(ram.x, Place.NEAR)",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_may_be_right_is_left_alone(path: Path, text: str) -> None:
    path.write_text(body(*text.split("\n")))
    check(str(path))


def test_ports_that_depend_on_parameters_are_left_to_the_run(path: Path) -> None:
    """A condition on what lies in SRAM may know of the parameters: of regions and ports that depend on them."""
    text = (
        body("if ram.n[0]:", "    send(pe, 1, 0)", "    ram.x[9] = 1")
        .replace("(8,)", "(p.length,)")
        .replace('outputs=("out", "more")', "outputs_of=lambda p: p.outputs, parameters=Parameters")
    )
    model = "import pydantic\nclass Parameters(pydantic.BaseModel):\n"
    model += "    outputs: list[str] = ['out', 'more']\n    length: int = 8\n"
    path.write_text(model + text)
    check(str(path), {"outputs": ["out", "more", "much"]})
    path.write_text(path.read_text().replace("if ram.n[0]:", "if t > 3:"))
    check_outputs = {"outputs": ["out", "more"]}
    with pytest.raises(ProgramError, match="index 9 exceeds region x"):
        check(str(path), check_outputs)
    path.write_text(model + text.replace("(p.length,)", "(8,)"))
    with pytest.raises(ProgramError, match="index 9 exceeds region x"):
        check(str(path))


def test_a_kernel_without_an_end_is_followed_for_a_while(path: Path) -> None:
    text = body("deep(ram, 0)").replace("def regions", "@kernel\ndef deep(ram, i):\n" + 13 * "    deep2(ram, i + 1)\n"
        + "\n@kernel\ndef deep2(ram, i):\n" + 13 * "    deep3(ram, i + 1)\n" + "\n@kernel\ndef deep3(ram, i):\n"
        + 40 * "    store(ram.x, 1)\n" + "\ndef regions")  # fmt: skip
    path.write_text(text)
    check(str(path))


PROGRAMS = {
    "spinn2fw.examples.echo": {}, "spinn2fw.examples.ping": {}, "spinn2fw.examples.lif": {},
    "spinn2fw.examples.poisson": {}, "spinn2fw.examples.synfire": {},
    "spinn2fw.replay": {"ports": ["out"], "count": 5, "words": 1},
    "spinn2fw.eventprop.input": {"T": 10, "samples": 3, "events": 5},
    "spinn2fw.eventprop.loss": {"classes": 3, "T": 10, "samples": 3, "batch": 2, "xi": 1, "a": 0, "b": 1},
    "spinn2fw.eventprop.layer": {"n_in": 2, "n_out": 3, "T": 10, "alpha": 0.5, "beta": 0.5, "one_minus_alpha": 0.5,
                                 "one_minus_beta": 0.5, "tau_s": 1, "send_errors": True, "send_silent": True},
    "spinn2fw.eventprop.adam": {"layers": [[2, 3]], "T": 10, "batch": 2, "steps": 4, "beta1": 0.9, "beta2": 0.9,
                                "rest1": 0.1, "rest2": 0.1, "eps": 1e-8, "weight_decay": 0, "patience": 1, "boost": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_of_the_house_are_in_order(name: str) -> None:
    assert importlib.util.find_spec(name)
    check(name, PROGRAMS[name])
