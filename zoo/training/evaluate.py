"""Accuracy and loss of a module on a split."""

from __future__ import annotations

import torch
from torch import nn

from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.families.objective import Objective


def evaluate(
    module: nn.Module,
    split: Split,
    objective: Objective,
    batch_size: int,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
) -> tuple[int, int, float]:
    """Evaluate ``module(x) -> outputs`` on a split, in eval mode; return (correct, total, mean loss).

    Process ``rank`` of ``world`` evaluates its share of the batches only.
    """
    total, right, losses = 0, [], []
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for inputs, labels in split.stream(evaluation_batches(len(split), batch_size, rank, world), device):
            outputs, target = module(inputs), objective.target(inputs, labels)
            right.append(objective.right(outputs, target).sum())
            losses.append(objective.loss(outputs, target, "sum"))
            total += len(labels)
    module.train(was_training)
    if not total:
        return 0, 0, 0.0
    # Read back once, after the last batch, because the host waits for it.
    return sum(torch.stack(right).tolist()), total, sum(torch.stack(losses).tolist()) / total
