"""The rule, which is trained, and the task network that it grew, which is kept beside it and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.nca.config import NcaConfig, RuleConfig
from zoo.families.nca.population import SIGNALS, Lesson, Wiring, draw_fires, position_codes, sense, start_weights, wire
from zoo.families.nca.tasks import Examples, make_lesson, standardisation
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import RuleSpec
from zoo.utils.errors import BuildError

SIGNAL_GAIN = 20.0


class Rule(nn.Module):
    """The local rule: an MLP from what a weight perceives, ``features`` numbers, to the change of its ``channels``."""

    def __init__(self, config: RuleConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.features = 3 * channels + SIGNALS[config.senses]
        widths = (self.features, *config.hidden, channels)
        self.spec = RuleSpec(widths, config.activation, config.change, config.scale, config.pooling, config.layer_norm)
        self.norm = nn.LayerNorm(self.features) if config.layer_norm else nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(widths))
        if config.change == "tanh":  # the first evolutions should hardly move
            with torch.no_grad():
                self.linears[-1].weight.mul_(0.1)
                self.linears[-1].bias.zero_()

    @property
    def linears(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def evolve(self, state: Tensor, wiring: Wiring, fires: Tensor, signals: Tensor | None = None) -> Tensor:
        """As many epochs as there are ``fires [T, P, L, N, M]``: states ``[P, L, N, M, C]`` -> the same.

        ``signals [P, L, N, M, SIGNALS]``, for a rule that senses, stay the same in all of them.
        """
        if signals is not None:
            signals = self._compress(signals).to(state.dtype)
        return evolve(state, signals, fires, wiring.units, self.flat_parameters(), self.spec)

    def flat_parameters(self) -> Tensor:
        """All parameters in the order that :class:`RuleSpec` says."""
        return torch.cat([parameter.flatten() for parameter in self.parameters()])

    def forward(self, perceptions: Tensor) -> Tensor:
        """What ``evolve`` does to each weight, for the literal loop: ``[..., features]`` -> ``[..., channels]``."""
        own = 3 * self.channels
        x: Tensor = self.norm(torch.cat([perceptions[..., :own], self._compress(perceptions[..., own:])], -1))
        for layer in self.layers[:-1]:
            x = layer(x)
            x = x.relu() if self.config.activation == "relu" else F.silu(x)
        x = self.layers[-1](x)
        if self.config.change != "linear":
            x = x.tanh() if self.config.change == "tanh" else x.sigmoid()
        return x * self.config.scale

    def _compress(self, signals: Tensor) -> Tensor:
        """Teaching signals fall by orders of magnitude as networks learn: in effect their logarithm is perceived."""
        return (signals * SIGNAL_GAIN).asinh() / 2 if self.config.senses == "teaching" else signals


@dataclass(frozen=True)
class Grown:
    """A task network that was evolved on its own."""

    weights: list[Tensor]
    """Per layer ``[inputs, outputs]``."""
    shift: Tensor
    scale: Tensor
    """``[features]``: inputs enter as ``(x - shift) / scale``."""
    history: list[list[Tensor]]
    """The weights before the first epoch and after each."""


class MetaNca(nn.Module):
    """A local rule and one task network that it grew: ``grow`` makes it, ``forward`` asks it."""

    shift: Tensor
    scale: Tensor

    def __init__(self, config: NcaConfig, task: Task) -> None:
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

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, features]`` -> logits ``[B, classes]`` of the task network."""
        x = (x - self.shift) / self.scale
        if self.config.bias:
            x = F.pad(x, (0, 1), value=1.0)
        *hidden, last = self.task_weights
        for weight in hidden:
            x = (x @ weight).relu()
        return x @ last

    @property
    def task_weights(self) -> list[Tensor]:
        """Per layer ``[inputs, outputs]``."""
        return [self.get_buffer(f"task_{number}") for number in range(self.config.layers)]

    def architecture(
        self,
        layers: int | None = None,
        hidden: int | None = None,
        features: int | None = None,
        classes: int | None = None,
    ) -> tuple[int, ...]:
        """Units per layer, inputs first; by default of the exported network."""
        first = (features or self.task.input_shape[0]) + self.config.bias
        between = (hidden or self.config.hidden,) * ((layers or self.config.layers) - 1)
        return (first, *between, classes or self.task.num_classes)

    def begin(
        self, architectures: Sequence[Sequence[int]], generator: torch.Generator | None = None
    ) -> tuple[Wiring, Tensor]:
        """A population before its first epoch: wiring, and states ``[P, L, N, M, C]``.

        Raises ValueError for an architecture that the rule's position codes cannot count.
        """
        wiring = wire(architectures, self.shift.device)
        self._check_countable(architectures)
        weights = start_weights(wiring, self.config.start, generator)
        return wiring, self.with_weights(weights, wiring, generator)

    def with_weights(self, weights: Tensor, wiring: Wiring, generator: torch.Generator | None = None) -> Tensor:
        """States ``[P, L, N, M, C]`` of weights ``[P, L, N, M]`` that have not evolved yet.

        With a teaching signal the last hidden state, which carries it back, starts at random like a weight.
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
        lesson: Lesson | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Epochs of every network: states ``[P, L, N, M, C]`` -> the same. ``lesson`` is for rules that sense."""
        senses, fires = self.config.rule.senses, draw_fires(wiring, self.config.fraction, epochs, generator)
        if senses == "none":
            return self.rule.evolve(state, wiring, fires)
        if lesson is None:
            raise ValueError(f"a rule that senses {senses} needs a lesson")
        for fire in fires:  # what is perceived of the data changes with the weights
            state = self.rule.evolve(state, wiring, fire[None], sense(state, wiring, lesson, senses))
        return state

    def grow_one(
        self,
        inputs: Tensor | None,
        labels: Tensor | None,
        architecture: Sequence[int],
        epochs: int | None = None,
        seed: int | None = None,
    ) -> Grown:
        """Evolve one network from its start; ``inputs [S, features]``, ``labels [S]`` are for rules that sense.

        Raises ValueError for an architecture that the rule cannot count.
        """
        generator = torch.Generator().manual_seed(self.config.seed if seed is None else seed)
        features = architecture[0] - self.config.bias
        shift, scale = self.shift.new_zeros(features), self.shift.new_ones(features)
        if self.config.standardize and inputs is not None:
            shift, scale = standardisation(inputs)
        with torch.no_grad():
            wiring, state = self.begin([architecture], generator)
            lesson = None
            if self.config.rule.senses != "none" and inputs is not None and labels is not None:
                lesson = make_lesson([Examples((inputs - shift) / scale, labels)], wiring, self.config.bias)
            history = [_unpad(state, architecture)]
            for _ in range(self.config.epochs if epochs is None else epochs):
                state = self.evolve(state, wiring, 1, lesson, generator)
                history.append(_unpad(state, architecture))
        return Grown(history[-1], shift, scale, history)

    def grow(self, inputs: Tensor | None, labels: Tensor | None) -> Grown:
        """Evolve the exported network from the config's seed, and keep it."""
        grown = self.grow_one(inputs, labels, self.architecture())
        with torch.no_grad():
            self.shift.copy_(grown.shift)
            self.scale.copy_(grown.scale)
            for kept, weight in zip(self.task_weights, grown.weights, strict=True):
                kept.copy_(weight)
        return grown

    def _check_countable(self, architectures: Sequence[Sequence[int]]) -> None:
        positions = self.config.rule.positions
        for units in architectures if positions != "none" else ():
            largest = max(n * m for n, m in pairwise(units)) if positions == "index" else max(units)
            if len(units) - 1 > 2**self.layer_bits or largest > 2**self.number_bits:
                what = "weights" if positions == "index" else "units"
                raise ValueError(
                    f"layers of {list(units)} units cannot be counted by this rule's position codes: it knows up to "
                    f"{2**self.layer_bits} layers of up to {2**self.number_bits} {what}"
                )


def _code_widths(config: NcaConfig, task: Task) -> tuple[int, int]:
    """Bits for the number of a layer, and of a weight in it or of a unit, in the largest networks in play."""
    layers = max(config.layers, *config.meta.layers)
    hidden = max(config.hidden, *config.meta.hidden) if layers > 1 else 0
    units = (task.input_shape[0] + config.bias, *[hidden] * (layers - 1), task.num_classes)
    largest = max(n * m for n, m in pairwise(units)) if config.rule.positions == "index" else max(units)
    return (layers - 1).bit_length(), (largest - 1).bit_length()


def _unpad(state: Tensor, units: Sequence[int]) -> list[Tensor]:
    """The weights of a lone network, per layer ``[inputs, outputs]``."""
    return [state[0, layer, :n, :m, 0].clone() for layer, (n, m) in enumerate(pairwise(units))]
