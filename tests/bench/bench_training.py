"""Training: on the chip, off it on one core, and in PyTorch on one thread."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.measure import Training, record, restricted_to, rounds, seconds

from spinn2host.recipe import Recipe, make_recipe
from spinn2host.training import Place, load_yinyang, open_backend

ROUNDS_PER_BOOT = 3
PRESETS = [("full", "batch"), ("online", "sample")]
IMPORTS = "import click, llvmlite.binding, msgpack, numpy, pydantic, rich, zmq"


def open_training(place: Place, recipe: Recipe, stack: ExitStack) -> Training:
    """A fresh network in `place` that has been trained on a few batches."""
    samples = load_yinyang(recipe).train
    network = stack.enter_context(open_backend(place, recipe, recipe.initial_weights(0), samples))
    Training(network, recipe, samples.take(np.arange(8 * recipe.batch)))()
    return Training(network, recipe, samples)


def record_ms(benchmark: Any, name: str, per: str, count: int) -> None:
    """Keeps milliseconds per batch or sample, of which there were `count` in a round."""
    record(benchmark, name, f"ms per {per}", [1000 * s / count for s in seconds(benchmark)])


@pytest.mark.parametrize(("preset", "per"), PRESETS)
def bench_chip(benchmark: Any, preset: str, per: str) -> None:
    """An epoch a round; three boots, three rounds each; boot and the first batches are not measured."""
    recipe = make_recipe(preset)
    current = ExitStack()
    done: list[Training] = []

    def prepare() -> tuple[tuple[Training], dict[str, Any]]:
        if len(done) % ROUNDS_PER_BOOT == 0:
            current.close()
            done.append(open_training("chip", recipe, current))
        else:
            done.append(done[-1])
        return (done[-1],), {}

    with current:
        benchmark.pedantic(lambda training: training(), setup=prepare, rounds=rounds(3 * ROUNDS_PER_BOOT))
    record_ms(benchmark, f"chip_{preset}", per, done[-1].batches)


@pytest.mark.parametrize(("preset", "per"), PRESETS)
def bench_offchip(benchmark: Any, preset: str, per: str) -> None:
    """The floor: the same kernels in one process on one core; ten epochs a round."""
    with restricted_to(1), ExitStack() as stack:
        training = open_training("offchip", make_recipe(preset), stack)
        benchmark.pedantic(training, rounds=rounds(9), iterations=10)
    record_ms(benchmark, f"offchip_{preset}", per, training.batches)


@pytest.mark.parametrize(("layer", "name"), [("RecordingLayer", "torch_full"), ("LeanLayer", "torch_lean_full")])
def bench_torch(benchmark: Any, layer: str, name: str) -> None:
    """The peer: a plain PyTorch loop in the style of the authors' simulator, one thread, 20 batches a round."""
    torch = pytest.importorskip("torch")
    from bench import torch_eventprop

    torch.set_num_threads(1)
    recipe = make_recipe("full")
    samples = load_yinyang(recipe).train.take(np.arange(20 * recipe.batch))
    network = torch_eventprop.TorchNetwork(recipe, recipe.initial_weights(0), getattr(torch_eventprop, layer))
    training = Training(network, recipe, samples)
    training()
    benchmark.pedantic(training, rounds=rounds(9))
    record_ms(benchmark, name, "batch", training.batches)


@pytest.mark.parametrize("place", ["chip", "offchip"])
def bench_command(benchmark: Any, place: str, tmp_path: Path) -> None:
    """`spinn2emu train yinyang --epochs 1` from start to end, kernels cached."""
    command = [Path(sys.executable).with_name("spinn2emu"), "train", "yinyang", "--epochs", "1", "--on", place]

    def run() -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    run()
    benchmark.pedantic(run, rounds=rounds(5))
    record(benchmark, f"command_{place}", "s", seconds(benchmark))


def bench_imports(benchmark: Any) -> None:
    """A bare interpreter that imports the libraries: the floor of whatever starts up."""

    def run() -> None:
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)

    run()
    benchmark.pedantic(run, rounds=rounds(5))
    record(benchmark, "imports", "s", seconds(benchmark))
