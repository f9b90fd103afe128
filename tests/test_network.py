"""Networks in TOML: keys, filters and routing entries against what the file says, and all that can be wrong in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2host.chip import Chip
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


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ('how = "others"', {(i, j) for i in range(4) for j in range(4) if i != j}),
        ('how = "pairs"\npairs = [[0, 1], [0, 2], [3, 3], [0, 1]]', {(0, 1), (0, 2), (3, 3)}),
        ('how = "pairs"\npairs = []', set()),
        ('how = "random"\nprobability = 0', set()),
        ('how = "random"\nprobability = 1.0', {(i, j) for i in range(4) for j in range(4)}),
        ('how = "random"\nfan_in = 0', set()),
        ('how = "random"\nfan_in = 4', {(i, j) for i in range(4) for j in range(4)}),
        # kept draws of PCG64: the same on every machine
        (
            'how = "random"\nprobability = 0.5\nseed = 3',
            {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 0)},
        ),
        ('how = "random"\nfan_in = 1\nseed = 3', {(0, 0), (1, 3), (2, 1), (2, 2)}),
    ],
)
def test_pes_of_a_population_are_connected_as_they_should(
    tmp_path: Path, how: str, expected: set[tuple[int, int]]
) -> None:
    net = network(tmp_path, f'[population.a]\npes = 4\n[[connect]]\nfrom = "a.x"\nto = "a.y"\n{how}\n')
    a = net.populations["a"]
    assert connected(net) == {(a[i], "x", a[j], "y") for i, j in expected}


@pytest.mark.parametrize("how", ["others", "random"])
def test_many_senders_share_a_filter(tmp_path: Path, how: str) -> None:
    more = "fan_in = 20\n" if how == "random" else ""
    net = network(tmp_path, f'[population.a]\npes = 40\n[[connect]]\nfrom = "a.x"\nto = "a.y"\nhow = "{how}"\n{more}')
    heard = connected(net)
    assert len(heard) == 40 * (39 if how == "others" else 20)
    assert all(len(filters) == 1 for inputs, *_ in net.ports.values() for filters in inputs.values())


def test_random_connections_follow_their_seed(tmp_path: Path) -> None:
    text = '[population.a]\npes = 30\n[[connect]]\nfrom = "a.x"\nto = "a.y"\nhow = "random"\nfan_in = 7\nseed = '
    one, same, other = (connected(network(tmp_path, text + seed)) for seed in ("5", "5", "6"))
    assert one == same != other
    for pe in {target for _, _, target, _ in one}:
        assert sum(target == pe for _, _, target, _ in one) == 7


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


def test_pes_of_a_population_may_differ(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", np.arange(3))
    np.save(tmp_path / "rows.npy", np.arange(12).reshape(3, 4))
    np.save(tmp_path / "own.npy", np.array([7, 7, 7, 7]))
    net = network(
        tmp_path,
        """
[population.a]
program = "some.module"
pes = 3
set = { n = 1, m = 2, k = 3 }
data = { u = "all.npy", w = "all.npy" }
each.set = { m = [10, 20, 30], k = [[1], [2], [3]] }
each.data = { w = "rows.npy" }
at.1.set = { m = 99, extra = true }
at.2.data = { w = "own.npy" }
""",
    )
    assert [pe.parameters for pe in net.pes] == [
        {"n": 1, "m": 10, "k": [1]}, {"n": 1, "m": 99, "k": [2], "extra": True}, {"n": 1, "m": 30, "k": [3]},
    ]  # fmt: skip
    assert [pe.data["w"].tolist() for pe in net.pes] == [[0, 1, 2, 3], [4, 5, 6, 7], [7, 7, 7, 7]]
    assert all(pe.data["u"].tolist() == [0, 1, 2] for pe in net.pes)
    assert [(pe.index, pe.size) for pe in net.pes] == [(0, 3), (1, 3), (2, 3)]
    assert [pe.to_wire()[name] for pe in net.pes for name in ("index", "size")] == [0, 3, 1, 3, 2, 3]


def test_a_population_whose_pes_differ_runs(chip: Chip, programs: dict[str, str], tmp_path: Path) -> None:
    np.save(tmp_path / "plans.npy", np.array([[-1, 0, 0], [5, 0, 9], [-1, 0, 1]]))
    (tmp_path / "net.toml").write_text(
        f"""
[population.source]
program = "{programs["source"]}"
pes = 3
each.set = {{ count = [1, 2, 3] }}
[population.counter]
program = "{programs["counter"]}"
pes = 3
each.data = {{ plan = "plans.npy" }}
[population.sink]
program = "{programs["sink"]}"
pes = 3
[[connect]]
from = "source.out"
to = "sink.in"
how = "pairs"
pairs = [[0, 1], [1, 1], [2, 2]]
""",
        encoding="utf-8",
    )
    places = chip.load_network(tmp_path / "net.toml").populations
    chip.run(5)
    assert [chip.read(pe, "count").tolist() for pe in places["source"]] == [[1], [2], [3]]
    assert [chip.read(pe, "plan").tolist() for pe in places["counter"]] == [[-1, 0, 0], [5, 0, 9], [-1, 0, 1]]
    assert [chip.read(pe, "n")[0] for pe in places["sink"]] == [0, 4 * (1 + 2), 4 * 3]
    named = {row["id"]: row["population"] for row in chip.ps() if row["program"]}
    assert named == {pe: name for name, pes in places.items() for pe in pes}


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
        (TWO + "[population.a.each]\nset = { n = [1] }\n", "`each` has 1 values of n, for 2 PEs"),
        (TWO + "[population.a.each]\nset = { n = 1 }\n", "population.a.each.set.n: "),
        (TWO + "[population.a.each]\ndata = { w = 'flat.npy' }\n", "`each` has 3 values of w, for 2 PEs"),
        (TWO + "[population.a.each]\ndata = { w = 'scalar.npy' }\n", "`each` has 0 values of w, for 2 PEs"),
        (TWO + "[population.a.at.2]\nset = { n = 1 }\n", r"population a has the PEs 0 to 1, there is no at\.2"),
        (TWO + "[population.a.at.x]\nset = { n = 1 }\n", r"population\.a\.at\.x"),
        ("[population.a]\npes = 1\nset = { n = 1 }\n", "do nothing without a program"),
        ("[population.a]\npes = 1\neach.set = { n = [1] }\n", "do nothing without a program"),
        (TWO + CONNECT + 'how = "random"\n', "probability or fan_in, one of them"),
        (TWO + CONNECT + 'how = "random"\nfan_in = 1\nprobability = 0.5\n', "probability or fan_in, one of them"),
        (TWO + CONNECT + "fan_in = 1\n", "probability or fan_in, one of them"),
        (TWO + CONNECT + "seed = 1\n", "a seed belongs to"),
        (TWO + CONNECT + 'how = "random"\nfan_in = 3\n', "fan_in = 3, but a.x has 2 PEs"),
        (TWO + CONNECT + 'how = "random"\nprobability = 1.5\n', "less than or equal to 1"),
        (TWO + CONNECT + 'how = "pairs"\n', "a list of pairs"),
        (TWO + CONNECT + "pairs = [[0, 0]]\n", "a list of pairs"),
        (
            TWO + CONNECT + 'how = "pairs"\npairs = [[0, 2]]\n',
            r"there is no pair \[0, 2\]: the populations have 2 and 2",
        ),
        (TWO + CONNECT + 'how = "pairs"\npairs = [[-1, 0]]\n', "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, problem: str) -> None:
    np.save(tmp_path / "flat.npy", np.arange(3))
    np.save(tmp_path / "scalar.npy", np.array(3))
    with pytest.raises(ConfigError, match=problem) as caught:
        network(tmp_path, text)
    assert "net.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_network(tmp_path / "none.toml")
    (tmp_path / "w.npy").write_bytes(b"\x93NUMPY garbage")
    with pytest.raises(ConfigError, match=r"w\.npy"):
        network(tmp_path, TWO + "[population.a.data]\nw = 'w.npy'\n")


HOST = """
[population.a]
program = "a.py"
pes = ["1.1.0", "1.1.1"]
[[connect]]
from = "host.stimulus"
to = "a.in"
[[connect]]
from = "host.more"
to = "a.other"
how = "pairs"
pairs = [[0, 1]]
[[connect]]
from = "a.out"
to = "a.other"
[host.keys]
more = { first = 0x5000, count = 100 }
"""


def test_the_host_is_a_sender(tmp_path: Path) -> None:
    net = network(tmp_path, HOST)
    a = net.populations["a"]
    assert list(net.populations) == ["a"] and [pe.pe for pe in net.pes] == a
    assert net.host == {"stimulus": (0x10000, 0xFFFF0000), "more": (0x5000, 0xFFFFFF80)}
    assert [entry for entry in net.entries if entry[0] in (0x10000, 0x5000)] == [
        (0x10000, 0xFFFF0000, a), (0x5000, 0xFFFFFF80, [a[1]])
    ]  # fmt: skip
    inputs = [pe.inputs for pe in net.pes]
    assert [i["in"] for i in inputs] == [[net.host["stimulus"]]] * 2
    assert [net.host["more"] in i["other"] for i in inputs] == [False, True]
    assert net.pes[0].index_bits == {"in": 0xFFFF, "other": net.pes[0].index_bits["other"]}
    heard = network(tmp_path, TWO + '[[connect]]\nfrom = "a.x"\nto = "host.y"\n')
    assert heard.entries == [] and heard.host == {}
    assert [pe.outputs for pe in heard.pes[:2]] == [{"x": (0, 0xFFFF0000)}, {"x": (0x10000, 0xFFFF0000)}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[population.host]\npes = 1\n", "no population is called host"),
        ('[population.a]\npes = 1\n[[connect]]\nfrom = "a.x"\nto = "host.y"\nhow = "one"\n', "the host is one"),
        ('[population.a]\npes = 1\n[[connect]]\nfrom = "host.x"\nto = "host.y"\n', "does not send to itself"),
        ("[population.a]\npes = 1\n[host.keys]\nx = { count = 5 }\n", "host has keys for port x, from which no"),
        ("[population.a]\npes = 1\n[host]\npes = 3\n", "Extra inputs"),
        ('[population.a]\npes = 2\n[[connect]]\nfrom = "host.x"\nto = "a.y"\nhow = "one"\n', "1 PEs cannot be matched"),
    ],
    ids=lambda value: value[:30],
)
def test_what_the_host_cannot_be_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        network(tmp_path, text)
