"""The address space of a PE as its machine code sees it, and the registers of its peripherals.

    0x00000000  vector table, 64 bytes: initial stack pointer, entries
    0x00000040  table of regions: address and sizes of each, 16 bytes, then of the log
    …           code and constants, up to 32 kB in all
    0x00008000  data space: system regions, FIFO, the program's regions
    0x0001F000  stack, 4 kB
    0x20000000  the packets that are to be processed, records PACKET: on the chip they lie in the FIFO
    0x40000000  communication unit
    0x40001000  exponential/logarithm unit
    0x40002000  clock

The first five are the chip's convention [py]; where peripherals lie, and how their registers look, is the emulator's
own choice: the sources name the units, not their addresses.
"""

from __future__ import annotations

from spinn2emu import spec

VECTORS_BYTES = 64
TABLE = VECTORS_BYTES
TABLE_WORDS = 4
"""Of a region: its address, and up to three sizes."""
PACKETS = 0x2000_0000
PERIPHERALS = 0x4000_0000
PERIPHERAL_BYTES = 0x1000

COMMUNICATION = PERIPHERALS
SEND = COMMUNICATION
"""A key that is written to SEND + 16 * port + 4 * code is sent on an output port; code: of the payload's size."""
SEND_BYTES = 16 * spec.MAX_PORTS.value
PAYLOAD = COMMUNICATION + 0x800
"""Four words of payload, to be written before the key."""

UNIT = PERIPHERALS + PERIPHERAL_BYTES
EXP_OPERAND, EXP_RESULT, LOG_OPERAND, LOG_RESULT = UNIT, UNIT + 4, UNIT + 8, UNIT + 12
"""Float32: the operand is written, then the result read."""

CLOCK = PERIPHERALS + 2 * PERIPHERAL_BYTES
"""The number of a level, for the next tick."""
COUNT = CLOCK + 0x800
"""Only in code that runs on a chip of the emulator: an amount that is written to COUNT + 4 * which is counted."""
COUNT_BYTES = 4 * spec.MAX_COUNTS.value
BLOCKS = 3
"""Of PERIPHERAL_BYTES each."""
