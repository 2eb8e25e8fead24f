"""Signals that the weights of a population perceive from the data: activations and, optionally, teaching signals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.families.nca.config import Senses
from zoo.families.nca.networks import fit_width, read_logits, run_networks
from zoo.families.nca.population import Wiring

SIGNALS: dict[Senses, int] = {"none": 0, "activations": 2, "sums": 2, "teaching": 4}
"""Numbers that a weight perceives from the data."""


@dataclass(frozen=True)
class SupportSet:
    """The examples that the networks of a population learn from, the same number for each."""

    inputs: Tensor
    """``[P, S, N]``, zero beyond a network's own inputs."""
    targets: Tensor | None = None
    """``[P, S, M]``, one-hot; None where the rule perceives no teaching signal."""


def sense(state: Tensor, wiring: Wiring, support: SupportSet, senses: Senses) -> Tensor:
    """Return the signals ``[P, L, N, M, SIGNALS[senses]]`` of every weight, averaged over the support set.

    They are the activations of the unit that a weight comes from and of the unit that it leads to (probabilities at
    the outputs); with "sums", the sums before them (the inputs themselves, the logits at the outputs). "teaching" adds
    the latter's teaching signal, and its product with the activation of the former. Raises ValueError for a support
    set without targets where they are needed.
    """
    if senses == "none":
        return state.new_zeros(*wiring.mask.shape, 0)
    last = wiring.is_last
    layer_inputs, sums = run_networks(state[..., 0], support.inputs)
    if senses == "sums":
        width = support.inputs.shape[-1]
        layer_inputs = [support.inputs, *(fit_width(s, width) for s in sums[:-1])]
        return _spread(wiring, layer_inputs, sums)
    outputs = read_logits(sums, wiring).softmax(-1)
    layer_outputs = [torch.where(here, outputs, s.relu()) for here, s in zip(last, sums, strict=True)]
    seen = _spread(wiring, layer_inputs, layer_outputs)
    if senses == "teaching":
        if support.targets is None:
            raise ValueError("support.targets: found None, a rule with a teaching signal needs targets [P, S, M]")
        output_error = (support.targets - outputs) * wiring.is_class
        errors = _teaching_signals(state[..., -1], last, sums, output_error)
        products = [x.transpose(1, 2) @ e / x.shape[1] for x, e in zip(layer_inputs, errors, strict=True)]
        signals = [torch.stack([e.mean(1) for e in errors], 1)[..., None, :], torch.stack(products, 1)]
        return torch.cat([seen, torch.stack([signal.expand(wiring.mask.shape) for signal in signals], -1)], -1)
    return seen


def _spread(wiring: Wiring, before: list[Tensor], after: list[Tensor]) -> Tensor:
    """Return values of the units at either end, per layer ``[P, S, N]`` and ``[P, S, M]``, for every weight."""
    ends = [torch.stack([values.mean(1) for values in part], 1) for part in (before, after)]
    signals = ends[0][..., :, None], ends[1][..., None, :]
    return torch.stack([signal.expand(wiring.mask.shape) for signal in signals], -1)


def _teaching_signals(feedback: Tensor, last: list[Tensor], sums: list[Tensor], output_error: Tensor) -> list[Tensor]:
    """Return every layer's teaching signals ``[P, S, M]``: target minus output at the outputs.

    A hidden unit sums the signals of the units it leads to, each weighted by the ``feedback [P, L, N, M]`` of the
    connection; a silent unit gets none.
    """
    errors: list[Tensor] = []
    for layer in reversed(range(len(sums))):
        error = output_error * last[layer]
        if errors:
            back = fit_width(errors[0] @ feedback[:, layer + 1].transpose(1, 2), error.shape[-1])
            error = torch.where(last[layer], error, back * (sums[layer] > 0))
        errors.insert(0, error)
    return errors
