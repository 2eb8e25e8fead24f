"""How good a module is on one part of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import nn

import sdk
from zoo.splits import Split, evaluation_batches


@dataclass(frozen=True)
class Evaluation:
    """Counts over a part of the data set."""

    correct: int
    total: int
    loss: float
    """Mean cross-entropy."""

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.correct, self.total)


def evaluate(
    module: nn.Module, split: Split, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
) -> tuple[int, int, float]:
    """(correct, total, mean cross-entropy) of ``module(x) -> logits`` over a part, in evaluation mode.

    Process ``rank`` of ``world`` looks at its share only.
    """
    correct, total, loss = 0, 0, 0.0
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for inputs, labels in split.stream(evaluation_batches(len(split), batch_size, rank, world), device):
            logits = module(inputs)
            correct += int((logits.argmax(-1) == labels).sum())
            total += len(labels)
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    module.train(was_training)
    return correct, total, loss / max(1, total)


def evaluate_model(model: sdk.Model, split: Split, batch_size: int) -> Evaluation:
    """The same of a loaded model, through the SDK: raw inputs in, as a user would give them."""
    correct, loss = 0, 0.0
    for batch in evaluation_batches(len(split), batch_size):
        inputs, labels = split[batch]
        logits = torch.from_numpy(model.logits(inputs.numpy(), batch_size))
        correct += int((logits.argmax(-1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return Evaluation(correct, len(split), loss / max(1, len(split)))


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    centre = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return (centre - half) / scale, (centre + half) / scale
