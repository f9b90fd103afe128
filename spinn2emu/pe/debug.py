"""The PE's loop in plain Python: slow, to read, to print from, and to check the compiled one (`process.py`) against.

Only the kernels are compiled; `tick` runs one tick per call. Every byte is the same as with the compiled loop.
"""

from __future__ import annotations

import ctypes

import numpy as np
import zmq

from spinn2emu import spec
from spinn2emu.frames import FOREVER, HEADER_PACKETS, VERSION, FrameKind, header, new_buffer
from spinn2emu.packets import NO_PORT, PACKET, PHASE_BEGINS, PORT_BITS
from spinn2emu.pe.check import Entry
from spinn2emu.pe.guard import ENTER, LEAVE, guarded
from spinn2emu.pe.note import put_note
from spinn2emu.pe.plain_meter import PlainMeter
from spinn2emu.pe.process import Image, build_context, connected
from spinn2emu.pe.replay import where_it_fails
from spinn2emu.program import load_program
from spinn2emu.registers import NO_PHASE, PhaseWord, Register, Status, SystemError
from spinn2emu.sdk import TX_BUFFER, TX_PACKETS


class PeLoop:
    """One PE. `serve` is its life, `run_tick` what happens in a tick."""

    def __init__(
        self, image: Image, sram: np.ndarray, guard: np.ndarray, note: np.ndarray, meter: np.ndarray,
        socket: zmq.Socket[bytes],
    ) -> None:  # fmt: skip
        self.pe, self.socket, self.guard = image.pe, socket, guard
        self.image, self.sram, self.note = image, sram, note
        self.rx, self.tx = new_buffer(spec.FRAME_PACKETS.value), new_buffer(TX_BUFFER)
        spare = np.empty(0, PACKET)  # this loop takes packets apart by itself
        self.context = build_context(image, sram, self.rx, self.tx, spare)
        self.meter = PlainMeter(meter, self.context, self.tx[HEADER_PACKETS:])
        self.sys, self.phases = (image.memory[name].view(sram) for name in ("sys", "phases"))
        entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
        self.kernels = {"tick": entry(image.tick_address), "drain": entry(image.drain_address)}

    def serve(self) -> None:
        """Says what it needs, gets a grant, runs the ticks that the grant covers, and so on."""
        if self.sys[Register.PHASE] == NO_PHASE:
            self.enter_phase(0, int(self.sys[Register.TICK]))
        self.promise(int(self.sys[Register.TICK]))
        self.send(FrameKind.REPORT)
        while True:
            grant, packets = self.receive()
            failed = False
            while not failed and self.sys[Register.TICK] <= self.last_tick(grant):
                due = int(np.searchsorted(packets["tick"], self.sys[Register.TICK]))  # what was sent before this tick
                failed = not self.run_tick(packets[:due])
                packets = packets[due:]
                if self.context["tx_count"] > TX_PACKETS // 2 and not failed:
                    self.send(FrameKind.PART)
            if not failed:
                self.sys[Register.STATUS] = Status.WAITING
            guarded(self.guard, LEAVE)
            self.send(FrameKind.FAILED if failed else FrameKind.REPORT)

    def receive(self) -> tuple[np.void, np.ndarray]:
        """The next grant and its packets, in canonical order."""
        frame = np.frombuffer(self.socket.recv(), self.rx.dtype)
        guarded(self.guard, ENTER)
        self.sys[Register.STATUS] = Status.RUNNING
        return header(frame)[0], frame[HEADER_PACKETS:]

    def last_tick(self, grant: np.void) -> int:
        """How far the PE may run now: its live ports are complete so far, and the chip's time has not ended."""
        live, end = self.phases[self.sys[Register.PHASE], PhaseWord.LIVE], self.sys[Register.PHASE_END]
        if live == 0:
            return int(min(end, grant["limit"] - 1))
        return int(min(end, grant["end"])) if live == grant["live"] else int(self.sys[Register.TICK]) - 1

    def run_tick(self, packets: np.ndarray) -> bool:
        """Runs the kernels for one tick, then moves the phase on. False if the PE has failed."""
        sys, phases = self.sys, self.phases
        tick, phase = int(sys[Register.TICK]), int(sys[Register.PHASE])
        sys[Register.PACKETS_IN] += len(packets)
        self.context["sequence"], self.context["slot"] = 0, -1
        self.begin_phase(tick, phase)
        code = 0
        for ports, level in self.image.drains:  # interrupts, in the tick before this one on the chip
            mine = ports >> packets["port"] & 1 == 1
            drained, packets = packets[mine], packets[~mine]
            while len(drained) and not code and not sys[Register.FAULT]:
                self.meter.begin_drain(drained[:level])
                code = self.call("drain", drained[:level])
                self.meter.end_drain(tick - 1)
                drained = drained[level:]
        if not code and not sys[Register.FAULT]:
            self.meter.begin_code(phase, tick, packets)
            code = self.call("tick", packets, tick)
            self.meter.end_code(phase, tick)
        wanted = int(sys[Register.NEXT_PHASE])
        if wanted != NO_PHASE:
            exists = 0 <= wanted < len(phases) and phases[wanted, PhaseWord.TICKS] >= 0
            early = tick < sys[Register.PHASE_END]
            if not exists or (early and phases[wanted, PhaseWord.LIVE] != phases[phase, PhaseWord.LIVE]):
                sys[Register.FAULT] = SystemError.PHASE
        if code or sys[Register.FAULT]:
            sys[Register.ERROR], sys[Register.STATUS] = code, Status.RUNTIME_ERROR
            return False
        sys[Register.TICK] = tick + 1
        if wanted != NO_PHASE:
            sys[Register.NEXT_PHASE] = NO_PHASE
            self.enter_phase(wanted, tick + 1)
        elif tick == sys[Register.PHASE_END]:
            self.enter_phase(int(phases[phase, PhaseWord.NEXT]), tick + 1)
        return True

    def call(self, entry: Entry, packets: np.ndarray, *more: int) -> int:
        """Calls an entry of the program with these packets; if it fails, leaves a note of where for the supervisor."""
        self.rx[HEADER_PACKETS : HEADER_PACKETS + len(packets)] = packets
        self.context["due_packets"], self.context["due_count"] = self.context["rx_packets"], len(packets)
        before = self.sram.copy()
        code: int = self.kernels[entry](self.context.ctypes.data)
        if self.sys[Register.FAULT] == SystemError.EXCEPTION and not self.note.any():  # Cortex-M4 code has said why
            function = getattr(load_program(self.image.program), entry)
            rx, tx = self.rx[HEADER_PACKETS : HEADER_PACKETS + len(packets)], self.tx[HEADER_PACKETS:]
            memory, context = self.image.memory, self.context.copy()
            put_note(self.note, where_it_fails(function, memory, before, context, rx, tx, *more))
        return code

    def begin_phase(self, tick: int, phase: int) -> None:
        """If a phase begins in this tick, notes it for a trace; not the one-tick phase again in which a PE waits."""
        context = self.context
        if tick != self.sys[Register.PHASE_START]:
            return
        if phase != context["last_phase"] or tick != context["last_begin"] + 1:
            note = np.zeros(1, PACKET)
            note["control"], note["port"], note["source"], note["tick"] = PHASE_BEGINS, NO_PORT, self.pe, tick
            note["origin"] = phase << PORT_BITS
            self.tx[HEADER_PACKETS + context["tx_count"]] = note[0]
            context["tx_count"] += 1
        context["last_phase"], context["last_begin"] = phase, tick

    def enter_phase(self, phase: int, tick: int) -> None:
        """Starts a phase."""
        row = self.phases[phase]
        end = tick + row[PhaseWord.TICKS] - 1 if row[PhaseWord.TICKS] else FOREVER
        self.sys[Register.PHASE], self.sys[Register.PHASE_START], self.sys[Register.PHASE_END] = phase, tick, end
        self.promise(tick)

    def promise(self, tick: int) -> None:
        """Promises, for every output port, the tick, this one at the earliest, before which it stays silent."""
        row, end = self.phases[self.sys[Register.PHASE]], self.sys[Register.PHASE_END]
        for port in range(spec.MAX_PORTS.value):
            speaks = row[PhaseWord.SENDS] >> port & 1
            first = tick if speaks else min(end + 1 + row[PhaseWord.QUIET + port], FOREVER)
            self.context["horizon"][port] = max(self.context["horizon"][port], first)

    def send(self, kind: FrameKind) -> None:
        """Sends the packets of the transmit buffer with the PE's promises and wishes."""
        row, tick, end = self.phases[self.sys[Register.PHASE]], self.sys[Register.TICK], self.sys[Register.PHASE_END]
        count = int(self.context["tx_count"])
        head = header(self.tx)[0]
        head["kind"], head["version"], head["pe"], head["count"] = kind, VERSION, self.pe, count
        head["tick"], head["end"], head["need"] = tick, end, end if end < FOREVER else tick
        head["live"], head["status"] = row[PhaseWord.LIVE], self.sys[Register.ERROR] & 0xFFFFFFFF
        for port in range(spec.MAX_PORTS.value):
            speaks = row[PhaseWord.SENDS] >> port & 1
            head["horizon"][port] = tick if speaks else self.context["horizon"][port]
        self.socket.send(self.tx[: HEADER_PACKETS + count].tobytes())
        self.context["tx_count"] = 0


def main(image: Image, sram: np.ndarray, guard: np.ndarray, note: np.ndarray, meter: np.ndarray, endpoint: str) -> None:
    """Body of a PE's process."""
    with connected(image.pe, endpoint) as socket:
        PeLoop(image, sram, guard, note, meter, socket).serve()
