"""Baselines of the growing network: layered networks of the same widths, dense, masked at random and pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
"""The training batches of an epoch (from 0)."""
_LR = 1e-3


def dense(layout: Layout, config: SnapshotsConfig) -> nn.Sequential:
    """Return a fully connected network with the layout's widths and the config's activation."""
    activation = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}[config.activation]
    layers: list[nn.Module] = [nn.Flatten()]
    for number in range(1, layout.output + 1):
        layers += [nn.Linear(layout.widths[number - 1], layout.widths[number]), activation()]
    return nn.Sequential(*layers[:-1])


def mask_randomly(module: nn.Module, edges: int) -> None:
    """Leave ``edges`` random weights, spread over layers by size and scaled up for the smaller fan-in."""
    total = sum(layer.weight.numel() for layer in _linears(module))
    for layer in _linears(module):
        size = layer.weight.numel()
        left = max(1, round(edges * size / total))
        with torch.no_grad():
            layer.weight.mul_((size / left) ** 0.5)
        prune.random_unstructured(layer, "weight", amount=size - left)  # type: ignore[no-untyped-call]


def prune_smallest(module: nn.Module, edges: int) -> None:
    """Leave the ``edges`` weights of largest magnitude in the whole network."""
    layers = _linears(module)
    total = sum(layer.weight.numel() for layer in layers)
    pairs = [(layer, "weight") for layer in layers]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=total - edges)


def fit(module: nn.Module, batches: Batches, per_epoch: int, epochs: int) -> nn.Module:
    """Train with Adam and a learning rate that falls linearly to 0; return the module in evaluation mode."""
    optimizer = torch.optim.Adam(module.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=per_epoch * epochs)
    module.train()
    for epoch in range(epochs):
        for inputs, labels in batches(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return module.eval()


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
