"""Start a module from a trained one: parameters are taken by name and shape, the rest stays as it was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.families.base import Ends

OTHER_CLASSES, OTHER_INPUTS, ABSENT = "other classes", "other inputs", "absent there"


@dataclass(frozen=True)
class Match:
    """The relation between the data of a module and those of the trained module from which it starts."""

    classes: tuple[int, ...] | None
    """The trained module's number of each class, or None if the two do not have the same classes."""
    same_inputs: bool
    """True if the inputs have the same shape."""


@dataclass(frozen=True)
class Taken:
    """The outcome of a start from a trained module."""

    names: tuple[str, ...]
    """Parameters that hold taken numbers."""
    new: dict[str, str]
    """The other parameters, each with the reason why it was not taken."""
    left: tuple[str, ...]
    """Parameters of the trained module that have no counterpart."""
    count: int
    """Number of parameters, counted one by one, that were taken."""
    note: str = ""
    """A clause that the family adds to the report; empty for most."""


def match_labels(labels: Sequence[str], known: Sequence[str]) -> tuple[int, ...] | None:
    """Return the position of each label among the ``known`` ones; None unless both are the same set of labels."""
    if list(labels) == list(known):
        return tuple(range(len(known)))
    if len(set(labels)) < len(labels) or sorted(labels) != sorted(known):
        return None
    return tuple(list(known).index(label) for label in labels)


def take_by_name(module: nn.Module, source: nn.Module, match: Match, ends: Callable[[nn.Module], Ends]) -> Taken:
    """Copy the parameters of ``source`` that have the name, the shape and the meaning of one of ``module``, in place.

    A parameter with a slice per class is taken if both modules have the same classes; its slices are put in the
    module's order. A parameter with a weight per input position is taken if the inputs have the same shape.
    """
    ours, theirs = dict(module.named_parameters()), dict(source.named_parameters())
    mine, other = ends(module), ends(source)
    state = module.state_dict()
    reasons = {name: _reason(name, ours[name], theirs.get(name), match, mine, other) for name in ours}
    head = next((reasons[name] for name in mine.classes if reasons.get(name)), None)
    reasons |= {
        name: head for name in mine.classes if name in ours and head
    }  # a bias means nothing without its weights
    new = {name: reason for name, reason in reasons.items() if reason}
    for name in ours.keys() - new.keys():
        value = theirs[name].detach()
        if name in mine.classes and match.classes is not None:
            value = value.index_select(mine.classes[name], torch.tensor(match.classes))
        state[name] = value
    state |= _statistics(module, source, ours.keys() - new.keys())
    module.load_state_dict(state)
    names = tuple(name for name in ours if name not in new)
    left = tuple(name for name in theirs if name not in ours)
    return Taken(names, new, left, sum(ours[name].numel() for name in names))


def _statistics(module: nn.Module, source: nn.Module, taken: AbstractSet[str]) -> dict[str, Tensor]:
    """Return the running averages of the batch normalisations whose weights were taken, which mean nothing without."""
    theirs = source.state_dict()
    return {
        f"{name}.{buffer}": theirs[f"{name}.{buffer}"]
        for name, layer in module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and f"{name}.weight" in taken
        for buffer, _ in layer.named_buffers()
    }


def _reason(name: str, parameter: Tensor, trained: Tensor | None, match: Match, mine: Ends, other: Ends) -> str | None:
    """Return why a parameter cannot be taken, or None if it can."""
    if trained is None:
        return ABSENT
    if name in mine.classes and name in other.classes and match.classes is None:
        return OTHER_CLASSES
    if (name in mine.classes) != (name in other.classes):
        return "the last layer of one model alone"
    if (name in mine.inputs or name in other.inputs) and not match.same_inputs:
        return OTHER_INPUTS
    if parameter.shape != trained.shape:
        return f"{_shape(parameter)} here, {_shape(trained)} there"
    return None


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
