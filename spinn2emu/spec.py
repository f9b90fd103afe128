"""Every hardware constant of the emulator: value, unit, source, status. Nothing else in the tree holds such a number.

Sources, by short name (where two disagree, `chip` wins):

- `chip`: Scholze, Partzsch, Höppner et al., The SpiNNaker2 chip, IEEE OJCAS 2026, DOI 10.1109/OJCAS.2026.3714974.
- `machine`: SpiNNMachine's public description of the SpiNNaker2 core numbering.
- `py`: the py-spinnaker2 documentation.
- `portal`: the SpiNNaker2 developer portal.
- `poster`: Béna, Event-based backpropagation on SpiNNaker2; figures to compare with, which nothing is computed from.
- `spinn2emu`: no source gives it; it is the emulator's own choice, and its note says why.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["measured", "specified", "derived", "own choice"]


class Constant(NamedTuple):
    """A sourced number. `value` in `unit`; `note` shows the arithmetic of a derived one and the reason of a choice."""

    value: int
    unit: str
    source: str
    status: Status
    note: str


QUADS = Constant(38, "quad", "chip", "specified", "quad processing elements (QPE) on the die")
PES_PER_QUAD = Constant(4, "PE", "chip", "specified", "p = 0..3")
PES = Constant(152, "PE", "chip", "derived", "38 quads * 4 PEs")
RESERVED_PES = Constant(4, "PE", "chip", "specified", "kept for system software; 148 are free for applications")
GRID_COLUMNS = Constant(7, "position", "machine", "specified", "quad x = 1..7")
GRID_ROWS = Constant(6, "position", "machine", "specified", "quad y = 1..6")

SRAM_BYTES = Constant(128 * 1024, "byte", "chip", "specified", "per PE, 4 banks, no cache")
ITCM_BYTES = Constant(32 * 1024, "byte", "py", "specified", "instruction space, 0x00000..0x07FFF, by convention")
STACK_BASE = Constant(0x1F000, "byte address", "py", "specified", "heap and stack, the last 4 kB of the data space")
DMA_ALIGNMENT = Constant(16, "byte", "portal", "specified", "DMA to DRAM; the linker aligns every region so")

PE_CLOCK_HZ = Constant(300_000_000, "Hz", "chip", "specified", "at 0.8 V, the level that PEs have if nobody says")
PE_CLOCK_LOW_HZ = Constant(150_000_000, "Hz", "chip", "specified", "at 0.5 V")
NOC_CLOCK_HZ = Constant(300_000_000, "Hz", "chip", "specified", "data NoC, one 192-bit flit per cycle and link")
NOC_CYCLES_PER_HOP = Constant(5, "cycle", "chip", "specified", "latency of a mesh router")
ROUTER_CLOCK_HZ = Constant(400_000_000, "Hz", "chip", "specified", "event router")
ROUTER_STAGES = Constant(4, "cycle", "chip", "specified", "multicast pipeline")
ROUTER_ENTRIES = Constant(16_384, "entry", "chip", "specified", "32-bit key and mask, ternary, first match")
ROUTER_COUNTERS = Constant(16, "register", "chip", "specified", "diagnostic counters")
LINKS = Constant(6, "link", "chip", "specified", "to the neighbours in a hexagonal grid of chips")
TICK_NS = Constant(1_000_000, "ns", "chip", "specified", "the chip-global timer, typically 1 ms")
EVENT_FILTERS = Constant(2, "filter", "chip", "specified", "hardware filters of the event handler, plus a default")

ROUTER_PORT_LOW = Constant(
    3, "quad y", "spinn2emu", "own choice", "the router is entered at (4,3) or (4,4), the nearer"
)
ROUTER_PORT_HIGH = Constant(4, "quad y", "spinn2emu", "own choice", "see ROUTER_PORT_LOW; (4,3) on a tie")
ROUTER_PORT_X = Constant(4, "quad x", "machine", "derived", "(4,3) and (4,4) hold no quad: the router's area")

MAX_PORTS = Constant(8, "port", "spinn2emu", "own choice", "per direction and program; sizes the frame header")
MAX_COUNTS = Constant(12, "count", "spinn2emu", "own choice", "that a program declares; sizes the PE's meter")
LATEST_NS = Constant(4_000_000_000, "ns", "spinn2emu", "own choice", "the latest end of a tick in a trace: 32 bits")
MOST_LATE_NS = Constant(10**17, "ns", "spinn2emu", "own choice", "of a late tick, at most: three years; fits traces")
MAX_PHASES = Constant(8, "phase", "spinn2emu", "own choice", "per program; sizes the PE's phase registers")
LOG_ENTRIES = Constant(32, "entry", "spinn2emu", "own choice", "log ring of a PE by default, 48 bytes each")
LIVE_WINDOW_TICKS = Constant(64, "tick", "spinn2emu", "own choice", "WINDOW_TICKS while a host listens to packets")
WINDOW_TICKS = Constant(2048, "tick", "spinn2emu", "own choice", "how far a PE may run ahead; bounds what queues up")
FRAME_PACKETS = Constant(65_536, "packet", "spinn2emu", "own choice", "largest frame and router queue; 2 MiB")

POWER_OFF = Constant(75_200, "uW", "chip", "measured", "the whole chip with all PEs off")
POWER_ASLEEP_LOW = Constant(235_400, "uW", "chip", "measured", "the whole chip, 152 PEs sleeping at 0.5 V")
POWER_ASLEEP_HIGH = Constant(564_700, "uW", "chip", "measured", "the whole chip, 152 PEs sleeping at 0.8 V")
POWER_BUSY_LOW = Constant(424_600, "uW", "chip", "measured", "the whole chip, 152 PEs run CoreMark at 0.5 V")
POWER_BUSY_HIGH = Constant(1_247_900, "uW", "chip", "measured", "the whole chip, 152 PEs run CoreMark at 0.8 V")
POWER_ROUNDING = Constant(50, "uW", "chip", "derived", "half of the last digit, 0.1 mW, of the measured powers")
POWER_OF_CODE = Constant(
    200, "percent", "spinn2emu", "own choice",
    "upper bound of what code adds to sleeping, of what CoreMark adds: only CoreMark was measured",
)  # fmt: skip

POSTER_BATCH = Constant(22, "sample", "poster", "measured", "5-120-3 on Yin-Yang, T = 30, 89 PEs")
POSTER_MS = Constant(61, "ms", "poster", "measured", "per batch: 30 forward + 30 backward + 1 update ticks")
POSTER_POWER = Constant(450_000, "uW", "poster", "measured", "while training; it does not say in which configuration")
POSTER_BATCH_ENERGY = Constant(27_000, "uJ", "poster", "measured", "per batch")
POSTER_SAMPLE_ENERGY = Constant(1_220, "uJ", "poster", "measured", "per sample")
