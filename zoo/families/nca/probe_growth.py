"""Evolutions that are longer than in training, and networks that get new units or layers half way."""

from __future__ import annotations

from typing import Any

from zoo.families.nca.figures import draw_curves
from zoo.families.nca.model import MetaNca
from zoo.families.nca.trial import STARTS, Trial
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

_LONG = "epochs.png"


def measure_growth(context: ProbeContext, module: MetaNca) -> Findings:
    """Evolve beyond the training's epochs; in networks with hidden layers, also add units and layers half way."""
    epochs, config = module.config.epochs, module.config
    curve = Trial(context, module, module.architecture()).evolve(3 * epochs)
    curves = {"undisturbed": curve}
    sentences = [
        f"Left to run, these networks reach {curve[epochs - 1]:.2%} after {epochs} epochs (the training's), "
        f"{curve[2 * epochs - 1]:.2%} after {2 * epochs} and {curve[-1]:.2%} after {3 * epochs}."
    ]
    table: list[str] = []
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
        sentences.append(
            f"Grown with {narrow} hidden units per layer and given {wide - narrow} more after {epochs // 2} epochs, "
            f"they reach {grown[epochs - 1]:.2%} and {grown[2 * epochs - 1]:.2%}."
        )
    if config.layers > 2:
        rows, curves[f"{config.layers - 1} layers, {config.layers} from epoch {epochs // 2}"] = _layers(context, module)
        metrics["layers_added"] = {"epoch": epochs // 2, "rows": rows}
        table = _table(rows, epochs)
    save_png(draw_curves(list(range(1, 3 * epochs + 1)), curves, "epoch", marked=epochs), context.figures / _LONG)
    caption = "Mean test accuracy of thirty starts over the epochs; the dotted line marks the end of training."
    return Findings(metrics, "\n".join([" ".join(sentences), *table]), {_LONG: caption})


def _layers(context: ProbeContext, module: MetaNca) -> tuple[list[dict[str, Any]], list[float]]:
    """Insert a layer half way, behind every hidden layer, for every depth of the training beyond two.

    Returns a row per depth and place, and the accuracy of the exported depth over the epochs, with a new layer before
    its last.
    """
    epochs, config = module.config.epochs, module.config
    rows: list[dict[str, Any]] = []
    curve: list[float] = []
    for layers in sorted({*config.meta.layers, config.layers} - {1, 2}):
        for place in range(1, layers - 1):
            trial = Trial(context, module, module.architecture(layers - 1))
            before = trial.evolve(epochs // 2)
            trial.deepen(module.architecture(layers), place)
            inserted = float(trial.accuracies().mean())
            after = trial.evolve(3 * epochs - epochs // 2)
            rows.append(
                {
                    "layers": layers,
                    "place": place,
                    "before": before[-1],
                    "inserted": inserted,
                    "at_epochs": after[epochs - epochs // 2 - 1],
                    "at_twice": after[2 * epochs - epochs // 2 - 1],
                }
            )
            curve = [*before, *after] if layers == config.layers else curve
    return rows, curve


def _table(rows: list[dict[str, Any]], epochs: int) -> list[str]:
    shares = ("before", "inserted", "at_epochs", "at_twice")
    lines = [
        f"| {row['layers'] - 1} to {row['layers']} | {row['place'] + 1} | "
        + " | ".join(f"{row[share]:.2%}" for share in shares)
        + " |"
        for row in rows
    ]
    return [
        "",
        f"A layer of weights inserted after {epochs // 2} epochs, as it is at a start:",
        "",
        f"| layers | the new one | before | right after | epoch {epochs} | epoch {2 * epochs} |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
