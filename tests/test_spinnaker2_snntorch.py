"""Networks that snnTorch exports give, on the chip, snnTorch's own spikes and voltages within the quantisation's bound.

snnTorch is told to reset in the step of the spike (`reset_delay=False`), as the chip does; its default resets a step
later, before the decay. Its layers act within a step, the chip's a tick later: the reference shifts spikes alike.
"""

from typing import Any

import numpy as np
import pytest
from test_spinnaker2_nir import spikes, voltages

from spinn2host.spinnaker2 import hardware, messages
from spinn2host.spinnaker2.s2_nir import ConversionConfig, IntegratorMethod, ResetMethod, from_nir

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch", reason="the extra interop is not installed")
export_nir = pytest.importorskip("snntorch.export_nir")

pytestmark = pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")  # snnTorch calls it

TICKS = 100
Floats = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(autouse=True)
def _shared_chip(chips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_private_chip", chips)
    monkeypatch.setattr(messages, "_said", set())
    torch.manual_seed(11)


def full(value: float, *shape: int) -> Any:
    return torch.full(shape, value)


def neurons(kind: str, shape: tuple[int, ...], reset: str, threshold: float = 1.0) -> Any:
    common = {"beta": full(0.875, *shape), "threshold": full(threshold, *shape), "reset_mechanism": reset,
              "reset_delay": False, "init_hidden": True}  # fmt: skip
    if kind == "Synaptic":
        return snntorch.Synaptic(alpha=full(0.5, *shape), **common)
    if kind == "RLeaky":
        return snntorch.RLeaky(linear_features=shape[0], **common)
    return snntorch.Leaky(**common)


def converted(net: Any, sample: Any, reset: str = "subtract") -> tuple[Any, Any, dict[str, Any]]:
    """The network, its input, and its populations by name; all of them record."""
    graph = export_nir.export_to_nir(net, sample, ignore_dims=[0])
    config = ConversionConfig(dt=1e-4, conn_delay=0, scale_weights=True, integrator=IntegratorMethod.FORWARD,
                              reset=ResetMethod(reset))  # fmt: skip
    network, (source,), _ = from_nir(graph, config)
    populations = {pop.name: pop for pop in network.populations if pop is not source}
    for population in populations.values():
        population.record = ["spikes", "v"]
    return network, source, populations


def drive(source: Any, rate: float) -> Any:
    """Random spikes (ticks, neurons), given to a source and shifted by the tick that they take."""
    pattern = np.random.default_rng(4).random((TICKS, source.size)) < rate
    source.params = {n: np.flatnonzero(pattern[:, n]).tolist() for n in range(source.size)}
    return later(torch.tensor(pattern, dtype=torch.float32))


def later(pattern: Any) -> Any:
    return torch.cat([torch.zeros_like(pattern[:1]), pattern[:-1]])


def quantised(layer: Any, scale: float, cut: bool = False) -> None:
    """Weights as the chip has them."""
    rounded = (torch.trunc if cut else torch.round)(layer.weight.data.double() * scale)
    layer.weight.data = (rounded / scale).float()


def steps(layer: Any, cells: Any, pattern: Any) -> tuple[Floats, Floats]:
    """Spikes and voltages of one layer of snnTorch, (ticks, neurons) each."""
    fired, shown = [], []
    cells.output = True
    with torch.no_grad():
        for row in pattern:
            spike, *state = cells(layer(row.unsqueeze(0)))
            fired.append(spike.flatten().clone())
            shown.append(state[-1].flatten().clone())
    return torch.stack(fired).double().numpy(), torch.stack(shown).double().numpy()


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky"])
def test_spikes_are_snntorchs_with_the_chips_weights(kind: str, reset: str) -> None:
    """Two layers; every spike, and voltages to float32."""
    first, second = torch.nn.Linear(12, 16, bias=kind != "Synaptic"), torch.nn.Linear(16, 5)
    first.weight.data *= 0.3
    if kind == "Synaptic":  # whose bias acts on the current in snnTorch, on the voltage on the chip
        first.weight.data += 0.02
    else:
        first.bias.data = first.bias.data.abs() / 2 + 0.06
    second.weight.data *= 0.5
    second.bias.data *= 0.05
    hidden, last = neurons(kind, (16,), reset), neurons("Leaky", (5,), reset, threshold=0.2)
    network, source, populations = converted(
        torch.nn.Sequential(first, hidden, second, last), torch.zeros(1, 12), reset
    )
    a, b = populations.values()
    pattern = drive(source, 0.4)
    hardware.SpiNNaker2Chip().run(network, TICKS)

    quantised(first, a.nir_w_scale)
    quantised(second, b.nir_w_scale)
    if kind == "RLeaky":
        quantised(hidden.recurrent, a.nir_w_scale)
    for cells in (hidden, last):
        cells.reset_hidden()
    for layer, cells, population, least in ((first, hidden, a, 60), (second, last, b, 5)):
        fired, shown = steps(layer, cells, pattern)
        assert (shown < float(cells.threshold[0])).all()  # else snnTorch resets once more before the next step
        assert (spikes(population, TICKS) == fired).all() and fired.sum() > least, fired.sum()
        assert voltages(population) == pytest.approx(shown, abs=1e-4)
        pattern = later(torch.tensor(fired, dtype=torch.float32))


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
def test_voltages_are_snntorchs_within_the_bound_of_the_quantisation(kind: str) -> None:
    """Rounding changes a weight by 1 / 2s at most, and V by at most what that adds up to over all spikes that came in.

    Spikes are the same as long as no voltage came closer to the threshold than that.
    """
    layer, cells = torch.nn.Linear(12, 40, bias=kind == "Leaky"), neurons(kind, (40,), "subtract")
    network, source, populations = converted(torch.nn.Sequential(layer, cells), torch.zeros(1, 12))
    (population,) = populations.values()
    pattern = drive(source, 0.3)
    hardware.SpiNNaker2Chip().run(network, TICKS)

    cells.reset_hidden()
    fired, shown = steps(layer, cells, pattern)
    current, bound, sure = 0.0, np.zeros(TICKS), np.ones(40, bool)
    certain = 0
    for t in range(TICKS):
        current = (0.5 * current if kind == "Synaptic" else 0.0) + float(pattern[t].sum()) / 2 / population.nir_w_scale
        bound[t] = 0.875 * bound[t - 1] + current if t else current
        sure &= np.abs(shown[t] + fired[t] - 1.0) > bound[t] + 1e-5
        assert (spikes(population, TICKS)[t][sure] == fired[t][sure]).all()
        assert (np.abs(voltages(population)[t] - shown[t])[sure] <= bound[t] + 1e-5).all()
        certain += int(sure.sum())
    assert certain > 500 and fired[:20].sum() > 5
    assert 1 / population.nir_w_scale < bound.max() < 0.2  # the bound says something


def test_convolutions_are_snntorchs() -> None:
    """A Conv2d, then a dense layer; kernels are cut, not rounded."""
    conv, cells = torch.nn.Conv2d(2, 3, 3, padding=1), neurons("Leaky", (3, 6, 6), "subtract")
    dense, last = torch.nn.Linear(108, 4), neurons("Leaky", (4,), "subtract", threshold=0.3)
    net = torch.nn.Sequential(conv, cells, torch.nn.Flatten(), dense, last)
    network, source, populations = converted(net, torch.zeros(1, 2, 6, 6))
    a, b = populations.values()
    assert (a.neuron_model, a.size, b.neuron_model) == ("lif_conv2d", 108, "lif_no_delay")
    pattern = drive(source, 0.25)
    hardware.SpiNNaker2Chip().run(network, TICKS)

    quantised(conv, a.nir_w_scale, cut=True)
    quantised(dense, b.nir_w_scale)
    for one in (cells, last):
        one.reset_hidden()
    fired, shown = steps(conv, cells, pattern.reshape(TICKS, 2, 6, 6))
    assert (spikes(a, TICKS) == fired).all() and fired.sum() > 100, fired.sum()
    assert voltages(a) == pytest.approx(shown, abs=1e-4)
    fired, shown = steps(dense, last, later(torch.tensor(fired, dtype=torch.float32)))
    assert (spikes(b, TICKS) == fired).all() and fired.sum() > 5, fired.sum()
    assert voltages(b) == pytest.approx(shown, abs=1e-4)


def test_snntorchs_own_reset_is_a_step_later() -> None:
    """Why networks should be trained with reset_delay=False: the default subtracts after the decay, the chip before."""
    for delay, expected in ((True, 0.75 * 1.5 - 1.0), (False, 0.75 * (1.5 - 1.0))):
        cells = snntorch.Leaky(beta=0.75, threshold=1.0, reset_mechanism="subtract", reset_delay=delay)
        state = torch.tensor([0.0])
        for current in (1.5, 0.0):
            _, state = cells(torch.tensor([current]), state)
        assert float(state) == expected
