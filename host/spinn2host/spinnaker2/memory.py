"""How many bytes the programs of spiking networks take of a PE, before anything is loaded.

The chip's linker has the last word; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping

from spinn2emu.memory_map import DATA_BASE, DATA_END
from spinn2emu.registers import align, system_regions
from spinn2fw.kernels.synapses import CONVOLUTION, ENTRY, RECORD_HEAD, SLOTS

DATA_BYTES = DATA_END - DATA_BASE
LOG_ENTRIES = 8
SPIKES, NEURONS, RECEIVER = "spinn2fw.snn.spikes", "spinn2fw.snn.neurons", "spinn2fw.snn.receiver"
FIFO_BYTES = {SPIKES: 64 * 8, NEURONS: 256 * 4, RECEIVER: 256 * 4}


def region_bytes(program: str, p: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each region of a program with parameters `p`, the system's as one."""
    system = sum(align(region.nbytes) for region in system_regions(LOG_ENTRIES, FIFO_BYTES[program]))
    own = {SPIKES: _spikes, NEURONS: _neurons, RECEIVER: _receiver}[program](p)
    return {"system": system, **own, **_records(p)}


def used_bytes(program: str, p: Mapping[str, int]) -> int:
    """Bytes of the data space that a program needs, padding included, but none at the end."""
    sizes = list(region_bytes(program, p).values())
    return sum(align(size) for size in sizes[:-1]) + sizes[-1]


def table(program: str, p: Mapping[str, int]) -> str:
    """The regions, one a line."""
    rows = [f"{size:>9,} B  {name}" for name, size in region_bytes(program, p).items() if size]
    return "\n".join([*rows, f"{used_bytes(program, p):>9,} B  of {DATA_BYTES:,} B"])


def _spikes(p: Mapping[str, int]) -> dict[str, int]:
    return {"next": 4, "tick": 4 * p["events"], "neuron": p["events"]}


def _receiver(p: Mapping[str, int]) -> dict[str, int]:
    return {"asked": p["n"]}


def _neurons(p: Mapping[str, int]) -> dict[str, int]:
    n = p["n"]
    currents = n if p["currents"] else 0
    per_neuron = ("threshold", "alpha_decay", "i_offset", "v_reset", "v")
    return {
        "subtract": 1, "table": ENTRY.itemsize * p["entries"], "rows": 2 * (p["rows"] + 1), "words": 2 * p["words"],
        "convolutions": CONVOLUTION.itemsize * p["convolutions"], "kernels": p["kernels"],
        "ring": 2 * (SLOTS if p["delays"] else 1) * 2 * n,
        **dict.fromkeys(per_neuron, 4 * n),
        **dict.fromkeys(("exc_decay", "inh_decay", "exc_current", "inh_current"), 4 * currents),
        **dict.fromkeys(("t_refrac", "refractory"), 2 * currents),
    }  # fmt: skip


def _records(p: Mapping[str, int]) -> dict[str, int]:
    n, ticks = p["n"], p["ticks"]
    return {
        "spikes": 4 * ticks * (RECORD_HEAD + (n + 31) // 32) if p["record_spikes"] else 0,
        "voltages": 4 * ticks * (1 + n) if p["record_v"] else 0,
        "time_done": 4 * ticks if p["record_time_done"] else 0,
        "n_packets": 4 * ticks if p["record_n_packets"] else 0,
    }
