"""A look inside a trained gridnet: how the picture travels, what more or fewer steps do, what is taken for what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from zoo.data.sampling import evaluation_batches
from zoo.families.gridnet.model import Gridnet
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png

_SAMPLES = 256  # of the validation part, to see what differs between inputs
_SHOWN = 7  # at most so many states and faces of the grid in the figure
_NUMBERED = 20  # the confusion matrix of so many classes has its counts written in


@dataclass(frozen=True)
class _Counts:
    """Over the test part: right answers after 0, 1, ... outer steps; ``[true, predicted]`` after the trained ones."""

    correct: list[int]
    confusion: Tensor

    @property
    def total(self) -> int:
        return int(self.confusion.sum())


def probe(context: ProbeContext) -> Findings:
    """Draws activity.png, steps.png and confusion.png; numbers are of the test part, pictures of validation samples."""
    module, trained = context.module, context.config.outer_steps
    assert isinstance(module, Gridnet)
    with torch.inference_mode():
        states = _states(module, context)
        counts = _count(module, context)
    save_png(_draw_activity(states, trained), context.figures / "activity.png")
    save_png(_draw_steps(states, counts, trained), context.figures / "steps.png")
    save_png(_draw_confusion(counts.confusion, context.data.labels), context.figures / "confusion.png")
    accuracies = [correct / counts.total for correct in counts.correct]
    return Findings(
        metrics={
            "accuracy_after_outer_steps": accuracies,
            "accuracy_of_classes": (counts.confusion.diag() / counts.confusion.sum(1).clamp(min=1)).tolist(),
        },
        text=_text(accuracies, counts.confusion, context),
        figures={
            "activity.png": "Inside the grid, one face per column and outer steps downwards, each step in units of its "
            "own largest values: one validation sample (left), and how it differs from the mean of many (right). The "
            "picture enters at k = 0 and the classes are read off at the other end.",
            "steps.png": "How much the values of each face differ between inputs after each outer step (left, in units "
            "of the largest of the step), and the test accuracy when the classes are read after fewer or more outer "
            f"steps than the {trained} of the training (right).",
            "confusion.png": "Test samples by their class and by what the network took them for.",
        },
    )


def _steps(module: Gridnet) -> int:
    """How many outer steps are looked at: twice the trained ones, unless each has parameters of its own."""
    trained = module.config.outer_steps
    return trained if module.config.separate_params else 2 * trained


def _states(module: Gridnet, context: ProbeContext) -> list[Tensor]:
    """The grids ``[samples, M, N, K]`` of some validation samples before and after each trained outer step."""
    part = context.data.validation
    count = min(_SAMPLES, len(part))
    inputs, _ = next(part.stream(evaluation_batches(count, count), torch.device("cpu")))
    states = [module.embed(inputs)]
    for number in range(module.config.outer_steps):
        states.append(module.outer_step(states[-1], number))
    return states


def _count(module: Gridnet, context: ProbeContext) -> _Counts:
    test, classes = context.data.test, context.task.num_classes
    correct = [0] * (_steps(module) + 1)
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    for inputs, labels in test.stream(evaluation_batches(len(test), 256), torch.device("cpu")):
        grid = module.embed(inputs)
        for steps in range(len(correct)):
            if steps:
                grid = module.outer_step(grid, steps - 1)
            found = module.read(grid).argmax(-1)
            correct[steps] += int((found == labels).sum())
            if steps == module.config.outer_steps:
                confusion.index_put_((labels, found), torch.ones_like(labels), accumulate=True)
    return _Counts(correct, confusion)


def _text(accuracies: list[float], confusion: Tensor, context: ProbeContext) -> str:
    trained, labels = context.config.outer_steps, context.data.labels
    mistakes = confusion - confusion.diag().diag()
    worst = int(mistakes.argmax())
    true, taken = divmod(worst, len(labels))
    around = [steps for steps in (trained - 2, trained - 1, trained + 1, trained + 2, 2 * trained) if steps > 0]
    others = ", ".join(f"{accuracies[steps]:.2%} after {steps}" for steps in around if steps < len(accuracies))
    lines = [
        f"The classes are read after {trained} outer steps, with a test accuracy of {accuracies[trained]:.2%}. "
        f"Read at other times by the same readout it is {others}."
    ]
    if mistakes.sum():
        lines.append(
            f"Of {int(mistakes.sum())} mistakes among {int(confusion.sum())} test samples the most frequent is "
            f"{labels[true]} taken for {labels[taken]} ({int(mistakes.flatten()[worst])} times)."
        )
    return "\n\n".join(lines)


# --- figures ---


def _spread(count: int) -> list[int]:
    """At most ``_SHOWN`` indices out of ``count``, evenly, the first and the last among them."""
    if count <= _SHOWN:
        return list(range(count))
    return [round(i * (count - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]


def _draw_activity(states: list[Tensor], trained: int) -> Figure:
    rows, faces = _spread(trained + 1), _spread(states[0].shape[-1])
    figure = Figure(figsize=(9, 0.6 + 4.2 * len(rows) / len(faces)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    values = [_in_units(states[step][0]) for step in rows]
    differences = [_in_units(states[step][0] - states[step].mean(0)) for step in rows]
    for axes, grids, title in ((left, values, "values"), (right, differences, "difference from the mean")):
        height, width = grids[0].shape[:2]
        axes.imshow(_mosaic(grids, faces).numpy(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(title)
        axes.set_xticks([(i + 0.5) * (width + 1) for i in range(len(faces))], [f"k={face}" for face in faces])
        axes.set_yticks([(i + 0.5) * (height + 1) for i in range(len(rows))], [f"step {step}" for step in rows])
        axes.tick_params(length=0)
    return figure


def _in_units(grid: Tensor) -> Tensor:
    """Divided by the size that one value in a hundred exceeds."""
    return grid / grid.abs().flatten().quantile(0.99).clamp(min=1e-12)


def _mosaic(grids: list[Tensor], faces: list[int]) -> Tensor:
    """``[M, N]`` faces of the grids ``[M, N, K]`` as one picture: a grid per row, a face per column."""
    rows = [torch.cat([torch.nn.functional.pad(grid[..., face], (0, 1, 0, 1)) for face in faces], 1) for grid in grids]
    return torch.cat(rows)


def _draw_steps(states: list[Tensor], counts: _Counts, trained: int) -> Figure:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    spread = torch.stack([state.std(0).mean((0, 1)) for state in states], 1)
    shares = (spread / spread.amax(0)).numpy()
    picture = left.imshow(shares, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
    left.set(xlabel="outer steps", ylabel="face k", title="difference between inputs")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(picture, ax=left)
    right.plot(range(len(counts.correct)), [100 * correct / counts.total for correct in counts.correct], ".-")
    right.axvline(trained, color="tab:red", linestyle="--", label="as trained")
    right.set(xlabel="outer steps", ylabel="test accuracy in %", title="read earlier or later", ylim=(0, 103))
    right.legend()
    return figure


def _draw_confusion(confusion: Tensor, labels: list[str]) -> Figure:
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    mistakes = shares - shares.diag().diag()
    axes.imshow(mistakes.numpy(), cmap="Reds", interpolation="nearest")
    axes.set(xlabel="taken for", ylabel="class")
    if len(labels) <= _NUMBERED:
        axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 2 else 0)
        axes.set_yticks(range(len(labels)), labels)
        for true, row in enumerate(confusion.tolist()):
            for taken, count in enumerate(row):
                if count:
                    dark = mistakes[true, taken] > 0.6 * mistakes.max()
                    axes.text(taken, true, str(count), ha="center", va="center", fontsize="x-small",
                              color="white" if dark else "black")  # fmt: skip
    return figure
