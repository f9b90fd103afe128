"""The projections between chip neurons for NIR's layers of weights, convolutions and pools."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.ann2snn_helpers import LARGEST, dense_columns, joined_columns, pair, sumpool_columns
from spinn2host.spinnaker2.messages import warn
from spinn2host.spinnaker2.nir_graph import DENSE, POOL, WEIGHTS, Layers, Way, array, matrix, padding, refuse_infinite
from spinn2host.spinnaker2.snn import Conv2DProjection, Population, Projection

DELAY = 0
"""Of all projections: the models that NIR's nodes become have none of their own."""

Floats = npt.NDArray[np.float64]


def weight_factor(layers: Layers, name: str, percentile: float) -> float:
    """127 / max|w| over the layers that enter a neuron node, 1 if none does; max: of those percent of each.

    A pool beside them counts with its weight of 1.
    """
    weights = [np.abs(array(layers.nodes[layer].weight)).reshape(-1) for layer in layers.into(name, WEIGHTS)]
    top = max((float(np.percentile(weight, percentile)) for weight in weights if weight.size), default=0.0)
    if top and layers.into(name, (POOL,)):
        top = max(top, 1.0)
    return LARGEST / top if top else 1.0


def make_projection(
    layers: Layers, way: Way, pre: Population, post: Population, cut_above: bool
) -> Projection | Conv2DProjection:
    """What connects two populations along a way, with weights multiplied by `nir_w_scale` of `post`.

    `cut_above`: weights beyond 127 are cut, and a line says so; else they are refused.
    Errors: ConfigError for sizes that do not fit, weights out of range or not finite, and what a convolution has not.
    """
    last, name = way.between[-1], " → ".join((way.source, *way.between, way.target))
    factor = float(vars(post)["nir_w_scale"])
    if layers.kind(last) == "Conv2d":
        return Conv2DProjection(pre, post, _kernels(layers, last, factor, cut_above), _geometry(layers, way), name)
    columns = None
    if layers.kind(way.between[0]) == POOL:
        node, shape = layers.nodes[way.between[0]], layers.input_shape(way.between[0])
        assert shape is not None
        columns, _ = sumpool_columns(shape, node.stride, node.kernel_size, node.padding, DELAY)
    if layers.kind(last) in DENSE:
        weight = _in_range(layers, last, matrix(layers, last).T * factor, cut_above)
        _check_sizes(layers, way, last, weight.shape)
        dense = dense_columns(weight, DELAY)
        columns = dense if columns is None else joined_columns(columns, dense)
    else:
        assert columns is not None
        columns[:, 2] *= factor
    return Projection(pre, post, columns, name)


def _check_sizes(layers: Layers, way: Way, name: str, shape: tuple[int, ...]) -> None:
    before = layers.input_shape(name) if len(way.between) > 1 else layers.shapes[way.source]
    ends = math.prod(before or (shape[0],)), math.prod(layers.shapes[way.target])
    if shape != ends:
        raise ConfigError(
            f"{layers.label(name)} leads from {shape[0]} values to {shape[1]}, but lies between {ends[0]} and "
            f"{ends[1]} ('{way.source}' and '{way.target}')", node=name, expected=list(ends), size=list(shape),
        )  # fmt: skip


def _in_range(layers: Layers, name: str, weight: Floats, cut_above: bool) -> Floats:
    """Weights that a synapse holds; what a percentile leaves above is cut. Errors: ConfigError for others above."""
    top = float(np.abs(weight).max(initial=0.0))
    if round(top) > LARGEST and not cut_above:
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
        warn(f"{layers.label(name)}: by weight_scale_percentile, {count} of "
             f"{weight.size} weights are cut to {LARGEST}; the largest was {top:.4g}")  # fmt: skip
    return np.clip(weight, -LARGEST, LARGEST)


def _kernels(layers: Layers, name: str, factor: float, cut_above: bool) -> npt.NDArray[np.int8]:
    """int8 (input channels, output channels, height, width), fractions cut off."""
    node = layers.nodes[name]
    weight = array(node.weight)
    if weight.ndim != 4:
        raise ConfigError(f"{layers.label(name)}: weights have four axes, not the shape {weight.shape}", node=name)
    refuse_infinite(layers, name, weight)
    kernel = weight.swapaxes(0, 1) * factor
    for what, given, needed in (("groups", int(node.groups), 1), ("dilation", pair(node.dilation), (1, 1))):
        if given != needed:
            raise ConfigError(f"{layers.label(name)}: {what} is {given}, the chip's convolutions have {needed}",
                              node=name, parameter=what)  # fmt: skip
    kernel = _in_range(layers, name, kernel, cut_above)
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
