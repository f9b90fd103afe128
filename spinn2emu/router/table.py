"""The routing table: up to 16,384 ternary entries, first match wins; compiled lookup.

An entry matches a key if `key & mask == entry.key`. Entries are grouped by mask; each group is an open-addressed hash
table from masked key to the number of the first entry, so a lookup costs a probe per different mask.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry, spec
from spinn2emu.errors import ConfigError
from spinn2emu.jit import inlined


class Entry(NamedTuple):
    """A routing entry. `pes`: ids of the PEs that get a copy; `links` (0..5) lead off the chip: counted."""

    key: int
    mask: int
    pes: tuple[int, ...]
    links: tuple[int, ...] = ()


Table = namedtuple(
    "Table",
    ["masks", "first", "offset", "bits", "slot_key", "slot_entry", "start", "targets", "links", "spread"],
)
"""Compiled form. Per group: `masks` u4, `first` (lowest entry of the group), `offset` and `bits` of its hash table
in `slot_key` u4 / `slot_entry` i4 (-1: empty). Entry e goes to PE ids `targets[start[e]:start[e + 1]]`
and over the links in the bit set `links[e]` (i8); bit r of `spread[e]` (i8) is set if router r serves one of them."""

NO_ENTRY = -1
_HASH = 2654435769  # Knuth's multiplicative hash, 2^32 / golden ratio


def build_table(entries: Sequence[Entry]) -> Table:
    """The compiled form of `entries`. Raises ConfigError for an entry that can never match, or too many."""
    if len(entries) > spec.ROUTER_ENTRIES.value:
        raise ConfigError(
            f"{len(entries)} routing entries, the router holds {spec.ROUTER_ENTRIES.value}: use wider masks",
            needed=len(entries), limit=spec.ROUTER_ENTRIES.value,
        )  # fmt: skip
    groups: dict[int, dict[int, int]] = {}
    for number, entry in enumerate(entries):
        _check(number, entry)
        groups.setdefault(entry.mask, {}).setdefault(entry.key, number)
    order = sorted(groups, key=lambda mask: min(groups[mask].values()))
    bits = [max(1, (2 * len(groups[mask]) - 1).bit_length()) for mask in order]
    offset = np.concatenate([[0], np.cumsum([1 << b for b in bits])]).astype(np.int64)
    slot_key = np.zeros(max(1, offset[-1]), np.uint32)
    slot_entry = np.full(max(1, offset[-1]), NO_ENTRY, np.int32)
    for group, mask in enumerate(order):
        for key, number in groups[mask].items():
            slot = (key * _HASH & 0xFFFFFFFF) >> (32 - bits[group])
            while slot_entry[offset[group] + slot] != NO_ENTRY:
                slot = (slot + 1) & ((1 << bits[group]) - 1)
            slot_key[offset[group] + slot] = key
            slot_entry[offset[group] + slot] = number
    start = np.concatenate([[0], np.cumsum([len(entry.pes) for entry in entries])]).astype(np.int64)
    return Table(
        np.array(order, np.uint32),
        np.array([min(groups[mask].values()) for mask in order], np.int32),
        offset, np.array(bits, np.int64), slot_key, slot_entry, start,
        np.array([pe for entry in entries for pe in sorted(entry.pes)], np.uint16),
        np.array([sum(1 << link for link in set(entry.links)) for entry in entries], np.int64),
        np.array([1 if entry.pes else 0 for entry in entries], np.int64),
    )  # fmt: skip


def share(table: Table, home: NDArray[np.int64], router: int) -> Table:
    """The table of one of several routers, with its own targets only; `home[pe]`: the router that serves a PE."""
    servers = home[table.targets]
    own = servers == router
    spread = np.zeros_like(table.spread)
    np.bitwise_or.at(spread, np.repeat(np.arange(len(spread)), np.diff(table.start)), 1 << servers)
    start = np.concatenate([[0], np.cumsum(own)])[table.start].astype(np.int64)
    return table._replace(start=start, targets=table.targets[own], spread=spread)


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
    for group in range(table.masks.shape[0]):
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
