"""Meta-training: a population of task networks evolves, and the loss of what became of it trains the rule."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.base import FamilyConfig
from zoo.families.learner import Learner, StepResult
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import Lesson, Wiring, read_logits, run_networks, silence
from zoo.families.nca.tasks import Examples, draw_task, make_lesson, stack_inputs


@dataclass(frozen=True)
class Population:
    """Networks at their start, what each is shown and what it is judged by."""

    wiring: Wiring
    state: Tensor
    lesson: Lesson
    queries: Tensor
    """``[P, Q, N]``."""
    answers: Tensor
    """``[P, Q]``."""


class NcaLearner(Learner):
    """One training step evolves ``meta.segments`` times a population and learns from its loss each time.

    The examples of the last batch are what the exported network is grown from before each validation, and, without
    generated tasks, what the population is judged by.
    """

    averageable = False  # the network would be grown by other weights than those that are exported

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        super().__init__(module, config)
        assert isinstance(module, MetaNca)
        assert isinstance(config, NcaConfig)
        self.nca, self.settings = module, config
        self.step = 0
        self.last: tuple[Tensor, Tensor] | None = None

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        self.last = inputs, labels
        population = self._draw(inputs, labels)
        state = population.state
        for segment in range(self.settings.meta.segments):
            if segment:
                state = self._delete(state.detach(), population.wiring)
            state, result = self._evolve(state, population)
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
        """How long networks evolve in the coming step."""
        final, growth = self.settings.epochs, self.settings.meta.grow_steps
        return min(final, 1 + self.step * final // growth) if growth else final

    def _evolve(self, state: Tensor, population: Population) -> tuple[Tensor, StepResult]:
        losses, logits, done = [], torch.empty(0), 0
        for epoch in _judged(self.epochs, self.settings.meta.judgements):
            state = self.nca.evolve(state, population.wiring, epoch - done, population.lesson)
            done = epoch
            sums = run_networks(state[..., 0], population.queries)[1]
            logits = read_logits(sums, population.wiring)
            loss = F.cross_entropy(logits.flatten(0, 1), population.answers.flatten())
            if self.settings.meta.alive:
                loss = loss + self.settings.meta.alive * silence(sums, population.wiring)
            losses.append(loss)
        accuracy = (logits.detach().argmax(-1) == population.answers).float().mean()
        return state, StepResult(torch.stack(losses).mean(), {"accuracy": accuracy})

    def _draw(self, inputs: Tensor, labels: Tensor) -> Population:
        meta, device = self.settings.meta, inputs.device
        tasks = [draw_task(meta.tasks) for _ in range(meta.population)] if meta.tasks else []
        # Drawn with torch's generator, which the loop seeds, and by Python for the choice.
        draws = random.Random(int(torch.randint(2**31, ())))
        shapes = [(draws.choice(meta.layers), draws.choice(meta.hidden)) for _ in range(meta.population)]
        if not tasks:
            architectures = [self.nca.architecture(*shape) for shape in shapes]
            wiring, state = self.nca.begin(architectures)
            examples = [Examples(inputs, labels)] * len(shapes)
            lesson = make_lesson(examples, wiring, self.settings.bias)
            return Population(wiring, state, lesson, lesson.inputs, labels.expand(len(shapes), -1))
        # Networks of one depth waste no padding on layers that they lack, so a step has one depth.
        depth = shapes[0][0]
        architectures = [
            self.nca.architecture(depth, hidden, task.features, task.classes)
            for (_, hidden), task in zip(shapes, tasks, strict=True)
        ]
        wiring, state = self.nca.begin(architectures)
        lesson = make_lesson([task.shown for task in tasks], wiring, self.settings.bias)
        queries = stack_inputs([task.asked.inputs for task in tasks], wiring, self.settings.bias)
        answers = torch.stack([task.asked.labels for task in tasks])
        moved = Lesson(lesson.inputs.to(device), None if lesson.targets is None else lesson.targets.to(device))
        return Population(wiring, state, moved, queries.to(device), answers.to(device))

    def _delete(self, state: Tensor, wiring: Wiring) -> Tensor:
        """Delete up to ``meta.damage`` of the weights of each network."""
        share = torch.rand(len(state), 1, 1, 1) * self.settings.meta.damage
        deleted = torch.rand(wiring.mask.shape) < share
        return delete_weights(self.nca, state, wiring, deleted.to(state.device))


def delete_weights(nca: MetaNca, state: Tensor, wiring: Wiring, deleted: Tensor) -> Tensor:
    """States with the ``deleted [P, L, N, M]`` weights at zero and their hidden states as at the start."""
    fresh = nca.with_weights(torch.zeros_like(state[..., 0]), wiring)
    return torch.where(deleted[..., None], fresh, state)


def _judged(epochs: int, count: int) -> list[int]:
    """Up to ``count`` epochs in their order, evenly over the second half, the last among them."""
    half = epochs / 2
    return sorted({max(1, round(half + half * (number + 1) / count)) for number in range(count)})
