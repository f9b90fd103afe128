"""Connections from the weights of trained layers, and their scaling to what a synapse word holds.

A connection list is a list of `[pre, post, weight, delay]`, as `Projection` takes it. Neurons of layers with channels
are counted as torch flattens them: index = (channel · height + row) · width + column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.names import refuse_unknown

__all__ = [
    "connection_list_for_sumpool2d",
    "connection_list_from_dense_weights",
    "join_conn_lists",
    "mla_conv2d_max_output_value",
    "reorder_dense_weights_after_conv2d",
    "scale_and_convert_weights_to_int8",
    "sparse_connection_list_from_dense_weights",
]
refuse_unknown(
    __name__,
    {"connection_list_for_avgpool2d": " (a sum pool with weights or thresholds scaled by its size is the same)"},
)

Connections = list[list[float]]
LARGEST = 127
"""A synapse without delay has 7 bits for its weight, a kernel 8 with sign."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def connection_list_from_dense_weights(weights: npt.ArrayLike, delay: int = 0) -> Connections:
    """All entries of `weights[pre, post]`, zeros too, row by row.

    For a torch layer, whose weight is [out, in], pass `layer.weight.T`. Errors: ConfigError unless there are two axes.
    """
    return as_lists(dense_columns(weights, delay))


def sparse_connection_list_from_dense_weights(weights: npt.ArrayLike, delay: int = 0) -> Connections:
    """The entries of `weights[pre, post]` that are not zero, row by row.

    Errors: ConfigError unless there are two axes.
    """
    columns = dense_columns(weights, delay)
    return as_lists(columns[columns[:, 2] != 0])


def connection_list_for_sumpool2d(
    input_shape: Sequence[int],
    stride: int | Sequence[int],
    kernel_size: int | Sequence[int],
    padding: int | Sequence[int] = 0,
    delay: int = 0,
    data_order: str = "torch",
) -> tuple[Connections, tuple[int, int, int]]:
    """Weight 1 from each neuron to the sums that it is part of: (connection list, shape of the sums).

    Shapes are (channels, height, width); stride, kernel and padding a number or (vertical, horizontal). Height of the
    sums: (height + 2 · padding − kernel) // stride + 1, as torch counts; a sum at the rim leaves out what is outside.
    Errors: ConfigError for another `data_order`, which would need to know how the original orders it, or no sum at all.
    """
    if data_order != "torch":
        raise ConfigError(
            f"connection_list_for_sumpool2d: data_order '{data_order}' is not known here; it is 'torch' "
            "(channels, height, width)",
            data_order=data_order,
        )
    columns, shape = sumpool_columns(input_shape, stride, kernel_size, padding, delay)
    return as_lists(columns), shape


def join_conn_lists(first: Iterable[Sequence[float]], second: Iterable[Sequence[float]]) -> Connections:
    """One list for two layers in a row without neurons between.

    weight(pre, post) = Σ over m of first(pre, m) · second(m, post), where m counts what lies between. The delay is that
    of `second` (our own reading). Sorted by pre, then post; pairs without a path are left out.
    """
    return as_lists(joined_columns(_columns(first), _columns(second)))


def scale_and_convert_weights_to_int8(weights: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """int8, of any shape: w · 127 / max|w|, fractions cut off, as the original does. All zero: zeros.

    Multiply biases and thresholds of the layer by the same 127 / max|w|. Errors: ConfigError for weights that are not
    finite.
    """
    values = np.asarray(weights, dtype=np.float64)
    top = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(top):
        raise ConfigError("scale_and_convert_weights_to_int8: weights must be finite numbers")
    return (values * (LARGEST / top if top else 1.0)).astype(np.int8)


def reorder_dense_weights_after_conv2d(
    weights: npt.ArrayLike, channels: int, height: int, width: int
) -> npt.NDArray[np.generic]:
    """`weights[pre, post]` of a layer after (height, width, channels) data, with rows as torch orders them.

    Row (y · width + x) · channels + c becomes row (c · height + y) · width + x.
    Errors: ConfigError where the rows are not channels · height · width.
    """
    values = np.asarray(weights)
    if values.ndim != 2 or len(values) != height * width * channels:
        raise ConfigError(
            f"reorder_dense_weights_after_conv2d: weights of shape {values.shape} have not {channels} · {height} · "
            f"{width} = {channels * height * width} rows"
        )
    return values.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(values.shape)


def mla_conv2d_max_output_value(
    kernel_height: int, kernel_width: int, in_channels: int, dtype_in: npt.DTypeLike, dtype_kernel: npt.DTypeLike
) -> int:
    """The largest sum that a convolution of integers can have: values per kernel · largest input · largest weight."""
    largest = int(np.iinfo(dtype_in).max) * int(np.iinfo(dtype_kernel).max)
    return int(kernel_height) * int(kernel_width) * int(in_channels) * largest


def dense_columns(weights: npt.ArrayLike, delay: float) -> Floats:
    """float64[pre · post, 4]: the columns pre, post, weight, delay of all entries of `weights[pre, post]`."""
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 2:
        raise ConfigError(f"dense weights have two axes, [pre, post]; these have the shape {values.shape}")
    where = np.indices(values.shape)
    return _stacked(where[0], where[1], values, delay)


def sumpool_columns(
    input_shape: Sequence[int],
    stride: int | Sequence[int],
    kernel_size: int | Sequence[int],
    padding: int | Sequence[int],
    delay: float,
) -> tuple[Floats, tuple[int, int, int]]:
    """As `connection_list_for_sumpool2d`, as float64[connections, 4]."""
    channels, height, width = (int(n) for n in input_shape)
    (step_y, step_x), (size_y, size_x), (pad_y, pad_x) = (pair(value) for value in (stride, kernel_size, padding))
    shape = channels, (height + 2 * pad_y - size_y) // step_y + 1, (width + 2 * pad_x - size_x) // step_x + 1
    if min(shape) < 1:
        raise ConfigError(
            f"sum pooling with kernel {(size_y, size_x)}, stride {(step_y, step_x)}, padding {(pad_y, pad_x)} of an "
            f"input of {(channels, height, width)} has no output: {shape}"
        )
    channel, row, column, i, j = np.indices((*shape, size_y, size_x)).reshape(5, -1)
    y, x = row * step_y + i - pad_y, column * step_x + j - pad_x
    pre = (channel * height + y) * width + x
    post = (channel * shape[1] + row) * shape[2] + column
    columns = _stacked(pre, post, np.ones(len(pre)), delay)[(y >= 0) & (y < height) & (x >= 0) & (x < width)]
    return columns[np.lexsort((columns[:, 1], columns[:, 0]))], shape


def joined_columns(first: Floats, second: Floats) -> Floats:
    """As `join_conn_lists`, of and to float64[connections, 4]."""
    second = second[np.argsort(second[:, 0], kind="stable")]
    begin = np.searchsorted(second[:, 0], first[:, 1], side="left")
    count = np.searchsorted(second[:, 0], first[:, 1], side="right") - begin
    left = np.repeat(np.arange(len(first)), count)
    right = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    pre, post, delay = first[left, 0], second[right, 1], second[right, 3]
    # A number for each (pre, post, delay): rows take longer to sort.
    posts, delays = post.max(initial=0) + 1, delay.max(initial=0) + 1
    pairs, place = np.unique(((pre * posts + post) * delays + delay).astype(np.int64), return_inverse=True)
    weight = np.bincount(place, first[left, 2] * second[right, 2], minlength=len(pairs))
    pair_of, delay_of = np.divmod(pairs, int(delays))
    return np.column_stack([*np.divmod(pair_of, int(posts)), weight, delay_of])


def as_lists(columns: Floats) -> Connections:
    """The rows as lists, with whole numbers as int."""
    whole = [column.astype(np.int64).tolist() if np.all(column == np.rint(column)) else column.tolist()
             for column in columns.T]  # fmt: skip
    return [list(row) for row in zip(*whole, strict=True)]


def pair(value: int | Sequence[int] | npt.NDArray[np.generic]) -> tuple[int, int]:
    """(vertical, horizontal) of a number for both, or of two numbers."""
    numbers = np.asarray(value).reshape(-1)
    if len(numbers) not in (1, 2):
        raise ConfigError(f"one number or two (vertical, horizontal) are expected, not {value}")
    return int(numbers[0]), int(numbers[-1])


def _columns(connections: Iterable[Sequence[float]]) -> Floats:
    return np.array([list(row) for row in connections], dtype=np.float64).reshape(-1, 4)


def _stacked(pre: Indices, post: Indices, weight: Floats, delay: float) -> Floats:
    columns = np.empty((weight.size, 4))
    columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3] = pre.ravel(), post.ravel(), weight.ravel(), delay
    return columns
