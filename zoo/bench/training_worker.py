"""``python -m zoo.bench.training_worker REQUEST``: time the training loop's own steps in a separate process.

REQUEST is JSON with recipe, overrides, steps, warmup, threads, device, data_dir and products. The answer on stdout is
JSON too, and ``{"error": ...}`` for an error that the user can fix. A step lasts from the request for its batch to the
request for the next. Within it, data is the wait for the batch, forward the time in which the learner computes its
losses, of all optimizer steps that it takes, backward that of their gradients, and optimizer the rest. With products,
the products of every fifth step are recorded, and then repeated alone once. Both so find the caches as steps do.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdk.errors import CellzooError
from zoo.bench.memory import peak_memory
from zoo.bench.products import ProductRecorder
from zoo.bench.report import PHASES
from zoo.data.sampling import training_batches
from zoo.recipe import load_recipe
from zoo.training.loop import train_steps
from zoo.training.run import Run
from zoo.training.setup import setup
from zoo.utils.stats import middle_half

STEPS = (10, 640)
"""The fewest and the most timed steps, if the request leaves their number open."""
SECONDS = 4.0
"""The time that they may take."""
_RECORDED = 5
"""Number of timed steps per recorded one."""
_BLOCK = 8
"""Number of consecutive steps that are kept or left out together."""
_DATA_BLOCK = 160
"""The same for their data: 160 timed and 32 recorded steps take three times as many batches as are prepared at once."""
_Batches = Iterator[tuple[Tensor, Tensor]]


class Clock:
    """Marks on the host's clock, or on a GPU as events, which the device passes in its own time."""

    def __init__(self, cuda: Any = None) -> None:
        self._cuda = cuda
        """torch.cuda, or what stands for it in tests; None for the host's clock."""
        self._steps: list[list[tuple[str, Any, Any]]] = []
        """Per step its phases, with the first and last mark of each; the step itself comes last."""
        self._alone: list[tuple[Any, Any]] = []
        self._phases: list[tuple[str, Any, Any]] | None = None
        """Those of the step that is under way."""

    def mark(self) -> Any:
        """Return a mark of now."""
        if self._cuda is None:
            return time.perf_counter()
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that its time in a step counts towards the phase."""

        def call(*args: Any, **kwargs: Any) -> Any:
            started = self.mark()
            result = function(*args, **kwargs)
            if self._phases is not None:
                self._phases.append((phase, started, self.mark()))
            return result

        return call

    def each(self, phase: str, items: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield the items; the time until each, and until there is none, counts towards the phase."""
        advance = self.timed(phase, partial(next, iter(items), None))
        while (item := advance()) is not None:
            yield item

    def stream(
        self, batches: _Batches, steps: int, products: ProductRecorder | None = None
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield the batches of timed steps, and of the recorded ones between them.

        A step lasts from the request for its batch to the next; the wait for the batch is the phase ``data``.
        """
        for number in range(steps):
            if products is not None and number % _RECORDED == 0:
                batch = next(batches)
                with products:
                    yield batch
                started = self.mark()
                products.repeat()
                self._alone.append((started, self.mark()))
            self._phases = []
            started = self.mark()
            yield self.timed("data", partial(next, batches))()
            self._steps.append([*self._phases, ("step", started, self.mark())])
            self._phases = None

    def steps(self) -> list[dict[str, float]]:
        """Return the seconds of each step and of its phases."""
        self._wait()
        found = []
        for phases in self._steps:
            step = dict.fromkeys(("step", *PHASES), 0.0)
            for phase, first, last in phases:
                step[phase] += self._between(first, last)
            step["optimizer"] = step["step"] - sum(step[phase] for phase in PHASES)
            found.append(step)
        return found

    def alone(self) -> list[float]:
        """Return the seconds of each recorded step's products alone."""
        self._wait()
        return [self._between(*marks) for marks in self._alone]

    def _wait(self) -> None:
        if self._cuda is not None:
            self.mark().synchronize()

    def _between(self, first: Any, second: Any) -> float:
        """Return the seconds from one mark to another."""
        return float(second - first if self._cuda is None else first.elapsed_time(second) / 1e3)


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Return means over timed steps, in seconds, and the peak memory in bytes.

    They are taken over the middle half of the blocks of consecutive steps by duration, which leaves out those that the
    machine held up. The phases add up to the step.
    """
    torch.set_num_threads(request["threads"])
    most = request["warmup"] + 2 * (request["steps"] or STEPS[1])
    length = ["train.epochs=null", f"train.steps={most}", f"train.log_every={most}"]
    recipe = load_recipe(request["recipe"], [*request["overrides"], *length])
    graph = recipe.train.cuda_graph and request["device"] == "cuda"
    products = ProductRecorder() if request["products"] and not graph else None
    with tempfile.TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), data_dir=request["data_dir"], device=request["device"])
        try:
            steps, alone, memory = _timed_steps(run, request["steps"], request["warmup"], products)
        finally:
            run.log.close()
    seconds = [step["step"] for step in steps]
    mean = _means(steps)
    return {
        "batch_size": recipe.train.batch_size,
        "precision": recipe.train.precision,
        "samples_per_second": recipe.train.batch_size / mean["step"],
        "step_seconds": mean["step"],
        "step_seconds_min": min(seconds),
        "step_seconds_max": max(seconds),
        **{f"{phase}_seconds": mean[phase] for phase in PHASES},
        **_facts_of_products(products, alone, mean["step"], graph),
        **memory,
        "steps": len(steps),
    }


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean seconds of each phase and, as their sum, of a step.

    Data count apart: the few steps that prepare batches for many are long, and would be left out more often.
    """
    data = [step["data"] for step in steps]
    middle = middle_half([step["step"] - step["data"] for step in steps], _BLOCK)
    mean = {phase: statistics.fmean(steps[place][phase] for place in middle) for phase in PHASES}
    mean["data"] = statistics.fmean(data[place] for place in middle_half(data, _DATA_BLOCK))
    return {**mean, "step": sum(mean.values())}


def _facts_of_products(
    products: ProductRecorder | None, alone: list[float], step: float, graph: bool
) -> dict[str, Any]:
    """Return number and time of the products and the ratio of a step to them, or None and why there is no ratio."""
    found = products is not None and products.calls
    why = "a CUDA graph repeats its products unseen (train.cuda_graph)" if graph else ""
    if products is not None and not products.calls:
        why = "a step calls no matrix product, convolution or kernel through torch"
    seconds = statistics.fmean(alone[place] for place in middle_half(alone, _BLOCK)) if found else None
    return {
        "products": len(products.calls) if products is not None else None,
        "products_seconds": seconds,
        "times_products": step / seconds if seconds else None,
        "no_ratio": why,
    }


def _timed_steps(
    run: Run, steps: int | None, warmup: int, products: ProductRecorder | None
) -> tuple[list[dict[str, float]], list[float], dict[str, int]]:
    """Take the steps; return their times, those of the products alone, and the peak memory after the untimed steps."""
    on_cuda = run.accelerator.device.type == "cuda"
    clock = Clock(torch.cuda if on_cuda else None)
    learner, steps_on = run.learner, run.learner.training_steps
    learner.on_start(run.optimizer)
    learner.training_steps = lambda *batch: clock.each("forward", steps_on(*batch))  # type: ignore[method-assign]
    run.accelerator.backward = clock.timed("backward", run.accelerator.backward)
    settings = run.recipe.train
    batches = training_batches(len(run.data.train), settings.batch_size, settings.seed, 0, run.total_steps)
    with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
        if warmup > 1:
            train_steps(run, stream, warmup // 2)
        started, first = time.perf_counter(), run.step
        train_steps(run, stream, warmup)
        seconds = (time.perf_counter() - started) / (warmup - first)
        count = steps or min(max(round(SECONDS / seconds), STEPS[0]), STEPS[1])
        memory = {"peak_bytes": peak_memory()}
        if on_cuda:
            memory["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
        recorded = 0 if products is None else math.ceil(count / _RECORDED)
        with closing(clock.stream(stream, count, products)) as timed:
            # One call, because the loop waits for the device at the end of each.
            train_steps(run, timed, warmup + recorded + count)
            next(timed, None)  # ends the last step
    return clock.steps(), clock.alone(), memory


if __name__ == "__main__":
    try:
        answer = measure(json.loads(sys.argv[1]))
    except CellzooError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
