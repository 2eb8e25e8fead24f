from __future__ import annotations

import io
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import read, run
from zoo.bench import training, training_worker
from zoo.bench.products import ProductRecorder
from zoo.bench.training import bundled_recipes
from zoo.bench.training_worker import measure
from zoo.utils.errors import BenchError
from zoo.utils.stats import middle_half


def numbers(rows: list[dict[str, Any]], *keys: str) -> list[float]:
    return [row[key] for row in rows for key in keys]


def test_bench_train_times_each_phase_and_compares_with_the_reference(tmp_path: Path) -> None:
    small = ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "train.batch_size=8"]
    overrides = [part for override in small for part in ("-o", override)]
    result = run("train", "gridnet-digits", *overrides, "--steps", "3", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    rows = report["results"]["results"]
    assert [(row["contender"], row["steps"]) for row in rows] == [("kernels", 3), ("reference", 2)]
    phases = [f"{phase}_seconds" for phase in ("data", "forward", "backward", "optimizer")]
    assert min(numbers(rows, *phases, "samples_per_second", "times_reference")) > 0
    for row in rows:
        assert row["samples_per_second"] == pytest.approx(8 / row["step_seconds"])
        assert sum(numbers([row], *phases)) == pytest.approx(row["step_seconds"])
        assert row["peak_bytes"] > 50e6
    assert rows[-1]["times_reference"] == 1
    assert "samples/s" in result.output
    products = {key: [row[key] for row in rows] for key in ("products", "products_seconds", "times_products")}
    assert products["products"] == [5, None]  # evolution and readout, forward and backward
    assert products["times_products"][0] == pytest.approx(rows[0]["step_seconds"] / products["products_seconds"][0])
    assert products["times_products"][1] is None


def test_training_that_cannot_start_fails_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        python, option, module, request = command
        assert (python, option) == (sys.executable, "-m")
        answer = io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(answer), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # runpy warns that the module is already imported
            patch.setattr(sys, "argv", [module, request])
            runpy.run_module(module, run_name="__main__")
        return subprocess.CompletedProcess(command, 0, answer.getvalue(), "")

    monkeypatch.setattr(subprocess, "run", in_this_process)  # a new process would only import torch again
    result = run("train", "gridnet-digits", "-o", "train.batch_size=5000", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    line = "zoo: error: train.batch_size 5000 exceeds the 1293 training samples; set it to 1293 or less"
    assert result.stderr.splitlines()[-1] == line


@pytest.mark.parametrize(("recipe", "overrides"), [("cellnet-digits", []), ("nca-iris", ["model.meta.segments=2"])])
def test_the_phases_of_a_learner_that_takes_several_optimizer_steps_are_its_own(
    recipe: str, overrides: list[str]
) -> None:
    request = {
        "recipe": recipe, "overrides": [*overrides, "train.batch_size=8"], "steps": 3, "warmup": 1, "threads": 1,
        "device": "cpu", "data_dir": None, "products": True,
    }  # fmt: skip
    found = measure(request)
    phases = [found[f"{phase}_seconds"] for phase in ("data", "forward", "backward", "optimizer")]
    assert min(phases) > 0
    assert sum(phases) == pytest.approx(found["step_seconds"])
    assert found["products"] > 1
    assert found["times_products"] == pytest.approx(found["step_seconds"] / found["products_seconds"])


def answers(request: dict[str, Any], mode: str) -> dict[str, Any]:
    """Stand for the process that measures: gridnet-digits has no products, the data of cnn-mnist are missing."""
    if request["recipe"] == "cnn-mnist":
        raise BenchError("no MNIST here")
    ratio = None if request["recipe"] == "gridnet-digits" or not request["products"] else 1.234
    return {
        "batch_size": 64, "precision": "fp32", "samples_per_second": 6400.0, "step_seconds": 0.01,
        "step_seconds_min": 0.009, "step_seconds_max": 0.02, "data_seconds": 0.001, "forward_seconds": 0.004,
        "backward_seconds": 0.003, "optimizer_seconds": 0.002, "products": 5, "products_seconds": 0.008,
        "times_products": ratio, "no_ratio": "" if ratio else "none found", "peak_bytes": 10**8, "steps": 10,
    }  # fmt: skip


def test_a_network_that_grows_is_measured_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[str]] = {}

    def note(request: dict[str, Any], mode: str) -> dict[str, Any]:
        asked[request["recipe"]] = request["overrides"]
        return answers(request, mode)

    monkeypatch.setattr(training, "_run", note)
    training.bench_train(["snapshots-digits", "mlp-digits"])
    assert asked == {"snapshots-digits": ["train.start_from=snapshots-digits"], "mlp-digits": []}
    training.bench_train(["snapshots-digits"], ["model.sweeps=2"])
    assert asked["snapshots-digits"] == ["model.sweeps=2"]


def test_several_recipes_give_one_table_that_says_what_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_run", answers)
    document = tmp_path / "page.md"
    document.write_text("<!-- begin: bench train -->\n<!-- end: bench train -->\n")
    out = ["--out", str(tmp_path / "out"), "--write-docs", str(document)]
    result = run("train", "mlp-digits", "gridnet-digits", "cnn-mnist", *out)
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    assert [row["recipe"] for row in report["results"]["results"]] == ["mlp-digits", "gridnet-digits"]
    text = document.read_text()
    assert "**Training steps**" in text
    head = "recipe | batch | samples/s | ms per step | data | forward | backward | optimizer | x own products | steps"
    assert f"| {head} |" in text
    assert "| mlp-digits | 64, fp32 | 6400 | 10 | 10.0 % | 40.0 % | 30.0 % | 20.0 % | 1.23 | 10 |" in text
    assert "| 20.0 % | - | 10 |" in text
    for note in (
        "gridnet-digits has no ratio to its products: none found",
        "cnn-mnist was not measured: no MNIST here",
    ):
        assert f"Note: {note}." in text
        assert f"note: {note}" in " ".join(result.stdout.split())


def test_several_recipes_are_compared_with_the_reference_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_run", answers)
    result = run("train", "mlp-digits", "cnn-digits", "--reference-steps", "1", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "out")["results"]["results"]
    assert [(row["recipe"], row["contender"], row["times_reference"]) for row in rows] == [
        (name, contender, 1.0) for name in ("mlp-digits", "cnn-digits") for contender in ("kernels", "reference")
    ]


def test_a_benchmark_of_which_nothing_can_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_run", answers)
    for names in (["cnn-mnist"], ["cnn-mnist", "cnn-mnist"]):
        result = run("train", *names, "--out", str(tmp_path / "out"))
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "zoo: error: no MNIST here")
    assert list(tmp_path.iterdir()) == []


def test_all_means_the_recipes_of_the_bundled_models() -> None:
    names = bundled_recipes()
    assert {"gridnet-mnist", "mlp-mnist-rigl", "nca-learner"} <= set(names)
    assert "gridnet-imagenet" not in names  # its data are nobody's by default
    for arguments in ([], ["gridnet-mnist", "--all"]):
        result = run("train", *arguments)
        assert result.exit_code == 2
        assert "give RECIPE, or --all" in result.stderr


def test_a_step_without_products_has_no_ratio_and_a_reason() -> None:
    products = ProductRecorder()
    found = training_worker._facts_of_products(products, [1e-6, 1e-6], 0.01, graph=False)
    assert (found["products"], found["times_products"]) == (0, None)
    assert found["no_ratio"] == "a step calls no matrix product, convolution or kernel through torch"
    found = training_worker._facts_of_products(None, [], 0.01, graph=True)
    assert (found["products"], found["times_products"]) == (None, None)
    assert "train.cuda_graph" in found["no_ratio"]


def test_steps_that_prepare_the_batches_of_many_count_like_all_others() -> None:
    steps = []
    for number in range(100):
        data = 2.0 if number % 20 == 0 else 0.0
        forward = 9.0 if 8 <= number < 24 else 1.0  # held up
        steps.append({"step": data + forward + 3, "data": data, "forward": forward, "backward": 1.0, "optimizer": 2.0})
    means = training_worker._means(steps)
    assert means == pytest.approx({"data": 0.1, "forward": 1.0, "backward": 1.0, "optimizer": 2.0, "step": 4.1})


def test_the_middle_half_leaves_out_the_extremes() -> None:
    assert middle_half([5.0, 1.0, 3.0, 9.0, 2.0]) == [0, 2, 4]
    assert middle_half([4.0, 1.0]) == [0, 1]
    assert middle_half([float(n) for n in range(8)]) == [2, 3, 4, 5]
    every = [float(n // 2) for n in (9, 0, 5, 4, 2, 3, 8, 8, 1)]  # pairs of means 2, 2, 1 and 8 / 3
    assert middle_half(every, block=2) == [0, 1, 2, 3]
    assert middle_half([3.0, 1.0, 2.0], block=8) == [0, 1, 2]
