"""Pictures of a Meta-NCA that need its data: the evolution of a rule that senses, and the rule's own training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdk.plot.nca import EVOLUTION_CAPTION, META_CAPTION, animate_evolution, animate_meta_epochs
from zoo.families.nca.figures import ANIMATION, as_arrays
from zoo.families.nca.model import GrownNetwork, MetaNca
from zoo.families.nca.probe_splits import train_rule
from zoo.families.probing import ProbeContext

_META = "meta_epochs.gif"
_STATES = 21
"""States of the rule over its training, at most; more of them early, when it changes most."""


def pictures(context: ProbeContext) -> dict[str, str]:
    """Draw into the context's folder and return captions by file name.

    A rule that senses grows its network from the training samples. For a rule that encodes its data, the rule is
    trained again as the recipe says, from the seed of the model, which takes as long as the training did.
    """
    module = context.module
    assert isinstance(module, MetaNca)
    if module.config.rule.senses != "none":
        inputs, labels = context.data.train.everything()
        grown = module.grow_one(inputs, labels, module.architecture())
        animate_evolution(as_arrays(grown), context.figures / ANIMATION)
        return {ANIMATION: EVOLUTION_CAPTION}
    if context.train is None or not (context.train.steps or context.train.epochs):
        return {}
    _draw_meta_epochs(context)
    return {_META: META_CAPTION}


def _draw_meta_epochs(context: ProbeContext) -> None:
    """Train the rule again, and grow a network from the same start after some of the steps."""
    train = context.train
    assert train is not None
    steps = train.steps or train.epochs or 0
    shown = sorted({round(steps * (i / (_STATES - 1)) ** 2) for i in range(_STATES)})
    found: list[GrownNetwork] = []

    def watch(step: int, module: MetaNca) -> None:
        if step in shown:
            found.append(module.grow_one(None, None, module.architecture()))

    module = train_rule(context, context.data.train.everything(), context.seed, watch)
    queries, answers = context.data.test.everything()
    history = found[-1].history
    accuracies = (
        [_accuracy(module, one.weights, queries, answers) for one in found],
        [_accuracy(module, weights, queries, answers) for weights in history],
    )
    grown = [[weight.numpy() for weight in one.weights] for one in found]
    animate_meta_epochs(grown, shown, as_arrays(found[-1]), accuracies, context.figures / _META)


def _accuracy(module: MetaNca, weights: list[Tensor], queries: Tensor, answers: Tensor) -> float:
    """Return the accuracy in [0, 1] of a task network with these weights."""
    x = (queries - module.shift) / module.scale
    if module.config.bias:
        x = torch.nn.functional.pad(x, (0, 1), value=1.0)
    for weight in weights[:-1]:
        x = (x @ weight).relu()
    return float(np.mean(((x @ weights[-1]).argmax(-1) == answers).numpy()))
