"""The probe of a normnet: the four claims, in numbers for and against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, stdev
from typing import Any

from zoo.families.normnet.claims import (
    FRACTIONS,
    THRESHOLD,
    Budget,
    Pruning,
    Setting,
    choose_settings,
    measure_pruning,
    measure_tasks,
    near_zero,
    pruning_curve,
    sweep,
    take_parts,
    twins,
)
from zoo.families.normnet.figures import draw_pruning, draw_sweep, draw_tasks
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

_TOLERATED = 0.01
"""Accuracy that pruning may cost."""
_INTRODUCTION = """Each of the four claims, beside the same network with W for tan W and one with biases:

1. connections drop out by gradient descent,
2. layers without biases transfer,
3. training finds an earlier minimum again,
4. one set of parameters serves several tasks.

{seeds} seeds; {samples:,} training and up to {held:,} test samples, batches of {batch}, Adam. For claims 1 and 4 each
network has the rate and the hidden scale, of {trials}, that do best on validation in {trial_steps} steps, by the mean
of {trial_seeds} seeds ({chosen}), and trains for {steps} steps. Claims 2 and 3 are measured at every one of these rates
and scales, with {sweep_seeds} seeds each: {task_steps} steps, at a constant rate, on A (the first half of the classes),
then on B (the other half) and on A again. A task counts as reached at {threshold:.0%} on validation. These are small
trainings: compare the columns with each other, not with the model's own accuracy.
"""
_REMARKS = """
Claims 1 and 4: mean and standard deviation over the seeds. Claims 2 and 3: median and range over the settings at which
A and B are learned. A network is "ahead" or "behind" only if the ranges do not overlap, so a lead at one rate and scale
that another setting takes back counts as level. A task that is never reached counts as {task_steps} steps.

The shipped weights reach {half:.1%} with half of each layer pruned and {most:.1%} with 90 % pruned (unpruned, on the
same samples: {whole:.1%}).
"""


@dataclass
class Measured:
    """One network's results: one item per seed, and for claims 2 and 3 one per setting."""

    rate: float
    hidden_scale: float
    pruning: list[Pruning] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    """Claims 2 and 3 at every rate and scale."""
    tasks: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One row of the table of claims."""

    claim: str
    quantity: str
    """The name of the number, in the table and as a key of the metrics."""
    values: Callable[[Measured], Sequence[float]]
    """Reads the number of each seed."""
    higher_is_better: bool
    """The direction that the claim predicts."""
    show: Callable[[float], str]
    over_settings: bool = False
    """True if the numbers are those of settings, the mean of their seeds, instead of those of seeds."""


def probe(context: ProbeContext, budget: Budget | None = None) -> Findings:
    """Measure the four claims on the model's config and its two controls, and prune the shipped weights."""
    budget = budget or Budget()
    parts = take_parts(context.data, budget)
    results: dict[str, Measured] = {}
    for name, twin in twins(context.config).items():
        config, rate = choose_settings(twin, parts, budget)
        result = results[name] = Measured(rate, config.hidden_scale)
        for seed in budget.seeds:
            result.pruning.append(measure_pruning(config, parts, result.rate, seed, budget))
            result.tasks.append(measure_tasks(config, parts, result.rate, seed, budget))
        result.settings = sweep(twin, parts, budget)
    shipped = pruning_curve(context.module, parts.test)
    prunings = {name: result.pruning for name, result in results.items()}
    settings = {name: result.settings for name, result in results.items()}
    tasks = {name: result.tasks for name, result in results.items()}
    save_png(draw_pruning(prunings, shipped), context.figures / "pruning.png")
    save_png(draw_sweep(settings), context.figures / "a_b_a.png")
    save_png(draw_tasks(prunings, tasks), context.figures / "tasks.png")
    captions = {
        "pruning.png": "Test accuracy against the fraction of weights that are pruned; bands span the seeds.",
        "a_b_a.png": "A, then B, then A again, at every rate (horizontal) and hidden scale (a line each): accuracy on "
        "A that is left after B among A's classes, and steps to reach A again. A setting that does not learn is open.",
        "tasks.png": "One set of parameters for three tasks, beside a network for the first task alone.",
    }
    rows = _rows(budget)
    metrics = _metrics(results, rows, shipped, near_zero(context.module), budget)
    return Findings(metrics, _text(results, rows, shipped, budget), captions)


def prunable(curve: Sequence[float]) -> float:
    """Return the largest of ``FRACTIONS`` up to which accuracy stays within a point of the unpruned accuracy."""
    largest = 0.0
    for fraction, accuracy in zip(FRACTIONS, curve, strict=True):
        if accuracy < curve[0] - _TOLERATED:
            break
        largest = fraction
    return largest


def verdict(row: Row, results: dict[str, Measured]) -> str:
    """Compare the norm network with each control: ahead or behind only if the ranges do not overlap.

    The ranges are those of the seeds or, for claims 2 and 3, those of the settings.
    """
    ours = row.values(results["norm"])
    parts = []
    for name in list(results)[1:]:
        theirs = row.values(results[name])
        if not ours or not theirs:
            parts.append(f"not comparable with {name}")
        elif max(ours) < min(theirs) or min(ours) > max(theirs):
            better = (min(ours) > max(theirs)) == row.higher_is_better
            parts.append(f"{'ahead of' if better else 'behind'} {name}")
        else:
            parts.append(f"level with {name}")
    return ", ".join(parts)


def _of_setting(setting: Setting, budget: Budget) -> dict[str, list[float]]:
    """Return the numbers of claims 2 and 3 at one setting, one per seed; what is never reached counts as all steps."""

    def steps(value: int | None) -> float:
        return float(budget.task_steps if value is None else value)

    found = setting.sequels
    return {
        "steps_b": [steps(s.steps_b) for s in found],
        "ratio_b": [steps(s.steps_b) / steps(s.steps_b_alone) for s in found],
        "left_of_a": [s.left_of_a for s in found],
        "left_among_a": [s.left_among_a for s in found],
        "steps_a_again": [steps(s.steps_a_again) for s in found],
        "ratio_a": [steps(s.steps_a_again) / steps(s.steps_a) for s in found],
    }


def _rows(budget: Budget) -> list[Row]:
    at = FRACTIONS.index(0.9)
    percent, count, share = "{:.1%}".format, "{:.0f}".format, "{:.2f}".format

    def across(claim: str, quantity: str, key: str, higher: bool, show: Callable[[float], str]) -> Row:
        def values(m: Measured) -> list[float]:
            return [mean(_of_setting(one, budget)[key]) for one in m.settings if one.learns]

        return Row(claim, quantity, values, higher, show, over_settings=True)

    return [
        Row("base", "test accuracy, unpruned", lambda m: [p.curve[0] for p in m.pruning], True, percent),
        Row("1", "prunable within a point", lambda m: [prunable(p.curve) for p in m.pruning], True, percent),
        Row("1", "accuracy with 90 % pruned", lambda m: [p.curve[at] for p in m.pruning], True, percent),
        Row(
            "1", "near-zero connections gained in training",
            lambda m: [p.near_zero_after - p.near_zero_before for p in m.pruning], True, "{:+.1%}".format,
        ),
        Row("2, 3", "settings at which A and B are learned",
            lambda m: [float(sum(s.learns for s in m.settings))], True, count),
        across("2", "steps to reach B after A", "steps_b", False, count),
        across("2", "the same over B alone", "ratio_b", False, share),
        across("2", "left of A after B", "left_of_a", True, percent),
        across("2", "left of A, among its own classes", "left_among_a", True, percent),
        across("3", "steps to reach A again", "steps_a_again", False, count),
        across("3", "the same over the first time", "ratio_a", False, share),
        Row("4", "mean accuracy on three tasks", lambda m: [mean(t) for t in m.tasks], True, percent),
        Row(
            "4", "what the first task loses by the others",
            lambda m: [p.curve[0] - t[0] for p, t in zip(m.pruning, m.tasks, strict=True)], False, "{:+.1%}".format,
        ),
    ]  # fmt: skip


def _metrics(
    results: dict[str, Measured], rows: list[Row], shipped: list[float], small: float, budget: Budget
) -> dict[str, Any]:
    """Return means over the seeds by network and row, the curves, and the results of the shipped weights."""
    measured = {
        name: {
            "rate": result.rate,
            "hidden_scale": result.hidden_scale,
            **{
                f"{row.claim}: {row.quantity}": round(mean(values), 4) for row in rows if (values := row.values(result))
            },
            "pruning_curve": [
                round(mean(column), 4) for column in zip(*(p.curve for p in result.pruning), strict=True)
            ],
            "settings": [
                {
                    "rate": one.rate,
                    "hidden_scale": one.hidden_scale,
                    "learns": one.learns,
                    **{key: round(mean(values), 4) for key, values in _of_setting(one, budget).items()},
                }
                for one in result.settings
            ],
        }
        for name, result in results.items()
    }
    weights = {"pruning_curve": [round(a, 4) for a in shipped], "near_zero": round(small, 4)}
    return {"seeds": len(results["norm"].pruning), "fractions": list(FRACTIONS), **measured, "shipped": weights}


def _text(results: dict[str, Measured], rows: list[Row], shipped: list[float], budget: Budget) -> str:
    chosen = ", ".join(f"{name} {result.rate:g} and {result.hidden_scale:g}" for name, result in results.items())
    table = [
        f"| claim | measured | {' | '.join(results)} | norm is |",
        f"|---|---|{'---|' * len(results)}---|",
    ]
    for row in rows:
        cells = [_cell(row, result) for result in results.values()]
        table.append(f"| {row.claim} | {row.quantity} | {' | '.join(cells)} | {verdict(row, results)} |")
    introduction = _INTRODUCTION.format(
        **budget.__dict__ | {"seeds": len(budget.seeds)},
        trials=f"{len(budget.rates)} rates and {len(budget.factors)} scales", chosen=chosen, threshold=THRESHOLD,
    )  # fmt: skip
    half, most = (shipped[FRACTIONS.index(fraction)] for fraction in (0.5, 0.9))
    remarks = _REMARKS.format(
        task_steps=budget.task_steps, half=half, most=most, whole=shipped[0]
    )  # fmt: skip
    return "\n".join([introduction, *table, remarks])


def _cell(row: Row, result: Measured) -> str:
    """Return mean and deviation over the seeds; for claims 2 and 3 the median and the range over the settings."""
    values, show = row.values(result), row.show
    if row.over_settings:
        return f"{show(median(values))} ({show(min(values))} to {show(max(values))})" if values else "none"
    spread = f" ± {show(stdev(values)).lstrip('+')}" if len(values) > 1 else ""
    return show(mean(values)) + spread
