"""A population of task networks: which weights exist, how they start, what they compute and perceive of the data.

A task network is a bias-free MLP. Networks of different depths and widths share one tensor: ``L`` layers of
``N x M`` weights, padded with weights that do not exist. Every weight has a state of ``C = 1 + H`` numbers: the
weight itself and ``H`` hidden ones. One epoch applies the rule once to a random part of all weights:
``zoo.kernels.nca.op`` does it, ``zoo.families.nca.reference`` says the same weight by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.nca.config import Positions, Senses, Start
from zoo.kernels.nca.reference import existing

SIGNALS: dict[Senses, int] = {"none": 0, "activations": 2, "teaching": 4}
"""How many numbers a weight perceives of the data."""


@dataclass(frozen=True)
class Wiring:
    """Which weights exist in a population of ``P`` networks, padded to ``L`` layers of ``N x M`` weights."""

    units: Tensor
    """``[P, L + 1]``: how many units each layer of units has, 0 beyond the last."""
    mask: Tensor
    """bool ``[P, L, N, M]``: whether weight (i, j) of a layer exists."""

    @property
    def depth(self) -> Tensor:
        """``[P]``: layers of weights of each network."""
        return (self.units > 0).sum(1) - 1

    @property
    def fan_in(self) -> Tensor:
        return self.units[:, :-1, None, None]

    @property
    def fan_out(self) -> Tensor:
        return self.units[:, 1:, None, None]


@dataclass(frozen=True)
class Lesson:
    """What the networks are shown: the same number of examples for each."""

    inputs: Tensor
    """``[P, S, N]``, zero beyond a network's own inputs."""
    targets: Tensor | None = None
    """``[P, S, M]``, one-hot; None where the rule perceives no teaching signal."""


def wire(architectures: Sequence[Sequence[int]], device: torch.device | None = None) -> Wiring:
    """The wiring of networks given as units per layer, inputs first: ``[4, 10, 3]`` has two layers of weights."""
    layers = max(len(units) for units in architectures) - 1
    padded = [[*units, *[0] * (layers + 1 - len(units))] for units in architectures]
    units = torch.tensor(padded, device=device)
    return Wiring(units, existing(units, int(units[:, :-1].max()), int(units[:, 1:].max())))


def start_weights(wiring: Wiring, start: Start, generator: torch.Generator | None = None) -> Tensor:
    """Weights ``[P, L, N, M]`` before the first epoch: zero, or uniform by Glorot and Bengio (2010).

    Random numbers are drawn on the CPU, whatever the device, so that a seed means the same everywhere.
    """
    shape, device = wiring.mask.shape, wiring.mask.device
    if start == "zero":
        return torch.zeros(shape, device=device)
    noise = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
    return noise * (6 / (wiring.fan_in + wiring.fan_out).clamp(min=1)).sqrt() * wiring.mask


def draw_fires(wiring: Wiring, fraction: float, epochs: int, generator: torch.Generator | None = None) -> Tensor:
    """bool ``[epochs, P, L, N, M]``: which weights change in each epoch, each with probability ``fraction``.

    Drawn epoch by epoch, on the CPU, so that a seed means the same however many are asked for at once.
    """
    shape = wiring.mask.shape
    drawn = torch.stack([torch.rand(shape, generator=generator) < fraction for _ in range(epochs)])
    return drawn.to(wiring.mask.device) & wiring.mask


def position_codes(wiring: Wiring, positions: Positions, layer_bits: int, number_bits: int) -> Tensor:
    """``[P, L, N, M, H]``, binary with the lowest bit first: the layer's number, then where in it the weight is.

    "index": the weight's index in the layer, row by row, in ``number_bits``. "units": the number of the unit it comes
    from and of the unit it leads to, in ``number_bits`` each. "none": H = 0.
    """
    layers, rows, columns = (torch.arange(n, device=wiring.mask.device) for n in wiring.mask.shape[1:])
    shape = wiring.mask.shape
    if positions == "none":
        return torch.zeros(*shape, 0, device=wiring.mask.device)
    codes = [_bits(layers[:, None, None].expand(shape), layer_bits)]
    if positions == "index":
        codes.append(_bits(rows[:, None] * wiring.fan_out + columns, number_bits))
    else:
        codes += [_bits(rows[:, None].expand(shape), number_bits), _bits(columns.expand(shape), number_bits)]
    return torch.cat(codes, -1) * wiring.mask[..., None]


def _bits(numbers: Tensor, count: int) -> Tensor:
    return (numbers[..., None] >> torch.arange(count, device=numbers.device) & 1).float()


# --- what the task networks compute, and what their weights perceive of it ---


def run_networks(weights: Tensor, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What every layer takes, ``[P, S, N]`` each, and its sums before the ReLU, ``[P, S, M]`` each."""
    taken, sums = [inputs], []
    for layer in range(weights.shape[1]):
        sums.append(taken[-1] @ weights[:, layer])
        taken.append(_fit(sums[-1].relu(), weights.shape[2]))
    return taken[:-1], sums


def read_logits(sums: list[Tensor], wiring: Wiring) -> Tensor:
    """``[P, S, M]``: the sums of each network's own last layer, minus infinity beyond its classes."""
    logits = torch.zeros_like(sums[0])
    for here, layer_sums in zip(_is_last(wiring), sums, strict=True):
        logits = torch.where(here, layer_sums, logits)
    return logits.masked_fill(~_is_class(wiring), -torch.inf)


def silence(sums: list[Tensor], wiring: Wiring) -> Tensor:
    """How far hidden units are below a sum of 0.1 for the inputs, mean over the networks' hidden units; a scalar.

    Source: our own. A unit that is silent for every input has no gradient; one that never is passes all on.
    """
    short = torch.stack([(0.1 - layer_sums).relu().mean(1) for layer_sums in sums], 1)
    layer = torch.arange(short.shape[1], device=short.device)[None, :, None]
    hidden = (layer < wiring.depth[:, None, None] - 1) & wiring.mask.any(2)
    return (short * hidden).sum() / hidden.sum().clamp(min=1)


def sense(state: Tensor, wiring: Wiring, lesson: Lesson, senses: Senses) -> Tensor:
    """What every weight perceives of the data, averaged over the examples: ``[P, L, N, M, SIGNALS[senses]]``.

    The activations of the unit it comes from and of the unit it leads to (probabilities at the outputs). For
    "teaching" also the latter's teaching signal, and the product of the former with it. Raises ValueError for a
    lesson without targets where they are needed.
    """
    if senses == "none":
        return state.new_zeros(*wiring.mask.shape, 0)
    last, classes = _is_last(wiring), _is_class(wiring)
    taken, sums = run_networks(state[..., 0], lesson.inputs)
    outputs = read_logits(sums, wiring).softmax(-1)
    given = [torch.where(here, outputs, s.relu()) for here, s in zip(last, sums, strict=True)]
    before, after = (torch.stack([a.mean(1) for a in part], 1) for part in (taken, given))
    signals = [before[..., :, None], after[..., None, :]]
    if senses == "teaching":
        if lesson.targets is None:
            raise ValueError("a rule with a teaching signal needs targets in its lesson")
        errors = _teach(state[..., -1], last, sums, (lesson.targets - outputs) * classes)
        products = [x.transpose(1, 2) @ e / x.shape[1] for x, e in zip(taken, errors, strict=True)]
        signals += [torch.stack([e.mean(1) for e in errors], 1)[..., None, :], torch.stack(products, 1)]
    return torch.stack([signal.expand(wiring.mask.shape) for signal in signals], -1)


def _teach(feedback: Tensor, last: list[Tensor], sums: list[Tensor], output_error: Tensor) -> list[Tensor]:
    """Every layer's teaching signals ``[P, S, M]``: target minus output at the outputs.

    A hidden unit sums the signals of the units it leads to, each weighted by ``feedback [P, L, N, M]`` of the
    connection; a silent unit gets none.
    """
    errors: list[Tensor] = []
    for layer in reversed(range(len(sums))):
        error = output_error * last[layer]
        if errors:
            back = _fit(errors[0] @ feedback[:, layer + 1].transpose(1, 2), error.shape[-1])
            error = torch.where(last[layer], error, back * (sums[layer] > 0))
        errors.insert(0, error)
    return errors


def _is_last(wiring: Wiring) -> list[Tensor]:
    """Per layer, bool ``[P, 1, 1]``: whether it is a network's last."""
    layers = wiring.mask.shape[1]
    return [(wiring.depth == layer + 1)[:, None, None] for layer in range(layers)]


def _is_class(wiring: Wiring) -> Tensor:
    """bool ``[P, 1, M]``: whether a network has this output."""
    classes = wiring.units.gather(1, wiring.depth[:, None])
    return (torch.arange(wiring.mask.shape[3], device=classes.device) < classes)[:, None]


def _fit(x: Tensor, width: int) -> Tensor:
    """The last axis cut or padded with zeros; what is cut does not exist in any network."""
    return F.pad(x, (0, width - x.shape[-1]))
