"""The routing table: up to 16,384 ternary entries, first match wins; compiled lookup.

An entry matches a key if `key & mask == entry.key`. Entries are grouped by mask; each group is an open-addressed hash
table from masked key to the number of the first entry, so a lookup costs a probe per different mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec, untouched
from spinn2emu.errors import ConfigError
from spinn2emu.jit import inlined


class Entry(NamedTuple):
    """A routing entry. `pes`: ids of the PEs that get a copy; `links` (0..5) lead off the chip: counted."""

    key: int
    mask: int
    pes: tuple[int, ...]
    links: tuple[int, ...] = ()


_ENTRIES, _SLOTS = spec.ROUTER_ENTRIES.value, 4 * spec.ROUTER_ENTRIES.value

TABLE = np.dtype([
    # per group of entries with the same mask: the lowest entry, and its hash table in the slots
    ("groups", "<i8"),
    ("masks", "<u4", (_ENTRIES,)),
    ("first", "<i4", (_ENTRIES,)),
    ("offset", "<i8", (_ENTRIES + 1,)),
    ("bits", "<i8", (_ENTRIES,)),
    ("slot_key", "<u4", (_SLOTS,)),
    ("slot_entry", "<i4", (_SLOTS,)),  # NO_ENTRY: empty
    # entry e goes to the PEs targets[start[e] : start[e + 1]] of this router, and over the links in the bit set
    # links[e]; bit r of spread[e] is set if router r serves one of its targets
    ("start", "<i8", (_ENTRIES + 1,)),
    ("links", "<i8", (_ENTRIES,)),
    ("spread", "<i8", (_ENTRIES,)),
    ("targets", "<u2", (_ENTRIES * spec.PES.value,)),
])  # fmt: skip
"""The compiled form of a routing table. Mostly room that is never touched, and so costs nothing."""

NO_ENTRY = -1
_HASH = 2654435769  # Knuth's multiplicative hash, 2^32 / golden ratio


def build_table(
    entries: Sequence[Entry], home: NDArray[np.int64] | None = None, routers: int = 1
) -> list[NDArray[np.void]]:
    """The compiled form of `entries` for each of several routers, records TABLE; `home[pe]`: the router that
    serves a PE.

    Raises ConfigError for an entry that can never match, or too many.
    """
    home = np.zeros(1 + spec.PES.value, np.int64) if home is None else home
    if len(entries) > _ENTRIES:
        raise ConfigError(
            f"{len(entries)} routing entries, the router holds {_ENTRIES}: use wider masks",
            needed=len(entries), limit=_ENTRIES,
        )  # fmt: skip
    groups: dict[int, dict[int, int]] = {}
    for number, entry in enumerate(entries):
        _check(number, entry)
        groups.setdefault(entry.mask, {}).setdefault(entry.key, number)
    order = sorted(groups, key=lambda mask: min(groups[mask].values()))
    bits = [max(1, (2 * len(groups[mask]) - 1).bit_length()) for mask in order]
    offset = np.concatenate([[0], np.cumsum([1 << b for b in bits], dtype=np.int64)])
    slot_key, slot_entry = np.zeros(offset[-1], np.uint32), np.full(offset[-1], NO_ENTRY, np.int32)
    for group, mask in enumerate(order):
        for key, number in groups[mask].items():
            slot = (key * _HASH & 0xFFFFFFFF) >> (32 - bits[group])
            while slot_entry[offset[group] + slot] != NO_ENTRY:
                slot = (slot + 1) & ((1 << bits[group]) - 1)
            slot_key[offset[group] + slot] = key
            slot_entry[offset[group] + slot] = number
    targets = np.array([pe for entry in entries for pe in sorted(entry.pes)], np.uint16)
    compiled_tick = np.repeat(np.arange(len(entries)), [len(entry.pes) for entry in entries])
    spread = np.zeros(len(entries), np.int64)
    np.bitwise_or.at(spread, compiled_tick, 1 << home[targets])
    columns: dict[str, Any] = {
        "masks": order, "first": [min(groups[mask].values()) for mask in order], "offset": offset, "bits": bits,
        "slot_key": slot_key, "slot_entry": slot_entry, "spread": spread,
        "links": [sum(1 << link for link in set(entry.links)) for entry in entries],
    }  # fmt: skip
    tables = []
    for router in range(routers):
        table = untouched.zeros(TABLE)
        own = home[targets] == router
        table["groups"] = len(order)
        counts = np.bincount(compiled_tick[own], minlength=len(entries))
        for name, values in (columns | {"targets": targets[own]}).items():
            table[name][: len(values)] = values
        table["start"][1 : len(entries) + 1] = np.cumsum(counts)
        tables.append(table)
    return tables


def _check(number: int, entry: Entry) -> None:
    if not (0 <= entry.key < 1 << 32 and 0 <= entry.mask < 1 << 32):
        raise ConfigError(f"routing entry {number}: key {entry.key:#x}, mask {entry.mask:#x} exceed 32 bits")
    if entry.key & ~entry.mask:
        raise ConfigError(
            f"routing entry {number} can never match: key {entry.key:#010x} has bits outside mask {entry.mask:#010x}"
        )
    bad = [pe for pe in entry.pes if pe not in geometry.PE_IDS]
    if bad or len(set(entry.pes)) != len(entry.pes):
        raise ConfigError(f"routing entry {number}: target PEs {sorted(entry.pes)} must be different ids of 1..152")
    if any(link not in range(spec.LINKS.value) for link in entry.links):
        raise ConfigError(f"routing entry {number}: links {entry.links} must be 0..{spec.LINKS.value - 1}")


@inlined
def lookup(table, key):  # type: ignore[no-untyped-def]
    """Number of the first entry that matches `key`, or NO_ENTRY."""
    best = np.int64(NO_ENTRY)
    for group in range(table.groups):
        if best != NO_ENTRY and table.first[group] > best:
            break
        masked = np.uint32(key) & table.masks[group]
        bits = table.bits[group]
        offset = table.offset[group]
        slot = np.int64((np.uint64(masked) * np.uint64(_HASH) & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - bits))
        while table.slot_entry[offset + slot] != NO_ENTRY:
            if table.slot_key[offset + slot] == masked:
                entry = np.int64(table.slot_entry[offset + slot])
                if best == NO_ENTRY or entry < best:
                    best = entry
                break
            slot = (slot + 1) & ((np.int64(1) << bits) - 1)
    return best
