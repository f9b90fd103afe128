"""Samples as input spikes: compressed rows of (tick, neuron), as the input PEs hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2fw.kernels.loss import NO_LABEL


@dataclass(frozen=True)
class Samples:
    """N samples. Events start[s] … start[s+1]-1 belong to sample s, sorted by (tick, neuron).

    start int64 (N+1,), from 0; tick, neuron uint16 (events,); label uint8 (N,), NO_LABEL: there is no such sample.
    """

    start: NDArray[np.int64]
    tick: NDArray[np.uint16]
    neuron: NDArray[np.uint16]
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def from_spikes(cls, spikes: NDArray[np.uint8], label: NDArray[np.integer]) -> Samples:
        """From a dense 0/1 array (T, N, n_in) and labels (N,). Raises ConfigError for other values or shapes."""
        if spikes.ndim != 3 or label.shape != spikes.shape[1:2]:
            raise ConfigError(
                f"spikes must be (T, samples, inputs) and labels (samples,): {spikes.shape}, {label.shape}"
            )
        if not np.isin(spikes, (0, 1)).all():
            raise ConfigError("spikes must be 0 or 1")
        sample, tick, neuron = np.nonzero(spikes.transpose(1, 0, 2))
        start = np.searchsorted(sample, np.arange(len(label) + 1)).astype(np.int64)
        return cls(start, _narrow("tick", tick), _narrow("input", neuron), _narrow("label", label, NO_LABEL, np.uint8))

    @classmethod
    def from_times(cls, times: NDArray[np.integer], label: NDArray[np.integer]) -> Samples:
        """From one spike tick per input, (N, n_in), and labels (N,). Raises ConfigError for other values or shapes."""
        if times.ndim != 2 or label.shape != times.shape[:1]:
            raise ConfigError(f"times must be (samples, inputs) and labels (samples,): {times.shape}, {label.shape}")
        n, n_in = times.shape
        order = np.argsort(times, axis=1, kind="stable")
        ticks = np.take_along_axis(times, order, axis=1)
        return cls(
            np.arange(n + 1, dtype=np.int64) * n_in, _narrow("tick", ticks.ravel()), _narrow("input", order.ravel()),
            _narrow("label", label, NO_LABEL, np.uint8),
        )  # fmt: skip

    def take(self, index: NDArray[np.integer]) -> Samples:
        """The samples with these numbers, in this order; -1 stands for no sample. Raises ConfigError for others."""
        if index.size and not -1 <= index.min() <= index.max() < len(self):
            raise ConfigError(f"samples {index.min()} to {index.max()} are asked for, there are 0..{len(self) - 1}")
        exists = index >= 0
        counts = np.where(exists, np.diff(self.start)[index], 0)
        start = np.concatenate([[0], np.cumsum(counts)])
        offset = np.repeat(self.start[:-1][index] - start[:-1], counts)
        events = np.arange(start[-1]) + offset
        label = np.where(exists, self.label[index], NO_LABEL).astype(np.uint8)
        return Samples(start, self.tick[events], self.neuron[events], label)

    def check(self, T: int, n_in: int, classes: int) -> None:
        """Raises ConfigError unless all arrays have their dtypes and lengths, and fit each other, T ticks (0 … T-1),
        `n_in` inputs and `classes` labels."""
        self._check_form()
        for what, values, limit in (
            ("input spike in tick", self.tick, T),
            ("input spike of neuron", self.neuron, n_in),
            ("label", self.label[self.label != NO_LABEL], classes),
        ):
            if values.size and values.max() >= limit:
                raise ConfigError(f"{what} {values.max()} is outside 0..{limit - 1}", limit=limit)

    def _check_form(self) -> None:
        for name, dtype in (("start", np.int64), ("tick", np.uint16), ("neuron", np.uint16), ("label", np.uint8)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                kind = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
                raise ConfigError(f"samples: `{name}` must be a flat array of {np.dtype(dtype)}, not {kind}", name=name)
        start, events = self.start, len(self.tick)
        if len(start) != len(self.label) + 1 or len(self.neuron) != events:
            raise ConfigError(
                f"samples: {len(self.label)} labels need {len(self.label) + 1} starts, there are {len(start)}; "
                f"{events} ticks need as many neurons, there are {len(self.neuron)}"
            )
        if start[0] != 0 or start[-1] != events or (np.diff(start) < 0).any():
            raise ConfigError(f"samples: `start` must ascend from 0 to the number of events, {events}")
        order = self.tick.astype(np.int64) << 16 | self.neuron
        falls = np.diff(order) < 0
        falls[start[1:-1][(start[1:-1] > 0) & (start[1:-1] < events)] - 1] = False  # from one sample to the next
        if falls.any():
            raise ConfigError(f"samples: event {int(falls.argmax()) + 1} is not sorted by (tick, neuron) in its sample")


def _narrow(what: str, values: NDArray[Any], most: int = 0xFFFF, dtype: Any = np.uint16) -> NDArray[Any]:
    """The values as `dtype`. Raises ConfigError for what is no integer from 0 to `most`."""
    if values.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() > most):
        raise ConfigError(f"{what}s must be integers 0..{most}, not {values.dtype} {values.min()}..{values.max()}")
    return values.astype(dtype)
