"""The registered torch op ``zoo::nca_evolve``: all epochs of an evolution of Meta-NCA's task networks.

The compiled bodies work only on weights that exist, and compute perceptions only for those that change. For backward,
forward saves the states before every epoch, and backward recomputes the rest: ``T * C`` numbers per existing weight, in
a buffer with room for ``T * C`` per weight of the padded tensor (pages that are not needed are never touched).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime
from zoo.kernels.nca.reference import RuleSpec

CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}
HIDDEN_CODES = {"silu": 0, "relu": 1}
CHANGE_CODES = {"linear": 0, "tanh": 1, "sigmoid": 2}


def run_op(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> Tensor:
    """Call the op. It saves states for backward only if some input requires a gradient."""
    given = [t for t in (state, signals, parameters) if t is not None]
    save = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    tensors = (state, signals, fire_mask, units.int(), parameters)
    contiguous = [None if t is None else t.contiguous() for t in tensors]
    rule = (list(spec.widths), spec.hidden, spec.change, spec.scale, spec.pooling, spec.norm, spec.norm_eps)
    out: Tensor = _evolve(*contiguous, *rule, save)[0]
    return out


def _config(
    state: Tensor,
    fire_mask: Tensor,
    widths: list[int],
    hidden: str,
    change: str,
    scale: float,
    pooling: str,
    norm: bool,
    norm_eps: float,
) -> Any:
    shape = [int(n) for n in state.shape]
    return runtime.compiled().NcaConfig(
        shape=[*shape, widths[0] - 3 * shape[-1]],
        epochs=int(fire_mask.shape[0]),
        widths=widths,
        hidden=HIDDEN_CODES[hidden],
        change=CHANGE_CODES[change],
        scale=scale,
        mean=pooling == "mean",
        norm=norm,
        norm_eps=norm_eps,
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _new_saved(config: Any, state: Tensor, save: bool) -> Tensor:
    return state.new_empty(runtime.compiled().nca_saved_size(config) if save else 0)


@custom_op("zoo::nca_evolve", mutates_args=(), device_types="cpu")
def _evolve(
    state: Tensor,
    signals: Tensor | None,
    fire_mask: Tensor,
    units: Tensor,
    parameters: Tensor,
    widths: list[int],
    hidden: str,
    change: str,
    scale: float,
    pooling: str,
    norm: bool,
    norm_eps: float,
    save: bool,
) -> tuple[Tensor, Tensor]:
    """Return the evolved states and the states saved for backward: flat, empty without ``save``."""
    config = _config(state, fire_mask, widths, hidden, change, scale, pooling, norm, norm_eps)
    out, saved = torch.empty_like(state), _new_saved(config, state, save)
    forward = getattr(runtime.compiled(), f"nca_forward_{CPU_DTYPES[state.dtype]}")
    inputs = [_address(t) for t in (units, parameters, signals, fire_mask)]
    forward(config, inputs, _address(state), _address(out), _address(saved) if save else 0, torch.get_num_threads())
    return out, saved


@_evolve.register_fake
def _(state: Tensor, signals: Tensor | None, fire_mask: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    _, _, *rule, save = rest
    return torch.empty_like(state), _new_saved(_config(state, fire_mask, *rule), state, save)


@custom_op("zoo::nca_evolve_backward", mutates_args=(), device_types="cpu")
def _evolve_backward(
    saved: Tensor,
    signals: Tensor | None,
    fire_mask: Tensor,
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
    """Return the gradients of states, of signals (empty without ``need_signals``) and of parameters."""
    config = _config(grad_out, fire_mask, widths, hidden, change, scale, pooling, norm, norm_eps)
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    backward = getattr(runtime.compiled(), f"nca_backward_{CPU_DTYPES[grad_out.dtype]}")
    inputs = [_address(t) for t in (units, parameters, signals, fire_mask)]
    outputs = [_address(grads[0]), _address(grads[1]) if need_signals else 0, _address(grads[2])]
    backward(config, inputs, _address(saved), _address(grad_out), outputs, torch.get_num_threads())
    return grads


@_evolve_backward.register_fake
def _(
    saved: Tensor,
    signals: Tensor | None,
    fire_mask: Tensor,
    units: Tensor,
    parameters: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return _new_grads(signals, parameters, grad_out, rest[-1])


@_evolve.register_kernel("cuda")
def _(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    *rule, save = rest
    config, kernels = _config(state, fire_mask, *rule), runtime.compiled()
    out, saved = torch.empty_like(state), _new_saved(config, state, save)
    if not len(fire_mask):
        return out.copy_(state), saved
    dtype = CUDA_DTYPES[state.dtype]
    inputs = [_address(t) for t in (units, parameters, signals, fire_mask)]
    with torch.cuda.device(state.device):
        workspace = state.new_empty(kernels.cuda_nca_forward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_forward(
            config, dtype, inputs, _address(state), _address(out), _address(saved) if save else 0, _address(workspace),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return out, saved


@_evolve_backward.register_kernel("cuda")
def _(
    saved: Tensor,
    signals: Tensor | None,
    fire_mask: Tensor,
    units: Tensor,
    parameters: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *rule, need_signals = rest
    config, kernels = _config(grad_out, fire_mask, *rule), runtime.compiled()
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    if not len(fire_mask):
        return grads[0].copy_(grad_out), grads[1].zero_(), grads[2].zero_()
    dtype = CUDA_DTYPES[grad_out.dtype]
    inputs = [_address(t) for t in (units, parameters, signals, fire_mask)]
    outputs = [_address(grads[0]), _address(grads[1]) if need_signals else 0, _address(grads[2])]
    with torch.cuda.device(grad_out.device):
        workspace = grad_out.new_empty(kernels.cuda_nca_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_backward(
            config, dtype, inputs, _address(saved), _address(grad_out), outputs, _address(workspace),
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
    ctx.set_materialize_grads(False)  # or autograd makes zeros of the saved states' size


def _backward(ctx: Any, grad_out: Tensor | None, _grad_saved: None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return (None,) * (6 + len(ctx.rule))
    need_signals = bool(ctx.needs_input_grad[1])
    grads = _evolve_backward(*ctx.saved_tensors, grad_out.contiguous(), *ctx.rule, need_signals)
    state, signals, parameters = grads
    return state, signals if need_signals else None, None, None, parameters, *(None for _ in ctx.rule), None


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)
register_autocast(_evolve, "cuda", torch.float32)
