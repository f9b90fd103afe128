"""A network that is fed, and whose spikes are heard, while time passes. Not part of py-spinnaker2: our own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2emu.router.state import MAX_IDS
from spinn2host.connection import whole
from spinn2host.spinnaker2 import memory
from spinn2host.spinnaker2.hardware import SpiNNaker2Chip, check_run, deployed
from spinn2host.spinnaker2.layout import host_key
from spinn2host.spinnaker2.models import LAST_TICK, spike_events
from spinn2host.spinnaker2.results import read_results
from spinn2host.spinnaker2.snn import Network, Population


class Spike(NamedTuple):
    """A neuron of a population has spiked in a tick."""

    tick: int
    population: Population
    neuron: int


class Session:
    """A network on its chip, from tick 0 on, as long as the `with` block lasts.

    >>> with live.Session(hardware.SpiNNaker2Chip(), net, 1000) as session:        # doctest: +SKIP
    ...     session.feed(stimulus, [3, 4])
    ...     session.run(10)
    ...     for spike in session.spikes():
    ...         print(spike.tick, spike.population.name, spike.neuron)

    timesteps: so many ticks are recorded, for `get_spikes` and so on after the block; it may run longer. hear: the
    population or populations whose spikes `spikes` has; None: all.

    Raises ConfigError or SramOverflow for a network that cannot be.
    """

    def __init__(
        self, board: SpiNNaker2Chip, net: Network, timesteps: int, hear: Iterable[Population] | Population | None = None
    ) -> None:
        check_run(net, timesteps)
        self._timesteps, self._net = timesteps, net
        self._hear = net.populations if hear is None else list(hear) if isinstance(hear, Iterable) else [hear]
        for population in self._hear:
            _check_member(net, population)
        with contextlib.ExitStack() as stack:
            self.chip, self._layout = stack.enter_context(deployed(board, net, timesteps))
            pes = [part.pe for part in self._layout.parts if part.population in self._hear]
            self._events = stack.enter_context(self.chip.events(pes, ports="spikes")) if pes else None
            self._stack = stack.pop_all()
            self._is_open = True
        self._population = {part.pe: part.population for part in self._layout.parts}
        self._first = np.zeros(MAX_IDS, np.int64)
        self._first[[part.pe for part in self._layout.parts]] = [part.first for part in self._layout.parts]

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.read_results()
        finally:
            self._is_open = False
            self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Reads the results and gives the chip free, as the end of a `with` block does."""
        if self._is_open:
            self.__exit__(None, None, None)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigError(f"this session of network {self._net.name!r} is closed: begin another one")

    # --- input ------------------------------------------------------------------------------------------------------

    def feed(self, population: Population, neurons: Any, ticks: Any = None) -> int:
        """Makes neurons of a `spike_receiver` spike, now or in ticks to come; returns the first of these ticks.

        neurons: one or several, with `ticks`, one or as many; or {neuron: ticks}, as a spike list has them. Without
        ticks: the first that is open, which is the next one that runs, but never tick 0.

        Raises ConfigError, and feeds nothing, for neurons that the population has not, and ticks that have begun.
        """
        self._check_open()
        _check_member(self._net, population)
        if population.model.program != memory.RECEIVER:
            raise ConfigError(
                f"{population}: only a spike_receiver can be fed, it is of model {population.neuron_model}",
                population=population.name, model=population.neuron_model,
            )  # fmt: skip
        if isinstance(neurons, Mapping):
            if ticks is not None:
                raise ConfigError(f"{population}: {{neuron: ticks}} names the ticks itself", population=population.name)
            ticks, neurons = spike_events(population, neurons, int(population.size))
        ids = np.atleast_1d(np.asarray(neurons))
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ConfigError(
                f"{population}: neurons are whole numbers, not {neurons!r:.80}", population=population.name
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < population.size:
            wrong = int(ids.min() if ids.min() < 0 else ids.max())
            raise ConfigError(f"{population}: there is no neuron {wrong}, only 0 to {population.size - 1}",
                              population=population.name, neuron=wrong)  # fmt: skip
        times = None if ticks is None else _ticks_of(population, ticks, ids)
        parts = self._layout.of(population)
        place = ids.astype(np.int64) // parts[0].neurons
        keys = np.array([host_key(part) for part in parts])[place] + ids.astype(np.int64) % parts[0].neurons
        try:
            return 1 + self.chip.inject(keys, None if times is None else times - 1)
        except ConfigError as error:
            raise _in_ticks_of_spikes(population, error) from error

    # --- time and output --------------------------------------------------------------------------------------------

    def run(
        self, ticks: int, on_spikes: Callable[[list[Spike]], object] | None = None, window: int | None = None
    ) -> None:
        """Lets time run; see `Chip.run`. on_spikes: gets those of each window of time before the next one begins.

        Raises PeFailed for what happens at run time.
        """

        self._check_open()

        def hear(batch: NDArray[np.void]) -> None:
            assert on_spikes is not None
            on_spikes(list(self._spikes(batch)))

        if on_spikes is not None and self._events is None:
            raise ConfigError("no spikes are heard: name populations in `hear`")
        self.chip.run(ticks, window=self._windows(window), on_events=None if on_spikes is None else hear)

    def start(self, ticks: int, window: int | None = None) -> None:
        """As `run`, but does not wait: iterating over `spikes` does."""
        self._check_open()
        self.chip.start(ticks, window=self._windows(window))

    def spikes(self) -> Iterator[Spike]:
        """Spikes as they happen, by tick, PE, and neuron, until the run ends; those of earlier runs first."""
        self._check_open()
        if self._events is None:
            raise ConfigError("no spikes are heard: name populations in `hear`")
        for batch in self._events.batches():
            yield from self._spikes(batch)

    def read_results(self) -> None:
        """Reads what has been recorded until now into the populations."""
        self._check_open()
        read_results(self.chip, self._layout, min(self._timesteps, int(self.chip.info()["tick"])))

    def _spikes(self, batch: NDArray[np.void]) -> Iterator[Spike]:
        neurons = (self._first[batch["pe"]] + batch["index"]).tolist()
        for tick, pe, neuron in zip(batch["tick"].tolist(), batch["pe"].tolist(), neurons, strict=True):
            yield Spike(tick, self._population[pe], neuron)

    def _windows(self, window: int | None) -> int:
        """No longer ones than what waits for a PE allows."""
        usual = spec.WINDOW_TICKS if self._events is None else spec.LIVE_WINDOW_TICKS
        return min(usual.value if window is None else whole("window", window, 1), self._layout.window)


def _check_member(net: Network, population: Population) -> None:
    if not isinstance(population, Population) or population not in net.populations:
        raise ConfigError(f"{population} is not in network {net.name!r}: add it", population=str(population))


def _ticks_of(population: Population, ticks: Any, neurons: NDArray[Any]) -> NDArray[np.int64]:
    """The ticks of spikes, one or as many as neurons. Raises ConfigError."""
    times = np.asarray(ticks)
    if times.dtype.kind not in "iu" and times.size:
        raise ConfigError(f"{population}: ticks are whole numbers, not {ticks!r:.80}", population=population.name)
    if times.shape not in ((), neurons.shape):
        raise ConfigError(
            f"{population}: there are {times.size} ticks for {neurons.size} neurons: give one tick, or one for each",
            population=population.name, ticks=times.size, neurons=neurons.size,
        )  # fmt: skip
    if times.size and not 1 <= times.min() <= times.max() <= LAST_TICK:
        wrong = int(times.min() if times.min() < 1 else times.max())
        raise ConfigError(f"{population}: tick 1 is the first that can be fed, {LAST_TICK} the last, not {wrong}",
                          population=population.name, tick=wrong, earliest=1)  # fmt: skip
    return times.astype(np.int64)


def _in_ticks_of_spikes(population: Population, error: ConfigError) -> ConfigError:
    """The chip counts by the tick in which the host sends, one before that of the spike."""
    if "earliest" not in error.fields:
        return ConfigError(f"{population}: {error.message}", **{"population": population.name, **error.fields})
    tick, first = error.fields["tick"] + 1, error.fields["earliest"] + 1
    return ConfigError(
        f"{population}: {error.fields['packets']:,} spikes come too late for tick {tick}: tick {first} is the first "
        "that can still be fed. Name a later one, or run in shorter windows", population=population.name, tick=tick,
        earliest=first,
    )  # fmt: skip
