"""Export a trained module as a ``torch.export`` program, which runs without the family's code and holds no pickle."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from sdk.inputs import InputSpec
from zoo.artifacts.edit import open_stored
from zoo.artifacts.onnx import TOLERANCE
from zoo.artifacts.random_inputs import random_inputs
from zoo.artifacts.target import check_new_file
from zoo.utils.errors import ExportError
from zoo.utils.files import new_file
from zoo.utils.progress import Progress, no_progress
from zoo.utils.quiet import quiet
from zoo.utils.signals import check_stopped

_TRACED_BATCH = 3
_CHECKED_BATCHES = (1, 3, 64)
_PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack")
"""Facts about nodes that name files of this machine or classes of ours; a program runs without them."""


def export_program(name: str, out: Path, *, overwrite: bool = False, progress: Progress = no_progress) -> Path:
    """Write a trained model (a name or an artifact's folder) as program ``out``, for any batch size.

    It maps prepared float32 ``[B, *shape]`` to logits ``[B, classes]``. Its archive holds JSON and raw tensors, and is
    compared with the module before it is written. Raises ExportError, also for a module that ``torch.export`` cannot
    trace, and if ``out`` exists without ``overwrite``.
    """
    check_new_file(out, overwrite)
    stored = open_stored(name)
    progress(f"tracing {stored.config.name}")
    content = program_bytes(stored.module, stored.config.input)
    try:
        with new_file(out, overwrite=overwrite) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def program_bytes(module: nn.Module, spec: InputSpec) -> bytes:
    """Return the archive of ``module`` (on the CPU, in eval mode) traced by ``torch.export``. Raises ExportError."""
    program = _trace(module, spec)
    # Examples are the one part of a program that torch would pickle; nothing needs them to run it.
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in _PATHS:
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    content = buffer.getvalue()
    pickled = pickled_parts(content)
    if pickled:
        raise ExportError(f"torch would pickle {', '.join(pickled)} of this module; export it to ONNX")
    _check(content, module, spec)
    return content


def pickled_parts(content: bytes) -> list[str]:
    """Return the parts of a program's archive that ``torch.export.load`` would unpickle, and so execute."""
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            path = entry.filename
            if "/sample_inputs/" in path and entry.file_size:
                found.append(path)
            elif path.endswith("_config.json"):
                parts = json.loads(archive.read(path))["config"]
                found += [f"{path}: {name}" for name, part in parts.items() if part["use_pickle"]]
            elif "custom_obj" in path:
                found.append(path)
    return found


def _trace(module: nn.Module, spec: InputSpec) -> ExportedProgram:
    example = torch.from_numpy(spec.prepare(random_inputs(spec, _TRACED_BATCH))[0])
    try:
        # With gradients, so that torch's own ops stand for those that are compiled for inference alone: a program of a
        # gridnet then needs no op of ours but the grid's. torch prints graphs that it cannot trace.
        with torch.enable_grad(), quiet(), contextlib.redirect_stderr(io.StringIO()):
            module(example)  # raises what tracing cannot see, such as a stored answer that is out of date
            return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # whatever the module's own code or torch's tracing raises
        check_stopped()
        raise ExportError(
            f"torch.export cannot trace {type(module).__name__}: {_reason(error)}; export it to ONNX"
        ) from error


def _reason(error: Exception) -> str:
    if "data-dependent" in str(error):
        return "what it computes depends on the values of its tensors"
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _check(content: bytes, module: nn.Module, spec: InputSpec) -> None:
    """Raise ExportError unless the archive loads and agrees with the module."""
    loaded: Any = torch.export.load(io.BytesIO(content)).module()
    for size in _CHECKED_BATCHES:
        inputs = torch.from_numpy(spec.prepare(random_inputs(spec, size, seed=size))[0])
        with torch.inference_mode():
            gap = float((loaded(inputs) - module(inputs)).abs().max())
        if not gap <= TOLERANCE:
            raise ExportError(
                f"the program and the module differ by {gap:g} on a batch of {size}, allowed {TOLERANCE:g}"
            )
