"""Test results as the Hub reads them beside the card: those on its benchmarks, the data sets that it ranks models on.

A data set is a benchmark if its repo has a file ``eval.yaml``, whose ``tasks`` have an id, a configuration and a split.
A model's repo names one of them in ``.eval_results/*.yaml``; https://huggingface.co/docs/hub/eval-results has the
format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

from sdk.artifact import RECIPE_FILE, Artifact
from zoo.artifacts.card import hub_dataset
from zoo.recipe.reading import read_tree

RESULTS_FILE = ".eval_results/cellzoo.yaml"
"""The file in a model's repo; no part of the artifact."""
_BENCHMARK_FILE = "eval.yaml"
_LARGEST = 1 << 20
_TEST_SPLITS = ("test", "testing")


def evaluation_results(api: HfApi, artifact: Artifact) -> bytes | None:
    """Return the file with the test accuracy; None unless the model was tested on the task of a benchmark.

    Raises the errors of the Hub's client.
    """
    config = artifact.config
    dataset, accuracy = hub_dataset(config), config.metrics.get("test_accuracy")
    if config.task != "classification" or dataset is None or not isinstance(accuracy, float):
        return None
    fitting = [task for task in _tasks(api, dataset) if _fits(task, _data_section(artifact))]
    if len(fitting) != 1:
        return None
    entry: dict[str, Any] = {"dataset": {"id": dataset, "task_id": fitting[0]["id"]}, "value": accuracy}
    if isinstance(config.provenance.get("date"), str):
        entry["date"] = config.provenance["date"]
    return yaml.safe_dump([entry], sort_keys=False).encode()


def _tasks(api: HfApi, dataset: str) -> list[dict[Any, Any]]:
    """Return the tasks of a data set; none if it is no benchmark, or nothing that can be read."""
    try:
        path = Path(api.hf_hub_download(dataset, _BENCHMARK_FILE, repo_type="dataset"))
    except LocalEntryNotFoundError:  # the Hub was not reached
        raise
    except (EntryNotFoundError, RepositoryNotFoundError):
        return []
    if path.stat().st_size > _LARGEST:
        return []
    try:
        tree = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return []
    tasks = tree.get("tasks") if isinstance(tree, dict) else None
    return [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []


def _data_section(artifact: Artifact) -> dict[Any, Any]:
    """Return the data section of the artifact's recipe; empty without one."""
    if RECIPE_FILE not in artifact.config.files:
        return {}
    section = read_tree(artifact.folder / RECIPE_FILE).get("data")
    return section if isinstance(section, dict) else {}


def _fits(task: dict[Any, Any], data: dict[Any, Any]) -> bool:
    """Return True if a model of this data section was tested on the task's split, with its configuration."""
    splits = data.get("splits")
    named = splits.get("test") if isinstance(splits, dict) else None
    return (
        isinstance(task.get("id"), str)
        and task.get("split") in ([named] if named else _TEST_SPLITS)
        and task.get("config", "default") == (data.get("config") or "default")
    )
