"""What connects populations, checked: synapses as arrays and words, kernels and sizes of convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2fw.kernels.synapses import MAX_DELAY
from spinn2host.spinnaker2.messages import Named, warn
from spinn2host.spinnaker2.models import Model

PRE, POST, WEIGHT, DELAY = range(4)


class Synapses(NamedTuple):
    """(n,) each: neurons of the two populations, and the 16-bit words (`spinn2fw.kernels.synapses`) without target."""

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    words: NDArray[np.uint16]


def read_connections(who: Named, connections: Any, pre: int, post: int, model: Model, strict: bool) -> Synapses:
    """The rows [pre, post, weight, delay] of a projection between populations of sizes `pre` and `post`.

    Weights with fractions go to the nearest whole number (even ones of two), with a warning; strict: they are refused.
    Raises ConfigError, naming the first row that cannot be.
    """
    try:
        rows = np.asarray(connections, np.float64)
    except (TypeError, ValueError):
        rows = np.empty((1, 0))
    if rows.size == 0 and rows.shape != (1, 0):
        rows = rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ConfigError(
            f"{who}: connections are rows of four numbers [pre, post, weight, delay]" + _shape(rows),
            projection=who.name,
        )
    for column, size, what in ((PRE, pre, "pre"), (POST, post, "post")):
        _refuse(who, rows, ~_whole(rows[:, column], 0, size - 1), f"{what} is a neuron, 0 to {size - 1}", column)
    whole = _whole(rows[:, DELAY], 0, MAX_DELAY)
    _refuse(who, rows, ~whole, f"delays are whole numbers, 0 to {MAX_DELAY}", DELAY)
    if not model.delays and rows[:, DELAY].any():
        warn(f"{who}: the delays are not used: {model.name} has none, its synapses have no bits for them")
    _refuse(who, rows, ~np.isfinite(rows[:, WEIGHT]), "weights are finite numbers", WEIGHT)
    weights = np.rint(rows[:, WEIGHT])
    changed = weights != rows[:, WEIGHT]
    if changed.any():
        largest = np.abs(weights - rows[:, WEIGHT]).max()
        text = f"{who}: {np.count_nonzero(changed)} of {len(rows)} weights are no whole numbers"
        if strict:
            raise ConfigError(f"{text}, which --strict-weights refuses: scale and round them before",
                              projection=who.name, count=int(np.count_nonzero(changed)))  # fmt: skip
        warn(f"{text}: they are rounded to the nearest, which changes one by {largest:.3g}")
    limit = model.max_weight
    _refuse(who, rows, np.abs(weights) > limit, f"weights into {model.name} are -{limit} to {limit}, as its synapses "
            f"have {limit.bit_length()} bits for them: scale weights and thresholds", WEIGHT)  # fmt: skip
    sign, magnitude = (weights < 0).astype(np.uint16), np.abs(weights).astype(np.uint16)
    delays = rows[:, DELAY].astype(np.uint16)
    words = sign << 8 | (delays << 9 | magnitude << 12 if model.delays else magnitude << 9)
    return Synapses(rows[:, PRE].astype(np.int64), rows[:, POST].astype(np.int64), words.astype(np.uint16))


def _shape(rows: NDArray[np.float64]) -> str:
    return "" if rows.shape == (1, 0) else f", not an array of shape {rows.shape}"


def _whole(values: NDArray[np.float64], low: int, high: int) -> NDArray[np.bool_]:
    return (values >= low) & (values <= high) & (values == np.rint(values))


def _refuse(who: Named, rows: NDArray[np.float64], bad: NDArray[np.bool_], rule: str, column: int) -> None:
    if bad.any():
        number = int(np.argmax(bad))
        row = [f"{value:g}" for value in rows[number]]
        more = f" and {np.count_nonzero(bad) - 1} others" if np.count_nonzero(bad) > 1 else ""
        raise ConfigError(
            f"{who}: {rule}; connection {number}, [{', '.join(row)}],{more} cannot be",
            projection=who.name, connection=number, value=float(rows[number, column]), count=int(np.count_nonzero(bad)),
        )  # fmt: skip


class Geometry(NamedTuple):
    """Of a convolution: sizes of a channel before pooling, and of an output channel; see `snn.Conv2DProjection`."""

    in_channels: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    in_height: int
    in_width: int
    stride_x: int
    stride_y: int
    pool_x: int
    pool_y: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int

    @property
    def out_height(self) -> int:
        """Rows of an output channel."""
        rows = self.in_height // self.pool_y + self.pad_top + self.pad_bottom - self.kernel_height
        return rows // self.stride_y + 1

    @property
    def out_width(self) -> int:
        """Columns of an output channel."""
        columns = self.in_width // self.pool_x + self.pad_left + self.pad_right - self.kernel_width
        return columns // self.stride_x + 1


_SIZES = ("in_height", "in_width")
_FROM_ONE = ("stride_x", "stride_y", "pool_x", "pool_y")
_FROM_ZERO = ("pad_top", "pad_bottom", "pad_left", "pad_right")


def read_geometry(who: Named, params: Mapping[str, Any], kernels: tuple[int, ...], pre: int, post: int) -> Geometry:
    """The sizes of a convolution. Raises ConfigError if they are none, or are not those of the populations."""
    if not isinstance(params, Mapping):
        raise ConfigError(f"{who}: params is a dictionary, not {type(params).__name__}", projection=who.name)
    unknown = [name for name in params if name not in (*_SIZES, *_FROM_ONE, *_FROM_ZERO)]
    if unknown:
        raise ConfigError(f"{who}: there is no parameter {unknown[0]!r} of a convolution, only "
                          f"{', '.join((*_SIZES, *_FROM_ONE, *_FROM_ZERO))}", projection=who.name)  # fmt: skip
    values = {}
    for names, least in ((_SIZES, 1), (_FROM_ONE, 1), (_FROM_ZERO, 0)):
        for name in names:
            value = params.get(name, None if names is _SIZES else least)
            if not isinstance(value, int | np.integer) or value < least:
                raise ConfigError(f"{who}: {name} is a whole number from {least} on, not {value!r}",
                                  projection=who.name, parameter=name)  # fmt: skip
            values[name] = int(value)
    geometry = Geometry(*kernels, **values)
    if geometry.out_height < 1 or geometry.out_width < 1:
        raise ConfigError(f"{who}: its kernels of {geometry.kernel_height} x {geometry.kernel_width} are larger than "
                          "the input with its margins, after pooling", projection=who.name)  # fmt: skip
    need_in = geometry.in_channels * geometry.in_height * geometry.in_width
    need_out = geometry.out_channels * geometry.out_height * geometry.out_width
    for which, need, size, shape in (
        ("pre", need_in, pre, (geometry.in_channels, geometry.in_height, geometry.in_width)),
        ("post", need_out, post, (geometry.out_channels, geometry.out_height, geometry.out_width)),
    ):
        if need != size:
            raise ConfigError(f"{who}: its {which} population has {size} neurons, the convolution {need}: "
                              f"{' x '.join(map(str, shape))} (channels, rows, columns)",
                              projection=who.name, expected=need, size=size)  # fmt: skip
    return geometry


def read_kernels(who: Named, weights: Any) -> NDArray[np.int8]:
    """Kernels of a convolution, int8 (input channels, output channels, height, width). Raises ConfigError."""
    array = np.asarray(weights)
    if array.ndim != 4 or array.dtype.kind not in "iuf" or not array.size:
        raise ConfigError(f"{who}: kernels are numbers (input channels, output channels, height, width), not of shape "
                          f"{array.shape}", projection=who.name)  # fmt: skip
    wrong = ~((array >= -128) & (array <= 127) & (array == np.rint(array)))
    if wrong.any():
        text = f"{np.count_nonzero(wrong)} are not, such as {array[wrong][0]:g}"
        raise ConfigError(f"{who}: kernels are int8, whole numbers from -128 to 127; {text}", projection=who.name,
                          value=float(array[wrong][0]))  # fmt: skip
    return array.astype(np.int8)
