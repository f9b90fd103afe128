"""Input spikes as events (tick, neuron), ascending, and who has spoken."""

from __future__ import annotations

from spinn2emu.sdk import kernel


@kernel
def due(ticks, event, end, i):  # type: ignore[no-untyped-def]
    """The events of tick i, `event` being the first that was not due before it: event … result - 1; below `end`."""
    while event < end and ticks[event] == i:
        event += 1
    return event


@kernel
def mark(flags, ids):  # type: ignore[no-untyped-def]
    """flags[j] = 1 for each j of `ids`."""
    for j in ids:
        flags[j] = 1
