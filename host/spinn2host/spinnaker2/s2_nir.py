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
from numbers import Real
from typing import TYPE_CHECKING, Any

from spinn2emu.errors import ConfigError
from spinn2fw.kernels.synapses import MAX_DELAY
from spinn2host.spinnaker2.messages import say, warn
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.nir_graph import INPUT, NEURONS, WEIGHTS, HardwareConstraintError, Layers
from spinn2host.spinnaker2.nir_neurons import Euler, convert
from spinn2host.spinnaker2.nir_synapses import make_projection, weight_factor
from spinn2host.spinnaker2.snn import Network, Population

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
    cut_above = config.scale_weights and config.weight_scale_percentile < 100
    projections = [
        make_projection(layers, way, populations[way.source], populations[way.target], cut_above)
        for way in layers.ways()
    ]
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
    if not (isinstance(config.dt, Real) and math.isfinite(config.dt) and config.dt > 0):
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
    after_conv = any(layers.kind(layer) == "Conv2d" for layer in layers.into(name, WEIGHTS))
    currents = layers.kind(name) == "CubaLIF"
    if after_conv and currents:
        raise ConfigError(f"{layers.label(name)} cannot follow a Conv2d: the chip's convolutions lead to LIF or IF",
                          node=name)  # fmt: skip
    model = "lif_conv2d" if after_conv else "lif_curr_exp_no_delay" if currents else "lif_no_delay"
    factor = weight_factor(layers, name, config.weight_scale_percentile) if config.scale_weights else 1.0
    euler = Euler(float(config.dt), config.integrator == IntegratorMethod.FORWARD)
    neurons = convert(layers, name, euler, config.reset == ResetMethod.ZERO, factor)
    record = config.output_record if layers.has_output(name) else []
    population = Population(size, model, neurons.params, name=name, record=record)
    vars(population).update(nir_v_scale=neurons.v_scale, nir_w_scale=factor)
    return population
