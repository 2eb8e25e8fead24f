"""Compare gridnet with and without standardised blocks: ``python docs/measurements/gridnet_normalisation.py FOLDER``.

Trains ``gridnet-digits`` three times each way into FOLDER (models that are there are not trained again), measures how
values grow over the inner steps of an untrained grid, and draws ``docs/pictures/gridnet/normalisation.png``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdk.plot.files import save_png
from sdk.plot.style import BLUE, ORANGE, styled
from zoo.kernels.gridnet import gridnet_step

PICTURE = Path(__file__).resolve().parents[1] / "pictures" / "gridnet" / "normalisation.png"
SEEDS = (0, 1, 2)
WAYS = {False: ("LayerNorm over the grid alone", BLUE, "-"), True: ("blocks standardised, too", ORANGE, "--")}
INNER_STEPS = (1, 2, 3, 4, 6, 8, 12, 16)
GRID, BLOCK, BATCH = (16, 16, 16), 8, 16


def train(folder: Path, normalize: bool, seed: int) -> list[tuple[float, float]]:
    """Return epoch and validation accuracy of each round of one training."""
    run, model = folder / f"normalize-{normalize}-{seed}", folder / f"model-{normalize}-{seed}"
    if not model.is_dir():
        options = ["-o", f"model.normalize={str(normalize).lower()}", "-o", f"train.seed={seed}", "--quiet"]
        where = ["--run-dir", str(run), "--out", str(model)]
        subprocess.run([sys.executable, "-m", "zoo", "train", "gridnet-digits", *options, *where], check=True)
    records = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [(one["epoch"], one["validation_accuracy"]) for one in records if "validation_accuracy" in one]


def spread(inner_steps: int, normalize: bool, scale: float) -> float:
    """Return the standard deviation after one outer step, before LayerNorm, of standard normal values."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(27, *GRID, generator=generator) * scale / 27**0.5
    x = torch.randn(BATCH, *GRID, generator=generator)
    bias, residual = torch.zeros(GRID), torch.ones(GRID)
    return float(gridnet_step(weight, bias, residual, x, inner_steps, BLOCK, 1e-5, normalize, "silu").std())


def draw_training(axes: Axes, folder: Path) -> None:
    for normalize, (label, colour, line) in WAYS.items():
        runs = [train(folder, normalize, seed) for seed in SEEDS]
        epochs = [epoch for epoch, _ in runs[0]]
        values = 100 * np.array([[accuracy for _, accuracy in run] for run in runs])
        axes.plot(epochs, values.mean(0), line, color=colour, label=label)
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="validation accuracy, %", ylim=(80, 100.5))
    axes.set_title("gridnet-digits, three seeds: mean and range")
    axes.legend(loc="lower right", fontsize=7)


def draw_spread(axes: Axes) -> None:
    for normalize, (label, colour, line) in WAYS.items():
        for scale, marker in ((1.0, "o"), (2.0, "s")):
            values = [spread(steps, normalize, scale) for steps in INNER_STEPS]
            axes.plot(INNER_STEPS, values, line, marker=marker, markersize=4, color=colour,
                      label=f"{label}; init_scale {scale:g}")  # fmt: skip
    axes.set(xlabel="inner steps", ylabel="standard deviation", yscale="log", xticks=(1, 4, 8, 12, 16))
    axes.set_title("values of an untrained grid before LayerNorm")
    axes.legend(fontsize=6)


def main(folder: Path) -> None:
    """Train what is missing, and draw."""
    folder.mkdir(parents=True, exist_ok=True)
    with styled():
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_training(left, folder)
        draw_spread(right)
    PICTURE.parent.mkdir(exist_ok=True)
    save_png(figure, PICTURE, 200)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
