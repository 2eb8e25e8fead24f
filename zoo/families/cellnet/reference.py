"""CellNet exactly as it is described: one sample at a time, in Python loops over cells and connections.

The specification that the module and its learner are tested against, and the baseline of the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.members import MemberLinear
from zoo.families.cellnet.model import Cellnet

Cores = list[Tensor]
"""One vector ``[size]`` per cell."""


class LiteralCellnet(nn.Module):
    """One ``nn.Sequential`` per connection and OutCell, one ``nn.Linear`` per InCell, with the weights of a module."""

    def __init__(self, module: Cellnet) -> None:
        super().__init__()
        self.config: CellnetConfig = module.config
        cores, hidden = self.config.cores, self.config.hidden
        self.edges = self.config.edges
        self.first_out = self.config.cells - self.config.out_cells
        features, classes = module.input.weight.size(2), _member_layer(module.readout[-1]).weight.size(1)
        self.stem = module.stem
        self.inputs = nn.ModuleList(nn.Linear(features, cores[i]) for i in range(self.config.in_cells))
        self.connections = nn.ModuleList(_mlp(cores[j], hidden, hidden, cores[i]) for j, i in self.edges)
        self.outputs = nn.ModuleList(_mlp(size, hidden, classes) for size in cores[self.first_out :])
        self.to(module.input.weight)
        for member, linear in enumerate(self.inputs):
            _copy(linear, module.input, member)
        for mlps, layers in ((self.connections, module.connections), (self.outputs, module.readout)):
            for member, mlp in enumerate(mlps):
                assert isinstance(mlp, nn.Sequential)
                for linear, layer in zip(mlp[::2], layers, strict=True):
                    _copy(linear, _member_layer(layer), member)

    def initial_cores(self) -> Cores:
        """Return the cores at the start: ones."""
        like = next(self.inputs.parameters())
        return [torch.ones(size).to(like) for size in self.config.cores]

    def step(self, cores: Cores, x: Tensor | None, first: bool) -> Cores:
        """Update all cells from the previous cores; the input ``x [*input_shape]`` is None in steps without input."""
        new = list(cores)
        for (j, i), mlp in zip(self.edges, self.connections, strict=True):
            new[i] = new[i] + mlp(torch.zeros_like(cores[j]) if first else cores[j])
        if x is not None:
            features = self.stem(x[None])[0]
            for i, linear in enumerate(self.inputs):
                new[i] = new[i] + linear(features)
        return new

    def read(self, cores: Cores) -> Tensor:
        """Cores -> logits ``[classes]``, the mean over the OutCells."""
        logits = [mlp(core) for mlp, core in zip(self.outputs, cores[self.first_out :], strict=True)]
        return torch.stack(logits).mean(0)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """One input ``[*input_shape]`` -> logits ``[classes]`` after ``steps``."""
        cores = self.initial_cores()
        for t in range(self.config.input_steps if steps is None else steps):
            cores = self.step(cores, x if t < self.config.input_steps else None, first=t == 0)
        return self.read(cores)

    def training_steps(self, x: Tensor, label: Tensor) -> Iterator[Tensor]:
        """Yield one sample's loss of each window of ``truncate`` steps; an optimizer step must follow each."""
        c = self.config
        cores, target = self.initial_cores(), None
        losses: list[Tensor] = []
        steps = c.steps if c.loss_a else c.input_steps  # without loss (a), steps without input have no loss
        for t in range(steps):
            fed = t < c.input_steps
            c1 = self.step(cores, x if fed else None, first=t == 0)
            # The core of a cell without incoming edges does not depend on any parameter.
            c1 = [core if core.requires_grad else core.requires_grad_() for core in c1]
            loss, growth = torch.zeros(()).to(c1[0]), (1 + c.loss_growth) ** min(t, 10)
            if target is not None:
                squares = [(one - two).square() for one, two in zip(c1, target, strict=True)]
                mean = torch.cat(squares).mean()
                loss = loss + c.loss_a * (mean if c.loss_a_form == "mean" else sum(s.mean() for s in squares))
            loss = loss * growth
            if fed:
                weight = growth if c.loss_growth_of == "both" else 1
                loss = loss + weight * F.cross_entropy(self.read(c1)[None], label[None])
            slopes = torch.autograd.grad(loss, c1, retain_graph=True, allow_unused=True)
            c2 = [core if slope is None else core - c.core_lr * slope for core, slope in zip(c1, slopes, strict=True)]
            cores, target = c1, c2
            losses.append(loss)
            if (t + 1) % c.truncate == 0 or t + 1 == steps:
                cores, target = [core.detach() for core in c1], [core.detach() for core in c2]
                yield torch.stack(losses).sum()
                losses = []


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _member_layer(layer: nn.Module) -> MemberLinear:
    assert isinstance(layer, MemberLinear)
    return layer


def _copy(linear: nn.Module, layer: MemberLinear, member: int) -> None:
    """Copy a member's weights without their padding into a linear layer."""
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(layer.weight[member, : linear.out_features, : linear.in_features])
        linear.bias.copy_(layer.bias[member, : linear.out_features])
