"""What converting a NIR graph, and Brian2Backend, say; graphs and configurations that cannot be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nir_helpers import WEIGHT, chain, config, cuba, integrate, lif, nir

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2 import brian2_sim, hardware, messages, snn
from spinn2host.spinnaker2.s2_nir import HardwareConstraintError, add_output_to_node, from_nir, model_summary


@pytest.fixture(autouse=True)
def _shared_chip(chips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_private_chip", chips)
    monkeypatch.setattr(messages, "_said", set())


def test_what_has_no_effect_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    reset = nir.LIF(*(np.full(2, v) for v in (0.008, 2.0, 0.0, 1.0, -0.5)))
    net, _, _ = from_nir(chain(nir.Linear(weight=WEIGHT), reset), config(conn_delay=1))
    assert (np.asarray(net.projections[0].connections)[:, 3] == 0).all()
    said = capsys.readouterr()
    assert said.out == ""
    assert "conn_delay=1 is not used" in said.err and "its v_reset is not used" in said.err
    assert "all weights round to 0" not in said.err
    from_nir(chain(nir.Linear(weight=WEIGHT * 0.9), lif(2)), config())
    assert "all weights round to 0, the largest is 0.45; scale_weights=True" in capsys.readouterr().err
    from_nir(chain(LINEAR, lif(2)))
    said = capsys.readouterr().err
    assert "dt is 1, and tau as short as 0.008: neurons forget at once" in said
    from_nir(chain(nir.Affine(weight=WEIGHT, bias=ONE), cuba(2)), config())
    assert "its bias acts on the voltage, in NIR on the current" in capsys.readouterr().err


def test_a_summary_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    graph = chain(
        nir.Conv2d(None, np.ones((3, 2, 2, 2)), 2, 0, 1, 1, np.zeros(3)), integrate((3, 2, 2)), inputs=(2, 4, 5)
    )
    assert model_summary(graph) is None
    said = capsys.readouterr()
    assert said.out == "" and "0: Conv2d (3, 2, 2) → 1" in said.err and "1: IF (3, 2, 2) → output" in said.err


def test_outputs_are_added_to_nodes() -> None:
    graph = chain(nir.Linear(weight=WEIGHT), lif(2), nir.Linear(weight=WEIGHT), lif(2))
    assert [pop.name for pop in from_nir(graph, config())[2]] == ["3"]
    assert from_nir(graph, config())[0].populations[1].record == []
    add_output_to_node("1", graph, "more")
    assert [pop.name for pop in from_nir(graph, config())[2]] == ["1", "3"]
    for node, name, text in (("x", "y", "has no node 'x'"), ("1", "more", "has a node 'more' already")):
        with pytest.raises(ConfigError, match=text):
            add_output_to_node(node, graph, name)


LINEAR = nir.Linear(weight=WEIGHT)
POOL = nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0]))
ONE = np.ones(2)
KERNEL = np.ones((1, 1, 2, 2))


def conv(**values: Any) -> Any:
    given = {"input_shape": None, "weight": KERNEL, "stride": 1, "padding": 0, "dilation": 1, "groups": 1,
             "bias": np.zeros(1)} | values  # fmt: skip
    return nir.Conv2d(**given)


NODES: dict[str, Callable[[], Any]] = {
    "AvgPool2d": lambda: nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
    "Scale": lambda: nir.Scale(scale=ONE),
    "Threshold": lambda: nir.Threshold(threshold=ONE),
    "Delay": lambda: nir.Delay(delay=ONE),
    "LI": lambda: nir.LI(tau=ONE, r=ONE, v_leak=ONE),
    "CubaLI": lambda: nir.CubaLI(tau_syn=ONE, tau_mem=ONE, r=ONE, v_leak=ONE),
    "I": lambda: nir.I(r=ONE),
    "Conv1d": lambda: nir.Conv1d(None, np.ones((1, 1, 2)), 1, 0, 1, 1, np.zeros(1)),
}


@pytest.mark.parametrize("kind", NODES)
def test_nodes_that_the_chip_has_not_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"NIR node '0' \({kind}\) cannot be converted: there are IF, LIF") as error:
        from_nir(chain(NODES[kind](), LINEAR, lif(2)), config())
    assert error.value.fields["node"] == "0" and error.value.fields["type"] == kind
    assert "leave it out, or express it" not in str(error.value)  # each of these has a remedy of its own


SMALL, LARGE, AREA, TWO = (1, 3, 3), (1, 4, 4), integrate((1, 2, 2)), nir.Input(np.array([2]))
GRAPHS: dict[str, tuple[Any, str]] = {
    "weights twice": (chain(LINEAR, LINEAR, lif(2)), r"'0' \(Linear\) and NIR node '1' \(Linear\) follow each"),
    "no weights": (chain(lif(2)), r"'0' \(LIF\) takes the spikes of 'input' without weights: put a Linear"),
    "neurons after neurons": (chain(LINEAR, lif(2), lif(2)), "takes the spikes of '1' without weights"),
    "weights at the end": (chain(LINEAR, lif(2), LINEAR), r"'2' \(Linear\) leads to NIR node 'output'"),
    "a pool after weights": (chain(conv(), POOL, AREA, inputs=LARGE), r"'0' \(Conv2d\) → '1'"),
    "pools twice": (chain(POOL, POOL, AREA, inputs=LARGE), "a pool, or a pool and then weights"),
    "no neurons": (chain(LINEAR), "the NIR graph has no neurons"),
    "CubaLIF after Conv2d": (chain(conv(), cuba((1, 2, 2)), inputs=SMALL), "cannot follow a Conv2d"),
    "overlapping pools": (chain(POOL, conv(), AREA, inputs=LARGE), "pools blocks side by side"),
    "groups": (chain(conv(groups=2), AREA, inputs=SMALL), "groups is 2"),
    "dilation": (chain(conv(dilation=2), integrate((1, 1, 1)), inputs=SMALL), r"dilation is \(2, 2\)"),
    "same, even": (chain(conv(padding="same"), integrate((1, 3, 3)), inputs=SMALL), "kernel of odd size"),
    "flat image": (chain(conv(), AREA, inputs=(9,)), r"shape \(channels, height, width\)"),
    "large weights": (chain(nir.Linear(weight=WEIGHT * 300), lif(2)), "largest weight 150 is beyond 127"),
    "large kernel": (chain(conv(weight=200 * KERNEL), AREA, inputs=SMALL),
                     "largest weight 200 is beyond 127"),
    "sizes": (chain(nir.Linear(weight=np.ones((3, 4))), lif(3)), r"leads from 4 values to 3, but lies between 2"),
    "neurons of another size": (chain(nir.Linear(weight=np.ones((3, 2))), lif(2)), r"shape \(2,\), its layer"),
    "biases": (chain(nir.Affine(weight=WEIGHT, bias=np.ones(3)), lif(2)), "3 biases for the 2 neurons of '1'"),
    "NaN": (chain(nir.Linear(weight=WEIGHT * np.nan), lif(2)), "finite numbers, 4 of 4 are not, such as nan"),
    "infinite tau": (chain(LINEAR, lif(2, tau=np.inf)), "tau is not finite .*; for neurons without leak use IF"),
    "tau below dt": (chain(LINEAR, lif(2, tau=1e-4)), "neuron 0 has tau 0.0001, and dt is 0.001: with forward"),
    "negative tau": (chain(LINEAR, cuba(2, tau_syn=-1.0)), "give time constants above 0"),
    "r": (chain(LINEAR, lif(2, r=0.0)), "r must be above 0"),
    "dead end": (nir.NIRGraph({"input": TWO, "w": LINEAR, "w2": LINEAR, "n": lif(2)},
                                      [("input", "w"), ("w", "n"), ("n", "w2")], type_check=False), "leads nowhere"),
    "a missing node": (nir.NIRGraph({"input": TWO, "w": LINEAR, "n": lif(2)},
                                            [("input", "w"), ("w", "m")], type_check=False), "names 'm', but there"),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "text"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_cannot_be_are_refused(graph: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as error:
        from_nir(graph, config())
    assert "node" in error.value.fields or "no neurons" in text
    assert isinstance(error.value, HardwareConstraintError) == ("follow each" in text)


def test_configurations_that_cannot_be_are_refused() -> None:
    graph = chain(LINEAR, lif(2))
    for values, text in (
        ({"dt": 0.0}, "dt is a time above 0"), ({"dt": float("nan")}, "dt is a time above 0"),
        ({"dt": None}, "dt is a time above 0, not None"), ({"dt": "1"}, "dt is a time above 0, not '1'"),
        ({"conn_delay": 8}, "whole number from 0 to 7"), ({"conn_delay": 0.5}, "whole number from 0 to 7"),
        ({"reset": "both"}, r"ResetMethod\.SUBTRACT or ResetMethod\.ZERO"),
        ({"integrator": None}, "IntegratorMethod.FORWARD or IntegratorMethod.EXPONENTIAL"),
        ({"output_record": ["w"]}, "cannot record 'w'"), ({"output_record": "voltage"}, "cannot record 'voltage'"),
        ({"weight_scale_percentile": 0}, "above 0, at most 100"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=text):
            from_nir(graph, config(**values))
    with pytest.raises(ConfigError, match="but not both"):
        from_nir(graph, config(), conn_delay=0)
    with pytest.raises(ConfigError, match="not dict"):
        from_nir(graph, {"dt": 1.0})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"wants a nir\.NIRGraph, such as nir\.read"):
        from_nir("net.nir", config())


# --- Brian2Backend ----------------------------------------------------------------------------------------------------


def test_brian2_backend_runs_the_chip_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    stim = snn.Population(1, "spike_list", {0: [0]}, "stim")
    cell = snn.Population(1, "lif", {"threshold": 5.0, "alpha_decay": 1.0}, "cell", ["spikes"])
    net = snn.Network()
    net.add(stim, cell, snn.Projection(stim, cell, [[0, 0, 5, 0]]))
    backend = brian2_sim.Brian2Backend()
    for _ in range(2):
        net.reset()
        backend.run(net, 5, quantize_weights=False, sys_tick_in_s=2e-3, debug=False)
        assert cell.get_spikes() == {0: [1]}  # at the threshold: Brian2 would not fire
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("runs the emulated chip, not Brian2") == 1
    assert said.err.count("quantize_weights=False has no effect") == 1
