"""``zoo.save``: the artifact of a module that was trained in a loop of the user's own."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdk.artifact import CARD_FILE, HISTORY_FILE, NAME_PATTERN, ONNX_FILE, ArtifactConfig
from sdk.errors import InputError
from sdk.inputs import InputSpec
from sdk.validation import describe
from zoo.artifacts.card import MODULE_FAMILY, read_notes
from zoo.artifacts.example import draw_example, with_appearance
from zoo.artifacts.graph import export_graph
from zoo.artifacts.onnx import check_onnx
from zoo.artifacts.random_inputs import random_inputs
from zoo.artifacts.target import check_replaceable, check_writable
from zoo.artifacts.writer import cannot_write, complete, inference_copy, write_artifact
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
    normalised. ``name`` is that of the folder unless given; ``data`` is that of the data set, for the card.
    ``licence`` is an SPDX identifier.

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
    out = Path(os.path.abspath(folder))
    name = out.name if name is None else name
    if not re.fullmatch(NAME_PATTERN, name):
        raise ExportError(f"model name {name!r} must match {NAME_PATTERN}; give another folder, or name=")
    spec, names, measured = _input_spec(input), _label_names(labels), _metrics(metrics or {})
    check_writable(out, overwrite)
    plain = _unwrap(module)
    check_finished: Callable[[], None] = getattr(plain, "check_finished", lambda: None)
    check_finished()
    trained = _copy(plain)
    _check_weights(trained)
    _check_outputs(trained, spec, names)
    images = None if training is None else _split(training, spec, names)
    config = _family_config(plain)
    if config is not None:
        learner = load_hook(get_family(config.family).learner)(trained, config)
        return write_artifact(
            out,
            name=name,
            module=trained,
            model_config=config,
            input_spec=spec,
            labels=names,
            metrics={**learner.findings(), **measured},
            provenance=_provenance(data, images),
            recipe_yaml=None,
            licence=licence,
            formats=("safetensors", "onnx") if get_family(config.family).onnx_graph else ("safetensors",),
            training=images,
            overwrite=overwrite,
        )
    described = ArtifactConfig(
        name=name,
        family=MODULE_FAMILY,
        model={"architecture": str(plain)},
        input=spec,
        labels=tuple(names),
        parameters=sum(parameter.numel() for parameter in trained.parameters()),
        metrics=measured,
        provenance=_provenance(data, images),
        licence=licence,
        files={},
    )
    return _write_graph(out, trained, described, images, overwrite)


def _write_graph(
    out: Path, trained: nn.Module, config: ArtifactConfig, training: Split | None, overwrite: bool
) -> Path:
    """Write the artifact of a module that belongs to no family: its ONNX graph, and no weights file."""
    model = export_graph(trained, config)
    check_onnx(model, trained, config.input, relative=True)
    try:
        with replacing_folder(out, overwrite=overwrite, check=check_replaceable) as folder:
            (folder / ONNX_FILE).write_bytes(model.SerializeToString())
            write_text(folder / HISTORY_FILE, "[]\n")
            if training is not None:
                config = with_appearance(config, training)
                draw_example(folder, config, training)
            complete(folder, config, None, read_notes(out / CARD_FILE))
    except OSError as error:
        raise cannot_write(out, error) from error
    return out


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


def _check_weights(module: nn.Module) -> None:
    """Raise ExportError unless all floats of the state are finite float32."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ExportError(f"tensor {name} is {tensor.dtype}; weights are exported in float32: call module.float()")
        if not bool(tensor.isfinite().all()):
            raise ExportError(f"tensor {name} holds NaN or infinite values; lower the learning rate of the training")


def _check_outputs(module: nn.Module, spec: InputSpec, labels: list[str]) -> None:
    """Raise ExportError unless the module maps a batch of inputs to one finite float32 logit per label."""
    batch = torch.from_numpy(spec.prepare(random_inputs(spec, 3))[0])
    shape = ["B", *spec.shape]
    try:
        with torch.inference_mode():
            logits = module(batch)
    except Exception as error:  # whatever the module's own code raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"the module does not take inputs {_show(shape)}: {reason}; check input=") from error
    if not isinstance(logits, Tensor) or logits.dtype != torch.float32:
        found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ExportError(f"outputs: found {found}, allowed one float32 tensor of logits")
    if logits.shape != (3, len(labels)):
        raise ExportError(
            f"outputs: found shape {_show(['B' if logits.ndim else '', *logits.shape[1:]])} for inputs {_show(shape)}, "
            f"allowed [B, {len(labels)}], one logit for each of the {len(labels)} labels"
        )
    if not bool(logits.isfinite().all()):
        raise ExportError("outputs: found NaN or infinite logits for random inputs; check mean and std of input=")
    _check_rows(module, batch, logits)


def _check_rows(module: nn.Module, batch: Tensor, logits: Tensor) -> None:
    """Raise ExportError for probabilities, and for a module that answers a sample by the others of its batch."""
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(len(logits))):
        raise ExportError("outputs: found probabilities, allowed logits; leave the last softmax out")
    with torch.inference_mode():
        alone = torch.cat([module(row) for row in torch.split(batch, 1)])
    if not torch.allclose(alone, logits, rtol=1e-3, atol=1e-3):
        raise ExportError("outputs: a sample's logits depend on the other samples of its batch; treat each on its own")


def _show(shape: Iterable[object]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _input_spec(given: InputSpec | Mapping[str, Any] | tuple[int, ...]) -> InputSpec:
    """Return the input spec; a shape alone means an image or a table that was not normalised."""
    if isinstance(given, InputSpec):
        return given
    parts: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"shape": given}
    unknown = sorted(parts.keys() - {"kind", "shape", "mean", "std", "resize"})
    if unknown or "shape" not in parts:
        found = f"unknown {', '.join(map(repr, unknown))}" if unknown else "no 'shape'"
        raise InputError(f"input: {found}; allowed: shape, and kind, mean, std, resize")
    shape = parts["shape"]
    if not isinstance(shape, (list, tuple)) or not all(type(n) is int for n in shape) or len(shape) not in (1, 3):
        raise InputError(f"input shape: found {describe(shape)}, allowed (C, H, W) for images, (features,) for tables")
    count = shape[0]
    return InputSpec(
        kind=parts.get("kind", "image" if len(shape) == 3 else "table"),
        shape=tuple(shape),
        mean=_numbers(parts.get("mean", 0.0), count),
        std=_numbers(parts.get("std", 1.0), count),
        resize=parts.get("resize"),
    )


def _numbers(given: Any, count: int) -> tuple[float, ...]:
    """Return one number per channel or feature, from a number for all of them, or from a list, array or tensor."""
    values = given.tolist() if hasattr(given, "tolist") else given
    try:
        if isinstance(values, (list, tuple)):
            return tuple(float(value) for value in values)
        return (float(values),) * max(count, 0)
    except (TypeError, ValueError):
        raise InputError(f"input mean, std: found {describe(given)}, allowed a number or a list of numbers") from None


def _label_names(labels: Iterable[str]) -> list[str]:
    """Return the names of the classes as plain strings; raises ExportError unless they are strings, each once."""
    listed = [] if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
    if not listed or not all(isinstance(label, str) for label in listed):
        raise ExportError(f"labels: found {describe(labels)}, allowed a list of the classes' names, such as ['a', 'b']")
    names = [str(label) for label in listed]
    if len(set(names)) < len(names):
        raise ExportError(f"labels: found {describe(names)}, allowed each name once")
    return names


def _metrics(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics for config.json: counts of the test become accuracy and interval."""
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


def _split(training: tuple[Tensor, Tensor], spec: InputSpec, labels: list[str]) -> Split:
    """Return the training samples as a split. Raises ExportError for samples that the model does not take."""
    inputs, targets = (torch.as_tensor(part) for part in training)
    if inputs.shape[1:] != spec.shape or targets.shape != inputs.shape[:1] or not len(targets):
        raise ExportError(
            f"training: found inputs {list(inputs.shape)} and labels {list(targets.shape)}, allowed "
            f"{_show(['N', *spec.shape])} and [N]"
        )
    if int(targets.min()) < 0 or int(targets.max()) >= len(labels):
        raise ExportError(f"training: found labels outside 0 to {len(labels) - 1}")
    spec.prepare(inputs[:1].numpy())  # raises InputError for values outside the range
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
