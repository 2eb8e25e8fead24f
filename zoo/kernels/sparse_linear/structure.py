"""The structure of a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Structure:
    """The structure of a sparse ``[outputs, inputs]`` matrix. Values are ordered by row, then by column."""

    outputs: int
    inputs: int
    row_starts: Tensor
    """Index of each row's first entry, int32 ``[outputs + 1]``."""
    columns: Tensor
    """Each entry's column, int32 ``[entries]``."""
    column_starts: Tensor
    """Index of each column's first entry, in column order, int32 ``[inputs + 1]``."""
    rows: Tensor
    """Each entry's row, in column order, int32 ``[entries]``."""
    order: Tensor
    """Each entry's index in row order, in column order, int32 ``[entries]``."""

    @classmethod
    def of(cls, outputs: int, inputs: int, rows: Tensor, columns: Tensor) -> Structure:
        """Build from the entries' rows and columns, int64 ``[entries]``; raises ValueError unless they are sorted."""
        flat = rows * inputs + columns
        inside = (rows >= 0) & (rows < outputs) & (columns >= 0) & (columns < inputs)
        if not bool(inside.all()) or not bool((flat[1:] > flat[:-1]).all()):
            raise ValueError(f"rows and columns should be entries of [{outputs}, {inputs}], sorted, each once")
        order = torch.argsort(columns, stable=True)
        return cls(
            outputs, inputs, _starts(rows, outputs), columns.int(), _starts(columns, inputs), rows[order].int(),
            order.int(),
        )  # fmt: skip

    @property
    def entries(self) -> int:
        return len(self.columns)

    @property
    def density(self) -> float:
        return self.entries / (self.outputs * self.inputs)

    @cached_property
    def flat(self) -> Tensor:
        """Each entry's position in the row-major matrix, int64 ``[entries]``."""
        counts = self.row_starts.diff().long()
        rows = torch.repeat_interleave(torch.arange(self.outputs, device=counts.device), counts)
        return rows * self.inputs + self.columns

    @property
    def pattern(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The tensors that the op takes, in order."""
        return self.row_starts, self.columns, self.column_starts, self.rows, self.order


def _starts(sorted_or_not: Tensor, count: int) -> Tensor:
    sizes = torch.bincount(sorted_or_not, minlength=count)
    return F.pad(sizes.cumsum(0), (1, 0)).int()
