"""Networks out of NIR graphs, as the frameworks of the field (snnTorch, Norse, Sinabs, …) export them.

    net, inputs, outputs = from_nir(nir.read("net.nir"), ConversionConfig(dt=1e-4, scale_weights=True, conn_delay=0))

IF and LIF become `lif_no_delay` (`lif_conv2d` after a Conv2d), CubaLIF becomes `lif_curr_exp_no_delay`, with the
formulas of `nir_neurons`. Affine and Linear become a Projection of w·s, Conv2d a Conv2DProjection of w·s cut to int8,
SumPool2d a Projection of its own, or part of the one after it; Input is a `spike_list`, Flatten and Output are none.
s is 1, or with `scale_weights` 127 / max|w| over all layers that enter the same neurons.

Each layer takes a tick: a spike acts in the next one. The extra `nir` brings the package nir.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2fw.kernels.synapses import MAX_DELAY
from spinn2host.spinnaker2.ann2snn_helpers import LARGEST, dense_columns, joined_columns, pair, sumpool_columns
from spinn2host.spinnaker2.messages import say, warn
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.nir_graph import (
    DENSE,
    INPUT,
    NEURONS,
    POOL,
    HardwareConstraintError,
    Layers,
    Way,
    array,
    matrix,
    padding,
)
from spinn2host.spinnaker2.nir_neurons import Euler, convert
from spinn2host.spinnaker2.snn import Conv2DProjection, Network, Population, Projection

if TYPE_CHECKING:
    import nir  # type: ignore[import-untyped]

__all__ = [
    "ConversionConfig",
    "HardwareConstraintError",
    "IntegratorMethod",
    "ResetMethod",
    "add_output_to_node",
    "from_nir",
    "model_summary",
]
refuse_unknown(
    __name__,
    {"replace_sumpool2d_by_sumpool2d_if": " (no need: a SumPool2d may lie before neurons, a Conv2d or a dense layer)"},
)


DELAY = 0
"""Of all projections: the models here have none of their own."""

Floats = npt.NDArray[np.float64]


class IntegratorMethod(StrEnum):
    """How a time constant becomes a decay per tick."""

    FORWARD = "Forward-Euler"
    EXPONENTIAL = "Exponential-Euler"


class ResetMethod(StrEnum):
    """What a spike does to the voltage."""

    SUBTRACT = "subtract"
    ZERO = "zero"


@dataclass
class ConversionConfig:
    """How a graph is converted.

    dt: length of a tick in the units of the graph's time constants. output_record: what the populations before an
    Output record. conn_delay: of projections; it is not used (a line says so), as the models here have no delays.
    scale_weights: multiply weights so that the largest is 127, and thresholds alike;
    weight_scale_percentile: the largest but for so many percent, which are cut to 127.
    """

    dt: float = 1.0
    output_record: list[str] = field(default_factory=lambda: ["spikes"])
    conn_delay: int = 1
    scale_weights: bool = False
    integrator: IntegratorMethod = IntegratorMethod.EXPONENTIAL
    reset: ResetMethod = ResetMethod.SUBTRACT
    weight_scale_percentile: float = 100


def from_nir(
    nir_model: nir.NIRGraph,
    config: ConversionConfig | None = None,
    *,
    outputs: Sequence[str] | None = None,
    discretization_timestep: float | None = None,
    conn_delay: int | None = None,
    scale_weights: bool | None = None,
) -> tuple[Network, list[Population], list[Population]]:
    """The network of a graph: (network, its input populations, the populations before an Output).

    Populations come in the order of the graph's nodes, and have their names; `nir_v_scale` (float64[neurons]) is what
    recorded voltages are divided by to get NIR's, `nir_w_scale` the factor of the weights. The keywords are those of
    2023's scripts: `outputs` stands for output_record, `discretization_timestep` for dt.

    Errors: ConfigError that names the node, for what cannot be converted.
    """
    old = {
        "output_record": None if outputs is None else list(outputs), "dt": discretization_timestep,
        "conn_delay": conn_delay, "scale_weights": scale_weights,
    }  # fmt: skip
    config = _checked(config, {name: value for name, value in old.items() if value is not None})
    layers = Layers(_graph(nir_model, "from_nir"))
    if not layers.of_kind(*NEURONS):
        raise ConfigError(f"the NIR graph has no neurons: it needs nodes {', '.join(NEURONS)}")
    populations = {name: _population(layers, name, config) for name in layers.of_kind(INPUT, *NEURONS)}
    projections = [_projection(layers, way, populations, config) for way in layers.ways()]
    network = Network("NIR")
    network.add(*populations.values(), *projections)
    inputs = [populations[name] for name in layers.of_kind(INPUT)]
    return network, inputs, [populations[name] for name in layers.of_kind(*NEURONS) if layers.has_output(name)]


def add_output_to_node(node_name: str, nir_model: nir.NIRGraph, output_name: str) -> None:
    """Adds an Output behind a node of the graph, so that `from_nir` records what the node does.

    Errors: ConfigError if there is no such node, or the new name is taken.
    """
    import nir

    graph = _graph(nir_model, "add_output_to_node")
    if node_name not in graph.nodes:
        raise ConfigError(f"the NIR graph has no node '{node_name}'; it has {', '.join(graph.nodes)}", node=node_name)
    if output_name in graph.nodes:
        raise ConfigError(f"the NIR graph has a node '{output_name}' already; give the Output another name",
                          node=output_name)  # fmt: skip
    graph.nodes[output_name] = nir.Output(output_type=graph.nodes[node_name].output_type)
    graph.edges.append((node_name, output_name))


def model_summary(nir_model: nir.NIRGraph) -> None:
    """Prints a line for each node on standard error: name, type, shape of what it puts out, and the nodes after it."""
    layers = Layers(_graph(nir_model, "model_summary"))
    for name in layers.nodes:
        shape = layers.shapes.get(name) or layers.input_shape(name)
        say(f"{name}: {type(layers.nodes[name]).__name__} {shape} → {', '.join(layers.after[name]) or 'nothing'}")


def _graph(graph: Any, who: str) -> Any:
    if type(graph).__name__ != "NIRGraph":
        raise ConfigError(f"{who} wants a nir.NIRGraph, such as nir.read(FILE) gives, not {type(graph).__name__}")
    return graph


def _checked(config: ConversionConfig | None, old: dict[str, Any]) -> ConversionConfig:
    """The configuration, its values checked."""
    if config is not None and (old or not isinstance(config, ConversionConfig)):
        raise ConfigError("from_nir takes a ConversionConfig, or the keywords of 2023, but not both"
                          if old else f"from_nir takes a ConversionConfig, not {type(config).__name__}")  # fmt: skip
    config = config or ConversionConfig(**old)
    kinds = {"integrator": IntegratorMethod, "reset": ResetMethod}
    for part in fields(config):
        if part.name in kinds and getattr(config, part.name) not in list(kinds[part.name]):
            kind = kinds[part.name]
            raise ConfigError(
                f"ConversionConfig.{part.name} is {' or '.join(f'{kind.__name__}.{one.name}' for one in kind)}, not "
                f"{getattr(config, part.name)!r}", parameter=part.name,
            )  # fmt: skip
    if not (math.isfinite(config.dt) and config.dt > 0):
        raise ConfigError(f"ConversionConfig.dt is a time above 0, not {config.dt!r}", parameter="dt", value=config.dt)
    if not 0 < config.weight_scale_percentile <= 100:
        raise ConfigError(
            "ConversionConfig.weight_scale_percentile is above 0, at most 100, not "
            f"{config.weight_scale_percentile!r}",
            parameter="weight_scale_percentile", value=config.weight_scale_percentile,
        )  # fmt: skip
    if config.conn_delay not in range(MAX_DELAY + 1):
        raise ConfigError(
            f"ConversionConfig.conn_delay is a whole number from 0 to {MAX_DELAY}, not {config.conn_delay!r}",
            parameter="conn_delay", value=config.conn_delay,
        )  # fmt: skip
    if config.conn_delay:
        warn(f"from_nir: conn_delay={config.conn_delay} is not used: what NIR's nodes become has no delays; "
             "spikes act in the next tick")  # fmt: skip
    return config


def _population(layers: Layers, name: str, config: ConversionConfig) -> Population:
    size = math.prod(layers.shapes[name])
    if layers.kind(name) == INPUT:
        return Population(size, "spike_list", {}, name=name)
    after_conv = any(layers.kind(layer) == "Conv2d" for layer in layers.weights_into(name))
    currents = layers.kind(name) == "CubaLIF"
    if after_conv and currents:
        raise ConfigError(f"{layers.label(name)} cannot follow a Conv2d: the chip's convolutions lead to LIF or IF",
                          node=name)  # fmt: skip
    model = "lif_conv2d" if after_conv else "lif_curr_exp_no_delay" if currents else "lif_no_delay"
    factor = _factor(layers, name, config.weight_scale_percentile) if config.scale_weights else 1.0
    euler = Euler(float(config.dt), config.integrator == IntegratorMethod.FORWARD)
    neurons = convert(layers, name, euler, config.reset == ResetMethod.ZERO, factor)
    record = list(config.output_record) if layers.has_output(name) else []
    population = Population(size, model, neurons.params, name=name, record=record)
    vars(population).update(nir_v_scale=neurons.v_scale, nir_w_scale=factor)
    return population


def _factor(layers: Layers, name: str, percentile: float) -> float:
    """127 / max|w| over the layers that enter a neuron node; max: of those percent of them."""
    weights = [np.abs(array(layers.nodes[layer].weight)).reshape(-1) for layer in layers.weights_into(name)]
    top = max((float(np.percentile(weight, percentile)) for weight in weights if weight.size), default=0.0)
    return LARGEST / top if top else 1.0


def _projection(
    layers: Layers, way: Way, populations: dict[str, Population], config: ConversionConfig
) -> Projection | Conv2DProjection:
    pre, post = populations[way.source], populations[way.target]
    last, name = way.between[-1], " → ".join((way.source, *way.between, way.target))
    factor = float(vars(post)["nir_w_scale"])
    if layers.kind(last) == "Conv2d":
        return Conv2DProjection(pre, post, _kernels(layers, last, factor, config), _geometry(layers, way), name)
    pools = [name for name in way.between if layers.kind(name) == POOL]
    columns = None
    if pools:
        node, shape = layers.nodes[pools[0]], layers.input_shape(pools[0])
        assert shape is not None
        columns, _ = sumpool_columns(shape, node.stride, node.kernel_size, node.padding, DELAY)
    if layers.kind(last) in DENSE:
        weight = _in_range(layers, last, matrix(layers, last).T * factor, config)
        _check_sizes(layers, way, last, weight.shape)
        dense = dense_columns(weight, DELAY)
        columns = dense if columns is None else joined_columns(columns, dense)
    assert columns is not None
    return Projection(pre, post, columns, name)


def _check_sizes(layers: Layers, way: Way, name: str, shape: tuple[int, ...]) -> None:
    before = layers.input_shape(name) if len(way.between) > 1 else layers.shapes[way.source]
    ends = math.prod(before or (shape[0],)), math.prod(layers.shapes[way.target])
    if shape != ends:
        raise ConfigError(
            f"{layers.label(name)} leads from {shape[0]} values to {shape[1]}, but lies between {ends[0]} and "
            f"{ends[1]} ('{way.source}' and '{way.target}')", node=name, expected=list(ends), size=list(shape),
        )  # fmt: skip


def _in_range(layers: Layers, name: str, weight: Floats, config: ConversionConfig) -> Floats:
    """Weights that a synapse holds; what a percentile leaves above is cut. Errors: ConfigError for others above."""
    top = float(np.abs(weight).max(initial=0.0))
    if round(top) > LARGEST and not (config.scale_weights and config.weight_scale_percentile < 100):
        raise ConfigError(
            f"{layers.label(name)}: its largest weight {top:g} is beyond {LARGEST}, what a synapse without delay "
            "holds; scale_weights=True in ConversionConfig scales weights and thresholds",
            node=name, value=top, limit=LARGEST,
        )  # fmt: skip
    if 0 < top < 0.5:
        warn(f"{layers.label(name)}: all weights round to 0, the largest is {top:g}; scale_weights=True in "
             "ConversionConfig scales weights and thresholds")  # fmt: skip
    if round(top) > LARGEST:
        count = int(np.count_nonzero(np.abs(weight) > LARGEST))
        warn(f"{layers.label(name)}: by weight_scale_percentile={config.weight_scale_percentile:g}, {count} of "
             f"{weight.size} weights are cut to {LARGEST}; the largest was {top:.4g}")  # fmt: skip
    return np.clip(weight, -LARGEST, LARGEST)


def _kernels(layers: Layers, name: str, factor: float, config: ConversionConfig) -> npt.NDArray[np.int8]:
    """int8 (input channels, output channels, height, width), fractions cut off."""
    node = layers.nodes[name]
    kernel = array(node.weight).swapaxes(0, 1) * factor
    if kernel.ndim != 4 or not np.isfinite(kernel).all():
        raise ConfigError(f"{layers.label(name)}: weights are finite numbers with four axes, not {kernel.shape}",
                          node=name)  # fmt: skip
    for what, given, needed in (("groups", int(node.groups), 1), ("dilation", pair(node.dilation), (1, 1))):
        if given != needed:
            raise ConfigError(f"{layers.label(name)}: {what} is {given}, the chip's convolutions have {needed}",
                              node=name, parameter=what)  # fmt: skip
    kernel = _in_range(layers, name, kernel, config)
    cut = np.trunc(kernel)
    changed = int(np.count_nonzero(cut != kernel))
    if changed:
        warn(f"{layers.label(name)}: {changed} of {kernel.size} weights are no whole numbers; they are cut to int8, "
             f"which changes one by {np.abs(cut - kernel).max():.3g}")  # fmt: skip
    return cut.astype(np.int8)


def _geometry(layers: Layers, way: Way) -> dict[str, int]:
    """The parameters of a Conv2DProjection; x runs along rows, y down columns."""
    name, node = way.between[-1], layers.nodes[way.between[-1]]
    pool_y = pool_x = 1
    shape = layers.shapes[way.source] if len(way.between) == 1 else layers.input_shape(way.between[0])
    if len(way.between) > 1:
        pool = layers.nodes[way.between[0]]
        pool_y, pool_x = pair(pool.kernel_size)
        if pair(pool.stride) != (pool_y, pool_x) or pair(pool.padding) != (0, 0):
            raise ConfigError(
                f"{layers.label(way.between[0])} before '{name}': the chip pools blocks side by side, without padding; "
                f"kernel {(pool_y, pool_x)}, stride {pair(pool.stride)}, padding {pair(pool.padding)} cannot be",
                node=way.between[0],
            )
    if shape is None or len(shape) != 3:
        shape = layers.input_shape(way.between[0])
    assert shape is not None
    (stride_y, stride_x), (pad_y, pad_x) = pair(node.stride), padding(layers, name)
    return {
        "in_height": shape[1], "in_width": shape[2], "stride_x": stride_x, "stride_y": stride_y,
        "pool_x": pool_x, "pool_y": pool_y,
        "pad_top": pad_y, "pad_bottom": pad_y, "pad_left": pad_x, "pad_right": pad_x,
    }  # fmt: skip
