"""`spinn2emu train`."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from spinn2emu import __version__
from spinn2emu.errors import ConfigError, Spinn2Error
from spinn2host import training
from spinn2host.cli.common import cores_option, given, timing_option
from spinn2host.cli.output import json_option, print_json, stderr, stdout
from spinn2host.cli.trace_options import take_capture, trace_option
from spinn2host.energy import report
from spinn2host.recipe import PRESETS, Recipe, make_recipe
from spinn2host.rundir import RunDirectory, free_name

Result = training.Result


class Numbers(click.ParamType):
    """Comma-separated numbers."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number
        self.name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return tuple(self.number(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list like 5,120,3", param, ctx)


def _defaults(name: str, default: Any) -> str:
    """What the presets say of a recipe number."""
    values = {preset: numbers.get(name, default) for preset, numbers in PRESETS.items()}
    texts = {p: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for p, v in values.items()}
    return texts["full"] if len(set(texts.values())) == 1 else "; ".join(f"{p}: {t}" for p, t in texts.items())


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for how the machine is used."""
    threads = click.option(
        "--threads",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Threads of the simulator, with --on offchip.",
    )
    return timing_option(cores_option()(threads(command)))


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every number of a recipe."""
    for name, field in reversed(Recipe.model_fields.items()):
        kind = {"layers": Numbers(int), "first_init": Numbers(float), "last_init": Numbers(float)}.get(name)
        integer = name in ("T", "t_min", "batch", "epochs", "samples", "patience")
        flag = "--T" if name == "T" else f"--{name.replace('_', '-')}"
        note = f"{field.description}  [{_defaults(name, field.default)}]"
        command = click.option(flag, name, type=kind or (int if integer else float), help=note)(command)
    return command


@click.group()
def train() -> None:
    """Train a network with EventProp."""


@train.command()
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="full",
    show_default=True,
    help="Published recipe to start from.",
)
@click.option(
    "--on",
    "place",
    type=click.Choice(["chip", "offchip"]),
    default="chip",
    show_default=True,
    help="Train on the emulated chip, or off it in one process. The results are the same.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the initial weights and of the order of samples.",
)
@click.option("--recipe", "file", type=click.Path(path_type=Path), help="TOML file with numbers of the recipe.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Directory for the results, new or empty.  [default: runs/…]"
)
@machine_options
@trace_option
@json_option
@recipe_options
@click.pass_context
def yinyang(
    context: click.Context, preset: str, place: training.Place, seed: int, file: Path | None, out: Path | None,
    as_json: bool, cores: list[int] | None, loop: Any, threads: int, timing: bool, trace_file: Path | None,
    **changes: Any,
) -> None:  # fmt: skip
    """Train on the Yin-Yang data set, and evaluate on its test set.

    Options win over the TOML file, which wins over the preset. Times are in ticks (1 ms), voltages in thresholds.

    \b
    Examples:
      spinn2emu train yinyang --preset online --seed 3
      spinn2emu train yinyang --layers 5,40,30,3 --batch 7 --epochs 2 --on offchip
      spinn2emu train yinyang --recipe mine.toml --out runs/mine --json
      spinn2emu train yinyang --preset online --trace online.pcapng --trace-without weight
    """
    capture = take_capture(trace_file, changes)
    _refuse_idle_options(context, place)
    recipe = make_recipe(preset, file, **changes)
    data = training.load_yinyang(recipe)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = out or free_name(Path("runs") / f"{stamp}-{preset}-{place}-seed{seed}")
    initial = recipe.initial_weights(seed)
    config = {
        "preset": preset,
        "on": place,
        "seed": seed,
        "version": __version__,
        "recipe": recipe.model_dump(mode="json"),
    }
    run = RunDirectory(directory, config, initial)
    about = _about(preset, seed, recipe, place)
    try:
        result = _train(recipe, data, place, seed, run, training.Machine(cores, loop, threads, capture, timing))
    except ConfigError:
        run.discard()
        raise
    except Spinn2Error as error:
        fields = {name: error.fields.get(name) for name in ("epoch", "batch", "layer")}
        summary = about | {"failure": {"message": error.message, **fields}}
        with suppress(Spinn2Error):  # what failed was perhaps to write
            run.finish(summary)
        if as_json:
            print_json(summary)
        raise
    summary = about | _summary(result) | ({"trace": str(trace_file)} if trace_file else {})
    run.finish(summary)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary, directory)


def _refuse_idle_options(context: click.Context, place: training.Place) -> None:
    for name, where in (("cores", "chip"), ("loop", "chip"), ("timing", "chip"), ("threads", "offchip")):
        if place != where and given(context, name):
            raise click.UsageError(f"--{name} does nothing with --on {place}: it is for --on {where}")


def _train(
    recipe: Recipe, data: training.Data, place: training.Place, seed: int, run: RunDirectory, machine: training.Machine
) -> Result:
    """Trains with a progress bar and a line per epoch on stderr."""
    batches = len(data.train) // recipe.batch
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("starting", total=recipe.epochs * batches)

        def on_epoch(epoch: training.Epoch, weights: Any) -> None:
            run.add_epoch(epoch, weights)
            bar.console.print(
                f"epoch {epoch.epoch:>2}/{recipe.epochs}  loss {epoch.train_loss:.3f}  "
                f"train {epoch.train_accuracy:6.1%}  validation {epoch.validation_accuracy:6.1%}  "
                f"{1000 * epoch.wall_s / batches:.2f} ms/batch"
            )

        def progress(epoch: int, done: int) -> None:
            bar.update(task, description=f"epoch {epoch}", completed=(epoch - 1) * batches + min(done, batches))

        return training.train(recipe, data, place, seed, on_epoch, progress, machine)


def _about(preset: str, seed: int, recipe: Recipe, place: str) -> dict[str, Any]:
    """What the summary says of the run before it begins."""
    return {
        "preset": preset, "on": place, "seed": seed, "layers": list(recipe.layers), "samples": recipe.samples,
        "batch_size": recipe.batch, "epochs": recipe.epochs,
    }  # fmt: skip


def _summary(result: Result) -> dict[str, Any]:
    """What it says of a run that came to its end."""
    return {
        "batches": result.batches, "pe_processes": result.pe_processes, "test_accuracy": result.test_accuracy,
        "validation_accuracy": result.epochs[-1].validation_accuracy,
        "train_loss": training.finite(result.epochs[-1].train_loss),
        "wall_s": result.wall_s, "ms_per_batch": 1000 * result.wall_s / result.batches, "packets": result.packets,
        "weights_sha256": training.weights_sha256(result.weights), "failure": None,
        "chip": None if result.usage is None else report.chip(result.usage, result.evaluation),
    }  # fmt: skip


def _print_summary(summary: dict[str, Any], directory: Path) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    layers = "-".join(map(str, summary["layers"]))
    where = f"on the chip, {summary['pe_processes']} PE processes" if summary["on"] == "chip" else "off the chip"
    table.add_row("network", f"{layers}, {where}")
    table.add_row("test accuracy", f"{summary['test_accuracy']:.1%}")
    table.add_row(
        "training", f"{summary['batches']} batches in {summary['wall_s']:.1f} s, {summary['ms_per_batch']:.2f} ms each"
    )
    if summary["packets"]:
        counts = ", ".join(f"{count:,} {name}" for name, count in summary["packets"].items())
        table.add_row("packets", counts)
    if summary["chip"]:
        table.add_row("on the chip", f"{report.in_a_line(summary['chip'])} (`spinn2emu energy {directory}`)")
    table.add_row("weights", f"sha256 {summary['weights_sha256'][:16]}…")
    table.add_row("run directory", str(directory))
    if "trace" in summary:
        table.add_row("trace", f"{summary['trace']} (`spinn2emu trace stats {summary['trace']}`)")
    stdout.print(table)
