"""Meta-NCA's kernel: all epochs of an evolution in one call.

:func:`evolve` runs the compiled op (``op.py``), or the plain-torch specification (``reference.py``) if
``ZOO_KERNELS=reference`` or the device has no compiled body.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.kernels import runtime
from zoo.kernels.nca.op import CHANGE_CODES, CPU_DTYPES, HIDDEN_CODES, run_op
from zoo.kernels.nca.reference import RuleSpec, evolve_reference

MOST_LAYERS = 9
"""The largest number of layers of a rule's MLP."""
_POOLINGS = ("mean", "sum")


def evolve(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> Tensor:
    """Apply the rule once per epoch, ``T`` epochs in all: states ``[P, L, N, M, C]`` -> the same.

    Weight (i, j) of layer l of network p exists if ``i < units[p, l]`` and ``j < units[p, l + 1]``, for integers
    ``units [P, L + 1]``. It changes in epoch t if ``fire_mask [T, P, L, N, M]`` (bool) is true there. Weights that do
    not exist pass through unchanged. ``signals [P, L, N, M, S]`` are perceived beside the states, the same in all
    epochs; None for a rule without signals. ``parameters [Q]`` are ordered as in :class:`RuleSpec`. All tensors share
    one dtype, float32 or float64, and one device. Gradients flow to states, signals and parameters. Raises ValueError
    for a wrong shape, device or value, TypeError for a wrong dtype.
    """
    _check(state, signals, fire_mask, units, parameters, spec)
    if runtime.mode() == "reference" or not _is_built(state.device.type):
        return evolve_reference(state, signals, fire_mask, units, parameters, spec)
    return run_op(state, signals, fire_mask, units, parameters, spec)


def _is_built(device: str) -> bool:
    """True if the kernels were compiled for the device type."""
    return device == "cpu" or (device == "cuda" and runtime.compiled().cuda_built)


def _check(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> None:
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
    if units.shape != (networks, layers + 1) or units.is_floating_point():
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
