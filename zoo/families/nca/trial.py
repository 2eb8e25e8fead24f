"""A trial: networks of one architecture that evolve from different starts and are tested together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.nca.baselines import train_by_adam
from zoo.families.nca.learner import delete_weights
from zoo.families.nca.model import MetaNca
from zoo.families.nca.networks import read_logits, run_networks
from zoo.families.nca.population import Wiring
from zoo.families.nca.sensing import SupportSet
from zoo.families.nca.tasks import Examples, make_support_set, stack_inputs
from zoo.families.probing import ProbeContext

STARTS = 30


class Trial:
    """``STARTS`` networks of one architecture, evolved from starts of their own and tested on the test part."""

    def __init__(self, context: ProbeContext, module: MetaNca, architecture: Sequence[int]) -> None:
        self.module = module
        self.generator = torch.Generator().manual_seed(context.seed)
        self.wiring, self.state = module.begin([architecture] * STARTS, self.generator)
        (inputs, self.labels), (queries, self.answers) = context.data.train.everything(), context.data.test.everything()
        inputs, queries = ((x - module.shift) / module.scale for x in (inputs, queries))
        self.inputs = stack_inputs([inputs] * STARTS, self.wiring, module.config.bias)
        self.queries = stack_inputs([queries] * STARTS, self.wiring, module.config.bias)
        self.support: SupportSet | None = None
        if module.config.rule.senses != "none":
            self.support = make_support_set([Examples(inputs, self.labels)] * STARTS, self.wiring, module.config.bias)

    def evolve(self, epochs: int) -> list[float]:
        """Evolve the networks and return their mean accuracy after each epoch."""
        means = []
        for _ in range(epochs):
            self.state = self.module.evolve(self.state, self.wiring, 1, self.support, self.generator)
            means.append(float(self.accuracies().mean()))
        return means

    def delete(self, share: float) -> None:
        """Delete a random share of the weights."""
        deleted = torch.rand(self.wiring.mask.shape, generator=self.generator) < share
        self.state = delete_weights(self.module, self.state, self.wiring, deleted)

    def widen(self, wiring: Wiring) -> None:
        """Continue in larger networks: new weights are zero with fresh states, the others stay as they are."""
        wide = self.module.initial_state(torch.zeros(wiring.mask.shape), wiring, self.generator)
        new = wide.clone()
        layers, n, m = self.state.shape[1:4]
        old = self.wiring.mask[..., None]
        new[:, :layers, :n, :m] = torch.where(old, self.state, wide[:, :layers, :n, :m])
        self._continue_in(new, wiring)

    def deepen(self, architecture: Sequence[int], place: int) -> None:
        """Continue with a new layer ``place``, as it is at a start; the layers behind it move up.

        Layers that move keep their weights. Their hidden states are as at a start, because position codes name layers.
        ``place`` is from 1 to the number of layers before, less 1: the new layer connects hidden units with as many.
        """
        wiring, fresh = self.module.begin([architecture] * STARTS, self.generator)
        new, n, m = fresh.clone(), *self.state.shape[2:4]
        new[:, :place, :n, :m] = torch.where(
            self.wiring.mask[:, :place, :, :, None], self.state[:, :place], new[:, :place, :n, :m]
        )
        moved, weights = self.wiring.mask[:, place:], self.state[:, place:, ..., 0]
        new[:, place + 1 :, :n, :m, 0] = torch.where(moved, weights, new[:, place + 1 :, :n, :m, 0])
        self._continue_in(new, wiring)

    def _continue_in(self, state: Tensor, wiring: Wiring) -> None:
        """Take a larger state and its wiring, and pad the inputs of all units."""
        self.state, self.wiring = state, wiring
        missing = wiring.mask.shape[2] - self.queries.shape[2]
        self.queries = F.pad(self.queries, (0, missing))
        if self.support is not None and self.support.targets is not None:
            outputs = wiring.mask.shape[3] - self.support.targets.shape[2]
            self.support = SupportSet(
                F.pad(self.support.inputs, (0, missing)), F.pad(self.support.targets, (0, outputs))
            )

    def accuracies(self, weights: Tensor | None = None) -> Tensor:
        """Return test accuracies ``[STARTS]`` of the networks, or of other weights ``[STARTS, L, N, M]``."""
        weights = self.state[..., 0] if weights is None else weights
        logits = read_logits(run_networks(weights, self.queries)[1], self.wiring)
        return (logits.argmax(-1) == self.answers).float().mean(1)

    def accuracies_by_adam(self) -> Tensor:
        """Return test accuracies ``[STARTS]`` of the networks after training by backpropagation instead of the rule."""
        return self.accuracies(train_by_adam(self.state[..., 0], self.wiring, self.inputs, self.labels))
