"""The emulated core and what is made of it: packets, counts of instructions, comparisons with a recording; by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from test_arm_link import assembled

from spinn2emu.arm import check, counting, cycles
from spinn2emu.arm import memory as places
from spinn2emu.arm.activations import Activation, Recording
from spinn2emu.arm.link import Function, Image, link
from spinn2emu.arm.machine import Counted, Level, Machine, Profile, Sent
from spinn2emu.chip.declare import declare
from spinn2emu.cost import DRAIN, SENT, TICK
from spinn2emu.errors import ConfigError, ProgramError
from spinn2emu.memory_map import DATA_BASE, DATA_END
from spinn2emu.packets import PACKET
from spinn2emu.program import Program, Region

pytest.importorskip("unicorn")

MEMORY = declare(
    Program(
        tick=lambda pe, ram, rx, t: 0, regions=lambda p, available: [Region("x", np.int32, (2,))],
        inputs=("in", "more"), outputs=("out", "far"), name="mine",
    ), {},
).memory  # fmt: skip


def image(body: str) -> Image:
    """Of a `tick` in LLVM's words; `%n` packets lie at `%packets`."""
    text = f"define i64 @tick(ptr %packets, i32 %n) {{\n{body}\n}}"
    return link("mine", "", ("x",), [assembled(text)], lambda name: None)


def stores(*pairs: tuple[int, int | str]) -> str:
    return "\n".join(f"store volatile i32 {value}, ptr inttoptr (i32 {place} to ptr)" for place, value in pairs)


def packets(*rows: dict[str, Any]) -> np.ndarray:
    made = np.zeros(len(rows), PACKET)
    for packet, row in zip(made, rows, strict=True):
        for name, value in row.items():
            packet[name] = value
    return made


def machine(of: Image, most: int = 100) -> Machine:
    return Machine(of, MEMORY, np.zeros(DATA_END - DATA_BASE, np.uint8), most)


def test_stores_to_units_are_packets_counts_and_levels() -> None:
    payload, send = places.PAYLOAD, places.SEND
    body = stores(
        (payload, 1), (payload + 4, 2), (payload + 8, 3), (payload + 12, 4), (send + 16 * 7 + 4 * 3, 10),
        (send + 16 * 2 + 4 * 2, 11), (payload, 5), (send + 4, 12), (send, 13), (places.COUNT + 4 * 3, 14),
        (places.CLOCK, 1), (places.EXP_OPERAND, 0x3F800000),
    )  # fmt: skip
    body += f"""
        %e = load volatile i32, ptr inttoptr (i32 {places.EXP_RESULT} to ptr)
        store volatile i32 %e, ptr inttoptr (i32 {MEMORY["x"].address} to ptr)
        {stores((places.LOG_OPERAND, 0x40000000))}
        %l = load volatile i32, ptr inttoptr (i32 {places.LOG_RESULT} to ptr)
        store volatile i32 %l, ptr inttoptr (i32 {MEMORY["x"].address + 4} to ptr)
        ret i64 -5"""
    core = machine(image(body))
    core.count()
    assert core.run("tick", packets()) == -5
    assert core.sent == [Sent(7, 3, 10, (1, 2, 3, 4)), Sent(2, 2, 11, (1, 2)), Sent(0, 1, 12, (5,)), Sent(0, 0, 13, ())]
    assert core.done == [*core.sent, Counted(3, 14), Level(1)]
    x = core.data[MEMORY["x"].address - DATA_BASE :][:8].view(np.float32)
    assert x.tolist() == pytest.approx([np.e, np.log(2)], rel=1e-3)
    first = core.profile()
    assert (first.accesses, first.operations) == (15, 2)
    core.run("tick", packets())
    again = core.profile()
    assert np.array_equal(first.executed, again.executed) and (again.accesses, again.operations) == (15, 2)
    assert len(core.sent) == 4


def test_packets_lie_where_the_code_gets_them() -> None:
    """An access beyond the PE's memory, or what is read-only, ends the run; so does a stack that is too deep."""
    first_key = "%a = getelementptr i32, ptr %packets, i32 1\n%v = load i32, ptr %a"
    core = machine(image(first_key + "\n%w = zext i32 %v to i64\nret i64 %w"), 128)
    assert core.run("tick", packets({"key": 77})) == 77
    with pytest.raises(ConfigError, match="129 packets at once; the machine was made for fewer"):
        core.run("tick", np.zeros(129, PACKET))
    for place in (0x100, places.PACKETS, DATA_END - 4096, 0x2_0000, places.PERIPHERALS + 0x3000):
        with pytest.raises(ProgramError, match=r"its Cortex-M4 code fails at 0x.*more stack than 4 kB") as caught:
            machine(image(stores((place, 1)) + "\nret i64 0")).run("tick", packets())
        assert 0 < caught.value.address < 0x8000


LOOP = {  # r1: how many packets
    0x80: "movs r3, #0", 0x82: "adds r3, #1", 0x84: "cmp r3, r1", 0x86: "bne 0x82", 0x88: "mov r0, r3",
    0x8A: "movs r1, #0", 0x8C: "bx lr",
}  # fmt: skip
LOOP_CODE = bytes.fromhex("0023 0133 8b42 fcd1 1846 0021 7047")


def loop() -> Image:
    functions = (Function("tick", 0x80, 14, False), Function("drain", 0x80, 14, False))
    return Image("mine", "", ("x",), bytes(0x80) + LOOP_CODE, functions, ((0x80, 0x8E),))


def test_executions_and_taken_branches_are_counted() -> None:
    core = machine(loop())
    core.count()
    for n in (5, 1, 3):
        assert core.run("tick", np.zeros(n, PACKET)) == n
    profile = core.profile()
    executed = {address: int(profile.executed[address >> 1]) for address in LOOP}
    assert executed == {0x80: 3, 0x82: 9, 0x84: 9, 0x86: 9, 0x88: 3, 0x8A: 3, 0x8C: 3}
    assert profile.executed.sum() == sum(executed.values())
    assert {2 * int(half): int(profile.taken[half]) for half in np.flatnonzero(profile.taken)} == {0x88: 6}
    core.run("tick", np.zeros(2, PACKET))
    assert core.profile().executed[0x82 >> 1] == 2


KEYS = (0x100, 0x200)


def activation(n: int, **changes: Any) -> Activation:
    """Of `CODE`, as the host's code would leave it."""
    before = np.zeros(MEMORY.used, np.uint8)
    before[MEMORY["keys"].address - DATA_BASE :][:8] = np.array(KEYS, np.uint32).view(np.uint8)
    after = before.copy()
    after[MEMORY["x"].address - DATA_BASE] = n
    after[MEMORY["sys"].address - DATA_BASE] = 1  # what the emulator's runtime does there
    beyond = {"origin": 2 << 3, "key": KEYS[0] | 0x101}  # an index that is none of the port's
    sent = packets({"control": 1 << 4, "origin": 2 << 3 | 1, "key": KEYS[1] | 5, "payload": (7, 0, 0, 0)}, beyond)
    rx = packets(*[{"port": i % 2} for i in range(n)])
    one = Activation("tick", 4, 0, before.tobytes(), rx, after.tobytes(), sent, (3,), 0)
    return one._replace(**changes)


CODE = (
    f"store volatile i32 %n, ptr inttoptr (i32 {MEMORY['x'].address} to ptr)\n"
    + stores((places.PAYLOAD, 7), (places.SEND + 16 + 4, KEYS[1] ^ 5), (places.SEND, KEYS[0] ^ 0x101))
    + "\nret i64 0"
)


def recording(*activations: Activation) -> Recording:
    return Recording("mine", 77, MEMORY, ("run",), ("in", "more"), ("rows",), activations)


def differences(of: Image, activations: Sequence[Activation]) -> list[str]:
    return [outcome.difference for outcome in check.run(recording(*activations), of)]


def test_every_difference_from_a_recording_is_found() -> None:
    one = activation(3)
    other = np.frombuffer(one.after, np.uint8).copy()
    other[MEMORY["x"].address - DATA_BASE + 7] = 9
    wrong: dict[str, dict[str, Any]] = {
        "it returns 0 instead of 2": {"code": 2},
        "1 bytes of region x differ, the first is 7": {"after": other.tobytes()},
        "it sends 2 packets instead of 1": {"sent": one.sent[:1]},
    }
    for name, value in (("key", 0x206), ("payload", (8, 0, 0, 0)), ("control", 2 << 4), ("origin", 0)):
        sent = one.sent.copy()
        sent[name][0] = value
        wrong[f"packet 0 that it sends is (517, (7,), 1, 1), not {name}"] = {"sent": sent}
    found = differences(image(CODE), [one, *(one._replace(**changes) for changes in wrong.values()), activation(9)])
    assert (found[0], found[-1]) == ("", "")
    for text, difference in zip(wrong, found[1:-1], strict=True):
        assert difference.startswith("tick 4, phase 'run': " + text.rpartition(" not ")[0] or text)


def test_terms_and_cycles_of_a_recording() -> None:
    """Each activation begins with the memory that it was recorded with; a loop more costs 3 cycles and a refill."""
    counted = counting.count(recording(activation(3), activation(8)), image(CODE))
    assert [each.counts for each in counted] == [
        {TICK: 1, SENT: 2, "in.in": 2, "in.more": 1, "rows": 3}, {TICK: 1, SENT: 2, "in.in": 4, "in.more": 4, "rows": 3}
    ]  # fmt: skip
    assert [each.phase for each in counted] == ["run", "run"] and counted[0].cycles == counted[1].cycles
    with pytest.raises(ProgramError, match=r"mine: its Cortex-M4 code is not the host's: .* returns 0 instead of 1"):
        counting.count(recording(activation(3, code=1)), image(CODE))
    silent = {"sent": packets(), "entry": DRAIN}
    loops = [activation(n, code=n, after=activation(0).after, **silent) for n in (1, 2, 6)]
    one, two, six = counting.count(recording(*loops), loop())
    assert (one.phase, one.counts[SENT]) == (DRAIN, 0)
    each = [b - a for a, b in zip(one.cycles, two.cycles, strict=True)]
    assert each[0] == 3 + 1 and each[0] < each[2] <= 3 + 3
    assert [b - a for a, b in zip(one.cycles, six.cycles, strict=True)] == pytest.approx([5 * n for n in each])
    around = cycles.INTERRUPT_ENTRY + cycles.INTERRUPT_RETURN
    assert one.cycles.low - around.low == 3 + 3 + 1 + 1
    nothing = np.zeros(0x4001, np.int64)
    waits = cycles.PERIPHERAL_WAIT * 2 + cycles.EXP_LOG_WAIT * 3
    assert counting.Counter(loop()).cycles(Profile(nothing, nothing, 2, 3)) == waits + around
