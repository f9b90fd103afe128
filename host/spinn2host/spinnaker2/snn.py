"""Networks as scripts describe them: populations, projections, and what comes out of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.connections import Geometry, Synapses, read_connections, read_geometry, read_kernels
from spinn2host.spinnaker2.messages import one_line
from spinn2host.spinnaker2.models import Model, check_names, check_record, find_model
from spinn2host.spinnaker2.names import refuse_unknown
from spinn2host.spinnaker2.settings import settings
from spinn2host.spinnaker2.unchanged import Converted

refuse_unknown(
    __name__,
    {
        "SpiNNaker2Backend": " (boards are in hardware: hardware.SpiNNaker2Chip)",
        "LIF": " (models are chosen by name: Population(size, 'lif', params))",
        "AllToAllConnector": " (a projection takes a list [pre, post, weight, delay])",
        "StaticSynapse": " (a projection takes a list [pre, post, weight, delay])",
    },
)

MAX_ATOMS_PER_CORE = 250
"""Neurons on a PE, unless `set_max_atoms_per_core` says something else."""
MOST_ATOMS = 256
"""A synapse's word has 8 bits for its target."""


class Population:
    """Neurons of one model.

    size: how many. params: for a `spike_list` {neuron: [ticks]}, else a number for each parameter, or one per neuron
    (see `models.MODELS`). record: of `spikes` (the default), `v`, `v_last`, `time_done`, `n_packets`.

    Raises ConfigError for what no population has; sizes and values may change until a run, and are checked there.
    """

    _numbers = count()

    def __init__(
        self, size: int, neuron_model: str, params: Mapping[Any, Any] | None = None, name: str = "",
        record: Iterable[str] | str | None = None,
    ) -> None:  # fmt: skip
        self.size = size
        self.neuron_model = neuron_model
        self.params: Any = {} if params is None else params
        self.name = name or f"Population_{next(Population._numbers)}"
        model = find_model(neuron_model)
        self.record: list[str] = check_record(self, model, ("spikes",) if record is None else record)
        self.max_atoms_per_core = MAX_ATOMS_PER_CORE
        check_names(self, model, self.params)
        self._results: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"population {one_line(self.name)}"

    def __repr__(self) -> str:
        return f"Population(size={self.size}, neuron_model={self.neuron_model!r}, name={self.name!r})"

    @property
    def model(self) -> Model:
        """What the name of the model stands for. Raises ConfigError."""
        return find_model(self.neuron_model)

    def set_max_atoms_per_core(self, max_atoms: int) -> None:
        """At most so many neurons on a PE, 1 to 256."""
        if not isinstance(max_atoms, Real) or not 1 <= max_atoms <= MOST_ATOMS or int(max_atoms) != max_atoms:
            raise ConfigError(
                f"{self}: a PE holds 1 to {MOST_ATOMS} neurons, a synapse's word has 8 bits for its target, "
                f"not {max_atoms!r}", population=self.name, value=max_atoms, limit=MOST_ATOMS,
            )  # fmt: skip
        self.max_atoms_per_core = int(max_atoms)

    def get_max_atoms_per_core(self) -> int:
        """How many neurons a PE gets at most."""
        return self.max_atoms_per_core

    # --- results ----------------------------------------------------------------------------------------------------

    def get_spikes(self) -> dict[int, list[int]]:
        """The ticks in which each neuron has spiked; silent ones have an empty list. Raises ConfigError if spikes were
        not recorded, or nothing was run."""
        return dict(self._result("spikes"))

    def get_voltages(self) -> dict[int, NDArray[np.float32]]:
        """Each neuron's voltage after every tick, from tick 0; with `v_last` alone, after the last one."""
        return dict(self._result("v" if "v" in self._results or "v_last" not in self._results else "v_last"))

    def get_time_done_times(self) -> dict[str, NDArray[np.float64]]:
        """By PE, for every tick, when the PE was done with it, in ticks: here, when the last packet came in, since
        kernels take no time yet."""
        return dict(self._result("time_done"))

    def get_n_packets(self) -> dict[str, NDArray[np.int64]]:
        """By PE, for every tick, how many packets came in."""
        return dict(self._result("n_packets"))

    def get_variable(self, name: str) -> dict[Any, Any]:
        """What was recorded under that name."""
        return dict(self._result(name))

    def reset(self) -> None:
        """Forgets the results."""
        self._results = {}

    def _result(self, name: str) -> dict[Any, Any]:
        if name in self._results:
            return self._results[name]
        if name not in self.record:
            raise ConfigError(
                f"{self} records {', '.join(self.record) or 'nothing'}, not {name!r}: name it in `record` before a run",
                population=self.name, record=name,
            )  # fmt: skip
        raise ConfigError(f"{self} has no {name!r} yet: run its network first", population=self.name, record=name)


class Projection:
    """Synapses between two populations, or within one.

    connections: rows [pre, post, weight, delay], a list or an array (n, 4). Weights are rounded to whole numbers.
    Raises ConfigError for what is none, or no population.
    """

    _numbers = count()

    def __init__(self, pre: Population, post: Population, connections: Any, name: str | None = None) -> None:
        self.name = f"Projection_{next(Projection._numbers)}" if name is None else name
        self.pre, self.post = _ends(self, pre, post)
        self.connections = connections
        self._rows = Converted()
        if not _has_rows(connections):
            self.synapses()  # says what is wrong

    def __str__(self) -> str:
        return f"projection {one_line(self.name)}"

    def synapses(self) -> Synapses:
        """The connections as arrays. Raises ConfigError for indices, weights and delays that cannot be."""
        rows = self._rows.of(self.connections)
        return read_connections(self, rows, self.pre.size, self.post.size, self.post.model, settings.strict_weights)

    @property
    def sparse_weights(self) -> NDArray[np.float64]:
        """The weights as a matrix (pre, post), of all synapses between two neurons together."""
        rows = np.asarray(self.connections, np.float64).reshape(-1, 4)
        matrix = np.zeros((self.pre.size, self.post.size))
        np.add.at(matrix, (rows[:, 0].astype(int), rows[:, 1].astype(int)), rows[:, 2])
        return matrix


class Conv2DProjection:
    """A convolution of one population of channels by another; neurons are numbered channel by channel, row by row.

    weights: int8 (input channels, output channels, height, width). params: `in_height`, `in_width`, and `stride_x`,
    `stride_y`, `pool_x`, `pool_y` (1), `pad_top`, `pad_bottom`, `pad_left`, `pad_right` (0). The input is pooled (by
    sums) before it is convolved. There is no delay. This is our own reading of what scripts do.
    """

    _numbers = count()

    def __init__(
        self, pre: Population, post: Population, weights: Any, params: Mapping[str, int], name: str | None = None
    ) -> None:
        self.name = f"Conv2DProjection_{next(Conv2DProjection._numbers)}" if name is None else name
        self.pre, self.post = _ends(self, pre, post)
        self.weights, self.params = weights, params
        if not post.model.convolution:
            raise ConfigError(
                f"{self}: {post} is of model {post.neuron_model}; convolutions lead to lif_conv2d",
                projection=self.name, model=post.neuron_model,
            )  # fmt: skip

    def __str__(self) -> str:
        return f"projection {one_line(self.name)}"

    def kernels(self) -> NDArray[np.int8]:
        """The weights, int8 (input channels, output channels, height, width). Raises ConfigError."""
        return read_kernels(self, self.weights)

    def geometry(self) -> Geometry:
        """Sizes, strides, margins. Raises ConfigError if they do not fit the populations."""
        return read_geometry(self, self.params, self.kernels().shape, self.pre.size, self.post.size)


def _has_rows(connections: object) -> bool:
    """Whether these are rows, whatever is in them: that is checked when they are used."""
    if isinstance(connections, np.ndarray):
        return connections.ndim > 1
    return isinstance(connections, Sequence) and all(hasattr(row, "__len__") for row in connections[:1])


def _ends(projection: Projection | Conv2DProjection, pre: object, post: object) -> tuple[Population, Population]:
    for which, population in (("pre", pre), ("post", post)):
        if not isinstance(population, Population):
            raise ConfigError(f"{projection}: {which} is a Population, not {type(population).__name__}",
                              projection=projection.name)  # fmt: skip
    assert isinstance(pre, Population) and isinstance(post, Population)
    if post.model.is_source:
        raise ConfigError(f"{projection}: {post} is of model {post.neuron_model}, which takes no input",
                          projection=projection.name, model=post.neuron_model)  # fmt: skip
    return pre, post


def _check_part(part: object) -> None:
    if not isinstance(part, Population | Projection | Conv2DProjection):
        raise ConfigError(f"a network holds populations and projections, not {type(part).__name__}: "
                          "add(one, another, ...)")  # fmt: skip


class Network:
    """Populations and projections that run together."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.populations: list[Population] = []
        self.projections: list[Projection | Conv2DProjection] = []

    def add(self, *parts: Population | Projection | Conv2DProjection) -> None:
        """Adds populations and projections; what is in the network already stays once. Raises ConfigError."""
        for part in parts:
            if isinstance(part, Population):
                if part not in self.populations:
                    self.populations.append(part)
            elif isinstance(part, Projection | Conv2DProjection):
                if part not in self.projections:
                    self.projections.append(part)
            else:
                _check_part(part)

    def reset(self) -> None:
        """Forgets spikes and voltages. Parameters may change then, and the network run again."""
        for population in self.populations:
            population.reset()

    def validate(self) -> None:
        """Raises ConfigError for projections of populations that are not in the network, and for values that cannot
        be."""
        for part in (*self.populations, *self.projections):
            _check_part(part)
        for projection in self.projections:
            for population in (projection.pre, projection.post):
                if population not in self.populations:
                    raise ConfigError(
                        f"{projection}: {population} is not in network {self.name!r}: add it",
                        population=population.name, projection=projection.name,
                    )  # fmt: skip
        for population in self.populations:
            if not isinstance(population.size, int | np.integer) or population.size < 1:
                raise ConfigError(
                    f"{population}: its size is a whole number from 1 on, an int, not {population.size!r:.80}",
                    population=population.name, size=repr(population.size),
                )  # fmt: skip
            check_record(population, population.model, population.record)
            check_names(population, population.model, population.params)
