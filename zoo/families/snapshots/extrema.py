"""Rule 3: activity of each unit, and the extrema: high (saturated) and low (unused) units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.families.snapshots.config import ExtremaConfig
from zoo.families.snapshots.layout import Layout

_VARIES = 1e-3
"""Standard deviation above which an input varies."""


@dataclass(frozen=True)
class Activity:
    """Statistics of each unit's activation over some samples; tensors ``[units]`` on the CPU."""

    mean: Tensor
    magnitude: Tensor
    """Mean of the absolute activation."""
    zero: Tensor
    """Share of samples on which the activation was zero."""
    std: Tensor

    @classmethod
    def of(cls, activations: Tensor) -> Activity:
        """Measure activations ``[samples, units]``."""
        a = activations.detach().cpu()
        return cls(a.mean(0), a.abs().mean(0), (a == 0).float().mean(0), a.std(0, correction=0))


@dataclass(frozen=True)
class Extrema:
    """High and low units, bool ``[units]`` each."""

    high: Tensor
    low: Tensor

    @property
    def found(self) -> bool:
        """True if the network has high units and low ones."""
        return bool(self.high.any()) and bool(self.low.any())


def find_extrema(activity: Activity, layout: Layout, activation: str, config: ExtremaConfig) -> Extrema:
    """Find the high and low units of every layer; where a threshold finds none, take the layer's top or bottom share.

    Inputs are ranked by magnitude, whatever the ``activation`` of the units.
    """
    high, low = (torch.zeros(layout.units, dtype=torch.bool) for _ in range(2))
    for number in range(len(layout.widths)):
        units = layout.layer(number)
        kind = "tanh" if number == 0 else activation
        level, over, under = _rank(activity, units, kind, config)
        high[units] = _choose(over, level, config)
        low[units] = _choose(under, -level, config)
    low[layout.layer(0)] = False
    high[layout.layer(layout.output)] = False
    if config.ends == "all":
        first = layout.layer(0)
        high[first] = activity.std[first] > _VARIES
        low[layout.layer(layout.output)] = True
    return Extrema(high, low)


def _rank(activity: Activity, units: slice, activation: str, config: ExtremaConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return the level that ranks a layer's units, and bool masks of those above and below the thresholds."""
    if activation == "relu":
        level = activity.magnitude[units]
        return level, torch.zeros_like(level, dtype=torch.bool), activity.zero[units] > config.dead
    # A tanh unit at -1 is as saturated as one at 1; a sigmoid's levels are all positive.
    level = activity.magnitude[units] if activation == "tanh" else activity.mean[units]
    return level, level > config.high, level < config.low


def _choose(beyond: Tensor, level: Tensor, config: ExtremaConfig) -> Tensor:
    """Return the units beyond a threshold, or the top share if there are none."""
    return (beyond if beyond.any() else _top(level, config.share)) | _top(level, config.at_least)


def _top(level: Tensor, share: float) -> Tensor:
    """Return the share of units with the highest level: at least one unless the share is 0, never all of them."""
    chosen = torch.zeros_like(level, dtype=torch.bool)
    count = min(max(1, round(share * len(level))), len(level) - 1) if share else 0
    chosen[level.topk(count).indices] = True
    return chosen
