"""The checks of the arguments of Meta-NCA's kernel, made by the public function and by the registered op.

The registered op is public, too (``torch.ops.zoo``), so it checks its arguments itself before a pointer is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.kernels.arguments import require
from zoo.kernels.nca.reference import RuleSpec

CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}
HIDDEN_CODES = {"silu": 0, "relu": 1}
CHANGE_CODES = {"linear": 0, "tanh": 1, "sigmoid": 2}
MOST_LAYERS = 9
"""The largest number of layers of a rule's MLP."""
_POOLINGS = ("mean", "sum")
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_MOST = 2**31 - 1


def check_arguments(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> None:
    """Check dtypes, shapes, devices and the rule; raises ValueError and TypeError."""
    require(("state", "fire_mask", "units", "parameters"), state, fire_mask, units, parameters)
    _check_spec(spec)
    if state.ndim != 5 or state.shape[-1] != spec.channels:
        raise ValueError(f"state should be [P, L, N, M, {spec.channels}], found {list(state.shape)}")
    networks, layers = state.shape[:2]
    signal_shape = (*state.shape[:-1], spec.signals)
    if (signals is None) != (spec.signals == 0) or (signals is not None and signals.shape != signal_shape):
        wanted = list(signal_shape) if spec.signals else None
        raise ValueError(f"signals should be {wanted}, found {None if signals is None else list(signals.shape)}")
    if fire_mask.shape[1:] != state.shape[:-1] or fire_mask.dtype != torch.bool:
        places = ", ".join(map(str, state.shape[:-1]))
        raise ValueError(f"fire_mask should be bool [T, {places}], found {fire_mask.dtype} {list(fire_mask.shape)}")
    if units.shape != (networks, layers + 1) or units.dtype not in _INTEGERS:
        raise ValueError(
            f"units should be integers [{networks}, {layers + 1}], found {units.dtype} {list(units.shape)}"
        )
    if parameters.shape != (spec.parameters,):
        raise ValueError(f"parameters should be [{spec.parameters}], found {list(parameters.shape)}")
    _check_kinds(state, signals, fire_mask, units, parameters)


def _check_spec(spec: RuleSpec) -> None:
    for name, value, allowed in (
        ("hidden", spec.hidden, HIDDEN_CODES),
        ("change", spec.change, CHANGE_CODES),
        ("pooling", spec.pooling, _POOLINGS),
    ):
        if value not in allowed:
            raise ValueError(f"the rule's {name} should be one of {', '.join(allowed)}, found {value!r}")
    if not 1 < len(spec.widths) <= MOST_LAYERS + 1 or min(spec.widths) < 1 or spec.signals < 0:
        raise ValueError(
            f"the rule's widths should be 2 to {MOST_LAYERS + 1} positive numbers, the first at least three times the "
            f"last, found {list(spec.widths)}"
        )
    if not math.isfinite(spec.scale):
        raise ValueError(f"the rule's scale should be finite, found {spec.scale}")
    if spec.norm and not 0 <= spec.norm_eps < math.inf:
        raise ValueError(f"the rule's norm_eps should be at least 0 and finite, found {spec.norm_eps}")


def _check_kinds(state: Tensor, signals: Tensor | None, *others: Tensor) -> None:
    fire_mask, units, parameters = others
    if state.dtype not in CPU_DTYPES:
        raise TypeError(f"state should be float32 or float64, found {state.dtype}")
    for name, tensor in (("signals", signals), ("parameters", parameters)):
        if tensor is not None and tensor.dtype != state.dtype:
            raise TypeError(f"{name} are {tensor.dtype}, state is {state.dtype}: they should be the same")
    for name, tensor in (("signals", signals), ("fire_mask", fire_mask), ("units", units), ("parameters", parameters)):
        if tensor is not None and tensor.device != state.device:
            raise ValueError(f"{name} are on {tensor.device}, state is on {state.device}: they should be the same")


def check_units_dtype(units: Tensor) -> None:
    """Raise TypeError unless ``units`` are int32, as the kernels read them."""
    if units.dtype != torch.int32:
        raise TypeError(f"units should be int32, found {units.dtype}")


def check_units(state: Tensor, units: Tensor) -> None:
    """Raise ValueError for ``units``, on the CPU, beyond the room of the states."""
    rows, columns = state.shape[2:4]
    most = [min(rows, columns)] * units.shape[1]
    most[0], most[-1] = rows, columns
    if bool(((units < 0) | (units > torch.tensor(most))).any()):
        raise ValueError(f"units should be from 0 to {most}, by layer, found {units.tolist()}")


def check_size(state: Tensor) -> None:
    """Raise ValueError for states of more weights than a 32-bit index counts."""
    weights = state.shape[:-1].numel()
    if weights > _MOST:
        raise ValueError(f"state has {weights} weights with their padding, allowed: {_MOST}")


def int32_units(units: Tensor) -> Tensor:
    """Return integers as int32; numbers beyond its range stay out of range, and other dtypes are left to the op."""
    if units.dtype == torch.int32 or units.dtype not in _INTEGERS:
        return units
    return units.clamp(-1, _MOST).int() if units.dtype == torch.int64 else units.int()
