"""``zoo bench train``: samples per second of a recipe's own training step, and the time of each phase."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.bench.machine import Watch, check_device, machine_facts
from zoo.bench.report import PHASES, Report, Table
from zoo.recipe import load_recipe
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say


def bench_train(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    steps: int = 20,
    reference_steps: int = 2,
    data_dir: Path | None = None,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> Report:
    """Measure training steps with the compiled kernels and, if ``reference_steps``, with the reference.

    Each runs on ``device`` in a fresh process with this process's number of torch threads, after two untimed steps (one
    for the reference; ten on cuda). Raises RecipeError, and BenchError with the reason if training cannot start.
    """
    check_device(device)
    loaded = load_recipe(recipe, overrides)
    warmups = (2, 1) if device == "cpu" else (10, 10)
    plan = [("kernels", "compiled", steps, warmups[0]), ("reference", "reference", reference_steps, warmups[1])]
    facts, watch = machine_facts(device), Watch()
    rows = []
    for contender, mode, count, warmup in plan:
        if count:
            say(f"{count} steps with the {contender}")
            request = {
                "recipe": recipe, "overrides": list(overrides), "steps": count, "warmup": warmup,
                "threads": torch.get_num_threads(), "device": device,
                "data_dir": None if data_dir is None else str(data_dir),
            }  # fmt: skip
            rows.append({"contender": contender, **_run(request, mode)})
    base = rows[-1]["samples_per_second"] if reference_steps else None
    for row in rows:
        row["times_reference"] = None if base is None else row["samples_per_second"] / base
    return Report(
        kind="train",
        subject=loaded.name,
        machine={**facts, "other_processes": watch.others()},
        settings={
            "steps": steps, "reference_steps": reference_steps, "overrides": list(overrides),
            **({} if device == "cpu" else {"device": device}),
        },
        facts={"batch_size": loaded.train.batch_size, "precision": loaded.train.precision},
        results={"results": rows},
    )  # fmt: skip


def _run(request: dict[str, Any], mode: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "zoo.bench.training_worker", json.dumps(request)]
    done = subprocess.run(command, env={**os.environ, "ZOO_KERNELS": mode}, capture_output=True, text=True)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode:
        raise BenchError(f"the training process failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    answer: dict[str, Any] = json.loads(lines[-1])
    if "error" in answer:
        raise BenchError(answer["error"])
    return answer


def tables(report: Report) -> list[Table]:
    """Return the report as tables to print."""
    rows = [
        {
            "contender": row["contender"],
            "samples/s": f"{row['samples_per_second']:.4g}",
            "x reference": "-" if row["times_reference"] is None else f"{row['times_reference']:.1f}",
            "ms per step": f"{1e3 * row['step_seconds']:.4g}",
            "min to max": f"{1e3 * row['step_seconds_min']:.4g} to {1e3 * row['step_seconds_max']:.4g}",
            **{phase: f"{100 * row[f'{phase}_seconds'] / row['step_seconds']:.1f} %" for phase in PHASES},
            "peak memory": f"{row['peak_bytes'] / 1e6:.0f} MB",
            **({"on the GPU": f"{row['gpu_peak_bytes'] / 1e6:.0f} MB"} if "gpu_peak_bytes" in row else {}),
            "steps": str(row["steps"]),
        }
        for row in report.results["results"]
    ]
    what = f"batch {report.facts['batch_size']}, {report.facts['precision']}"
    return [Table(f"A training step of {report.subject} ({what})", rows)]
