"""The contract of a family: the base of its config, and a description that names its hooks.

A :class:`Family` names its functions as ``"package.module:attribute"`` instead of importing them, so that listing
families loads neither torch nor onnx nor matplotlib. :func:`zoo.families.registry.load_hook` imports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdk.tasks import TaskKind
from zoo.config.base import Section


class FamilyConfig(Section):
    """Base of every family's config: the ``model:`` section of a recipe, stored unchanged in the artifact."""

    family: str
    """The family's name."""


@dataclass(frozen=True)
class Ends:
    """The parameters of a module that belong to its inputs or to its classes, for a start from a trained model."""

    inputs: tuple[str, ...] = ()
    """Names of parameters with a weight per position of a flat input; they mean nothing for another input shape."""
    classes: Mapping[str, int] = field(default_factory=dict)
    """Names of parameters with a slice per class, and the axis of the classes."""


@dataclass(frozen=True)
class Family:
    """Everything that training, export and the SDK need to know about a family.

    Each hook is a string ``"package.module:attribute"``, or None if the family does not have it.
    """

    name: str
    config: type[FamilyConfig]
    about: str
    """For the model card: a few paragraphs of Markdown on the network and its source."""
    build: str
    """``(config, task) -> module`` with ``forward(x) -> logits``; raises BuildError if config and task do not fit."""
    learner: str = "zoo.families.learner:Learner"
    """``(module, config) -> learner``: computes the losses and owns all training state except the weights."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the ``train:`` section that differ from the usual ones, for recipes that leave the keys out."""
    train_reason: str = ""
    """For the reference of keys: why they differ."""
    baseline: bool = False
    """True for an ordinary network, which is here to be compared with."""
    distributed: bool = True
    """True if the family can train in several processes."""
    capturable: bool = False
    """True if the module's forward pass in training calls the same kernels on the same memory for every batch of one
    shape, so that a CUDA graph can repeat it: no choice is made on the host, and no parameter is replaced."""
    grows: bool = False
    """True if the network gets connections while it trains, so that its first steps cost less than most."""
    tasks: tuple[TaskKind, ...] = ("classification",)
    """The kinds of task that the learner can train. One that takes losses from its ``objective``, as the default
    learner does, can train all."""
    ends: str | None = None
    """``module -> Ends``, for a start from a trained model; None: no parameter depends on inputs or classes but by its
    shape."""
    take: str | None = None
    """``(module, source, match) -> Taken``: starts ``module`` from ``source``, a trained module of the family, where
    names and shapes of parameters do not tell what fits; see :mod:`zoo.families.taking`."""
    freeze: str | None = None
    """``(module, names) -> None``: holds parameters in the family's own way; None: they get no gradient."""
    onnx_graph: str | None = None
    """``(module, task) -> onnx.ModelProto`` from ``input [B, *input_shape]`` to ``logits [B, classes]``; see
    :class:`zoo.families.onnx_builder.GraphBuilder`."""
    extra_onnx: str | None = None
    """``(module, task) -> {file name: onnx.ModelProto}``: files that accompany model.onnx. The hook checks them and
    raises ValueError if one does not compute the same as the module."""
    portrait: str | None = None
    """``(module, empty folder) -> Findings`` for a new artifact, before any probe has run; sees only the module."""
    probe: str | None = None
    """``ProbeContext -> Findings``: ``zoo probe NAME`` measures more than accuracy and draws figures for the card."""
    pictures: str | None = None
    """``ProbeContext -> {file name: caption}``: pictures of ``zoo probe NAME --figures`` that need data or a training,
    besides those of :func:`sdk.plot.pictures`."""
    other_data: str | None = None
    """``model section -> words | None``, from the plain dict of config.json: the data that this network was trained on
    in place of the recipe's, to which it was only applied; None: it was trained on the recipe's."""
    members: str | None = None
    """``module -> {name: module}``: networks inside a trained one that ``zoo export NAME --member`` writes alone."""
    bench: str | None = None
    """``(quick, say) -> rows`` of ``zoo bench family NAME``: dicts that share their keys. Strings name the case that
    was timed; floats (or None) are results, some of them times as ratios to a named baseline. ``quick`` asks for
    seconds instead of minutes; ``say`` gets one line before each contender."""
