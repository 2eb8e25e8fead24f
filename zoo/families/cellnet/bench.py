"""Benchmark of a CellNet's training: batched against the literal version, full against sparse topology."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.learner import CellnetLearner
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.reference import LiteralCellnet
from zoo.families.cellnet.topology import ClustersTopology, FullTopology, Topology
from zoo.utils.progress import Say, say_nothing
from zoo.utils.timing import interleave

_TASK = Task((1, 28, 28), 10)
_CELLS, _BATCH = 8, 128
_TOPOLOGIES: dict[str, Topology] = {
    "full": FullTopology(),
    "clusters of 4": ClustersTopology(name="clusters", size=4),
}


def bench(quick: bool = False, say: Say = say_nothing, rounds: int = 7, budget: float = 20.0) -> list[dict[str, Any]]:
    """Time training per sample: sequences of 4 steps, 3 with input, an AdamW step after each time step.

    ``budget`` limits the seconds per contender; ``quick`` takes one round. The baseline is the literal
    version, one sample at a time.
    """
    calls: dict[str, Callable[[], object]] = {}
    facts: dict[str, tuple[str, str, int, int]] = {}
    for name, topology in _TOPOLOGIES.items():
        for kind, batch in (("literal", 1), ("batched", 1), ("batched", _BATCH)):
            key = f"{name}, {kind}, batch {batch}"
            config = CellnetConfig(cells=_CELLS, in_cells=4, input_steps=3, topology=topology)
            calls[key] = _sequence(config, kind == "literal", batch)
            facts[key] = (name, kind, len(config.edges), batch)
    spreads = interleave(calls, *((1, 0.0) if quick else (rounds, budget)), say)
    rows = []
    for key, (name, kind, edges, batch) in facts.items():
        spread, literal = spreads[key], spreads[f"{name}, literal, batch 1"]
        rows.append(
            {
                "topology": f"{_CELLS} cells, {name}, {edges} edges",
                "contender": f"{kind}, batch {batch}",
                "ms per sample": 1e3 * spread.median / batch,
                "min": 1e3 * spread.low / batch,
                "max": 1e3 * spread.high / batch,
                "x literal": literal.median * batch / spread.median,
            }
        )
    return rows


def _sequence(config: CellnetConfig, literal: bool, batch: int) -> Callable[[], None]:
    """Return a call that trains on one batch; the weights start at random."""
    torch.manual_seed(0)
    module: nn.Module = Cellnet(config, _TASK)
    inputs, labels = torch.randn(batch, *_TASK.input_shape), torch.randint(_TASK.num_classes, (batch,))
    losses: Callable[[], Iterable[Tensor]]
    if literal:
        net = LiteralCellnet(module)  # type: ignore[arg-type]
        module, losses = net, lambda: net.training_steps(inputs[0], labels[0])
    else:
        learner = CellnetLearner(module, config)
        losses = lambda: (result.loss for result in learner.training_steps(inputs, labels))  # noqa: E731
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)

    def train() -> None:
        for loss in losses():
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    return train
