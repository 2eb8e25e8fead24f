"""The specification of an evolution, weight by weight in Python loops; tests compare the vectorised one with it.

It evolves one task network at a time, with layers as nested lists of states: nothing is padded, nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from zoo.config.options import Pooling
from zoo.families.nca.config import Senses
from zoo.families.nca.population import Wiring
from zoo.families.nca.sensing import SupportSet

Rule = Callable[[Tensor], Tensor]
"""Perceptions ``[features]`` -> changes of the state ``[C]``."""
Layer = list[list[Tensor]]
"""``[inputs][outputs]`` of states ``[C]``."""
Example = tuple[Tensor, Tensor]
"""Inputs ``[units]`` and target ``[classes]`` of one network."""


def evolve(
    rule: Rule,
    state: Tensor,
    wiring: Wiring,
    fire_mask: Tensor,
    pooling: Pooling,
    senses: Senses = "none",
    support: SupportSet | None = None,
) -> Tensor:
    """Evolve states ``[P, L, N, M, C]`` for the T epochs of ``fire_mask [T, P, L, N, M]`` and return the new ones."""
    result = state.clone()
    for network in range(len(state)):
        units = [int(n) for n in wiring.units[network] if n > 0]
        layers = [
            [[state[network, layer, i, j] for j in range(m)] for i in range(n)]
            for layer, (n, m) in enumerate(pairwise(units))
        ]
        examples = _examples(support, network, units) if support is not None else []
        for epoch in fire_mask:
            layers = _epoch(rule, layers, epoch[network], pooling, senses, examples)
        for layer, rows in enumerate(layers):
            for i, row in enumerate(rows):
                for j, weight in enumerate(row):
                    result[network, layer, i, j] = weight
    return result


def _examples(support: SupportSet, network: int, units: list[int]) -> list[Example]:
    inputs = support.inputs[network, :, : units[0]]
    if support.targets is None:
        return [(x, x.new_zeros(units[-1])) for x in inputs]
    return list(zip(inputs, support.targets[network, :, : units[-1]], strict=True))


def _epoch(
    rule: Rule,
    layers: list[Layer],
    fire_mask: Tensor,
    pooling: Pooling,
    senses: Senses,
    examples: list[Example],
) -> list[Layer]:
    """Compute all changes from the same state, then apply those that ``fire_mask [L, N, M]`` selects."""
    signals = _signals(layers, examples, senses)
    changed: list[Layer] = []
    for number, layer in enumerate(layers):
        changed.append([])
        for i, row in enumerate(layer):
            changed[-1].append([])
            for j, own in enumerate(row):
                into = [layer[k][j] for k in range(len(layer)) if k != i]
                out_of = [row[k] for k in range(len(row)) if k != j]
                parts = [own, _pool(into, own, pooling), _pool(out_of, own, pooling), signals[number][i][j]]
                change = rule(torch.cat(parts)) if bool(fire_mask[number, i, j]) else torch.zeros_like(own)
                changed[-1][-1].append(own + change)
    return changed


def _pool(neighbours: list[Tensor], own: Tensor, pooling: Pooling) -> Tensor:
    """Reduce the neighbours' states; a weight alone in its row or column perceives zeros."""
    total = torch.zeros_like(own)
    for neighbour in neighbours:
        total = total + neighbour
    return total / len(neighbours) if pooling == "mean" and neighbours else total


def _signals(layers: list[Layer], examples: list[Example], senses: Senses) -> list[Layer]:
    """Return the signals that each weight perceives from the data, averaged over the examples one by one."""
    like = layers[0][0][0]
    count = {"none": 0, "activations": 2, "sums": 2, "teaching": 4}[senses]
    totals = [[[like.new_zeros(count) for _ in row] for row in layer] for layer in layers]
    if senses == "none":
        return totals
    for inputs, target in examples:
        before, sums, after = _run(layers, inputs)
        if senses == "sums":
            before, after = [inputs, *sums[:-1]], sums
        errors = _errors(layers, sums, after, target) if senses == "teaching" else after
        for number, layer in enumerate(layers):
            for i, row in enumerate(layer):
                for j in range(len(row)):
                    seen = [before[number][i], after[number][j]]
                    if senses == "teaching":
                        seen += [errors[number][j], before[number][i] * errors[number][j]]
                    totals[number][i][j] = totals[number][i][j] + torch.stack(seen) / len(examples)
    return totals


def _run(layers: list[Layer], inputs: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return each layer's inputs, sums and outputs; the last layer's outputs are probabilities."""
    before, sums, after = [], [], []
    x = inputs
    for number, layer in enumerate(layers):
        before.append(x)
        outputs = range(len(layer[0]))
        sums.append(
            torch.stack([sum((x[i] * layer[i][j][0] for i in range(len(layer))), x.new_zeros(())) for j in outputs])
        )
        x = sums[-1].softmax(-1) if number == len(layers) - 1 else sums[-1].relu()
        after.append(x)
    return before, sums, after


def _errors(layers: list[Layer], sums: list[Tensor], after: list[Tensor], target: Tensor) -> list[Tensor]:
    """Return teaching signals: target minus output at the outputs; elsewhere the sum over outgoing connections.

    A silent unit gets none.
    """
    errors = [target - after[-1]]
    for number in range(len(layers) - 1, 0, -1):
        back = [
            sum((layers[number][i][j][-1] * errors[0][j] for j in range(len(errors[0]))), target.new_zeros(()))
            for i in range(len(layers[number]))
        ]
        errors.insert(0, torch.stack(back) * (sums[number - 1] > 0))
    return errors
