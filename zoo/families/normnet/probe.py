"""`zoo probe` of a normnet: the four claims in numbers for and against, with figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from zoo.families.normnet.claims import (
    FRACTIONS,
    THRESHOLD,
    Budget,
    Pruning,
    Sequel,
    choose_settings,
    measure_pruning,
    measure_sequel,
    measure_tasks,
    near_zero,
    pruning_curve,
    take_parts,
    twins,
)
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"norm": "#0072b2", "linear W/n": "#e69f00", "biased": "#009e73"}
_TOLERATED = 0.01
"""Accuracy that pruning may cost."""


@dataclass
class Measured:
    """One network's results, one item per seed."""

    rate: float
    hidden_scale: float
    pruning: list[Pruning] = field(default_factory=list)
    sequel: list[Sequel] = field(default_factory=list)
    tasks: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One line of the claims table: how to read a number off each seed, and which direction the claim says."""

    claim: str
    what: str
    values: Callable[[Measured], Sequence[float]]
    higher_is_better: bool
    show: Callable[[float], str]


def probe(context: ProbeContext, budget: Budget | None = None) -> Findings:
    """Measure the four claims on the model's config beside its two controls; the shipped weights are pruned too."""
    budget = budget or Budget()
    parts = take_parts(context.data, budget)
    results: dict[str, Measured] = {}
    for name, twin in twins(context.config).items():
        config, rate = choose_settings(twin, parts, budget)
        result = results[name] = Measured(rate, config.hidden_scale)
        for seed in budget.seeds:
            result.pruning.append(measure_pruning(config, parts, result.rate, seed, budget))
            result.sequel.append(measure_sequel(config, parts, result.rate, seed, budget))
            result.tasks.append(measure_tasks(config, parts, result.rate, seed, budget))
    shipped = pruning_curve(context.module, parts.test)
    _draw_pruning(results, shipped, context.figures / "pruning.png")
    _draw_sequel(results, budget, context.figures / "a_b_a.png")
    _draw_tasks(results, context.figures / "tasks.png")
    captions = {
        "pruning.png": "Accuracy against the share of weights that are pruned; bands span the seeds.",
        "a_b_a.png": "A, then B, then A again: validation accuracy on both, mean of the seeds.",
        "tasks.png": "One set of parameters for three tasks, beside a network for the first alone.",
    }
    rows = _rows(budget)
    metrics = _metrics(results, rows, shipped, near_zero(context.module))
    return Findings(metrics, _text(results, rows, shipped, budget), captions)


# --- what is read off ---


def prunable(curve: Sequence[float]) -> float:
    """The largest of ``FRACTIONS`` up to which accuracy stays within a point of the unpruned."""
    kept = 0.0
    for fraction, accuracy in zip(FRACTIONS, curve, strict=True):
        if accuracy < curve[0] - _TOLERATED:
            break
        kept = fraction
    return kept


def _rows(budget: Budget) -> list[Row]:
    at = FRACTIONS.index(0.9)
    percent, count, share = "{:.1%}".format, "{:.0f}".format, "{:.2f}".format

    def steps(value: int | None) -> float:
        return float(budget.task_steps if value is None else value)

    return [
        Row("base", "test accuracy, unpruned", lambda m: [p.curve[0] for p in m.pruning], True, percent),
        Row("1", "prunable within a point", lambda m: [prunable(p.curve) for p in m.pruning], True, percent),
        Row("1", "accuracy with 90 % pruned", lambda m: [p.curve[at] for p in m.pruning], True, percent),
        Row(
            "1", "near-zero connections gained in training",
            lambda m: [p.near_zero_after - p.near_zero_before for p in m.pruning], True, "{:+.1%}".format,
        ),
        Row("2", "steps to reach B after A", lambda m: [steps(s.steps_b) for s in m.sequel], False, count),
        Row(
            "2", "the same over B alone",
            lambda m: [steps(s.steps_b) / steps(s.steps_b_alone) for s in m.sequel], False, share,
        ),
        Row("2", "left of A after B", lambda m: [s.left_of_a for s in m.sequel], True, percent),
        Row("2", "left of A, among its own classes", lambda m: [s.left_among_a for s in m.sequel], True, percent),
        Row("3", "steps to reach A again", lambda m: [steps(s.steps_a_again) for s in m.sequel], False, count),
        Row(
            "3", "the same over the first time",
            lambda m: [steps(s.steps_a_again) / steps(s.steps_a) for s in m.sequel], False, share,
        ),
        Row("4", "mean accuracy on three tasks", lambda m: [mean(t) for t in m.tasks], True, percent),
        Row(
            "4", "what the first task loses by the others",
            lambda m: [p.curve[0] - t[0] for p, t in zip(m.pruning, m.tasks, strict=True)], False, "{:+.1%}".format,
        ),
    ]  # fmt: skip


def _metrics(results: dict[str, Measured], rows: list[Row], shipped: list[float], small: float) -> dict[str, Any]:
    """Means over the seeds by network and row, the curves, and what became of the shipped weights."""
    measured = {
        name: {
            "rate": result.rate,
            "hidden_scale": result.hidden_scale,
            **{f"{row.claim}: {row.what}": round(mean(row.values(result)), 4) for row in rows},
            "pruning_curve": [
                round(mean(column), 4) for column in zip(*(p.curve for p in result.pruning), strict=True)
            ],
            "unreached": _unreached(result),
        }
        for name, result in results.items()
    }
    weights = {"pruning_curve": [round(a, 4) for a in shipped], "near_zero": round(small, 4)}
    return {"seeds": len(results["norm"].pruning), "fractions": list(FRACTIONS), **measured, "shipped": weights}


def verdict(row: Row, results: dict[str, Measured]) -> str:
    """The norm network beside each control: ahead or behind where the seeds' ranges do not even touch."""
    ours = row.values(results["norm"])
    words = []
    for name in list(results)[1:]:
        theirs = row.values(results[name])
        if max(ours) < min(theirs) or min(ours) > max(theirs):
            better = (min(ours) > max(theirs)) == row.higher_is_better
            words.append(f"{'ahead of' if better else 'behind'} {name}")
        else:
            words.append(f"level with {name}")
    return ", ".join(words)


_INTRODUCTION = """The four claims, each beside the same network with W for tan W and one with biases: 1
connections drop out by gradient descent, 2 layers without biases transfer, 3 an earlier minimum is found again,
4 one set of parameters serves several tasks.

{seeds} seeds; {samples:,} training and up to {held:,} test samples, batches of {batch}, Adam; rate and hidden
scale of each are those of {trials} that did best on validation in {trial_steps} steps, the mean of {trial_seeds}
seeds ({chosen}).
{steps} steps, and for claims 2 and 3 {task_steps} each at a constant rate for A (the first half of the classes),
B (the other) and A again; a task counts as reached at {threshold:.0%} on validation. These are small trainings:
compare columns, not the numbers with the model's own accuracy.
"""
_REMARKS = """
Mean and standard deviation over the seeds; "ahead" or "behind" is said only where the seeds' ranges do not
touch. A task that was not reached counts as {task_steps} steps ({unreached}).

The shipped weights keep {half:.1%} with half of each layer pruned and {most:.1%} with 90 % (unpruned, on the
same samples: {whole:.1%}).
"""


def _text(results: dict[str, Measured], rows: list[Row], shipped: list[float], budget: Budget) -> str:
    chosen = ", ".join(f"{name} {result.rate:g} and {result.hidden_scale:g}" for name, result in results.items())
    unreached = ", ".join(f"{name} {_unreached(result)} times" for name, result in results.items())
    table = [
        f"| claim | measured | {' | '.join(results)} | norm is |",
        f"|---|---|{'---|' * len(results)}---|",
    ]
    for row in rows:
        cells = [_cell(row.values(result), row.show) for result in results.values()]
        table.append(f"| {row.claim} | {row.what} | {' | '.join(cells)} | {verdict(row, results)} |")
    introduction = _INTRODUCTION.format(
        **budget.__dict__ | {"seeds": len(budget.seeds)},
        trials=f"{len(budget.rates)} rates and {len(budget.factors)} scales", chosen=chosen, threshold=THRESHOLD,
    )  # fmt: skip
    half, most = (shipped[FRACTIONS.index(fraction)] for fraction in (0.5, 0.9))
    remarks = _REMARKS.format(
        task_steps=budget.task_steps, unreached=unreached, half=half, most=most, whole=shipped[0]
    )  # fmt: skip
    return "\n".join([introduction, *table, remarks])


def _unreached(result: Measured) -> int:
    return sum(v is None for s in result.sequel for v in (s.steps_a, s.steps_b, s.steps_b_alone, s.steps_a_again))


def _cell(values: Sequence[float], show: Callable[[float], str]) -> str:
    spread = f" ± {show(stdev(values)).lstrip('+')}" if len(values) > 1 else ""
    return show(mean(values)) + spread


# --- figures ---


def _canvas(columns: int, width: float = 4.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * columns, 3.4), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axis in axes:
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy")
    return figure, list(axes)


def _draw_pruning(results: dict[str, Measured], shipped: list[float], path: Path) -> None:
    figure, [axis] = _canvas(1, 6)
    for name, result in results.items():
        columns = list(zip(*(p.curve for p in result.pruning), strict=True))
        lows, highs = [min(c) for c in columns], [max(c) for c in columns]
        axis.fill_between(FRACTIONS, lows, highs, color=_COLOURS[name], alpha=0.2)
        axis.plot(FRACTIONS, [mean(c) for c in columns], color=_COLOURS[name], marker=".", label=name)
    axis.plot(FRACTIONS, shipped, color="black", linestyle="--", label="the shipped weights")
    axis.set_xlabel("share of each layer's weights pruned")
    axis.legend(loc="lower left", frameon=False)
    save_png(figure, path)


def _draw_sequel(results: dict[str, Measured], budget: Budget, path: Path) -> None:
    figure, axes = _canvas(len(results))
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        for task, style in (("a", "-"), ("b", "--")):
            curve = [mean(c) for c in zip(*(s.curves[task] for s in result.sequel), strict=True)]
            steps = [budget.check_every * (i + 1) for i in range(len(curve))]
            axis.plot(steps, curve, style, color=_COLOURS[name], label=task.upper())
        for border in (1, 2):
            axis.axvline(border * budget.task_steps, color="grey", linewidth=0.8)
        axis.set_title(name)
        axis.set_xlabel("steps: A | B | A")
    axes[0].legend(loc="lower left", frameon=False)
    save_png(figure, path)


def _draw_tasks(results: dict[str, Measured], path: Path) -> None:
    figure, [axis] = _canvas(1, 6)
    width = 0.8 / len(results)
    for number, (name, result) in enumerate(results.items()):
        alone = [p.curve[0] for p in result.pruning]
        groups = [alone, *zip(*result.tasks, strict=True)]
        places = [i + (number - (len(results) - 1) / 2) * width for i in range(len(groups))]
        spread = [[mean(g) - min(g) for g in groups], [max(g) - mean(g) for g in groups]]
        axis.bar(places, [mean(g) for g in groups], width, yerr=spread, color=_COLOURS[name], label=name, capsize=2)
    axis.set_xticks(range(4), ["first task alone", "first of three", "second", "third"])
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(results), frameon=False)
    save_png(figure, path)
