"""Networks in TOML: keys, filters and routing entries against what the file says, and all that can be wrong in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2host.network import Network, read_network

TWO = """
[population.a]
program = "a.py"
pes = ["1.1.0", "1.1.1"]
[population.b]
program = "some.module"
pes = ["2.1.0", "2.1.1"]
"""


def network(folder: Path, text: str) -> Network:
    path = folder / "net.toml"
    path.write_text(text)
    return read_network(path)


def connected(net: Network) -> set[tuple[int, str, int, str]]:
    """(source PE, port, target PE, port) of everything that a packet with some key of a port reaches."""
    found = set()
    inputs = {pe.pe: pe.inputs for pe in net.pes} | {pe: ports[0] for pe, ports in net.ports.items()}
    outputs = {pe.pe: pe.outputs for pe in net.pes} | {pe: ports[1] for pe, ports in net.ports.items()}
    for source, ports in outputs.items():
        for port, (first, mask) in ports.items():
            for key in {first, first | ~mask & 0xFFFFFFFF}:  # the first and the last key
                matching = [pes for k, m, pes in net.entries if key & m == k]
                assert len(matching) <= 1
                for target in matching[0] if matching else []:
                    heard = [p for p, filters in inputs[target].items() for k, m in filters if key & m == k]
                    assert len(heard) == 1
                    found.add((source, port, target, heard[0]))
    return found


@pytest.mark.parametrize(
    ("how", "expected"),
    [("all", [(0, 0), (0, 1), (1, 0), (1, 1)]), ("one", [(0, 0), (1, 1)]), ("next", [(0, 1), (1, 0)])],
)
def test_connections_reach_whom_they_should(tmp_path: Path, how: str, expected: list[tuple[int, int]]) -> None:
    net = network(tmp_path, TWO + f'[[connect]]\nfrom = "a.x"\nto = "b.y"\nhow = "{how}"\n')
    a, b = (net.populations[name] for name in "ab")
    assert connected(net) == {(a[i], "x", b[j], "y") for i, j in expected}
    assert len(net.entries) == (1 if how == "all" else 2)
    assert net.pes[0].program == str(tmp_path / "a.py") and net.pes[2].program == "some.module"


names = st.sampled_from("abcd")


@given(
    sizes=st.dictionaries(names, st.integers(1, 9), min_size=4),
    pairs=st.lists(st.tuples(names, st.sampled_from("xy"), names, st.sampled_from("pq")), max_size=8, unique=True),
    count=st.integers(1, 300),
)
def test_any_network_connects_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], pairs: list[tuple[str, str, str, str]], count: int
) -> None:
    text = "".join(f"[population.{name}]\npes = {size}\n" for name, size in sizes.items())
    if any(source == "a" and port == "x" for source, port, _, _ in pairs):
        text += f"[population.a.keys]\nx = {{ count = {count} }}\n"
    text += "".join(f'[[connect]]\nfrom = "{a}.{x}"\nto = "{b}.{p}"\n' for a, x, b, p in pairs)
    folder = tmp_path_factory.mktemp("net")
    if any((a, x, b) == (c, y, d) and p != q for a, x, b, p in pairs for c, y, d, q in pairs):
        with pytest.raises(ConfigError, match="arrives on one port"):
            network(folder, text)
        return
    net = network(folder, text)
    places = net.populations
    assert sorted(pe for pes in places.values() for pe in pes) == list(geometry.APPLICATION_IDS)[: sum(sizes.values())]
    assert connected(net) == {(s, x, t, p) for a, x, b, p in pairs for s in places[a] for t in places[b]}


def test_keys_data_and_parameters_are_taken_from_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.arange(3))
    net = network(
        tmp_path,
        """
[population.a]
program = "some.module"
pes = ["1.1.0", "1.1.1", "1.1.2"]
set = { n = 5, rates = [1.5, 2.5] }
data = { w = "w.npy" }
keys = { out = { first = 0x1000, count = 200 } }
[[connect]]
from = "a.out"
to = "a.in"
how = "next"
""",
    )
    assert [pe.outputs["out"] for pe in net.pes] == [(0x1000 + 256 * i, 0xFFFFFF00) for i in range(3)]
    assert [pe.parameters for pe in net.pes] == [{"n": 5, "rates": [1.5, 2.5]}] * 3
    assert net.pes[2].data["w"].tolist() == [0, 1, 2]
    assert net.entries == [(0x1000 + 256 * i, 0xFFFFFF00, [77 + (i + 1) % 3]) for i in range(3)]


CONNECT = '[[connect]]\nfrom = "a.x"\nto = "b.y"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "population"),
        ("a b = 1", "line 1"),
        ("[population.a]\n", "pes: Field required"),
        ("[population.a]\npes = []\n", "asks for"),
        ("[population.a]\npes = 149\n", "149 PEs, 148 are left"),
        ('[population.a]\npes = ["9.9.9"]\n', "9.9.9"),
        ('[population.a]\npes = ["1.1.0", "1.1.0"]\n', r"PE 1\.1\.0 is in population a and in a"),
        ("[population.a]\npes = 1\nprogramm = 'x'\n", "programm"),
        (TWO.replace('"2.1.0"', '"1.1.1"'), r"PE 1\.1\.1 is in population a and in b"),
        (TWO + CONNECT.replace("a.x", "c.x"), "from c.x: there is no such population, only a, b"),
        (TWO + CONNECT.replace("b.y", "c.y"), "to c.y: there is no such population, only a, b"),
        (TWO + CONNECT.replace("b.y", "b"), "connect.0.to"),
        (TWO + CONNECT + 'how = "some"\n', "connect.0.how"),
        (TWO.replace(', "2.1.1"', "") + CONNECT + 'how = "one"\n', "2 PEs cannot be matched with 1"),
        (TWO + CONNECT + "[population.a.keys]\nz = { count = 4 }\n", "keys for port z, from which no connection"),
        (TWO + CONNECT + "[population.a.keys]\nx = { first = 8, count = 8 }\n", "multiple of 0x10"),
        (TWO + CONNECT + "[population.a.keys]\nx = { count = 0 }\n", "greater than or equal to 1"),
        (TWO + CONNECT + "[population.a.keys]\nx = { first = 0xFFFF0000 }\n", "multiple of 0x20000"),
        (
            TWO
            + CONNECT
            + CONNECT.replace("a.x", "a.z")
            + "[population.a.keys]\nx = { first = 0 }\nz = { first = 0 }\n",
            "overlapping keys: a.x and a.z both send 0x0",
        ),
        (TWO + "[population.a.data]\nw = 'no.npy'\n", "no.npy"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        network(tmp_path, text)
    assert "net.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_network(tmp_path / "none.toml")
    (tmp_path / "w.npy").write_bytes(b"\x93NUMPY garbage")
    with pytest.raises(ConfigError, match=r"w\.npy"):
        network(tmp_path, TWO + "[population.a.data]\nw = 'w.npy'\n")
