"""Counts the calls of torch that would make the host wait for a GPU, on any device."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_READS = {
    "aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero", "aten::masked_select",
    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::bincount", "aten::repeat_interleave",
}  # fmt: skip
"""Ops whose result or its size the host needs."""


class Reads(TorchDispatchMode):
    """Counts them while active, in forward and backward; on a GPU each would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_read(func, args):
            self.found[func._schema.name] += 1
        return func(*args, **(kwargs or {}))


def is_read(op: Any, args: Any) -> bool:
    """True for a call whose result, or its size, the host needs."""
    name = op._schema.name
    return name in _READS or (name.startswith("aten::index") and any(map(_is_mask, args)))


def _is_mask(argument: Any) -> bool:
    """True for boolean tensors in the list of indices, which index by :func:`torch.nonzero`."""
    if not isinstance(argument, list | tuple):
        return False
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in argument)
