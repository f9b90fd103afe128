"""The routing table's compiled lookup and the search for connections, against naive models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.errors import ConfigError
from spinn2emu.jit import Array, native
from spinn2emu.program import Fifo
from spinn2emu.router.state import Connection, Endpoint, find_connections
from spinn2emu.router.table import NO_ENTRY, TABLE, Entry, build_table, lookup

words = st.integers(0, 2**32 - 1)


@native(TABLE, Array(np.dtype("u4")), Array(np.dtype("i8")), returns=False)
def look_up(table, keys, found):  # type: ignore[no-untyped-def]
    for i in range(keys.shape[0]):
        found[i] = lookup(table, keys[i])


def lookup_all(entries: list[Entry], keys: np.ndarray) -> np.ndarray:
    """Entry number for each key."""
    found = np.zeros(len(keys), np.int64)
    look_up(build_table(entries)[0], keys, found)
    return found


def first_match(entries: list[Entry], key: int) -> int:
    """The specification: the first entry with `key & mask == entry.key`."""
    return next((i for i, entry in enumerate(entries) if key & entry.mask == entry.key), NO_ENTRY)


def spread(bits: int) -> int:
    """Six bits on both ends and in the middle of a word: keys in a space small enough to try all."""
    return sum((bits >> i & 1) << place for i, place in enumerate((0, 1, 7, 16, 30, 31)))


def to_entry(mask: int, key: int) -> Entry:
    return Entry(key & mask, mask, (1,))


def check(entries: list[Entry], keys: list[int]) -> None:
    found = lookup_all(entries, np.array(keys, np.uint32))
    assert found.tolist() == [first_match(entries, key) for key in keys]


small = st.integers(0, 63).map(spread)


@given(st.lists(st.builds(to_entry, small, small), max_size=24))
def test_lookup_is_first_match_for_overlapping_entries(entries: list[Entry]) -> None:
    check(entries, [spread(bits) for bits in range(64)])


@given(st.lists(st.builds(to_entry, words, words), max_size=24), st.lists(words, max_size=16))
def test_lookup_is_first_match_for_any_entries(entries: list[Entry], keys: list[int]) -> None:
    hits = [entry.key | (noise & ~entry.mask) for entry in entries for noise in keys]
    check(entries, [*keys, *hits])


@given(st.lists(words, unique=True, max_size=64), st.lists(words, min_size=1, max_size=16))
def test_lookup_in_one_group_with_collisions(keys: list[int], others: list[int]) -> None:
    check([Entry(key, 0xFFFFFFFF, (1,)) for key in keys], [*keys, *others])


def test_a_repeated_entry_never_hides_the_first() -> None:
    entries = [Entry(5, 0xFF, (1,)), Entry(0, 0, (2,)), Entry(5, 0xFF, (3,))]
    assert lookup_all(entries, np.array([0x105, 6], np.uint32)).tolist() == [0, 1]


def test_an_empty_table_matches_nothing() -> None:
    assert lookup_all([], np.array([0, 2**32 - 1], np.uint32)).tolist() == [NO_ENTRY] * 2


def test_a_full_table_finds_each_of_its_entries() -> None:
    entries = [Entry(number << 3, 0xFFFFFFF8, (1 + number % 152,)) for number in range(16384)]
    keys = np.array([entry.key + 5 for entry in entries], np.uint32)
    assert lookup_all(entries, keys).tolist() == list(range(16384))


def test_targets_of_an_entry_are_its_pes_in_ascending_order() -> None:
    table = build_table([Entry(0, 1, (9, 3)), Entry(1, 1, ()), Entry(1, 3, (152,))])[0]
    start = table["start"]
    targets = [table["targets"][start[e] : start[e + 1]].tolist() for e in range(3)]
    assert targets == [[3, 9], [], [152]]


def test_too_many_entries_are_refused() -> None:
    with pytest.raises(ConfigError, match="16385 routing entries") as caught:
        build_table([Entry(0, 0, (1,))] * 16385)
    assert (caught.value.needed, caught.value.limit) == (16385, 16384)


@given(words, words, st.integers(0, 31))
def test_an_entry_that_never_matches_is_refused(key: int, mask: int, bit: int) -> None:
    mask &= ~(1 << bit)
    with pytest.raises(ConfigError, match="entry 1 can never match"):
        build_table([Entry(0, 0, (1,)), Entry(key & mask | 1 << bit, mask, (1,))])


@pytest.mark.parametrize("pes", [(0,), (153,), (-1,), (5, 5)])
def test_bad_target_pes_are_refused(pes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="entry 0: target PEs"):
        build_table([Entry(0, 0, pes)])


@pytest.mark.parametrize(("key", "mask"), [(0, 2**32), (2**32, 2**33 - 1), (-1, -1)])
def test_entries_beyond_32_bits_are_refused(key: int, mask: int) -> None:
    with pytest.raises(ConfigError, match="32 bits"):
        build_table([Entry(key, mask, (1,))])


# --- links -----------------------------------------------------------------------------------------------------------

KEY_BITS = 5


def to_filter(key: int, mask: int) -> tuple[int, int]:
    """A (key, mask) whose bits beyond KEY_BITS are all 0: 32 keys are the whole space."""
    mask |= 0xFFFFFFFF << KEY_BITS & 0xFFFFFFFF
    return key & mask, mask


fives = st.integers(0, 2**KEY_BITS - 1)
filters = st.builds(to_filter, fives, fives)
port_lists = st.lists(filters, max_size=3).map(tuple)
input_lists = st.lists(st.tuples(st.integers(0, 2), filters).map(lambda f: (f[0], *f[1])), max_size=4).map(tuple)


def naive_links(endpoints: list[Endpoint], entries: list[Entry]) -> list[Connection]:
    """A link exists if some key may be sent, is matched by an entry, and passes the target port's filter.

    An entry that an earlier one hides still makes connections: a promise more to wait for, never one too few.
    """
    found = set()
    for sender in endpoints:
        for port, (key, mask) in enumerate(sender.outputs):
            sent = [k for k in range(2**KEY_BITS) if k & mask == key]
            for entry in entries:
                for target in endpoints:
                    if target.pe in entry.pes:
                        for number, key_in, mask_in in target.inputs:
                            if any(k & entry.mask == entry.key and k & mask_in == key_in for k in sent):
                                found.add(Connection(sender.pe, port, target.pe, number))
    return sorted(found)


@given(
    st.lists(st.tuples(input_lists, port_lists), min_size=1, max_size=4),
    st.lists(st.tuples(filters, st.sets(st.integers(1, 5)).map(tuple)), max_size=4),
)
def test_links_are_those_of_a_naive_search(ports: list, routes: list) -> None:
    endpoints = [Endpoint(pe, inputs, outputs, (Fifo(4),)) for pe, (inputs, outputs) in enumerate(ports, 1)]
    entries = [Entry(key, mask, pes) for (key, mask), pes in routes]
    assert find_connections(endpoints, entries) == naive_links(endpoints, entries)


def test_links_of_a_small_chain() -> None:
    spikes, errors = (0x10, 0xFFFFFFF0), (0x20, 0xFFFFFFF0)
    endpoints = [
        Endpoint(5, ((0, *errors),), (spikes,), (Fifo(4),)),
        Endpoint(6, ((0, *spikes),), (errors,), (Fifo(4),)),
    ]
    entries = [Entry(*spikes, (6,)), Entry(*errors, (5, 99))]
    assert find_connections(endpoints, entries) == [Connection(5, 0, 6, 0), Connection(6, 0, 5, 0)]
    assert find_connections(endpoints, []) == []
