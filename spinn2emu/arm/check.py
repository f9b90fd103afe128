"""Recorded activations once more, as Cortex-M4 code: the same bytes in every region, the same packets?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spinn2emu.arm.activations import Activation, Recording
from spinn2emu.arm.link import Image
from spinn2emu.arm.machine import Machine, Profile
from spinn2emu.memory_map import DATA_BASE, DATA_END
from spinn2emu.packets import PAYLOAD_BYTES


class Outcome(NamedTuple):
    """Of one activation: what differs ("" if nothing does), and what was executed."""

    activation: Activation
    difference: str
    profile: Profile


def run(recording: Recording, image: Image) -> Iterator[Outcome]:
    """Executes each activation from the memory that it was recorded with."""
    data = np.zeros(DATA_END - DATA_BASE, np.uint8)
    most = max((len(activation.packets) for activation in recording.activations), default=0)
    machine = Machine(image, recording.memory, data, max(1, most))
    machine.count()
    for activation in recording.activations:
        data[: len(activation.before)] = np.frombuffer(activation.before, np.uint8)
        code = machine.run(activation.entry, activation.packets)
        yield Outcome(activation, _compare(recording, activation, machine, code), machine.profile())


def _compare(recording: Recording, activation: Activation, machine: Machine, code: int) -> str:
    """What differs from the recording, in words."""
    where = f"tick {activation.tick}, phase {recording.phases[activation.phase]!r}"
    if code != activation.code:
        return f"{where}: it returns {code} instead of {activation.code}"
    after = np.frombuffer(activation.after, np.uint8)
    for symbol in recording.memory.symbols:
        if symbol.name == "sys":
            continue  # registers of the emulator's runtime, which counts packets and notes faults there
        own = slice(symbol.address - DATA_BASE, symbol.address - DATA_BASE + symbol.nbytes)
        wrong = np.flatnonzero(machine.data[own] != after[own])
        if len(wrong):
            return f"{where}: {len(wrong)} bytes of region {symbol.name} differ, the first is {wrong[0]}"
    keys = recording.memory["keys"]
    first = machine.data[keys.address - DATA_BASE :][: keys.nbytes].view(keys.dtype).tolist()
    sent = [
        (first[packet.port] | packet.key, packet.payload, packet.code, packet.port) for packet in machine.sent
    ]  # with keys as the host's code makes them of an index, also where it is beyond the port's keys
    expected = [
        (int(packet["key"]), tuple(map(int, packet["payload"][: PAYLOAD_BYTES[packet["control"] >> 4 & 3] // 4])),
         int(packet["control"] >> 4 & 3), int(packet["origin"] & 7))
        for packet in activation.sent
    ]  # fmt: skip
    if len(sent) != len(expected):
        return f"{where}: it sends {len(sent)} packets instead of {len(expected)}"
    wrong_packet = next((i for i, (own, other) in enumerate(zip(sent, expected, strict=True)) if own != other), None)
    if wrong_packet is not None:
        return f"{where}: packet {wrong_packet} that it sends is {sent[wrong_packet]}, not {expected[wrong_packet]}"
    return ""
