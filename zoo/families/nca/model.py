"""The model: the rule, which is trained, and the task network that it grew, which classifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.population import Wiring, draw_fire_mask, position_codes, start_weights, wire
from zoo.families.nca.rule import Rule
from zoo.families.nca.sensing import SupportSet, sense
from zoo.families.nca.tasks import Examples, make_support_set, standardisation
from zoo.families.stored_answer import StoredAnswer
from zoo.utils.errors import BuildError, StaleAnswerError

_NOT_TRAINABLE = (
    "this module answers by the task network that its rule grew, so its parameters, the rule's, get no gradient; "
    "to train that network, use zoo.layers.GrownClassifier(module, inputs, labels), whose parameters are its weights; "
    "to train the rule, use `zoo train`; to keep it as it is, call module.requires_grad_(False)"
)
_CHANGED = (
    "the rule was changed after it grew this module's task network; call module.grow(inputs, labels) to grow it again"
)


@dataclass(frozen=True)
class GrownNetwork:
    """One task network after its evolution."""

    weights: list[Tensor]
    """Per layer ``[inputs, outputs]``."""
    shift: Tensor
    scale: Tensor
    """``[features]`` each: the network reads ``(x - shift) / scale``."""
    history: list[list[Tensor]]
    """The weights before the first epoch and after each."""


class _Refusal(torch.autograd.Function):
    """Passes logits through; raises when a gradient comes back for parameters that they do not depend on."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, *_: Tensor) -> Tensor:
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise StaleAnswerError(_NOT_TRAINABLE)


class MetaNca(nn.Module):
    """A local rule and one task network: ``grow`` lets the rule grow it, ``forward`` runs it."""

    shift: Tensor
    scale: Tensor

    def __init__(self, config: NcaConfig, task: Task) -> None:
        """Build the rule and an empty task network; raises BuildError for data that is no table."""
        super().__init__()
        if len(task.input_shape) != 1:
            raise BuildError(f"nca takes tables [features], the data has inputs of shape {list(task.input_shape)}")
        self.config, self.task = config, task
        self.layer_bits, self.number_bits = _code_widths(config, task)
        codes = {
            "none": 0,
            "index": self.layer_bits + self.number_bits,
            "units": self.layer_bits + 2 * self.number_bits,
        }
        hidden_states = codes[config.rule.positions] + config.rule.memory + (config.rule.senses == "teaching")
        self.rule = Rule(config.rule, 1 + hidden_states)
        features = task.input_shape[0]
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        for number, shape in enumerate(pairwise(self.architecture())):
            self.register_buffer(f"task_{number}", torch.zeros(shape))
        self._grown_by = StoredAnswer()
        self.register_load_state_dict_post_hook(_remember_rule)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``[B, features]`` to logits ``[B, classes]`` with the task network.

        Raises StaleAnswerError where the answer would not follow the parameters: after a change of the rule, and in
        training when gradients reach the module.
        """
        if self._grown_by.is_stale(self.rule):
            raise StaleAnswerError(_CHANGED)
        x = (x - self.shift) / self.scale
        if self.config.bias:
            x = F.pad(x, (0, 1), value=1.0)
        *hidden, last = self.task_weights
        for weight in hidden:
            x = (x @ weight).relu()
        logits = x @ last
        trained = [p for p in self.rule.parameters() if p.requires_grad] if self.training else []
        return _Refusal.apply(logits, *trained) if trained and torch.is_grad_enabled() else logits

    @property
    def task_weights(self) -> list[Tensor]:
        """Weights of the task network, per layer ``[inputs, outputs]``."""
        return [self.get_buffer(f"task_{number}") for number in range(self.config.layers)]

    def architecture(
        self,
        layers: int | None = None,
        hidden: int | None = None,
        features: int | None = None,
        classes: int | None = None,
    ) -> tuple[int, ...]:
        """Return units per layer, inputs first; the defaults are those of the exported network."""
        first = (features or self.task.input_shape[0]) + self.config.bias
        between = (hidden or self.config.hidden,) * ((layers or self.config.layers) - 1)
        return (first, *between, classes or self.task.num_classes)

    def begin(
        self, architectures: Sequence[Sequence[int]], generator: torch.Generator | None = None
    ) -> tuple[Wiring, Tensor]:
        """Return a population before its first epoch: its wiring, and states ``[P, L, N, M, C]``.

        Raises BuildError for an architecture beyond the range of the rule's position codes.
        """
        wiring = wire(architectures, self.shift.device)
        self._check_countable(architectures)
        weights = start_weights(wiring, self.config.start, generator)
        return wiring, self.initial_state(weights, wiring, generator)

    def initial_state(self, weights: Tensor, wiring: Wiring, generator: torch.Generator | None = None) -> Tensor:
        """Return states ``[P, L, N, M, C]`` of weights ``[P, L, N, M]`` that have not evolved yet.

        With a teaching signal the last hidden state, which carries that signal back, starts at random like a weight.
        """
        codes = position_codes(wiring, self.config.rule.positions, self.layer_bits, self.number_bits)
        memory = weights.new_zeros(*weights.shape, self.config.rule.memory)
        parts = [weights[..., None], codes.to(weights.dtype), memory]
        if self.config.rule.senses == "teaching":
            parts.append(start_weights(wiring, "xavier", generator).to(weights.dtype)[..., None])
        return torch.cat(parts, -1)

    def evolve(
        self,
        state: Tensor,
        wiring: Wiring,
        epochs: int,
        support: SupportSet | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Evolve states ``[P, L, N, M, C]`` for some epochs and return the new ones.

        A rule that senses needs a ``support`` set; without one it raises ValueError.
        """
        senses, fire_mask = self.config.rule.senses, draw_fire_mask(wiring, self.config.fraction, epochs, generator)
        if senses == "none":
            return self.rule.evolve(state, wiring, fire_mask)
        if support is None:
            raise ValueError(f"support: found None, a rule that senses {senses} needs a support set")
        for epoch in fire_mask:  # signals change with the weights
            state = self.rule.evolve(state, wiring, epoch[None], sense(state, wiring, support, senses))
        return state

    def grow_one(
        self,
        inputs: Tensor | None,
        labels: Tensor | None,
        architecture: Sequence[int],
        epochs: int | None = None,
        seed: int | None = None,
    ) -> GrownNetwork:
        """Evolve one network from its start; a rule that senses learns from ``inputs [S, features]``, ``labels [S]``.

        Raises BuildError for an architecture beyond the range of the rule's position codes.
        """
        generator = torch.Generator().manual_seed(self.config.seed if seed is None else seed)
        features = architecture[0] - self.config.bias
        shift, scale = self.shift.new_zeros(features), self.shift.new_ones(features)
        if self.config.standardize and inputs is not None:
            shift, scale = standardisation(inputs)
        with torch.no_grad():
            wiring, state = self.begin([architecture], generator)
            support = None
            if self.config.rule.senses != "none" and inputs is not None and labels is not None:
                support = make_support_set([Examples((inputs - shift) / scale, labels)], wiring, self.config.bias)
            history = [_unpad(state, architecture)]
            for _ in range(self.config.epochs if epochs is None else epochs):
                state = self.evolve(state, wiring, 1, support, generator)
                history.append(_unpad(state, architecture))
        return GrownNetwork(history[-1], shift, scale, history)

    def grow(self, inputs: Tensor | None, labels: Tensor | None) -> GrownNetwork:
        """Evolve the exported network from the config's seed and store it in the module."""
        grown = self.grow_one(inputs, labels, self.architecture())
        with torch.no_grad():
            self.shift.copy_(grown.shift)
            self.scale.copy_(grown.scale)
            for stored, weight in zip(self.task_weights, grown.weights, strict=True):
                stored.copy_(weight)
        self._grown_by.record(self.rule)
        return grown

    def check_finished(self) -> None:
        """Raise BuildError if ``forward`` has no network to run, or one that an earlier state of the rule grew.

        Training changes the rule alone, so a loop of one's own calls :meth:`grow` after it. A rule that senses grows
        from a support set that the module does not store; for it, only a network that was never grown is noticed.
        """
        if not any(bool(weight.any()) for weight in self.task_weights):
            raise BuildError("the task network: found only zeros; call module.grow(inputs, labels) after training")
        if self.config.rule.senses == "none":
            fresh = self.grow_one(None, None, self.architecture()).weights
            if not all(torch.allclose(new, old, atol=1e-5) for new, old in zip(fresh, self.task_weights, strict=True)):
                raise BuildError(
                    "the task network: found weights that this rule does not grow; call module.grow(None, None) after "
                    "training"
                )

    def _check_countable(self, architectures: Sequence[Sequence[int]]) -> None:
        positions = self.config.rule.positions
        for units in architectures if positions != "none" else ():
            largest = max(n * m for n, m in pairwise(units)) if positions == "index" else max(units)
            if len(units) - 1 > 2**self.layer_bits or largest > 2**self.number_bits:
                what = "weights" if positions == "index" else "units"
                raise BuildError(
                    f"architecture {list(units)}: exceeds this rule's position codes, which allow up to "
                    f"{2**self.layer_bits} layers of up to {2**self.number_bits} {what}"
                )

    def _apply(self, fn: Any, recurse: bool = True) -> MetaNca:
        self._grown_by.apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]


def _remember_rule(nca: MetaNca, _keys: Any) -> None:
    """Take the loaded task network, if there is one, as grown by the loaded rule."""
    nca._grown_by.forget()
    if any(bool(weight.any()) for weight in nca.task_weights):
        nca._grown_by.record(nca.rule)


def _code_widths(config: NcaConfig, task: Task) -> tuple[int, int]:
    """Return the bits that count the layers, and the weights of a layer or the units, of the largest networks."""
    layers = max(config.layers, *config.meta.layers)
    hidden = max(config.hidden, *config.meta.hidden) if layers > 1 else 0
    units = (task.input_shape[0] + config.bias, *[hidden] * (layers - 1), task.num_classes)
    largest = max(n * m for n, m in pairwise(units)) if config.rule.positions == "index" else max(units)
    return (layers - 1).bit_length(), (largest - 1).bit_length()


def _unpad(state: Tensor, units: Sequence[int]) -> list[Tensor]:
    """Return the weights of a population of one network, per layer ``[inputs, outputs]``."""
    return [state[0, layer, :n, :m, 0].clone() for layer, (n, m) in enumerate(pairwise(units))]
