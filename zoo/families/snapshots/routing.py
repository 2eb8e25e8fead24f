"""Rules 4, 9 and 11: edges from high units to low units of the layers ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.families.snapshots.config import RoutingConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.extrema import Extrema

_TIE = 1e-9
"""Scale of the scores of targets without a gradient, far below any gradient that matters."""
_SKEW = 16
"""Exponent that makes a few of the dormant units stand out."""
_PER_LAYER = 100.0
"""Factor of a score per layer of distance, if long or short edges are preferred."""


def length_preference(phase: int, phases: int, config: RoutingConfig) -> int:
    """Return 1 if long edges are preferred (rule 11), -1 if short ones are, else 0."""
    if not config.scales or phases < 2:
        return 0
    return 1 if phase == 0 else -1 if phase == phases - 1 else 0


def random_scores(units: int) -> Tensor:
    """Return random scores ``[source, target]``, which prefer no pair."""
    return torch.rand(units, units)


def gradient_scores(gradient: Tensor, spread: Tensor) -> Tensor:
    """Return scores ``[source, target]``: the magnitude of the loss's ``gradient`` for each missing edge.

    A dormant target has no gradient yet. Such targets are filled one after the other, up to the load limit, from
    sources that vary (``spread [units]``, the standard deviation of their activation), so that a recruited unit gets
    several inputs.
    """
    units = len(spread)
    turn = torch.rand(units) ** _SKEW  # a few stand out, so that one is filled before the next
    return gradient.abs() + _TIE * turn * spread[:, None] * torch.rand(units, units)


class Router:
    """Routes the edges of one growth event."""

    def __init__(self, draft: Draft, extrema: Extrema, config: RoutingConfig, scores: Tensor, longer: int = 0) -> None:
        """``scores [source, target]`` rank the edges, highest first; ``longer`` is a :func:`length_preference`."""
        self.draft = draft
        self.extrema = extrema
        self.config = config
        self.scores = scores
        self.longer = longer

    def route(self, layer: int, used: set[int]) -> int | None:
        """Lay the edges of one high unit of ``layer`` outside ``used``; return the unit, None if no edge was laid."""
        sources, targets = self._sources(layer, used), self._targets(layer)
        if not len(sources) or not len(targets):
            return None
        low, high = self.config.fan_out
        count = min(int(torch.randint(low, high + 1, ())), len(targets))
        best, choice = self._preferences(layer, sources, targets).topk(count, dim=1)
        row = int(best.sum(1).argmax())
        chosen = targets[choice[row][best[row] > 0]].tolist()
        source = int(sources[row])
        laid = [self._lay(source, target) for target in chosen]
        return source if any(laid) else None

    def _sources(self, layer: int, used: set[int]) -> Tensor:
        units = self.draft.layout.layer(layer)
        sources = (self.extrema.high[units].nonzero().flatten() + units.start).tolist()
        return torch.tensor([unit for unit in sources if unit not in used], dtype=torch.int64)

    def _targets(self, layer: int) -> Tensor:
        """Return the low units up to ``reach`` layers ahead that may take another edge (rule 9)."""
        layout = self.draft.layout
        ahead = slice(layout.starts[layer + 1], layout.starts[min(layer + self.config.reach, layout.output) + 1])
        limit = torch.full((layout.units,), self.config.incoming)
        limit[layout.layer(layout.output)] = self.config.incoming_classes or self.config.incoming
        takes_more = self.extrema.low & (self.draft.incoming < limit)
        return takes_more[ahead].nonzero().flatten() + ahead.start

    def _preferences(self, layer: int, sources: Tensor, targets: Tensor) -> Tensor:
        """Return preferences ``[sources, targets]``: 0 for existing edges, else positive."""
        distance = self.draft.layout.layer_of[targets] - layer
        preferences = self.scores[sources][:, targets].clamp(min=1e-20) * _PER_LAYER ** (self.longer * distance.float())
        return preferences.masked_fill(self.draft.connected[sources][:, targets], 0)

    def _lay(self, source: int, target: int) -> bool:
        """Lay an edge, at random its reciprocal, and, with ``complete``, a path through it; False if refused."""
        if not self.draft.add(source, target, self._weight()):
            return False
        self.draft.incoming[target] += 1
        if float(torch.rand(())) < self.config.reciprocal:
            self.draft.add(target, source, self._weight())
        if self.config.complete:
            self._complete(source, target)
        return True

    def _complete(self, source: int, target: int) -> None:
        """Join a target without forward edges to a unit that reaches a class, a source without inputs to a high input.

        A dormant target has no gradient ahead, so its new edge leads to the unit that scores best for its source.
        """
        layout = self.draft.layout
        ahead = layout.starts[int(layout.layer_of[target]) + 1]
        if ahead < layout.units and not self.draft.connected[target, ahead:].any():
            useful = self.draft.reaches_output()[ahead:].nonzero().flatten() + ahead
            if len(useful):
                self.draft.add(target, int(useful[self.scores[source, useful].argmax()]), self._weight())
        before = layout.starts[int(layout.layer_of[source])]
        if before > 0 and not self.draft.connected[:before, source].any():
            inputs = self.extrema.high[: layout.inputs].nonzero().flatten()
            if len(inputs):
                self.draft.add(int(inputs[self.scores[inputs, source].argmax()]), source, self._weight())

    def _weight(self) -> float:
        return self.config.scale * float(torch.randn(()))
