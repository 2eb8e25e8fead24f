"""``zoo bench predict``: latency and throughput of a trained model through the SDK, its memory and its cold start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import sdk
from sdk.backends import backends_of, is_reduced
from sdk.model import Model
from sdk.resolve import find_model
from zoo.artifacts.random_inputs import random_inputs
from zoo.bench.contenders import EAGER, TOLERANCE
from zoo.bench.eager_gridnet import EagerGridnet
from zoo.bench.machine import Watch, check_device, machine_facts
from zoo.bench.report import Report, Table
from zoo.families.gridnet.model import Gridnet
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say
from zoo.utils.timing import settle


def bench_predict(
    name: str,
    batches: Sequence[int] = (1, 64),
    quick: bool = False,
    device: str = "cpu",
    seconds: float | None = None,
    say: Say = lambda line: None,
) -> Report:
    """Measure every backend of a model and, for a gridnet, the same weights as eager shifts in torch.

    The inputs are random arrays; their preparation, and on ``device`` cuda the copies to and from the GPU, are part of
    the latency. On cuda, the torch backend and the shifts also run on the GPU, and cold starts, which it has no part
    in, are left out. ``seconds`` is the time for each contender and batch size, 10 by default and 1 with ``quick``.
    Raises LoadError for an unknown model and BenchError if the logits of the contenders differ, except those of reduced
    precision.
    """
    check_device(device)
    folder = str(find_model(name).absolute())
    first = sdk.load(folder)
    backends = backends_of(first.config)
    contenders = {backend: sdk.load(folder, backend=backend) for backend in backends}
    if "torch" in contenders and isinstance(contenders["torch"].module, Gridnet):
        module = contenders["torch"].module
        contenders[EAGER] = type(first)(first.config, EAGER, EagerGridnet(module))
    if device == "cuda":
        contenders |= _on_gpu(folder, backends)
    facts, watch = machine_facts(device), Watch()
    rows = []
    for batch in batches:
        say(f"batch {batch}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sdk.InvertedInputWarning)  # random images may look inverted
            rows += _measure(contenders, random_inputs(first.input_spec, batch), seconds or (1 if quick else 10))
    repeats, cold, interpreter = 1 if quick else 5, [], None
    if device == "cpu":
        say("cold starts")
        cold = [_cold_start(folder, backend, batches, repeats) for backend in backends]
        interpreter = _interpreter_seconds(repeats)
    for row in rows:
        started = next((start for start in cold if start["backend"] == row["contender"]), None)
        row["peak_bytes"] = started["peak_bytes_by_batch"][str(row["batch"])] if started else None
    for start in cold:
        del start["peak_bytes_by_batch"]
    return Report(
        kind="predict",
        subject=first.name,
        machine={**facts, "other_processes": watch.others()},
        settings={
            "quick": quick, "batches": list(batches), **({} if device == "cpu" else {"device": device}),
            **({} if seconds is None else {"seconds": seconds}),
        },
        facts={"parameters": first.config.parameters, "interpreter_seconds": interpreter},
        results={"results": rows, **({"cold_start": cold} if cold else {})},
    )  # fmt: skip


def _on_gpu(folder: str, backends: Sequence[str]) -> dict[str, Model]:
    """Return the contenders that run on the GPU. Raises BenchError for a model without the torch backend."""
    if "torch" not in backends:
        raise BenchError(f"--device cuda needs a model with the backend torch; this one has {', '.join(backends)}")
    model = sdk.load(folder, backend="torch", device="cuda")
    found = {"torch on cuda": model}
    if isinstance(model.module, Gridnet):
        found[f"{EAGER} on cuda"] = type(model)(model.config, EAGER, EagerGridnet(model.module, torch.device("cuda")))
    return found


def _measure(contenders: dict[str, Model], inputs: NDArray[Any], budget: float) -> list[dict[str, Any]]:
    """Measure latencies, one call of each in turn, for ``budget`` seconds per contender including rests.

    Every contender makes 10 to 300 calls.
    """
    batch = len(inputs)
    _check_same(contenders, inputs)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    spent = dict.fromkeys(contenders, 0.0)
    for _ in range(300):
        for name, model in contenders.items():
            if len(seconds[name]) < 10 or spent[name] < budget:
                call = partial(model.predict, inputs, batch_size=batch)
                turn_started = time.perf_counter()
                settle(call, seconds[name][-1] if seconds[name] else 0.0)
                started = time.perf_counter()
                call()
                ended = time.perf_counter()
                seconds[name].append(ended - started)
                spent[name] += ended - turn_started
    eager = statistics.median(seconds[EAGER]) if EAGER in seconds else None
    return [_row(name, batch, samples, eager) for name, samples in seconds.items()]


def _row(name: str, batch: int, samples: list[float], eager: float | None) -> dict[str, Any]:
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    return {
        "contender": name,
        "batch": batch,
        "calls": len(samples),
        "p50_seconds": p50,
        "p90_seconds": p90,
        "p99_seconds": p99,
        "min_seconds": min(samples),
        "max_seconds": max(samples),
        "samples_per_second": batch * len(samples) / sum(samples),
        "times_eager_shifts": None if eager is None else eager / p50,
    }


def _check_same(contenders: dict[str, Model], inputs: NDArray[Any]) -> None:
    exact = {name: model for name, model in contenders.items() if not is_reduced(name)}
    logits = {name: model.logits(inputs, batch_size=len(inputs)) for name, model in exact.items()}
    first, expected = next(iter(logits.items()))
    for name, found in logits.items():
        gap = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not gap <= TOLERANCE:
            raise BenchError(f"the logits of {name} differ from those of {first} by {gap:.2g}, allowed {TOLERANCE:g}")


def _cold_start(folder: str, backend: str, batches: Sequence[int], repeats: int) -> dict[str, Any]:
    """Return medians over fresh processes, each of which imports the SDK, loads the model and predicts."""
    command = [sys.executable, "-m", "zoo.bench.cold_start", folder, backend, *map(str, batches)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)
    ]
    seconds = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key.endswith("_seconds")}
    totals = [sum(run[key] for key in seconds) for run in runs]
    return {
        "backend": backend,
        "runs": repeats,
        "total_seconds": statistics.median(totals),
        "total_seconds_min": min(totals),
        "total_seconds_max": max(totals),
        **seconds,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "peak_bytes_by_batch": {
            key: max(run["peak_bytes_by_batch"][key] for run in runs) for key in runs[0]["peak_bytes_by_batch"]
        },
    }


def _interpreter_seconds(repeats: int) -> float:
    """Return the time of an empty Python process, which is not part of the seconds of a cold start."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", ""], check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def tables(report: Report) -> list[Table]:
    """Return the report as tables to print."""
    latencies = [
        {
            "contender": row["contender"],
            "batch": str(row["batch"]),
            **{f"{key} ms": f"{1e3 * row[f'{key}_seconds']:.3g}" for key in ("p50", "p90", "p99")},
            "min to max": f"{1e3 * row['min_seconds']:.3g} to {1e3 * row['max_seconds']:.3g}",
            "samples/s": f"{row['samples_per_second']:.4g}",
            "x eager shifts": "-" if row["times_eager_shifts"] is None else f"{row['times_eager_shifts']:.2f}",
            "peak memory": "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f} MB",
            "calls": str(row["calls"]),
        }
        for row in report.results["results"]
    ]
    starts = [
        {
            "backend": row["backend"],
            "total s": f"{row['total_seconds']:.2f}",
            "min to max": f"{row['total_seconds_min']:.2f} to {row['total_seconds_max']:.2f}",
            "import sdk": f"{row['import_seconds']:.2f}",
            "load": f"{row['load_seconds']:.2f}",
            "first predict": f"{row['first_predict_seconds']:.3f}",
            "peak memory": f"{row['peak_bytes'] / 1e6:.0f} MB",
        }
        for row in report.results.get("cold_start", [])
    ]
    shown = [Table(f"Latency of {report.subject}", latencies)]
    if starts:
        empty = f"an empty Python process takes another {report.facts['interpreter_seconds']:.2f} s"
        shown.append(Table(f"Cold start ({empty})", starts))
    return shown
