"""Sparse training of ordinary layers: masks over their weights, and the three ways in which the masks change.

The weights stay dense tensors, in which an edge that does not exist is exactly 0. Sources: Zhu and Gupta, "To prune, or
not to prune" (2017); Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity"
(2018); Evci et al., "Rigging the lottery" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families.base import FamilyConfig
from zoo.families.learner import Learner
from zoo.families.sparsity_config import SparsityConfig


def weighted_layers(module: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Return the layers whose weights are edges, by name."""
    return {
        name.removeprefix("module."): layer  # the prefix of a wrapper for several processes
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }


def shares(weights: Sequence[Tensor], config: SparsityConfig) -> list[int]:
    """Return the number of edges of each layer, at least 1; together ``density`` of all, rounded down.

    ``erk`` gives a layer a density in proportion to ``sum of its axes / product of its axes``; layers that this would
    make denser than dense are dense.
    """
    sizes = [weight.numel() for weight in weights]
    total = max(len(sizes), math.floor(config.density * sum(sizes)))
    ratios = [1.0] * len(sizes) if config.layers == "uniform" else [sum(w.shape) / w.numel() for w in weights]
    dense: set[int] = set()
    while True:
        left = total - sum(sizes[number] for number in dense)
        wanted = sum(ratios[number] * sizes[number] for number in range(len(sizes)) if number not in dense)
        factor = left / wanted if wanted else 0.0
        full = {n for n in range(len(sizes)) if n not in dense and factor * ratios[n] > 1}
        if not full:
            break
        dense |= full
    return [size if n in dense else max(1, int(factor * ratios[n] * size)) for n, size in enumerate(sizes)]


def remaining(step: int, config: SparsityConfig) -> float:
    """Return the density of gradual pruning after an update at ``step``: 1 before the start, the final one at the end.

    The sparsity is ``s * (1 - (1 - t)^3)``, where t in [0, 1] is the part of the updates that is done.
    """
    done = min(1.0, max(0.0, (step - config.start) / (config.stop - config.start)))
    return config.density + (1 - config.density) * (1 - done) ** 3


class SparseLearner(Learner):
    """Softmax classification of a network whose config may ask for a sparse one.

    A gradient counts for a missing edge only when RigL looks for edges to add; ``train.clip_norm`` measures it all the
    same, because the loop clips before the learner sees gradients.
    """

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        super().__init__(module, config)
        self.sparsity: SparsityConfig | None = getattr(config, "sparsity", None)
        self.averageable = self.sparsity is None  # an average still holds the edges of earlier masks
        self.layers = weighted_layers(module)
        self.masks: dict[str, Tensor] = {}
        self._optimizer: Optimizer | None = None

    def on_start(self, optimizer: Optimizer) -> None:
        """Draw the first masks, unless a resumed run has brought its own."""
        self._optimizer = optimizer
        if self.sparsity is None:
            return
        if not self.masks:
            self.masks = self._first_masks(self.sparsity)
        self._apply()

    def on_step_end(self, step: int) -> None:
        """Remove whatever the step gave to missing edges, then update the masks where an update is due."""
        config = self.sparsity
        if config is None:
            return
        self._apply()
        if config.start <= step <= config.stop and (step % config.every == 0 or step == config.stop):
            self._update(step, config)
            self._apply()

    def findings(self) -> dict[str, Any]:
        """Return the number of edges, weights other than 0, by layer; empty for a dense network."""
        if self.sparsity is None:
            return {}
        by_layer = {name: int(layer.weight.count_nonzero()) for name, layer in self.layers.items()}
        return {"edges": sum(by_layer.values()), "edges_by_layer": by_layer}

    def state_dict(self) -> dict[str, Any]:
        """Return the masks."""
        return {"masks": dict(self.masks)} if self.sparsity is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.sparsity is None:
            super().load_state_dict(state)
            return
        self.masks = {name: mask.to(self.layers[name].weight.device) for name, mask in state["masks"].items()}

    def _weights(self) -> dict[str, Tensor]:
        return {name: layer.weight for name, layer in self.layers.items()}

    @torch.no_grad()
    def _first_masks(self, config: SparsityConfig) -> dict[str, Tensor]:
        """Return full masks for gradual pruning; else random ones, whose weights are scaled up for the fewer inputs.

        A layer that starts from a sparse one (``train.start_from``) keeps the edges of that one.
        """
        weights = self._weights()
        taken = {name: weight != 0 for name, weight in weights.items() if bool((weight == 0).any())}
        if config.method == "gradual":
            return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()} | taken
        generator = torch.Generator().manual_seed(int(torch.initial_seed() % 2**31))
        masks = {}
        for (name, weight), count in zip(weights.items(), shares(list(weights.values()), config), strict=True):
            chosen = torch.randperm(weight.numel(), generator=generator)[:count].to(weight.device)
            mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
            mask[chosen] = True
            masks[name] = mask.view_as(weight)
            if name not in taken:
                weight.mul_(math.sqrt(weight.numel() / count))
        return masks | taken

    def _update(self, step: int, config: SparsityConfig) -> None:
        if config.method == "gradual":
            self._prune(remaining(step, config), config)
            return
        done = (step - config.start) / (config.stop - config.start)
        moved = config.moved * (1 + math.cos(math.pi * done)) / 2 if config.method == "rigl" else config.moved
        generator = torch.Generator().manual_seed(step)  # the same in every process
        for name, weight in self._weights().items():
            gradient = weight.grad if config.method == "rigl" else None
            self.masks[name] = move_edges(weight.detach(), self.masks[name], moved, gradient, generator)

    def _prune(self, density: float, config: SparsityConfig) -> None:
        weights = {name: weight.detach().abs() for name, weight in self._weights().items()}
        if config.layers == "global":
            counts = _global_counts(weights, density)
        else:
            counts = dict(
                zip(
                    weights, shares(list(weights.values()), config.model_copy(update={"density": density})), strict=True
                )
            )
        for name, size in weights.items():
            self.masks[name] = self.masks[name] & largest(size, counts[name])

    @torch.no_grad()
    def _apply(self) -> None:
        """Set missing edges to 0, and the optimizer's memory of them, so that a new edge starts with fresh moments."""
        memory: Mapping[Any, dict[str, Any]] = self._optimizer.state if self._optimizer is not None else {}
        for name, weight in self._weights().items():
            mask = self.masks[name]
            weight.mul_(mask)
            for value in memory.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.mul_(mask)


def _global_counts(sizes: Mapping[str, Tensor], density: float) -> dict[str, int]:
    """Return how many of the largest weights of the whole network lie in each layer, at least 1."""
    flat = torch.cat([size.flatten() for size in sizes.values()])
    number = torch.repeat_interleave(torch.tensor([size.numel() for size in sizes.values()], device=flat.device))
    count = max(1, math.floor(density * len(flat)))
    found = torch.bincount(number[flat.topk(count).indices], minlength=len(sizes)).tolist()
    return {name: max(1, one) for name, one in zip(sizes, found, strict=True)}


def largest(size: Tensor, count: int) -> Tensor:
    """Return the mask of the ``count`` largest values."""
    mask = torch.zeros(size.numel(), dtype=torch.bool, device=size.device)
    mask[size.flatten().topk(count).indices] = True
    return mask.view_as(size)


def move_edges(
    weight: Tensor, mask: Tensor, share: float, gradient: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Return the mask without the smallest ``share`` of its edges and with as many others, of weight 0.

    The new edges are those with the largest ``gradient``, or random ones without. An edge that was just removed does
    not come back.
    """
    edges = int(mask.sum())
    count = min(round(share * edges), mask.numel() - edges)
    if count < 1:
        return mask
    kept = largest(torch.where(mask, weight.abs(), -torch.ones_like(weight)), edges - count)
    score = gradient.abs() if gradient is not None else torch.rand(weight.shape, generator=generator).to(weight.device)
    return kept | largest(torch.where(mask, -torch.ones_like(score), score), count)
