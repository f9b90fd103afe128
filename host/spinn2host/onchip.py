"""Training and evaluation on the emulated chip. The host only fills buffers and reads results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError, PeFailed
from spinn2fw.kernels import finite
from spinn2fw.kernels.keys import PacketKind
from spinn2fw.kernels.layout import WORDS, first_places
from spinn2host.checks import check_losses, check_rates, check_samples, max_events, not_finite
from spinn2host.chip import Chip
from spinn2host.events import Samples
from spinn2host.mapping import Buffers, deploy
from spinn2host.recipe import Recipe, check_weights
from spinn2host.schedule import planned
from spinn2host.usage import PeUsage

OPTIMIZER_ROLE = "optimizer"
"""Of the PE that has the weights, in `OnChip.roles`."""
Progress = Callable[[int], None]
"""Called with the number of samples of a quad that are done."""


@dataclass
class Outcome:
    """What the loss PEs recorded, by sample: first (N, classes) int16 ticks, predicted uint8, ce and loss float32."""

    first: NDArray[np.int16]
    predicted: NDArray[np.uint8]
    ce: NDArray[np.float32]
    loss: NDArray[np.float32]

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        """The outcomes one behind the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    @classmethod
    def empty(cls, count: int, classes: int) -> Outcome:
        """Of `count` samples, all zero."""
        f = np.float32
        return cls(
            np.zeros((count, classes), np.int16), np.zeros(count, np.uint8), np.zeros(count, f), np.zeros(count, f)
        )


class OnChip:
    """A network on a chip; it replaces what the chip has.

    weights: (n_out, n_in) of every layer, as of `Recipe.initial_weights`. largest: the most samples that the PEs should
    hold at once, as far as they fit. events: input spikes that a sample may have; None: as many as one of `largest`
    has at most. update_ticks, shares: see `schedule.update_ticks`; None: as `schedule.planned` finds them for the
    chip's level. What is computed does not depend on them.

    Raises ConfigError or SramOverflow before anything starts if the network does not fit.
    """

    on = "chip"

    def __init__(
        self,
        chip: Chip,
        recipe: Recipe,
        weights: Sequence[NDArray[np.float32]],
        largest: Samples,
        events: int | None = None,
        update_ticks: int | None = None,
        shares: Sequence[float] = (),
    ) -> None:
        check_weights(recipe, weights)
        check_samples(recipe, largest)
        self.chip, self.recipe = chip, recipe
        if update_ticks is None:
            update_ticks, shares = planned(recipe, chip.info()["level"])
        self.step_ticks = 2 * recipe.T + update_ticks
        self.events_per_sample = events or max_events(largest)
        wanted = -(-len(largest) // recipe.batch)
        buffers = Buffers(wanted, wanted * self.events_per_sample, wanted)
        self.deployment = deploy(recipe, buffers, update_ticks, shares)
        self.chains, self.optimizer = self.deployment.placement.chains, self.deployment.placement.optimizer
        chip.deploy(self.deployment.pes, [(e.key, e.mask, e.pes) for e in self.deployment.entries])
        maps = chip.maps
        first, loss = maps[self.chains[0][0]], maps[self.chains[0][-1]]
        self.capacity = min(
            first["start"].shape[0] - 1, first["tick"].shape[0] // self.events_per_sample, loss["label"].shape[0]
        )
        if self.capacity < 1:
            raise ConfigError(
                f"a sample of {self.events_per_sample} input spikes does not fit the input PE, "
                f"which has room for {first['tick'].shape[0]}: use a smaller T or fewer inputs"
            )
        self.rates_capacity = maps[self.optimizer]["rates"].shape[0]
        flat = np.zeros(maps[self.optimizer]["W"].shape, np.float32)
        for part, w in zip(self._parts(flat), weights, strict=True):
            part[:] = np.ravel(w.T)
        chip.write(self.optimizer, "W", flat)

    @property
    def processes(self) -> int:
        """PE processes."""
        return self.deployment.placement.processes

    @property
    def roles(self) -> dict[int, str]:
        """What each PE is for, by id."""
        names = ["input", *(f"layer {i}" for i in range(1, len(self.recipe.shapes) + 1)), "loss"]
        roles = {pe: name for chain in self.chains for pe, name in zip(chain, names, strict=True)}
        return roles | {self.optimizer: OPTIMIZER_ROLE}

    def usage(self) -> list[PeUsage]:
        """What the PEs have done since they were loaded: see `Chip.usage`."""
        return self.chip.usage()

    def train(self, samples: Samples, rates: NDArray[np.float32], progress: Progress | None = None) -> Outcome:
        """One Adam step per batch of consecutive samples; `rates` (batches, 2) from `recipe.Rates`.

        Raises ConfigError for samples or rates that do not fit, PeFailed with the batch (and layer) in which the loss,
        the gradient, the weights or Adam's moments are not finite.
        """
        check_samples(self.recipe, samples, self.events_per_sample)
        check_rates(self.recipe, samples, rates)
        parts, done = [], 0
        for index in self._chunks(samples, min(self.capacity, self.rates_capacity)):
            steps = len(index)
            batches = rates[done : done + steps]
            adam = [("rates", batches), ("state.step", 0), ("state.rates", steps), ("state.to_train", steps)]
            ticks = steps * self.step_ticks
            parts.append(self._run(samples, index, adam, ticks, done, progress))
            done += steps
        return Outcome.join(parts or [Outcome.empty(0, self.recipe.layers[-1])])

    def evaluate(self, samples: Samples, progress: Progress | None = None) -> Outcome:
        """Forward passes only; the weights stay as they are. Raises as `train` does."""
        check_samples(self.recipe, samples, self.events_per_sample)
        parts, done = [], 0
        for index in self._chunks(samples, self.capacity):
            ticks = len(index) * (self.recipe.T + 1)
            adam = [("state.to_evaluate", len(index))]
            parts.append(self._run(samples, index, adam, ticks, done, progress))
            done += len(index)
        joined = Outcome.join(parts or [Outcome.empty(0, self.recipe.layers[-1])])
        check_losses(self.recipe, joined.loss)
        return Outcome(*(getattr(joined, name)[: len(samples)] for name in Outcome.__dataclass_fields__))

    def weights(self) -> list[NDArray[np.float32]]:
        """Weights (n_out, n_in) of every layer, from the optimizer PE."""
        return self._unpack("W")

    def gradients(self) -> list[NDArray[np.float32]]:
        """Gradient (n_out, n_in) of every layer, summed over the last batch, from the optimizer PE."""
        return self._unpack("G")

    def sample_gradients(self, layer: int) -> NDArray[np.float32]:
        """Gradient of each sample of the last batch, (B, n_out, n_in), from the layer PEs; layers count from 1."""
        parts = self.chip.read_many([(chain[layer], "G") for chain in self.chains])
        return np.stack([part.T for part in parts])

    def spikes(self, layer: int) -> NDArray[np.uint8]:
        """Spikes of the last batch, (T, B, n_out), from the layer PEs' records; layers count from 1."""
        T, n_out = self.recipe.T, self.recipe.layers[layer]
        dense = np.zeros((T, len(self.chains), n_out), np.uint8)
        for b, chain in enumerate(self.chains):
            start, ids = self.chip.read_many([(chain[layer], "out_start"), (chain[layer], "out_id")])
            for i in range(T):
                dense[i, b, ids[start[i] : start[i + 1]]] = 1
        return dense

    def packets(self) -> dict[str, int]:
        """Packets sent so far, by type."""
        hits = self.chip.counters()["hits"]
        counts = {kind.name.lower(): 0 for kind in PacketKind}
        for entry, count in zip(self.deployment.entries, hits, strict=False):
            counts[PacketKind(entry.key >> 28).name.lower()] += int(count)
        return counts

    def _unpack(self, region: str) -> list[NDArray[np.float32]]:
        """The matrices (n_out, n_in) in a region of the optimizer PE."""
        parts = self._parts(self.chip.read(self.optimizer, region))
        return [np.ascontiguousarray(p.reshape(s).T) for p, s in zip(parts, self.recipe.shapes, strict=True)]

    def _parts(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Views of each layer's entries in an array that lies as the optimizer PE has it."""
        sizes = [n_in * n_out for n_in, n_out in self.recipe.shapes]
        return [flat[WORDS * f : WORDS * f + n] for f, n in zip(first_places(sizes), sizes, strict=False)]

    def _chunks(self, samples: Samples, rows: int) -> Iterator[NDArray[np.int64]]:
        """Sample numbers (rows, B) of each run; -1 fills up the last row."""
        B = self.recipe.batch
        padded = np.full(-(-len(samples) // B) * B, -1)
        padded[: len(samples)] = np.arange(len(samples))
        grid = padded.reshape(-1, B)
        for first in range(0, len(grid), rows):
            yield grid[first : first + rows]

    def _run(
        self, samples: Samples, index: NDArray[np.int64], adam: list[tuple[str, Any]], ticks: int,
        done: int, progress: Progress | None,
    ) -> Outcome:  # fmt: skip
        writes: list[tuple[int, str, Any]] = [(self.optimizer, name, values) for name, values in adam]
        rows = len(index)
        for b, chain in enumerate(self.chains):
            part = samples.take(index[:, b])
            writes += [
                (chain[0], "start", part.start), (chain[0], "tick", part.tick), (chain[0], "neuron", part.neuron),
                (chain[0], "state.samples", rows), (chain[0], "state.next", 0),
                (chain[-1], "label", part.label), (chain[-1], "state.samples", rows), (chain[-1], "state.next", 0),
            ]  # fmt: skip
        self.chip.write_many(writes)
        begin = self.chip.info()["tick"]
        report = progress and (lambda tick: progress(done + (tick - begin) * rows // (ticks + 1)))
        try:
            self.chip.run(ticks + 1, report)
        except PeFailed as error:
            if error.fields.get("code") not in finite.TEXTS:
                raise
            batch = done + (error.tick - begin - 1) * rows // ticks  # the release is sent in tick `begin`
            read = lambda name: np.concatenate(self._parts(self.chip.read(self.optimizer, name)))  # noqa: E731
            raise not_finite(self.recipe, error.code, "training", batch, read) from error
        names = ("first", "predicted", "ce", "loss")
        data = self.chip.read_many([(chain[-1], name) for name in names for chain in self.chains])
        B = len(self.chains)
        columns = [np.stack([part[:rows] for part in data[n * B : (n + 1) * B]], axis=1) for n in range(len(names))]
        first, predicted, ce, loss = (c.reshape(rows * B, *c.shape[2:]) for c in columns)
        return Outcome(first, predicted, ce, loss)
