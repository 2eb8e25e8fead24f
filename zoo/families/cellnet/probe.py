"""The probe of a CellNet: accuracy by number of steps, an ablation of loss (a), and the quality of predicted moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.sampling import evaluation_batches, training_batches
from zoo.data.split import Split
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.figures import draw_cosine, draw_paths, draw_steps
from zoo.families.cellnet.learner import CellnetLearner, step_cosine
from zoo.families.cellnet.model import Cellnet
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

STEPS = 12  # measured; more than any recipe trains
REPORTED = (1, 2, 4, 8)
ABLATION_BATCHES = 300
_ABLATION_BATCH, _ABLATION_LR = 128, 2e-3
_COSINE_SAMPLES = 1000
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Move:
    """A step's move compared with the move that the previous step's gradient asked for; means over samples."""

    step: int
    fed: bool
    """True for a step with input."""
    cosine: float
    """Over all cells."""
    cosine_out: float
    """Over the OutCells only."""
    norm: float | None
    """Norm of the moves made over that of the moves asked for; None if no move was asked for."""


def probe(context: ProbeContext) -> Findings:
    """Measure accuracy by number of steps, ablate loss (a) in brief trainings, and rate the predicted moves."""
    assert isinstance(context.module, Cellnet)
    config: CellnetConfig = context.config
    accuracy = accuracy_by_steps(context.module, context.data.test)
    moves = predicted_moves(context.module, context.data.test)
    ablation = {
        name: accuracy_by_steps(brief_training(context, loss_a), context.data.test)
        for name, loss_a in (("with", config.loss_a or 1.0), ("without", 0.0))
    }
    curves = {f"{name} loss (a), {ABLATION_BATCHES} batches": values for name, values in ablation.items()}
    figures = {"steps.png": draw_steps(config, accuracy, curves)}
    captions = {
        "steps.png": "Test accuracy against the number of steps: this model, and two networks of the same config that "
        f"were trained on {ABLATION_BATCHES} batches, one with and one without loss (a).",
        "paths.png": "The cores of some test inputs over time, on the first two principal components of all cores.",
    }
    figures["paths.png"] = draw_paths(context.module, context.data.test)
    if any(key.startswith("train_cosine") for record in context.history for key in record):
        figures["cosine.png"] = draw_cosine(context.history)
        captions["cosine.png"] = (
            "Cosine between the move that the cores made and the move that the gradient asked for, during training."
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
    """Return the accuracy, in [0, 1], after 1, 2, ... ``steps`` steps."""
    correct = torch.zeros(steps, dtype=torch.int64)
    module.eval()
    with torch.inference_mode():
        for inputs, labels in split.stream(evaluation_batches(len(split), 256), _CPU):
            for step, logits in enumerate(module(inputs, steps, trace=True).logits):
                correct[step] += (logits.argmax(-1) == labels).sum()
    shares: list[float] = (correct / len(split)).tolist()
    return shares


def predicted_moves(module: Cellnet, split: Split) -> list[Move]:
    """Compare each step's move with what the previous step's gradient asked for, on up to 1000 samples.

    Runs one step more than training does.
    """
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


def brief_training(context: ProbeContext, loss_a: float) -> Cellnet:
    """Train a network of the context's config with another weight of loss (a).

    Initial weights and batches do not depend on the weight.
    """
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


def _moves(module: Cellnet, inputs: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield for each step but the first the sums over a batch: cosine, OutCells' cosine, norms made and asked for."""
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
            measured = (step_cosine(cores, after.detach(), target), step_cosine(*outs), *norms)
            yield step, torch.stack([values.sum() for values in measured])
        slope = torch.zeros_like(after)
        if loss.requires_grad:
            (slope,) = torch.autograd.grad(loss, after)
        cores = after.detach()
        target = cores - config.core_lr * slope


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
        "Each step's move compared with the move that the previous step's gradient asked for (test samples, true "
        "labels; cosine 1 is the same direction, 0 a right angle):",
        "",
        "| step | input | cosine, all cells | cosine, OutCells | norm made / asked for |",
        "|---|---|---|---|---|",
        *map(_move_row, moves),
    ]
    return "\n".join(lines)


def _move_row(move: Move) -> str:
    norm = "-" if move.norm is None else f"{move.norm:.3g}"
    return f"| {move.step} | {'yes' if move.fed else 'no'} | {move.cosine:.3f} | {move.cosine_out:.3f} | {norm} |"
