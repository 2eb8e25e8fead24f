"""``python -m tests.support.gpu_profile cuda``: a training step of each family by kernel, from torch's profiler.

Prints, for each recipe, the time from the first to the last kernel of a few steps, the share of it in which the device
was busy, the launches and the longest gaps, then the kernels that took longest. Exits with 1 if a recipe failed.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from zoo.data.sampling import training_batches
from zoo.recipe import load_recipe
from zoo.training.loop import train_steps
from zoo.training.setup import setup

RECIPES = {
    "gridnet-digits": ("gridnet-digits", []),
    "gridnet-digits as a CUDA graph": ("gridnet-digits", ["train.cuda_graph=true"]),
    "cellnet-digits": ("cellnet-digits", []),
    "normnet-digits": ("normnet-digits", []),
    "nca-iris": ("nca-iris", []),
    "snapshots-digits": ("snapshots-digits", []),
    "cnn-digits in bf16": ("cnn-digits", ["train.precision=bf16"]),
}
STEPS = 5
_WARMUP, _SHOWN = 10, 8


class Span(NamedTuple):
    """A kernel or a copy, in microseconds."""

    name: str
    start: float
    end: float


def report(spans: Sequence[Span], steps: int) -> list[str]:
    """Return the lines on what the device did in ``steps`` steps."""
    if not spans:
        return ["  nothing ran on the device"]
    ordered = sorted(spans, key=lambda span: span.start)
    busy, gaps, until = 0.0, [], ordered[0].start
    for span in ordered:
        if span.start > until:
            gaps.append(span.start - until)
        busy += max(0.0, span.end - max(until, span.start))
        until = max(until, span.end)
    whole = until - ordered[0].start
    longest = ", ".join(f"{gap:.0f}" for gap in sorted(gaps, reverse=True)[:5])
    lines = [
        f"  {whole / steps:.0f} us per step, device busy {100 * busy / whole:.0f} %, {len(spans) / steps:.0f} kernels "
        f"and copies per step, longest gaps {longest or 'none'} us"
    ]
    times: dict[str, list[float]] = defaultdict(list)
    for span in spans:
        times[span.name].append(span.end - span.start)
    for name, found in sorted(times.items(), key=lambda item: -sum(item[1]))[:_SHOWN]:
        lines.append(f"  {sum(found) / steps:8.1f} us, {len(found) / steps:6.1f} times per step: {name[:90]}")
    return lines


def spans_of(recipe: str, overrides: Sequence[str], device: str) -> list[Span]:
    """Train a few steps, and return what the device did in the last of them."""
    total = _WARMUP + STEPS
    given = load_recipe(recipe, ["train.epochs=null", f"train.steps={total}", f"train.log_every={total}", *overrides])
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with tempfile.TemporaryDirectory() as folder:
        run = setup(given, Path(folder), device=device, progress=False)
        run.learner.on_start(run.optimizer)
        batches = training_batches(len(run.data.train), given.train.batch_size, 0, 0, total)
        with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
            train_steps(run, stream, _WARMUP)
            with profile(activities=kinds) as found:
                train_steps(run, stream, total)
                if device == "cuda":
                    torch.cuda.synchronize()
        run.log.close()
    wanted = DeviceType.CUDA if device == "cuda" else DeviceType.CPU
    events = [
        e for e in found.events() or [] if e.device_type == wanted and not getattr(e, "is_user_annotation", False)
    ]
    return [Span(event.name, event.time_range.start, event.time_range.end) for event in events]


def main(device: str) -> int:
    failed = []
    for name, (recipe, overrides) in RECIPES.items():
        print(name, flush=True)
        try:
            print("\n".join(report(spans_of(recipe, overrides, device), STEPS)), flush=True)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            failed.append(name)
        if device == "cuda":
            print(f"  at most {torch.cuda.max_memory_allocated() / 1e6:.0f} MB of device memory", flush=True)
            torch.cuda.reset_peak_memory_stats()
    print(f"{len(RECIPES) - len(failed)} of {len(RECIPES)} profiled{': not ' if failed else ''}{', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
