"""What a trained CellNet does over time: accuracy by steps, its predictions of the gradient step, its cores' paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from zoo.data.sampling import evaluation_batches, training_batches
from zoo.data.split import Split
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.learner import CellnetLearner, step_cosine
from zoo.families.cellnet.model import Cellnet
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

STEPS = 12  # looked at, which is more than any recipe trains
REPORTED = (1, 2, 4, 8)
ABLATION_BATCHES = 300
_ABLATION_BATCH, _ABLATION_LR = 128, 2e-3
_COSINE_SAMPLES = 1000
_PATHS_PER_CLASS, _PATH_CLASSES = 4, 3
_CPU = torch.device("cpu")
_Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Move:
    """How the move of one step compares with the one that the gradient before it asked for; means over samples."""

    step: int
    fed: bool
    cosine: float
    cosine_out: float
    """Of the OutCells alone."""
    norm: float | None
    """Of the moves made over that of the moves asked for; None when no move was asked for."""


def probe(context: ProbeContext) -> Findings:
    """Accuracy by number of steps, an ablation of loss (a) in brief trainings, and the quality of predicted moves."""
    assert isinstance(context.module, Cellnet)
    config: CellnetConfig = context.config
    accuracy = accuracy_by_steps(context.module, context.data.test)
    moves = predicted_moves(context.module, context.data.test)
    ablation = {
        name: accuracy_by_steps(brief_training(context, loss_a), context.data.test)
        for name, loss_a in (("with", config.loss_a or 1.0), ("without", 0.0))
    }
    figures = {"steps.png": _draw_steps(context, config, accuracy, ablation)}
    captions = {
        "steps.png": f"Test accuracy against the number of steps: this model, and two networks of its kind trained "
        f"on {ABLATION_BATCHES} batches with and without loss (a).",
        "paths.png": "The cores of some test inputs over time, on the first two principal components of all cores.",
    }
    figures["paths.png"] = _draw_paths(context.module, context.data.test)
    if any(key.startswith("train_cosine") for record in context.history for key in record):
        figures["cosine.png"] = _draw_cosine(context.history)
        captions["cosine.png"] = (
            "Cosine between the cores' step that was made and the one that the gradient asked for, during training."
        )
    for name, figure in figures.items():
        save_png(figure, context.figures / name)
    metrics = {
        "accuracy_after_steps": {str(step): accuracy[step - 1] for step in REPORTED},
        "predicted_moves": [move.__dict__ for move in moves],
        "ablation_batches": ABLATION_BATCHES,
        "ablation": {name: {str(step): values[step - 1] for step in REPORTED} for name, values in ablation.items()},
    }
    return Findings(metrics, _text(config, accuracy, ablation, moves), captions)


def accuracy_by_steps(module: Cellnet, split: Split, steps: int = STEPS) -> list[float]:
    """The share of right answers after 1, 2, ... ``steps`` steps."""
    correct = torch.zeros(steps, dtype=torch.int64)
    module.eval()
    with torch.inference_mode():
        for inputs, labels in split.stream(evaluation_batches(len(split), 256), _CPU):
            for step, logits in enumerate(module(inputs, steps, trace=True).logits):
                correct[step] += (logits.argmax(-1) == labels).sum()
    shares: list[float] = (correct / len(split)).tolist()
    return shares


def predicted_moves(module: Cellnet, split: Split) -> list[Move]:
    """Each step's move beside what the gradient before it asked for, one step beyond training; up to 1000 samples."""
    config = module.config
    sums: dict[int, Tensor] = {}
    count = min(_COSINE_SAMPLES, len(split))
    for inputs, labels in split.stream(evaluation_batches(count, 256), _CPU):
        for step, values in _moves(module, inputs, labels):
            sums[step] = sums.get(step, torch.zeros(4)) + values
    moves = []
    for step, total in sums.items():
        cosine, cosine_out, made, asked = (total / count).tolist()
        moves.append(Move(step + 1, step < config.input_steps, cosine, cosine_out, made / asked if asked else None))
    return moves


def _moves(module: Cellnet, inputs: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """For each later step, sums over a batch: cosine, OutCells' cosine, norms of the moves made and asked for."""
    config, cores, target = module.config, None, None
    for step in range(config.steps + 1):
        with torch.no_grad():
            (after,), _ = module(inputs, step + 1, trace=True, start=step, cores=cores)
        after.requires_grad_()
        loss = torch.zeros(())
        if step < config.input_steps:
            loss = loss + F.cross_entropy(module.read(after), labels, reduction="sum")
        if cores is not None and target is not None:
            loss = loss + config.loss_a * (after - target).square().sum() / sum(config.cores)
            outs = [values[:, -config.out_cells :] for values in (cores, after.detach(), target)]
            norms = [(end - cores).flatten(1).norm(dim=1) for end in (after.detach(), target)]
            found = (step_cosine(cores, after.detach(), target), step_cosine(*outs), *norms)
            yield step, torch.stack([values.sum() for values in found])
        slope = torch.zeros_like(after)
        if loss.requires_grad:
            (slope,) = torch.autograd.grad(loss, after)
        cores = after.detach()
        target = cores - config.core_lr * slope


def brief_training(context: ProbeContext, loss_a: float) -> Cellnet:
    """A network like the context's, from the same start on the same batches whatever the weight of loss (a)."""
    config = context.config.model_copy(update={"loss_a": loss_a})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        module = Cellnet(config, context.task)
        learner = CellnetLearner(module, config)
        optimizer = torch.optim.AdamW(module.parameters(), lr=_ABLATION_LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _ABLATION_LR, total_steps=ABLATION_BATCHES + 1)
        size = min(_ABLATION_BATCH, len(context.data.train))
        batches = training_batches(len(context.data.train), size, context.seed, 0, ABLATION_BATCHES)
        for inputs, labels in context.data.train.stream(batches, _CPU):
            for result in learner.training_steps(inputs, labels):
                optimizer.zero_grad()
                torch.autograd.backward(result.loss)
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
            schedule.step()
    return module.eval()


# --- what it says ---


def _text(config: CellnetConfig, accuracy: list[float], ablation: dict[str, list[float]], moves: list[Move]) -> str:
    rows = {
        "this model": accuracy,
        f"{ABLATION_BATCHES} batches with loss (a)": ablation["with"],
        f"{ABLATION_BATCHES} batches without": ablation["without"],
    }
    head = "| test accuracy after steps | " + " | ".join(map(str, REPORTED)) + " |"
    lines = [
        f"Trained on sequences of {config.steps} steps, {config.input_steps} of them with input.",
        "",
        head,
        "|---" * (len(REPORTED) + 1) + "|",
        *(f"| {name} | " + " | ".join(f"{v[step - 1]:.2%}" for step in REPORTED) + " |" for name, v in rows.items()),
        "",
        "How each step's move compares with the one that the gradient of the step before asked for (test samples, true "
        "labels; 1 is the same direction, 0 a right angle):",
        "",
        "| step | input | cosine, all cells | cosine, OutCells | norm made / asked for |",
        "|---|---|---|---|---|",
        *map(_move_row, moves),
    ]
    return "\n".join(lines)


def _move_row(move: Move) -> str:
    norm = "-" if move.norm is None else f"{move.norm:.3g}"
    return f"| {move.step} | {'yes' if move.fed else 'no'} | {move.cosine:.3f} | {move.cosine_out:.3f} | {norm} |"


# --- what it draws ---


def _draw_steps(
    context: ProbeContext, config: CellnetConfig, accuracy: list[float], ablation: dict[str, list[float]]
) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = range(1, STEPS + 1)
    axes.plot(steps, [100 * value for value in accuracy], "o-", label="this model")
    for name, values in ablation.items():
        axes.plot(steps, [100 * value for value in values], ".--", label=f"{name} loss (a), {ABLATION_BATCHES} batches")
    axes.axvspan(0.5, config.input_steps + 0.5, color="0.92", label="input is given")
    axes.axvline(config.steps + 0.5, color="0.6", linestyle=":", label="end of training's sequences")
    axes.set(xlabel="steps", ylabel="test accuracy, %", xticks=list(steps), xlim=(0.5, STEPS + 0.5))
    axes.legend(fontsize="small")
    return figure


def _draw_cosine(history: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for kind in ("with", "without"):
        key = f"train_cosine_{kind}_input"
        points = [(record["epoch"], record[key]) for record in history if key in record]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=f"steps {kind} input")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="cosine, mean over samples and steps")
    axes.legend(fontsize="small")
    return figure


def _draw_paths(module: Cellnet, split: Split) -> Figure:
    cores, labels = _paths(module, split)
    steps = cores.shape[0]
    plane = PCA(2, random_state=0).fit(cores.reshape(-1, cores.shape[-1]))
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for label in sorted(set(labels.tolist()))[:_PATH_CLASSES]:
        colour = f"C{label % 10}"
        for number, sample in enumerate(np.flatnonzero(labels == label)[:_PATHS_PER_CLASS]):
            x, y = plane.transform(cores[:, sample]).T
            axes.plot(x, y, "-", color=colour, linewidth=0.8, label=f"class {label}" if number == 0 else None)
            axes.scatter(x, y, s=6 + 3 * np.arange(steps), color=colour)
    shares = [f"{share:.0%}" for share in plane.explained_variance_ratio_]
    axes.set(xlabel=f"first component ({shares[0]} of the variance)", ylabel=f"second component ({shares[1]})")
    axes.set_title(f"from the start through {steps - 1} steps; later points are larger", fontsize="medium")
    axes.legend(fontsize="small")
    return figure


def _paths(module: Cellnet, split: Split) -> tuple[_Floats, NDArray[np.integer[Any]]]:
    """Cores from the start through the steps of training's sequences, ``[steps + 1, B, N * C]``, and labels ``[B]``."""
    inputs, labels = next(iter(split.stream(evaluation_batches(min(256, len(split)), 256), _CPU)))
    with torch.inference_mode():
        seen = module(inputs, module.config.steps, trace=True).cores
        cores = torch.stack([module.initial_cores(len(inputs)), *seen]).flatten(2)
    return cores.numpy(), labels.numpy()
