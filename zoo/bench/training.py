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

from sdk.catalog import bundled_models
from zoo.bench.machine import Watch, check_device, machine_facts
from zoo.bench.report import PHASES, Report, Table
from zoo.families.registry import get_family
from zoo.recipe import Recipe, load_recipe, recipe_names
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say


def bench_train(
    recipes: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    steps: int | None = None,
    reference_steps: int | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> Report:
    """Measure training steps with the compiled kernels and, for ``reference_steps``, with the reference.

    Each runs on ``device`` in a fresh process with this process's number of torch threads, after five untimed steps
    (one for the reference; ten on cuda). Without ``overrides``, a network that grows has the connections of its bundled
    model. ``steps`` None: as many as take a few seconds. ``reference_steps`` None: 2 for a single recipe, none for
    several. Of several recipes, one that cannot be trained here leaves only the reason in the report's facts. Raises
    RecipeError, and BenchError with the reason if no training can start.
    """
    check_device(device)
    loaded = [load_recipe(recipe, overrides) for recipe in recipes]
    single = len(recipes) == 1
    reference = (2 if single else 0) if reference_steps is None else reference_steps
    plan = [("kernels", "compiled", steps, 5), *([("reference", "reference", reference, 1)] if reference else [])]
    facts, watch = machine_facts(device), Watch()
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for number, (recipe, one) in enumerate(zip(recipes, loaded, strict=True), 1):
        name = one.name
        start = [] if overrides else _grown(one)
        request = {
            "recipe": recipe, "overrides": [*overrides, *start], "threads": torch.get_num_threads(), "device": device,
            "data_dir": None if data_dir is None else str(data_dir),
        }  # fmt: skip
        say(name if single else f"{name} ({number} of {len(recipes)})")
        try:
            rows += _contenders(name, request, plan)
        except BenchError as error:
            if number == len(recipes) and not rows:
                raise
            failed[name] = str(error)
    return Report(
        kind="train",
        subject=loaded[0].name if single else "",
        machine={**facts, "other_processes": watch.others()},
        settings={
            "steps": steps, "reference_steps": reference, "overrides": list(overrides),
            **({} if device == "cpu" else {"device": device}),
        },
        facts={"failed": failed},
        results={"results": rows},
    )  # fmt: skip


def bundled_recipes() -> list[str]:
    """Return the names of the recipes whose trained models are bundled, in alphabetical order."""
    return [name for name in recipe_names() if name in bundled_models()]


def _grown(recipe: Recipe) -> list[str]:
    """Return the override that starts a growing network with the connections of its bundled model."""
    grows = get_family(recipe.model.family).grows and recipe.name in bundled_models()
    return [f"train.start_from={recipe.name}"] if grows else []


def _contenders(
    name: str, request: dict[str, Any], plan: Sequence[tuple[str, str, int | None, int]]
) -> list[dict[str, Any]]:
    """Return a row per contender of one recipe: its name, ZOO_KERNELS, the timed and the untimed steps on the CPU."""
    rows: list[dict[str, Any]] = []
    for contender, mode, steps, warmup in plan:
        more = {
            "steps": steps, "warmup": warmup if request["device"] == "cpu" else 10, "products": mode == "compiled",
        }  # fmt: skip
        rows.append({"recipe": name, "contender": contender, **_run({**request, **more}, mode)})
    for row in rows:
        ratio = row["samples_per_second"] / rows[-1]["samples_per_second"]
        row["times_reference"] = ratio if len(rows) > 1 else None
    return rows


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
    """Return the report as tables to print: of one recipe with all figures, of several in short."""
    results = report.results["results"]
    rows = [_row(row) for row in results]
    notes = [f"{row['recipe']} has no ratio to its products: {row['no_ratio']}" for row in results if row["no_ratio"]]
    notes += [f"{name} was not measured: {reason}" for name, reason in report.facts["failed"].items()]
    if report.subject:
        what = f"batch {results[0]['batch_size']}, {results[0]['precision']}"
        rows = [{key: row[key] for key in row if key not in ("recipe", "batch")} for row in rows]
        return [Table(f"A training step of {report.subject} ({what})", rows, notes)]
    left_out = {"min to max", "peak memory", "on the GPU"}
    if all(row["contender"] == "kernels" for row in results):
        left_out |= {"contender", "x reference"}
    rows = [{key: row[key] for key in row if key not in left_out} for row in rows]
    return [Table("Training steps", rows, notes)]


def _row(row: dict[str, Any]) -> dict[str, str]:
    return {
        "recipe": row["recipe"],
        "contender": row["contender"],
        "batch": f"{row['batch_size']}, {row['precision']}",
        "samples/s": f"{row['samples_per_second']:.4g}",
        "x reference": _ratio(row["times_reference"]),
        "ms per step": f"{1e3 * row['step_seconds']:.4g}",
        "min to max": f"{1e3 * row['step_seconds_min']:.4g} to {1e3 * row['step_seconds_max']:.4g}",
        **{phase: f"{100 * row[f'{phase}_seconds'] / row['step_seconds']:.1f} %" for phase in PHASES},
        "x own products": _ratio(row["times_products"], 2),
        "peak memory": f"{row['peak_bytes'] / 1e6:.0f} MB",
        **({"on the GPU": f"{row['gpu_peak_bytes'] / 1e6:.0f} MB"} if "gpu_peak_bytes" in row else {}),
        "steps": str(row["steps"]),
    }


def _ratio(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
