"""Samples as input spikes: compressed rows of (tick, neuron), as the input PEs hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError

NO_LABEL = 255


@dataclass(frozen=True)
class Samples:
    """N samples. Events start[s] … start[s+1]-1 belong to sample s, sorted by (tick, neuron).

    start int64 (N+1,); tick, neuron uint16 (events,); label uint8 (N,), NO_LABEL: there is no such sample.
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
        start = np.searchsorted(sample, np.arange(len(label) + 1))
        return cls(start, tick.astype(np.uint16), neuron.astype(np.uint16), label.astype(np.uint8))

    @classmethod
    def from_times(cls, times: NDArray[np.integer], label: NDArray[np.integer]) -> Samples:
        """From one spike tick per input, (N, n_in)."""
        n, n_in = times.shape
        order = np.argsort(times, axis=1, kind="stable")
        ticks = np.take_along_axis(times, order, axis=1)
        return cls(
            np.arange(n + 1, dtype=np.int64) * n_in, ticks.astype(np.uint16).ravel(), order.astype(np.uint16).ravel(),
            label.astype(np.uint8),
        )  # fmt: skip

    def take(self, index: NDArray[np.integer]) -> Samples:
        """The samples with these numbers, in this order; -1 stands for no sample."""
        exists = index >= 0
        counts = np.where(exists, np.diff(self.start)[index], 0)
        start = np.concatenate([[0], np.cumsum(counts)])
        offset = np.repeat(self.start[:-1][index] - start[:-1], counts)
        events = np.arange(start[-1]) + offset
        label = np.where(exists, self.label[index], NO_LABEL).astype(np.uint8)
        return Samples(start, self.tick[events], self.neuron[events], label)

    def check(self, T: int, n_in: int, classes: int) -> None:
        """Raises ConfigError for a spike outside 0 … T-1, an input beyond n_in or a label beyond the classes."""
        for what, values, limit in (
            ("input spike in tick", self.tick, T),
            ("input spike of neuron", self.neuron, n_in),
            ("label", self.label[self.label != NO_LABEL], classes),
        ):
            if values.size and values.max() >= limit:
                raise ConfigError(f"{what} {values.max()} is outside 0..{limit - 1}", limit=limit)
