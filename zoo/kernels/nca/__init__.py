"""Meta-NCA's kernel: all epochs of an evolution in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.kernels import runtime as backend
from zoo.kernels.nca.op import _CHANGES, _CPU_DTYPES, _HIDDEN, _evolve
from zoo.kernels.nca.reference import RuleSpec, evolve_reference

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
