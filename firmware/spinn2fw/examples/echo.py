"""Answers every packet of `ping` at once; the answer says when the packet arrived, in ns since its tick began."""

from __future__ import annotations

from typing import Any

from spinn2emu.program import Program
from spinn2emu.sdk import send_word


def tick(pe: Any, ram: Any, rx: Any, t: int) -> int:
    """One answer per packet."""
    for packet in rx:
        send_word(pe, 0, 0, packet.time)
    return 0


program = Program(tick=tick, regions=lambda p, available: [], inputs=("ping",), outputs=("echo",))
