"""How fast evolutions are, vectorised and weight by weight."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from zoo.families import nca_reference
from zoo.families.base import Task
from zoo.families.nca_config import MetaConfig, NcaConfig, RuleConfig
from zoo.families.nca_evolution import draw_fires
from zoo.families.nca_module import MetaNca

_EPOCHS, _REPEATS = 10, 3


def bench() -> list[dict[str, Any]]:
    """Meta-epochs per second, forward and backward, of the literal loop and of the vectorised evolution."""
    return [
        _row("one layer, population 8", [(4, 3)] * 8),
        _row("1 to 5 layers of up to 10 units, population 8", [(4, *[h] * n, 3) for n, h in _MIXED]),
    ]


_MIXED = ((0, 2), (1, 2), (1, 10), (2, 5), (2, 10), (3, 5), (4, 2), (4, 10))


def _row(what: str, architectures: Sequence[Sequence[int]]) -> dict[str, Any]:
    torch.manual_seed(0)
    config = NcaConfig(epochs=_EPOCHS, rule=RuleConfig(layer_norm=True), meta=MetaConfig(layers=(1, 5)))
    module = MetaNca(config, Task((4,), 3))
    wiring, state = module.begin(architectures)
    fires = [draw_fires(wiring, config.fraction) for _ in range(_EPOCHS)]

    def vectorised() -> torch.Tensor:
        after = state
        for _ in fires:
            after = module.step(after, wiring)
        return after

    def literal() -> torch.Tensor:
        return nca_reference.evolve(module.rule, state, wiring, fires, config.rule.pooling)

    fast, slow = _seconds(vectorised, _REPEATS), _seconds(literal, 1)
    return {
        "what": f"{what}, {_EPOCHS} epochs",
        "meta-epochs/s": 1 / fast,
        "literal loop, meta-epochs/s": 1 / slow,
        "times the literal loop": slow / fast,
    }


def _seconds(evolve: Callable[[], torch.Tensor], repeats: int) -> float:
    """The fastest of some runs, forward and backward, after one that does not count when there are several."""
    times = []
    for _ in range(repeats + (repeats > 1)):
        started = time.perf_counter()
        torch.autograd.backward(evolve()[..., 0].square().sum())
        times.append(time.perf_counter() - started)
    return min(times[1:] or times)
