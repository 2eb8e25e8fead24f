"""A CellNet's cells as a layer: features enter at the InCells, and the OutCells give features."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.topology import FullTopology, Topology


def config_of(steps: int, topology: Topology | None, **options: Any) -> CellnetConfig:
    """Return the config that a layer's arguments make; raises ValueError, which names the one that does not fit."""
    try:
        return CellnetConfig(steps=steps, input_steps=steps, topology=topology or FullTopology(), **options)
    except ValidationError as error:
        found = error.errors()[0]
        place = "".join(f"{part}: " for part in found["loc"][:1])
        raise ValueError(f"{place}{found['msg'].removeprefix('Value error, ')}") from error


class CellBlock(nn.Module):
    """Cells that exchange their cores for ``steps``: ``[..., in_features] -> [..., out_features]``.

    Each of ``cells`` has a core of ``core`` floats, which starts as ones. In every step an MLP of width ``hidden`` for
    each edge of the topology (default: all pairs) adds to its target's core, and a linear map of the input adds to the
    cores of the first ``in_cells``. An MLP reads the output from the cores of the last ``out_cells``.

    In a loop of your own the block learns by backpropagation through its steps; CellNet's loss (a) belongs to
    :class:`zoo.families.cellnet.learner.CellnetLearner`. Raises ValueError for options that do not fit each other, such
    as a topology in which the input does not reach an OutCell within ``steps``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        cells: int = 4,
        in_cells: int = 2,
        out_cells: int = 1,
        core: int | tuple[int, ...] = 32,
        hidden: int = 32,
        steps: int = 2,
        topology: Topology | None = None,
    ) -> None:
        super().__init__()
        config = config_of(
            steps, topology, cells=cells, in_cells=in_cells, out_cells=out_cells, core=core, hidden=hidden
        )
        self.in_features, self.out_features = in_features, out_features
        self.net = Cellnet(config, Task((in_features,), out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Features ``[..., in_features]`` -> features ``[..., out_features]``; raises ValueError for other widths."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"x should be [..., {self.in_features}], found {list(x.shape)}")
        y: Tensor = self.net(x.reshape(-1, self.in_features))
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, cells={self.net.config.cells}"
