"""What the tests of whole chips share: small user programs, connections between them, and waiting with a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from spinn2emu import hostlink, spec
from spinn2host.chip import Chip, PeProgram

HEAD = """
import numpy as np
import pydantic
from spinn2emu.program import Fifo, Phase, Program, Region
from spinn2emu.sdk import count, kernel, log, send, send_float
"""

PROGRAMS = {
    # sends the keys 0 … count - 1 in every tick, listens to nobody
    "source": """
class Parameters(pydantic.BaseModel, extra="forbid"):
    count: int = 1

def regions(p, available):
    return [Region("count", np.int64, (1,), "packet", p.count)]

def tick(pe, ram, rx, t):
    for i in range(ram.count[0]):
        send(pe, 0, i)
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, outputs=("out",))
""",
    # records what it hears, in the order in which it hears it
    "sink": """
class Parameters(pydantic.BaseModel, extra="forbid"):
    depth: int = 64
    policy: str = "stall"

def regions(p, available):
    return [
        Region("n", np.int64, (1,), "packet"),
        Region("heard", np.uint32, (2000,), "key"),
        Region("ticks", np.int64, (2000,), "tick"),
    ]

def tick(pe, ram, rx, t):
    for packet in rx:
        place = ram.n[0] % ram.heard.shape[0]
        ram.heard[place] = packet.key
        ram.ticks[place] = t
        ram.n[0] += 1
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",),
                  fifo=lambda p: Fifo(p.depth, policy=p.policy))
""",
    # passes a token on as soon as it hears one; the first sends it in tick 0
    "ring": """
class Parameters(pydantic.BaseModel, extra="forbid"):
    first: bool = False

def regions(p, available):
    return [
        Region("first", np.int64, (1,), "", p.first),
        Region("n", np.int64, (1,), "token"),
        Region("ticks", np.int64, (100,), "tick"),
    ]

def tick(pe, ram, rx, t):
    if t == 0 and ram.first[0]:
        send(pe, 0, 0)
    for packet in rx:
        if ram.n[0] < ram.ticks.shape[0]:
            ram.ticks[ram.n[0]] = t
        ram.n[0] += 1
        send(pe, 0, 0)
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, inputs=("in",), outputs=("out",))
""",
    # hears for two ticks, is deaf for three
    "dozing": """
def regions(p, available):
    return [Region("heard", np.int64, (100,), "packet by tick")]

def tick(pe, ram, rx, t):
    if t < ram.heard.shape[0]:
        ram.heard[t] += rx.shape[0]
    return 0

program = Program(tick=tick, regions=regions, inputs=("in",), phases=lambda p: [
    Phase("hear", 2, ("in",), (), ("deaf",)),
    Phase("deaf", 3, (), (), ("hear",)),
])
""",
    # stirs what it hears, in order, into a number that decides what it sends; deaf on port a now and then
    "mixer": """
class Parameters(pydantic.BaseModel, extra="forbid"):
    seed: int
    hear: int
    deaf: int

def regions(p, available):
    return [Region("h", np.int64, (1,), "", p.seed)]

def tick(pe, ram, rx, t):
    h = ram.h[0]
    for packet in rx:
        h = (h * 31 + np.int64(packet.key) + t) % 1000003
    for i in range(h % 4):
        send(pe, h // 4 % 2, (h + i) % 16)
    ram.h[0] = (h * 7 + 1) % 1000003
    return 0

def phases(p):
    sends = ("x", "y")
    if p.deaf == 0:
        return [Phase("hear", None, ("a", "b"), sends)]
    return [Phase("hear", p.hear, ("a", "b"), sends, ("deaf",)), Phase("deaf", p.deaf, ("b",), sends, ("hear",))]

program = Program(tick=tick, regions=regions, parameters=Parameters, phases=phases,
                  inputs=("a", "b"), outputs=("x", "y"))
""",
    # counts ticks; fails in one of them as its parameters say
    "counter": """
class Parameters(pydantic.BaseModel, extra="forbid"):
    fail_at: int = -1
    code: int = 0
    key: int = 0

def regions(p, available):
    return [Region("plan", np.int64, (3,), "", np.array([p.fail_at, p.code, p.key])), Region("ticks", np.int64, (1,))]

def tick(pe, ram, rx, t):
    if t == ram.plan[0]:
        log(pe, 40, t + 0.5)
        log(pe, 41, -1.0)
        send(pe, 0, ram.plan[2])
        return ram.plan[1]
    ram.ticks[0] += 1
    return 0

program = Program(tick=tick, regions=regions, parameters=Parameters, outputs=("out",), errors={7: "the seventh error"})
""",
}

CORE = min(os.sched_getaffinity(0))
BOOTS: dict[str, dict[str, Any]] = {
    "one router": {"cores": []},
    "three routers": {"cores": [CORE] * 3},
    "plain Python": {"loop": "python"},
}
"""Ways to boot a chip; nothing that it computes depends on them."""

SPACE = 0xFFFFFFF0
"""Mask of a port or entry with 16 keys."""


def write_program(folder: Path, name: str, text: str) -> str:
    """Writes a user's program; returns the name by which a chip loads it."""
    path = folder / f"{name}.py"
    path.write_text(HEAD + text)
    return str(path)


def ring(program: str, pes: Iterable[int]) -> tuple[list[PeProgram], list[tuple[int, int, list[int]]]]:
    """Programs and routing entries of a ring: PE number i sends keys 16 i … 16 i + 15 to its successor."""
    pes = list(pes)
    items, entries = [], []
    for i, pe in enumerate(pes):
        before = (16 * ((i - 1) % len(pes)), SPACE)
        items.append(PeProgram(pe, program, {"first": i == 0}, {"in": before}, {"out": (16 * i, SPACE)}))
        entries.append((16 * i, SPACE, [pes[(i + 1) % len(pes)]]))
    return items, entries


def sram(chip: Chip, pe: int) -> np.ndarray:
    """All bytes of a PE's SRAM."""
    return chip.read(pe, 0, spec.SRAM_BYTES.value)


def request(chip: Chip, op: str, **content: object) -> dict:
    """A request to a chip over a socket of its own, as from another program; raises the error of the answer."""
    return hostlink.unwrap(raw_request(chip, hostlink.encode({"id": 1, "op": op, **content})))


def raw_request(chip: Chip, data: bytes, deadline_s: float = 60.0) -> dict:
    """The decoded answer to any bytes."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(f"ipc://{chip.directory / hostlink.SOCKET_NAME}")
        socket.send(data)
        assert socket.poll(int(1000 * deadline_s)), f"no answer within {deadline_s} s"
        return hostlink.decode(socket.recv())


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(what: str, condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
    """Polls until `condition` holds. The deadline is for what never happens: the machine may have other work."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)
