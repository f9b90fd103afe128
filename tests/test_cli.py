"""The command line: what it prints and writes, its exit codes, and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CORE, alive, wait_until
from host_helpers import VECTORS

from spinn2emu import geometry, spec
from spinn2host.cli.main import run
from spinn2host.recipe import make_recipe

TINY = ["--layers", "5,8,3", "--batch", "4", "--samples", "21", "--epochs", "2"]
REQUIRED = {
    "schema_version", "preset", "on", "seed", "samples", "batch_size", "epochs", "batches", "pe_processes",
    "test_accuracy",     "train_loss", "wall_s", "ms_per_batch", "packets", "weights_sha256",
}  # fmt: skip
COMMAND = [sys.executable, "-c", "from spinn2host.cli.main import main; main()"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without --out write to the current folder."""
    monkeypatch.chdir(tmp_path)


def answer(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON object of a command, which is all that it prints to stdout."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    content: dict[str, Any] = json.loads(out)
    assert content["schema_version"] == 1
    return content


def refusal(capsys: Capture, *arguments: str) -> str:
    """What a command that is refused says, on one line."""
    capsys.readouterr()
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return " ".join(captured.err.split())


# --- train -----------------------------------------------------------------------------------------------------------


def test_training_is_the_same_in_both_places(capsys: Capture, tmp_path: Path) -> None:
    off, on = (
        answer(capsys, "train", "yinyang", *TINY, "--seed", "5", "--on", where, "--out", str(tmp_path / where))
        for where in ("offchip", "chip")
    )
    for summary, where, processes in ((off, "offchip", 0), (on, "chip", 4 * 4 + 1)):
        assert set(summary) >= REQUIRED
        assert (summary["on"], summary["preset"], summary["seed"]) == (where, "full", 5)
        assert (summary["samples"], summary["batch_size"], summary["epochs"], summary["batches"]) == (21, 4, 2, 10)
        assert summary["pe_processes"] == processes
        assert summary["wall_s"] > 0
        assert summary["ms_per_batch"] == pytest.approx(1000 * summary["wall_s"] / 10)
        assert re.fullmatch("[0-9a-f]{64}", summary["weights_sha256"])
    for name in ("weights_sha256", "test_accuracy", "validation_accuracy", "train_loss"):
        assert off[name] == on[name]
    assert off["packets"] == {}
    # 10 batches of 4 samples: 10 packets of 4 weights or gradients per sample in layer 1, 6 in layer 2.
    assert on["packets"]["gradient"] == 10 * 4 * (10 + 6)
    assert on["packets"]["weight"] == 11 * (10 + 6)  # multicast to all samples; once more for the evaluation
    assert on["packets"]["spike"] > on["packets"]["error"] > 0
    metrics = [(tmp_path / where / "metrics.jsonl").read_text() for where in ("offchip", "chip")]
    one, other = ([{**json.loads(line), "wall_s": 0} for line in text.splitlines()] for text in metrics)
    assert one == other


@pytest.mark.parametrize(
    "options",
    [["--cores", "none"], ["--cores", f"{CORE},{CORE}"], ["--loop", "python"], ["--on", "offchip", "--threads", "2"]],
)
def test_how_the_machine_is_used_changes_nothing(capsys: Capture, options: list[str]) -> None:
    if "--threads" in options and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("the machine has one core")
    expected, found = (
        answer(capsys, "train", "yinyang", *TINY, "--seed", "5", *extra)["weights_sha256"]
        for extra in (["--on", "offchip"], options)
    )
    assert found == expected


def weights(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        assert file.files == ["W1", "W2"]
        return [file[name] for name in file.files]


def test_a_run_directory_holds_everything(capsys: Capture, tmp_path: Path) -> None:
    summary = answer(capsys, "train", "yinyang", *TINY, "--on", "offchip", "--out", "new/run", "--seed", "7")
    folder = tmp_path / "new" / "run"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "initial.npz", "final.npz", "summary.json",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert (config["preset"], config["on"], config["seed"]) == ("full", "offchip", 7)
    recipe = make_recipe("full", **config["recipe"])
    assert (recipe.layers, recipe.batch, recipe.lr) == ((5, 8, 3), 4, 0.0019)
    for got, expected in zip(weights(folder / "initial.npz"), recipe.initial_weights(7), strict=True):
        np.testing.assert_array_equal(got, expected)
    final = weights(folder / "final.npz")
    assert [(w.shape, w.dtype) for w in final] == [((8, 5), np.float32), ((3, 8), np.float32)]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2]
    assert metrics[-1]["train_loss"] == summary["train_loss"]
    written = json.loads((folder / "summary.json").read_text())
    assert written == {name: value for name, value in summary.items() if name != "schema_version"}


@pytest.mark.parametrize("where", ["chip", "offchip"])
def test_a_training_that_diverges_fails_and_says_where(capsys: Capture, tmp_path: Path, where: str) -> None:
    options = [*TINY, "--lr", "1e25", "--on", where, "--out", "run"]
    summary = answer(capsys, "train", "yinyang", *options, code=5)
    assert (
        summary["failure"]["epoch"] == 1 and summary["failure"]["batch"] >= 2 and summary["failure"]["layer"] in (1, 2)
    )
    assert "test_accuracy" not in summary
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert written == {name: value for name, value in summary.items() if name != "schema_version"}
    assert run(["train", "yinyang", *options[:-1], "again"]) == 5
    text = " ".join(capsys.readouterr().err.split())
    assert f"PeFailed: {written['failure']['message']}" in text and "epoch 1, batch" in text
    assert not (tmp_path / "run" / "final.npz").exists()  # no epoch was finished


def test_a_run_without_out_finds_a_place_of_its_own(capsys: Capture, tmp_path: Path) -> None:
    for _ in range(3):
        answer(capsys, "train", "yinyang", *TINY, "--on", "offchip", "--seed", "9")
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 3 and all(
        path.name.removesuffix("-2").removesuffix("-3").endswith("full-offchip-seed9") for path in runs
    )


def test_a_recipe_file_and_options_over_it(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("layers = [5, 6, 4, 3]\nbatch = 2\nsamples = 9\nepochs = 3\n")
    options = ["--preset", "online", "--recipe", "mine.toml", "--epochs", "1", "--on", "offchip"]
    summary = answer(capsys, "train", "yinyang", *options)
    assert (summary["layers"], summary["batch_size"], summary["epochs"], summary["batches"]) == ([5, 6, 4, 3], 2, 1, 4)
    summary = answer(capsys, "train", "yinyang", *options, "--layers", "5,3")
    assert summary["layers"] == [5, 3]


def test_seeds_differ_and_repeat(capsys: Capture) -> None:
    digests = [
        answer(capsys, "train", "yinyang", *TINY, "--on", "offchip", "--seed", seed)["weights_sha256"]
        for seed in "1121"
    ]
    assert digests[0] == digests[1] == digests[3] != digests[2]


def test_a_run_tells_a_person_how_it_went(capsys: Capture) -> None:
    assert run(["train", "yinyang", *TINY, "--on", "offchip"]) == 0
    captured = capsys.readouterr()
    for text in ("5-8-3, off the chip", "test accuracy", "10 batches", "sha256"):
        assert text in captured.out
    assert "epoch  1/2" in captured.err and "epoch  2/2" in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "37"], r"batch of 37 samples.*the chip has 36.*--batch 36 or less"),
        (["--layers", "5,6000,3"], r"layer needs \d+ bytes.*a PE has 94208.*[Mm]ake the layer smaller"),
        (["--layers", "4,10,3"], r"5 inputs and 3 classes.*first layer must be 5 and the last 3"),
        (["--layers", "5,10,2"], r"5 inputs and 3 classes.*first layer must be 5 and the last 3"),
        (["--layers", "5,,3"], r"'5,,3' is not a list like 5,120,3"),
        (["--layers", "5,0,3"], r"layers: .*1 to 65535 neurons"),
        (["--preset", "fast"], r"'fast' is not one of 'full', 'online'"),
        (["--on", "moon"], r"'moon' is not one of 'chip', 'offchip'"),
        (["--recipe", "missing.toml"], r"missing\.toml.*No such file"),
        (["--recipe", "bad.toml"], r"bad\.toml.*line 1"),
        (["--out", "taken"], r"taken is not empty.*another --out"),
        (["--out", "file/run"], r"file/run: .*another --out"),
        (["--lr", "-0.1"], r"lr: .*greater than 0"),
        (["--lr", "nan"], r"lr: .*finite"),
        (["--first-init", "1,-1"], r"first_init"),  # a deviation
        (["--layers", "5,70000,3", "--on", "offchip"], r"layers: "),  # ids of neurons have 16 bits
        (["--tau-m", "inf"], r"tau_m: .*finite"),
        (["--epochs", "0"], r"epochs: .*greater than 0"),
        (["--epochs", "x"], r"'x' is not a valid integer"),
        (["--samples", "5"], r"batch of 22 is larger than the 5 samples"),
        (["--t-min", "27"], r"t_min 27 must lie before the last tick 26"),
        (["--seed", "-1"], r"--seed"),
        (["--cores", "x"], r"'x' is neither auto, none nor a list of cores like 0,1"),
        (["--cores", "99999"], r"cores \[99999\]: at most 8 of .* can be used"),
        (["--loop", "slow"], r"'slow' is not one of 'compiled', 'python'"),
        (["--threads", "99999", "--on", "offchip"], r"99999 threads: this machine has 1 to \d+"),
        (["--threads", "1"], r"--threads does nothing with --on chip: it is for --on offchip"),
        (["--on", "offchip", "--cores", "auto"], r"--cores does nothing with --on offchip: it is for --on chip"),
        (["--on", "offchip", "--loop", "compiled"], r"--loop does nothing with --on offchip"),
        (["--no-such", "1"], r"[Nn]o such option:? .*--no-such"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_with_the_remedy(
    capsys: Capture, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "old.txt").write_text("precious")
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.toml").write_text("lr = = 1")
    text = refusal(capsys, "train", "yinyang", "--samples", "40", "--epochs", "1", *options)
    assert re.search(message, text), text
    assert "Traceback" not in text
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["old.txt"]


def test_a_refused_run_does_not_take_its_place(capsys: Capture, tmp_path: Path) -> None:
    refusal(capsys, "train", "yinyang", *TINY, "--batch", "37", "--samples", "40", "--out", "run")
    answer(capsys, "train", "yinyang", *TINY, "--batch", "2", "--out", "run")
    assert (tmp_path / "run" / "summary.json").exists()


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verify_tells_what_it_compared(capsys: Capture) -> None:
    files = [str(VECTORS / name) for name in ("tiny_0.npz", "yinyang_samples.npz", "tiny_1.npz")]
    content = answer(capsys, "verify", *files)
    assert content["ok"] is True
    assert {(Path(r["file"]).stem, r["on"]) for r in content["results"]} == {
        ("yinyang_samples", "host"), *((name, on) for name in ("tiny_0", "tiny_1") for on in ("chip", "offchip")),
    }  # fmt: skip
    assert all(r["ok"] is True and 0 <= r["worst_relative_error"] < 1e-4 for r in content["results"])
    assert run(["verify", *files, "--on", "offchip"]) == 0
    assert capsys.readouterr().out.count("ok ") == 3


def change(**arrays: Any) -> Callable[[dict[str, Any]], None]:
    return lambda vectors: vectors.update(arrays)


def write(folder: Path, edit: Callable[[dict[str, Any]], None], name: str = "tiny_0") -> str:
    with np.load(VECTORS / f"{name}.npz") as file:
        vectors = {name: file[name].copy() for name in file.files}
    edit(vectors)
    np.savez(folder / "edited.npz", **vectors)
    return str(folder / "edited.npz")


def test_a_mismatch_has_its_own_exit_code(capsys: Capture, tmp_path: Path) -> None:
    def flip(vectors: dict[str, Any]) -> None:
        vectors["spikes2"][10, 1, 0] ^= 1

    file = write(tmp_path, flip)
    content = answer(capsys, "verify", file, str(VECTORS / "tiny_1.npz"), "--on", "offchip", code=6)
    assert content["ok"] is False
    assert [r["ok"] for r in content["results"]] == [False, True]
    assert content["results"][0]["problems"] == ["spikes2: 1 of 200 differ"]
    assert run(["verify", file, "--on", "chip"]) == 6
    assert "MISMATCH" in capsys.readouterr().out


def test_an_error_without_bound_is_still_json(capsys: Capture, tmp_path: Path) -> None:
    file = write(tmp_path, change(grad1=np.zeros((3, 2)), W1_after=np.full((3, 2), np.nan)))
    content = answer(capsys, "verify", file, "--on", "offchip", code=6)
    assert content["results"][0]["worst_relative_error"] is None


NAN_WEIGHTS = np.array([[1, np.nan], [1, 1], [1, 1]], np.float32)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(W1=NAN_WEIGHTS), r"W1 has 1 entries that are NaN"),
        (change(x=np.zeros((51, 2, 2), np.uint8)), r"x has shape \(51, 2, 2\), but T is 50"),
        (change(x=np.full((50, 2, 2), 2, np.uint8)), r"spikes must be 0 or 1"),
        (change(x=np.zeros((50, 2, 3), np.uint8)), r"W1 has shape \(3, 2\), the layer below has 3"),
        (change(x=np.zeros((50, 2), np.uint8)), r"x has shape"),
        (change(y=np.array([0, 2])), r"label 2 is outside 0\.\.1"),
        (change(y=np.array([0, -1])), r"y must be labels"),
        (change(y=np.array([0])), r"y has shape \(1,\) instead of \(2,\)"),
        (change(tau_m=np.array(np.nan)), r"tau_m has 1 entries that are NaN"),
        (change(tau_s=np.array(-1.0)), r"tau_s.*greater than 0"),
        (change(y=np.array([{}, {}], object)), r"pickle"),
        (lambda v: [v.pop(name) for name in ("grad1", "spikes2", "adam_lr")], r"missing: adam_lr"),
        (lambda v: v.pop("W2"), r"missing: W2"),
        (lambda v: v.pop("n_layers"), r"neither vectors \(n_layers\)"),
    ],
)  # fmt: skip
def test_bad_vectors_are_refused(
    capsys: Capture, tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    text = refusal(capsys, "verify", write(tmp_path, edit))
    assert re.search(message, text), text
    assert "edited.npz" in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("trajectory_2", change(batch_size=np.array(10**6))),  # nothing would be compared
        ("trajectory_2", lambda v: v.update(first=v["first"][:2])),
        ("trajectory_2", lambda v: v.update(W2_after=v["W2_after"][:2])),
        (
            "trajectory_2",
            lambda v: v.update(x=v["x"][:, : v["batch_size"]], y=v["y"][: v["batch_size"]]),
        ),  # 1 step of many
        ("trajectory_2", change(loss_ce=np.array(1.0))),
        ("tiny_0", change(grad1=np.full((3, 2), "x"))),
        ("yinyang_samples", lambda v: v.pop("labels_41")),
        ("yinyang_samples", change(values_abc=np.zeros((1, 4)))),
        ("yinyang_samples", change(values_42=np.zeros((0, 4)), labels_42=np.zeros(0, int))),
    ],
    ids=[
        "huge-batch",
        "few-first",
        "few-weights",
        "few-samples",
        "scalar-loss",
        "text",
        "no-labels",
        "no-seed",
        "empty",
    ],
)
def test_reference_values_of_another_shape_never_pass(
    capsys: Capture, tmp_path: Path, name: str, edit: Callable[[dict[str, Any]], None]
) -> None:
    assert run(["verify", write(tmp_path, edit, name), "--on", "offchip"]) in (2, 6)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04 cut off", None])
def test_files_that_are_none_are_refused(capsys: Capture, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "some.npz").write_bytes(content)
    text = refusal(capsys, "verify", str(VECTORS / "tiny_0.npz"), "some.npz")
    assert "some.npz" in text and "Traceback" not in text
    assert "tiny_0" not in text  # all files are read before any runs


# --- info ------------------------------------------------------------------------------------------------------------


def test_info_describes_the_chip(capsys: Capture) -> None:
    content = answer(capsys, "info")
    assert content["pes"] == {str(pe): geometry.name(pe) for pe in geometry.PE_IDS}
    assert content["reserved"] == [1, 2, 3, 4]
    constants = {name for name, value in vars(spec).items() if isinstance(value, spec.Constant)}
    assert set(content["constants"]) == constants
    assert content["constants"]["SRAM_BYTES"]["value"] == 131072
    assert run(["info"]) == 0
    out = capsys.readouterr().out
    for text in ("152 PEs", "1R", "*"):
        assert text in out
    command = subprocess.run(
        [*COMMAND, "info"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"}, check=True
    )
    assert [name for name in constants if name not in command.stdout] == []


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "yinyang"], ["verify"], ["info"]])
def test_help_is_there_for_every_command(capsys: Capture, arguments: list[str]) -> None:
    assert run([*arguments, "--help"]) == 0
    assert "Usage: " in capsys.readouterr().out


def test_words_that_do_not_exist_are_usage_errors(capsys: Capture) -> None:
    assert "No such command" in refusal(capsys, "search")
    assert "FILES" in refusal(capsys, "verify")


# --- ends that nobody wants ------------------------------------------------------------------------------------------


def children(pid: int) -> dict[int, str]:
    """Child processes: id and name."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", stat.read_text().strip(), re.DOTALL).groups()  # type: ignore[union-attr]
        except OSError:  # it ended
            continue
        if int(rest.split()[1]) == pid:
            found[int(stat.parent.name)] = name
    return found


class Training:
    """A training on the chip in a process of its own, in the middle of an epoch; ended at the latest with the block."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.out = folder / "run"
        self.process = subprocess.Popen(
            [*COMMAND, "train", "yinyang", "--layers", "5,12,3", "--batch", "3", "--samples", "5000", "--epochs", "100",
             "--out", str(self.out), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, file: str) -> None:
        wait_until(f"{file} is there", lambda: (self.out / file).exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def chip(self) -> tuple[int, dict[int, str]]:
        """The supervisor, and the processes of the chip once all of them run."""
        supervisors: dict[int, str] = {}

        def found() -> bool:
            supervisors.update(children(self.process.pid))
            return bool(supervisors) and len(children(next(iter(supervisors)))) == 3 * 4 + 2

        wait_until("router and 13 PEs run", found)
        (supervisor,) = supervisors
        return supervisor, children(supervisor)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def nothing_left(pids: list[int], runtime: Path) -> bool:
    return not any(map(alive, pids)) and not list(runtime.glob("*/chip-*"))


def test_an_interrupted_training_leaves_a_usable_run_and_no_process(tmp_path: Path, runtime: Path) -> None:
    with Training(tmp_path, "--json") as training:
        training.wait_for("metrics.jsonl")
        supervisor, processes = training.chip()
        assert list(runtime.glob("*/chip-*"))
        training.process.send_signal(signal.SIGINT)
        code, out, err = training.end()
    assert (code, out) == (130, "")
    assert "interrupted" in err and "Traceback" not in err
    wait_until("nothing is left", lambda: nothing_left([supervisor, *processes], runtime))
    config = json.loads((training.out / "config.json").read_text())
    assert config["recipe"]["layers"] == [5, 12, 3]
    epochs = (training.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in epochs] == list(range(1, len(epochs) + 1))
    initial, final = (weights(training.out / name) for name in ("initial.npz", "final.npz"))
    assert not np.array_equal(initial[0], final[0])
    assert not (training.out / "summary.json").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_ended_verify_leaves_no_recordings(tmp_path: Path, runtime: Path, number: int, code: int) -> None:
    pytest.importorskip("unicorn")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [*COMMAND, "verify", "--arm", "spinn2fw.examples.synfire", "--ticks", str(10**6)]
    surroundings = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings) as process:
        try:
            wait_until("its chip runs", lambda: any(runtime.glob("*/chip-*/network*")))
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert not list(temporary.glob("spinn2-*"))
    wait_until("no chip is left", lambda: nothing_left([], runtime))


def test_an_interruption_before_the_first_epoch_ends(tmp_path: Path, runtime: Path) -> None:
    with Training(tmp_path) as training:
        supervisor, processes = training.chip()
        training.process.send_signal(signal.SIGINT)
        code, _, err = training.end()
    assert code == 130
    assert "Traceback" not in err
    wait_until("nothing is left", lambda: nothing_left([supervisor, *processes], runtime))
    assert {path.name for path in training.out.iterdir()} >= {"config.json", "initial.npz"}


def test_a_killed_pe_ends_the_training_at_once(tmp_path: Path, runtime: Path) -> None:
    with Training(tmp_path) as training:
        training.wait_for("metrics.jsonl")
        supervisor, processes = training.chip()
        layer = geometry.name(geometry.APPLICATION_IDS[5])  # layer 1 of the second sample
        (pid,) = (pid for pid, name in processes.items() if name == f"pe {layer}")
        os.kill(pid, signal.SIGKILL)
        code, _, err = training.end()
    assert code == 5
    text = " ".join(err.split())
    assert re.search(
        rf"PeDied: PE {re.escape(layer)} \(spinn2fw\.eventprop\.layer\) died in tick \d+: .*SIGKILL", text
    ), text
    assert "Traceback" not in err
    wait_until("nothing is left", lambda: nothing_left([supervisor, *processes], runtime))
    assert weights(training.out / "final.npz")
