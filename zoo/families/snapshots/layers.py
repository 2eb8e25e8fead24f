"""A sparse linear layer whose structure can grow while it trains."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure


class SparseLinear(nn.Module):
    """``y = x W^T + b`` with few weights: ``[..., in_features] -> [..., out_features]``.

    Starts with ``density`` of all connections, drawn at random, and never holds more than ``max_density`` (default:
    the same, so that the structure is fixed). :meth:`grow` adds connections. Weights live in slots in the order in
    which they were added, so that an optimizer created before a growth trains the new ones, too; slots without a
    connection hold 0 and are never read. Inputs are float32 or float64. Raises ValueError for densities outside (0, 1].
    """

    weight: nn.Parameter
    rows: Tensor
    columns: Tensor
    count: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float = 0.1,
        max_density: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        most = density if max_density is None else max_density
        if not 0 < density <= most <= 1:
            raise ValueError(f"density: found {density} of at most {most}, allowed 0 < density <= max_density <= 1")
        self.in_features, self.out_features = in_features, out_features
        size = in_features * out_features
        slots = max(1, round(most * size))
        self.weight = nn.Parameter(torch.zeros(slots))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("rows", torch.zeros(slots, dtype=torch.int32))
        self.register_buffer("columns", torch.zeros(slots, dtype=torch.int32))
        self.register_buffer("count", torch.zeros((), dtype=torch.int32))
        self._sorted: tuple[Structure, Tensor] | None = None
        self.register_load_state_dict_post_hook(_check_loaded)  # type: ignore[no-untyped-call]
        flat = torch.randperm(size)[: max(1, round(density * size))]
        fan_in = max(1.0, len(flat) / out_features)
        self._add(flat, (2 * torch.rand(len(flat)) - 1) * math.sqrt(3 / fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """Features ``[..., in_features]`` -> features ``[..., out_features]``."""
        structure, order = self._structure()
        y = sparse_linear(x.reshape(-1, x.shape[-1]), self.weight.index_select(0, order), structure)
        y = y.view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    @property
    def connections(self) -> int:
        """Number of connections."""
        return int(self.count)

    @property
    def room(self) -> int:
        """Number of connections that :meth:`grow` can still add."""
        return len(self.weight) - self.connections

    def dense(self) -> Tensor:
        """Return the matrix ``[out_features, in_features]`` with zeros where no connection is; differentiable."""
        count = self.connections
        matrix = self.weight.new_zeros(self.out_features, self.in_features)
        return matrix.index_put((self.rows[:count].long(), self.columns[:count].long()), self.weight[:count])

    @torch.no_grad()
    def grow(self, connections: int, scores: Tensor | None = None) -> int:
        """Add up to ``connections`` new ones with weight 0, so that outputs stay; return the number added.

        They are those with the highest ``scores [out_features, in_features]``, such as the size of the gradient of the
        dense matrix, or random ones; a score of -inf rules one out. Raises ValueError for scores of another shape or
        NaN, and for a negative number of connections.
        """
        if connections < 0:
            raise ValueError(f"connections: found {connections}, expected 0 or more")
        shape = (self.out_features, self.in_features)
        if scores is None:
            scores = torch.rand(shape)
        if scores.shape != shape:
            raise ValueError(f"scores: found {list(scores.shape)}, expected {list(shape)}")
        if bool(scores.isnan().any()):
            raise ValueError("scores: found NaN, expected numbers, or -inf where no connection should be")
        count = self.connections
        free = scores.detach().float().cpu().clone()
        free[self.rows[:count].long().cpu(), self.columns[:count].long().cpu()] = -torch.inf
        count = min(connections, self.room, int((free > -torch.inf).sum()))
        chosen = free.flatten().argsort(descending=True, stable=True)[:count]
        self._add(chosen, torch.zeros(len(chosen)))
        return len(chosen)

    @torch.no_grad()
    def _add(self, flat: Tensor, weight: Tensor) -> None:
        """Give the next slots to connections at positions ``flat`` of the row-major matrix."""
        first, last = self.connections, self.connections + len(flat)
        self.rows[first:last] = (flat // self.in_features).to(self.rows)
        self.columns[first:last] = (flat % self.in_features).to(self.columns)
        self.weight[first:last] = weight.to(self.weight)
        self.count.fill_(last)
        self._sorted = None

    def _structure(self) -> tuple[Structure, Tensor]:
        """Return the structure and the slots in its order; both are cached until the structure changes."""
        if self._sorted is None:
            count = self.connections
            rows, columns = self.rows[:count].long(), self.columns[:count].long()
            order = (rows * self.in_features + columns).argsort()
            built = Structure.of(self.out_features, self.in_features, rows[order], columns[order])
            self._sorted = built, order
        return self._sorted

    def _apply(self, fn: Any, recurse: bool = True) -> SparseLinear:
        self._sorted = None  # its tensors are on one device
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, connections={self.connections} of {len(self.weight)}"


def _check_loaded(layer: SparseLinear, _keys: Any) -> None:
    """Raise ValueError unless the loaded state is a structure: weight files may come from strangers."""
    layer._sorted = None
    count, slots = layer.connections, len(layer.weight)
    if not 0 < count <= slots:
        raise ValueError(f"count: found {count} connections, allowed 1 to {slots}")
    rows, columns = layer.rows[:count].long(), layer.columns[:count].long()
    inside = (rows >= 0) & (rows < layer.out_features) & (columns >= 0) & (columns < layer.in_features)
    if not bool(inside.all()):
        raise ValueError(f"rows, columns: found connections outside [{layer.out_features}, {layer.in_features}]")
    if len(torch.unique(rows * layer.in_features + columns)) < count:
        raise ValueError("rows, columns: found a connection twice")
