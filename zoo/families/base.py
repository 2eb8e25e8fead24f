"""The base of every family: its config, and its description by names alone.

A :class:`Family` names its functions as ``"package.module:attribute"`` instead of importing them, so that listing
families loads neither torch nor onnx nor matplotlib. :func:`zoo.families.registry.load_hook` imports them.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config.base import Section


class FamilyConfig(Section):
    """Base of every family's config: the ``model:`` section of a recipe, stored in the artifact as it is."""

    family: str


@dataclass(frozen=True)
class Family:
    """Everything that training, export and the SDK need to know about a family.

    Each hook is a string ``"package.module:attribute"``; None if the family has no such hook.
    """

    name: str
    config: type[FamilyConfig]
    about: str
    """For the model card: what the network is and where it comes from, a few paragraphs of Markdown."""
    build: str
    """``(config, task) -> module`` with ``forward(x) -> logits``; raises BuildError when the two do not fit."""
    learner: str = "zoo.families.learner:Learner"
    """``(module, config) -> learner``: computes the losses and owns the training state beyond the weights."""
    distributed: bool = True
    """True if the family can train in several processes."""
    onnx_graph: str | None = None
    """``(module, task) -> onnx.ModelProto`` from ``input [B, *input_shape]`` to ``logits [B, classes]``; see
    :class:`zoo.families.onnx_builder.GraphBuilder`."""
    extra_onnx: str | None = None
    """``(module, task) -> {file name: onnx.ModelProto}``: files that accompany model.onnx. The family checks them and
    raises ValueError when one does not compute what the module does."""
    portrait: str | None = None
    """``(module, empty folder) -> Findings`` of a fresh artifact, before anyone runs a probe; sees the module alone."""
    probe: str | None = None
    """``ProbeContext -> Findings``: what ``zoo probe NAME`` measures beyond accuracy and draws for the card."""
    members: str | None = None
    """``module -> {name: module}``: networks inside a trained one that ``zoo export NAME --member`` writes alone."""
    bench: str | None = None
    """``() -> rows`` of ``zoo bench family NAME``: dicts with the same keys. Texts say what was timed, floats (or None)
    are results, among them times as ratios to a named baseline."""
