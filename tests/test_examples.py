"""The examples of `docs/examples`, on the chip, against what their texts say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Chips
from helpers import BOOTS

from spinn2emu import geometry, mesh
from spinn2emu.registers import kiss_seed
from spinn2host.chip import Chip
from spinn2host.network import read_network

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


@pytest.fixture(params=BOOTS.values(), ids=BOOTS)
def chip(request: pytest.FixtureRequest, chips: Chips) -> Chip:
    return chips(**request.param)


@pytest.fixture(autouse=True, scope="module")
def _there_are_examples() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.toml")) == ["ping", "poisson_lif", "stimulated", "synfire"]


@pytest.mark.parametrize("kick", [20, 17, 16, 10])
def test_a_volley_goes_round_the_synfire_ring_if_it_is_large_enough(chip: Chip, kick: int) -> None:
    net = read_network(EXAMPLES / "synfire.toml")
    chip.load_network(net)
    chip.write("1.1.0", "kick", kick)
    chip.run(21)
    alive = kick * np.float32(0.06) >= 1
    for i, pe in enumerate(net.populations["group"]):
        expected = [20 * alive if t % 4 == i else 0 for t in range(21)]
        expected[0] = kick if i == 0 else 0
        assert chip.read(pe, "volley")[:21].tolist() == expected
    assert alive == (kick >= 17)


def kiss_uniform(state: list[int]) -> np.float32:
    bits = (1 << 64) - 1
    x, c, y, z = state
    t = (x << 58 & bits) + c & bits
    c, x = x >> 6, x + t & bits
    c += x < t
    y ^= y << 13 & bits
    y ^= y >> 17
    y ^= y << 43 & bits
    z = 6906969069 * z + 1234567 & bits
    state[:] = [x, c, y, z]
    return np.float32((x + y + z & bits) >> 40) * np.float32(2.0**-24)


def test_poisson_input_drives_the_lif_population_as_a_plain_simulation_does(chip: Chip) -> None:
    ticks = 60
    chip.load_network(read_network(EXAMPLES / "poisson_lif.toml"))
    chip.run(ticks)
    weights = chip.read("1.1.1", "weights")
    state, sent = kiss_seed(geometry.pe_id("1.1.0")), []
    v, rest = np.zeros(64, np.float32), np.zeros(64, int)
    spikes, voltages = np.zeros(64, int), []
    probability = np.float32(20 * 1e-3)
    for t in range(ticks):
        now = sent
        sent = [i for i in range(100) if kiss_uniform(state) < probability]
        v *= np.float32(0.95)
        for i in now:
            v += weights[i]
        for n in range(64):
            if rest[n] > 0:
                rest[n], v[n] = rest[n] - 1, 0
            elif v[n] >= 1:
                spikes[n], rest[n], v[n] = spikes[n] + 1, 2, 0
        voltages.append(v[:4].copy())
        assert t < ticks
    assert chip.read("1.1.1", "voltages")[:ticks].tolist() == np.array(voltages).tolist()
    assert chip.read("1.1.1", "spikes").tolist() == spikes.tolist()
    assert spikes.sum() > 0


def test_the_poisson_rate_is_as_asked_for(chips: Chips) -> None:
    chip = chips()
    chip.load("spinn2fw.examples.poisson", ["1.1.0"], {"n": 200, "rate_hz": 50.0})
    chip.run(4000)
    sent = chip.read("1.1.0", "sent")
    # 200 sources, 4 s: 40,000 spikes expected, standard deviation sqrt(40,000 * 0.95) = 195
    assert abs(int(sent.sum()) - 40_000) < 5 * 195
    # per source 200 +- sqrt(190): the variance of the counts over their mean is 0.95 +- 0.1
    assert 0.55 < sent.var() / sent.mean() < 1.35


def test_ping_measures_the_latency_of_the_mesh(chip: Chip) -> None:
    chip.load_network(read_network(EXAMPLES / "ping.toml"))
    chip.run(30)
    near, far = geometry.pe_id("1.1.0"), geometry.pe_id("7.6.3")
    assert chip.read(near, "there_ns").tolist() == [mesh.latency_ns(near, far)] * 10
    assert chip.read(near, "back_ns").tolist() == [mesh.latency_ns(far, near)] * 10
    assert chip.read(near, "ticks").tolist() == [2] * 10
    assert chip.read(near, "done").tolist() == [10]
