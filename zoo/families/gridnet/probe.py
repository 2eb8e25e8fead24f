"""The probe of a gridnet: activity inside the grid, accuracy by the number of steps, and confusions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdk.plot.gridnet import activity_caption, draw_activity
from zoo.data.sampling import evaluation_batches
from zoo.families.gridnet.figures import draw_confusion, draw_steps
from zoo.families.gridnet.model import Gridnet
from zoo.families.probing import Findings, ProbeContext
from zoo.utils.figures import save_png
from zoo.utils.markdown import plain

_SAMPLES = 256  # of the validation split, to see the differences between inputs


@dataclass(frozen=True)
class _Counts:
    """Counts over the test split."""

    correct: list[int]
    """Correct predictions after 0, 1, ... outer steps."""
    confusion: Tensor
    """``[true, predicted]`` after the trained outer steps."""

    @property
    def total(self) -> int:
        return int(self.confusion.sum())


def probe(context: ProbeContext) -> Findings:
    """Measure on the test split and draw activity.png, steps.png and confusion.png.

    The states that are drawn are those of validation samples.
    """
    module, trained = context.module, context.config.outer_steps
    assert isinstance(module, Gridnet)
    with torch.inference_mode():
        states = _states(module, context)
        counts = _count(module, context)
    accuracies = [correct / counts.total for correct in counts.correct]
    save_png(draw_activity(torch.stack(states).numpy()), context.figures / "activity.png")
    save_png(draw_steps(states, accuracies, trained), context.figures / "steps.png")
    save_png(draw_confusion(counts.confusion, context.data.labels), context.figures / "confusion.png")
    return Findings(
        metrics={
            "accuracy_after_outer_steps": accuracies,
            "accuracy_of_classes": (counts.confusion.diag() / counts.confusion.sum(1).clamp(min=1)).tolist(),
        },
        text=_text(accuracies, counts.confusion, context),
        figures={
            "activity.png": activity_caption(*module.config.faces(context.task.input_shape[0])),
            "steps.png": "Left: standard deviation of each face's values across inputs after each outer step, relative "
            "to the largest of that step. Right: test accuracy when the classes are read after fewer or more outer "
            f"steps than the {trained} of training.",
            "confusion.png": "Test samples by true class and predicted class.",
        },
    )


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
            predicted = module.read(grid).argmax(-1)
            correct[steps] += int((predicted == labels).sum())
            if steps == module.config.outer_steps:
                confusion.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)
    return _Counts(correct, confusion)


def _steps(module: Gridnet) -> int:
    """Number of outer steps to measure: twice the trained ones, unless each has parameters of its own."""
    trained = module.config.outer_steps
    return trained if module.config.separate_params else 2 * trained


def _text(accuracies: list[float], confusion: Tensor, context: ProbeContext) -> str:
    trained, labels = context.config.outer_steps, context.data.labels
    mistakes = confusion - confusion.diag().diag()
    worst = int(mistakes.argmax())
    true, predicted = divmod(worst, len(labels))
    around = sorted({trained - 2, trained - 1, trained + 1, trained + 2, 2 * trained})
    others = ", ".join(f"{accuracies[steps]:.2%} after {steps}" for steps in around if 0 < steps < len(accuracies))
    lines = [f"The classes are read after {trained} outer steps, with a test accuracy of {accuracies[trained]:.2%}."]
    if others:
        lines[0] += f" Read earlier or later by the same readout, the test accuracy is {others}."
    if mistakes.sum():
        lines.append(
            f"Of {int(mistakes.sum())} mistakes among {int(confusion.sum())} test samples, the most frequent is "
            f"{plain(labels[true])} predicted as {plain(labels[predicted])} ({int(mistakes.flatten()[worst])} times)."
        )
    return "\n\n".join(lines)
