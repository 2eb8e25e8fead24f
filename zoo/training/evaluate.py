"""Accuracy and loss of a module on a split."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split


def evaluate(
    module: nn.Module, split: Split, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
) -> tuple[int, int, float]:
    """Evaluate ``module(x) -> logits`` on a split, in eval mode; return (correct, total, mean cross-entropy).

    Process ``rank`` of ``world`` evaluates its share of the batches only.
    """
    total, right, losses = 0, [], []
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for inputs, labels in split.stream(evaluation_batches(len(split), batch_size, rank, world), device):
            logits = module(inputs)
            right.append((logits.argmax(-1) == labels).sum())
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            total += len(labels)
    module.train(was_training)
    if not total:
        return 0, 0, 0.0
    # Read back once, after the last batch, because the host waits for it.
    return sum(torch.stack(right).tolist()), total, sum(torch.stack(losses).tolist()) / total
