"""Arrays out of the dictionaries `{neuron: [ticks]}` that `Population.get_spikes` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.names import refuse_unknown

__all__ = ["calculate_population_spike_rate", "spike_times_dict_to_arrays", "spike_times_to_matrix"]
refuse_unknown(__name__)

SpikeTimes = Mapping[int, Sequence[int]]


def spike_times_dict_to_arrays(spike_times: SpikeTimes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every spike as a pair: (indices of neurons, ticks), two arrays int64[spikes].

    In the order of the dictionary, and of ticks within a neuron: `plt.plot(times, indices, ".")` is the raster.
    """
    counts = [len(ticks) for ticks in spike_times.values()]
    indices = np.repeat(np.array(list(spike_times), dtype=np.int64), counts)
    times = [np.asarray(ticks, dtype=np.int64) for ticks in spike_times.values()]
    return indices, np.concatenate([np.empty(0, np.int64), *times])


def spike_times_to_matrix(spike_times: SpikeTimes, n_timesteps: int | None = None) -> npt.NDArray[np.int64]:
    """int64[neurons, ticks]: how often a neuron spiked in a tick, so 0 or 1.

    Neurons: the largest key of the dictionary plus 1; ticks: `n_timesteps`, or up to the last spike.
    Errors: ConfigError for a spike at or after `n_timesteps` (fields neuron, tick, n_timesteps).
    """
    indices, times = spike_times_dict_to_arrays(spike_times)
    if n_timesteps is None:
        n_timesteps = int(times.max(initial=-1)) + 1
    outside = np.flatnonzero((times < 0) | (times >= n_timesteps))
    if len(outside):
        neuron, tick = int(indices[outside[0]]), int(times[outside[0]])
        raise ConfigError(
            f"spike_times_to_matrix: neuron {neuron} spikes in tick {tick}, outside of the {n_timesteps} ticks of "
            "n_timesteps; give as many as the run had",
            neuron=neuron,
            tick=tick,
            n_timesteps=int(n_timesteps),
        )
    matrix = np.zeros((max(spike_times, default=-1) + 1, n_timesteps), dtype=np.int64)
    np.add.at(matrix, (indices, times), 1)
    return matrix


def calculate_population_spike_rate(
    times: npt.ArrayLike, n_neurons: int, bin_width: float = 10.0, tick_in_s: float = 1e-3
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean rate of a population over time: (rates in Hz, centres of bins in ticks), float64[bins] each.

    rate = spikes in the bin / (n_neurons · bin_width · tick_in_s); bins start at tick 0 and reach past the last spike.
    `times`: ticks of all spikes, as from `spike_times_dict_to_arrays`. The width of bins in the original is not known:
    10 ticks is our own choice.
    Errors: ConfigError where n_neurons, bin_width or tick_in_s is not positive.
    """
    if not (n_neurons > 0 and bin_width > 0 and tick_in_s > 0):
        raise ConfigError(
            "calculate_population_spike_rate: n_neurons, bin_width and tick_in_s must be positive, not "
            f"{n_neurons}, {bin_width}, {tick_in_s}"
        )
    ticks = np.asarray(times, dtype=np.float64)
    bins = int(ticks.max(initial=-1.0) // bin_width) + 1
    counts, edges = np.histogram(ticks, bins=np.arange(bins + 1) * bin_width) if bins else (np.zeros(0), np.zeros(1))
    return counts / (n_neurons * bin_width * tick_in_s), edges[:-1] + bin_width / 2
