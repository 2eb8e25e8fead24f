"""Meta-training: a population of task networks evolves, and its loss trains the rule."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.transfer import send
from zoo.families.base import FamilyConfig
from zoo.families.learner import Learner, StepResult
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.networks import read_logits, run_networks, silence_penalty
from zoo.families.nca.population import Wiring
from zoo.families.nca.sensing import SupportSet
from zoo.families.nca.tasks import Examples, GeneratedTask, draw_task, make_support_set, stack_inputs


@dataclass(frozen=True)
class Episode:
    """One meta-training step: networks at their start, with a support set and a query set for each."""

    wiring: Wiring
    state: Tensor
    """``[P, L, N, M, C]``."""
    support: SupportSet
    queries: Tensor
    """``[P, Q, N]``."""
    answers: Tensor
    """``[P, Q]``."""


class NcaLearner(Learner):
    """Meta-learner: each step evolves a population ``meta.segments`` times and learns from its loss each time.

    The last batch is the support set from which the exported network grows before each validation. Without generated
    tasks, it is also the query set of the population.
    """

    averageable = False  # the exported network would have grown by other weights than those exported with it

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        super().__init__(module, config)
        assert isinstance(module, MetaNca)
        assert isinstance(config, NcaConfig)
        self.nca, self.settings = module, config
        self.step = 0
        self.last: tuple[Tensor, Tensor] | None = None

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        """Yield one result per segment; see :class:`Learner`."""
        self.last = inputs, labels
        episode = self._draw_episode(inputs, labels)
        state = episode.state
        for segment in range(self.settings.meta.segments):
            if segment:
                state = self._damage(state.detach(), episode.wiring)
            state, result = self._evolve(state, episode)
            yield result

    def on_step_end(self, step: int) -> None:
        self.step = step

    def before_validation(self, step: int) -> None:
        if self.last is not None:
            self.nca.grow(*self.last)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]

    @property
    def epochs(self) -> int:
        """Number of epochs that networks evolve in the coming step."""
        final, growth = self.settings.epochs, self.settings.meta.grow_steps
        return min(final, 1 + self.step * final // growth) if growth else final

    def _evolve(self, state: Tensor, episode: Episode) -> tuple[Tensor, StepResult]:
        losses, logits, done = [], torch.empty(0), 0
        for epoch in _loss_epochs(self.epochs, self.settings.meta.judgements):
            state = self.nca.evolve(state, episode.wiring, epoch - done, episode.support)
            done = epoch
            sums = run_networks(state[..., 0], episode.queries)[1]
            logits = read_logits(sums, episode.wiring)
            loss = F.cross_entropy(logits.flatten(0, 1), episode.answers.flatten())
            if self.settings.meta.alive:
                loss = loss + self.settings.meta.alive * silence_penalty(sums, episode.wiring)
            losses.append(loss)
        accuracy = (logits.detach().argmax(-1) == episode.answers).float().mean()
        return state, StepResult(torch.stack(losses).mean(), {"accuracy": accuracy})

    def _draw_episode(self, inputs: Tensor, labels: Tensor) -> Episode:
        meta = self.settings.meta
        tasks = [draw_task(meta.tasks) for _ in range(meta.population)] if meta.tasks else []
        # torch's generator, which the loop seeds, seeds Python's, which makes the choices.
        choices = random.Random(int(torch.randint(2**31, ())))
        shapes = [(choices.choice(meta.layers), choices.choice(meta.hidden)) for _ in range(meta.population)]
        if tasks:
            return self._generated_episode(tasks, shapes, inputs.device)
        wiring, state = self.nca.begin([self.nca.architecture(*shape) for shape in shapes])
        support = make_support_set([Examples(inputs, labels)] * len(shapes), wiring, self.settings.bias)
        return Episode(wiring, state, support, support.inputs, labels.expand(len(shapes), -1))

    def _generated_episode(
        self, tasks: list[GeneratedTask], shapes: list[tuple[int, int]], device: torch.device
    ) -> Episode:
        # Networks of one depth need no padding for layers that they lack, so all networks of a step share one depth.
        depth, bias = shapes[0][0], self.settings.bias
        architectures = [
            self.nca.architecture(depth, hidden, task.features, task.classes)
            for (_, hidden), task in zip(shapes, tasks, strict=True)
        ]
        wiring, state = self.nca.begin(architectures)
        support = make_support_set([task.support for task in tasks], wiring, bias)
        queries = stack_inputs([task.query.inputs for task in tasks], wiring, bias)
        answers = torch.stack([task.query.labels for task in tasks])
        targets = None if support.targets is None else send(support.targets, device)
        moved = SupportSet(send(support.inputs, device), targets)
        return Episode(wiring, state, moved, send(queries, device), send(answers, device))

    def _damage(self, state: Tensor, wiring: Wiring) -> Tensor:
        """Delete up to ``meta.damage`` of the weights of each network."""
        share = torch.rand(len(state), 1, 1, 1) * self.settings.meta.damage
        deleted = torch.rand(wiring.mask.shape) < share
        return delete_weights(self.nca, state, wiring, send(deleted, state.device))


def delete_weights(nca: MetaNca, state: Tensor, wiring: Wiring, deleted: Tensor) -> Tensor:
    """Return states with the ``deleted [P, L, N, M]`` weights at zero and their hidden states as at the start."""
    fresh = nca.initial_state(torch.zeros_like(state[..., 0]), wiring)
    return torch.where(deleted[..., None], fresh, state)


def _loss_epochs(epochs: int, count: int) -> list[int]:
    """Return up to ``count`` epochs in ascending order, spread evenly over the second half, the last included."""
    half = epochs / 2
    return sorted({max(1, round(half + half * (number + 1) / count)) for number in range(count)})
