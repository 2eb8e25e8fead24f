"""All epochs of an evolution of Meta-NCA's task networks as one registered op, ``zoo::nca_evolve``.

:mod:`zoo.kernels.nca_reference` is the specification; it also runs with ZOO_KERNELS=reference and on devices without a
compiled body. The compiled one works on weights that exist, and on perceptions of those that change, alone.

For the backward pass it keeps the states before every epoch and computes the rest again: ``T * C`` numbers per weight
that exists, in a buffer with room for ``T * C`` per place of the padded tensor (what is not needed is never touched).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import backend
from zoo.kernels.nca_reference import RuleSpec, evolve_reference

_CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
_CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}
_HIDDEN = {"silu": 0, "relu": 1}
_CHANGES = {"linear": 0, "tanh": 1, "sigmoid": 2}
_POOLINGS = ("mean", "sum")
MOST_LAYERS = 9
"""Of the rule's MLP."""


def evolve(
    state: Tensor, signals: Tensor | None, fires: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> Tensor:
    """Apply the rule as often as there are ``fires``: states ``[P, L, N, M, C]`` -> the same.

    Weight (i, j) of layer l of network p exists where ``i < units[p, l]`` and ``j < units[p, l + 1]``, for integers
    ``units [P, L + 1]``; it changes in epoch t where ``fires [T, P, L, N, M]`` (bool) says so. What does not exist is
    passed on as it is. ``signals [P, L, N, M, S]`` are perceived beside the states and the same in all epochs; None
    where the rule has none. ``parameters [Q]`` are ordered as :class:`RuleSpec` says. float32 or float64, all of one
    dtype and device. Gradients flow to states, signals and parameters. Raises ValueError, TypeError.
    """
    _check(state, signals, fires, units, parameters, spec)
    if backend.mode() == "reference" or not _is_built(state.device.type):
        return evolve_reference(state, signals, fires, units, parameters, spec)
    given = [t for t in (state, signals, parameters) if t is not None]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    out: Tensor = _evolve(
        state.contiguous(), None if signals is None else signals.contiguous(), fires.contiguous(),
        units.int().contiguous(), parameters.contiguous(), list(spec.widths), spec.hidden, spec.change, spec.scale,
        spec.pooling, spec.norm, spec.norm_eps, keep,
    )[0]  # fmt: skip
    return out


def _is_built(device: str) -> bool:
    return device == "cpu" or (device == "cuda" and backend.compiled().cuda_built)


def _check(
    state: Tensor, signals: Tensor | None, fires: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> None:
    _check_spec(spec)
    if state.ndim != 5 or state.shape[-1] != spec.channels:
        raise ValueError(f"state should be [P, L, N, M, {spec.channels}], found {list(state.shape)}")
    networks, layers = state.shape[:2]
    signal_shape = (*state.shape[:-1], spec.signals)
    if (signals is None) != (spec.signals == 0) or (signals is not None and signals.shape != signal_shape):
        wanted = list(signal_shape) if spec.signals else None
        raise ValueError(f"signals should be {wanted}, found {None if signals is None else list(signals.shape)}")
    if fires.shape[1:] != state.shape[:-1] or fires.dtype != torch.bool:
        places = ", ".join(map(str, state.shape[:-1]))
        raise ValueError(f"fires should be bool [T, {places}], found {fires.dtype} {list(fires.shape)}")
    if units.shape != (networks, layers + 1) or units.is_floating_point():
        raise ValueError(
            f"units should be integers [{networks}, {layers + 1}], found {units.dtype} {list(units.shape)}"
        )
    if parameters.shape != (spec.parameters,):
        raise ValueError(f"parameters should be [{spec.parameters}], found {list(parameters.shape)}")
    _check_kinds(state, signals, fires, units, parameters)


def _check_spec(spec: RuleSpec) -> None:
    for name, value, allowed in (
        ("hidden", spec.hidden, _HIDDEN),
        ("change", spec.change, _CHANGES),
        ("pooling", spec.pooling, _POOLINGS),
    ):
        if value not in allowed:
            raise ValueError(f"the rule's {name} should be one of {', '.join(allowed)}, found {value!r}")
    if not 1 < len(spec.widths) <= MOST_LAYERS + 1 or min(spec.widths) < 1 or spec.signals < 0:
        raise ValueError(
            f"the rule's widths should be 2 to {MOST_LAYERS + 1} positive numbers, the first at least three times the "
            f"last, found {list(spec.widths)}"
        )


def _check_kinds(state: Tensor, signals: Tensor | None, *others: Tensor) -> None:
    fires, units, parameters = others
    if state.dtype not in _CPU_DTYPES:
        raise TypeError(f"state should be float32 or float64, found {state.dtype}")
    for name, tensor in (("signals", signals), ("parameters", parameters)):
        if tensor is not None and tensor.dtype != state.dtype:
            raise TypeError(f"{name} are {tensor.dtype}, state is {state.dtype}: they should be the same")
    for name, tensor in (("signals", signals), ("fires", fires), ("units", units), ("parameters", parameters)):
        if tensor is not None and tensor.device != state.device:
            raise ValueError(f"{name} are on {tensor.device}, state is on {state.device}: they should be the same")


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
    return state.new_empty(backend.compiled().nca_saved_size(config) if keep else 0)


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
