"""`zoo probe` of a Meta-NCA: accuracy over starts, depths and splits, after damage and growth, and on unseen data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.families.nca.baselines import ADAM_LR, ADAM_STEPS, make_mlp, measure_baselines
from zoo.families.nca.figures import ANIMATION, ANIMATION_CAPTION, animate, draw_curves
from zoo.families.nca.model import MetaNca
from zoo.families.nca.probe_continual import SEEDS, measure_continual
from zoo.families.nca.probe_growth import measure_growth
from zoo.families.nca.probe_splits import measure_splits
from zoo.families.nca.probe_unseen import measure_unseen
from zoo.families.nca.trial import STARTS, Trial
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

_MLPS = 10
_DAMAGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_DAMAGE, _CONTINUAL = "damage.png", "continual.png"


def probe(context: ProbeContext) -> Findings:
    """Measure on test samples, none of which influenced a choice, and draw figures."""
    module = context.module
    assert isinstance(module, MetaNca)
    with torch.no_grad():
        parts = [_depths(context, module), _damage(context, module), measure_growth(context, module)]
        if module.config.meta.tasks is not None:
            parts += [_unseen(context, module), _continual(context, module)]
        inputs, labels = context.data.train.everything()
        animate(module.grow_one(inputs, labels, module.architecture()), context.figures / ANIMATION)
    if module.config.rule.senses == "none":
        parts.append(measure_splits(context))
    return Findings(
        metrics={key: value for part in parts for key, value in part.metrics.items()},
        text="\n\n".join(part.text for part in parts if part.text),
        figures={ANIMATION: ANIMATION_CAPTION}
        | {name: caption for part in parts for name, caption in part.figures.items()},
    )


def _depths(context: ProbeContext, module: MetaNca) -> Findings:
    """Measure each architecture of the training from many starts, by the rule and by Adam, and the baselines."""
    meta, epochs = module.config.meta, module.config.epochs
    rows: list[dict[str, Any]] = []
    for layers in sorted({*meta.layers, module.config.layers}):
        for hidden in sorted({*meta.hidden, module.config.hidden}) if layers > 1 else (module.config.hidden,):
            trial = Trial(context, module, module.architecture(layers, hidden))
            adam = trial.accuracies_by_adam()
            trial.evolve(epochs)
            found = {**_mean_std(trial.accuracies()), **{f"adam_{k}": v for k, v in _mean_std(adam).items()}}
            rows.append({"layers": layers, "hidden": hidden if layers > 1 else None, **found})
    usual = measure_baselines(context, STARTS)
    lines = [
        f"| {row['layers']} | {row['hidden'] or '-'} | {row['mean']:.2%} ± {row['std']:.2%} | "
        f"{row['adam_mean']:.2%} ± {row['adam_std']:.2%} |"
        for row in rows
    ]
    text = [
        f"Test accuracy from {STARTS} random starts (mean and standard deviation), after {epochs} epochs of the rule "
        f"and, for the same networks from the same starts without the rule, after {ADAM_STEPS} steps of Adam at "
        f"{ADAM_LR:g}. Neither has seen these {len(context.data.test)} samples:",
        "",
        "| layers | hidden units | by the rule | by Adam |",
        "|---|---|---|---|",
        *lines,
        "",
        f"On the same samples, logistic regression reaches {usual['logistic']['mean']:.2%}; {STARTS} MLPs of 10 units "
        f"with biases, trained by Adam, reach {usual['mlp']['mean']:.2%} ± {usual['mlp']['std']:.2%}.",
    ]
    return Findings({"starts": rows, "usual": usual}, "\n".join(text), {})


def _mean_std(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std())}


def _damage(context: ProbeContext, module: MetaNca) -> Findings:
    """Delete weights of evolved networks and let the rule continue."""
    epochs = module.config.epochs
    rows: list[dict[str, float]] = []
    mlp = _damaged_mlps(context)
    for share in _DAMAGES:
        trial = Trial(context, module, module.architecture())
        before = trial.evolve(epochs)[-1]
        trial.delete(share)
        damaged = float(trial.accuracies().mean())
        after = trial.evolve(epochs)
        middle = after[max(0, epochs // 4 - 1)]
        row = {"deleted": share, "before": before, "damaged": damaged, "quarter": middle, "after": after[-1]}
        rows.append({**row, "mlp": mlp[share]})
    lines = ["| " + " | ".join(f"{value:.2%}" for value in row.values()) + " |" for row in rows]
    text = [
        f"Weights are deleted after {epochs} epochs (weight and hidden states as at a zero start), then the rule "
        f"continues. For comparison, the mean of {_MLPS} MLPs (10 hidden units, Adam) that lost the same share and "
        "cannot regrow:",
        "",
        f"| deleted | before | damaged | {max(1, epochs // 4)} epochs later | {epochs} epochs later | MLP |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    curves = {name: [row[name] for row in rows] for name in ("before", "damaged", "after", "mlp")}
    save_png(draw_curves([100 * s for s in _DAMAGES], curves, "weights deleted (%)"), context.figures / _DAMAGE)
    caption = "Mean test accuracy before weights are deleted, right after, and after regrowth; MLPs do not regrow."
    return Findings({"damage": rows}, "\n".join(text), {_DAMAGE: caption})


def _damaged_mlps(context: ProbeContext) -> dict[float, float]:
    """Return the mean test accuracy of trained MLPs after each share of their weights was set to zero."""
    (inputs, labels), (queries, answers) = context.data.train.everything(), context.data.test.everything()
    noise = np.random.default_rng(context.seed)
    found: dict[float, list[float]] = {share: [] for share in _DAMAGES}
    for seed in range(_MLPS):
        scaled = make_mlp(seed).fit(inputs.numpy(), labels.numpy())
        mlp = scaled[-1]
        trained = mlp.coefs_
        for share in _DAMAGES:
            mlp.coefs_ = [weight * (noise.random(weight.shape) >= share) for weight in trained]
            found[share].append(float(scaled.score(queries.numpy(), answers.numpy())))
    return {share: float(np.mean(values)) for share, values in found.items()}


def _unseen(context: ProbeContext, module: MetaNca) -> Findings:
    rows = measure_unseen(module, context.seed)
    lines = [
        f"| {row['data']} | {row['layers']} | {row['rule']:.2%} | {row['rule_std']:.2%} | {row['rule_long']:.2%} | "
        f"{row['knn']:.2%} | {row['logistic']:.2%} | {row['sgd']:.2%} |"
        for row in rows
    ]
    epochs = module.config.epochs
    text = [
        "On data sets that meta-training never saw, learned from their training examples alone. In each split a fifth "
        f"is held out and the labels are permuted at random; rule and SGD take {epochs} passes:",
        "",
        f"| data | layers | rule | std | rule, {2 * epochs} passes | 5-NN | logistic regression | SGD |",
        "|---|---|---|---|---|---|---|---|",
        *lines,
    ]
    return Findings({"unseen": rows}, "\n".join(text), {})


def _continual(context: ProbeContext, module: MetaNca) -> Findings:
    epochs = module.config.epochs
    rows = measure_continual(module, context.seed)
    lines = [
        f"| {row['data']} | {row['layers']} | {learner} | {row[f'{key}_a'][epochs - 1]:.2%} | "
        f"{row[f'{key}_a'][2 * epochs - 1]:.2%} | {row[f'{key}_b'][2 * epochs - 1]:.2%} | "
        f"{row[f'{key}_a'][2 * epochs]:.2%} | {row[f'{key}_a'][-1]:.2%} |"
        for row in rows
        for key, learner in (("rule", "rule"), ("sgd", f"SGD, rate {row['rate']:g}"))
    ]
    text = [
        f"Two tasks in turn, A, B and A again, {epochs} passes over the examples of each, by the rule and by SGD from "
        f"the same starts (batches of 8, the best of its rates on the examples of A); means of {SEEDS} seeds:",
        "",
        "| data | layers | learner | A, after A | A, after B | B, after B | A, one pass later | A, after A again |",
        "|---|---|---|---|---|---|---|---|",
        *lines,
    ]
    shown = [row for row in rows if row["layers"] == max(module.config.meta.layers)][1]
    curves = {f"{name}, task {task.upper()}": shown[f"{key}_{task}"] for task in "ab"
              for key, name in (("rule", "rule"), ("sgd", "SGD"))}  # fmt: skip
    figure = draw_curves(list(range(1, 3 * epochs + 1)), curves, "pass", marked=epochs)
    save_png(figure, context.figures / _CONTINUAL)
    caption = (
        f"Mean test accuracy on two tasks ({shown['data']}), learned one after the other: A for {epochs} passes, B for "
        f"{epochs} (from the dotted line), A again."
    )
    return Findings({"continual": rows}, "\n".join(text), {_CONTINUAL: caption})
