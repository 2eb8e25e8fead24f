"""The registered torch op ``zoo::nca_evolve``: all epochs of an evolution of Meta-NCA's task networks.

The compiled bodies work only on weights that exist, and compute perceptions only for those that change. For backward,
forward saves the states before every epoch, and backward recomputes the rest: ``T * C`` numbers per existing weight, in
a buffer with room for ``T * C`` per weight of the padded tensor (pages that are not needed are never touched).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime
from zoo.kernels.arguments import refuse_tangents, require
from zoo.kernels.nca.checks import (
    CHANGE_CODES,
    CPU_DTYPES,
    CUDA_DTYPES,
    HIDDEN_CODES,
    check_arguments,
    check_size,
    check_units,
    check_units_dtype,
    int32_units,
)
from zoo.kernels.nca.reference import RuleSpec
from zoo.kernels.validated import Validated
from zoo.kernels.vmap import map_by_slices

_TENSORS = "Tensor? signals, Tensor fire_mask, Tensor units, Tensor parameters"
_RULE = "SymInt[] widths, str hidden, str change, float scale, str pooling, bool norm, float norm_eps"


def run_op(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> Tensor:
    """Call the op. It saves states for backward only if some input requires a gradient."""
    refuse_tangents("nca", state, signals, parameters)
    given = [t for t in (state, signals, parameters) if t is not None]
    save = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    rule = (list(spec.widths), spec.hidden, spec.change, spec.scale, spec.pooling, spec.norm, spec.norm_eps)
    out: Tensor = _evolve(state, signals, fire_mask, int32_units(units), parameters, *rule, save)[0]
    return out


_units_on_host = Validated(lambda tensors: tensors[0].cpu())


def remember_units(placed: Tensor, units: Tensor) -> None:
    """Let the op know the contents of ``placed``, int32 units on a GPU, from equal ``units`` on the CPU.

    Without it, the first call that gets them reads them back, and waits for the device.
    """
    _units_on_host.remember((placed,), units)


def _spec(rule: Sequence[Any]) -> RuleSpec:
    """Return the rule that the op's arguments after its tensors describe."""
    widths, *options = rule
    return RuleSpec(tuple(widths), *options)


def _config(state: Tensor, fire_mask: Tensor, spec: RuleSpec) -> Any:
    shape = [int(n) for n in state.shape]
    return runtime.compiled().NcaConfig(
        shape=[*shape, spec.signals],
        epochs=int(fire_mask.shape[0]),
        widths=list(spec.widths),
        hidden=HIDDEN_CODES[spec.hidden],
        change=CHANGE_CODES[spec.change],
        scale=spec.scale,
        mean=spec.pooling == "mean",
        norm=spec.norm,
        norm_eps=spec.norm_eps,
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _inputs(
    signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor
) -> tuple[list[Tensor | None], list[int]]:
    """Return contiguous tensors in the kernels' order, which the caller keeps alive, and their addresses."""
    tensors = [None if t is None else t.contiguous() for t in (units, parameters, signals, fire_mask)]
    return tensors, [_address(t) for t in tensors]


def _check_for_cpu(state: Tensor, units: Tensor) -> None:
    check_size(state)
    check_units_dtype(units)  # the kernels check the values


def _check_for_cuda(state: Tensor, units: Tensor) -> None:
    """Check what the kernels address memory with; ``units`` are fetched once, because that waits."""
    check_size(state)
    check_units_dtype(units)
    check_units(state, _units_on_host((units,)))


@custom_op(
    "zoo::nca_evolve",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor state, {_TENSORS}, {_RULE}, bool save) -> (Tensor, Tensor)",
)
def _evolve(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Return the evolved states and the states saved for backward: flat, empty without ``save``."""
    spec, save = _spec(rest[:-1]), rest[-1]
    check_arguments(state, signals, fire_mask, units, parameters, spec)
    _check_for_cpu(state, units)
    config, (_alive, inputs) = _config(state, fire_mask, spec), _inputs(signals, fire_mask, units, parameters)
    out, saved, state = state.new_empty(state.shape), _new_saved(config, state, save), state.contiguous()
    forward = getattr(runtime.compiled(), f"nca_forward_{CPU_DTYPES[state.dtype]}")
    forward(config, inputs, _address(state), _address(out), _address(saved) if save else 0, torch.get_num_threads())
    return out, saved


@_evolve.register_kernel("cuda")
def _(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    spec, save = _spec(rest[:-1]), rest[-1]
    check_arguments(state, signals, fire_mask, units, parameters, spec)
    _check_for_cuda(state, units)
    config, kernels = _config(state, fire_mask, spec), runtime.compiled()
    out, saved, state = state.new_empty(state.shape), _new_saved(config, state, save), state.contiguous()
    if not len(fire_mask):
        return out.copy_(state), saved
    dtype, (_alive, inputs) = CUDA_DTYPES[state.dtype], _inputs(signals, fire_mask, units, parameters)
    with torch.cuda.device(state.device):
        workspace = state.new_empty(kernels.cuda_nca_forward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_forward(
            config, dtype, inputs, _address(state), _address(out), _address(saved) if save else 0, _address(workspace),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return out, saved


@_evolve.register_fake
def _(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    spec, save = _spec(rest[:-1]), rest[-1]
    check_arguments(state, signals, fire_mask, units, parameters, spec)
    check_units_dtype(units)
    if save and not _sizes_known(state, fire_mask):  # as in torch.export
        return state.new_empty(state.shape), state.new_empty(torch.library.get_ctx().new_dynamic_size())
    config = _config(state, fire_mask, spec) if save else None
    return state.new_empty(state.shape), _new_saved(config, state, save)


@custom_op(
    "zoo::nca_evolve_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor saved, {_TENSORS}, Tensor grad_out, {_RULE}, bool need_signals) -> (Tensor, Tensor, Tensor)",
)
def _evolve_backward(
    saved: Tensor,
    signals: Tensor | None,
    fire_mask: Tensor,
    units: Tensor,
    parameters: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of states, of signals (empty without ``need_signals``) and of parameters."""
    spec, need_signals = _spec(rest[:-1]), rest[-1]
    check_arguments(grad_out, signals, fire_mask, units, parameters, spec)
    _check_for_cpu(grad_out, units)
    config = _config(grad_out, fire_mask, spec)
    _check_saved(saved, config, grad_out)
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    _alive, inputs = _inputs(signals, fire_mask, units, parameters)
    saved, grad_out = saved.contiguous(), grad_out.contiguous()
    backward = getattr(runtime.compiled(), f"nca_backward_{CPU_DTYPES[grad_out.dtype]}")
    outputs = _grad_addresses(grads, signals, need_signals)
    backward(config, inputs, _address(saved), _address(grad_out), outputs, torch.get_num_threads())
    return grads


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
    spec, need_signals = _spec(rest[:-1]), rest[-1]
    check_arguments(grad_out, signals, fire_mask, units, parameters, spec)
    _check_for_cuda(grad_out, units)
    config, kernels = _config(grad_out, fire_mask, spec), runtime.compiled()
    _check_saved(saved, config, grad_out)
    grads = _new_grads(signals, parameters, grad_out, need_signals)
    saved, grad_out = saved.contiguous(), grad_out.contiguous()
    if not len(fire_mask):
        return grads[0].copy_(grad_out), grads[1].zero_(), grads[2].zero_()
    dtype, (_alive, inputs) = CUDA_DTYPES[grad_out.dtype], _inputs(signals, fire_mask, units, parameters)
    outputs = _grad_addresses(grads, signals, need_signals)
    with torch.cuda.device(grad_out.device):
        workspace = grad_out.new_empty(kernels.cuda_nca_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
        kernels.cuda_nca_backward(
            config, dtype, inputs, _address(saved), _address(grad_out), outputs, _address(workspace),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
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
    spec = _spec(rest[:-1])
    check_arguments(grad_out, signals, fire_mask, units, parameters, spec)
    check_units_dtype(units)
    require(("saved",), saved)
    if _sizes_known(saved, grad_out, fire_mask):
        _check_saved(saved, _config(grad_out, fire_mask, spec), grad_out)
    return _new_grads(signals, parameters, grad_out, rest[-1])


def _sizes_known(*tensors: Tensor) -> bool:
    return all(isinstance(size, int) for tensor in tensors for size in tensor.shape)


def _new_saved(config: Any, state: Tensor, save: bool) -> Tensor:
    return state.new_empty(runtime.compiled().nca_saved_size(config) if save else 0)


def _check_saved(saved: Tensor, config: Any, grad_out: Tensor) -> None:
    require(("saved",), saved)
    wanted = runtime.compiled().nca_saved_size(config)
    if saved.shape != (wanted,) or saved.dtype != grad_out.dtype or saved.device != grad_out.device:
        raise ValueError(
            f"saved should be what the forward pass returned with save=True, {grad_out.dtype} [{wanted}] on "
            f"{grad_out.device}; found {saved.dtype} {list(saved.shape)} on {saved.device}"
        )


def _new_grads(
    signals: Tensor | None, parameters: Tensor, grad_out: Tensor, need_signals: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_signals = grad_out.new_empty(signals.shape if signals is not None and need_signals else 0)
    return grad_out.new_empty(grad_out.shape), grad_signals, parameters.new_empty(parameters.shape)


def _grad_addresses(grads: tuple[Tensor, ...], signals: Tensor | None, need_signals: bool) -> list[int]:
    of_state, of_signals, of_parameters = grads
    needed = signals is not None and need_signals
    return [_address(of_state), _address(of_signals) if needed else 0, _address(of_parameters)]


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
    grads = _evolve_backward(*ctx.saved_tensors, grad_out, *ctx.rule, need_signals)
    state, signals, parameters = grads
    return state, signals if need_signals else None, None, None, parameters, *(None for _ in ctx.rule), None


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)
register_autocast(_evolve, "cuda", torch.float32)
map_by_slices(_evolve)
map_by_slices(_evolve_backward)
