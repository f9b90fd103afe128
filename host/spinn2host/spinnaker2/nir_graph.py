"""What a NIR graph says of layers: subgraphs resolved, shapes worked out, ways from neurons to neurons.

Nodes that only pass values on (Flatten, inputs and outputs of subgraphs) are skipped: data lie row by row, (channels,
height, width), before and after them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.ann2snn_helpers import pair

Shape = tuple[int, ...]

NEURONS = ("IF", "LIF", "CubaLIF")
DENSE = ("Affine", "Linear")
WEIGHTS = (*DENSE, "Conv2d")
POOL, FLATTEN, INPUT, OUTPUT = "SumPool2d", "Flatten", "Input", "Output"
POSSIBLE = (*NEURONS, *WEIGHTS, POOL, FLATTEN, INPUT, OUTPUT)

INSTEAD = {
    "AvgPool2d": "use SumPool2d, and divide the weights of the layer after it, or multiply the threshold, by the "
    "number of values in its kernel",
    "Scale": "multiply the weights of the layer before or after it",
    "Threshold": "use an IF, whose threshold it is",
    "Delay": "give conn_delay to ConversionConfig, or shift the input",
    "Conv1d": "use a Conv2d of height 1",
    "CubaLI": "end the graph with spiking neurons, a CubaLIF with a threshold that it never reaches, and record 'v'",
    "LI": "end the graph with spiking neurons, a LIF with a threshold that it never reaches, and record 'v'",
    "I": "end the graph with spiking neurons, an IF with a threshold that it never reaches, and record 'v'",
}


class HardwareConstraintError(ConfigError):
    """The chip has no such thing, whatever the converter does. Fields: node."""


@dataclass(frozen=True)
class Way:
    """From a population to another: the nodes between that change values (pools, weights), by name, in order."""

    source: str
    between: tuple[str, ...]
    target: str


class Layers:
    """The nodes of a graph that mean something on the chip, by name; names within subgraphs are 'subgraph.node'.

    `shapes`: of what each node puts out, as far as it is known. Errors: ConfigError for nodes that the chip has not.
    """

    def __init__(self, graph: Any) -> None:
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self._through: set[str] = set()
        self._resolve(graph, "")
        for name in self.nodes:
            self._check(name)
        for edge in self.edges:
            for name in edge:
                if name not in self.nodes:
                    raise ConfigError(f"NIR graph: edge {edge} names '{name}', but there is no such node", node=name)
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for begin, end in dict.fromkeys(self.edges):
            self.after[begin].append(end)
            self.before[end].append(begin)
        self.shapes: dict[str, Shape] = {}
        self._work_out_shapes()

    def kind(self, name: str) -> str:
        """The type of a node: one of POSSIBLE, Flatten for all that pass values on."""
        return FLATTEN if name in self._through else type(self.nodes[name]).__name__

    def label(self, name: str) -> str:
        """A node as errors name it."""
        return f"NIR node '{name}' ({type(self.nodes[name]).__name__})"

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the nodes of these types, in the order of the graph."""
        return [name for name in self.nodes if self.kind(name) in kinds]

    def input_shape(self, name: str) -> Shape | None:
        """The shape of what a node takes in: of a node before it, else what it says itself; None: nobody knows."""
        known = [self.shapes[before] for before in self.before[name] if before in self.shapes]
        return max(known, key=len) if known else _declared(getattr(self.nodes[name], "input_type", None), "input")

    def into(self, name: str, kinds: tuple[str, ...]) -> list[str]:
        """Names of the nodes of these types whose output a neuron node takes in."""
        found: dict[str, None] = {}
        todo, seen = list(self.before[name]), set()
        while todo:
            before = todo.pop(0)
            if before in seen:
                continue
            seen.add(before)
            if self.kind(before) in kinds:
                found[before] = None
            elif self.kind(before) == FLATTEN:
                todo += self.before[before]
        return list(found)

    def has_output(self, name: str) -> bool:
        """Whether a graph's output shows this node."""
        todo, seen = list(self.after[name]), set()
        while todo:
            after = todo.pop()
            if self.kind(after) == OUTPUT:
                return True
            if self.kind(after) == FLATTEN and after not in seen:
                seen.add(after)
                todo += self.after[after]
        return False

    def ways(self) -> Iterator[Way]:
        """All ways from inputs and neurons to neurons, in the order of the graph's edges.

        Errors: ConfigError for a way that leads in a circle or nowhere, or whose nodes the chip cannot have in a row.
        """
        for begin, end in dict.fromkeys(self.edges):
            if self.kind(begin) in (INPUT, *NEURONS):
                yield from self._ways(begin, (), end, ())

    # --- the graph --------------------------------------------------------------------------------------------------

    def _resolve(self, graph: Any, prefix: str) -> None:
        """Adds nodes and edges; an edge to or from a subgraph becomes one to its input, or from its output."""
        inside: dict[str, tuple[str, str]] = {}
        for name, node in graph.nodes.items():
            if type(node).__name__ == "NIRGraph":
                own = f"{prefix}{name}"
                inside[name] = f"{own}.{_only(node, INPUT, own)}", f"{own}.{_only(node, OUTPUT, own)}"
                self._resolve(node, f"{own}.")
                self._through.update(inside[name])
            else:
                self.nodes[prefix + name] = node
        for begin, end in graph.edges:
            first = inside[begin][1] if begin in inside else prefix + begin
            last = inside[end][0] if end in inside else prefix + end
            self.edges.append((first, last))

    def _check(self, name: str) -> None:
        kind = self.kind(name)
        if kind not in POSSIBLE:
            instead = INSTEAD.get(kind, "leave it out, or express it by these")
            raise ConfigError(
                f"{self.label(name)} cannot be converted: there are {', '.join(POSSIBLE)}, and graphs of these; "
                f"{instead}", node=name, type=kind, possible=list(POSSIBLE),
            )  # fmt: skip

    def _ways(self, source: str, between: tuple[str, ...], name: str, passed: tuple[str, ...]) -> Iterator[Way]:
        kind = self.kind(name)
        if name in passed:
            raise ConfigError(f"{self.label(name)} leads to itself without neurons between", node=name)
        if kind in NEURONS:
            self._check_way(source, between, name)
            yield Way(source, between, name)
        elif kind == OUTPUT:
            if between or self.kind(source) == INPUT:
                last = between[-1] if between else source
                raise ConfigError(
                    f"{self.label(last)} leads to {self.label(name)}: only neurons can be read out; put some between",
                    node=last,
                )
        elif kind == INPUT:
            raise ConfigError(f"{self.label(name)} takes no input, but '{source}' leads to it", node=name)
        else:
            own = () if kind == FLATTEN else (name,)
            if not self.after[name]:
                raise ConfigError(f"{self.label(name)} leads nowhere: end the graph with neurons", node=name)
            for after in self.after[name]:
                yield from self._ways(source, between + own, after, (*passed, name))

    def _check_way(self, source: str, between: tuple[str, ...], target: str) -> None:
        kinds = [self.kind(name) for name in between]
        heavy = [name for name, kind in zip(between, kinds, strict=True) if kind in WEIGHTS]
        if not between:
            raise ConfigError(
                f"{self.label(target)} takes the spikes of '{source}' without weights: put a Linear between, such as "
                "nir.Linear(numpy.eye(n)) for one to one", node=target,
            )  # fmt: skip
        if len(heavy) > 1:
            raise HardwareConstraintError(
                f"{self.label(heavy[0])} and {self.label(heavy[1])} follow each other without neurons: a synapse has "
                "one weight; multiply their matrices into one, or put neurons between", node=heavy[0],
            )  # fmt: skip
        if kinds not in ([kinds[-1]], [POOL, kinds[-1]]) or kinds.count(POOL) > 1:
            row = " → ".join(f"'{name}' ({kind})" for name, kind in zip(between, kinds, strict=True))
            raise ConfigError(
                f"{row} before {self.label(target)} cannot be: neurons take a layer of weights, "
                "a pool, or a pool and then weights",
                node=between[0],
            )

    # --- shapes -----------------------------------------------------------------------------------------------------

    def _work_out_shapes(self) -> None:
        for name in self.of_kind(INPUT):
            shape = _declared(getattr(self.nodes[name], "input_type", None), "input")
            if shape is not None:
                self.shapes[name] = shape
        changed = True
        while changed:
            changed = False
            for name in self.nodes:
                shape = None if name in self.shapes else self._shape(name)
                if shape is not None:
                    self.shapes[name], changed = shape, True
        for name in self.of_kind(*NEURONS, INPUT):
            if name not in self.shapes:
                self.shapes[name] = self._shape_without_input(name)

    def _shape(self, name: str) -> Shape | None:
        """The shape of what a node puts out, if it can be known yet."""
        kind, node = self.kind(name), self.nodes[name]
        if kind in DENSE:
            return (matrix(self, name).shape[0],)
        before = self.input_shape(name)
        if before is None:
            return None
        if kind == FLATTEN:
            return before if name in self._through else (math.prod(before),)
        if kind == POOL:
            channels, *area = _three(self, name, before)
            return (channels, *_sums(area, pair(node.kernel_size), pair(node.stride), pair(node.padding)))
        if kind == "Conv2d":
            _, *area = _three(self, name, before)
            kernel = array(node.weight).shape
            return (kernel[0], *_sums(area, kernel[2:], pair(node.stride), padding(self, name)))
        return before

    def _shape_without_input(self, name: str) -> Shape:
        """Of neurons that no shape reaches: what their parameters say; of inputs: what layers after them take."""
        node = self.nodes[name]
        if self.kind(name) == INPUT:
            for after in self.after[name]:
                if self.kind(after) in DENSE:
                    return (matrix(self, after).shape[1],)
        else:
            shape = np.shape(node.v_threshold)
            if shape:
                return shape
        raise ConfigError(f"{self.label(name)}: its shape is not known; give the graph's Input a shape", node=name)


def array(value: Any) -> npt.NDArray[np.float64]:
    """A node's values (numpy, torch, numbers) as float64."""
    return np.asarray(value, dtype=np.float64)


def refuse_infinite(layers: Layers, name: str, weight: npt.NDArray[np.float64]) -> None:
    """Raises ConfigError for weights that are no finite numbers, with the first of them."""
    if not (finite := np.isfinite(weight)).all():
        raise ConfigError(
            f"{layers.label(name)}: weights are finite numbers, {np.count_nonzero(~finite)} of {weight.size} are not, "
            f"such as {weight[~finite][0]}", node=name, count=int(np.count_nonzero(~finite)),
        )  # fmt: skip


def matrix(layers: Layers, name: str) -> npt.NDArray[np.float64]:
    """The weights [out, in] of an Affine or Linear. Errors: ConfigError for other shapes, or numbers that are none."""
    weight = array(layers.nodes[name].weight)
    if weight.ndim != 2:
        raise ConfigError(f"{layers.label(name)}: weights are [out, in], not of shape {weight.shape}", node=name)
    refuse_infinite(layers, name, weight)
    return weight


def padding(layers: Layers, name: str) -> tuple[int, int]:
    """Rows and columns of zeros that a Conv2d adds at each side. Errors: ConfigError where sides would differ."""
    node = layers.nodes[name]
    given = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if not isinstance(given, str):
        return pair(given)
    height, width = array(node.weight).shape[2:]
    if given == "valid":
        return 0, 0
    if not (height % 2 and width % 2):
        raise ConfigError(f"{layers.label(name)}: padding 'same' needs a kernel of odd size, not {(height, width)}",
                          node=name)  # fmt: skip
    return height // 2, width // 2


def _sums(area: list[int], kernel: Shape, stride: Shape, pad: Shape) -> Shape:
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(area, kernel, stride, pad, strict=True))


def _three(layers: Layers, name: str, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ConfigError(
            f"{layers.label(name)} needs an input of shape (channels, height, width), not {shape}; give the graph's "
            "Input that shape", node=name, shape=list(shape),
        )  # fmt: skip
    return shape


def _declared(types: Mapping[str, Any] | None, key: str) -> Shape | None:
    value = None if types is None else types.get(key)
    return None if value is None or not np.size(value) else tuple(int(n) for n in np.ravel(value))


def _only(graph: Any, kind: str, name: str) -> str:
    found = [key for key, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise ConfigError(f"NIR subgraph '{name}' has {len(found)} {kind} nodes; one is needed", node=name)
    return str(found[0])
