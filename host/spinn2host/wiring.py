"""Who listens to whom: keys, routing entries and filters for the connections between populations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2host.description import HOST, KEYS_PER_PE, WORD, Connection, Description, KeyBlock
from spinn2host.pe_program import Keys

MOST_FILTERS = 8
"""Of a port for one connection; a PE that hears more senders has one filter for all of them: who reaches it is then
up to the routing entries alone."""


@dataclass
class Ranges:
    """Keys of an output port: of `each` PE of a population, and of `all` together."""

    each: list[Keys]
    all: Keys

    def entries(self, targets: list[set[int]]) -> Iterator[tuple[int, int, list[int]]]:
        """One routing entry if all PEs have the same targets, else one for each that has some."""
        if targets[0] and all(own == targets[0] for own in targets):
            yield *self.all, sorted(targets[0])
        else:
            yield from ((*keys, sorted(own)) for keys, own in zip(self.each, targets, strict=True) if own)


def choose_keys(description: Description, placed: Mapping[str, list[int]]) -> Iterator[tuple[str, Ranges]]:
    """Keys for every port that a connection comes from: aligned blocks, so that a mask covers a population."""
    sources = list(dict.fromkeys(connection.source for connection in description.connect))
    for source in sources:
        if source.split(".")[0] not in placed:
            raise ConfigError(f"connection from {source}: there is no such population, only {', '.join(placed)}")
    blocks = []
    for source in sources:
        name, port = source.split(".")
        block = description.senders()[name].keys.get(port) or KeyBlock(first=None, count=KEYS_PER_PE)
        count = _power_of_two(block.count)
        blocks.append((source, block.first, count, count * _power_of_two(len(placed[name]))))
    for name, population in description.senders().items():
        for port in population.keys:
            if f"{name}.{port}" not in sources:
                raise ConfigError(f"{name} has keys for port {port}, from which no connection comes")
    taken = sorted((first, first + size, source) for source, first, _, size in blocks if first is not None)
    for (_, end, one), (begin, _, other) in pairwise(taken):
        if begin < end:
            raise ConfigError(f"overlapping keys: {one} and {other} both send {begin:#x}: move one of them")
    for source, first, count, size in blocks:
        if first is None:
            first = 0
            for begin, end, _ in taken:
                if first + size > begin:
                    first = -(-max(first, end) // size) * size
            taken = sorted([*taken, (first, first + size, source)])
        if first % size or first + size > WORD + 1:
            raise ConfigError(
                f"{source}: its {size:#x} keys must begin at a multiple of {size:#x} below 2^32, not at {first:#x}"
            )
        pes = len(placed[source.split(".")[0]])
        yield source, Ranges([(first + i * count, WORD + 1 - count) for i in range(pes)], (first, WORD + 1 - size))


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def connect(
    connection: Connection, placed: Mapping[str, list[int]], keys: Mapping[str, Ranges],
    inputs: dict[int, dict[str, list[Keys]]], targets: dict[str, list[set[int]]],
) -> None:  # fmt: skip
    """Adds the filters of one connection to `inputs`, and its targets, by PE of the source."""
    source, (name, port) = connection.source, connection.target.split(".")
    if name == HOST:  # it hears what it wants to, whatever the routing table says
        targets.setdefault(source, [set() for _ in placed[source.split(".")[0]]])
        return
    if name not in placed:
        raise ConfigError(f"connection to {connection.target}: there is no such population, only {', '.join(placed)}")
    senders, receivers = placed[source.split(".")[0]], placed[name]
    reach = _reach(connection, senders, receivers)
    own = targets.setdefault(source, [set() for _ in senders])
    for i, j in zip(*np.nonzero(reach), strict=True):
        own[i].add(receivers[j])
    for j, pe in enumerate(receivers):
        speakers = np.flatnonzero(reach[:, j])
        if len(speakers) in (0, len(senders)) or len(speakers) > MOST_FILTERS:
            heard = [keys[source].all] if len(speakers) else []
        else:
            heard = [keys[source].each[i] for i in speakers]
        filters = inputs[pe].setdefault(port, [])
        filters += [range_ for range_ in heard if range_ not in filters]


def _reach(connection: Connection, senders: Sequence[int], receivers: Sequence[int]) -> NDArray[np.bool_]:
    """Which PE of the source reaches which of the target, (senders, receivers)."""
    n, m = len(senders), len(receivers)
    what = f"connection from {connection.source} to {connection.target}, how = {connection.how!r}"
    if connection.how in ("one", "next"):
        if n != m:
            raise ConfigError(f"{what}: {n} PEs cannot be matched with {m}")
        return np.roll(np.eye(n, dtype=bool), 1 if connection.how == "next" else 0, axis=1)
    if connection.how == "others":
        return np.array(senders)[:, None] != np.array(receivers)
    if connection.how == "random":
        draws = np.random.Generator(np.random.PCG64(connection.seed)).random((n, m))
        if connection.fan_in is None:
            return draws < (connection.probability or 0.0)
        if connection.fan_in > n:
            raise ConfigError(f"{what}: fan_in = {connection.fan_in}, but {connection.source} has {n} PEs")
        return draws.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") < connection.fan_in
    if connection.how == "pairs":
        reach = np.zeros((n, m), bool)
        for i, j in connection.pairs or ():
            if i >= n or j >= m:
                raise ConfigError(f"{what}: there is no pair [{i}, {j}]: the populations have {n} and {m} PEs")
            reach[i, j] = True
        return reach
    return np.ones((n, m), bool)


def check_filters(inputs: Mapping[int, Mapping[str, list[Keys]]]) -> None:
    for pe, ports in inputs.items():
        filters = [(port, key, mask) for port, ranges in ports.items() for key, mask in ranges]
        for i, (port, key, mask) in enumerate(filters):
            for other, other_key, other_mask in filters[:i]:
                if other != port and (key ^ other_key) & mask & other_mask == 0:
                    raise ConfigError(
                        f"PE {geometry.name(pe)} hears the same keys ({key:#x}) on its ports {other} and {port}: "
                        "a packet arrives on one port of a PE", pe=pe,
                    )  # fmt: skip
