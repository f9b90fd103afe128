"""Sends recorded packets again, each in its tick: `spinn2emu trace replay` loads it on the PE that has sent them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from spinn2emu import spec
from spinn2emu.program import Program, Region
from spinn2emu.sdk import send, send_word, send_words


class Parameters(pydantic.BaseModel, extra="forbid"):
    """Packets, payload words that each has at most, and the output ports of the program that has sent them."""

    ports: list[str] = pydantic.Field(min_length=1, max_length=spec.MAX_PORTS.value)
    count: int = pydantic.Field(ge=1)
    words: int = pydantic.Field(ge=0, le=4)


def regions(p: Parameters, available: int) -> list[Region]:
    """The packets, by tick and in the order of sending; the host writes them at load."""
    return [
        Region("next", np.int64, (1,), "packet"),
        Region("tick", np.uint32, (p.count,), "tick of the chip"),
        Region("index", np.uint32, (p.count,), "key within the port's keys"),
        Region("port", np.uint8, (p.count,), "output port"),
        Region("size", np.uint8, (p.count,), "payload words: 0, 1 or 4"),
        Region("payload", np.uint32, (p.count, max(1, p.words))),
    ]


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """Sends what is due."""
    i = ram.next[0]
    while i < ram.tick.shape[0] and ram.tick[i] <= t:
        words = ram.payload[i]
        if ram.size[i] == 0:
            send(pe, ram.port[i], ram.index[i])
        elif ram.size[i] == 1:
            send_word(pe, ram.port[i], ram.index[i], words[0])
        else:
            send_words(pe, ram.port[i], ram.index[i], words[0], words[1], words[2], words[3])
        i += 1
    ram.next[0] = i
    return 0


program = Program(tick=tick, regions=regions, parameters=Parameters, outputs_of=lambda p: p.ports)
