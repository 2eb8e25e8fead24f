"""Export a trained module to a checked ONNX file: the family's graph, metadata and optional preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import sdk
from sdk.artifact import ONNX_INPUT, ONNX_OUTPUT, ArtifactConfig
from sdk.backends.onnx import onnx_metadata
from sdk.inputs import InputSpec
from zoo.artifacts.random_inputs import random_inputs
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.data.task import Task
from zoo.families.registry import get_family, load_hook
from zoo.utils.errors import ExportError
from zoo.utils.files import new_file
from zoo.utils.progress import Progress, no_progress

PROBABILITIES = "probabilities"
TOLERANCE = 1e-4  # largest difference between ONNX and torch, in logits or probabilities
_CHECKED_BATCHES = (1, 3, 64)
_LABELS_BATCH = 256


def write_onnx(
    path: Path,
    module: nn.Module,
    config: ArtifactConfig,
    *,
    preprocessing: bool = False,
    test: Split | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Write ``module`` (on the CPU, in eval mode) as a single ONNX file, atomically and only if it passes its checks.

    The graph maps ``input``, prepared float32 ``[B, *shape]``, to ``logits [B, classes]``. With ``preprocessing`` it
    maps raw inputs (``image``, uint8 ``[B, C, H, W]``, or ``features``, float32 ``[B, features]``) to
    ``probabilities [B, classes]``. The metadata properties describe the model. With ``test``, the labels of every
    test sample must equal those of the module. Raises ExportError, also if ``path`` exists without ``overwrite``.
    """
    progress("building the ONNX graph")
    model = build_onnx(module, config, preprocessing)
    check_onnx(model, module, config.input, test, progress)
    try:
        with new_file(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(model.SerializeToString())
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def write_extra_onnx(folder: Path, module: nn.Module, config: ArtifactConfig) -> None:
    """Write the additional ONNX files that the family offers for ``module`` into a folder. Raises ExportError."""
    family = get_family(config.family)
    if family.extra_onnx is None:
        return
    try:
        models = load_hook(family.extra_onnx)(module, task_of(config))
    except ValueError as error:
        raise ExportError(f"family {family.name}: {error}") from error
    for name, model in models.items():
        model.doc_string = f"{name} of {config.name}, a {config.family} network from the cellzoo model zoo"
        helper.set_model_props(
            model, {"name": config.name, "family": config.family, "cellzoo_version": sdk.__version__}
        )
        (folder / name).write_bytes(model.SerializeToString())


def build_onnx(module: nn.Module, config: ArtifactConfig, preprocessing: bool = False) -> onnx.ModelProto:
    """Return the family's graph with its metadata and, on request, preprocessing.

    Raises ExportError if the family has no ONNX form.
    """
    family = get_family(config.family)
    if family.onnx_graph is None:
        raise ExportError(f"family {family.name} has no ONNX form; leave onnx out: -o export.formats=[safetensors]")
    model: onnx.ModelProto = load_hook(family.onnx_graph)(module, task_of(config))
    if preprocessing and config.task != "classification":
        raise ExportError(
            f"{config.name}: found the task {config.task}, --preprocessing gives probabilities; leave it out"
        )
    if preprocessing:
        _wrap(model.graph, config.input)
    model.doc_string = f"{config.name}, a {config.family} network from the cellzoo model zoo"
    own = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**own, **onnx_metadata(config), "cellzoo_version": sdk.__version__})
    return model


def task_of(config: ArtifactConfig) -> Task:
    """Return the task that a model was trained for."""
    return Task(config.input.shape, config.outputs, config.task)


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a session of onnxruntime on the CPU, which logs errors only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check_onnx(
    model: onnx.ModelProto,
    module: nn.Module,
    spec: InputSpec,
    test: Split | None = None,
    progress: Progress = no_progress,
    *,
    relative: bool = False,
) -> None:
    """Raise ExportError unless the graph is valid and agrees with ``module`` on random inputs and on ``test``.

    ``relative`` scales the tolerance by the largest logit of a batch if that exceeds 1, for modules of any scale.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX graph is not valid: {' '.join(str(error).split())}") from error
    session = open_session(model)
    progress("comparing ONNX with torch")
    for raw in _batches(spec, test):
        expected, found = _both(session, module, spec, raw)
        gap = float(np.abs(found - expected).max())
        allowed = TOLERANCE * (max(1.0, float(np.abs(expected).max())) if relative else 1.0)
        if not gap <= allowed:
            raise ExportError(f"ONNX and torch differ by {gap:g} on a batch of {len(raw)}, allowed {allowed:g}")
    if test is not None:
        _check_labels(session, module, test, progress)


def _wrap(graph: onnx.GraphProto, spec: InputSpec) -> None:
    """Add the preprocessing of the input spec before the graph and a softmax after it, in place."""
    name, kind = ("image", TensorProto.UINT8) if spec.kind == "image" else ("features", TensorProto.FLOAT)
    shape = (1, -1) + (1,) * (len(spec.shape) - 1)
    constants = {
        "input_mean": np.array(spec.mean, np.float32).reshape(shape),
        "input_std": np.array(spec.std, np.float32).reshape(shape),
    }
    steps = [("Sub", "raw", "input_mean", "centred"), ("Div", "centred", "input_std", ONNX_INPUT)]
    nodes = [helper.make_node("Cast", [name], ["raw"], to=TensorProto.FLOAT)]
    if spec.kind == "image":
        constants["largest"] = np.array(255, np.float32)
        nodes = [helper.make_node("Cast", [name], ["values"], to=TensorProto.FLOAT)]
        steps.insert(0, ("Div", "values", "largest", "raw"))
    nodes += [helper.make_node(op, [x, y], [out]) for op, x, y, out in steps]
    old = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *old, helper.make_node("Softmax", [ONNX_OUTPUT], [PROBABILITIES], axis=-1)])
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    del graph.output[1:]
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, kind, ["batch", *spec.shape]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", classes]))


def _batches(spec: InputSpec, test: Split | None) -> Iterator[NDArray[Any]]:
    """Yield raw inputs to compare on: random ones and, if ``test`` is given, real ones."""
    for size in _CHECKED_BATCHES:
        yield random_inputs(spec, size, seed=size)
        if test is not None:
            yield test[next(evaluation_batches(min(size, len(test)), size))][0].numpy()


def _both(
    session: onnxruntime.InferenceSession, module: nn.Module, spec: InputSpec, raw: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the outputs of torch and ONNX on raw inputs: logits, or probabilities for a file with preprocessing."""
    name = session.get_inputs()[0].name
    preprocessing = name != ONNX_INPUT
    if preprocessing:
        raw = _as_file_takes(raw, spec)
    prepared = spec.prepare(raw)[0]
    with torch.inference_mode():
        logits = module(torch.from_numpy(prepared))
    if preprocessing:
        return torch.softmax(logits, -1).numpy(), session.run([PROBABILITIES], {name: raw})[0]
    return logits.numpy(), session.run([ONNX_OUTPUT], {name: prepared})[0]


def _as_file_takes(raw: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Return raw inputs in the type that the preprocessing takes: float images in [0, 1] become uint8."""
    if spec.kind == "table":
        return raw.astype(np.float32)
    return raw if raw.dtype == np.uint8 else np.round(raw * 255).astype(np.uint8)


def _check_labels(session: onnxruntime.InferenceSession, module: nn.Module, test: Split, progress: Progress) -> None:
    """Raise ExportError for the first test sample whose labels differ by more than a tie.

    Saturated outputs are often equal but for rounding. Two labels tie if torch's values for both differ by no more than
    the rounding that is allowed for each.
    """
    for number, batch in enumerate(evaluation_batches(len(test), _LABELS_BATCH)):
        progress("comparing ONNX with torch on the test split", number * _LABELS_BATCH, len(test))
        expected, found = _both(session, module, test.spec, test[batch][0].numpy())
        chosen = np.take_along_axis(expected, found.argmax(-1)[:, None], -1)[:, 0]
        differing = np.flatnonzero(~(chosen >= expected.max(-1) - 2 * TOLERANCE))
        if len(differing):
            sample = int(batch.indices[differing[0]])
            raise ExportError(f"ONNX and torch predict different labels for test sample {sample}")
