"""What the growing network is measured beside: layered networks of the same widths, dense, masked and pruned."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout

_LR = 1e-3
Batches = Callable[[int], "list[tuple[Tensor, Tensor]]"]
"""The training batches of an epoch."""


def dense(layout: Layout, config: SnapshotsConfig) -> nn.Sequential:
    """A fully connected network of these widths and this activation."""
    activation = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}[config.activation]
    layers: list[nn.Module] = [nn.Flatten()]
    for number in range(1, layout.output + 1):
        layers += [nn.Linear(layout.widths[number - 1], layout.widths[number]), activation()]
    return nn.Sequential(*layers[:-1])


def linears(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Its weights, as torch.nn.utils.prune takes them."""
    return [(layer, "weight") for layer in module.modules() if isinstance(layer, nn.Linear)]


def mask_randomly(module: nn.Module, edges: int) -> None:
    """Keep so many weights, drawn from each layer in proportion to its size, scaled up for the smaller fan-in."""
    sizes = [layer.weight.numel() for layer, _ in linears(module)]  # type: ignore[union-attr,operator]
    for (layer, name), size in zip(linears(module), sizes, strict=True):
        kept = max(1, round(edges * size / sum(sizes)))  # type: ignore[arg-type]
        with torch.no_grad():
            layer.weight *= (size / kept) ** 0.5  # type: ignore[operator]
        prune.random_unstructured(layer, name, amount=int(size) - kept)  # type: ignore[no-untyped-call,operator]


def prune_smallest(module: nn.Module, edges: int) -> None:
    """Keep so many weights, the largest of the whole network."""
    total = sum(int(layer.weight.numel()) for layer, _ in linears(module))  # type: ignore[union-attr,operator,arg-type]
    prune.global_unstructured(linears(module), prune.L1Unstructured, amount=total - edges)  # type: ignore[no-untyped-call]


def fit(module: nn.Module, batches: Batches, epochs: int) -> nn.Module:
    """Train with Adam and a learning rate that falls to 0 along a line; in evaluation mode afterwards."""
    optimizer = torch.optim.Adam(module.parameters(), lr=_LR)
    for epoch in range(epochs):
        found = batches(epoch)
        for number, (inputs, labels) in enumerate(found):
            for group in optimizer.param_groups:
                group["lr"] = _LR * (1 - (epoch + number / len(found)) / epochs)
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), labels).backward()
            optimizer.step()
    return module.eval()
