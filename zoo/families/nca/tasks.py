"""Small generated classification tasks, on which a learning rule is meta-trained, and support sets built from tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.nca.config import TasksConfig
from zoo.families.nca.population import Wiring
from zoo.families.nca.sensing import SupportSet


@dataclass(frozen=True)
class Examples:
    """Samples of one task: ``inputs [S, features]`` and ``labels [S]``."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class GeneratedTask:
    """Support and query examples of one task, both standardised by the support examples."""

    support: Examples
    query: Examples
    classes: int

    @property
    def features(self) -> int:
        """Number of input features."""
        return self.support.inputs.shape[1]


def draw_task(config: TasksConfig, generator: torch.Generator | None = None) -> GeneratedTask:
    """Draw a task of Gaussian blobs with its classes in random order.

    The classes' centres lie in a random subspace and differ in a random subset of the features; every class has its
    own width, the noise is correlated between features to a random degree, and a sinh skews half of the tasks.
    """
    features, classes = (_integer(*bounds, generator) for bounds in (config.features, config.classes))
    spread, mix, useful = _uniform(*config.spread, generator), _uniform(0, 1, generator), _uniform(0.4, 1, generator)
    rank = _integer(1, min(features, classes), generator)
    basis = torch.randn(rank, features, generator=generator) / rank**0.5
    basis = basis * (torch.rand(features, generator=generator) < useful)
    centres = spread * torch.randn(classes, rank, generator=generator) @ basis
    widths = 0.3 + torch.rand(classes, 1, generator=generator)
    mixing = torch.randn(features, features, generator=generator) / features**0.5
    count = config.examples + config.queries
    labels = torch.randint(classes, (count,), generator=generator)
    noise = torch.randn(count, features, generator=generator)
    inputs = centres[labels] + widths[labels] * ((1 - mix) * noise + mix * noise @ mixing)
    if _uniform(0, 1, generator) < 0.5:
        inputs = (inputs / 2).sinh()
    shift, scale = standardisation(inputs[: config.examples])
    inputs = (inputs - shift) / scale
    support, query = slice(None, config.examples), slice(config.examples, None)
    return GeneratedTask(Examples(inputs[support], labels[support]), Examples(inputs[query], labels[query]), classes)


def standardisation(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature of ``[S, features]``, the latter 1 for a constant feature."""
    spread = inputs.std(0, correction=0)
    return inputs.mean(0), torch.where(spread > 1e-6 * (1 + inputs.abs().amax(0)), spread, 1.0)


def stack_inputs(inputs: Sequence[Tensor], wiring: Wiring, bias: bool) -> Tensor:
    """Stack one ``[S, features]`` per network to ``[P, S, N]``; with ``bias`` a constant 1 follows the features."""
    width = wiring.mask.shape[2]
    rows = [F.pad(x, (0, 1), value=1.0) if bias else x for x in inputs]
    return torch.stack([F.pad(x, (0, width - x.shape[1])) for x in rows])


def make_support_set(examples: Sequence[Examples], wiring: Wiring, bias: bool) -> SupportSet:
    """Build the support set of a population from the examples of each network, with one-hot targets."""
    inputs = stack_inputs([one.inputs for one in examples], wiring, bias)
    labels = torch.stack([one.labels for one in examples])
    return SupportSet(inputs, F.one_hot(labels, wiring.mask.shape[3]).to(inputs.dtype))


def _uniform(low: float, high: float, generator: torch.Generator | None) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _integer(low: int, high: int, generator: torch.Generator | None) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))
