"""Learning curves of run folders, finished or not, from their logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.artifact import RECIPE_FILE
from zoo.recipe import load_recipe
from zoo.training.metrics_log import METRICS_FILE, read_rounds, read_test
from zoo.training.run_folder import seed_folders
from zoo.utils.errors import CompareError


def is_run(path: str) -> bool:
    """Return True for a folder that a training writes its log to, or one with a folder per seed."""
    folder = Path(path)
    return folder.is_dir() and any((one / METRICS_FILE).is_file() for one in (folder, *seed_folders(folder).values()))


def read_curves(paths: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rounds of each run by its name: step, samples, losses and accuracies; a line per seed.

    Raises CompareError for a run without a round.
    """
    curves: dict[str, list[dict[str, Any]]] = {}
    for path in dict.fromkeys(paths):
        folder = Path(path)
        seeds = {name: one for name, one in seed_folders(folder).items() if (one / METRICS_FILE).is_file()}
        found = {f"{folder.name}/{name}": one for name, one in seeds.items()}
        if (folder / METRICS_FILE).is_file():
            found = {folder.name: folder, **found}
        for name, one in found.items():
            rounds = read_rounds(one)
            if not rounds:
                raise CompareError(f"{one}: has not finished its first round; wait for it, or leave it out")
            size = load_recipe(one / RECIPE_FILE).train.batch_size
            unique = name if name not in curves else str(one)
            curves[unique] = [{**each, "samples": each["step"] * size} for each in rounds]
            test = read_test(one)
            if test is not None:
                curves[unique][-1]["test_accuracy"] = test["accuracy"]
    return curves


def summary(curves: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row per run: its length, its last and best validation accuracy, and its test accuracy if it has one."""
    table = []
    for name, rounds in curves.items():
        best = max(rounds, key=lambda one: one["validation_accuracy"])
        table.append(
            {
                "run": name,
                "steps": rounds[-1]["step"],
                "samples": rounds[-1]["samples"],
                "seconds": round(rounds[-1]["seconds"], 1),
                "validation_last": rounds[-1]["validation_accuracy"],
                "validation_best": best["validation_accuracy"],
                "best_at_samples": best["samples"],
                "test_accuracy": rounds[-1].get("test_accuracy"),
            }
        )
    return table
