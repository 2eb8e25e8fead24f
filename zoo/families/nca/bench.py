"""Speed of evolutions: the kernel, its torch reference, the literal loop, and the rule's matrix products alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from zoo.data.task import Task
from zoo.families.nca import reference
from zoo.families.nca.config import MetaConfig, NcaConfig, RuleConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import draw_fire_mask
from zoo.kernels import runtime
from zoo.kernels.nca.reference import evolve_reference
from zoo.utils.progress import Say, say_nothing

_EPOCHS, _REPEATS = 20, 15
_SMALL = RuleConfig(layer_norm=True)
_WIDE = RuleConfig(layer_norm=True, hidden=(32, 32), positions="units")
_MIXED = ((0, 2), (1, 2), (1, 10), (2, 5), (2, 10), (3, 5), (4, 2), (4, 10))


def bench(quick: bool = False, say: Say = say_nothing) -> list[dict[str, Any]]:
    """Return rows of CPU milliseconds, summed over threads, for forward and backward of the same evolution.

    The literal loop is the slow end. The fast end is the matrix products of the rule's MLP alone: for as many weights
    as change, forward and backward, into preallocated buffers. ``quick`` times two epochs once,
    and the literal loop of the smallest network only.
    """
    runtime.keep_freed_memory()  # as training does; every contender benefits
    mixed = [(4, *[h] * n, 3) for n, h in _MIXED]
    epochs, repeats = (2, 1) if quick else (_EPOCHS, _REPEATS)
    measure = partial(_row, epochs=epochs, repeats=repeats, say=say)
    return [
        measure("one layer, population 8", [(4, 3)] * 8, _SMALL),
        measure("1 to 5 layers of up to 10 units, population 8", mixed, _SMALL, literally=not quick),
        measure("the same with the rule of nca-iris-deep", mixed, _WIDE, literally=not quick),
        measure("3 layers, 64 units, population 8, the same rule", [(16, 64, 64, 10)] * 8, _WIDE, literally=False),
    ]


def _row(
    what: str,
    architectures: Sequence[Sequence[int]],
    rule: RuleConfig,
    *,
    epochs: int,
    repeats: int,
    say: Say,
    literally: bool = True,
) -> dict[str, Any]:
    torch.manual_seed(0)
    meta = MetaConfig(layers=(1, 5), hidden=tuple({max(units) for units in architectures}))
    config = NcaConfig(epochs=epochs, rule=rule, meta=meta)
    module = MetaNca(config, Task((architectures[0][0],), architectures[0][-1]))
    wiring, state = module.begin(architectures)
    fire_mask = draw_fire_mask(wiring, config.fraction, epochs)

    def kernel() -> Tensor:
        return module.rule.evolve(state, wiring, fire_mask)

    def torch_reference() -> Tensor:
        rule = module.rule
        return evolve_reference(state, None, fire_mask, wiring.units, rule.flat_parameters(), rule.spec)

    def literal() -> Tensor:
        return reference.evolve(module.rule, state, wiring, fire_mask, config.rule.pooling)

    products = _products(module, int(fire_mask[0].sum()), epochs)
    say(f"{what}: kernel, torch and matrix products")
    fast, torch_ops, least = _seconds([_both_ways(kernel), _both_ways(torch_reference), products], repeats)
    if literally:
        say(f"{what}: literal loop")
    slow = _seconds([_both_ways(literal)], 1)[0] if literally else None
    return {
        "what": f"{what}, {epochs} epochs",
        "kernel, ms": 1e3 * fast,
        "torch, ms": 1e3 * torch_ops,
        "matrix products, ms": 1e3 * least,
        "literal loop, ms": 1e3 * slow if slow else None,
        "literal over kernel": slow / fast if slow else None,
        "torch over kernel": torch_ops / fast,
        "kernel over matrix products": fast / least,
    }


def _both_ways(run: Callable[[], Tensor]) -> Callable[[], None]:
    return lambda: torch.autograd.backward(run()[..., 0].square().sum())


def _products(module: MetaNca, count: int, epochs: int) -> Callable[[], None]:
    """Return a function that runs the rule's matrix products, forward and backward, for ``count`` weights per epoch."""
    widths = [module.rule.features, *(layer.out_features for layer in module.rule.linears)]
    values, grads = ([torch.randn(count, width) for width in widths] for _ in range(2))
    matrices = [(torch.randn(m, n), torch.empty(m, n)) for n, m in pairwise(widths)]

    def run() -> None:
        for _ in range(epochs):
            for number, (weight, grad) in enumerate(matrices):
                torch.mm(values[number], weight.T, out=values[number + 1])
                torch.mm(grads[number + 1], weight, out=grads[number])
                torch.mm(grads[number + 1].T, values[number], out=grad)

    return run


def _seconds(runs: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Return the CPU time of the fastest run of each, taken in turns; the first of several rounds is a warm-up."""
    rounds = []
    for _ in range(repeats + (repeats > 1)):
        rounds.append([_timed(run) for run in runs])
    return [min(times) for times in zip(*(rounds[1:] or rounds), strict=True)]


def _timed(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
