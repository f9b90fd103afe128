"""Networks that are fed, and whose spikes are heard, while time passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import CORE

from spinn2emu.errors import ConfigError, PeFailed
from spinn2fw.kernels.synapses import HOST
from spinn2host.chip import Chip
from spinn2host.spinnaker2 import hardware, memory, snn
from spinn2host.spinnaker2.live import Session, Spike
from spinn2host.spinnaker2.partition import record_parameters
from spinn2host.spinnaker2.settings import settings

SIZE = 30
WAYS: dict[str, tuple[dict[str, Any], int]] = {
    "as it is": ({}, 250), "split": ({}, 7), "three routers": ({"cores": [CORE] * 3}, 4),
    "plain Python": ({"loop": "python"}, 11),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _no_chip_is_left() -> Iterator[None]:
    yield
    hardware.halt()


@pytest.fixture
def board() -> hardware.SpiNNaker2Chip:
    return hardware.SpiNNaker2Chip()


def network(
    atoms: int = 250, source: str = "spike_receiver", params: Any = None
) -> tuple[snn.Network, list[snn.Population]]:
    """A stimulus, neuron i of which excites neurons i and i + 1 of the output, which inhibits itself a bit."""
    rng = np.random.default_rng(1)
    stimulus = snn.Population(SIZE, source, params or {}, name="stimulus")
    lif = {"threshold": 10.0, "alpha_decay": 0.9, "i_offset": 0.0, "v_init": 0.0, "reset": "reset_by_subtraction"}
    output = snn.Population(SIZE, "lif", lif, name="output", record=["spikes", "v"])
    for population in (stimulus, output):
        population.set_max_atoms_per_core(atoms)
    forward = [[i, (i + j) % SIZE, 9, j] for i in range(SIZE) for j in range(2)]
    back = [[i, int(rng.integers(SIZE)), -3, 1] for i in range(SIZE)]
    net = snn.Network("fed")
    net.add(stimulus, output, snn.Projection(stimulus, output, forward), snn.Projection(output, output, back))
    return net, [stimulus, output]


def stimuli() -> dict[int, list[int]]:
    rng = np.random.default_rng(2)
    return {i: sorted(set(rng.integers(1, 100, 25).tolist())) for i in range(SIZE)}


def results(populations: list[snn.Population]) -> list[Any]:
    stimulus, output = populations
    return [stimulus.get_spikes(), output.get_spikes(), {i: v.tolist() for i, v in output.get_voltages().items()}]


def by_population(spikes: list[Spike], populations: list[snn.Population]) -> list[dict[int, list[int]]]:
    found: list[dict[int, list[int]]] = [{i: [] for i in range(SIZE)} for _ in populations]
    for spike in spikes:
        found[populations.index(spike.population)][spike.neuron].append(spike.tick)
    return found


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    """What a spike list with the same spikes gives."""
    net, populations = network(source="spike_list", params=stimuli())
    hardware.SpiNNaker2Chip().run(net, 110)
    return results(populations)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["before", "by tick", "between runs"])
def test_a_fed_population_does_what_a_spike_list_does(
    board: hardware.SpiNNaker2Chip, expected: list[Any], monkeypatch: pytest.MonkeyPatch, way: str, when: str
) -> None:
    """However it is fed, split and run; and all spikes are heard."""
    options, atoms = WAYS[way]
    if options:
        hardware.halt()
        for name, value in options.items():
            monkeypatch.setattr(settings, name, value)
    net, (stimulus, output) = network(atoms)
    wanted = stimuli()
    with Session(board, net, 110) as session:
        if when == "before":
            assert session.feed(stimulus, wanted) == 1
            session.start(110, window=9)
        elif when == "by tick":
            for tick in range(100, 0, -1):
                neurons = [i for i in wanted if tick in wanted[i]]
                session.feed(stimulus, [*neurons, *neurons[::-1]], tick)  # twice is once
            session.run(110)
        else:
            session.run(1)
            for tick in range(1, 110):
                assert session.feed(stimulus, [i for i in wanted if tick in wanted[i]]) == tick
                session.run(1)
        heard = list(session.spikes())
    assert results([stimulus, output]) == expected and sum(map(len, expected[1].values())) > 100
    assert by_population(heard, [stimulus, output]) == expected[:2]
    assert [spike.tick for spike in heard] == sorted(spike.tick for spike in heard)
    if options:
        hardware.halt()


def test_what_is_heard_can_be_chosen(board: hardware.SpiNNaker2Chip, expected: list[Any]) -> None:
    net, (stimulus, output) = network(12)
    with Session(board, net, 110, hear=[output]) as session:
        session.feed(stimulus, stimuli())
        heard: list[Spike] = []
        session.run(110, on_spikes=heard.extend)
    assert by_population(heard, [stimulus, output]) == [{i: [] for i in range(SIZE)}, expected[1]]
    net, (stimulus, output) = network()
    with Session(board, net, 20, hear=[]) as session:
        session.feed(stimulus, 3)
        for call in (lambda: session.run(5, on_spikes=print), lambda: next(session.spikes())):
            with pytest.raises(ConfigError, match="no spikes are heard"):
                call()
        session.run(40)
    assert stimulus.get_spikes()[3] == [1] and len(output.get_voltages()[0]) == 20


def test_a_closed_loop_is_the_same_each_time(board: hardware.SpiNNaker2Chip) -> None:
    """Each spike of the output makes a neuron of the stimulus spike in the next tick."""
    found = []
    for atoms in (250, 7):
        for how in ("runs", "callback"):
            net, (stimulus, output) = network(atoms)
            with Session(board, net, 60, hear=[output]) as session:

                def answer(
                    spikes: list[Spike], session: Session = session, stimulus: snn.Population = stimulus
                ) -> None:
                    for spike in spikes:
                        assert session.feed(stimulus, (3 * spike.neuron + 1) % SIZE) == spike.tick + 1

                session.feed(stimulus, np.repeat(np.arange(SIZE), 3), np.tile([1, 2, 3], SIZE))
                for _ in range(60 if how == "runs" else 1):
                    if how == "runs":
                        session.run(1)
                        answer(list(session.spikes()))
                    else:
                        session.run(60, on_spikes=answer, window=1)
            found.append(results([stimulus, output]))
    assert found[0] == found[1] == found[2] == found[3]
    assert max(tick for ticks in found[0][0].values() for tick in ticks) > 20


def test_what_cannot_be_fed_is_refused_by_name(board: hardware.SpiNNaker2Chip) -> None:
    net, (stimulus, output) = network()
    stranger = snn.Population(3, "spike_receiver", {}, name="stranger")
    with Session(board, net, 50) as session:
        session.run(10)
        for arguments, reason in [
            ((output, 3), "population output: only a spike_receiver can be fed, it is of model lif"),
            ((stranger, 1), "population stranger is not in network 'fed': add it"),
            (("stimulus", 1), "stimulus is not in network"),
            ((stimulus, SIZE), "there is no neuron 30, only 0 to 29"),
            ((stimulus, [0, -1]), "there is no neuron -1"),
            ((stimulus, 0.5), "neurons are whole numbers"),
            ((stimulus, {30: [20]}), "there is no neuron 30"),
            ((stimulus, {3: [2.5]}), "are a list of ticks"),
            ((stimulus, {3: [20]}, 5), "names the ticks itself"),
            ((stimulus, 3, 0), "tick 1 is the first that can be fed, 4294967295 the last, not 0"),
            ((stimulus, 3, 9), "population stimulus: 1 spikes come too late for tick 9: tick 10 is the first"),
            (
                (stimulus, [1, 2, 3], [20, 30]),
                "population stimulus: there are 2 ticks for 3 neurons: give one tick, or one for each",
            ),
            ((stimulus, 3, 12.5), "population stimulus: ticks are whole numbers, not 12.5"),
            ((stimulus, 3, "12"), "population stimulus: ticks are whole numbers, not '12'"),
            ((stimulus, 3, 1 << 40), "tick 1 is the first that can be fed, 4294967295 the last, not 1099511627776"),
            ((stimulus, {3: iter([20])}), "are a list of ticks"),
        ]:
            with pytest.raises(ConfigError, match=reason):
                session.feed(*arguments)
        session.feed(stimulus, [])
        session.run(40)
    assert not any(stimulus.get_spikes().values())
    with pytest.raises(ConfigError, match="stranger is not in network"):
        Session(board, net, 5, hear=[stranger])
    with pytest.raises(ConfigError, match="run wants a Network"):
        Session(board, "net", 5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="takes no input"):
        snn.Projection(output, stimulus, [[0, 0, 1, 0]])
    with pytest.raises(ConfigError, match="cannot record 'v'"):
        snn.Population(3, "spike_receiver", {}, record=["v"])


def test_a_session_without_a_block_is_closed_by_hand_and_does_nothing_afterwards(
    board: hardware.SpiNNaker2Chip,
) -> None:
    net, (stimulus, output) = network()
    session = Session(board, net, 20, hear=output)
    session.feed(stimulus, {3: [5]})
    session.run(np.int64(20), window=np.uint8(4))  # type: ignore[arg-type]
    assert {spike.population for spike in session.spikes()} <= {output}
    session.close()
    session.close()
    assert stimulus.get_spikes()[3] == [5]
    for late in (
        lambda: session.run(1), lambda: session.start(1), lambda: session.feed(stimulus, 1), session.read_results,
        lambda: list(session.spikes()),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="this session of network 'fed' is closed"):
            late()
    with pytest.raises(ConfigError, match="a session runs on a board, such as SpiNNaker2Chip"):
        Session(None, net, 5)  # type: ignore[arg-type]
    board.run(net, 5)


def test_a_network_runs_in_a_session_or_without(board: hardware.SpiNNaker2Chip) -> None:
    """A thread that would wait for itself is told; another one waits; without a session receivers are silent."""
    net, populations = network()
    with Session(board, net, 10) as session:
        for attempt in (lambda: board.run(net, 5), lambda: Session(board, net, 5)):
            with pytest.raises(ConfigError, match="a live session of this thread is open"):
                attempt()
        other = threading.Thread(target=lambda: board.run(network()[0], 5))
        other.start()
        session.feed(populations[0], 2)
        session.run(10)
    other.join(60)
    assert populations[0].get_spikes()[2] == [1]
    board.run(net, 10)
    assert not any(populations[0].get_spikes().values())


def test_errors_end_a_session_and_nothing_else(board: hardware.SpiNNaker2Chip) -> None:
    net, populations = network()
    with pytest.raises(ZeroDivisionError), Session(board, net, 10) as session:
        session.run(3)
        raise ZeroDivisionError
    with pytest.raises(ConfigError), Session(board, net, 10) as session:
        session.feed(populations[1], 3)
    with (
        pytest.raises(PeFailed, match="the host has named a neuron that this PE has not"),
        Session(board, net, 9) as session,
    ):
        session.chip.inject(HOST + SIZE)
        session.run(5)
    board.run(net, 10)


def test_a_network_on_a_resident_chip_is_fed_and_heard_there(desk: str) -> None:
    net, (stimulus, _) = network(9)
    with Session(hardware.SpiNNaker2Chip(eth_ip=f"emu://{desk}"), net, 30) as session:
        with Chip.attach(desk) as other:
            assert "spinn2fw.snn.receiver" in other.info()["programs"].values()
            part = session._layout.of(stimulus)[0]
            p = {"n": part.neurons, **record_parameters(stimulus, 30)}
            assert memory.used_bytes(memory.RECEIVER, p) == other.memory(part.pe).used
        session.feed(stimulus, [4, 20])
        session.run(10)
        assert [(spike.tick, spike.population.name, spike.neuron) for spike in session.spikes()][:2] == [
            (1, "stimulus", 4), (1, "stimulus", 20)
        ]  # fmt: skip
    with Chip.attach(desk) as other:
        other.events().close()
