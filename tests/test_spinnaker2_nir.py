"""NIR graphs on the chip: formulas; voltages and spikes against NIR's equations; pools, convolutions against loops.

Graphs that snnTorch makes are in test_spinnaker2_snntorch.py, refusals in test_spinnaker2_nir_refusals.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_helpers import WEIGHT, chain, config, cuba, integrate, lif, nir
from test_script import run_script

from spinn2host.spinnaker2 import hardware, messages, snn
from spinn2host.spinnaker2.s2_nir import IntegratorMethod, ResetMethod, add_output_to_node, from_nir

DOCS = Path(__file__).parent.parent / "docs"
FORWARD, EXPONENTIAL = IntegratorMethod.FORWARD, IntegratorMethod.EXPONENTIAL
Floats = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(autouse=True)
def _shared_chip(chips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_private_chip", chips)
    monkeypatch.setattr(messages, "_said", set())


def run(net: Any, ticks: int) -> None:
    hardware.SpiNNaker2Chip().run(net, ticks)


def voltages(population: Any) -> Floats:
    """(ticks, neurons), in NIR's units."""
    return np.stack(list(population.get_voltages().values()), axis=1) / population.nir_v_scale


def spikes(population: Any, ticks: int) -> Floats:
    """(ticks, neurons)."""
    found = np.zeros((ticks, population.size))
    for neuron, times in population.get_spikes().items():
        found[times, neuron] = 1
    return found


def random_spikes(
    rng: np.random.Generator, ticks: int, neurons: int, rate: float
) -> tuple[dict[int, list[int]], Floats]:
    pattern = (rng.random((ticks, neurons)) < rate).astype(float)
    return {n: np.flatnonzero(pattern[:, n]).tolist() for n in range(neurons)}, pattern


# --- formulas ---------------------------------------------------------------------------------------------------------

BIAS = np.array([0.25, -1.0])
G = {FORWARD: lambda x: x, EXPONENTIAL: lambda x: 1 - np.exp(-x)}


@pytest.mark.parametrize("integrator", [FORWARD, EXPONENTIAL])
@pytest.mark.parametrize(("scaled", "s"), [(False, 1.0), (True, 254.0)])
def test_parameters_are_those_of_the_formulas(integrator: IntegratorMethod, scaled: bool, s: float) -> None:
    affine = nir.Affine(weight=WEIGHT, bias=BIAS)
    cfg = config(integrator=integrator, scale_weights=scaled, reset=ResetMethod.ZERO)
    g, g_syn = G[integrator](0.125), G[integrator](0.25)

    net, inputs, outputs = from_nir(chain(affine, lif(2, v_leak=0.5, v_threshold=1.5)), cfg)
    (source, population), (projection,) = net.populations, net.projections
    assert (inputs, outputs) == ([source], [population]) and projection.pre is source and projection.post is population
    assert (source.neuron_model, source.size, source.name, source.params) == ("spike_list", 2, "input", {})
    assert (population.neuron_model, population.size, population.name) == ("lif_no_delay", 2, "1")
    assert population.record == ["v", "spikes"] and population.record is not cfg.output_record
    scale = s / (g * 2.0)
    assert_parameters(population, threshold=1.5 * scale, alpha_decay=1 - g, i_offset=g * 0.5 * scale + BIAS * s)
    assert population.nir_v_scale == pytest.approx(np.full(2, scale)) and population.nir_w_scale == s
    expected = [[i, j, WEIGHT[j, i] * s, 0] for i in range(2) for j in range(2)]
    assert np.asarray(projection.connections) == pytest.approx(np.array(expected))

    (population,) = from_nir(chain(affine, cuba(2, v_leak=0.5)), cfg)[2]
    scale = s / (g * 2.0 * g_syn * 0.5)
    offset = g * 0.5 * scale + BIAS / g_syn * s
    assert population.neuron_model == "lif_curr_exp_no_delay"
    assert_parameters(population, threshold=scale, alpha_decay=1 - g, exc_decay=1 - g_syn, inh_decay=1 - g_syn,
                      i_offset=offset, t_refrac=0, v_reset=0)  # fmt: skip

    (population,) = from_nir(chain(affine, integrate(2, r=4.0, v_threshold=3.0)), cfg)[2]
    assert population.neuron_model == "lif_no_delay"
    assert_parameters(population, threshold=3.0 * s / 4.0, alpha_decay=1.0, i_offset=BIAS * s)


def assert_parameters(population: Any, **expected: Any) -> None:
    params = dict(population.params)
    assert params.pop("reset") == "reset_to_v_reset"
    assert params.keys() == expected.keys()
    for name, value in expected.items():
        assert params[name] == pytest.approx(value), name


def test_both_resets_and_neurons_of_their_own_time_constants() -> None:
    own = lif(2, tau=np.array([0.008, 0.002]), v_threshold=np.array([1.0, 3.0]))
    (population,) = from_nir(chain(nir.Linear(weight=WEIGHT), own), config())[2]
    assert population.params["reset"] == "reset_by_subtraction"
    assert population.params["alpha_decay"] == pytest.approx([0.875, 0.5])
    assert population.params["threshold"] == pytest.approx([4.0, 3.0])


def test_scalar_parameters_are_those_of_every_neuron() -> None:
    scalar = nir.LIF(*(np.array(value) for value in (0.008, 2.0, 0.0, 1.0)))
    (population,) = from_nir(chain(nir.Linear(weight=np.ones((5, 2))), scalar), config())[2]
    assert population.size == 5 and population.params["threshold"] == pytest.approx([4.0] * 5)


def test_time_constants_of_one_tick_in_float32_are_that() -> None:
    short = np.float32(1e-4)
    assert float(short) < 1e-4
    (population,) = from_nir(chain(nir.Linear(weight=WEIGHT), lif(2, tau=short)), config(dt=1e-4))[2]
    assert population.params["alpha_decay"].tolist() == [0, 0]


def test_keywords_of_2023() -> None:
    graph = chain(nir.Affine(weight=WEIGHT, bias=BIAS), lif(2))
    (old,) = from_nir(graph, outputs=["v"], discretization_timestep=1e-3, conn_delay=0, scale_weights=True)[2]
    (new,) = from_nir(graph, config(output_record=["v"], scale_weights=True, integrator=EXPONENTIAL))[2]
    assert old.record == new.record == ["v"]
    assert {name: np.asarray(value).tolist() for name, value in old.params.items()} == {
        name: np.asarray(value).tolist() for name, value in new.params.items()
    }


def test_a_percentile_of_weights_may_be_scaled(capsys: pytest.CaptureFixture[str]) -> None:
    weight = np.append(np.linspace(0, 1, 99), 10.0).reshape(1, 100)
    cfg = config(scale_weights=True, weight_scale_percentile=90)
    net, _, (population,) = from_nir(chain(nir.Linear(weight=weight), lif(1), inputs=(100,)), cfg)
    assert population.nir_w_scale == pytest.approx(127 / np.percentile(weight, 90))
    assert np.asarray(net.projections[0].connections)[:, 2].max() == 127
    assert "10 of 100 weights are cut to 127" in capsys.readouterr().err


THRESHOLD = 0.1


# --- on the chip ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", list(ResetMethod))
@pytest.mark.parametrize("integrator", [FORWARD, EXPONENTIAL])
def test_voltages_and_spikes_are_those_of_nirs_equations(integrator: IntegratorMethod, reset: ResetMethod) -> None:
    """A recurrent layer of LIF with bias, then CubaLIF; weights as the chip rounds them."""
    rng = np.random.default_rng(3)
    ticks, inputs, hidden, outputs = 120, 6, 9, 4
    weights = {name: rng.normal(0, 0.4, shape) for name, shape in
               (("in", (hidden, inputs)), ("back", (hidden, hidden)), ("out", (outputs, hidden)))}  # fmt: skip
    bias = rng.normal(0.6, 0.05, hidden)
    nodes = {
        "input": nir.Input(input_type=np.array([inputs])), "in": nir.Affine(weight=weights["in"], bias=bias),
        "hidden": lif(hidden, v_leak=0.1), "back": nir.Linear(weight=weights["back"]),
        "out": nir.Linear(weight=weights["out"]), "last": cuba(outputs, v_threshold=THRESHOLD, v_leak=0.05),
        "shown": nir.Output(output_type=np.array([hidden])), "output": nir.Output(output_type=np.array([outputs])),
    }  # fmt: skip
    edges = [("input", "in"), ("in", "hidden"), ("hidden", "back"), ("back", "hidden"), ("hidden", "out"),
             ("out", "last"), ("last", "output"), ("hidden", "shown")]  # fmt: skip
    graph = nir.NIRGraph(nodes=nodes, edges=edges)
    net, (source,), (first, last) = from_nir(graph, config(integrator=integrator, reset=reset, scale_weights=True))
    assert first.name == "hidden"
    source.params, pattern = random_spikes(rng, ticks, inputs, 0.4)
    run(net, ticks)

    scale = {"in": first.nir_w_scale, "back": first.nir_w_scale, "out": last.nir_w_scale}
    w = {name: np.rint(weights[name] * scale[name]) / scale[name] for name in weights}
    g, g_syn = G[integrator](0.125), G[integrator](0.25)
    v, current, u = np.zeros(hidden), np.zeros(outputs), np.zeros(outputs)
    fired, shown = np.zeros(hidden), spikes(first, ticks)
    for t in range(ticks):
        current += g_syn * (0.5 * (w["out"] @ fired) - current)
        u += g * (0.05 - u + 2.0 * current)
        v += g * (0.1 - v + 2.0 * (w["in"] @ (pattern[t - 1] if t else np.zeros(inputs)) + w["back"] @ fired + bias))
        fired = (v >= 1.0).astype(float)
        ended = (u >= THRESHOLD).astype(float)
        v = v - fired if reset == ResetMethod.SUBTRACT else v * (1 - fired)
        u = u - ended * THRESHOLD if reset == ResetMethod.SUBTRACT else u * (1 - ended)
        assert (shown[t] == fired).all() and (spikes(last, ticks)[t] == ended).all(), t
        assert voltages(first)[t] == pytest.approx(v, abs=1e-4) and voltages(last)[t] == pytest.approx(u, abs=1e-4)
    assert shown.sum() > 60 and spikes(last, ticks).sum() > 10


def test_several_inputs_meet_in_a_layer() -> None:
    nodes = {
        "a": nir.Input(input_type=np.array([1])), "b": nir.Input(input_type=np.array([2])),
        "wa": nir.Affine(weight=np.array([[3.0]]), bias=np.array([0.5])),
        "wb": nir.Affine(weight=np.array([[5.0, -7.0]]), bias=np.array([0.25])),
        "sum": integrate(1), "output": nir.Output(output_type=np.array([1])),
    }  # fmt: skip
    edges = [("a", "wa"), ("b", "wb"), ("wa", "sum"), ("wb", "sum"), ("sum", "output")]
    net, (a, b), (total,) = from_nir(nir.NIRGraph(nodes=nodes, edges=edges), config())
    a.params, b.params = {0: [0, 2]}, {0: [1], 1: [2]}
    run(net, 4)
    assert voltages(total)[:, 0].tolist() == [0.75, 0.75 * 2 + 3, 0.75 * 3 + 8, 0.75 * 4 + 8 + 3 - 7]


def test_a_subgraph_is_part_of_the_graph() -> None:
    inner = nir.NIRGraph(
        nodes={"input": nir.Input(input_type=np.array([2])), "lif": integrate(2, v_threshold=10),
               "w_rec": nir.Linear(weight=np.array([[0.0, 2.0], [3.0, 0.0]])),
               "output": nir.Output(output_type=np.array([2]))},
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )  # fmt: skip
    graph = chain(nir.Linear(weight=np.diag([10.0, 1.0])), inner, nir.Linear(weight=np.eye(2)), integrate(2))
    add_output_to_node("1", graph, "extra")
    net, (source,), pops = from_nir(graph, config())
    assert [pop.name for pop in pops] == ["1.lif", "3"]
    names = {"input → 0 → 1.lif", "1.lif → 1.w_rec → 1.lif", "1.lif → 2 → 3"}
    assert {projection.name for projection in net.projections} == names
    source.params = {0: [0]}
    run(net, 4)
    assert pops[0].get_spikes() == {0: [1], 1: []}
    assert voltages(pops[0])[:, 1].tolist() == [0, 0, 3, 3] and voltages(pops[1])[:, 0].tolist() == [0, 0, 1, 1]


def test_what_only_passes_values_on_changes_nothing() -> None:
    """Flatten, and a convolution in a subgraph of its own, before neurons: biases, scales and shapes go through."""
    conv = nir.Conv2d(None, np.full((2, 1, 2, 2), 3.0), 1, 0, 1, 1, np.array([1.0, -2.0]))
    inner = nir.NIRGraph(
        nodes={"input": nir.Input(input_type=np.array([1, 3, 4])), "conv": conv,
               "output": nir.Output(output_type=np.array([2, 2, 3]))},
        edges=[("input", "conv"), ("conv", "output")], type_check=False,
    )  # fmt: skip
    flat = nir.Flatten(None, start_dim=0)
    for between, shape in (((), (2, 2, 3)), ((flat,), (12,))):
        (layer,) = from_nir(chain(inner, *between, integrate(shape), inputs=(1, 3, 4)), config(scale_weights=True))[2]
        assert layer.neuron_model == "lif_conv2d" and layer.nir_w_scale == pytest.approx(127 / 3)
        assert layer.params["i_offset"] == pytest.approx(np.repeat([127 / 3, -254 / 3], 6))


# --- pools and convolutions -------------------------------------------------------------------------------------------


def pooled(image: Floats, height: int, width: int) -> Floats:
    channels, rows, columns = image.shape
    rows, columns = rows // height, columns // width
    cut = image[:, : rows * height, : columns * width]
    return cut.reshape(channels, rows, height, columns, width).sum(axis=(2, 4))


def convolved(image: Floats, weight: Floats, stride: tuple[int, int], pad: tuple[int, int]) -> Floats:
    padded = np.pad(image, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    height, width = weight.shape[2:]
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(padded.shape[1:], (height, width), stride, strict=True))
    out = np.zeros((len(weight), rows, columns))
    for o, y, x in np.ndindex(*out.shape):
        window = padded[:, y * stride[0] : y * stride[0] + height, x * stride[1] : x * stride[1] + width]
        out[o, y, x] = (window * weight[o]).sum()
    return out


CASES: dict[str, tuple[tuple[int, int], tuple[int, int], Any, tuple[int, int]]] = {
    "plain": ((1, 1), (1, 1), 0, (0, 0)),
    "padded, strides differ": ((1, 1), (2, 1), (0, 2), (0, 2)),
    "pools first": ((2, 3), (1, 2), (1, 1), (1, 1)),
    "valid": ((1, 1), (1, 1), "valid", (0, 0)),
    "same": ((1, 1), (1, 1), "same", (1, 1)),
}


@pytest.mark.parametrize(("pool", "stride", "padding", "pad"), CASES.values(), ids=CASES)
def test_convolutions_add_up_what_loops_add_up(pool: Any, stride: Any, padding: Any, pad: Any) -> None:
    rng = np.random.default_rng(5)
    shape, kernel = (2, 8, 9), rng.integers(-20, 21, (3, 2, 3, 3)).astype(float)
    bias = np.array([0.5, -0.25, 8.0])
    image = (rng.random(shape) < 0.3).astype(float)
    expected = convolved(pooled(image, *pool), kernel, stride, pad)
    conv = nir.Conv2d(None, kernel, stride, padding, 1, 1, bias)
    pools = [] if pool == (1, 1) else [nir.SumPool2d(np.array(pool), np.array(pool), np.array([0, 0]))]
    net, (source,), (layer,) = from_nir(chain(*pools, conv, integrate(expected.shape), inputs=shape), config())
    assert (layer.neuron_model, layer.size) == ("lif_conv2d", expected.size)
    assert isinstance(net.projections[0], snn.Conv2DProjection)
    source.params = {int(n): [0] for n in np.flatnonzero(image)}
    run(net, 2)
    biases = np.repeat(bias, expected[0].size)
    assert voltages(layer)[0].tolist() == biases.tolist()
    assert voltages(layer)[1].tolist() == (expected.ravel() + 2 * biases).tolist()


def test_pools_flatten_and_dense_layers_follow_each_other() -> None:
    rng = np.random.default_rng(6)
    shape, weight = (2, 5, 6), rng.integers(-30, 31, (4, 2 * 2 * 2)).astype(float)
    image = (rng.random(shape) < 0.4).astype(float)
    sums = pooled(image, 2, 3)
    pool = nir.SumPool2d(np.array([2, 3]), np.array([2, 3]), np.array([0, 0]))
    flat = nir.Flatten(None, start_dim=0)
    dense = chain(pool, flat, nir.Linear(weight=weight), integrate(4), inputs=shape)
    alone = chain(pool, integrate(sums.shape), inputs=shape)
    for graph, expected in ((dense, weight @ sums.ravel()), (alone, sums.ravel())):
        net, (source,), (layer,) = from_nir(graph, config())
        source.params = {int(n): [0] for n in np.flatnonzero(image)}
        run(net, 2)
        assert layer.neuron_model == "lif_no_delay" and voltages(layer)[1].tolist() == expected.tolist()


def test_kernels_are_cut_to_int8(capsys: pytest.CaptureFixture[str]) -> None:
    kernel = np.array([[[[1.9, -1.9], [0.5, 2.0]]]])
    graph = chain(nir.Conv2d(None, kernel, 1, 0, 1, 1, np.zeros(1)), integrate((1, 2, 2)), inputs=(1, 3, 3))
    net, _, _ = from_nir(graph, config())
    assert net.projections[0].weights.tolist() == [[[[1, -1], [0, 2]]]] and net.projections[0].weights.dtype == np.int8
    assert "NIR node '0' (Conv2d): 3 of 4 weights are no whole numbers; they are cut" in capsys.readouterr().err


def test_a_pool_beside_weights_is_scaled_as_they_are() -> None:
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    nodes = {
        "image": nir.Input(input_type=np.array([1, 2, 4])), "more": nir.Input(input_type=np.array([1])), "pool": pool,
        "dense": nir.Linear(weight=np.array([[0.5], [-0.25]])), "sum": integrate((1, 1, 2)),
        "output": nir.Output(output_type=np.array([1, 1, 2])),
    }  # fmt: skip
    edges = [("image", "pool"), ("pool", "sum"), ("more", "dense"), ("dense", "sum"), ("sum", "output")]
    net, (image, more), (total,) = from_nir(nir.NIRGraph(nodes, edges, type_check=False), config(scale_weights=True))
    assert total.nir_w_scale == 127
    image.params, more.params = {0: [0], 1: [0], 2: [0]}, {0: [0]}
    run(net, 2)
    assert voltages(total)[1] == pytest.approx([2.5, 0.75], abs=0.5 / 127)


# --- a network from snnTorch ------------------------------------------------------------------------------------------


def test_the_example_classifies_as_snntorch_did(tmp_path: Path) -> None:
    """docs/examples/snn_nir.py: 40 samples beside what snnTorch said of them when the network was made."""
    pytest.importorskip("matplotlib")
    done = run_script(DOCS / "examples/snn_nir.py", str(tmp_path / "figure.svg"))
    assert done.returncode == 0, done.stderr
    chip, snntorch, same = done.stdout.splitlines()
    assert (chip, snntorch) == ("chip: 40 of 40 right, 332 spikes", "snnTorch: 40 of 40 right, 330 spikes")
    assert same == "the very same spikes in 33 of 40 samples"
    assert (tmp_path / "figure.svg").stat().st_size > 10_000 and (DOCS / "figures/snn_nir.svg").exists()
