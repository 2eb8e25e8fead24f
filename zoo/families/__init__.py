"""The registry of model families. A family knows nothing of files, the CLI or the Hub.

To add one: write ``zoo/families/NAME.py`` with a module-level ``FAMILY = Family(...)`` and name it in ``_MODULES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from zoo.families.base import FamilyConfig, Findings, Learner, ProbeContext, Task

if TYPE_CHECKING:
    import onnx

_MODULES = {
    "cellnet": "zoo.families.cellnet",
    "gridnet": "zoo.families.gridnet",
    "nca": "zoo.families.nca",
    "normnet": "zoo.families.normnet",
    "snapshots": "zoo.families.snapshots",
}


@dataclass(frozen=True)
class Family:
    """What the training loop, the exporter and the SDK need to know of a family."""

    name: str
    config: type[FamilyConfig]
    """The ``model:`` section of a recipe; the same object is stored in the artifact."""
    build: Callable[[Any, Task], nn.Module]
    """``(config, task) -> module`` with ``forward(x) -> logits``; raises ValueError when the two do not fit."""
    learner: Callable[[nn.Module, Any], Learner]
    """``(module, config) -> learner`` that computes the losses and owns what training needs beyond the weights."""
    onnx_graph: Callable[[Any, Task], onnx.ModelProto] | None
    """``(module, task) -> model`` with ``input [B, *input_shape]`` -> ``logits [B, classes]``, see
    :class:`zoo.families.onnx_graph.GraphBuilder`; None for a family that has no ONNX form."""
    about: str
    """For the model card: what the network is and whom it comes from, a few paragraphs of Markdown."""
    extra_onnx: Callable[[Any, Task], dict[str, onnx.ModelProto]] | None = None
    """``(module, task) -> models by file name``: what an artifact with model.onnx has beside it, checked by the family,
    which raises ValueError when a model does not compute what the module does."""
    portrait: Callable[[Any, Path], Findings] | None = None
    """``(module, empty folder) -> findings``: what a fresh artifact shows before anyone runs a probe; looks at the
    module alone."""
    probe: Callable[[ProbeContext], Findings] | None = None
    """What `zoo probe NAME` measures beyond accuracy and draws for the card."""
    members: Callable[[Any], Mapping[str, nn.Module]] | None = None
    """``module -> {name: module}``: networks inside a trained one that `zoo export NAME --member` writes alone."""
    bench: Callable[[], list[dict[str, Any]]] | None = None
    """What `zoo bench family NAME` times: rows of one table with the same keys, text that says what was timed and
    floats (or None), among them times as ratios against a named baseline."""


def family_names() -> list[str]:
    return sorted(_MODULES)


def families_with(hook: str) -> list[str]:
    """Names of the families that have an optional hook: ``probe`` or ``bench``."""
    return [name for name in family_names() if getattr(get_family(name), hook) is not None]


def get_family(name: str) -> Family:
    """Look a family up by name; raises ValueError naming those that exist."""
    if name not in _MODULES:
        raise ValueError(f"unknown family {name!r}; known families: {', '.join(family_names())}")
    family: Family = importlib.import_module(_MODULES[name]).FAMILY
    return family
