"""The meter in plain Python, as `meter.py` has it, for the PE's loop in plain Python. Every byte is the same."""

from __future__ import annotations

import numpy as np

from spinn2emu import spec
from spinn2emu.packets import NO_PORT, OVERRAN, PACKET, PORT_BITS
from spinn2emu.pe.meter import AT_COUNTS, AT_IN, AT_SENT, AT_TICK, DRAIN_PHASE


class PlainMeter:
    """`meter`: a record METER, `context`: a record CONTEXT, `packets`: the transmit buffer."""

    def __init__(self, meter: np.ndarray, context: np.ndarray, packets: np.ndarray) -> None:
        self.meter, self.context, self.packets = meter, context, packets

    def begin_drain(self, packets: np.ndarray) -> None:
        """The handler of FIFOs is called."""
        if self.meter["on"]:
            self.context["cycles"] = 0.0
            self._begin(DRAIN_PHASE, packets)

    def end_drain(self, tick: int) -> None:
        """It returns, in the tick before the one that runs next."""
        if self.meter["on"]:
            self.meter["spare"] -= self.context["cycles"]
            self.context["drained"] = 1
            self._end(DRAIN_PHASE, tick, float(self.context["cycles"]))

    def begin_code(self, phase: int, tick: int, packets: np.ndarray) -> None:
        """A tick's code begins."""
        if self.context["drained"]:
            self.context["drained"] = 0
            self._check(DRAIN_PHASE, tick - 1)
        meter, level = self.meter, int(self.meter["next_level"])
        if level >= 0:
            meter["spare"] *= meter["period"][level] / meter["period"][meter["level"]]
            meter["level"], meter["next_level"] = level, -1
        if meter["on"]:
            self.context["slots_per_cycle"] = meter["slots_per_cycle"][meter["level"]]
            self.context["cycles"] = max(0.0, -float(meter["spare"]))
            self._begin(phase, packets)

    def end_code(self, phase: int, tick: int) -> None:
        """The code of a tick ends."""
        meter = self.meter
        if meter["on"]:
            backlog = max(0.0, -float(meter["spare"]))
            meter["spare"] = meter["period"][meter["level"]] - self.context["cycles"]
            self._end(phase, tick, float(self.context["cycles"]) - backlog)
            self._check(phase, tick)
        meter["next_level"], self.context["next_level"] = self.context["next_level"], -1

    def _row(self, phase: int) -> np.void:
        row: np.void = self.meter["rows"][self.meter["level"], phase]
        return row

    def _begin(self, phase: int, packets: np.ndarray) -> None:
        terms, context = self._row(phase)["terms"], self.context
        cost, sums, cycles = terms["cost"], terms["sum"], float(terms["cost"][AT_TICK])
        sums[AT_TICK] += 1
        ports = packets["port"] % spec.MAX_PORTS.value
        runs = np.split(ports, np.flatnonzero(np.diff(ports)) + 1) if len(ports) else []
        for run in runs:  # in this order, so that sums are rounded alike
            sums[AT_IN + run[0]] += len(run)
            cycles += float(cost[AT_IN + run[0]]) * len(run)
        context["sent_cycles"], context["count_cycles"] = cost[AT_SENT], cost[AT_COUNTS:AT_IN]
        context["cycles"] += cycles

    def _end(self, phase: int, tick: int, cycles: float) -> None:
        row, context = self._row(phase), self.context
        sums = row["terms"]["sum"]
        sums[AT_SENT] += context["sequence"]
        sums[AT_COUNTS:AT_IN] += context["counts"]
        context["counts"] = 0
        if cycles > row["worst"]:
            row["worst"], row["worst_tick"] = cycles, tick

    def _check(self, phase: int, tick: int) -> None:
        meter, row = self.meter, self._row(phase)
        period = float(meter["period"][meter["level"]])
        meter["least"][meter["level"]] = min(meter["least"][meter["level"]], meter["spare"])
        if meter["spare"] < 0 and meter["late"] < tick:
            row["overruns"] += 1
            meter["late"] = tick
            self._note(phase, tick, (period - float(meter["spare"])) * spec.TICK_NS.value / period)
            if meter["first_late"] < 0:
                meter["first_late"], meter["first_phase"], meter["first_level"] = tick, phase, meter["level"]
                meter["first_cycles"] = period - float(meter["spare"])

    def _note(self, phase: int, tick: int, end_ns: float) -> None:
        note, context = np.zeros(1, PACKET), self.context
        note["control"], note["port"], note["source"], note["tick"] = OVERRAN, NO_PORT, context["pe"], tick
        note["origin"], note["time"] = phase << PORT_BITS, int(min(end_ns, spec.LATEST_NS.value))
        self.packets[int(context["tx_count"])] = note[0]
        context["tx_count"] += 1
