"""Linear layers of several members as one matmul."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MemberLinear(nn.Module):
    """Several linear layers as one batched matmul; smaller layers are padded with weights that stay 0.

    Member ``m`` maps ``ins[m]`` numbers to ``outs[m]``; ``weight [M, out, in]`` and ``bias [M, out]`` start as those of
    ``nn.Linear``. Padded inputs and the gradients of padded outputs must be 0; otherwise the padding would learn.
    """

    def __init__(
        self, ins: Sequence[int], outs: Sequence[int], in_width: int | None = None, width: int | None = None
    ) -> None:
        super().__init__()
        in_width, width = in_width or max(ins), width or max(outs)
        bound = torch.tensor([1 / math.sqrt(size) for size in ins])
        in_mask = torch.arange(in_width) < torch.tensor(ins)[:, None]
        out_mask = torch.arange(width) < torch.tensor(outs)[:, None]
        weight = (2 * torch.rand(len(ins), width, in_width) - 1) * bound[:, None, None]
        bias = (2 * torch.rand(len(ins), width) - 1) * bound[:, None]
        self.weight = nn.Parameter(weight * out_mask[:, :, None] * in_mask[:, None, :])
        self.bias = nn.Parameter(bias * out_mask)

    def forward(self, x: Tensor) -> Tensor:
        """``[M, B, in]`` -> ``[M, B, out]``."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT)
