"""The lines that follow a training: its result, and commands ready to be pasted."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.training.result import SAMPLE_FILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo.training.result import SeedResult, TrainResult


def next_commands(result: TrainResult, target: Path, run_dir: Path, data_dir: Path | None) -> list[str]:
    """Return commands that use the new artifact in ``target``: predict a test sample, evaluate, predict from Python.

    They work in the current directory. A test image is written to the run folder for them; tables are predicted from
    Python only.
    """
    model = _spelling(target)
    example = _write_example(result, run_dir)
    sample = json.dumps(_table_sample(result) if example is None else str(example), ensure_ascii=False)
    code = f"import sdk; print(sdk.load({json.dumps(model, ensure_ascii=False)}).predict({sample}))"
    python, zoo = programs()
    commands = [] if example is None else [[*zoo, "predict", model, str(example)]]
    commands.append([*zoo, "eval", model, *(["--data-dir", str(data_dir)] if data_dir else [])])
    commands.append([python, "-c", code])
    return [shlex.join(command) for command in commands]


def programs() -> tuple[str, list[str]]:
    """Return how to start this Python and this ``zoo``: by name if the PATH has them, else by path."""
    folder = os.path.dirname(sys.executable)
    here = [name for name in ("python", "python3") if os.path.dirname(shutil.which(name) or "") == folder]
    python = here[0] if here else _from_here(sys.executable)
    found, script = shutil.which("zoo"), os.path.join(folder, "zoo")
    if found and os.path.abspath(found) in (script, os.path.abspath(sys.argv[0])):
        return python, ["zoo"]
    return python, [_from_here(script)] if os.path.isfile(script) else [python, "-m", "zoo"]


def _from_here(path: str) -> str:
    """Return a path relative to the current directory if it is below it, else as it is."""
    below = os.path.commonpath([os.getcwd(), path]) == os.getcwd() if os.name != "nt" else False
    return os.path.relpath(path) if below else path


def _spelling(target: Path) -> str:
    """Return the shortest text that means the artifact here: its name, a relative path or an absolute one."""
    from sdk.resolve import shortest_spelling

    short = shortest_spelling(target)
    if short == target.name:
        return short
    relative = _from_here(short)
    return relative if os.sep in relative else f".{os.sep}{relative}"


def _write_example(result: TrainResult, run_dir: Path) -> Path | None:
    """Write the first test image to the run folder and return its path; None for data without images to write."""
    from PIL import Image

    spec = result.data.input_spec
    if spec.kind != "image" or spec.shape[0] not in (1, 3):
        return None
    raw = _first_test_input(result)
    values = raw if str(raw.dtype) == "uint8" else (raw * 255).round().clip(0, 255).astype("uint8")
    path = run_dir / SAMPLE_FILE
    Image.fromarray(values[0] if spec.shape[0] == 1 else values.transpose(1, 2, 0)).save(path)
    return path


def _table_sample(result: TrainResult) -> dict[str, Any] | list[float]:
    """Return a typical raw row, by the names of the columns; without names, the first test row."""
    columns = result.data.input_spec.columns
    if columns is not None:
        return columns.example()
    return [round(float(value), 6) for value in _first_test_input(result).flatten()]


def _first_test_input(result: TrainResult) -> NDArray[Any]:
    import torch

    from zoo.data.sampling import Batch

    values: NDArray[Any] = result.data.test[Batch(torch.tensor([0]))][0][0].numpy()
    return values


def seed_lines(results: Sequence[SeedResult]) -> list[str]:
    """Return a line for each of several seeds and one for their mean."""
    if len(results) < 2:
        return []
    from zoo.artifacts.from_run import seed_metrics

    metrics = seed_metrics(results)
    return [
        *(f"seed {one.seed}: test accuracy {one.accuracy:.2%} ({one.correct}/{one.total})" for one in results),
        f"mean of {len(results)} seeds {metrics['test_accuracy_mean']:.2%}, "
        f"sample standard deviation {metrics['test_accuracy_std']:.2%}",
    ]


def summary_line(result: TrainResult) -> str:
    """Return the line about the run whose model becomes the artifact."""
    low, high = result.test.interval
    return (
        f"{result.recipe.name}: test accuracy {result.test.accuracy:.2%} ({result.test.correct}/{result.test.total}, "
        f"95% interval {low:.2%} to {high:.2%}) after {result.steps} steps in {result.seconds:.0f} s"
    )
