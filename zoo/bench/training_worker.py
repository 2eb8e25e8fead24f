"""``python -m zoo.bench.training_worker REQUEST``: time the training loop's own steps in a separate process.

REQUEST is JSON with recipe, overrides, steps, warmup, threads, device and data_dir. The answer on stdout is JSON too,
and ``{"error": ...}`` for an error that the user can fix. A step lasts from the request for its batch to the request
for the next. Within it, data is the wait for the batch, forward the time in which the learner computes its losses, of
all optimizer steps that it takes, backward that of their gradients, and optimizer the rest.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
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
    """Marks on the host's clock, or on a GPU as events, which the device passes in its own time."""

    def __init__(self, cuda: Any = None) -> None:
        self._cuda = cuda
        """torch.cuda, or what stands for it in tests; None for the host's clock."""
        self._phases: list[tuple[int, str, Any, Any]] = []
        """Number of the step, phase, first and last mark."""
        self._starts: list[Any] = []

    def mark(self) -> Any:
        """Return a mark of now."""
        if self._cuda is None:
            return time.perf_counter()
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that its time counts towards the phase."""

        def call(*args: Any, **kwargs: Any) -> Any:
            started = self.mark()
            result = function(*args, **kwargs)
            self._phases.append((len(self._starts) - 1, phase, started, self.mark()))
            return result

        return call

    def each(self, phase: str, items: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield the items; the time until each, and until there is none, counts towards the phase."""
        advance = self.timed(phase, partial(next, iter(items), None))
        while (item := advance()) is not None:
            yield item

    def stream(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield the batches; the wait for each is the phase ``data``, and a step starts with it."""
        advance = self.timed("data", partial(next, batches, None))
        while True:
            self._starts.append(self.mark())
            batch = advance()
            if batch is None:
                return
            yield batch

    def steps(self) -> list[dict[str, float]]:
        """End the last step now; return the seconds of each step and of its phases."""
        starts = [*self._starts, self.mark()]
        if self._cuda is not None:
            starts[-1].synchronize()
        found = [dict.fromkeys(("step", "data", "forward", "backward"), 0.0) for _ in self._starts]
        for number, phase, first, last in self._phases:
            found[number][phase] += self._between(first, last)
        for step, (start, end) in zip(found, pairwise(starts), strict=True):
            phases = sum(step.values())
            step["step"] = self._between(start, end)
            step["optimizer"] = step["step"] - phases
        return found

    def _between(self, first: Any, second: Any) -> float:
        """Return the seconds from one mark to another."""
        return float(second - first if self._cuda is None else first.elapsed_time(second) / 1e3)


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Return medians over the timed steps, in seconds, and the peak memory of process and GPU in bytes."""
    torch.set_num_threads(request["threads"])
    steps, warmup, device = request["steps"], request["warmup"], request["device"]
    length = ["train.epochs=null", f"train.steps={steps + warmup}", f"train.log_every={steps + warmup}"]
    recipe = load_recipe(request["recipe"], [*request["overrides"], *length])
    with tempfile.TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), data_dir=request["data_dir"], device=device)
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
        **({"gpu_peak_bytes": torch.cuda.max_memory_allocated()} if device == "cuda" else {}),
        "steps": steps,
    }


def _timed_steps(run: Run, steps: int, warmup: int) -> list[dict[str, float]]:
    clock = Clock(torch.cuda if run.accelerator.device.type == "cuda" else None)
    learner, steps_on = run.learner, run.learner.training_steps
    learner.on_start(run.optimizer)
    learner.training_steps = lambda *batch: clock.each("forward", steps_on(*batch))  # type: ignore[method-assign]
    run.accelerator.backward = clock.timed("backward", run.accelerator.backward)
    settings = run.recipe.train
    batches = training_batches(len(run.data.train), settings.batch_size, settings.seed, 0, steps + warmup)
    with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
        # One call, because the loop waits for the device at the end of each.
        train_steps(run, clock.stream(stream), steps + warmup)
    return clock.steps()[warmup:]


if __name__ == "__main__":
    try:
        answer = measure(json.loads(sys.argv[1]))
    except CellzooError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
