"""All epochs of an evolution of Meta-NCA's task networks as one registered op, ``zoo::nca_evolve``.

:mod:`zoo.kernels.nca.reference` is the specification; it also runs with ZOO_KERNELS=reference and on devices without a
compiled body. The compiled one works on weights that exist, and on perceptions of those that change, alone.

For the backward pass it keeps the states before every epoch and computes the rest again: ``T * C`` numbers per weight
that exists, in a buffer with room for ``T * C`` per place of the padded tensor (what is not needed is never touched).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime as backend

_CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
_CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}
_HIDDEN = {"silu": 0, "relu": 1}
_CHANGES = {"linear": 0, "tanh": 1, "sigmoid": 2}


# --- the op ---


def _config(
    state: Tensor,
    fires: Tensor,
    widths: list[int],
    hidden: str,
    change: str,
    scale: float,
    pooling: str,
    norm: bool,
    norm_eps: float,
) -> Any:
    shape = [int(n) for n in state.shape]
    return backend.compiled().NcaConfig(
        shape=[*shape, widths[0] - 3 * shape[-1]],
        epochs=int(fires.shape[0]),
        widths=widths,
        hidden=_HIDDEN[hidden],
        change=_CHANGES[change],
        scale=scale,
        mean=pooling == "mean",
        norm=norm,
        norm_eps=norm_eps,
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _new_kept(config: Any, state: Tensor, keep: bool) -> Tensor:
    return state.new_empty(backend.compiled().nca_kept_size(config) if keep else 0)


@custom_op("zoo::nca_evolve", mutates_args=(), device_types="cpu")
def _evolve(
    state: Tensor,
    signals: Tensor | None,
    fires: Tensor,
    units: Tensor,
    parameters: Tensor,
    widths: list[int],
    hidden: str,
    change: str,
    scale: float,
    pooling: str,
    norm: bool,
    norm_eps: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The evolved states and, with ``keep``, what backward needs (flat, else empty)."""
    config = _config(state, fires, widths, hidden, change, scale, pooling, norm, norm_eps)
    out, kept = torch.empty_like(state), _new_kept(config, state, keep)
    forward = getattr(backend.compiled(), f"nca_forward_{_CPU_DTYPES[state.dtype]}")
    given = [_address(t) for t in (units, parameters, signals, fires)]
    forward(config, given, _address(state), _address(out), _address(kept) if keep else 0, torch.get_num_threads())
    return out, kept


@_evolve.register_fake
def _(state: Tensor, signals: Tensor | None, fires: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    _, _, *rule, keep = rest
    return torch.empty_like(state), _new_kept(_config(state, fires, *rule), state, keep)


@custom_op("zoo::nca_evolve_backward", mutates_args=(), device_types="cpu")
def _evolve_backward(
    kept: Tensor,
    signals: Tensor | None,
    fires: Tensor,
    units: Tensor,
    parameters: Tensor,
    grad_out: Tensor,
    widths: list[int],
    hidden: str,
    change: str,
    scale: float,
    pooling: str,
    norm: bool,
    norm_eps: float,
    need_signals: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of states, of signals (with ``need_signals``, else empty) and of parameters."""
    config = _config(grad_out, fires, widths, hidden, change, scale, pooling, norm, norm_eps)
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    backward = getattr(backend.compiled(), f"nca_backward_{_CPU_DTYPES[grad_out.dtype]}")
    given = [_address(t) for t in (units, parameters, signals, fires)]
    outputs = [_address(grads[0]), _address(grads[1]) if need_signals else 0, _address(grads[2])]
    backward(config, given, _address(kept), _address(grad_out), outputs, torch.get_num_threads())
    return grads


@_evolve_backward.register_fake
def _(
    kept: Tensor, signals: Tensor | None, fires: Tensor, units: Tensor, parameters: Tensor, grad_out: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return _new_grads(signals, parameters, grad_out, rest[-1])


@_evolve.register_kernel("cuda")
def _(
    state: Tensor, signals: Tensor | None, fires: Tensor, units: Tensor, parameters: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    *rule, keep = rest
    config, kernels = _config(state, fires, *rule), backend.compiled()
    out, kept = torch.empty_like(state), _new_kept(config, state, keep)
    if not len(fires):
        return out.copy_(state), kept
    dtype = _CUDA_DTYPES[state.dtype]
    given = [_address(t) for t in (units, parameters, signals, fires)]
    with torch.cuda.device(state.device):
        workspace = state.new_empty(kernels.cuda_nca_forward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_forward(
            config, dtype, given, _address(state), _address(out), _address(kept) if keep else 0, _address(workspace),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return out, kept


@_evolve_backward.register_kernel("cuda")
def _(
    kept: Tensor,
    signals: Tensor | None,
    fires: Tensor,
    units: Tensor,
    parameters: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *rule, need_signals = rest
    config, kernels = _config(grad_out, fires, *rule), backend.compiled()
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    if not len(fires):
        return grads[0].copy_(grad_out), grads[1].zero_(), grads[2].zero_()
    dtype = _CUDA_DTYPES[grad_out.dtype]
    given = [_address(t) for t in (units, parameters, signals, fires)]
    outputs = [_address(grads[0]), _address(grads[1]) if need_signals else 0, _address(grads[2])]
    with torch.cuda.device(grad_out.device):
        workspace = grad_out.new_empty(kernels.cuda_nca_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_backward(
            config, dtype, given, _address(kept), _address(grad_out), outputs, _address(workspace),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return grads


def _new_grads(
    signals: Tensor | None, parameters: Tensor, grad_out: Tensor, need_signals: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_signals = torch.empty_like(signals) if signals is not None and need_signals else grad_out.new_empty(0)
    return torch.empty_like(grad_out), grad_signals, torch.empty_like(parameters)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, *tensors = inputs[:5]
    ctx.save_for_backward(output[1], *tensors)
    ctx.rule = inputs[5:-1]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # zeros of the size of what is kept would be made for it


def _backward(ctx: Any, grad_out: Tensor | None, _grad_kept: None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return (None,) * (6 + len(ctx.rule))
    need_signals = bool(ctx.needs_input_grad[1])
    grads = _evolve_backward(*ctx.saved_tensors, grad_out.contiguous(), *ctx.rule, need_signals)
    state, signals, parameters = grads
    return state, signals if need_signals else None, None, None, parameters, *(None for _ in ctx.rule), None


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)
register_autocast(_evolve, "cuda", torch.float32)
