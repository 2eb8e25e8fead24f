"""What is measured of a trained rule: from many starts and splits, after damage, at other depths, on other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.families.nca.baselines import ADAM_LR, ADAM_STEPS, make_mlp, train_by_adam, usual_learners
from zoo.families.nca.figures import ANIMATION, ANIMATION_CAPTION, animate, draw_curves
from zoo.families.nca.learner import delete_weights
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import Lesson, Wiring, read_logits, run_networks
from zoo.families.nca.splits import measure_splits
from zoo.families.nca.tasks import Examples, make_lesson, stack_inputs
from zoo.families.nca.unseen import measure_unseen
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

STARTS = 30
_MLPS = 10
_DAMAGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_DAMAGE, _LONG = "damage.png", "epochs.png"


def probe(context: ProbeContext) -> Findings:
    """Figures, tables and numbers; of test samples, none of which had a part in a choice."""
    module = context.module
    assert isinstance(module, MetaNca)
    with torch.no_grad():
        parts = [_depths(context, module), _damage(context, module), _growth(context, module)]
        if module.config.meta.tasks is not None:
            parts.append(_unseen(context, module))
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


class Trial:
    """Thirty networks of one architecture, evolved from starts of their own and asked about the test part."""

    def __init__(self, context: ProbeContext, module: MetaNca, architecture: Sequence[int]) -> None:
        self.module = module
        self.generator = torch.Generator().manual_seed(context.seed)
        self.wiring, self.state = module.begin([architecture] * STARTS, self.generator)
        (shown, self.labels), (asked, self.answers) = context.data.train.everything(), context.data.test.everything()
        shown, asked = ((x - module.shift) / module.scale for x in (shown, asked))
        self.shown = stack_inputs([shown] * STARTS, self.wiring, module.config.bias)
        self.queries = stack_inputs([asked] * STARTS, self.wiring, module.config.bias)
        self.lesson: Lesson | None = None
        if module.config.rule.senses != "none":
            self.lesson = make_lesson([Examples(shown, self.labels)] * STARTS, self.wiring, module.config.bias)

    def evolve(self, epochs: int) -> list[float]:
        """Mean accuracy after each epoch."""
        means = []
        for _ in range(epochs):
            self.state = self.module.evolve(self.state, self.wiring, 1, self.lesson, self.generator)
            means.append(float(self.accuracies().mean()))
        return means

    def delete(self, share: float) -> None:
        deleted = torch.rand(self.wiring.mask.shape, generator=self.generator) < share
        self.state = delete_weights(self.module, self.state, self.wiring, deleted)

    def widen(self, wiring: Wiring) -> None:
        """Go on in larger networks: new weights are at zero with fresh states, the others as they are."""
        wide = self.module.with_weights(torch.zeros(wiring.mask.shape), wiring, self.generator)
        new = wide.clone()
        layers, n, m = self.state.shape[1:4]
        kept = self.wiring.mask[..., None]
        new[:, :layers, :n, :m] = torch.where(kept, self.state, wide[:, :layers, :n, :m])
        self.state, self.wiring = new, wiring
        missing = wiring.mask.shape[2] - self.queries.shape[2]
        self.queries = torch.nn.functional.pad(self.queries, (0, missing))

    def accuracies(self, weights: Tensor | None = None) -> Tensor:
        """``[STARTS]``, of the networks as they are or with other weights ``[STARTS, L, N, M]``."""
        weights = self.state[..., 0] if weights is None else weights
        logits = read_logits(run_networks(weights, self.queries)[1], self.wiring)
        return (logits.argmax(-1) == self.answers).float().mean(1)

    def accuracies_by_adam(self) -> Tensor:
        """``[STARTS]``: of the networks as they are, trained by backpropagation instead."""
        return self.accuracies(train_by_adam(self.state[..., 0], self.wiring, self.shown, self.labels))


def _depths(context: ProbeContext, module: MetaNca) -> Findings:
    """Each architecture of the training, from thirty starts, by the rule and by Adam; and what usual learners reach."""
    meta, epochs = module.config.meta, module.config.epochs
    rows: list[dict[str, Any]] = []
    for layers in sorted({*meta.layers, module.config.layers}):
        for hidden in sorted({*meta.hidden, module.config.hidden}) if layers > 1 else (module.config.hidden,):
            trial = Trial(context, module, module.architecture(layers, hidden))
            adam = trial.accuracies_by_adam()
            trial.evolve(epochs)
            found = {**_mean_std(trial.accuracies()), **{f"adam_{k}": v for k, v in _mean_std(adam).items()}}
            rows.append({"layers": layers, "hidden": hidden if layers > 1 else None, **found})
    usual = usual_learners(context, STARTS)
    lines = [
        f"| {row['layers']} | {row['hidden'] or '-'} | {row['mean']:.2%} ± {row['std']:.2%} | "
        f"{row['adam_mean']:.2%} ± {row['adam_std']:.2%} |"
        for row in rows
    ]
    text = [
        f"Test accuracy from {STARTS} random starts (mean and standard deviation) after {epochs} epochs of the rule, "
        f"and after {ADAM_STEPS} steps of Adam at {ADAM_LR:g} on the same networks from the same starts, without rule; "
        f"these {len(context.data.test)} samples had no part in either:",
        "",
        "| layers | hidden units | by the rule | by Adam |",
        "|---|---|---|---|",
        *lines,
        "",
        f"On the same samples logistic regression reaches {usual['logistic']['mean']:.2%}, {STARTS} MLPs of 10 units "
        f"with biases by Adam {usual['mlp']['mean']:.2%} ± {usual['mlp']['std']:.2%}.",
    ]
    return Findings({"starts": rows, "usual": usual}, "\n".join(text), {})


def _mean_std(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std())}


def _damage(context: ProbeContext, module: MetaNca) -> Findings:
    """Delete weights of evolved networks, let the rule run on."""
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
        f"Weights deleted after {epochs} epochs (weight and hidden states as at a zero start), then the rule runs on. "
        f"Beside it the mean of {_MLPS} MLPs (10 hidden units, Adam) that lost the same share and stay as they are:",
        "",
        f"| deleted | before | damaged | {max(1, epochs // 4)} epochs later | {epochs} epochs later | MLP |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    curves = {name: [row[name] for row in rows] for name in ("before", "damaged", "after", "mlp")}
    save_png(draw_curves([100 * s for s in _DAMAGES], curves, "weights deleted (%)"), context.figures / _DAMAGE)
    caption = "Test accuracy before and after weights are deleted and after regrowth, means; MLPs do not regrow."
    return Findings({"damage": rows}, "\n".join(text), {_DAMAGE: caption})


def _damaged_mlps(context: ProbeContext) -> dict[float, float]:
    """Mean test accuracy of trained MLPs after a share of their weights was set to zero."""
    (inputs, labels), (asked, answers) = context.data.train.everything(), context.data.test.everything()
    noise = np.random.default_rng(context.seed)
    found: dict[float, list[float]] = {share: [] for share in _DAMAGES}
    for seed in range(_MLPS):
        scaled = make_mlp(seed).fit(inputs.numpy(), labels.numpy())
        mlp = scaled[-1]
        trained = mlp.coefs_
        for share in _DAMAGES:
            mlp.coefs_ = [weight * (noise.random(weight.shape) >= share) for weight in trained]
            found[share].append(float(scaled.score(asked.numpy(), answers.numpy())))
    return {share: float(np.mean(values)) for share, values in found.items()}


def _growth(context: ProbeContext, module: MetaNca) -> Findings:
    """Go on beyond the epochs of the training; where there are hidden layers, add units half way."""
    epochs, config = module.config.epochs, module.config
    curve = Trial(context, module, module.architecture()).evolve(3 * epochs)
    curves = {"undisturbed": curve}
    text = [
        f"Left to run on, these networks reach {curve[epochs - 1]:.2%} after {epochs} epochs (the training's), "
        f"{curve[2 * epochs - 1]:.2%} after {2 * epochs} and {curve[-1]:.2%} after {3 * epochs}."
    ]
    metrics: dict[str, Any] = {"accuracy_after_epochs": curve}
    if config.layers > 1:
        narrow, wide = config.hidden // 2, config.hidden
        trial = Trial(context, module, module.architecture(hidden=narrow))
        first = trial.evolve(epochs // 2)
        full, _ = module.begin([module.architecture(hidden=wide)] * STARTS, trial.generator)
        trial.widen(full)
        grown = [*first, *trial.evolve(3 * epochs - epochs // 2)]
        curves[f"{narrow} hidden units, {wide} from epoch {epochs // 2}"] = grown
        metrics["units_added"] = {"from": narrow, "to": wide, "epoch": epochs // 2, "accuracy_after_epochs": grown}
        text.append(
            f"Grown with {narrow} hidden units a layer and given {wide - narrow} more after {epochs // 2} epochs they "
            f"reach {grown[epochs - 1]:.2%} and {grown[2 * epochs - 1]:.2%}."
        )
    save_png(draw_curves(list(range(1, 3 * epochs + 1)), curves, "epoch", marked=epochs), context.figures / _LONG)
    caption = "Test accuracy over the epochs, mean of thirty starts; the dotted line is where training ends."
    return Findings(metrics, " ".join(text), {_LONG: caption})


def _unseen(context: ProbeContext, module: MetaNca) -> Findings:
    rows = measure_unseen(module, context.seed)
    lines = [
        f"| {row['data']} | {row['layers']} | {row['rule']:.2%} | {row['rule_std']:.2%} | {row['rule_long']:.2%} | "
        f"{row['knn']:.2%} | {row['logistic']:.2%} | {row['sgd']:.2%} |"
        for row in rows
    ]
    epochs = module.config.epochs
    text = [
        "On data that the meta-training never saw, from training examples alone, with labels permuted at random in "
        f"each of the splits (a fifth held out; {epochs} passes for rule and SGD):",
        "",
        f"| data | layers | rule | std | rule, {2 * epochs} passes | 5-NN | logistic regression | SGD |",
        "|---|---|---|---|---|---|---|---|",
        *lines,
    ]
    return Findings({"unseen": rows}, "\n".join(text), {})
