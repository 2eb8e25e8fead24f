from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo.training.multi_seed
from zoo.artifacts.from_run import seed_metrics
from zoo.cli import cli
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train_held
from zoo.training.multi_seed import train_seeds
from zoo.training.result import SeedResult, TrainResult
from zoo.utils.errors import TrainingError, TrainingInterruptedError

SMALL = [
    "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}",
    "data.validation=40",
    "train.epochs=null",
    "train.steps=4",
    "train.batch_size=16",
    "train.checkpoint_every=2",
]


def small(*overrides: str) -> Recipe:
    return load_recipe("gridnet-digits", [*SMALL, *overrides])


def fit(run_dir: Path, seeds: int, *overrides: str, resume: bool = False) -> tuple[TrainResult, list[SeedResult]]:
    return train_seeds(small(*overrides), seeds, run_dir=run_dir, resume=resume, device="cpu", progress=False)


def zoo_train(*arguments: str) -> Any:
    overrides = [part for override in SMALL for part in ("-o", override)]
    return CliRunner().invoke(cli, ["train", "gridnet-digits", *overrides, "--quiet", *arguments])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that the training loop was called with, in order."""
    seeds: list[int] = []

    def watched(recipe: Recipe, **options: Any) -> TrainResult:
        seeds.append(recipe.train.seed)
        return train_held(recipe, **options)

    monkeypatch.setattr(zoo.training.multi_seed, "train_held", watched)
    return seeds


def test_a_single_seed_trains_in_the_run_folder_itself(tmp_path: Path) -> None:
    result, results = fit(tmp_path / "run", 1)
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    assert results == [SeedResult(0, result.test.correct, result.test.total)]
    assert seed_metrics(results) == {"seeds": 1}


def test_each_of_several_seeds_trains_as_it_would_alone(tmp_path: Path) -> None:
    result, results = fit(tmp_path / "all", 2, "train.seed=5")
    assert result.recipe.train.seed == 5
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["seed-5", "seed-6"]
    for seed, found in zip((5, 6), results, strict=True):
        alone, _ = fit(tmp_path / f"alone-{seed}", 1, f"train.seed={seed}")
        assert found == SeedResult(seed, alone.test.correct, alone.test.total)


def test_the_artifact_holds_the_first_seeds_model_and_the_results_of_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = zoo_train("--seeds", "3", "--out", str(out), "--run-dir", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    config = json.loads((out / "config.json").read_text())
    metrics = config["metrics"]
    results = metrics["seed_results"]
    assert (metrics["seeds"], config["provenance"]["seed"]) == (3, 0)
    assert [one["seed"] for one in results] == [0, 1, 2]
    assert (results[0]["correct"], results[0]["total"]) == (metrics["test_correct"], metrics["test_total"])
    accuracies = [one["correct"] / one["total"] for one in results]
    assert [one["accuracy"] for one in results] == accuracies
    assert metrics["test_accuracy_mean"] == pytest.approx(statistics.mean(accuracies))
    assert metrics["test_accuracy_std"] == pytest.approx(statistics.stdev(accuracies))
    assert "mean of 3 seeds" in done.output
    assert "seed 2: test accuracy" in done.output


def test_the_artifact_holds_the_history_of_its_own_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert zoo_train("--seeds", "2", "--out", str(out), "--run-dir", str(tmp_path / "run")).exit_code == 0
    history = json.loads((out / "history.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "run" / "seed-0" / "metrics.jsonl").read_text().splitlines()]
    assert [{"kind": "round", **record} for record in history] == [line for line in lines if line["kind"] == "round"]
    assert [record["step"] for record in history] == [2, 4]
    assert "history.json" in json.loads((out / "config.json").read_text())["files"]


def test_finished_runs_of_single_seeds_are_combined_without_training(tmp_path: Path, trained: list[int]) -> None:
    for seed in (0, 1):
        fit(tmp_path / f"seed-{seed}", 1, f"train.seed={seed}")
    trained.clear()
    _, results = fit(tmp_path, 2, resume=True)
    assert trained == [0]  # for its weights; its checkpoint is at the last step
    fresh, expected = fit(tmp_path / "fresh", 2)
    assert results == expected
    assert fresh.steps == 4


def test_resuming_finishes_interrupted_seeds_and_starts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = fit(tmp_path / "whole", 3)

    def interrupted(recipe: Recipe, **options: Any) -> TrainResult:
        if recipe.train.seed == 1:
            raise TrainingInterruptedError("interrupted at step 2 of 4")
        return train_held(recipe, **options)

    with monkeypatch.context() as patch:
        patch.setattr(zoo.training.multi_seed, "train_held", interrupted)
        with pytest.raises(TrainingInterruptedError, match="interrupted at step 2 of 4"):
            fit(tmp_path / "parts", 3)
    _, results = fit(tmp_path / "parts", 3, resume=True)
    assert results == expected


def test_seeds_can_be_added_to_a_run_of_one_seed(tmp_path: Path, trained: list[int]) -> None:
    fit(tmp_path / "run", 1)
    _, results = fit(tmp_path / "run", 2, resume=True)
    assert [one.seed for one in results] == [0, 1]
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["seed-1"]
    fit(tmp_path / "run", 3, resume=True)
    assert trained == [0, 0, 1, 0, 2]


def test_resuming_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
        fit(tmp_path, 3, resume=True)
    assert not any(tmp_path.iterdir())


def test_a_run_of_another_recipe_is_refused_before_any_training(tmp_path: Path, trained: list[int]) -> None:
    fit(tmp_path / "seed-0", 1)
    fit(tmp_path / "seed-1", 1, "train.seed=1", "train.optimizer.lr=0.5")
    trained.clear()
    with pytest.raises(TrainingError, match=r"seed-1 with another recipe: train\.optimizer\.lr is 0\.004, was 0\.5"):
        fit(tmp_path, 2, resume=True)
    assert trained == []


def test_an_unfinished_run_of_any_seed_is_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[int]
) -> None:
    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.metrics_log.RunLog.round", stop)
        with pytest.raises(StopError):
            fit(tmp_path / "seed-1", 1, "train.seed=1")
    trained.clear()
    with pytest.raises(TrainingError, match=r"seed-1 holds an unfinished run at step 2 of 4"):
        fit(tmp_path, 2)
    assert trained == []
