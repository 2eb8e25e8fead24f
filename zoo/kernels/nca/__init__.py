"""Meta-NCA's kernel: all epochs of an evolution in one call.

:func:`evolve` runs the compiled op (``op.py``), or the plain-torch specification (``reference.py``) if
``ZOO_KERNELS=reference`` or the device has no compiled body.
"""

from __future__ import annotations

from torch import Tensor

from zoo.kernels import runtime
from zoo.kernels.nca.checks import MOST_LAYERS, check_arguments
from zoo.kernels.nca.op import remember_units, run_op
from zoo.kernels.nca.reference import RuleSpec, evolve_reference

__all__ = ["MOST_LAYERS", "RuleSpec", "evolve", "evolve_reference", "remember_units"]


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
    if runtime.mode() == "reference" or not _is_built(state.device.type):
        check_arguments(state, signals, fire_mask, units, parameters, spec)
        return evolve_reference(state, signals, fire_mask, units, parameters, spec)
    return run_op(state, signals, fire_mask, units, parameters, spec)  # checks its arguments


def _is_built(device: str) -> bool:
    """True if the op has a body for the device type."""
    return device in ("cpu", "meta") or (device == "cuda" and runtime.compiled().cuda_built)
