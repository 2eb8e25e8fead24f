"""``zoo.save``: the artifact of a module that was trained in a loop of the user's own."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Callable, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdk.artifact import CARD_FILE, HISTORY_FILE, NAME_PATTERN, ONNX_FILE, ArtifactConfig
from sdk.inputs import InputSpec
from sdk.text import is_unicode
from sdk.validation import describe
from zoo.artifacts.appearance import draw_training_samples, with_appearance
from zoo.artifacts.card import MODULE_FAMILY, read_notes
from zoo.artifacts.card_figures import add_example
from zoo.artifacts.given_input import read_input
from zoo.artifacts.graph import export_graph
from zoo.artifacts.onnx import check_onnx
from zoo.artifacts.outputs import check_outputs, show_shape
from zoo.artifacts.target import check_replaceable, check_writable
from zoo.artifacts.writer import cannot_write, check_weights, complete, inference_copy, write_artifact
from zoo.config.data import AugmentConfig
from zoo.data.split import ArraySplit, Split
from zoo.families.base import FamilyConfig
from zoo.families.registry import family_names, get_family, load_hook
from zoo.utils.errors import ExportError
from zoo.utils.files import replacing_folder, write_text
from zoo.utils.provenance import now, versions
from zoo.utils.stats import wilson_interval

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module",
             "AveragedModel": "module"}  # fmt: skip
_CHECKED = 1024
"""Training samples that are checked at once."""
_OWN_METRICS = ("precisions", "probe", "seeds", "seed_results", "test_accuracy_mean", "test_accuracy_std")
"""Metrics that later commands and the trainings of several seeds record."""


def save(
    module: nn.Module,
    folder: str | os.PathLike[str],
    *,
    labels: Iterable[str],
    input: InputSpec | Mapping[str, Any] | tuple[int, ...],
    name: str | None = None,
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    training: tuple[Tensor, Tensor] | None = None,
    licence: str = "MIT",
    overwrite: bool = False,
) -> Path:
    """Write ``module`` to ``folder`` as a model that ``sdk.load`` opens, and return the folder.

    ``labels`` are the names of the classes, in the order of the logits. ``input`` says how the SDK prepares raw inputs:
    an :class:`sdk.InputSpec`; a dict of its parts, of which ``shape`` is enough; or the shape alone, ``(C, H, W)`` for
    images with values in [0, 1] or ``(features,)`` for tables. ``mean`` and ``std`` must be those by which the training
    normalised. For a table, ``columns`` lists their names, by which the SDK then finds them in rows, DataFrames and
    files (or entries of :mod:`sdk.columns`, which also describe categories). ``name`` is that of the folder unless
    given; ``data`` is that of the data set, for the card. ``licence`` is an SPDX identifier.

    ``metrics`` go to the model card: ``test_correct`` and ``test_total`` become accuracy and interval; other entries
    are plain JSON values. With ``training``, raw images ``[N, C, H, W]`` (uint8, or floats in [0, 1]) and integer
    labels ``[N]``, the artifact says what its images look like.

    A module of one of the families (``Gridnet``, ``Normnet``, ...) becomes a full artifact with weights and ONNX graph.
    Any other module, such as an ``nn.Sequential`` with layers of :mod:`zoo.layers`, becomes an ONNX graph, so the SDK
    runs it on the onnx backend only; keep its ``state_dict`` yourself to train on. The module may be in training mode,
    on any device, and wrapped by ``torch.compile``, DDP or ``AveragedModel``; it stays as it is. Nothing is pickled.

    Raises ExportError if the module does not map these inputs to one finite float32 logit per label, if it cannot be
    exported, or if the folder exists (without ``overwrite``), and InputError for an impossible ``input``.
    """
    out = Path(os.path.abspath(os.path.expanduser(folder)))  # sdk.load expands ~, too
    name = out.name if name is None else name
    _check_texts(name=name, data=data or "", licence=licence)
    if not re.fullmatch(NAME_PATTERN, name):
        raise ExportError(f"model name {name!r} must match {NAME_PATTERN}; give another folder, or name=")
    spec, names, measured = read_input(input), _label_names(labels), _metrics({} if metrics is None else metrics)
    check_writable(out, overwrite)
    plain = _unwrap(module)
    check_finished: Callable[[], None] = getattr(plain, "check_finished", lambda: None)
    check_finished()
    trained = _copy(plain)
    check_weights(trained)
    check_outputs(trained, spec, names)
    images = None if training is None else _split(training, spec, names)
    given = _Given(out, name, spec, names, measured, _provenance(data, images), licence, images, overwrite)
    config = _family_config(plain)
    if config is None:
        return _write_graph(given, trained, architecture=str(plain))
    return _write_family(given, trained, config)


@dataclass(frozen=True)
class _Given:
    """The arguments of :func:`save`, checked."""

    out: Path
    name: str
    input: InputSpec
    labels: list[str]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    training: Split | None
    overwrite: bool


def _write_family(given: _Given, trained: nn.Module, config: FamilyConfig) -> Path:
    """Write the artifact of a family's module: weights, ONNX graph, and what its learner finds."""
    family = get_family(config.family)
    found = load_hook(family.learner)(trained, config).findings()
    _check_free(given.metrics, found)
    return write_artifact(
        given.out,
        name=given.name,
        module=trained,
        model_config=config,
        input_spec=given.input,
        labels=given.labels,
        metrics={**found, **given.metrics},
        provenance=given.provenance,
        recipe_yaml=None,
        licence=given.licence,
        formats=("safetensors", "onnx") if family.onnx_graph else ("safetensors",),
        training=given.training,
        overwrite=given.overwrite,
    )


def _write_graph(given: _Given, trained: nn.Module, architecture: str) -> Path:
    """Write the artifact of a module that belongs to no family: its ONNX graph, and no weights file."""
    config = ArtifactConfig(
        name=given.name,
        family=MODULE_FAMILY,
        model={"architecture": architecture},
        input=given.input,
        labels=tuple(given.labels),
        parameters=sum(parameter.numel() for parameter in trained.parameters()),
        metrics=given.metrics,
        provenance=given.provenance,
        licence=given.licence,
        files={},
    )
    model = export_graph(trained, config)
    check_onnx(model, trained, config.input, relative=True)
    try:
        with replacing_folder(given.out, overwrite=given.overwrite, check=check_replaceable) as folder:
            (folder / ONNX_FILE).write_bytes(model.SerializeToString())
            write_text(folder / HISTORY_FILE, "[]\n")
            if given.training is not None:
                config = with_appearance(config, given.training)
                draw_training_samples(folder, config, given.training)
                config = add_example(folder, config, "training", given.training)
            complete(folder, config, None, read_notes(given.out / CARD_FILE))
    except OSError as error:
        raise cannot_write(given.out, error) from error
    return given.out


def _family_config(module: nn.Module) -> FamilyConfig | None:
    """Return the config of a family's module; None for others, subclasses included, which may compute otherwise."""
    config = getattr(module, "config", None)
    if not isinstance(config, FamilyConfig) or config.family not in family_names():
        return None
    return config if type(module) is load_hook(get_family(config.family).build) else None


def _unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside torch's wrappers. Raises ExportError for anything but a module."""
    if not isinstance(module, nn.Module):
        raise ExportError(f"module: found {describe(module)}, allowed a torch.nn.Module")
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def _copy(module: nn.Module) -> nn.Module:
    try:
        return inference_copy(module)
    except RuntimeError as error:  # torch copies only leaf tensors
        reason = str(error).splitlines()[0]
        raise ExportError(f"the module cannot be copied: {reason}; detach tensors that it stores") from error


def _check_texts(**given: object) -> None:
    for name, value in given.items():
        if not isinstance(value, str):
            raise ExportError(f"{name}: found {describe(value)}, allowed a text")
        if not is_unicode(value):
            raise ExportError(f"{name}: found {describe(value)}, allowed Unicode text")


def _label_names(labels: Iterable[str]) -> list[str]:
    """Return the names of the classes as plain strings; raises ExportError unless they are strings, each once.

    Sets and mappings are refused: their order is not that of the logits.
    """
    if isinstance(labels, (AbstractSet, Mapping)):
        raise ExportError(
            f"labels: found {type(labels).__name__} {describe(labels)}, allowed a list of the classes' names in the "
            "order of the logits"
        )
    listed = [] if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
    if not listed or not all(isinstance(label, str) for label in listed):
        raise ExportError(f"labels: found {describe(labels)}, allowed a list of the classes' names, such as ['a', 'b']")
    names = [str(label) for label in listed]
    for name in names:
        if not is_unicode(name):
            raise ExportError(f"labels: found {describe(name)}, allowed Unicode text")
    if len(set(names)) < len(names):
        raise ExportError(f"labels: found {describe(names)}, allowed each name once")
    return names


def _metrics(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics for config.json: counts of the test become accuracy and interval. Raises ExportError."""
    if not isinstance(given, Mapping):
        raise ExportError(f"metrics: found {describe(given)}, allowed numbers and other JSON values by name")
    _check_free(given, _OWN_METRICS)
    given = {name: _plain(value) for name, value in given.items()}
    for name in ("test_loss", "validation_accuracy"):
        value = given.get(name, 0)
        if type(value) not in (int, float) or not 0 <= value <= (1 if name == "validation_accuracy" else math.inf):
            allowed = "0 to 1" if name == "validation_accuracy" else "a number of at least 0"
            raise ExportError(f"metrics: {name}: found {describe(value)}, allowed {allowed}")
    counts = {"test_correct", "test_total"} & given.keys()
    if len(counts) == 1 or (not counts and {"test_accuracy", "test_interval_95"} & given.keys()):
        raise ExportError(f"metrics: found {', '.join(sorted(given))}; give both test_correct and test_total")
    if not counts:
        return dict(given)
    correct, total = given["test_correct"], given["test_total"]
    if type(correct) is not int or type(total) is not int or not 0 <= correct <= total or not total:
        raise ExportError(
            f"metrics: found {describe(correct)} of {describe(total)} correct, allowed 0 <= test_correct <= test_total"
        )
    return {
        **given,
        "test_accuracy": correct / total,
        "test_interval_95": list(wilson_interval(correct, total)),
    }


def _check_free(given: Iterable[str], taken: Container[str]) -> None:
    """Raise ExportError for a metric whose name means a measurement of cellzoo's own."""
    for name in given:
        if name in taken:
            raise ExportError(f"metrics: found {name!r}, which cellzoo itself measures; choose another name")


def _plain(value: Any) -> Any:
    """Return a number of numpy's or torch's as a plain one; anything else as it is."""
    return value.item() if isinstance(value, (np.generic, Tensor)) and value.ndim == 0 else value


def _split(training: tuple[Tensor, Tensor], spec: InputSpec, labels: list[str]) -> Split:
    """Return the training samples as a split. Raises ExportError for samples that the model does not take."""
    if not isinstance(training, (tuple, list)) or len(training) != 2:
        raise ExportError(f"training: found {describe(training)}, allowed a pair: inputs and labels")
    inputs, targets = (torch.as_tensor(part) for part in training)
    if inputs.shape[1:] != spec.shape or targets.shape != inputs.shape[:1] or not len(targets):
        raise ExportError(
            f"training: found inputs {list(inputs.shape)} and labels {list(targets.shape)}, allowed "
            f"{show_shape(['N', *spec.shape])} and [N]"
        )
    if targets.is_floating_point() or targets.is_complex():
        raise ExportError(f"training: found labels of {targets.dtype}, allowed whole numbers, the positions in labels=")
    if int(targets.min()) < 0 or int(targets.max()) >= len(labels):
        raise ExportError(f"training: found labels outside 0 to {len(labels) - 1}")
    for part in torch.split(inputs, _CHECKED):
        spec.prepare(part.cpu().numpy(), batch=True)  # raises InputError for values outside the range
    return ArraySplit(inputs.cpu(), targets.long().cpu(), spec, AugmentConfig(), 0)


def _provenance(data: str | None, training: Split | None) -> dict[str, Any]:
    known = {} if training is None else {"train": len(training)}
    facts = {"data": {"name": data or "its author's data", **known}} if data or known else {}
    return {
        "trained": "outside the zoo's loop",
        **facts,
        "date": now(),
        "versions": versions(),
        "platform": {"machine": platform.machine(), "system": platform.system(), "processors": os.cpu_count()},
    }
