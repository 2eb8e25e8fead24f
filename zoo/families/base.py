"""The contract of a family: the base of its config, and a description that names its hooks.

A :class:`Family` names its functions as ``"package.module:attribute"`` instead of importing them, so that listing
families loads neither torch nor onnx nor matplotlib. :func:`zoo.families.registry.load_hook` imports them.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config.base import Section


class FamilyConfig(Section):
    """Base of every family's config: the ``model:`` section of a recipe, stored unchanged in the artifact."""

    family: str


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
    distributed: bool = True
    """True if the family can train in several processes."""
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
    members: str | None = None
    """``module -> {name: module}``: networks inside a trained one that ``zoo export NAME --member`` writes alone."""
    bench: str | None = None
    """``(quick, say) -> rows`` of ``zoo bench family NAME``: dicts that share their keys. Strings name the case that
    was timed; floats (or None) are results, some of them times as ratios to a named baseline. ``quick`` asks for
    seconds instead of minutes; ``say`` gets one line before each contender."""
