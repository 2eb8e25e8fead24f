"""The products of a training step: its matrix products, convolutions and kernels, recorded and then repeated alone.

A step cannot be faster than its products, so their time is the measure of everything around them. The recorder sits
below autograd, where every call of torch ends as calls of ops: forward, backward and the gradients that a learner takes
itself look alike there, and so do custom autograd functions, ``torch.func`` and compiled modules, which run eagerly
meanwhile. It sees no work that torch does not dispatch, such as that of NumPy.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_OF_TORCH = re.compile(
    r"\w*mm(_activation|_v2)?_?|(add)?mv_?|addr_?|v?dot|_?trilinear|_?cdist_(forward|backward)"
    r"|(mkldnn_)?linear(_backward\w*)?|\w*(matmul|conv(?!ert)|attention|_rnn)\w*"
)
"""Names of torch's own products: of matrices and vectors, convolutions, attention, recurrent layers in one call."""
_NAMESPACES = {
    "aten", "prim", "prims", "rngprims", "debugprims", "profiler", "inductor", "cuda", "streams", "mempool", "fsdp",
    "c10d", "c10d_functional", "_c10d_functional", "_c10d_functional_autograd", "symm_mem", "_dtensor",
}  # fmt: skip
"""Torch's own namespaces; an op in any other, such as ``zoo``, is a kernel."""


def is_product(op: OpOverload) -> bool:
    """Return True for a matrix product, a convolution or a kernel, forward or backward."""
    name = op.name().split("::")[1].split(".")[0]  # type: ignore[no-untyped-call]
    return op.namespace not in _NAMESPACES or (op.namespace == "aten" and _OF_TORCH.fullmatch(name) is not None)


class Call(NamedTuple):
    """A product as a step issued it."""

    op: OpOverload
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def shapes(self) -> list[list[int]]:
        """The shapes of the tensors among the arguments."""
        return [list(argument.shape) for argument in self.arguments if isinstance(argument, Tensor)]


class ProductRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the products that are computed within ``with recorder:``; each ``with`` starts again.

    It holds their arguments, not copies, so it needs as much memory as a step that frees nothing. An argument that the
    op changes is copied, so that repeating the products changes no tensor of the training.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []

    def __enter__(self) -> ProductRecorder:
        self.calls = []
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if is_product(op):
            keep = _copied if op._schema.is_mutable else _detached
            self.calls.append(Call(op, tree_map_only(Tensor, keep, args), tree_map_only(Tensor, keep, options)))
        return op(*args, **options)

    @torch.no_grad()
    def repeat(self) -> None:
        """Compute the recorded products again, in their order, and drop the results."""
        for op, arguments, options in self.calls:
            op(*arguments, **options)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _detached(tensor: Tensor) -> Tensor:
    """Return a tensor that holds no graph: the same one, where it has none, so that what is known of it stays so."""
    return tensor.detach() if tensor.requires_grad else tensor
