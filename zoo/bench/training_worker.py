"""``python -m zoo.bench.training_worker REQUEST``: time the training loop's own steps in a separate process.

REQUEST is JSON with recipe, overrides, steps, warmup, threads and data_dir. The answer on stdout is JSON too, and
``{"error": ...}`` for an error that the user can fix. Time counts towards the phase whose function is running; the
rest of a step counts as optimizer.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdk.errors import CellzooError
from zoo.bench.memory import peak_memory
from zoo.data.sampling import training_batches
from zoo.recipe import load_recipe
from zoo.training.loop import train_steps
from zoo.training.run import Run
from zoo.training.setup import setup
from zoo.utils.stats import Spread


class Clock:
    """Seconds spent in each phase since the last :meth:`reset`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def reset(self) -> None:
        """Set all phases to zero seconds."""
        self.seconds = {"data": 0.0, "forward": 0.0, "backward": 0.0}

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that its time is added to the phase."""

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds[phase] += time.perf_counter() - started
            return result

        return call

    def stream(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield the batches; the wait for each is added to the phase ``data``."""
        advance = self.timed("data", lambda: next(batches, None))
        while (batch := advance()) is not None:
            yield batch


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Return medians over the timed steps, in seconds, and the process's peak memory in bytes."""
    torch.set_num_threads(request["threads"])
    steps, warmup = request["steps"], request["warmup"]
    length = ["train.epochs=null", f"train.steps={steps + warmup}"]
    recipe = load_recipe(request["recipe"], [*request["overrides"], *length])
    with tempfile.TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), data_dir=request["data_dir"], device="cpu")
        try:
            phases = _timed_steps(run, steps, warmup)
        finally:
            run.log.close()
    spreads = {phase: Spread.of([step[phase] for step in phases]) for phase in phases[0]}
    return {
        "samples_per_second": recipe.train.batch_size / spreads["step"].median,
        "step_seconds": spreads["step"].median,
        "step_seconds_min": spreads["step"].low,
        "step_seconds_max": spreads["step"].high,
        **{f"{phase}_seconds": spread.median for phase, spread in spreads.items() if phase != "step"},
        "peak_bytes": peak_memory(),
        "steps": steps,
    }


def _timed_steps(run: Run, steps: int, warmup: int) -> list[dict[str, float]]:
    clock = Clock()
    clock.reset()
    for owner, name, phase in (
        (run.learner, "training_step", "forward"),
        (run.accelerator, "backward", "backward"),
    ):
        setattr(owner, name, clock.timed(phase, getattr(owner, name)))
    settings = run.recipe.train
    batches = training_batches(len(run.data.train), settings.batch_size, settings.seed, 0, steps + warmup)
    measured = []
    with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
        timed_stream = clock.stream(stream)
        for step in range(steps + warmup):
            clock.reset()
            started = time.perf_counter()
            train_steps(run, timed_stream, step + 1)
            total = time.perf_counter() - started
            rest = total - sum(clock.seconds.values())
            measured.append({"step": total, **clock.seconds, "optimizer": rest})
    return measured[warmup:]


if __name__ == "__main__":
    try:
        answer = measure(json.loads(sys.argv[1]))
    except CellzooError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
