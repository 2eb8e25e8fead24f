"""Meta-NCA's evolution in plain torch, the specification: one local rule changes the weights of many networks.

Networks of different depths and widths share one tensor: ``P`` networks of ``L`` layers of ``N x M`` weights, padded
with weights that do not exist. Every weight has a state of ``C`` numbers. In an epoch a weight perceives its own state,
the mean (or sum) of the states of the other weights into the same unit, and that of the others out of the same unit,
each computed as the total minus its own. An MLP turns these perceptions into the change of its state.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.config.options import Change, HiddenActivation, Pooling


@dataclass(frozen=True)
class RuleSpec:
    """The form of a rule. Its parameters are one vector beside it.

    The vector holds, in this order: with ``norm`` the LayerNorm's weight and bias, ``[widths[0]]`` each; then for each
    layer of the MLP its weight ``[widths[i + 1], widths[i]]`` and its bias ``[widths[i + 1]]``.
    """

    widths: tuple[int, ...]
    """Widths of the MLP: the perceptions (three states and the signals), the hidden layers, the change of a state."""
    hidden: HiddenActivation = "silu"
    change: Change = "tanh"
    """Activation after the MLP's last layer."""
    scale: float = 1.0
    """Factor on the change."""
    pooling: Pooling = "mean"
    """Reduction over the other weights' states."""
    norm: bool = False
    """True to apply a LayerNorm to the perceptions."""
    norm_eps: float = 1e-5

    @property
    def channels(self) -> int:
        """Numbers in a weight's state."""
        return self.widths[-1]

    @property
    def signals(self) -> int:
        """Number of signals perceived beside the states."""
        return self.widths[0] - 3 * self.channels

    @property
    def parameters(self) -> int:
        """Length of the parameter vector."""
        return 2 * self.widths[0] * self.norm + sum((n + 1) * m for n, m in pairwise(self.widths))


def apply_rule(perceptions: Tensor, parameters: Tensor, spec: RuleSpec) -> Tensor:
    """Perceptions ``[..., widths[0]]`` and ``parameters [Q]`` -> changes of the state ``[..., C]``."""
    norms = [spec.widths[0]] * 2 * spec.norm
    pieces = iter(torch.split(parameters, [*norms, *(size for n, m in pairwise(spec.widths) for size in (n * m, m))]))
    x = perceptions
    if spec.norm:
        x = F.layer_norm(x, (spec.widths[0],), next(pieces), next(pieces), spec.norm_eps)
    for number, (n, m) in enumerate(pairwise(spec.widths)):
        x = F.linear(x, next(pieces).view(m, n), next(pieces))
        if number < len(spec.widths) - 2:
            x = F.silu(x) if spec.hidden == "silu" else x.relu()
    if spec.change != "linear":
        x = x.tanh() if spec.change == "tanh" else x.sigmoid()
    return x * spec.scale


def perceive(state: Tensor, units: Tensor, pooling: Pooling) -> Tensor:
    """States ``[P, L, N, M, C]`` -> own, forward and backward neighbours' states ``[P, L, N, M, 3 C]``."""
    into = state.sum(2, keepdim=True) - state
    out_of = state.sum(3, keepdim=True) - state
    if pooling == "mean":
        into = into / (units[:, :-1, None, None, None] - 1).clamp(min=1)
        out_of = out_of / (units[:, 1:, None, None, None] - 1).clamp(min=1)
    return torch.cat([state, into, out_of], -1)


def existing(units: Tensor, rows: int, columns: int) -> Tensor:
    """Return the mask ``[P, L, N, M]`` of weights that exist, for ``units [P, L + 1]`` (0 beyond the last layer)."""
    has_row = torch.arange(rows, device=units.device) < units[:, :-1, None]
    has_column = torch.arange(columns, device=units.device) < units[:, 1:, None]
    return has_row[..., :, None] & has_column[..., None, :]


def evolve_reference(
    state: Tensor, signals: Tensor | None, fire_mask: Tensor, units: Tensor, parameters: Tensor, spec: RuleSpec
) -> Tensor:
    """Apply the rule for ``T`` epochs; arguments as in :func:`zoo.kernels.nca.evolve`."""
    mask = existing(units, *state.shape[2:4])
    for firing in fire_mask:
        known = torch.where(mask[..., None], state, 0)  # missing weights count as no one's neighbour
        perceptions = perceive(known, units, spec.pooling)
        if signals is not None:
            perceptions = torch.cat([perceptions, signals], -1)
        changing = (firing & mask).flatten().nonzero()[:, 0]
        changes = apply_rule(perceptions.flatten(0, 3).index_select(0, changing), parameters, spec)
        state = state.flatten(0, 3).index_add(0, changing, changes).view_as(state)
    return state
