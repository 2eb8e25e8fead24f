"""The registered torch op ``zoo::sparse_network``, compiled for the CPU: its work is in the edges alone.

Every body checks its arguments and takes tensors of any strides; the kernel checks every index.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from sdk.kernels import FUNCTIONS
from zoo.kernels import runtime
from zoo.kernels.arguments import aligned, require
from zoo.kernels.sparse_network.structure import Network
from zoo.kernels.vmap import map_by_slices

DTYPES = {torch.float32: "float", torch.float64: "double"}
_NETWORK = "Tensor columns, Tensor starts, Tensor sources, Tensor slots"
_NAMES = ("columns", "starts", "sources", "slots")


def run_op(x: Tensor, weight: Tensor, bias: Tensor, network: Network, function: str) -> Tensor:
    """Call the op: ``x [B, inputs]``, ``weight [slots]``, ``bias [biases]`` -> ``[B, outputs]``."""
    y: Tensor = _forward(x, weight, bias, *network.tensors, network.outputs, function)[0]
    return y


def _check(
    x: Tensor, weight: Tensor, bias: Tensor, network: tuple[Tensor, ...], outputs: int, function: str, **more: Tensor
) -> None:
    """Check all arguments that the two passes share, and kind and device of those of the backward pass."""
    numbers = {"x": x, "weight": weight, "bias": bias, **more}
    indices = dict(zip(_NAMES, network, strict=True))
    require((*numbers, *indices), *numbers.values(), *indices.values())
    if weight.dtype not in DTYPES:
        raise TypeError(f"weight should be float32 or float64, found {weight.dtype}")
    for name, tensor in (numbers | indices).items():
        wanted = torch.int32 if name in indices else weight.dtype
        if tensor.dtype != wanted:
            raise TypeError(f"{name} should be {wanted}, found {tensor.dtype}")
        if tensor.device != weight.device:
            raise ValueError(f"{name} is on {tensor.device}, weight on {weight.device}: they should be the same")
        if tensor.layout != torch.strided:
            raise ValueError(f"{name} should be dense, found {tensor.layout}")
        axes = 2 if name in ("x", "grad_y") else 1
        if tensor.ndim != axes:
            raise ValueError(f"{name} should have {axes} axes, found {list(tensor.shape)}")
    computed, biases = len(indices["starts"]) - 1, len(bias)
    if not 1 <= outputs <= computed:
        raise ValueError(f"outputs should be 1 to {computed}, the computed units of starts, found {outputs}")
    if biases < 1 or computed % biases:
        raise ValueError(f"bias should have a length that divides {computed}, the computed units, found {biases}")
    if indices["sources"].shape != indices["slots"].shape:
        raise ValueError(
            f"slots should be {list(indices['sources'].shape)} like sources, found {len(indices['slots'])}"
        )
    if function not in FUNCTIONS:
        raise ValueError(f"function should be one of {', '.join(FUNCTIONS)}, found {function!r}")


def _rows(network: tuple[Tensor, ...]) -> int:
    columns, starts = network[:2]
    return columns.shape[0] + starts.shape[0] - 1


def _saved_size(batch: Any, network: tuple[Tensor, ...]) -> Any:
    """Return the numbers of all rows of all tiles. ``saved`` is flat: a symbolic number of tiles would be guarded."""
    tile = runtime.compiled().sparse_network_tile
    return (batch + tile - 1) // tile * (_rows(network) * tile)


def _sizes(x: Tensor, weight: Tensor, bias: Tensor, network: list[Tensor], outputs: int) -> list[int]:
    """Return the network's sizes in the order in which the kernels take them."""
    columns, starts, sources, _ = network
    return [x.shape[1], len(columns), len(starts) - 1, outputs, len(weight), len(bias), len(sources)]


def _addresses(tensors: list[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


@custom_op(
    "zoo::sparse_network",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weight, Tensor bias, {_NETWORK}, SymInt outputs, str function) -> (Tensor, Tensor)",
)
def _forward(x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Return ``[B, outputs]`` and, for the backward pass, every row ``[tiles, rows, samples]``, flat."""
    network, (outputs, function) = rest[:4], rest[4:]
    _check(x, weight, bias, network, outputs, function)
    y, saved = x.new_empty(len(x), outputs), x.new_empty(_saved_size(len(x), network))
    if len(x):
        x, weight, bias, *edges = (tensor.contiguous() for tensor in (x, weight, bias, *network))
        kernel = getattr(runtime.compiled(), f"sparse_network_forward_{DTYPES[x.dtype]}")
        kernel(
            _sizes(x, weight, bias, edges, outputs), _addresses(edges), FUNCTIONS[function], len(x), x.data_ptr(),
            weight.data_ptr(), bias.data_ptr(), saved.data_ptr(), y.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
    return y, saved


@_forward.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    network, (outputs, function) = rest[:4], rest[4:]
    _check(x, weight, bias, network, outputs, function)
    return x.new_empty(x.shape[0], outputs), x.new_empty(_saved_size(x.shape[0], network))


@custom_op(
    "zoo::sparse_network_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weight, Tensor bias, Tensor saved, Tensor grad_y, {_NETWORK}, SymInt outputs, "
    "str function, bool need_x) -> (Tensor, Tensor, Tensor)",
)
def _backward_op(
    x: Tensor, weight: Tensor, bias: Tensor, saved: Tensor, grad_y: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x (empty without ``need_x``), weight and bias."""
    network, (outputs, function, need_x) = rest[:4], rest[4:]
    _check_backward(x, weight, bias, saved, grad_y, network, outputs, function)
    grads = _new_grads(x, weight, bias, need_x)
    if len(x):
        weight, grad_y, *edges = (tensor.contiguous() for tensor in (weight, grad_y, *network))
        saved = aligned(saved)
        grad_x, grad_weight, grad_bias = _addresses(list(grads))
        kernel = getattr(runtime.compiled(), f"sparse_network_backward_{DTYPES[weight.dtype]}")
        kernel(
            _sizes(x, weight, bias, edges, outputs), _addresses(edges), FUNCTIONS[function], len(x), weight.data_ptr(),
            saved.data_ptr(), grad_y.data_ptr(), grad_weight, grad_bias, grad_x if need_x else 0,
            torch.get_num_threads(),
        )  # fmt: skip
    return grads


@_backward_op.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, saved: Tensor, grad_y: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    network, (outputs, function, need_x) = rest[:4], rest[4:]
    _check_backward(x, weight, bias, saved, grad_y, network, outputs, function)
    return _new_grads(x, weight, bias, need_x)


def _check_backward(
    x: Tensor, weight: Tensor, bias: Tensor, saved: Tensor, grad_y: Tensor, network: tuple[Tensor, ...], outputs: int,
    function: str,
) -> None:  # fmt: skip
    _check(x, weight, bias, network, outputs, function, saved=saved, grad_y=grad_y)
    for name, tensor, wanted in (
        ("grad_y", grad_y, (x.shape[0], outputs)),
        ("saved", saved, (_saved_size(x.shape[0], network),)),
    ):
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"{name} should be {list(wanted)}, found {list(tensor.shape)}")


def _new_grads(x: Tensor, weight: Tensor, bias: Tensor, need_x: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients' memory, zeros for an empty batch."""
    make = weight.new_zeros if x.shape[0] == 0 else weight.new_empty
    return make(x.shape if need_x else 0), make(weight.shape), make(bias.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], output[1], *inputs[3:7])
    ctx.options = inputs[7:]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or autograd makes zeros of the saved rows' size


def _backward(ctx: Any, grad_y: Tensor | None, _grad_saved: None) -> tuple[Tensor | None, ...]:
    if grad_y is None:
        return (None,) * 9
    x, weight, bias, saved, *network = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    grads = _backward_op(x, weight, bias, saved, grad_y, *network, *ctx.options, needed[0])
    return (*(grad if need else None for grad, need in zip(grads, needed, strict=True)), *(None,) * 6)


_forward.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_forward, "cpu", torch.float32)
map_by_slices(_forward)
map_by_slices(_backward_op)
